package stardust_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust/stardusttest"
)

// openNetwork returns a network and an archive that begins at its genesis.
func openNetwork(t testing.TB, o stardusttest.Options, held bool) (*stardusttest.Network, *archive) {
	t.Helper()
	n := stardusttest.New(o)
	a := newArchive(t, n.Trust())
	if held {
		if err := a.open(bytes.NewReader(n.Snapshot())); err != nil {
			t.Fatal(err)
		}
	}
	return n, a
}

func compareMade(t testing.TB, c *ledger.Cone, want *stardusttest.Cone, held bool) {
	t.Helper()
	if len(c.Records) != len(want.IDs) {
		t.Fatalf("unit %d has %d records, want %d", c.Unit.Seq, len(c.Records), len(want.IDs))
	}
	for i, r := range c.Records {
		o := want.Outcomes[i]
		if r.ID != want.IDs[i] || r.State != o.State || r.Reason != o.Reason {
			t.Fatalf("unit %d pos %d: %s %s %d, want %s %s %d", c.Unit.Seq, i, r.ID, r.State, r.Reason, want.IDs[i], o.State, o.Reason)
		}
	}
	for role, ids := range map[ledger.Role][]ledger.ID{ledger.RoleReceive: want.Created, ledger.RoleSpend: want.Consumed} {
		var hex []string
		for _, id := range ids {
			hex = append(hex, id.String())
		}
		slices.Sort(hex)
		if got := outputsOf(c, role); !slices.Equal(got, hex) {
			t.Fatalf("unit %d: outputs with role %d: %v, want %v", c.Unit.Seq, role, got, hex)
		}
	}
}

// TestMadeNetworks proves networks of several seeds, whose maker knows what becomes of each block, in
// both modes and then once more over the final state.
func TestMadeNetworks(t *testing.T) {
	reasons := map[uint16]int{}
	for seed := range uint64(2) {
		for _, held := range []bool{true, false} {
			t.Run(fmt.Sprintf("seed %d held %t", seed, held), func(t *testing.T) {
				n, a := openNetwork(t, stardusttest.Options{Seed: seed, Blocks: 50}, held)
				for range 25 {
					want := n.Next()
					a.serve(want.Raws...)
					a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return want.Claims() }
					c, err := a.add(want.Head)
					if err != nil {
						t.Fatal(err)
					}
					compareMade(t, c, want, held)
					for _, o := range want.Outcomes {
						reasons[o.Reason]++
					}
				}
				if held {
					a.again(t)
				}
			})
		}
	}
	for r := range uint16(13) {
		if reasons[r] == 0 {
			t.Errorf("no block with reason %d was made: %v", r, reasons)
		}
	}
}

// TestMadeNetworksRepeat: a network is a pure function of its options, whatever lies were told meanwhile.
func TestMadeNetworksRepeat(t *testing.T) {
	o := stardusttest.Options{Seed: 4, Blocks: 30, History: true}
	one, two := stardusttest.New(o), stardusttest.New(o)
	for range 15 {
		a, b := one.Next(), two.Next()
		for _, l := range stardusttest.Lies {
			one.Tell(l, a)
		}
		if !bytes.Equal(a.Head, b.Head) || !slices.EqualFunc(a.Raws, b.Raws, bytes.Equal) {
			t.Fatalf("milestone %d differs", a.Milestone.Index)
		}
	}
	if !bytes.Equal(one.Full(9, 30), two.Full(9, 30)) || !bytes.Equal(one.Trust(), two.Trust()) {
		t.Fatal("snapshot or trust file differs")
	}
	o.Seed++
	if other := stardusttest.New(o); bytes.Equal(other.Next().Head, stardusttest.New(stardusttest.Options{Seed: 4, Blocks: 30}).Next().Head) {
		t.Fatal("two seeds give one network")
	}
}
