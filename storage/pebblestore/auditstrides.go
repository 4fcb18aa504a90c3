package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"permanode/storage"
)

// stride is a stride, or a unit, as it lies on disk.
type stride struct {
	first uint64
	row   strideRow
}

// strides compares the strides of each level with those of the level below, and of the first with units.
func (a *audit) strides(ctx context.Context) error {
	for _, err := range rawIn(a.v, ctx, keyNet(tabStride, a.v.network.ID), decodeStrideRow) {
		if err != nil {
			if err := a.damage(err); err != nil {
				return err
			}
		}
	}
	for level := 1; level <= maxStride; level++ {
		if err := a.strideLevel(ctx, level); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func decodeStrideRow(key, val []byte) (s stride, err error) {
	if _, s.first, err = splitStride(key); err == nil {
		s.row, err = decodeStride(val)
	}
	return s, err
}

// damage reports rows that cannot be read; other errors end the audit.
func (a *audit) damage(err error) error {
	if !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	return a.report(err)
}

// parts returns the committed units for level 0, else strides. Damage was reported before, or is the units' own.
func (a *audit) parts(ctx context.Context, level int) iter.Seq2[stride, error] {
	net := a.v.network.ID
	rows := rawIn(a.v, ctx, append(keyNet(tabStride, net), byte(level)), decodeStrideRow)
	if level == 0 {
		rows = rawIn(a.v, ctx, keyNet(tabUnit, net), func(key, val []byte) (s stride, err error) {
			u, err := decodeUnit(key, val)
			return stride{u.Seq, u.stride()}, err
		})
	}
	return func(yield func(stride, error) bool) {
		for s, err := range rows {
			if errors.Is(err, storage.ErrCorrupt) || err == nil && level == 0 && !a.v.has(s.first) {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// oneSpan reports whether all units of a stride are committed, in one span.
func (a *audit) oneSpan(level int, first uint64) bool {
	s := a.v.spanOf(first)
	return s != nil && s.Has(first+strideUnits(level)-1)
}

// strideLevel walks the strides of a level and their parts side by side: both are sorted.
func (a *audit) strideLevel(ctx context.Context, level int) error {
	next, stop := iter.Pull2(a.parts(ctx, level))
	defer stop()
	head, err, more := next()
	below := func(first uint64) error { // passes over strides before first
		for ; more && err == nil && head.first < first; head, err, more = next() {
			if head.first&(strideUnits(level)-1) != 0 || !a.oneSpan(level, head.first) {
				if err := a.badStride(level, head.first, "no units give it"); err != nil {
					return err
				}
			}
		}
		return err
	}
	var sum openStride
	for p, e := range a.parts(ctx, level-1) {
		if e != nil {
			return e
		}
		first := p.first &^ (strideUnits(level) - 1)
		if p.first == first {
			sum = openStride{}
		} else if p.first != sum.next {
			continue // its beginning is not there
		}
		sum.add(p.row)
		sum.next = p.first + strideUnits(level-1)
		if sum.next != first+strideUnits(level) || !a.oneSpan(level, first) {
			continue
		}
		if err := below(first); err != nil {
			return err
		}
		var e error
		switch m := a.markerOf(first); {
		case !more || head.first != first:
			if m != nil && sum.next <= m.next {
				e = a.badStride(level, first, "its row is missing")
			}
		case head.row != sum.strideRow:
			e = a.badStride(level, first, fmt.Sprintf("it says %+v, its units give %+v", head.row, sum.strideRow))
		default:
			e = a.beyond(sum.next-1, keyStride(a.v.network.ID, level, first))
		}
		if e != nil {
			return e
		}
		if more && head.first == first {
			head, err, more = next()
		}
	}
	return below(1<<64 - 1)
}

func (a *audit) badStride(level int, first uint64, why string) error {
	key := keyStride(a.v.network.ID, level, first)
	return a.report(a.v.d.badRow(key, fmt.Errorf("totals of %d units from %d on: %s", strideUnits(level), first, why)))
}
