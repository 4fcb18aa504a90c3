package rebased_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

// mutants returns how many lies of each name a test tells: 1,000 in `make torture`, fewer in CI.
func mutants() int {
	if os.Getenv("PERMANODE_TORTURE") != "" {
		return 1000
	}
	return 24
}

// TestUnitLies: each lie about a checkpoint or its certificate is refused with the right code, and honest checkpoints
// are sealed beside them.
func TestUnitLies(t *testing.T) { tellAll(t, rebasedtest.UnitLies) }

// TestRecordLies: each lie about what a checkpoint lists is refused with the right code.
func TestRecordLies(t *testing.T) { tellAll(t, rebasedtest.RecordLies) }

func tellAll(t *testing.T, lies []rebasedtest.Lie) {
	want := mutants()
	count := map[string]int{}
	for seed := uint64(0); len(count) < len(lies) || !enough(count, want); seed++ {
		if seed == 2000 {
			t.Fatalf("some lies can hardly be told: %v of %d", count, want)
		}
		n, c := network(t, rebasedtest.Options{Seed: seed, Transactions: 4, Epoch: 3, Validators: 1 + int(seed%9)})
		for range 7 {
			cp := n.Next()
			for i := range lies {
				l := &lies[i]
				if count[l.Name] >= want {
					continue
				}
				told := l.Tell(n, cp)
				if told == nil {
					continue
				}
				count[l.Name]++
				_, err := c.prove(told.Head, told.Raws)
				if code := codeOf(err); !slices.Contains(l.Codes, code) {
					t.Errorf("%s of checkpoint %d (seed %d): %v, code %q, want one of %q", l.Name, cp.Summary.Seq, seed, err, code, l.Codes)
				}
			}
			c.seal(cp.Head(), cp.Raws())
		}
	}
}

// onlyPairing are lies that nothing but a pairing check finds: below a unit whose signature is checked they change
// nothing that is believed.
var onlyPairing = []string{
	"signer added", "signer exchanged", "another committee signs", "signature is another point", "signature is the other root",
	"a bit of the signature", "no epoch behind the signed summary", "another intent", "the digest signed",
}

// TestAttestLies: a lie in the middle of a run of checkpoints ends its attestation, or the lie is told of nothing but
// a certificate that is not needed: then true contents are attested, and none but those.
func TestAttestLies(t *testing.T) {
	told, refused := 0, 0
	for seed := range uint64(mutants() / 4) {
		n, c := network(t, rebasedtest.Options{Seed: seed, Transactions: -1, Epoch: 5, Validators: 1 + int(seed%6)})
		var heads [][]byte
		var units []ledger.Unit
		var cps []*rebasedtest.Checkpoint
		for range 12 {
			cps = append(cps, n.Next())
			heads = append(heads, cps[len(cps)-1].Head())
			units = append(units, unitOf(t, heads[len(heads)-1]))
		}
		good, err := rebased.Codec{}.Attest(context.Background(), heads, c.start())
		if err != nil {
			t.Fatal(err)
		}
		compareAttested(t, good, units)
		for i := range rebasedtest.UnitLies {
			at := (int(seed) + i) % len(heads)
			l := &rebasedtest.UnitLies[i]
			lie := l.Tell(n, cps[at])
			if lie == nil {
				continue
			}
			told++
			list, err := rebased.Codec{}.Attest(context.Background(), with(heads, at, lie.Head), c.start())
			if err == nil {
				compareAttested(t, list, units)
				if !slices.Contains(onlyPairing, l.Name) || at == len(heads)-1 || cps[at].Summary.EndOfEpoch != nil {
					t.Errorf("%s of checkpoint %d is attested", l.Name, at)
				}
				continue
			}
			if refused++; codeOf(err) == "" {
				t.Errorf("%s of checkpoint %d: %v", l.Name, at, err)
			}
		}
	}
	if refused == 0 {
		t.Errorf("none of %d lies is refused", told)
	}
}

// TestAttestedOther: an attestation of another unit proves nothing of this one.
func TestAttestedOther(t *testing.T) {
	n, c := network(t, rebasedtest.Options{})
	first := n.Next()
	c.seal(first.Head(), first.Raws())
	cp := n.Next()
	i := slices.IndexFunc(rebasedtest.UnitLies, func(l rebasedtest.Lie) bool { return l.Name == "signature is another point" })
	head := rebasedtest.UnitLies[i].Tell(n, cp).Head
	at := c.start()
	for _, a := range []struct {
		name string
		ledger.Attestation
		code string
	}{
		{"none", ledger.Attestation{}, "unit.signature"},
		{"of the unit before", ledger.Attestation{Unit: c.prev.ID, By: unitOf(t, head).ID}, "unit.signature"},
		{"of it", ledger.Attestation{Unit: unitOf(t, head).ID, By: c.prev.ID}, ""},
	} {
		at.Attested = a.Attestation
		_, err := rebased.Codec{}.Begin(context.Background(), head, at)
		if codeOf(err) != a.code || (err == nil) != (a.code == "") {
			t.Errorf("attestation %s: %v, want code %q", a.name, err, a.code)
		}
	}
}

// compareAttested checks that the units are those, and each attested by itself or by a later one of its epoch.
func compareAttested(t *testing.T, list []ledger.Attestation, units []ledger.Unit) {
	t.Helper()
	if len(list) != len(units) {
		t.Fatalf("%d attestations of %d units", len(list), len(units))
	}
	place := map[ledger.ID]int{}
	for i := range units {
		place[units[i].ID] = i
	}
	for i, a := range list {
		by, ok := place[a.By]
		if a.Unit != units[i].ID || !ok || by < i || by > i && list[by].By != a.By {
			t.Errorf("unit %d (%s): attestation %+v by unit %d", i, units[i].ID, a, by)
		}
	}
}

func unitOf(t testing.TB, head []byte) ledger.Unit {
	t.Helper()
	u, err := rebased.Codec{}.Unit(head)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func enough(count map[string]int, want int) bool {
	for _, n := range count {
		if n < want {
			return false
		}
	}
	return true
}

// codeOf returns why bytes were refused.
func codeOf(err error) string {
	var forged *ledger.Forged
	var mismatch *ledger.Mismatch
	var missing missingError
	switch {
	case errors.As(err, &forged):
		return forged.Code
	case errors.As(err, &mismatch):
		return "mismatch"
	case errors.As(err, &missing):
		return "missing"
	case errors.Is(err, ledger.ErrSyntax):
		return "syntax"
	}
	return ""
}
