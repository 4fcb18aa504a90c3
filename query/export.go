package query

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	sum := sha256.New()
	buf := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(io.MultiWriter(buf, sum))
	lines.SetEscapeHTML(false)
	var rows, unread uint64
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
			if err := lines.Encode(row(n, &cone.Unit, &cone.Records[i], f)); err != nil {
				return fmt.Errorf("write row %d: %w", rows+1, err)
			}
			rows++
			if f.Undecoded != "" {
				unread++
			}
		}
		return nil
	}, func(done, total uint64) { progress(done, total, rows) })
	if err != nil {
		return err
	}
	if err := writeEnd(buf, rows, unread, sum); err != nil {
		return fmt.Errorf("write the last line: %w", err)
	}
	return missing
}

func writeEnd(buf *bufio.Writer, rows, unread uint64, sum hash.Hash) error {
	end := struct {
		End    bool   `json:"_end"`
		Rows   uint64 `json:"rows"`
		SHA256 string `json:"sha256"`
		Unread uint64 `json:"undecoded,omitempty"`
	}{true, rows, hex.EncodeToString(sum.Sum(nil)), unread}
	line, err := json.Marshal(end)
	if err != nil {
		return err
	}
	if _, err := buf.Write(append(line, '\n')); err != nil {
		return err
	}
	return buf.Flush()
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
