package ingest

import (
	"context"
	"errors"
	"slices"

	"permanode/ledger"
)

const (
	// probeMost bounds how far above a gap the next unit that a source has is looked for.
	probeMost = 64
	// aboveMost bounds how many units above a gap are fetched ahead.
	aboveMost = 1024
)

// fetchAbove fetches units above the gap that p begins into the cache, as far as that has room: nothing of
// them is served, or proven beyond signatures and hashes, before the gap is closed. It returns the gap's end:
// the last unit before one that a source has.
func (c *Collector) fetchAbove(ctx context.Context, p *problem, newest uint64) (to uint64, err error) {
	to = p.seq
	if hole := c.pool.missingTo(p.seq); hole != p.seq-1 {
		to = min(hole, newest)
	}
	open := true // no unit above was found yet
	for seq := to + 1; seq <= newest && seq-p.seq <= aboveMost; seq++ {
		if len(c.pool.ready()) == 0 || c.cache.bytes() > c.cache.limit*3/4 {
			break
		}
		found, err := c.fetchOne(ctx, seq)
		if err != nil {
			return 0, err
		}
		open = open && !found
		if open {
			to = seq
		}
		if open && seq-p.seq >= probeMost {
			to = newest // nobody looks further for the other side of such a hole
			break
		}
	}
	c.mu.Lock()
	n := len(c.above)
	c.mu.Unlock()
	c.meter.update(func(s *Status) { s.Pending = n })
	return to, nil
}

// fetchOne fetches the bytes of one unit above a gap. It reports whether there is a signed head of it.
func (c *Collector) fetchOne(ctx context.Context, seq uint64) (bool, error) {
	c.mu.Lock()
	_, have := c.above[seq]
	c.mu.Unlock()
	if have {
		return true, nil
	}
	found, err := c.heads(ctx, seq)
	if err != nil {
		return false, err
	}
	good, err := c.signed(ctx, found, c.alone())
	if err != nil || len(good) == 0 {
		later := slices.ContainsFunc(found, func(v *variant) bool { return errors.As(v.err, new(*ledger.Unjudged)) })
		return later, err // it is there, whoever signed it
	}
	asm := good[0].asm
	for {
		want, err := asm.Want(ctx, wantMost)
		if err != nil {
			return false, err
		}
		if len(want) == 0 {
			break
		}
		got := c.cache.get(want)
		if len(got) == 0 {
			if got, err = c.fetch(ctx, seq, want); err != nil {
				return false, err
			}
		}
		if len(got) == 0 || c.cache.bytes() > c.cache.limit*3/4 {
			return true, nil // the rest comes with the unit's own walk
		}
		if err := asm.Put(got...); err != nil {
			return true, nil // judged by the unit's own walk
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.above[seq] = pendingUnit{good[0].head, good[0].from}
	return true, nil
}

// pendingUnit is a unit above a gap: its head and who gave it. Its records are in the cache.
type pendingUnit struct {
	head []byte
	from []*asked
}

// pendingHead returns a head that was fetched above a gap, for the time when no source gives it any more.
func (c *Collector) pendingHead(seq uint64) (*variant, error) {
	c.mu.Lock()
	p, ok := c.above[seq]
	c.mu.Unlock()
	if !ok {
		return nil, nil
	}
	u, err := c.codec.Unit(p.head)
	return &variant{head: p.head, unit: u, from: p.from}, err
}
