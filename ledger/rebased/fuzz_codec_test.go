package rebased_test

import (
	"context"
	"errors"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

// refused reports whether an error is one that bytes of a stranger may cause.
func refused(err error) bool {
	var forged *ledger.Forged
	var unjudged *ledger.Unjudged
	var mismatch *ledger.Mismatch
	var missing missingError
	return errors.Is(err, ledger.ErrSyntax) || errors.As(err, &forged) || errors.As(err, &unjudged) ||
		errors.As(err, &mismatch) || errors.As(err, &missing)
}

// FuzzBegin: no head but the true one is taken, and its certificate may differ in nothing that it says.
func FuzzBegin(f *testing.F) {
	n, c := network(f, rebasedtest.Options{Epoch: 2})
	first := n.Next()
	c.seal(first.Head(), first.Raws())
	cp := n.Next()
	f.Add(cp.Head())
	f.Add(first.Head())
	want, err := rebased.Codec{}.Unit(cp.Head())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		at := c.start()
		u, err := rebased.Codec{}.Unit(head)
		if err != nil && !errors.Is(err, ledger.ErrSyntax) {
			t.Fatalf("untyped error: %v", err)
		}
		if err == nil && string(rebased.Codec{}.Head(u)) != string(head) {
			t.Fatal("a unit's head is another one")
		}
		asm, err := rebased.Codec{}.Begin(context.Background(), head, at)
		if err != nil {
			if !refused(err) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if asm.Unit().ID != want.ID {
			t.Fatalf("unit %s is taken for %s", asm.Unit().ID, want.ID)
		}
	})
}

// FuzzRecord: no raw does harm: it is the true record, or refused.
func FuzzRecord(f *testing.F) {
	n, c := network(f, rebasedtest.Options{Unknown: 1, Transactions: 2})
	cp := n.Next()
	raws := cp.Raws()
	want := c.seal(cp.Head(), raws)
	for _, raw := range raws {
		f.Add(raw)
	}
	c = newChain(f, c.trust, true)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for i := range raws {
			cone, err := c.prove(cp.Head(), with(raws, i, raw))
			if err != nil {
				if !refused(err) {
					t.Fatalf("untyped error: %v", err)
				}
				continue
			}
			for k := range cone.Records {
				for p := range cone.Records[k].Parts {
					if string(cone.Records[k].Parts[p].Raw) != string(want.Records[k].Parts[p].Raw) {
						t.Fatalf("part %d of record %d is another one", p, k)
					}
				}
			}
		}
	})
}
