package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"permanode/ledger"
	"permanode/storage"
)

// The formats of an export.
const (
	NDJSON = "ndjson"
	CSV    = "csv"
)

// ExportRequest says what to export.
type ExportRequest struct {
	Networks []Network
	Query    string // docs/query.md; "": every record in coverage
	Format   string // NDJSON or CSV
	After    string // the place of the last row that is there already, NETWORK/SEQ/POS; "" from the beginning
	Wait     bool   // a moment, for an index that lacks what is held
}

// Exported says what an export wrote.
type Exported struct {
	Rows   uint64
	SHA256 string // hex; NDJSON: of all bytes before the last line, which says it too; CSV: of all bytes
}

// Progress is told how far an export is: units done of units in all, or with a query rows of rows, and rows written.
type Progress func(done, total, rows uint64)

// Export writes rows. Everything in coverage comes in the order of (network name, ordinal); the hits of a query come in the
// reverse of a search's order, oldest first. It is over the units that were held when it began. Whatever follows After in
// that order comes, so that an export that broke off and what follows its last whole row are together the whole.
//
// NDJSON ends with the line {"_end":true,"rows":N,"sha256":"…"} with the SHA-256 of all bytes before it, and "undecoded",
// the number of rows that this version could not read whole, where there are any. CSV has the columns of [ExportColumns]
// and no last line: what an export returns says its rows and its hash. One that fails has neither.
//
// Over a gap it finishes and then fails with an error that wraps storage.ErrIncomplete and names it. If something that is
// held was not searched, because the index lacks it, the error is an *UnsearchedError too and the export has no end.
// Other errors: *PlaceError, also for a place that no row can have here, and those of [Archive.Search].
func (a *Archive) Export(ctx context.Context, req ExportRequest, w io.Writer, progress Progress) (Exported, error) {
	e, err := a.OpenExport(ctx, req)
	if err != nil {
		return Exported{}, err
	}
	return e.Write(ctx, w, progress)
}

// UnsearchedError reports an export that lacks what the archive holds: the index lies behind the store.
type UnsearchedError struct{ Why error }

// Unwrap makes it a storage.ErrIncomplete.
func (e *UnsearchedError) Unwrap() error { return e.Why }

func (e *UnsearchedError) Error() string { return e.Why.Error() }

// PlaceError reports a text that is no place to go on behind.
type PlaceError struct{ Text, What string }

func (e *PlaceError) Error() string { return fmt.Sprintf("the place %s %s", Quote(e.Text), e.What) }

// Hint is the next step.
func (e *PlaceError) Hint() string {
	return "write network, seq and pos of the last whole row, as in shimmer/4711/3; where pos is null or empty leave it out: shimmer/4711"
}

// placed reads the place of a row. One is held and stays: what is covered once is covered for good. NETWORK/SEQ is the end
// of any unit that is held, since whether it did something itself is a matter of the query.
func (a *Archive) placed(ctx context.Context, text string, networks []Network) (place, error) {
	at, err := parsePlace(text, networks)
	if err != nil {
		return at, err
	}
	n := networks[slices.IndexFunc(networks, func(n Network) bool { return n.Name == at.network })]
	e, cov, err := a.extent(ctx, n)
	if err != nil {
		return at, err
	}
	if !cov.Has(at.ord.Seq) {
		return at, &PlaceError{text, "is of no row: " + absentUnit(n, at.ord.Seq, e).Error()}
	}
	if at.ord.Pos == ledger.UnitPos {
		return at, nil
	}
	records, _, err := a.store.Totals(ctx, n.ID, at.ord.Seq, at.ord.Seq)
	if err != nil {
		return at, fmt.Errorf("count the records of unit %d of %s: %w", at.ord.Seq, n.Name, err)
	}
	if uint64(at.ord.Pos) >= records {
		return at, &PlaceError{text, fmt.Sprintf("is of no row: unit %d of %s has %d records, the first at 0", at.ord.Seq, n.Name, records)}
	}
	return at, nil
}

// parsePlace reads NETWORK/SEQ/POS, or NETWORK/SEQ for the unit itself, which stands behind its records.
func parsePlace(text string, networks []Network) (place, error) {
	wrong := func(format string, args ...any) (place, error) {
		return place{}, &PlaceError{text, fmt.Sprintf(format, args...)}
	}
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return wrong("has not the form NETWORK/SEQ/POS")
	}
	if !slices.ContainsFunc(networks, func(n Network) bool { return n.Name == parts[0] }) {
		return wrong("is in none of the networks asked for: %s", networkNames(networks))
	}
	seq, ok := plainNumber(parts[1], ledger.MaxSeq)
	if !ok {
		return wrong("has a unit that is no number from 0 to %d in plain digits", uint64(ledger.MaxSeq))
	}
	pos := uint64(ledger.UnitPos)
	if len(parts) == 3 {
		if pos, ok = plainNumber(parts[2], ledger.UnitPos-1); !ok {
			return wrong("has a pos that is no number from 0 to %d in plain digits", ledger.UnitPos-1)
		}
	}
	return place{parts[0], ledger.Ord{Seq: seq, Pos: uint32(pos)}}, nil
}

// plainNumber reads decimal digits without sign or leading zero.
func plainNumber(text string, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && n <= most && strconv.FormatUint(n, 10) == text
}

// Export is an export that was judged and can begin.
type Export struct {
	Query   string // canonical; "" for everything
	Missing error  // what is missing, as far as it is known beforehand; wraps storage.ErrIncomplete; nil: nothing

	format string
	rows   func(ctx context.Context, out *rowWriter, progress Progress) (missing, failed error)
}

// OpenExport judges a request: it fails with *PlaceError and the errors of [Archive.Search]. The first page of a query is
// found here, so that what is wrong with it is known at once.
func (a *Archive) OpenExport(ctx context.Context, req ExportRequest) (*Export, error) {
	var after place
	if req.After != "" {
		var err error
		if after, err = a.placed(ctx, req.After, req.Networks); err != nil {
			return nil, err
		}
	}
	e := &Export{format: req.Format}
	if strings.TrimSpace(req.Query) == "" {
		extents, err := a.Extents(ctx, req.Networks)
		e.Missing = incomplete(extents)
		e.rows = func(ctx context.Context, out *rowWriter, progress Progress) (missing, failed error) {
			return e.Missing, a.exportAll(ctx, req.Networks, extents, after, out, progress)
		}
		return e, err
	}
	s, err := a.prepare(ctx, SearchRequest{Networks: req.Networks, Query: req.Query, Order: OldestFirst})
	if err != nil {
		return nil, err
	}
	cursor := ""
	if after.network != "" {
		cursor = after.cursor(s.sort(), s.asked)
	}
	patience := time.Duration(0)
	if req.Wait {
		patience = a.bounds.Patience
	}
	first, err := s.patientPage(ctx, cursor, patience)
	e.Query, e.Missing = s.text, first.unsearched()
	e.rows = func(ctx context.Context, out *rowWriter, progress Progress) (missing, failed error) {
		searched, err := s.export(ctx, first, out, progress)
		return searched.unsearched(), err
	}
	return e, err
}

// hitsAtOnce is how many hits one task of an export reads: each of them is looked up by itself.
const hitsAtOnce = 32

// export writes the hits from the first page on.
func (s *search) export(ctx context.Context, first SearchResult, out *rowWriter, progress Progress) (searched SearchResult, err error) {
	err = out.inOrder(ctx, func(ctx context.Context, do func(task) error) (err error) {
		searched, err = s.pages(ctx, first, func(hits []Hit, total uint64) error {
			for some := range slices.Chunk(hits, hitsAtOnce) {
				err := do(task{
					rows: func(ctx context.Context, b *block, full func() error) error {
						return s.a.eachItem(ctx, some, func(item *Item) error {
							if err := b.add(out.format, &item.Row); err != nil {
								return err
							}
							return full()
						})
					},
					written: func(rows uint64) { progress(rows, max(total, rows), rows) },
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
	return searched, err
}

// patientPage returns the first page, when the index holds the units that it is over, or patience is at its end.
func (s *search) patientPage(ctx context.Context, cursor string, patience time.Duration) (SearchResult, error) {
	const pause = 200 * time.Millisecond
	for ; ; patience -= pause {
		got, err := s.page(ctx, cursor, s.a.bounds.Page, true)
		if err != nil || !got.Behind || patience <= 0 {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// unsearched is Missing, told apart by whether something that is held is missing.
func (r SearchResult) unsearched() error {
	if missing := r.Missing(); missing != nil && r.Behind {
		return &UnsearchedError{missing}
	}
	return r.Missing()
}

// Write writes the export, once; see [Archive.Export].
func (e *Export) Write(ctx context.Context, w io.Writer, progress Progress) (Exported, error) {
	out := newRowWriter(formatOf(e.format), w)
	missing, err := e.rows(ctx, out, progress)
	var unsearched *UnsearchedError
	switch {
	case err != nil:
		return out.result(), err
	case errors.As(missing, &unsearched):
		return out.result(), errors.Join(missing, out.flush())
	}
	if err := out.end(); err != nil {
		return out.result(), err
	}
	return out.result(), missing
}

// bytesAhead is the most bytes of the records of the cones that are read ahead; a larger cone passes alone.
const bytesAhead = 8 << 20

// exportAll writes every record of the given extents behind a place.
func (a *Archive) exportAll(ctx context.Context, networks []Network, extents []Extent, after place, out *rowWriter, progress Progress) error {
	room := semaphore.NewWeighted(bytesAhead)
	return out.inOrder(ctx, func(ctx context.Context, do func(task) error) error {
		return a.walk(ctx, networks, extents, after, func(n Network, cone *ledger.Cone, done, total uint64) error {
			weight := min(coneBytes(cone), bytesAhead)
			if err := room.Acquire(ctx, weight); err != nil {
				return err
			}
			return do(task{
				rows: func(ctx context.Context, b *block, full func() error) error {
					return a.coneRows(ctx, n, cone, after, out.format, b, full)
				},
				written: func(rows uint64) {
					room.Release(weight)
					progress(done, total, rows)
				},
			})
		})
	})
}

// coneBytes returns the bytes of the records of a cone, and some for each.
func coneBytes(c *ledger.Cone) (n int64) {
	const each = 512
	for i := range c.Records {
		n += each
		for _, p := range c.Records[i].Parts {
			n += int64(len(p.Raw))
		}
	}
	return n
}

// coneRows writes the records of a cone that lie behind a place into b.
func (a *Archive) coneRows(ctx context.Context, n Network, cone *ledger.Cone, after place, format rowFormat, b *block, full func() error) error {
	n, err := a.at(ctx, n, cone.Unit.Seq)
	if err != nil {
		return err
	}
	at := timeText(cone.Unit.TimeMs)
	for i := range cone.Records {
		r := &cone.Records[i]
		if n.Name == after.network && r.Ord.Compare(after.ord) <= 0 {
			continue
		}
		f, err := outline(n, r)
		if err != nil {
			return err
		}
		row := rowAt(n, at, r, f)
		if err := b.add(format, &row); err != nil {
			return err
		}
		if err := full(); err != nil {
			return err
		}
	}
	return nil
}

// Missing returns an error that wraps storage.ErrIncomplete and says why, if not all of what was asked was searched.
func (r SearchResult) Missing() error {
	if r.Complete {
		return nil
	}
	return fmt.Errorf("%w: %s", storage.ErrIncomplete, r.Total.Why)
}

// Cones calls do for every committed cone of the given networks, in the order of (network, seq). If a network has gaps it
// finishes and then fails with an error that wraps storage.ErrIncomplete and names them.
func (a *Archive) Cones(ctx context.Context, networks []Network, do func(Network, *ledger.Cone) error, progress func(done, total uint64)) error {
	extents, err := a.Extents(ctx, networks)
	if err != nil {
		return err
	}
	err = a.walk(ctx, networks, extents, place{}, func(n Network, cone *ledger.Cone, done, total uint64) error {
		if err := do(n, cone); err != nil {
			return err
		}
		progress(done, total)
		return nil
	})
	return cmp.Or(err, incomplete(extents))
}

// Extents returns the extent of each network.
func (a *Archive) Extents(ctx context.Context, networks []Network) ([]Extent, error) {
	var all []Extent
	for _, n := range networks {
		e, err := a.Extent(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// walk calls do for every cone of the given extents, from the one of a place on; done and total count units, with this one.
func (a *Archive) walk(ctx context.Context, networks []Network, extents []Extent, from place, do func(n Network, cone *ledger.Cone, done, total uint64) error) error {
	var done, total uint64
	for _, e := range extents {
		for _, r := range e.Ranges {
			total += r.To - r.From + 1
		}
	}
	ahead := from.network == ""
	for i, n := range networks {
		lowest := uint64(math.MaxUint64)
		switch {
		case n.Name == from.network:
			lowest, ahead = from.ord.Seq, true
		case ahead:
			lowest = 0
		}
		for _, r := range extents[i].Ranges {
			first := max(r.From, min(lowest, r.To+1))
			done += first - r.From
			err := a.stretch(ctx, n, first, r.To, func(cone *ledger.Cone) error {
				done++
				return do(n, cone, done, total)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// stretch calls do for the committed cones lo to hi, none if hi is less.
func (a *Archive) stretch(ctx context.Context, n Network, lo, hi uint64, do func(*ledger.Cone) error) error {
	if lo > hi {
		return nil
	}
	next := lo
	for cone, err := range a.store.Cones(ctx, n.ID, lo, hi) {
		if err != nil {
			return fmt.Errorf("read units %s of %s: %w", span(lo, hi), n.Name, err)
		}
		if err := do(cone); err != nil {
			return err
		}
		next++
	}
	if next != hi+1 {
		return fmt.Errorf("read units %s of %s: the store ended before unit %d: %w", span(lo, hi), n.Name, next, cmp.Or(ctx.Err(), io.ErrUnexpectedEOF))
	}
	return nil
}

// incomplete returns an error that wraps storage.ErrIncomplete and names every gap, nil if there is none.
func incomplete(extents []Extent) error {
	var text string
	for _, e := range extents {
		for _, g := range e.Gaps {
			if text != "" {
				text += "; "
			}
			text += fmt.Sprintf("%s lacks units %s (%s)", e.Network, span(g.From, g.To), g.Reason)
		}
	}
	if text == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", storage.ErrIncomplete, text)
}
