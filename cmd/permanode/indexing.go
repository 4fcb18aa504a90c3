package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// indexDir is where the index of an archive lives.
func indexDir(dataDir string) string { return filepath.Join(dataDir, "index") }

// indexPart is the index's part of memory: an eighth.
const indexPart = 8

// openIndex opens the index of the archive in dir.
func openIndex(dir string, store storage.Reader, memory byteSize, readOnly bool, log *slog.Logger) (*index.Index, error) {
	x, err := index.Open(indexDir(dir), index.Options{
		ReadOnly: readOnly, Store: store, Codec: eras.Codec, Memory: int64(memory) / indexPart, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	return x, nil
}

// indexWanted tells whether commands without a config are to keep an index: the environment can forbid it, as in a config.
func indexWanted() (bool, error) {
	switch text := os.Getenv(envName("index.text")); text {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, usagef("write true or false", "%s: %q is neither true nor false", envName("index.text"), text)
	}
}

// indexed tells whether the archive that d names is to have an index: its config says so, or the environment.
func (d *dataFlags) indexed() (bool, error) {
	if d.config == "" {
		return indexWanted()
	}
	c, err := readConfig(d.config)
	if err != nil {
		return false, err
	}
	return c.Index.Text, nil
}

// readIndexed is read for commands that search.
func (p *program) readIndexed(ctx context.Context, d *dataFlags, do func(*query.Archive, []query.Network) error) error {
	wanted, err := d.indexed()
	if err != nil {
		return err
	}
	return p.readWithIndex(ctx, d, func(store storage.Reader, x *index.Index, networks []query.Network) error {
		a := query.New(store, eras.Codec)
		if wanted {
			a.UseIndex(x)
		}
		return do(a, networks)
	})
}

// counted is a follower that tells after each cone how many it took.
type counted struct {
	follow.Follower
	done uint64
	tell func(done uint64)
}

// Follow takes a cone and tells.
func (c *counted) Follow(ctx context.Context, cone *ledger.Cone) error {
	err := c.Follower.Follow(ctx, cone)
	c.done++
	c.tell(c.done)
	return err
}

// indexNow opens the index of the archive in dir, brings that of a network up to what the store holds, and closes it.
// A deadline that has passed leaves it behind: the next one to open it goes on.
func (p *program) indexNow(ctx context.Context, db *pebblestore.DB, dir string, memory byteSize, network string) (err error) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.say("the index was not brought up to date: the next ingest or run does it")
		return nil
	}
	x, err := openIndex(dir, db, memory, false, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer closing(ctx, &err, x.Close)
	err = p.indexAll(ctx, db, x, network)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		p.say("the index lies behind: the next ingest or run goes on with it")
		return nil
	}
	return err
}

// indexAll brings the index of a network up to what the store holds, with progress.
func (p *program) indexAll(ctx context.Context, db *pebblestore.DB, x *index.Index, network string) error {
	rows, err := db.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range rows {
		if n.Name != network {
			continue
		}
		f, err := x.Follower(n)
		if err != nil {
			return fmt.Errorf("index of %s: %w", n.Name, err)
		}
		return p.catchUp(ctx, db, n, f)
	}
	return nil
}

// catchUp has a follower take all that the store holds of a network, with progress.
func (p *program) catchUp(ctx context.Context, db *pebblestore.DB, n ledger.Network, f follow.Follower) error {
	missing, err := follow.Missing(ctx, db, n.ID, f)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", f.Name(), n.Name, err)
	}
	m := p.meter("units indexed")
	defer m.end()
	tell := func(done uint64) { m.report(done, missing.Len(), "") }
	if err := follow.CatchUp(ctx, db, n.ID, &counted{Follower: f, tell: tell}); err != nil {
		return fmt.Errorf("%s of %s: %w; what is stored is not touched, and the next start goes on", f.Name(), n.Name, err)
	}
	return nil
}

func (p *program) indexCommand() *cobra.Command {
	return group("index", "Keep the index of texts", "", p.indexRebuildCommand())
}

const indexRebuildHelp = `Makes the index again from the store: beside the old one, which stays in use until the new one is whole and
was compared with the store, then in its place. Interrupted, it goes on where it was. Nothing that is archived is touched.

A running service does the same when its process gets the signal USR1 (kill -USR1 PID), and answers meanwhile.

Exit status: 0 done; 1 error, the old index is in place; 130 interrupted.`

func (p *program) indexRebuildCommand() *cobra.Command {
	d := dataFlags{instead: "a service holds it, which rebuilds its index itself, and answers meanwhile, when its process gets the signal USR1: kill -USR1 PID"}
	c := &cobra.Command{
		Use: "rebuild", Short: "Make the index again from the store", Long: indexRebuildHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.rebuild(c.Context(), &d) },
	}
	d.add(c, false)
	return c
}

func (p *program) rebuild(ctx context.Context, d *dataFlags) (err error) {
	dir, memory, err := d.where()
	if err != nil {
		return err
	}
	db, err := p.openThere(dir, memory)
	if err != nil {
		return d.explain(err)
	}
	defer closing(ctx, &err, db.Close)
	x, err := openIndex(dir, db, memory, false, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer closing(ctx, &err, x.Close)
	networks, err := query.New(db, eras.Codec).Select(ctx, d.network)
	if err != nil {
		return err
	}
	for _, n := range networks {
		m := p.meter("units of " + n.Name + " indexed")
		err := x.Rebuild(ctx, n.Network, func(done, total uint64) { m.report(done, total, "") })
		m.end()
		if err != nil {
			return fmt.Errorf("rebuild the index of %s: %w", n.Name, err)
		}
		s := x.Status(n.ID)
		p.say("%s: rebuilt: %d units, %d documents, %s", n.Name, s.Done.Len(), s.Docs, sizeText(s.Bytes))
	}
	return nil
}

// hasIndex tells whether an archive has an index at all.
func hasIndex(dir string) bool {
	info, err := os.Stat(indexDir(dir))
	return err == nil && info.IsDir()
}

// readWithIndex opens an archive for reading, with its index, and hands both to do, with the networks that d selects.
func (p *program) readWithIndex(ctx context.Context, d *dataFlags, do func(storage.Reader, *index.Index, []query.Network) error) (err error) {
	dir, memory, err := d.where()
	if err != nil {
		return err
	}
	db, err := p.open(dir, memory, true, p.logger(slog.LevelWarn))
	if err != nil {
		return d.explain(err)
	}
	defer closing(ctx, &err, db.Close)
	x, err := openIndex(dir, db, memory, true, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer closing(ctx, &err, x.Close)
	networks, err := query.New(db, eras.Codec).Select(ctx, d.network)
	if err != nil {
		return err
	}
	return do(db, x, networks)
}
