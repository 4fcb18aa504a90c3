package query

import (
	"context"
	"strconv"

	"permanode/ledger"
)

// RecordPage is a part of the records of a unit, in their order.
type RecordPage struct {
	Records  []Row
	Next     string // cursor of the next page; "" at the end
	Total    Total  // records of the unit
	Searched Extent
}

// UnitRecords describes the records of the unit seq of n: at most limit behind cursor. It fails with *AbsentError where the
// unit is not held, and with ErrBadCursor.
func (a *Archive) UnitRecords(ctx context.Context, n Network, seq uint64, cursor string, limit int) (page RecordPage, err error) {
	asked := question("unit", n.Name, strconv.FormatUint(seq, 10))
	at, err := parseCursor(cursor, sortOldestFirst, asked)
	if err != nil {
		return page, err
	}
	_, unit, manifest, err := a.Unit(ctx, n, seq)
	if err != nil {
		return page, err
	}
	first := uint64(0)
	if at.network != "" {
		first = uint64(at.ord.Pos) + 1
	}
	total, _ := countRecords(manifest)
	page.Total = Total{Value: total, Relation: Exact}
	if page.Records, err = a.rows(ctx, n, &unit, first, min(total, first+uint64(limit))); err != nil {
		return page, err
	}
	if end := first + uint64(len(page.Records)); end < total && len(page.Records) > 0 {
		page.Next = place{n.Name, ledger.Ord{Seq: seq, Pos: uint32(end - 1)}}.cursor(sortOldestFirst, asked)
	}
	page.Searched, err = a.Extent(ctx, n)
	return page, err
}

// rows describes the records first to end-1 of a unit.
func (a *Archive) rows(ctx context.Context, n Network, unit *ledger.Unit, first, end uint64) (items []Row, err error) {
	if n, err = a.at(ctx, n, unit.Seq); err != nil {
		return nil, err
	}
	for pos := first; pos < end; pos++ {
		r, err := a.Record(ctx, n, ledger.Ord{Seq: unit.Seq, Pos: uint32(pos)})
		if err != nil {
			return nil, err
		}
		f, err := outline(n, &r)
		if err != nil {
			return nil, err
		}
		items = append(items, row(n, unit, &r, f))
	}
	return items, nil
}
