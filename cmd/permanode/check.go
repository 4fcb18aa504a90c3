package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"

	"github.com/spf13/cobra"

	"permanode/index"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
)

const checkHelp = `Checks the archive against itself: files against what the last clean stop left, ids and links of all units, and
with --full everything again from the stored bytes: signatures, order, roots, states, postings, counts, the ledger.
--sample N hashes N random records again and proves their units.
--index compares the index with the store: files with their hashes, documents with records; with --full all of them, else
a sample of each shard.
--access verifies the access trail alone, also of a running service: its chain of hashes, its days, its head. A check
without it does so too, where there is a trail.
--repair first proves units again that hold records which the version that stored them could not read whole, and
stores what this version reads; nothing received is changed.

A directory that was not stopped cleanly is recovered first. Lists every finding and always ends.
Exit status: 0 no fault; 1 error; 3 faults, each with the next step.`

type checkFlags struct {
	dataFlags
	full, repair, index, access bool
	sample                      int
}

// finding is one fault in --json.
type finding struct {
	Network string   `json:"network"`
	File    string   `json:"file"`
	What    string   `json:"what"`
	Seq     uint64   `json:"seq"`
	Key     string   `json:"key"`
	Why     string   `json:"why"`
	Hit     []string `json:"hit"`
	Hint    string   `json:"hint"`
}

func (p *program) checkCommand() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use: "check [--sample N | --full | --index [--full] | --access | --repair]", Short: "Check the archive against itself", Long: checkHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch sampled := c.Flags().Changed("sample"); {
			case f.repair && (sampled || f.full || f.index || f.access):
				return usagef("run permanode check --full after it", "--repair goes alone")
			case f.access && (sampled || f.full || f.index):
				return usagef("a check without --access verifies the access trail too", "--access goes alone")
			case f.index && sampled:
				return usagef("--index takes a sample of its own; --index --full compares all of it", "--index and --sample exclude each other")
			case sampled && f.full:
				return usagef("--full proves everything, --sample some of it", "--full and --sample exclude each other")
			case sampled && f.sample < 1:
				return usagef("for example --sample 1000", "--sample %d is not a number of records", f.sample)
			}
			switch {
			case f.repair:
				return p.repair(c.Context(), &f)
			case f.index:
				return p.checkIndex(c.Context(), &f)
			case f.access:
				return p.checkAccess(c.Context(), &f)
			}
			return p.check(c.Context(), &f)
		},
	}
	f.add(c, true)
	c.Flags().BoolVar(&f.full, "full", false, "prove every unit again and compare every row")
	c.Flags().BoolVar(&f.index, "index", false, "compare the index with the store")
	c.Flags().BoolVar(&f.access, "access", false, "verify the access trail, and nothing else")
	c.Flags().IntVar(&f.sample, "sample", 0, "hash this many random records again and prove their units")
	c.Flags().BoolVar(&f.repair, "repair", false, "read again what an earlier version could not read whole, and store that")
	return c
}

// repair stores what this version reads of records that the one that stored them could not read whole.
func (p *program) repair(ctx context.Context, f *checkFlags) (err error) {
	dir, memory, err := f.where()
	if err != nil {
		return err
	}
	db, err := p.openThere(dir, memory)
	if err != nil {
		return f.explain(err)
	}
	defer closing(ctx, &err, db.Close)
	m := p.meter("units")
	defer m.end()
	done, err := check.Repair(ctx, check.Options{
		Store: db, Codec: eras.Codec, Network: f.network,
		Progress: func(at check.Progress) { m.report(at.Unit, at.Of, "proving again") },
	}, func(ctx context.Context, n ledger.Network) (storage.Writer, error) { return db.Writer(ctx, n) })
	m.end()
	p.say("repaired %d units, and %d behind them that depend on them; %d records stay as received, since this version cannot read them whole either",
		done.Units, done.Later, done.Undecoded)
	return err
}

// openThere opens a store for writing that must be there.
func (p *program) openThere(dir string, memory byteSize) (*pebblestore.DB, error) {
	old, err := p.open(dir, memory, true, p.logger(slog.LevelWarn))
	if err != nil {
		return nil, err
	}
	if err := old.Close(); err != nil {
		return nil, err
	}
	return p.open(dir, memory, false, p.logger(slog.LevelWarn))
}

func (p *program) check(ctx context.Context, f *checkFlags) (err error) {
	dir, memory, err := f.where()
	if err != nil {
		return err
	}
	if err := p.noFile(dir); err != nil {
		return err
	}
	useMemory(memory)
	db, err := pebblestore.Inspect(dir, pebblestore.Options{
		Codec: eras.Codec, Memory: int64(memory), FS: p.fs, Log: p.logger(slog.LevelWarn),
	})
	if err != nil {
		return f.explain(err)
	}
	defer closing(ctx, &err, db.Close)
	m := p.meter("units")
	var broken error // of standard output
	report, err := check.Run(ctx, check.Options{
		Store: db, Codec: eras.Codec, Network: f.network, Full: f.full, Sample: f.sample, Seed: rand.Uint64(),
		Progress: func(at check.Progress) {
			extra := fmt.Sprintf("%d records", at.Records)
			if at.Comparing != "" {
				extra = "comparing " + at.Comparing
			}
			m.report(at.Unit, at.Of, extra)
		},
	}, func(found check.Finding) {
		m.end()
		broken = errors.Join(broken, p.printFinding(found, f.json))
	})
	m.end()
	p.say("checked %d units: %d links and ids, %d proven again from %d records (%s): %s",
		report.Units, report.Signed, report.Proven, report.Records, sizeText(report.Bytes), countText(report.Findings, "fault"))
	if report.Undecoded > 0 {
		p.say("%d of these records are stored as received and were not read whole; %d units with such records can be read better by this version: permanode check --repair",
			report.Undecoded, report.Better)
	}
	if err != nil && !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	if err == nil {
		err = p.sayIndex(ctx, db, dir, memory, f.network)
	}
	return errors.Join(err, p.checkTrail(ctx, dir, f.json), broken)
}

// sayIndex says how the index stands: it is no part of the archive, and can be made again at any time.
func (p *program) sayIndex(ctx context.Context, store storage.Reader, dir string, memory byteSize, network string) (err error) {
	if !hasIndex(dir) {
		p.say("there is no index; permanode index rebuild makes one")
		return nil
	}
	x, err := openIndex(dir, store, memory, true, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer closing(ctx, &err, x.Close)
	a := query.New(store, eras.Codec)
	a.UseIndex(x)
	networks, err := a.Select(ctx, network)
	if err != nil {
		return err
	}
	for _, n := range networks {
		s, err := a.Status(ctx, n)
		if err != nil {
			return err
		}
		p.say("index of %s: %s (permanode check --index compares it with the store)", n.Name, indexSentence(s.Index))
	}
	return nil
}

// checkIndex compares the index with the store.
func (p *program) checkIndex(ctx context.Context, f *checkFlags) error {
	faults := 0
	var behind error
	err := p.readWithIndex(ctx, &f.dataFlags, func(_ storage.Reader, x *index.Index, networks []query.Network) error {
		for _, n := range networks {
			for found, err := range x.Check(ctx, n.Network, f.full) {
				if errors.Is(err, storage.ErrIncomplete) {
					behind = errors.Join(behind, err)
					continue
				}
				if err != nil {
					return fmt.Errorf("check the index of %s: %w", n.Name, err)
				}
				faults++
				if err := p.printFinding(check.Finding{
					Network: n.Name, File: filepath.Join("index", found.Shard), What: "index", Why: found.Text, Hint: "permanode index rebuild",
				}, f.json); err != nil {
					return err
				}
			}
			s := x.Status(n.ID)
			p.say("checked the index of %s: %d units, %d documents, %s", n.Name, s.Done.Len(), s.Docs, sizeText(s.Bytes))
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, behind) // not all of it was looked at
	}
	p.say("%s", countText(faults, "fault"))
	if faults > 0 {
		err = fmt.Errorf("%s in the index, none of which touches what is archived: %w", countText(faults, "fault"), storage.ErrCorrupt)
	}
	return errors.Join(err, behind)
}

func (p *program) printFinding(f check.Finding, asJSON bool) error {
	if asJSON {
		hit := f.Hit
		if hit == nil {
			hit = []string{}
		}
		return p.printJSON(finding{f.Network, f.File, f.What, f.Seq, f.Key, f.Why, hit, f.Hint})
	}
	if f.Hint == "" {
		return p.printf("%s\n", plain(f.String()))
	}
	return p.printf("%s\n  next: %s\n", plain(f.String()), f.Hint)
}
