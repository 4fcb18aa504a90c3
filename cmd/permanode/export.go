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
	"permanode/storage"
)

const exportHelp = `Writes everything in coverage, or what a query finds (permanode help search, docs/query.md), oldest first; networks
by name, with a query in the reverse of a search's order. There is no limit to the number of rows.

ndjson: one object a record with network, seq, pos, id, state, reason, basis, kind, time, tag, addresses, sha256; then
the line {"_end":true,"rows":N,"sha256":"…"} with the SHA-256 of all bytes before it. An export that did not finish has
no such line.
cones: a file of whole units of one network, which permanode ingest --from FILE proves and reads.

With -o the file appears when it is whole, and not before. Exit status: 0 all of it; 4 all that is held, and a gap lies
inside, or the index lies behind: it is named.`

func (p *program) exportCommand() *cobra.Command {
	var d dataFlags
	format, out := "ndjson", ""
	c := &cobra.Command{
		Use: "export [QUERY] [-o FILE]", Short: "Write all records, what a query finds, or whole units, oldest first", Long: exportHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case format != "ndjson" && format != "cones":
				return usagef("use ndjson or cones", "--format %q is no format of an export", format)
			case len(args) > 0 && format == "cones":
				return usagef("leave the query out, or use --format ndjson", "a cone file holds whole units, which no query selects")
			case len(args) > 0:
				return p.exportQuery(c.Context(), &d, strings.Join(args, " "), out)
			}
			return p.read(c, &d, func(a *query.Archive, networks []query.Network) error {
				return p.writeTo(out, func(w io.Writer) error {
					if format == "cones" {
						return p.exportCones(c.Context(), a, networks, w)
					}
					m := p.meter("units")
					defer m.end()
					return a.ExportNDJSON(c.Context(), networks, w, func(done, total, rows uint64) {
						m.report(done, total, fmt.Sprintf("%d records", rows))
					})
				})
			})
		},
	}
	d.add(c, false)
	c.Flags().StringVar(&format, "format", format, "ndjson or cones")
	c.Flags().StringVarP(&out, "out", "o", "", "file to write (default: standard output)")
	return c
}

// exportQuery writes what a query finds.
func (p *program) exportQuery(ctx context.Context, d *dataFlags, text, out string) error {
	return p.readIndexed(ctx, d, func(a *query.Archive, networks []query.Network) error {
		m := p.meter("rows")
		defer m.end()
		err := p.writeTo(out, func(w io.Writer) error {
			return a.ExportQuery(ctx, networks, text, w, func(rows, total uint64) { m.report(rows, total, "") })
		})
		if errors.Is(err, storage.ErrIncomplete) {
			err = &incompleteExport{err}
		}
		return err
	})
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
