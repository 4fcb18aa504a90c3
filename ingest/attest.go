package ingest

import (
	"context"
	"errors"
	"slices"

	"permanode/ledger"
)

// attest looks once at the segment that unit seq begins, or lies in: where all of its heads can be had
// and its last unit is not behind target, one certificate proves them, and each is begun without checking its
// own. Where that fails they are judged one by one, which finds who lied. It fails only for reasons of this
// process.
func (r *run) attest(ctx context.Context, seq, target uint64, start ledger.Start) error {
	by, ok := r.c.codec.(ledger.Attester)
	if !ok {
		return nil
	}
	last := seq - seq%by.Segment() + by.Segment() - 1
	if seq < r.looked || last == seq || last > target {
		return nil
	}
	r.looked = last + 1
	r.ahead, r.attested = map[uint64][]*variant{}, map[uint64]ledger.Attestation{}
	size := 0
	for s := seq; s <= last; s++ {
		found, err := r.c.heads(ctx, s)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return nil
		}
		r.ahead[s] = found
		for _, v := range found {
			size += len(v.head)
		}
		if int64(size) > r.c.window {
			return nil
		}
	}
	return r.attestFrom(ctx, by, seq, last, start)
}

// attestFrom attests the units lo to hi from one of the heads of unit hi. Two signed ones that differ attest nothing:
// which of them counts is for the unit after to say.
func (r *run) attestFrom(ctx context.Context, by ledger.Attester, lo, hi uint64, start ledger.Start) error {
	var top ledger.ID
	for _, v := range r.ahead[hi] {
		heads := r.chain(lo, hi, v)
		if heads == nil || v.unit.ID == top {
			continue
		}
		attested, err := by.Attest(ctx, heads, start)
		if err != nil && (untrue(err) || errors.As(err, new(*ledger.Unjudged))) {
			continue
		}
		if err != nil {
			return err
		}
		if !top.IsZero() {
			clear(r.attested)
			return nil
		}
		top = v.unit.ID
		for i, a := range attested {
			r.attested[lo+uint64(i)] = a
		}
	}
	return nil
}

// chain walks back from v, a head of unit hi, to one of unit lo, and returns the heads in order; nil where the walk
// breaks.
func (r *run) chain(lo, hi uint64, v *variant) [][]byte {
	heads := [][]byte{v.head}
	for seq := hi; seq > lo; seq-- {
		at := slices.IndexFunc(r.ahead[seq-1], func(o *variant) bool { return o.unit.ID == v.unit.Prev })
		if at < 0 {
			return nil
		}
		v = r.ahead[seq-1][at]
		heads = append(heads, v.head)
	}
	slices.Reverse(heads)
	return heads
}

// take returns the heads of unit seq that were asked for ahead, and forgets them.
func (r *run) take(seq uint64) []*variant {
	found := r.ahead[seq]
	delete(r.ahead, seq)
	return found
}
