package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
	"permanode/storage/check"
)

// chain is a generated network that its nodes serve as checkpoint files.
type chain struct {
	*files
	net  *rebasedtest.Network
	made []*rebasedtest.Checkpoint // by number
}

func newChain(t testing.TB, o rebasedtest.Options, units int) *chain {
	t.Helper()
	c := &chain{net: rebasedtest.New(o)}
	c.files = newFiles(t, "generated", c.net.Trust())
	for range units {
		c.made = append(c.made, c.net.Next())
		c.add(t, c.made[len(c.made)-1].File())
	}
	return c
}

// grow adds a checkpoint with so many transactions of users.
func (c *chain) grow(t testing.TB, transactions int) {
	t.Helper()
	c.made = append(c.made, c.net.NextOf(transactions))
	c.add(t, c.made[len(c.made)-1].File())
}

// checkFull proves the whole store again from what lies in it.
func (r *rig) checkFull() check.Report {
	r.t.Helper()
	report, err := check.Run(context.Background(), check.Options{Store: r.db, Codec: r.codecs, Full: true},
		func(f check.Finding) { r.t.Error(f) })
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// checkMade compares units lo to hi of the store with what the generator made.
func (r *rig) checkMade(c *chain, lo, hi uint64) {
	r.t.Helper()
	for _, cone := range r.stored(lo, hi) {
		made := c.made[cone.Unit.Seq]
		if len(cone.Records) != len(made.Records) {
			r.t.Fatalf("unit %d has %d records, want %d", cone.Unit.Seq, len(cone.Records), len(made.Records))
		}
		for i := range cone.Records {
			rec, want := &cone.Records[i], &made.Records[i]
			d := want.Digest()
			if rec.ID != ledger.NewID(d[:]) || rec.Undecoded != want.Opaque || !want.Opaque && (rec.State != want.State || rec.Kind != want.Kind) {
				r.t.Fatalf("unit %d, place %d: %s %s of kind %d, want %s %s of kind %d", cone.Unit.Seq, i, rec.ID, rec.State, rec.Kind, d, want.State, want.Kind)
			}
		}
	}
}

// checkBalances compares what the network's users own by the store's sums with what the generator says.
func (r *rig) checkBalances(c *chain, hi uint64) {
	r.t.Helper()
	owned := 0
	for _, a := range c.net.Addresses() {
		for _, asset := range c.net.Assets() {
			key := ledger.Key{Kind: ledger.KeyAddress, Val: string(a[:])}
			if asset != "" {
				key = ledger.Key{Kind: ledger.KeyToken, Val: string(a[:]) + asset}
			}
			sum, err := r.store.Sum(context.Background(), r.store.Net(), key, 0, hi)
			if err != nil {
				r.t.Fatal(err)
			}
			want := c.net.Balance(a, asset)
			if sum.String() != fmt.Sprint(want) {
				r.t.Errorf("%s owns %s of %q, want %d", a, sum, asset, want)
			}
			if want > 0 {
				owned++
			}
		}
	}
	if owned < 3 {
		r.t.Errorf("only %d balances were compared", owned)
	}
}

// A chain over several epochs in one go: whole segments are attested by few certificates, the tail and closing
// checkpoints by their own; everything else is as one by one, and sums are balances.
func TestRebasedCatchUp(t *testing.T) {
	units := uint64(330)
	if race.Enabled {
		units = 70
	}
	c := newChain(t, rebasedtest.Options{Seed: 5, Transactions: 2, Epoch: 50}, int(units))
	r := newRig(t, c.trust)
	if err := r.collector(r.config(c.node("node"))).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	by := c.attested(0, units-1)
	r.checkFiles(c.files, 0, units-1, by)
	r.checkMade(c, 0, units-1)
	r.checkBalances(c, units-1)
	if n := r.noteKinds(); len(n) != 0 {
		t.Errorf("notes %v", n)
	}
	if report := r.checkFull(); report.Proven != units || report.Undecoded != 0 {
		t.Errorf("check %+v", report)
	}
	others := uint64(0)
	for _, cone := range r.stored(0, units-1) {
		if !cone.Unit.AttestedBy.IsZero() {
			others++
		}
	}
	if others < units/2 {
		t.Errorf("only %d units are attested by another one", others)
	}
}

// The same one by one, as at the live edge: each unit's own certificate is checked.
func TestRebasedLiveEdge(t *testing.T) {
	const units = 70
	c := newChain(t, rebasedtest.Options{Seed: 6, Transactions: 2, Epoch: 20}, units)
	r := newRig(t, c.trust)
	for tip := range uint64(units) {
		c.setTip(tip)
		if err := r.collector(r.config(c.node("node"))).CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	r.checkFiles(c.files, 0, units-1, nil)
	r.checkBalances(c, units-1)
	r.checkFull()
}

// Stopped and started anywhere in a segment: what is left of it is attested by its last unit, and nothing else differs.
func TestRebasedRestart(t *testing.T) {
	const units = 140
	c := newChain(t, rebasedtest.Options{Seed: 7, Transactions: 1, Epoch: 30}, units)
	for _, stops := range [][]uint64{{0}, {62}, {63}, {10, 64, 127}} {
		r := newRig(t, c.trust)
		want := map[uint64]func(uint64, ledger.ID) error{}
		lo := uint64(0)
		for _, stop := range append(stops, units-1) {
			c.setTip(stop)
			if err := r.collector(r.config(c.node("node"))).CatchUp(testContext(t)); err != nil {
				t.Fatal(err)
			}
			by := c.attested(lo, stop)
			for ; lo <= stop; lo++ {
				want[lo] = by
			}
		}
		r.checkFiles(c.files, 0, units-1, func(seq uint64, by ledger.ID) error { return want[seq](seq, by) })
	}
}

// Begun in the middle, with the committee of a later epoch in the trust file: no ledger is held, so nothing moves and
// nothing has a value; all else is the same. Below that epoch nothing can be judged.
func TestRebasedLaterTrust(t *testing.T) {
	const units, epochUnits, epoch = 150, 30, 3
	const first = epoch * epochUnits
	c := newChain(t, rebasedtest.Options{Seed: 8, Transactions: 2, Epoch: epochUnits}, units)
	closing, _, _, err := rebased.ParseHead(c.heads[first-1])
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := rebased.Codec{}.Unit(c.heads[0])
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rebased.NewTrust(rebased.TrustSpec{
		Genesis: rebased.Digest(genesis.ID.Bytes()), Epoch: epoch, Members: closing.Summary.EndOfEpoch.Committee,
	})
	if err != nil {
		t.Fatal(err)
	}
	later := c.under(t, raw)
	starts := []uint64{first, first + 7}
	if race.Enabled {
		starts = starts[:1]
	}
	for _, start := range starts {
		r := newRig(t, later.trust)
		cfg := r.config(later.node("node"))
		cfg.Start = start
		if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
		r.checkFiles(later, start, units-1, later.attested(start, units-1))
		for _, cone := range r.stored(start, units-1) {
			for i := range cone.Records {
				rec := &cone.Records[i]
				if len(rec.Moves) != 0 {
					t.Fatalf("record %s moves something", rec.Ord)
				}
				for _, p := range rec.Posts {
					if p.Value.Sign() != 0 {
						t.Fatalf("record %s: a posting of %d has the value %s", rec.Ord, p.Key.Kind, p.Value)
					}
				}
			}
		}
		r.checkFull()
	}
	r := newRig(t, later.trust)
	cfg := r.config(later.node("node"))
	cfg.Start = first - 5
	if err := r.collector(cfg).CatchUp(testContext(t)); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("below the epoch of the trust file: %v", err)
	}
	if s := r.noteKinds(); s[storage.NoteRefused] != 0 {
		t.Errorf("an honest source was refused: %v", s)
	}
}
