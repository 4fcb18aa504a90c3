package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// backlog sends what a network holds from the client's mark to goal: what the planner finds, and in units that the index
// does not have yet what their cones hold.
func (c *Stream) backlog(ctx context.Context, i int, goal ledger.Ord) error {
	for c.at[i].Less(goal) {
		b, got, err := c.search(ctx, i, goal)
		if err != nil {
			return err
		}
		if err := c.page(ctx, i, b, got, goal); err != nil {
			return err
		}
	}
	return nil
}

// begin waits for its turn to search, with heartbeats; finish ends it.
func (c *Stream) begin(ctx context.Context) (finish func(), err error) {
	x := c.hub.work.ask(c.who)
	end := func() { c.hub.work.end(x) }
	defer func() {
		if err != nil {
			end() // finish is nil by now
		}
	}()
	for {
		timer := time.NewTimer(time.Until(c.sent.Add(Heartbeat)))
		select {
		case <-x.may:
			timer.Stop()
			return end, nil
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
			if err := c.flush(); err != nil {
				return nil, err
			}
			if err := c.beat(); err != nil {
				return nil, err
			}
		}
	}
}

// search asks the planner for the first hits of a network from the client's mark to goal, when it is its turn.
func (c *Stream) search(ctx context.Context, i int, goal ledger.Ord) (*bound, answer, error) {
	finish, err := c.begin(ctx)
	if err != nil {
		return nil, answer{}, err
	}
	defer finish()
	b, err := c.binding.network(ctx, c.networks[i], c.node)
	if err != nil {
		return nil, answer{}, err
	}
	last := goal.Seq
	if goal.Pos == 0 {
		last--
	}
	b.have = lang.Intersect(b.have, ranges.Of(ranges.Range{Lo: c.at[i].Seq, Hi: last}))
	b.outgrown = true // the index has more than that
	got, err := c.a.answer(ctx, b, ask{after: beforeOrd(c.at[i]), limit: c.a.bounds.Page})
	var broad *BroadError
	if errors.As(err, &broad) {
		return b, answer{}, nil // nothing was searched: each record is looked at
	}
	return b, got, err
}

// page sends the hits of an answer, and what the units hold that it did not search, as far as the answer tells.
func (c *Stream) page(ctx context.Context, i int, b *bound, got answer, goal ledger.Ord) error {
	stop := goal
	if len(got.ords) == c.a.bounds.Page {
		stop = behindOrd(got.ords[len(got.ords)-1]) // there may be more behind it
	}
	look := c.a.looker(b)
	for _, part := range partsOf(b.have, got.searched) {
		if !(ledger.Ord{Seq: part.Lo}).Less(stop) {
			break
		}
		if err := c.skip(ctx, i, part.Lo); err != nil {
			return err
		}
		end := ledger.Ord{Seq: part.Hi + 1}
		if stop.Less(end) {
			end = stop
		}
		if !got.searched.Has(part.Lo) {
			if err := c.scan(ctx, i, end); err != nil {
				return err
			}
			continue
		}
		for len(got.ords) > 0 && got.ords[0].Less(end) {
			item, err := look.item(ctx, Hit{Network: b.Network, Ord: got.ords[0], named: b.named})
			if err != nil {
				return err
			}
			if err := c.record(ctx, i, item, got.ords[0]); err != nil {
				return err
			}
			got.ords = got.ords[1:]
		}
		if err := c.moved(ctx, i, end); err != nil {
			return err
		}
	}
	if c.at[i].Less(stop) {
		return c.skip(ctx, i, stop.Seq)
	}
	return nil
}

// partsOf cuts units into ranges that lie whole in or whole outside of searched, in order.
func partsOf(units, searched ranges.Set) []ranges.Range {
	parts := slices.Concat(lang.Intersect(units, searched).Ranges(), units.Minus(searched).Ranges())
	slices.SortFunc(parts, func(a, b ranges.Range) int { return cmp.Compare(a.Lo, b.Lo) })
	return parts
}

// skip moves the client's mark to a unit, and tells what is missing before it.
func (c *Stream) skip(ctx context.Context, i int, to uint64) error {
	if c.at[i].Seq >= to {
		return nil
	}
	gaps, err := c.gaps(ctx, c.networks[i], c.at[i].Seq, to-1)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if err := c.add(i, g); err != nil {
			return err
		}
	}
	return c.moved(ctx, i, ledger.Ord{Seq: to})
}

func (c *Stream) record(ctx context.Context, i int, item Item, ord ledger.Ord) error {
	f, err := newFound(eventRecord, item, behindOrd(ord))
	if err != nil {
		return err
	}
	if err := c.add(i, f); err != nil {
		return err
	}
	return c.moved(ctx, i, f.at)
}

// scan looks at each record from the client's mark to end. It reads unit by unit, so that a slow client keeps nothing
// open in the store.
func (c *Stream) scan(ctx context.Context, i int, end ledger.Ord) error {
	for c.at[i].Less(end) {
		hits, err := c.hitsOf(ctx, i, c.at[i], end)
		if err != nil {
			return err
		}
		next := ledger.Ord{Seq: c.at[i].Seq + 1}
		if end.Less(next) {
			next = end
		}
		for _, f := range hits {
			if err := c.add(i, f); err != nil {
				return err
			}
		}
		if err := c.moved(ctx, i, next); err != nil {
			return err
		}
	}
	return nil
}

// hitsOf looks at the rest of one unit, up to end, when it is its turn.
func (c *Stream) hitsOf(ctx context.Context, i int, from, end ledger.Ord) (hits []found, err error) {
	finish, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer finish()
	n := c.networks[i]
	for cone, err := range c.a.store.Cones(ctx, n.ID, from.Seq, from.Seq) {
		if err != nil {
			return nil, fmt.Errorf("unit %d of %s: %w", from.Seq, n.Name, err)
		}
		s, err := c.a.seen(ctx, n, cone)
		if err != nil {
			return nil, err
		}
		err = c.match[i].hits(ctx, s, from, end, func(item Item, ord ledger.Ord) error {
			f, err := newFound(eventRecord, item, behindOrd(ord))
			hits = append(hits, f)
			return err
		})
		return hits, err
	}
	return nil, fmt.Errorf("unit %d of %s: the store gives no cone", from.Seq, n.Name)
}
