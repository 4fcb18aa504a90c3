package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// sums is what all units of a network together must have written.
type sums struct {
	posts, times tally
	state        storage.StateSum
	rows         int64
	failed       bool // a unit could not be proven
	better       bool // a unit is read better now than when it was stored: what it changed is not in the rows
	damaged      bool // postings could not be read
	unread       ranges.Set
}

// units checks all units, in windows on several workers, and compares the other tables with what they
// give.
func (k *netCheck) units(ctx context.Context) error {
	want, have := &sums{}, &sums{}
	for _, s := range k.cov.Spans {
		rows, sum, err := k.o.Store.Opening(ctx, k.n.ID, s.Lo)
		if err != nil {
			return err
		}
		want.rows += int64(rows)
		want.state.Merge(sum)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.windows(gctx, want) })
	g.Go(func() error { return k.scanTimes(gctx, have) })
	g.Go(func() error { return k.totals(gctx) })
	if k.o.Full {
		g.Go(func() error { return k.scanPostings(gctx, have) })
		g.Go(func() error { return k.scanState(gctx, have) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(want.times.differing(&have.times)) > 0 {
		k.progress(k.total, k.total, "times")
		if err := k.listTimes(ctx); err != nil {
			return err
		}
	}
	if !k.o.Full {
		return nil
	}
	if bad := want.posts.differing(&have.posts); len(bad) > 0 {
		k.progress(k.total, k.total, "postings")
		if err := k.listPostings(ctx, bad, want, have); err != nil {
			return err
		}
	}
	if want.better { // Repair brings the state up to date
		return nil
	}
	if want.failed || want.state != have.state || want.rows != have.rows {
		k.progress(k.total, k.total, "state")
		return k.listState(ctx, want, have)
	}
	return nil
}

// windows runs the workers and adds their results up in order.
func (k *netCheck) windows(ctx context.Context, want *sums) error {
	g, ctx := errgroup.WithContext(ctx)
	step := k.windowUnits()
	slots := make(chan chan *window, k.o.Workers)
	g.Go(func() error {
		defer close(slots)
		for _, s := range k.cov.Spans {
			for lo := s.Lo; s.Has(lo); lo += step {
				w := k.window(s, lo, min(s.Hi, lo+step-1), k.o.Full)
				slot := make(chan *window, 1)
				select {
				case slots <- slot:
				case <-ctx.Done():
					return ctx.Err()
				}
				g.Go(func() error {
					defer close(slot)
					if err := w.run(ctx); err != nil {
						return err
					}
					slot <- w
					return nil
				})
			}
		}
		return nil
	})
	g.Go(func() error {
		var units uint64
		for slot := range slots {
			w, ok := <-slot
			if !ok {
				return nil // its error ends the group
			}
			w.flush()
			want.posts.merge(&w.posts)
			want.times.merge(&w.times)
			want.state.Merge(w.state)
			want.rows += w.rows
			want.failed = want.failed || w.failed
			want.better = want.better || w.better > 0
			for _, r := range w.unread.Ranges() {
				want.unread.Add(r.Lo, r.Hi)
			}
			units += w.hi - w.lo + 1
			k.done(w)
			k.progress(units, k.total, "")
		}
		return nil
	})
	return g.Wait()
}

// visible reports whether a row of this unit counts. Behind the end of a span rows of a commit that did
// not end may lie, which nobody sees; before the first span nothing can.
func (k *netCheck) visible(seq uint64) (counts, stray bool) {
	if k.cov.Has(seq) {
		return true, false
	}
	return false, len(k.cov.Spans) == 0 || seq < k.cov.Spans[0].Lo
}

func (k *netCheck) scanPostings(ctx context.Context, have *sums) error {
	for f, err := range k.o.Store.RawPostings(ctx, k.n.ID) {
		if err != nil {
			if err := k.fault(ctx, "posting", 0, err); err != nil {
				return err
			}
			have.damaged = true
			continue
		}
		counts, stray := k.visible(f.Ord.Seq)
		if stray {
			k.add(Finding{Network: k.n.Name, What: "posting", Seq: f.Ord.Seq, Key: postingName(f.Key, f.Ord), Why: "it is of a unit before the first span"})
		}
		if counts {
			have.posts.posting(ledger.Posting{Key: f.Key, Role: f.Role, Value: f.Value}, f.Ord)
		}
	}
	return ctx.Err()
}

// totals lists the rows of counts and sums that the postings do not give.
func (k *netCheck) totals(ctx context.Context) error {
	for err := range k.o.Store.BadTotals(ctx, k.n.ID) {
		if err := k.fault(ctx, "total", 0, err); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func postingName(k ledger.Key, o ledger.Ord) string {
	return fmt.Sprintf("%d/%x at %s", k.Kind, k.Val, o)
}

func (k *netCheck) scanTimes(ctx context.Context, have *sums) error {
	for u, err := range k.o.Store.RawTimes(ctx, k.n.ID) {
		if err != nil {
			if err := k.fault(ctx, "time", 0, err); err != nil {
				return err
			}
			continue
		}
		if counts, _ := k.visible(u.Seq); counts {
			have.times.add(0, timeHash(u))
		}
	}
	return ctx.Err()
}

func (k *netCheck) scanState(ctx context.Context, have *sums) error {
	for c, err := range k.o.Store.RawState(ctx, k.n.ID) {
		if err != nil {
			if err := k.fault(ctx, "state", 0, err); err != nil {
				return err
			}
			continue
		}
		have.state.Add(c.Key, c.Val)
		have.rows++
	}
	return ctx.Err()
}

// listTimes finds the time rows that differ.
func (k *netCheck) listTimes(ctx context.Context) error {
	for _, s := range k.cov.Spans {
		for seq := s.Lo; s.Has(seq); seq++ {
			u, _, err := k.o.Store.Unit(ctx, k.n.ID, seq)
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				continue // found before
			}
			at, err := k.o.Store.SeqAt(ctx, k.n.ID, u.TimeMs, u.TimeMs+1)
			if err == nil && !at.Has(seq) {
				k.add(Finding{Network: k.n.Name, What: "time", Seq: seq, Why: fmt.Sprintf("its row under its time, %d ms, is missing", u.TimeMs)})
			}
		}
	}
	for t, err := range k.o.Store.RawTimes(ctx, k.n.ID) {
		if counts, _ := k.visible(t.Seq); err != nil || !counts {
			continue
		}
		u, _, err := k.o.Store.Unit(ctx, k.n.ID, t.Seq)
		if err == nil && u.TimeMs != t.TimeMs {
			k.add(Finding{Network: k.n.Name, What: "time", Seq: t.Seq, Why: fmt.Sprintf("a row says %d ms, the unit says %d ms", t.TimeMs, u.TimeMs)})
		}
	}
	return ctx.Err()
}

// maxGathered bounds the postings that are compared one by one at a time.
const maxGathered = 1 << 20

// listPostings compares the postings of the buckets that differ one by one, as many buckets at a time as
// memory allows.
func (k *netCheck) listPostings(ctx context.Context, bad []int, want, have *sums) error {
	for len(bad) > 0 {
		n, rows := 1, want.posts.n[bad[0]]
		for n < len(bad) && rows+want.posts.n[bad[n]] <= maxGathered {
			rows += want.posts.n[bad[n]]
			n++
		}
		if err := k.comparePostings(ctx, bad[:n], want, have); err != nil {
			return err
		}
		bad = bad[n:]
	}
	return nil
}

type place struct {
	key ledger.Key
	ord ledger.Ord
}

// orUnreadable is added where rows could not be read.
var orUnreadable = map[bool]string{true: ", or one of those that cannot be read"}

func (k *netCheck) comparePostings(ctx context.Context, part []int, sum, have *sums) error {
	want := map[place]ledger.Posting{}
	add := func(p ledger.Posting, o ledger.Ord) {
		if slices.Contains(part, bucketOf(p.Key)) {
			want[place{p.Key, o}] = p
		}
	}
	err := k.eachCone(ctx, func(c *ledger.Cone) {
		if c == nil {
			return // found before
		}
		at := ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos}
		add(ledger.Posting{Key: ledger.Key{Kind: ledger.KeyUnit, Val: c.Unit.ID.Key()}, Role: ledger.RoleMention}, at)
		for _, p := range c.Posts {
			add(p, at)
		}
		for i := range c.Records {
			for _, p := range c.Records[i].Posts {
				add(p, c.Records[i].Ord)
			}
		}
	})
	if err != nil {
		return err
	}
	for f, err := range k.o.Store.RawPostings(ctx, k.n.ID) {
		if counts, _ := k.visible(f.Ord.Seq); err != nil || !counts || !slices.Contains(part, bucketOf(f.Key)) {
			continue
		}
		at := place{f.Key, f.Ord}
		p, ok := want[at]
		delete(want, at)
		switch {
		case !ok && sum.unread.Has(f.Ord.Seq): // its unit could not be read: nobody can say
		case !ok:
			k.add(Finding{Network: k.n.Name, What: "posting", Seq: f.Ord.Seq, Key: postingName(f.Key, f.Ord), Why: "no record gives it"})
		case p.Role != f.Role || !p.Value.Equal(f.Value):
			k.add(Finding{
				Network: k.n.Name, What: "posting", Seq: f.Ord.Seq, Key: postingName(f.Key, f.Ord),
				Why: fmt.Sprintf("its row says role %d, value %s; the record gives role %d, value %s", f.Role, f.Value, p.Role, p.Value),
			})
		}
	}
	for at := range want {
		k.add(Finding{Network: k.n.Name, What: "posting", Seq: at.ord.Seq, Key: postingName(at.key, at.ord), Why: "its row is missing" + orUnreadable[have.damaged]})
	}
	return ctx.Err()
}

// eachCone calls f with every cone, nil for one that cannot be read.
func (k *netCheck) eachCone(ctx context.Context, f func(*ledger.Cone)) error {
	for _, s := range k.cov.Spans {
		for next := s.Lo; s.Has(next); {
			for c, err := range k.o.Store.Cones(ctx, k.n.ID, next, s.Hi) {
				if err != nil && ctx.Err() != nil {
					return ctx.Err()
				}
				f(c)
				next++
			}
		}
	}
	return nil
}

// maxOverlay bounds the state that listState keeps, in bytes.
const maxOverlay = 256 << 20

// listState proves all units again, one after the other, each over the state that the ones before it give,
// and compares the result with the rows.
func (k *netCheck) listState(ctx context.Context, want, have *sums) error {
	rows, step := map[string][]byte{}, k.windowUnits()
	size, failed := 0, false
	for _, s := range k.cov.Spans {
		for lo := s.Lo; s.Has(lo) && size < maxOverlay; lo += step {
			quiet := *k
			quiet.checker = &checker{o: k.o, found: func(Finding) {}} // all of this was found before
			w := quiet.window(s, lo, min(s.Hi, lo+step-1), true)
			w.read = func(ctx context.Context, keys [][]byte) ([][]byte, error) {
				out, err := k.o.Store.State(ctx, k.n.ID, keys)
				for i := range out {
					if val, ok := rows[string(keys[i])]; ok {
						out[i] = val
					}
				}
				return out, err
			}
			w.onChanges = func(cs []ledger.Change) {
				for _, c := range cs {
					size += len(c.Key) + len(c.Val)
					rows[string(c.Key)] = bytes.Clone(c.Val)
				}
			}
			if err := w.run(ctx); err != nil {
				return err
			}
			failed = failed || w.failed
		}
	}
	if failed {
		k.add(Finding{Network: k.n.Name, What: "state", Why: "it cannot be compared, since units do not prove: see there"})
		return ctx.Err()
	}
	listed := k.compareState(ctx, rows)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case size >= maxOverlay:
		k.add(Finding{Network: k.n.Name, What: "state", Why: fmt.Sprintf("the rows do not add up; %d that differ are listed, the state is too large to list all", listed)})
	case listed == 0 && (want.rows != have.rows || want.state != have.state):
		k.add(Finding{Network: k.n.Name, What: "state", Why: fmt.Sprintf(
			"%d rows, %d wanted; no row that a unit wrote differs: a row of the starting ledger was changed, added or lost", have.rows, want.rows)})
	}
	return nil
}

// compareState lists rows that differ from what the units give.
func (k *netCheck) compareState(ctx context.Context, rows map[string][]byte) (listed int) {
	for c, err := range k.o.Store.RawState(ctx, k.n.ID) {
		if err != nil {
			if errors.Is(err, storage.ErrCorrupt) {
				listed++ // found before, with its key
			}
			continue
		}
		val, ok := rows[string(c.Key)]
		if ok && !bytes.Equal(val, c.Val) {
			k.add(Finding{Network: k.n.Name, What: "state", Key: fmt.Sprintf("%x", c.Key), Why: fmt.Sprintf("its row is %x, the units give %x", c.Val, val)})
			listed++
		}
		delete(rows, string(c.Key))
	}
	for key, val := range rows {
		k.add(Finding{Network: k.n.Name, What: "state", Key: fmt.Sprintf("%x", key), Why: fmt.Sprintf("its row is missing, the units give %x", val)})
		listed++
	}
	return listed
}
