package rebased_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
	"permanode/ledger/rebased/rebasedtest"
)

// TestUndecoded: a record of a form that nobody knows is one record among others: its id, place and bytes are proven,
// from a file and from framed parts alike, and the same comes out of what is stored.
func TestUndecoded(t *testing.T) {
	n, c := network(t, rebasedtest.Options{Unknown: 1, Transactions: 3, Seed: 3})
	var cones []*ledger.Cone
	forms := map[uint8]int{}
	for range 30 {
		cp := n.Next()
		framed, err := c.prove(cp.Head(), cp.Raws())
		if err != nil {
			t.Fatal(err)
		}
		cone := c.seal(splitFile(t, cp.File()))
		compareMade(t, cone, cp)
		ids, err := rebased.Codec{}.Listed(cone.Unit)
		if err != nil || !slices.EqualFunc(ids, cone.Records, func(id ledger.ID, r ledger.Record) bool { return id == r.ID }) {
			t.Errorf("unit %d lists %v, %v", cone.Unit.Seq, ids, err)
		}
		for i := range cone.Records {
			a, b := &cone.Records[i], &framed.Records[i]
			if len(a.Parts) != len(b.Parts) {
				t.Fatalf("record %v has %d parts from a file, %d from frames", a.Ord, len(a.Parts), len(b.Parts))
			}
			for k := range a.Parts {
				if a.Parts[k].Kind != b.Parts[k].Kind || !bytes.Equal(a.Parts[k].Raw, b.Parts[k].Raw) {
					t.Errorf("part %d of record %v differs", k, a.Ord)
				}
			}
			if !a.Undecoded {
				continue
			}
			forms[a.Kind]++
			if id, err := (rebased.Codec{}).ID(a); err != nil || id != a.ID {
				t.Errorf("record %v hashes to %s, %v, want %s", a.Ord, id, err, a.ID)
			}
			if cp.Records[i].Kind == 0 && a.State == ledger.Executed {
				t.Errorf("the state of record %v is lost, though its effects are known", a.Ord)
			}
		}
		cones = append(cones, cone)
	}
	if len(forms) != 2 {
		t.Errorf("undecoded records of kinds %v: want unknown ones and users'", forms)
	}
	c.reprove(cones)
}

// TestRest: what a version that could not read effects left in one piece is split by one that can, and comes to the
// same record. So it is with bytes that are not what the effects say: they are refused.
func TestRest(t *testing.T) {
	n, c := network(t, rebasedtest.Options{Transactions: 12})
	for range 6 {
		cp := n.Next()
		raws := cp.Raws()
		want, err := c.prove(cp.Head(), raws)
		if err != nil {
			t.Fatal(err)
		}
		rests, bad := slices.Clone(raws), 0
		for i := range cp.Records {
			rest := restOf(&cp.Records[i])
			raw := func(rest []byte) []byte {
				parts := append(cp.Records[i].Parts()[:2:2], ledger.Part{Kind: ledger.PartRest, Raw: rest})
				return rebased.Codec{}.Raw(&ledger.Record{ID: want.Records[i].ID, Parts: parts})
			}
			rests[i] = raw(rest)
			for _, wrong := range [][]byte{append(bytes.Clone(rest), 0), rest[:len(rest)-1], flipped(rest, len(rest)-9)} {
				if _, err := c.prove(cp.Head(), with(raws, i, raw(wrong))); codeOf(err) != "record.objects" && codeOf(err) != "record.events" {
					t.Errorf("a rest of %d bytes for %d: %v", len(wrong), len(rest), err)
				}
				bad++
			}
		}
		cone := c.seal(cp.Head(), rests)
		if !reflect.DeepEqual(cone, want) || bad == 0 {
			t.Errorf("unit %d: records with a rest come to another cone", cone.Unit.Seq)
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// restOf returns what follows a record's effects in a checkpoint file.
func restOf(r *rebasedtest.Record) []byte {
	rest := []byte{0}
	if r.Events != nil {
		rest = append([]byte{1}, r.Events...)
	}
	for _, list := range [][][]byte{r.Inputs, r.Outputs} {
		rest = bcs.AppendULEB(rest, uint32(len(list)))
		rest = append(rest, bytes.Join(list, nil)...)
	}
	return rest
}

// TestUndecodedAltered: bytes of a form that nobody knows are proven too.
func TestUndecodedAltered(t *testing.T) {
	n, c := network(t, rebasedtest.Options{Unknown: 1, Transactions: -1, Seed: 4})
	for range 12 {
		cp := n.Next()
		raws := cp.Raws()
		for i := range cp.Records {
			if !cp.Records[i].Opaque {
				continue
			}
			for k, p := range cp.Records[i].Parts() {
				for _, at := range []int{4, len(p.Raw) / 3, len(p.Raw) - 1} {
					bad := bytes.Clone(raws[i])
					bad[bytes.Index(bad, p.Raw)+at] ^= 4
					_, err := c.prove(cp.Head(), with(raws, i, bad))
					var forged *ledger.Forged
					var mismatch *ledger.Mismatch
					if !errors.As(err, &forged) && !errors.As(err, &mismatch) && !errors.Is(err, ledger.ErrSyntax) {
						t.Errorf("part %d (kind %d) altered at %d: %v", k, p.Kind, at, err)
					}
				}
			}
		}
		c.seal(cp.Head(), raws)
	}
}

func with(list [][]byte, i int, b []byte) [][]byte {
	out := append([][]byte(nil), list...)
	out[i] = b
	return out
}
