package query

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"permanode/ledger"
	"permanode/storage"
)

// Progress is told how far an export is: units done of units in all, and rows written.
type Progress func(done, total, rows uint64)

// ExportNDJSON writes one line a record of the given networks, in the order of (network, ordinal), and then the line
// {"_end":true,"rows":N,"sha256":"…"} with the SHA-256 of all bytes before it, and "undecoded", the number of rows that
// this version could not read whole, where there are any. An export that fails has no such line.
//
// It writes everything that is in coverage. If a network has gaps it finishes and then fails with an error that wraps
// storage.ErrIncomplete and names them.
func (a *Archive) ExportNDJSON(ctx context.Context, networks []Network, w io.Writer, progress Progress) error {
	lines := newLines(w)
	missing, err := a.walk(ctx, networks, func(n Network, cone *ledger.Cone) error {
		n, err := a.at(ctx, n, cone.Unit.Seq)
		if err != nil {
			return err
		}
		for i := range cone.Records {
			f, err := facts(n, &cone.Records[i])
			if err != nil {
				return err
			}
			if err := lines.write(row(n, &cone.Unit, &cone.Records[i], f)); err != nil {
				return err
			}
		}
		return nil
	}, func(done, total uint64) { progress(done, total, lines.rows) })
	if err != nil {
		return err
	}
	if err := lines.end(); err != nil {
		return err
	}
	return missing
}

// ExportQuery is ExportNDJSON for the hits of a query, in the reverse of the order of a search: oldest first. If not all
// of what was asked was searched it fails in the end with an error that wraps storage.ErrIncomplete; without the last
// line if something that is held was not searched. progress is told rows written of rows in all.
func (a *Archive) ExportQuery(ctx context.Context, networks []Network, query string, w io.Writer, progress func(rows, total uint64)) error {
	lines := newLines(w)
	searched, err := a.each(ctx, SearchRequest{Networks: networks, Query: query, Order: OldestFirst}, func(item Item, total uint64) error {
		if err := lines.write(item.Row); err != nil {
			return err
		}
		progress(lines.rows, max(total, lines.rows))
		return nil
	})
	if err != nil {
		return err
	}
	if searched.Behind {
		return errors.Join(searched.Missing(), lines.buf.Flush())
	}
	if err := lines.end(); err != nil {
		return err
	}
	return searched.Missing()
}

// Missing returns an error that wraps storage.ErrIncomplete and says why, if not all of what was asked was searched.
func (r SearchResult) Missing() error {
	if r.Complete {
		return nil
	}
	return fmt.Errorf("%w: %s", storage.ErrIncomplete, r.Total.Why)
}

// lines writes rows as NDJSON and the last line with their hash.
type lines struct {
	buf          *bufio.Writer
	sum          hash.Hash
	json         *json.Encoder
	rows, unread uint64
}

func newLines(w io.Writer) *lines {
	l := &lines{buf: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	l.json = json.NewEncoder(io.MultiWriter(l.buf, l.sum))
	l.json.SetEscapeHTML(false)
	return l
}

func (l *lines) write(r Row) error {
	if err := l.json.Encode(r); err != nil {
		return fmt.Errorf("write row %d: %w", l.rows+1, err)
	}
	l.rows++
	if r.Undecoded != nil {
		l.unread++
	}
	return nil
}

func (l *lines) end() error {
	line, err := json.Marshal(struct {
		End    bool   `json:"_end"`
		Rows   uint64 `json:"rows"`
		SHA256 string `json:"sha256"`
		Unread uint64 `json:"undecoded,omitempty"`
	}{true, l.rows, hex.EncodeToString(l.sum.Sum(nil)), l.unread})
	if err == nil {
		_, err = l.buf.Write(append(line, '\n'))
	}
	if err == nil {
		err = l.buf.Flush()
	}
	if err != nil {
		return fmt.Errorf("write the last line: %w", err)
	}
	return nil
}

// Cones calls do for every committed cone of the given networks, in the order of (network, seq). Errors are as with
// ExportNDJSON.
func (a *Archive) Cones(ctx context.Context, networks []Network, do func(Network, *ledger.Cone) error, progress func(done, total uint64)) error {
	missing, err := a.walk(ctx, networks, do, progress)
	if err != nil {
		return err
	}
	return missing
}

// walk returns what is missing apart from what went wrong: a gap does not end it.
func (a *Archive) walk(ctx context.Context, networks []Network, do func(Network, *ledger.Cone) error, progress func(done, total uint64)) (missing, failed error) {
	var extents []Extent
	var done, total uint64
	for _, n := range networks {
		e, err := a.Extent(ctx, n)
		if err != nil {
			return nil, err
		}
		extents = append(extents, e)
		for _, r := range e.Ranges {
			total += r.To - r.From + 1
		}
	}
	for i, n := range networks {
		for _, r := range extents[i].Ranges {
			for cone, err := range a.store.Cones(ctx, n.ID, r.From, r.To) {
				if err != nil {
					return nil, fmt.Errorf("read units %s of %s: %w", span(r.From, r.To), n.Name, err)
				}
				if err := do(n, cone); err != nil {
					return nil, err
				}
				done++
				progress(done, total)
			}
		}
	}
	return incomplete(extents), nil
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
