package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// Open begins a span. Its starting ledger is written in chunks, then the span's row, synced: a crash in
// between leaves rows that nobody sees and the next opening replaces. A network holds one state, so a
// starting ledger is taken only while it has none.
func (w *writer) Open(ctx context.Context, span storage.Span, start iter.Seq2[ledger.Change, error]) error {
	if err := w.open(ctx, span, start); err != nil {
		return fmt.Errorf("open a span of %s at unit %d: %w", w.name, span.Lo, err)
	}
	return nil
}

func (w *writer) open(ctx context.Context, span storage.Span, start iter.Seq2[ledger.Change, error]) error {
	if span.Lo > ledger.MaxSeq {
		return fmt.Errorf("the first unit must not be above %d", uint64(ledger.MaxSeq))
	}
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.d.commitMu.Unlock()
	st := w.n.state.Load()
	for _, s := range st.spans {
		switch {
		case s.Lo == span.Lo && sameOpening(s.Span, span):
			return nil
		case s.Lo == span.Lo:
			return errors.New("a span begins there that was opened otherwise")
		case s.Lo < span.Lo && !s.Empty() && span.Lo <= s.Hi:
			return fmt.Errorf("the span %d to %d overlaps it", s.Lo, s.Hi)
		}
	}
	if err := w.sweep(); err != nil {
		return err
	}
	row := spanRow{Span: span}
	row.Hi = span.Lo - 1
	row.Snapshot = slices.Clone(span.Snapshot)
	next := *st
	next.spans = append(slices.Clone(st.spans), row)
	slices.SortFunc(next.spans, func(a, b spanRow) int { return compare(a.Lo, b.Lo) })
	at := slices.IndexFunc(next.spans, func(s spanRow) bool { return s.Lo == span.Lo })
	return w.guarded(&next, func() error {
		b := &batch{w: w}
		if len(st.spans) == 0 {
			if err := w.dropState(); err != nil {
				return err
			}
		}
		if err := w.openingState(ctx, b, start, &next.spans[at]); err != nil {
			return err
		}
		b.coverage(st, &next)
		return b.flush(pebble.Sync)
	})
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func sameOpening(a, b storage.Span) bool {
	return a.Held == b.Held && slices.Equal(a.Snapshot, b.Snapshot) && a.PrevID == b.PrevID && a.PrevTime == b.PrevTime
}

// dropState removes the rows of openings that did not end.
func (w *writer) dropState() error {
	prefix := keyNet(tabState, w.net)
	empty := true
	err := w.d.eachIn(context.Background(), w.d.db, prefix, after(prefix), func([]byte, []byte) error {
		empty = false
		return errStop
	})
	if empty || !errors.Is(err, errStop) {
		return err
	}
	b := w.d.db.NewBatch()
	_ = b.DeleteRange(prefix, after(prefix), nil)
	return w.d.apply(b, pebble.NoSync)
}

// openingState writes the starting ledger and adds it up.
func (w *writer) openingState(ctx context.Context, b *batch, start iter.Seq2[ledger.Change, error], s *spanRow) error {
	if start == nil {
		return nil
	}
	for c, err := range start {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if s.rows == 0 && len(w.n.state.Load().spans) > 0 {
			return errors.New("the network holds a ledger state already: give another network name to a span that starts from a snapshot of its own")
		}
		b.key = appendStateKey(b.key[:0], w.net, c.Key)
		b.set(b.key, c.Val)
		s.sum.Sub(c.Key, c.Old)
		s.sum.Add(c.Key, nonNil(c.Val))
		s.rows++
		if err := b.full(); err != nil {
			return err
		}
	}
	return nil
}

// nonNil is val as a row that exists.
func nonNil(val []byte) []byte {
	if val == nil {
		return []byte{}
	}
	return val
}

// sweep takes away the rows of a commit that did not end: they can lie behind the end of a span only, and
// another cone may be committed there.
func (w *writer) sweep() error {
	if w.swept {
		return nil
	}
	st := w.n.state.Load()
	b := &batch{w: w}
	for i, s := range st.spans {
		lo := appendRecordKey(nil, w.net, ledger.Ord{Seq: s.Hi + 1})
		hi := after(keyNet(tabRecord, w.net))
		if i+1 < len(st.spans) {
			hi = appendRecordKey(nil, w.net, ledger.Ord{Seq: st.spans[i+1].Lo})
		}
		if bytes.Compare(lo, hi) >= 0 {
			continue
		}
		err := w.d.eachIn(context.Background(), w.d.db, lo, hi, func(key, val []byte) error {
			return b.sweepRecord(key, val)
		})
		if err != nil {
			return err
		}
	}
	if b.b != nil {
		if err := b.flush(pebble.NoSync); err != nil {
			return err
		}
	}
	w.swept = true
	return nil
}

func (b *batch) sweepRecord(key, val []byte) error {
	o := ledger.OrdFrom(key[2:])
	rec, err := decodeRecord(o, val)
	if err != nil {
		return b.w.d.badRow(key, err)
	}
	for i := range rec.Posts {
		b.key = appendPostingKey(b.key[:0], b.w.net, rec.Posts[i].Key, o)
		b.delete(b.key)
	}
	b.delete(keySeq(tabManifest, b.w.net, o.Seq))
	b.delete(key)
	return b.full()
}

// Note records a fact. A gap sets the range's reason where no unit is committed; of all others the first
// of a kind, unit and source stands.
func (w *writer) Note(ctx context.Context, n storage.Note) error {
	if err := w.note(ctx, n); err != nil {
		return fmt.Errorf("note %s at unit %d of %s: %w", n.Kind, n.Seq, w.name, err)
	}
	return nil
}

func (w *writer) note(ctx context.Context, n storage.Note) error {
	if n.Seq > ledger.MaxSeq || n.To > ledger.MaxSeq {
		return fmt.Errorf("number above %d", uint64(ledger.MaxSeq))
	}
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.d.commitMu.Unlock()
	st := w.n.state.Load()
	next := *st
	b := &batch{w: w}
	if n.Kind == storage.NoteGap {
		if n.To < n.Seq {
			return fmt.Errorf("the gap ends at %d, before it begins", n.To)
		}
		next.gaps = setGap(st, n)
		if slices.Equal(next.gaps, st.gaps) {
			return nil
		}
		b.coverage(st, &next)
	} else {
		key := keyNote(w.net, n.Seq, n.Unit, string(n.Kind), n.Source)
		_, err := w.d.get(w.d.db, key)
		if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		b.set(key, encodeNote(n))
	}
	return w.guarded(&next, func() error { return b.flush(pebble.Sync) })
}

// setGap returns the gaps with n's range set to its reason, as far as nothing is committed there.
func setGap(st *netState, n storage.Note) []storage.Gap {
	reason := n.Text
	if reason == "" {
		reason = n.Code
	}
	gaps := cutGaps(st.gaps, n.Seq, n.To)
	from := n.Seq
	add := func(to uint64) {
		if from <= to {
			gaps = append(gaps, storage.Gap{From: from, To: to, Reason: reason})
		}
	}
	for _, s := range st.spans {
		if s.Empty() || s.Hi < from || s.Lo > n.To {
			continue
		}
		if s.Lo > from {
			add(s.Lo - 1)
		}
		from = s.Hi + 1
	}
	if from <= n.To {
		add(n.To)
	}
	slices.SortFunc(gaps, func(a, b storage.Gap) int { return compare(a.From, b.From) })
	return joinGaps(gaps)
}

// joinGaps makes one gap of neighbours with the same reason.
func joinGaps(gaps []storage.Gap) []storage.Gap {
	var out []storage.Gap
	for _, g := range gaps {
		if n := len(out); n > 0 && out[n-1].To+1 == g.From && out[n-1].Reason == g.Reason {
			out[n-1].To = g.To
			continue
		}
		out = append(out, g)
	}
	return out
}

// cutGaps returns gaps without lo..hi.
func cutGaps(gaps []storage.Gap, lo, hi uint64) []storage.Gap {
	var out []storage.Gap
	for _, g := range gaps {
		if g.To < lo || g.From > hi {
			out = append(out, g)
			continue
		}
		if g.From < lo {
			out = append(out, storage.Gap{From: g.From, To: lo - 1, Reason: g.Reason})
		}
		if g.To > hi {
			out = append(out, storage.Gap{From: hi + 1, To: g.To, Reason: g.Reason})
		}
	}
	return out
}
