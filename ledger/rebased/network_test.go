package rebased_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

func network(t testing.TB, o rebasedtest.Options) (*rebasedtest.Network, *chain) {
	t.Helper()
	n := rebasedtest.New(o)
	trust, err := rebased.Codec{}.ParseTrust(n.Trust())
	if err != nil {
		t.Fatal(err)
	}
	return n, newChain(t, trust, true)
}

// TestNetwork seals networks of many shapes, from files, and finds what their makers know: every state and kind, and
// at the end every balance.
func TestNetwork(t *testing.T) {
	for i, o := range []rebasedtest.Options{
		{},
		{Validators: 1, Epoch: 2},
		{Validators: 12, Epoch: 5, Transactions: 1},
		{Transactions: -1},
		{Transactions: 60},
		{Migrated: [][34]byte{{1}, {2}, {3}}},
	} {
		o.Seed = uint64(i)
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			n, c := network(t, o)
			owned := map[string]ledger.Amount{}
			for range 24 {
				cp := n.Next()
				head, raws := splitFile(t, cp.File())
				if !bytes.Equal(head, cp.Head()) {
					t.Fatalf("the head of checkpoint %d is split as another one", cp.Summary.Seq)
				}
				cone := c.seal(head, raws)
				compareMade(t, cone, cp)
				for k := range cone.Records {
					for _, m := range cone.Records[k].Moves {
						owned[m.Owner+m.Asset] = owned[m.Owner+m.Asset].Add(m.Amount)
					}
				}
			}
			for _, a := range n.Addresses() {
				for _, asset := range n.Assets() {
					if got, want := owned[string(a[:])+asset], ledger.Coins(n.Balance(a, asset)); !got.Equal(want) {
						t.Errorf("%s owns %s of %q, has %s", a, got, asset, want)
					}
				}
			}
		})
	}
}

func compareMade(t *testing.T, cone *ledger.Cone, cp *rebasedtest.Checkpoint) {
	t.Helper()
	for i := range cp.Records {
		want, r := &cp.Records[i], &cone.Records[i]
		state := want.State
		if want.State == 0 {
			state = ledger.Executed
		}
		if d := want.Digest(); r.ID != ledger.NewID(d[:]) || r.Kind != want.Kind || r.State != state || r.Undecoded != want.Opaque {
			t.Errorf("record %v: %s, kind %d, %s, undecoded %v, want kind %d, %s, %v",
				r.Ord, r.ID, r.Kind, r.State, r.Undecoded, want.Kind, state, want.Opaque)
		}
		compareParts(t, want, r)
	}
}

// compareParts checks that every byte is kept but input objects, and objects that change all the time.
func compareParts(t *testing.T, want *rebasedtest.Record, r *ledger.Record) {
	t.Helper()
	quiet := r.Kind == 1+uint8(rebased.TagPrologue) || r.Kind == 1+uint8(rebased.TagAuthenticator) || r.Kind == 1+uint8(rebased.TagRandomness)
	var parts []ledger.Part
	for _, p := range want.Parts() {
		keep := p.Kind != ledger.PartInput
		if p.Kind == ledger.PartOutput {
			var id rebased.ObjectID
			if o, err := rebased.ParseObject(p.Raw); err == nil {
				id = o.ID()
			} else if !want.Opaque {
				t.Fatal(err)
			}
			keep = !quiet && (!bytes.Equal(id[:31], make([]byte, 31)) || id[31] < 5 || id[31] > 8)
		}
		if keep {
			parts = append(parts, p)
		}
	}
	if !slices.EqualFunc(parts, r.Parts, func(a, b ledger.Part) bool { return a.Kind == b.Kind && bytes.Equal(a.Raw, b.Raw) }) {
		t.Errorf("record %v (kind %d) keeps %d parts, want %d", r.Ord, r.Kind, len(r.Parts), len(parts))
	}
}

// TestNetworkRepeats: a network is a pure function of its options.
func TestNetworkRepeats(t *testing.T) {
	o := rebasedtest.Options{Seed: 5, Unknown: 3}
	a, b := rebasedtest.New(o), rebasedtest.New(o)
	for range 12 {
		if !bytes.Equal(a.Next().File(), b.Next().File()) {
			t.Fatal("two networks of the same options differ")
		}
	}
}
