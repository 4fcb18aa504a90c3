package storagetest

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// testTallies compares counts, sums, keys and cursors with the model over random postings: keys with few and many, values
// up to ±2^256, spans in any order, units that are repaired, and restarts in between.
func testTallies(t *testing.T, e Engine) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	r := start(t, e, seed, Shape{Lo: 300, MaxRecords: 8})
	gens := []*Gen{r.g, NewGen(seed+1, Shape{Lo: 1, Claims: true, MaxRecords: 8})}
	if err := r.w.Open(t.Context(), gens[1].Span(), nil); err != nil {
		t.Fatal(err)
	}
	r.m.Open(gens[1].Span(), gens[1].Opening())
	for round := range 40 {
		var cones []*ledger.Cone
		g := gens[rng.IntN(2)]
		for range 1 + rng.IntN(6) {
			cones = append(cones, withPosts(rng, g.Next(r.w.Net())))
		}
		r.commit(cones...)
		switch rng.IntN(8) {
		case 0:
			r.reopen()
		case 1, 2:
			r.repairSome(rng)
		}
		if round%4 == 0 {
			r.tallies(rng, 60)
		}
	}
	r.check(40)
	r.reopen()
	r.tallies(rng, 300)
	r.check(40)
}

// withPosts adds random postings to a cone.
func withPosts(rng *rand.Rand, c *ledger.Cone) *ledger.Cone {
	out := *c
	out.Records = slices.Clone(c.Records)
	for i := range out.Records {
		out.Records[i].Posts = ledger.MergePostings(append(randomPosts(rng), out.Records[i].Posts...))
	}
	out.Posts = ledger.MergePostings(append(randomPosts(rng), c.Posts...))
	return &out
}

func randomPosts(rng *rand.Rand) (list []ledger.Posting) {
	kinds := []ledger.KeyKind{ledger.KeyTag, ledger.KeyAddress, ledger.KeyToken, ledger.KeyFunction}
	for range rng.IntN(5) {
		p := ledger.Posting{Key: ledger.Key{Kind: kinds[rng.IntN(len(kinds))], Val: "hot"}, Role: ledger.RoleMention, Value: anyAmount(rng)}
		switch rng.IntN(4) {
		case 0:
			p.Key.Val = string(tags[rng.IntN(len(tags))])
		case 1:
			p.Key.Val = fmt.Sprintf("thin %02d", rng.IntN(60))
		}
		list = append(list, p)
	}
	return list
}

// anyAmount is between -2^256 and 2^256, both included, often small or at an end.
func anyAmount(rng *rand.Rand) ledger.Amount {
	v := new(big.Int).SetUint64(rng.Uint64N(3))
	switch rng.IntN(4) {
	case 0:
		v.SetUint64(rng.Uint64())
	case 1:
		v.Lsh(big.NewInt(1), 256)
		v.Sub(v, new(big.Int).SetUint64(rng.Uint64N(2)))
	}
	if rng.IntN(2) == 0 {
		v.Neg(v)
	}
	return ledger.BigAmount(v)
}

// repairSome gives some committed units other postings.
func (r *run) repairSome(rng *rand.Rand) {
	r.t.Helper()
	seqs := r.m.Seqs()
	for range 1 + rng.IntN(3) {
		seq := seqs[rng.IntN(len(seqs))]
		c := *r.m.Cones[seq]
		c.Changes, c.Posts = nil, c.Posts[:len(c.Posts)/2]
		c.Records = slices.Clone(c.Records)
		for i := range c.Records {
			old := c.Records[i].Posts
			c.Records[i].Posts = slices.Clone(old[:rng.IntN(len(old)+1)])
		}
		fresh := withPosts(rng, &c)
		if err := r.w.Repair(context.Background(), fresh); err != nil {
			r.t.Fatal(err)
		}
		r.m.Cones[seq] = fresh
	}
}

// tallies asks n random questions.
func (r *run) tallies(rng *rand.Rand, n int) {
	r.t.Helper()
	ctx, net, all, seqs := context.Background(), r.w.Net(), r.m.Postings(), r.m.Seqs()
	for range n {
		p := all[rng.IntN(len(all))]
		scan := storage.Scan{Reverse: rng.IntN(2) == 0, Prefix: rng.IntN(3) == 0}
		if rng.IntN(3) > 0 {
			lo, hi := seqs[rng.IntN(len(seqs))], seqs[rng.IntN(len(seqs))]
			scan.Lo, scan.Hi = ledger.Ord{Seq: min(lo, hi)}, ledger.Ord{Seq: max(lo, hi), Pos: ledger.UnitPos}
		}
		key := p.Key
		if rng.IntN(2) == 0 {
			key = ledger.Key{Kind: ledger.KeyToken, Val: "hot"}
		}
		if scan.Prefix {
			key.Val = key.Val[:rng.IntN(len(key.Val)+1)]
		}
		if rng.IntN(3) == 0 { // any place will do, also one that is not there
			scan.After = &storage.Place{Val: p.Key.Val, Ord: ledger.Ord{Seq: p.Ord.Seq, Pos: uint32(rng.IntN(9))}}
		}
		if err := checkKey(ctx, r.s, net, all, key, scan); err != nil {
			r.t.Fatal(err)
		}
		if err := checkDistinct(ctx, r.s, net, all, ledger.Key{Kind: key.Kind, Val: key.Val[:rng.IntN(len(key.Val)+1)]}, p.Key.Val); err != nil {
			r.t.Fatal(err)
		}
	}
}
