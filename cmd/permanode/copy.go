package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"permanode/ledger/eras"
	"permanode/query/api"
	"permanode/query/client"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

const copyHelp = `Makes --to to a copy of an archive: its backup, or, the other way around, the archive that a backup restores. Run it again
and only what is new is copied.

--from names a service on this machine by its address (it goes on; a key of the role operator is needed where the
service has keys), or the directory of an archive after a clean stop, or the config that names it.

An interrupted copy leaves the last one as it was, or refuses to be opened until the same copy has been made again. A copy
never makes less of what is there: another archive, or one that holds more, is not written over. The index is not
copied: it is made again from the copy.

--full compares every byte of the target with what should be there, and copies again what is damaged.

Exit status: 0 good; 1 error; 2 wrong command line, or the target is not written over; 3 the source is damaged.`

// copyReport is `copy --json`.
type copyReport struct {
	From        string            `json:"from"`
	To          string            `json:"to"`
	Files       int               `json:"files"`
	Bytes       int64             `json:"bytes"`
	Copied      int               `json:"copied"`       // files that were not there yet
	CopiedBytes int64             `json:"copied_bytes"` // of them
	Removed     int               `json:"removed"`      // files that the archive no longer has
	Resumed     bool              `json:"resumed"`      // what an interrupted copy had brought was used
	Networks    []api.NetworkUnit `json:"networks"`     // what the copy holds; never null
}

type copyFlags struct {
	from, to, keyFile, caFile string
	full, json                bool
}

func (p *program) copyCommand() *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use: "copy --from SERVICE|DIR|CONFIG --to DIR", Short: "Back an archive up, or restore one; only what is new is copied", Long: copyHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.from == "" || f.to == "" {
				return usagef("for example permanode copy --from http://127.0.0.1:8080 --to /backup/permanode", "copy needs --from and --to")
			}
			return p.copy(c.Context(), &f)
		},
	}
	c.Flags().StringVar(&f.from, "from", "", "address of a running service, directory of a stopped archive, or its config")
	c.Flags().StringVar(&f.to, "to", "", "directory of the copy: empty, not there yet, or an earlier copy")
	c.Flags().BoolVar(&f.full, "full", false, "compare every byte of the target")
	c.Flags().BoolVar(&f.json, "json", false, "one JSON object")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "file with the secret of an access key for a service (or "+envKeyFile+")")
	c.Flags().StringVar(&f.caFile, "ca-file", "", "certificates that a service is trusted by, PEM (default: those of the system)")
	return c
}

func (p *program) copy(ctx context.Context, f *copyFlags) error {
	if strings.HasPrefix(f.from, "http://") || strings.HasPrefix(f.from, "https://") {
		return p.copyService(ctx, f)
	}
	if f.keyFile != "" || f.caFile != "" {
		return usagef("leave them out", "--key-file and --ca-file are for a service, and --from names a directory")
	}
	dir, d := f.from, dataFlags{data: f.from}
	if info, err := os.Stat(f.from); err == nil && info.Mode().IsRegular() {
		conf, err := readConfig(f.from)
		if err != nil {
			return err
		}
		dir, d = conf.DataDir, dataFlags{config: f.from}
	}
	err := p.copyDir(ctx, f, dir, nil)
	if errors.Is(err, storage.ErrLocked) {
		at := d.listen()
		if at == "" {
			at = "127.0.0.1:8080"
		}
		return &lockedError{err: err, instead: "a service holds one of the two: back it up while it runs: permanode copy --from http://" + at + " --to DIR; a directory that a service holds is never written over"}
	}
	return err
}

// copyService copies a checkpoint that a running service makes.
func (p *program) copyService(ctx context.Context, f *copyFlags) error {
	d := dataFlags{serverFlags: serverFlags{server: f.from, keyFile: f.keyFile, caFile: f.caFile}}
	c, err := p.remote(&d)
	if err != nil {
		return err
	}
	defer c.Close()
	made, err := c.Checkpoint(ctx)
	if err != nil {
		return err
	}
	defer p.release(ctx, c)
	if _, err := os.Stat(made.Dir); err != nil {
		return &lockedError{err: fmt.Errorf("the service's checkpoint cannot be read here: %w", err), instead: "run copy on the machine of the service, as its user or as root"}
	}
	is := &pebblestore.Checkpoint{Files: made.Files, Bytes: made.Bytes}
	for _, n := range made.Networks {
		is.Units = append(is.Units, pebblestore.LastUnit{Network: n.Network, Seq: n.Newest})
	}
	return p.copyDir(ctx, f, made.Dir, is)
}

// release gives the room of a checkpoint back, also after an interruption. One that stays goes with the next one.
func (p *program) release(ctx context.Context, c *client.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTime)
	defer cancel()
	if err := c.ReleaseCheckpoint(ctx); err != nil {
		p.say("warning: the service keeps its checkpoint, which costs room until the next one is made: %v", err)
	}
}

// copyDir copies a directory; is says what it must be, nil: whatever is there.
func (p *program) copyDir(ctx context.Context, f *copyFlags, dir string, is *pebblestore.Checkpoint) error {
	for _, d := range []string{dir, f.to} {
		if err := p.noFile(d); err != nil {
			return err
		}
	}
	m := p.meter("bytes")
	defer m.end()
	done, err := pebblestore.Copy(ctx, dir, f.to, pebblestore.CopyOptions{
		Codec: eras.Codec, FS: p.fs, Full: f.full, Is: is,
		Progress: func(done, total int64) { m.report(uint64(done), uint64(total), "copied") },
	})
	m.end()
	var refused *pebblestore.CopyRefusedError
	if errors.As(err, &refused) {
		return usagef(refused.Hint(), "%w", err)
	}
	if err == nil {
		err = closeTrail(filepath.Join(f.to, accessFolder))
	}
	if err != nil {
		return err
	}
	return p.printCopy(f, done)
}

// closeTrail gives a copied access trail the rights that a service gives it: its user alone reads it.
func closeTrail(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(dir, 0o700)
	}
	for _, e := range entries {
		if e.Type().IsRegular() && err == nil {
			err = os.Chmod(filepath.Join(dir, e.Name()), 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("rights of the copied access trail: %w", err)
	}
	return nil
}

func (p *program) printCopy(f *copyFlags, done pebblestore.CopyReport) error {
	out := copyReport{
		From: f.from, To: f.to, Files: done.Files, Bytes: done.Bytes, Copied: done.Copied, CopiedBytes: done.CopiedBytes,
		Removed: done.Removed, Resumed: done.Resumed, Networks: []api.NetworkUnit{},
	}
	for _, u := range done.Units {
		out.Networks = append(out.Networks, api.NetworkUnit{Network: u.Network, Newest: u.Seq})
	}
	if f.json {
		return p.printJSON(out)
	}
	for _, n := range out.Networks {
		if err := p.printf("%s up to unit %d\n", n.Network, n.Newest); err != nil {
			return err
		}
	}
	p.say("%s holds all of it: %d of %d files copied (%s of %s), %d removed; without the index, which permanode run or index rebuild makes again",
		f.to, done.Copied, done.Files, sizeText(uint64(done.CopiedBytes)), sizeText(uint64(done.Bytes)), done.Removed)
	return nil
}
