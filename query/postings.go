package query

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// union returns the places of all postings of keys in units, each once, in the order of q and behind its cursor.
func (a *Archive) union(ctx context.Context, n *bound, keys []ledger.Key, units ranges.Set, q ask) iter.Seq2[ledger.Ord, error] {
	if len(keys) == 1 {
		return a.postings(ctx, n, keys[0], units, q)
	}
	return func(yield func(ledger.Ord, error) bool) {
		var m merge
		defer m.stop()
		for _, k := range keys {
			m.add(a.postings(ctx, n, k, units, q))
		}
		var last *ledger.Ord
		for {
			ord, err, ok := m.next(q.compare)
			if err != nil {
				yield(ord, err)
				return
			}
			if !ok {
				return
			}
			if last != nil && *last == ord {
				continue
			}
			last = &ord
			if !yield(ord, nil) {
				return
			}
		}
	}
}

// posted returns those of several keys that have postings in units: of all that an identifier can be, seldom more than
// one.
func (a *Archive) posted(ctx context.Context, n *bound, keys []ledger.Key, units ranges.Set) ([]ledger.Key, error) {
	if len(keys) == 1 {
		return keys, nil
	}
	var out []ledger.Key
	for _, k := range keys {
		for _, err := range a.postings(ctx, n, k, units, ask{}) {
			if err != nil {
				return nil, err
			}
			out = append(out, k)
			break
		}
	}
	return out, nil
}

// postings returns the places of one key's postings.
func (a *Archive) postings(ctx context.Context, n *bound, key ledger.Key, units ranges.Set, q ask) iter.Seq2[ledger.Ord, error] {
	return func(yield func(ledger.Ord, error) bool) {
		parts := slices.Clone(units.Ranges())
		if q.newest {
			slices.Reverse(parts)
		}
		for _, r := range parts {
			scan := storage.Scan{Lo: ledger.Ord{Seq: r.Lo}, Hi: ledger.Ord{Seq: r.Hi, Pos: ledger.UnitPos}, Reverse: q.newest}
			if q.after != nil {
				if !q.behind(scan.Hi) && !q.behind(scan.Lo) {
					continue // all of the range lies before the cursor
				}
				scan.After = &storage.Place{Val: key.Val, Ord: *q.after}
			}
			for f, err := range a.store.Lookup(ctx, n.ID, key, scan) {
				if err != nil {
					yield(ledger.Ord{}, fmt.Errorf("look up %s: %w", kindNames[key.Kind], err))
					return
				}
				if !yield(f.Ord, nil) {
					return
				}
			}
		}
	}
}

// merge joins sorted lists. It must be stopped.
type merge struct {
	heads []head
	stops []func()
}

type head struct {
	ord  ledger.Ord
	pull func() (ledger.Ord, error, bool)
	err  error
}

func (m *merge) add(list iter.Seq2[ledger.Ord, error]) {
	pull, stop := iter.Pull2(list)
	m.stops = append(m.stops, stop)
	if ord, err, ok := pull(); ok {
		m.heads = append(m.heads, head{ord, pull, err})
	}
}

// next returns the first of all heads. Lists are few, so it looks at each.
func (m *merge) next(compare func(a, b ledger.Ord) int) (ledger.Ord, error, bool) {
	best := -1
	for i := range m.heads {
		if m.heads[i].err != nil {
			return ledger.Ord{}, m.heads[i].err, false
		}
		if best < 0 || compare(m.heads[i].ord, m.heads[best].ord) < 0 {
			best = i
		}
	}
	if best < 0 {
		return ledger.Ord{}, nil, false
	}
	h := &m.heads[best]
	ord := h.ord
	var ok bool
	if h.ord, h.err, ok = h.pull(); !ok {
		m.heads = slices.Delete(m.heads, best, best+1)
	}
	return ord, nil, true
}

func (m *merge) stop() {
	for _, stop := range m.stops {
		stop()
	}
}
