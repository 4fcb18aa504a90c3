package pebblestore

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// A stride of level n is 64^n consecutive units, the first of which has a number that is a multiple of that. Its row holds
// number and bytes of their records, and the earliest and latest of their times, so that totals and times of a long range
// need few rows. It is written, with the blocks, behind the stride's last unit if one span holds all of it. A reader works with
// none, some or all of them.

// strideShift is the logarithm of 64; tests make it smaller.
var strideShift = 6

// maxStride is the highest level: 2^36 units.
const maxStride = 6

// strideUnits returns the number of units of a stride.
func strideUnits(level int) uint64 { return 1 << (level * strideShift) }

// strideRow is what the row of a stride says; also what a unit adds to it.
type strideRow struct {
	records, bytes uint64
	min, max       int64 // signed times, ms
}

func (u *unitRow) stride() strideRow { return strideRow{u.records, u.bytes, u.TimeMs, u.TimeMs} }

func coneStride(c *ledger.Cone) strideRow {
	return strideRow{uint64(len(c.Records)), recordBytes(c), c.Unit.TimeMs, c.Unit.TimeMs}
}

// recordBytes returns the bytes of all parts of a cone's records.
func recordBytes(c *ledger.Cone) uint64 {
	return uint64(c.Bytes() - len(c.Unit.Header) - len(c.Unit.Auth) - len(c.Unit.List))
}

// openStride adds up what is not yet a whole stride. The zero value is empty.
type openStride struct {
	strideRow
	n    int    // parts in it
	next uint64 // the unit that continues it
}

func (s *openStride) add(o strideRow) {
	if s.n++; s.n == 1 {
		s.strideRow = o
		return
	}
	s.records += o.records
	s.bytes += o.bytes
	s.min, s.max = min(s.min, o.min), max(s.max, o.max)
}

// strides adds the rows of the strides of s that end with units, the last of which is the one before next, to b, an indexed
// batch, and reports whether there are any.
func (d *DB) strides(b *pebble.Batch, n *network, s *spanRow, next uint64, units []strideRow) (any bool, err error) {
	net, open := n.state.Load().network.ID, n.built.open[s.Lo]
	for i, u := range units {
		seq := next - uint64(len(units)-i)
		first := seq &^ (strideUnits(1) - 1)
		if first < s.Lo {
			continue // it does not begin in this span
		}
		if open.next != seq || seq == first {
			open = openStride{}
			if err := d.addUnits(b, net, first, seq, &open); err != nil {
				return any, err
			}
		}
		open.add(u)
		open.next = seq + 1
		row := open.strideRow
		for level := 1; level <= maxStride && (seq+1)%strideUnits(level) == 0 && seq+1-strideUnits(level) >= s.Lo; level++ {
			first := seq + 1 - strideUnits(level)
			if level > 1 {
				if row, err = d.joined(b, net, level, first); err != nil {
					return any, err
				}
			}
			any = true
			_ = b.Set(keyStride(net, level, first), encodeStride(row), nil)
		}
	}
	n.built.open[s.Lo] = open
	return any, nil
}

// addUnits adds the stored units from lo to before end.
func (d *DB) addUnits(r pebble.Reader, net ledger.NetID, lo, end uint64, sum *openStride) error {
	for ; lo < end; lo++ {
		u, err := d.unitRow(r, net, lo)
		if err != nil {
			return err
		}
		sum.add(u.stride())
	}
	return nil
}

// joined adds up what is below a stride: the rows of the level below, or units.
func (d *DB) joined(r pebble.Reader, net ledger.NetID, level int, first uint64) (strideRow, error) {
	var sum openStride
	if level == 1 {
		err := d.addUnits(r, net, first, first+strideUnits(1), &sum)
		return sum.strideRow, err
	}
	err := d.eachIn(context.Background(), r, keyStride(net, level-1, first), keyStride(net, level-1, first+strideUnits(level)), func(key, val []byte) error {
		row, err := decodeStride(val)
		if err != nil {
			return d.badRow(key, err)
		}
		sum.add(row)
		return nil
	})
	if err == nil && sum.n != 1<<strideShift {
		err = d.badRow(keyStride(net, level, first), errRow("%d rows of the level below, not %d", sum.n, 1<<strideShift))
	}
	return sum.strideRow, err
}

// unitRow reads the row of a unit as it is.
func (d *DB) unitRow(r pebble.Reader, net ledger.NetID, seq uint64) (u unitRow, err error) {
	key := keySeq(tabUnit, net, seq)
	val, err := d.get(r, key)
	if errors.Is(err, pebble.ErrNotFound) {
		return u, d.badRow(key, errMissing)
	}
	if err != nil {
		return u, err
	}
	if u, err = decodeUnit(key, val); err != nil {
		return u, d.badRow(key, err)
	}
	return u, nil
}

// repairStrides builds the strides again that a unit is in, whose row is in b.
func (w *writer) repairStrides(b *pebble.Batch, s *spanRow, seq uint64) error {
	for level := 1; level <= maxStride; level++ {
		first := seq &^ (strideUnits(level) - 1)
		if first < s.Lo || first+strideUnits(level) > w.n.built.nextOf(s) {
			break
		}
		row, err := w.d.joined(b, w.net, level, first)
		if err != nil {
			return err
		}
		_ = b.Set(keyStride(w.net, level, first), encodeStride(row), nil)
	}
	delete(w.n.built.open, s.Lo) // it may hold what the unit was
	return nil
}

// Totals returns the number of records in the committed units lo..hi and the bytes of all their parts.
func (d *DB) Totals(ctx context.Context, net ledger.NetID, lo, hi uint64) (records, size uint64, err error) {
	add := func(_, _ uint64, row strideRow) {
		records += row.records
		size += row.bytes
	}
	err = d.overStrides(ctx, net, lo, hi, func(uint64, uint64, strideRow) bool { return true }, add)
	return records, size, err
}

// wideTime is how many units SeqAt reads one by one before it looks at strides; tests make it smaller.
var wideTime = 256

// SeqAt returns the committed units whose signed time lies in [fromMs, toMs).
func (d *DB) SeqAt(ctx context.Context, net ledger.NetID, fromMs, toMs int64) (set ranges.Set, err error) {
	if fromMs >= toMs {
		_, err := d.Coverage(ctx, net)
		return set, err
	}
	set, few, err := d.seqFew(ctx, net, fromMs, toMs)
	if err != nil || few {
		return set, err
	}
	set = ranges.Set{}
	inside := func(r strideRow) bool { return fromMs <= r.min && r.max < toMs }
	whole := func(_, _ uint64, r strideRow) bool { return inside(r) || r.max < fromMs || toMs <= r.min }
	err = d.overStrides(ctx, net, 0, ledger.MaxSeq, whole, func(lo, hi uint64, r strideRow) {
		if inside(r) {
			set.Add(lo, hi)
		}
	})
	return set, err
}

// seqFew answers SeqAt from the time rows, if these are few.
func (d *DB) seqFew(ctx context.Context, net ledger.NetID, fromMs, toMs int64) (set ranges.Set, few bool, err error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return set, false, err
	}
	defer v.close()
	n := 0
	err = d.eachIn(ctx, v.pr, keyTime(net, fromMs, 0), keyTime(net, toMs, 0), func(key, _ []byte) error {
		_, seq, err := splitTime(key)
		if err != nil {
			return d.badRow(key, err)
		}
		if v.has(seq) {
			set.Add(seq, seq)
		}
		if n++; n > wideTime {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return set, false, nil
	}
	return set, true, err
}

// overStrides calls add with every committed unit of lo..hi once, or with the stride that it is in, if that lies in the
// range and take takes it whole.
func (d *DB) overStrides(ctx context.Context, net ledger.NetID, lo, hi uint64, take func(lo, hi uint64, r strideRow) bool, add func(lo, hi uint64, r strideRow)) (err error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return err
	}
	defer v.close()
	prefix := keyNet(tabStride, net)
	it, err := v.pr.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return d.readError(prefix, err)
	}
	defer func() { err = errors.Join(err, d.readError(prefix, it.Close())) }()
	w := &strideWalk{ctx: ctx, v: v, it: it, take: take, add: add}
	for i := range v.spans {
		s := &v.spans[i]
		if err == nil && !s.Empty() && s.Lo <= hi && lo <= s.Hi {
			err = w.walk(maxStride, max(lo, s.Lo), min(hi, s.Hi))
		}
	}
	return err
}

type strideWalk struct {
	ctx  context.Context
	v    *view
	it   *pebble.Iterator // over all strides
	take func(lo, hi uint64, r strideRow) bool
	add  func(lo, hi uint64, r strideRow)
}

// walk goes over the units lo..hi of one span by strides of a level, and by the level below where these do not do.
func (w *strideWalk) walk(level int, lo, hi uint64) error {
	if level == 0 {
		return w.units(lo, hi)
	}
	net, size := w.v.network.ID, strideUnits(level)
	seek := func() bool {
		w.it.SeekGE(keyStride(net, level, (lo+size-1)&^(size-1)))
		return w.it.Valid() && w.it.Key()[2] == byte(level)
	}
	for ok := seek(); ok; {
		_, first, err := splitStride(w.it.Key())
		if err != nil {
			return w.v.d.badRow(bytes.Clone(w.it.Key()), err)
		}
		if first > hi || hi-first < size-1 {
			break
		}
		val, err := w.it.ValueAndErr()
		if err != nil {
			return w.v.d.readError(w.it.Key(), err)
		}
		row, err := decodeStride(val)
		if err != nil {
			return w.v.d.badRow(bytes.Clone(w.it.Key()), err)
		}
		taken := w.take(first, first+size-1, row)
		if first > lo { // what lies before has no stride of this level
			if err := w.walk(level-1, lo, first-1); err != nil {
				return err
			}
		}
		if taken {
			w.add(first, first+size-1, row)
		} else if err := w.walk(level-1, first, first+size-1); err != nil {
			return err
		}
		gone := first > lo || !taken // the iterator stands elsewhere
		if lo = first + size; lo > hi {
			return w.ctx.Err()
		}
		if gone {
			ok = seek()
		} else {
			ok = w.it.Next() && w.it.Key()[2] == byte(level)
		}
	}
	if err := w.it.Error(); err != nil {
		return w.v.d.readError(keyStride(net, level, lo), err)
	}
	return w.walk(level-1, lo, hi)
}

func (w *strideWalk) units(lo, hi uint64) error {
	for seq := lo; seq <= hi; seq++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		u, err := w.v.d.unitRow(w.v.pr, w.v.network.ID, seq)
		if err != nil {
			return err
		}
		if r := u.stride(); w.take(seq, seq, r) {
			w.add(seq, seq, r)
		}
	}
	return nil
}
