package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"permanode/ledger"
	"permanode/storage"
)

// block is a block as it lies on disk, or as the postings give it.
type block struct {
	key   ledger.Key
	level int
	end   ledger.Ord
	row   blockRow
}

func (a *block) compare(b *block) int {
	return cmp.Or(cmp.Compare(a.key.Kind, b.key.Kind), cmp.Compare(a.key.Val, b.key.Val), cmp.Compare(a.level, b.level), a.end.Compare(b.end))
}

func (a *block) diskKey(net ledger.NetID) []byte {
	return appendBlockKey(nil, net, a.key, a.level, a.end)
}

// BadTotals reads all postings and units and compares the rows of their totals with what they give: each that is wrong, missing or
// surplus, or cannot be read, is an error of kind storage.ErrCorrupt. Another error ends it. Where postings cannot be
// read, which RawPostings tells, the rows of their keys are not judged.
func (d *DB) BadTotals(ctx context.Context, net ledger.NetID) iter.Seq[error] {
	return func(yield func(error) bool) {
		v, err := d.beginStill(ctx, net)
		if err != nil {
			yield(err)
			return
		}
		defer v.closeStill()
		a := &audit{v: v, report: func(err error) error {
			if !yield(err) {
				return errStop
			}
			return nil
		}}
		err = a.run(ctx)
		if err == nil {
			err = a.strides(ctx)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(err)
		}
	}
}

// audit walks postings and blocks side by side: both are sorted by key.
type audit struct {
	v      *view
	report func(error) error
	built  map[uint64]*marker // by a span's Lo
	vain   bool               // a marker cannot be read: nobody knows what is missing

	next  func() (block, error, bool)
	head  *block // the block on disk that comes next; nil behind the last
	holed bool   // rows before head could not be read

	key    ledger.Key // whose postings are read
	hash   uint64
	any    bool
	vague  bool        // postings of this key, or of keys before it, could not be read
	gap    bool        // postings before the next one could not be read
	lo     uint64      // Lo of the span that the postings are in
	open   [8]blockRow // by level: the block that has not ended
	expect []block     // that end at the postings of key
}

// marker says how far the blocks of a span go.
type marker struct {
	next   uint64 // the first unit whose blocks need not be there
	beyond bool   // one behind was reported
}

func (a *audit) run(ctx context.Context) error {
	if err := a.markers(ctx); err != nil {
		return err
	}
	next, stop := iter.Pull2(rawIn(a.v, ctx, keyNet(tabBlock, a.v.network.ID), func(key, val []byte) (b block, err error) {
		if key[2] == 0 {
			return block{}, nil // a marker
		}
		if b.key, b.level, b.end, err = splitBlock(key[2:]); err == nil {
			b.row, err = decodeBlockRow(val)
		}
		return b, err
	}))
	defer stop()
	a.next = next
	if err := a.advance(); err != nil {
		return err
	}
	prefix := keyNet(tabPosting, a.v.network.ID)
	err := a.v.d.scan(ctx, a.v.pr, prefix, after(prefix), a.posting, func(error) error {
		a.vague, a.gap = true, true
		return nil
	})
	if err != nil {
		return err
	}
	vague := a.gap
	if err := a.endKey(); err != nil {
		return err
	}
	for a.head != nil { // behind the last key
		if err := a.surplus(vague); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// markers reads how far blocks go.
func (a *audit) markers(ctx context.Context) error {
	a.built = map[uint64]*marker{}
	prefix := []byte{tabBlock, byte(a.v.network.ID), 0}
	one := func(key, val []byte) error {
		next, lay, err := decodeBuilt(key, val)
		if err == nil && len(key) != len(prefix)+8 {
			err = errRow("marker with a key of %d bytes", len(key))
		}
		if err == nil && !bytes.Equal(lay, layout()) {
			err = errRow("layout %x, not %x", lay, layout())
		}
		if err != nil {
			a.vain = true
			return a.report(a.v.d.badRow(key, err))
		}
		lo, _ := seqOf(slices.Concat(key[:2], key[3:]))
		if i := slices.IndexFunc(a.v.spans, func(s spanRow) bool { return s.Lo == lo }); i < 0 || next > a.v.spans[i].Next() {
			a.vain = true
			return a.report(a.v.d.badRow(key, fmt.Errorf("it says that totals of a span at %d go to before unit %d, behind all units", lo, next)))
		}
		a.built[lo] = &marker{next: next}
		return nil
	}
	return a.v.d.scan(ctx, a.v.pr, prefix, after(prefix), one, func(error) error { // met again below
		a.vain = true
		return nil
	})
}

// advance reads the next block on disk.
func (a *audit) advance() error {
	a.holed = false
	for {
		b, err, ok := a.next()
		switch {
		case !ok:
			a.head = nil
			return nil
		case err != nil && !errors.Is(err, storage.ErrCorrupt):
			return err
		case err != nil:
			a.holed = true
			if err := a.report(err); err != nil {
				return err
			}
		case b.level > 0:
			a.head = &b
			return nil
		}
	}
}

// posting takes a posting's row.
func (a *audit) posting(key, val []byte) error {
	k, o, err := splitPosting(key[2:])
	if err != nil {
		return nil // RawPostings tells it
	}
	if !inBlocks(k.Kind) || !a.v.has(o.Seq) {
		return nil
	}
	_, amount, err := decodePostingValue(val)
	if !a.any || a.key != k {
		if err := a.endKey(); err != nil {
			return err
		}
		a.key, a.hash, a.any, a.lo = k, hashKey(k), true, ledger.MaxSeq+1
		a.vague, a.gap = a.gap, false
	}
	if err != nil {
		a.vague = true
	}
	if s := a.v.spanOf(o.Seq); s.Lo != a.lo {
		a.lo = s.Lo
		for i := range a.open {
			a.open[i] = blockRow{lo: ledger.Ord{Seq: s.Lo}}
		}
	}
	a.open[0] = blockRow{count: 1, sum: amount}
	for level := 1; ; level++ {
		a.open[level].count += a.open[level-1].count
		a.open[level].sum = a.open[level].sum.Add(a.open[level-1].sum)
		a.open[level-1] = blockRow{lo: behind(o)}
		if level > levelsAt(a.hash, o) {
			return nil
		}
		a.expect = append(a.expect, block{k, level, o, a.open[level]})
	}
}

// endKey compares the blocks of the key that was read.
func (a *audit) endKey() error {
	slices.SortFunc(a.expect, func(x, y block) int { return x.compare(&y) })
	want := a.expect
	for len(want) > 0 || a.head != nil && a.any && a.head.key.Kind <= a.key.Kind && (a.head.key.Kind < a.key.Kind || a.head.key.Val <= a.key.Val) {
		var c int
		switch {
		case a.head == nil:
			c = -1
		case len(want) == 0:
			c = 1
		default:
			c = want[0].compare(a.head)
		}
		var err error
		switch {
		case c > 0:
			err = a.surplus(a.vague)
		case c < 0:
			if m := a.markerOf(want[0].end.Seq); m != nil && want[0].end.Seq < m.next && !a.vague && !a.holed {
				err = a.bad(&want[0], "its row is missing")
			}
			want = want[1:]
		default:
			if h, w := a.head.row, want[0].row; !a.vague && (h.lo != w.lo || h.count != w.count || !h.sum.Equal(w.sum)) {
				err = a.bad(a.head, fmt.Sprintf("it counts %d from %s with the sum %s; the postings give %d from %s with the sum %s", h.count, h.lo, h.sum, w.count, w.lo, w.sum))
			}
			want = want[1:]
			err = errors.Join(err, a.beyond(a.head.end.Seq, a.head.diskKey(a.v.network.ID)), a.advance())
		}
		if err != nil {
			return err
		}
	}
	a.expect, a.vague = a.expect[:0], false
	return nil
}

// markerOf returns the marker of the span of a unit; nil if there is none or one cannot be read.
func (a *audit) markerOf(seq uint64) *marker {
	if a.vain {
		return nil
	}
	return a.built[a.v.spanOf(seq).Lo]
}

// beyond reports a row, whose last unit is seq, behind the last that a marker names, once a span.
func (a *audit) beyond(seq uint64, key []byte) error {
	m := a.markerOf(seq)
	switch lo := a.v.spanOf(seq).Lo; {
	case a.vain || m != nil && (seq < m.next || m.beyond):
		return nil
	case m == nil:
		a.built[lo] = &marker{beyond: true}
	default:
		m.beyond = true
	}
	return a.report(a.v.d.badRow(key, errors.New("it lies behind where the marker of its span says that totals end")))
}

// surplus passes over a block on disk that nothing gives.
func (a *audit) surplus(vague bool) error {
	b := a.head
	if err := a.advance(); err != nil || vague {
		return err
	}
	return a.bad(b, "no postings give it")
}

func (a *audit) bad(b *block, why string) error {
	return a.report(a.v.d.badRow(b.diskKey(a.v.network.ID), errors.New("total of postings up to "+b.end.String()+": "+why)))
}
