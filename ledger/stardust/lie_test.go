package stardust_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// refused fails unless err is a *Forged with that code for that unit.
func refused(t testing.TB, err error, seq uint64, code string) {
	t.Helper()
	var f *ledger.Forged
	if !errors.As(err, &f) {
		t.Fatalf("unit %d: error is %v, want code %s", seq, err, code)
	}
	if f.Code != code || f.Seq != seq || f.Why == "" {
		t.Fatalf("unit %d: %v, want code %s", seq, err, code)
	}
}

// TestLies tells every lie of every milestone of a network, key change and receipts included: each is
// refused with its own code, and the honest cone behind it is taken.
func TestLies(t *testing.T) {
	told := map[string]int{}
	for _, held := range []bool{true, false} {
		n, a := openNetwork(t, stardusttest.Options{Seed: 7, Blocks: 12}, held)
		for seq := uint64(1); seq <= 20; seq++ {
			want := n.Next()
			a.serve(want.Raws...)
			a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return want.Claims() }
			for _, l := range stardusttest.Lies {
				tellLie(t, a, n, want, l, seq, told)
			}
			if _, err := a.add(want.Head); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range stardusttest.Lies {
		if told[l.Name] == 0 {
			t.Errorf("the lie %q was never told", l.Name)
		}
	}
}

func tellLie(t *testing.T, a *archive, n *stardusttest.Network, c *stardusttest.Cone, l stardusttest.Lie, seq uint64, told map[string]int) {
	t.Helper()
	head := n.Tell(l, c)
	code := l.Code
	switch {
	case head == nil, strings.HasPrefix(l.Name, "receipt") && !a.held, // by claims nobody knows the treasury
		seq == 1 && (code == "unit.time" || code == "unit.previous-block"),
		seq == 1 && !a.held && (code == "unit.seq" || code == "unit.prev"): // nothing is known before it
		return
	case code == "ledger.root" && !a.held:
		code = "native.applied"
	case code == "unit.seq":
		seq++ // it says so itself
	}
	cone, err := a.prove(head, a.startOf(0))
	if code == "" {
		if err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		same := cone.Unit.ID.Key() == string(c.Milestone.ID[:])
		if same != (l.Name == "other signatures") {
			t.Fatalf("%s: unit id %s, the honest one %x", l.Name, cone.Unit.ID, c.Milestone.ID)
		}
	} else {
		refused(t, err, seq, code)
	}
	told[l.Name]++
}

// TestFirstUnitLinks: the first unit behind a snapshot links to the snapshot's milestone.
func TestFirstUnitLinks(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 3}, true)
	c := n.Next()
	start := *a.start
	a.start = &ledger.Unit{Seq: start.Seq, ID: ledger.NewID(make([]byte, 32)), TimeMs: start.TimeMs}
	a.serve(c.Raws...)
	if _, err := a.prove(c.Head, a.startOf(0)); err != nil {
		t.Fatalf("a genesis of 32 zero bytes: %v", err)
	}
	a.start = &ledger.Unit{Seq: start.Seq, ID: ledger.NewID([]byte("another milestone of 32 bytes...")), TimeMs: start.TimeMs}
	_, err := a.prove(c.Head, a.startOf(0))
	refused(t, err, 1, "unit.prev")
	a.start = &ledger.Unit{Seq: start.Seq + 1}
	_, err = a.prove(c.Head, a.startOf(0))
	refused(t, err, 1, "unit.seq")
}

// TestClaimsThatLie: states by claims are what the applied root says, whatever the node says.
func TestClaimsThatLie(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 5, Blocks: 40}, false)
	for range 3 {
		c := n.Next()
		a.serve(c.Raws...)
		for i, id := range c.IDs {
			claims := c.Claims()
			switch w := claims.Records[id]; c.Outcomes[i].State {
			case ledger.NoTransaction:
				continue // what a node says of them is nothing
			case ledger.Applied:
				w.State, w.Reason = ledger.Conflicting, 1
				claims.Records[id] = w
			case ledger.Conflicting:
				w.State = ledger.Applied
				claims.Records[id] = w
			}
			a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return claims }
			_, err := a.prove(c.Head, a.startOf(0))
			refused(t, err, uint64(c.Milestone.Index), "native.applied")
			delete(claims.Records, id)
			_, err = a.prove(c.Head, a.startOf(0))
			refused(t, err, uint64(c.Milestone.Index), "claims.missing")
		}
		a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return c.Claims() }
		if _, err := a.add(c.Head); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConesThatLie: cones that are not whole, or hold what does not belong to them.
func TestConesThatLie(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 6, Blocks: 20}, true)
	first, second := n.Next(), n.Next()
	a.serve(first.Raws...)
	if _, err := a.add(first.Head); err != nil {
		t.Fatal(err)
	}
	a.serve(second.Raws...)
	ctx := context.Background()

	as, err := a.codec.Begin(ctx, second.Head, a.startOf(0))
	if err != nil {
		t.Fatal(err)
	}
	want, err := as.Want(ctx, 1)
	if err != nil || len(want) != 1 {
		t.Fatalf("wants %v, %v", want, err)
	}
	// A block that nobody asked for is named; the one beside it is taken; a second time does no harm.
	stranger := a.codec.Identify([][]byte{first.Raws[0]})[0]
	asked := a.codec.Identify([][]byte{a.blocks[want[0]]})[0]
	var m *ledger.Mismatch
	if err := as.Put(stranger, asked, asked); !errors.As(err, &m) || m.Got != stranger.ID {
		t.Fatalf("a stranger gives %v", err)
	}
	if err := as.Put(asked); err != nil {
		t.Fatalf("a repetition gives %v", err)
	}
	// A flipped bit is another block.
	bent := append([]byte(nil), second.Raws[3]...)
	bent[len(bent)-1] ^= 1
	if err := as.Put(a.codec.Identify([][]byte{bent})...); !errors.As(err, &m) {
		t.Fatalf("a bent block gives %v", err)
	}
	if as.Members() != nil {
		t.Fatal("an open cone has members")
	}
	if _, err := as.Seal(nil, ledger.View{}, nil); err == nil {
		t.Fatal("an open cone was sealed")
	}
	// An edge where there is none: the root tells.
	for {
		ids, err := as.Want(ctx, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 {
			break
		}
		as.Edge(ids...)
	}
	_, err = a.seal(as)
	refused(t, err, 2, "native.inclusion")
	if _, err := a.add(second.Head); err != nil {
		t.Fatal(err)
	}
}

// TestSupplyThatChanges: parameters may name another supply; the ledger does not follow.
func TestSupplyThatChanges(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 8, Blocks: 3}, true)
	c := n.Next()
	p := a.trust.Rules.(*stardust.Rules).Parameters()
	p.Supply++
	m := *c.Milestone
	m.Parameters = &stardust.ParameterChange{Target: 2, Version: 2, Params: stardust.AppendParameters(nil, &p)}
	a.serve(c.Raws...)
	if _, err := a.add(n.Sign(&m)); err != nil {
		t.Fatal(err)
	}
	block, err := stardust.MilestoneBlock(stardust.AppendPayload(nil, &m))
	if err != nil {
		t.Fatal(err)
	}
	id := stardust.H(block)
	next := stardust.Milestone{
		Index: 2, Timestamp: m.Timestamp + 1, Version: 2, Previous: m.ID, Parents: []stardust.Hash{id},
		Inclusion: stardust.InclusionRoot([]ledger.ID{ledger.NewID(id[:])}), Applied: stardust.InclusionRoot(nil),
	}
	a.serve(block)
	_, err = a.add(n.Sign(&next))
	refused(t, err, 2, "ledger.supply")
}
