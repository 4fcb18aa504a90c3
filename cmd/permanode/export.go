package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

const exportHelp = `Writes every record in coverage, or what a query finds (permanode help search, docs/query.md), oldest first; networks
by name, with a query in the reverse of a search's order. There is no limit to the number of rows. What units did
themselves, such as the funds of a receipt, is no record: the query kind:unit writes it.

ndjson: one object a record with network, seq, pos, id, state, reason, basis, kind, time, tag, addresses, sha256; then
the line {"_end":true,"rows":N,"sha256":"…"} with the SHA-256 of all bytes before it. An export that did not finish has
no such line.
csv: the same rows as a table (GET /v1/columns describes it), and then on standard error X-Rows and X-Sha256, the SHA-256
of all of the table. An export that did not finish has neither.
cones: a file of whole units of one network, which permanode ingest --from FILE proves and reads.

--after goes on behind the last whole row of an export that broke off: both together are the whole.

With -o the file appears when it is whole, and not before. Exit status: 0 all of it; 4 all that is held, and a gap lies
inside, or the index lies behind: it is named.`

func (p *program) exportCommand() *cobra.Command {
	var d dataFlags
	format, out, after := query.NDJSON, "", ""
	c := &cobra.Command{
		Use: "export [QUERY] [-o FILE]", Short: "Write all records, what a query finds, or whole units, oldest first", Long: exportHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			text := strings.Join(args, " ")
			remote, err := p.remote(&d)
			if err != nil {
				return err
			}
			if remote != nil {
				defer remote.Close()
			}
			switch {
			case format != query.NDJSON && format != query.CSV && format != "cones":
				return usagef("use ndjson, csv or cones", "--format %q is no format of an export", format)
			case format == "cones" && (len(args) > 0 || after != ""):
				return usagef("leave query and --after out, or use --format ndjson", "a cone file holds whole units, which no query or place selects")
			case format == "cones" && remote != nil:
				return usagef("use ndjson or csv, or --data for the directory of a stopped service", "a service gives no cone files")
			case remote != nil:
				return p.exportFrom(c.Context(), remote, client.Export{Query: text, Network: d.network, Format: format, After: after}, out)
			case format == "cones":
				return p.read(c, &d, func(a *query.Archive, networks []query.Network) error {
					return p.writeTo(out, func(w io.Writer) error { return p.exportCones(c.Context(), a, networks, w) })
				})
			}
			return p.exportRows(c, &d, query.ExportRequest{Query: text, Format: format, After: after}, out)
		},
	}
	d.add(c, false)
	d.addServer(c)
	c.Flags().StringVar(&format, "format", format, "ndjson, csv or cones")
	c.Flags().StringVar(&after, "after", "", "go on behind this row: NETWORK/SEQ/POS, or NETWORK/SEQ where pos is null")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default: standard output)")
	return c
}

// exportRows writes everything, or what a query finds.
func (p *program) exportRows(c *cobra.Command, d *dataFlags, req query.ExportRequest, out string) error {
	write := func(a *query.Archive, networks []query.Network) error {
		req.Networks = networks
		what, note := "rows", func(uint64) string { return "" }
		if req.Query == "" {
			what, note = "units", func(rows uint64) string { return fmt.Sprintf("%d records", rows) }
		}
		m := p.meter(what)
		defer m.end()
		var done query.Exported
		err := p.writeTo(out, func(w io.Writer) (err error) {
			done, err = a.Export(c.Context(), req, w, func(done, total, rows uint64) { m.report(done, total, note(rows)) })
			return err
		})
		m.end()
		return p.exported(req.Format, req.Query, done, err)
	}
	if req.Query == "" {
		return p.read(c, d, write)
	}
	return p.readIndexed(c.Context(), d, write)
}

// exported says what was written and what is missing.
func (p *program) exported(format, text string, done query.Exported, err error) error {
	var place *query.PlaceError
	var unsearched *query.UnsearchedError
	switch {
	case errors.As(err, &place):
		return usagef(place.Hint(), "--after: %w", err)
	case err != nil && !errors.Is(err, storage.ErrIncomplete), errors.As(err, &unsearched):
	case format == query.CSV:
		p.say("X-Rows: %d", done.Rows)
		p.say("X-Sha256: %s", done.SHA256)
	}
	if text != "" && errors.Is(err, storage.ErrIncomplete) {
		return &incompleteExport{err}
	}
	return err
}

// incompleteExport reports an export whose query could not be asked of all that was wanted.
type incompleteExport struct{ error }

func (e *incompleteExport) Unwrap() error { return e.error }

// Hint is the next step.
func (e *incompleteExport) Hint() string { return incompleteHint(e.Error()) }

func (p *program) exportCones(ctx context.Context, a *query.Archive, networks []query.Network, w io.Writer) error {
	if len(networks) != 1 {
		return usagef("name one with --network", "a cone file holds one network, and the archive has %d", len(networks))
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	file, err := storage.NewConeWriter(buf, networks[0].Era, networks[0].Identity)
	if err != nil {
		return fmt.Errorf("begin the cone file: %w", err)
	}
	m := p.meter("units")
	defer m.end()
	missing := a.Cones(ctx, networks, func(_ query.Network, cone *ledger.Cone) error {
		if err := file.Write(cone); err != nil {
			return fmt.Errorf("write unit %d: %w", cone.Unit.Seq, err)
		}
		return nil
	}, func(done, total uint64) { m.report(done, total, "") })
	if missing != nil && !errors.Is(missing, storage.ErrIncomplete) {
		return missing
	}
	if err := errors.Join(file.Close(), buf.Flush()); err != nil {
		return fmt.Errorf("end the cone file: %w", err)
	}
	return missing
}

// writeTo gives do standard output, or a new file that takes its name only once it is whole and synced. An incomplete
// archive still gives a whole file: all that is held.
func (p *program) writeTo(name string, do func(io.Writer) error) error {
	if name == "" {
		return do(p.out)
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return writeInto(name, do) // a device or pipe has no name to take
	}
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*")
	if err != nil {
		return usagef("name a file in a directory that can be written", "write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // nothing to remove once it is renamed
	held := do(f)
	if held != nil && !errors.Is(held, storage.ErrIncomplete) {
		return errors.Join(held, f.Close())
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return errors.Join(held, durable.SyncDir(dir))
}

func writeInto(name string, do func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return usagef("name a file in a directory that can be written", "write %s: %w", name, err)
	}
	return errors.Join(do(f), f.Close())
}
