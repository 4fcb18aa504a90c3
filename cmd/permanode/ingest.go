package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"permanode/ingest"
	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

const ingestHelp = `Collects everything that the sources have, proves it against the trust file, stores it, and ends. What is
there already is not asked for again: run it again after an interruption, or to add what is new.

A source is a recording folder, a folder of checkpoint files, a checkpoint store (a folder or URL with a MANIFEST), a
cone file (permanode export --format cones) or the address of a node (http://, inx://, grpc://). Several are asked in turn: none
is believed, and each fills the gaps of the others.

With a snapshot file (its SHA-256 stands in the trust file) the archive holds a ledger and decides by replay what
became of each record; a recording folder brings its own. Without one it goes by the nodes' claims, which the
signed roots prove, and says so. (Rebased needs none: its records state what became of them.)

Exit status: 0 all is there; 1 error; 2 wrong input; 4 something is missing, or --timeout passed: the gaps are named;
130 interrupted. Whatever the status, nothing that was stored is lost.`

type ingestFlags struct {
	data, trust, network, follows string
	from, snapshot                []string
	timeout                       time.Duration
	json                          bool
}

func (p *program) ingestCommand() *cobra.Command {
	var f ingestFlags
	c := &cobra.Command{
		Use:   "ingest --data DIR --trust FILE --from SOURCE...",
		Short: "Collect from recordings, cone files and nodes, then end", Long: ingestHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, more []string) error {
			f.from = append(f.from, more...)
			return p.ingest(c.Context(), &f)
		},
	}
	c.Flags().StringVar(&f.data, "data", "", "directory of the archive; made if it is not there")
	c.Flags().StringVar(&f.trust, "trust", "", "trust file, or a built-in one: "+strings.Join(eras.BuiltInNames(), ", "))
	c.Flags().StringArrayVar(&f.from, "from", nil, "source; may be given several times")
	c.Flags().StringVar(&f.network, "network", "", "label of the network (default: its own name, else era and identity)")
	c.Flags().StringVar(&f.follows, "follows", "", "network of the archive whose ledger this one continues, in the era before (default: as stored, else none)")
	c.Flags().StringArrayVar(&f.snapshot, "snapshot", nil, "snapshot file; a second one is its delta")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "end after this time (default: none)")
	c.Flags().BoolVar(&f.json, "json", false, "print the coverage as one JSON object")
	return c
}

func (f *ingestFlags) check() error {
	switch {
	case f.data == "":
		return usagef("name the directory of the archive; it is made if it is not there", "--data is missing")
	case f.trust == "":
		return usagef("permanode trust init --from SOURCE -o FILE makes one; built in: "+strings.Join(eras.BuiltInNames(), ", "), "--trust is missing")
	case len(f.from) == 0:
		return usagef("name a recording folder, a cone file or a node's address", "--from is missing")
	case f.timeout < 0:
		return usagef("write it like 90s or 10m", "--timeout %s is negative", f.timeout)
	case f.network != "":
		if err := checkName(f.network); err != nil {
			return usagef("for example shimmer-2", "--network %q %w", f.network, err)
		}
	}
	if f.follows != "" {
		if err := checkName(f.follows); err != nil {
			return usagef("permanode coverage lists the networks", "--follows %q %w", f.follows, err)
		}
	}
	return nil
}

func (p *program) ingest(ctx context.Context, f *ingestFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	memory, err := memoryFromEnvironment()
	if err != nil {
		return err
	}
	keep, err := indexWanted()
	if err != nil {
		return err
	}
	trust, codec, err := trustAndCodec(f.trust)
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		limit, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		ctx = limit
	}
	sources, err := openSources(ctx, f.from, int64(memory), codec)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errors.Join(f.late(), err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSources(sources)) }()
	for _, s := range sources {
		for _, line := range s.says {
			p.say("%s: %s", s.name, line)
		}
	}
	name := f.network
	if name == "" {
		name = networkName(trust)
	}
	snapshot, err := p.chooseSnapshot(trust, sources, f.snapshot)
	if err != nil {
		return err
	}
	db, err := p.open(f.data, memory, false, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer closing(ctx, &err, db.Close)
	missing := p.collect(ctx, db, f.follows, ingest.Config{
		Network: name, Codec: codec, Trust: trust, Sources: plainSources(sources), Snapshot: snapshot,
		Quarantine: quarantine(f.data), Memory: int64(memory), Log: p.logger(slog.LevelWarn),
	})
	if errors.Is(missing, context.DeadlineExceeded) && ctx.Err() != nil {
		missing = f.late()
	}
	if missing != nil && !errors.Is(missing, storage.ErrIncomplete) {
		return missing
	}
	if keep {
		err = p.indexNow(ctx, db, f.data, memory, name)
	}
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	said := p.summary(ctx, db, name, f.json)
	if missing != nil && errors.As(said, new(*query.UnknownNetworkError)) {
		said = nil // nothing came at all: that was said
	}
	return errors.Join(missing, err, said)
}

func (f *ingestFlags) late() error {
	return fmt.Errorf("%w: the timeout of %s has passed", storage.ErrIncomplete, f.timeout)
}

func trustAndCodec(name string) (ledger.Trust, ledger.Codec, error) {
	trust, err := readTrust(name)
	if err != nil {
		return trust, nil, err
	}
	codec, ok := eras.Codec(trust.Era)
	if !ok {
		return trust, nil, usagef("use a newer permanode", "trust file %s is of the era %s, which this program does not know", name, trust.Era)
	}
	return trust, codec, nil
}

// networkName is the network's own name, where that can be a label, else its era and the begin of its identity.
func networkName(t ledger.Trust) string {
	if ledger.ValidName(t.Name) {
		return t.Name
	}
	return string(t.Era) + "-" + strings.ToLower(t.Identity[:min(8, len(t.Identity))])
}

// chooseSnapshot returns the files given, else a recording folder's own if the trust file names it, and says which way
// states are decided.
func (p *program) chooseSnapshot(trust ledger.Trust, sources []*source, given []string) ([]string, error) {
	if len(given) > 0 {
		for _, name := range given {
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				return nil, usagef("name a snapshot file, or leave it out to go by claims", "--snapshot %q is no file that can be read", name)
			}
		}
		_, err := ingest.SnapshotSums(trust, given) // before a directory is made
		return given, err
	}
	if trust.States {
		return nil, nil
	}
	for _, s := range sources {
		if s.snapshot == nil {
			continue
		}
		own, err := s.snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", s.name, err)
		}
		if own == "" {
			continue
		}
		sum, err := fileSHA256(own)
		if err != nil {
			return nil, err
		}
		if slices.Contains(trust.Snapshot, sum) {
			p.say("snapshot %s fits the trust file: states are decided by replay of the ledger", own)
			return []string{own}, nil
		}
		p.say("snapshot %s has the SHA-256 %s, which the trust file does not name: it is not used", own, sum)
	}
	p.say("no snapshot: going by the claims of nodes, which the signed roots prove; conflict reasons stay unproven (--snapshot FILE decides them by replay)")
	return nil, nil
}

func fileSHA256(name string) (string, error) {
	f, err := durable.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// collect brings one network up to what its sources have, with progress.
func (p *program) collect(ctx context.Context, db *pebblestore.DB, follows string, c ingest.Config) (err error) {
	w, err := openWriter(ctx, db, c.Network, follows, c.Trust)
	if err != nil {
		return err
	}
	defer closing(ctx, &err, w.Close)
	rows, err := db.Networks(ctx)
	if err != nil {
		return err
	}
	for _, line := range unheld(rows) {
		p.say("%s", line)
	}
	m := p.meter("units")
	defer m.end()
	c.Store = w
	c.Progress = func(s ingest.Status) {
		m.report(s.Last, s.Newest, fmt.Sprintf("%d records, %.0f per second", s.Records, s.Rate))
	}
	collector, err := ingest.New(c)
	if err != nil {
		return err
	}
	return collector.CatchUp(ctx)
}

// openWriter returns the writer of a network, which it makes at first use. A name that stands for another network is a
// mistake of the command line or config. follows names the network whose ledger it continues; "" leaves what is stored.
func openWriter(ctx context.Context, db *pebblestore.DB, name, follows string, t ledger.Trust) (storage.Writer, error) {
	rows, err := db.Networks(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkFollows(rows, name, follows); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Name == name && follows == "" {
			follows = row.Follows
		}
		if row.Name == name && (row.Era != t.Era || row.Identity != t.Identity) {
			return nil, usagef("choose another name, or another data directory",
				"network %s is identity %s (%s) in this archive, and the trust file is of identity %s (%s)", name, row.Identity, row.Era, t.Identity, t.Era)
		}
		if row.Name == name && !bytes.Equal(row.Trust, t.Raw) {
			if err := provesStored(ctx, db, row, t); err != nil {
				return nil, err
			}
		}
	}
	return db.Writer(ctx, ledger.Network{Name: name, Era: t.Era, Identity: t.Identity, Trust: t.Raw, Follows: follows})
}

// checkFollows refuses a network that would follow itself, by whatever way around.
func checkFollows(rows []ledger.Network, name, follows string) error {
	for at, steps := follows, 0; at != "" && steps <= len(rows); steps++ {
		if at == name {
			return usagef("name the network whose ledger it continues", "network %s would follow itself", name)
		}
		i := slices.IndexFunc(rows, func(n ledger.Network) bool { return n.Name == at })
		if i < 0 {
			return nil
		}
		at = rows[i].Follows
	}
	return nil
}

// unheld returns, for each network that follows one which the archive does not hold, a sentence about it: it may come
// later, or be misspelt.
func unheld(rows []ledger.Network) (out []string) {
	for _, n := range rows {
		if n.Follows != "" && !slices.ContainsFunc(rows, func(o ledger.Network) bool { return o.Name == n.Follows }) {
			out = append(out, fmt.Sprintf("network %s follows %s, which the archive does not hold", n.Name, n.Follows))
		}
	}
	return out
}

// trustSamples is about how many units of a span a new trust file has to prove.
const trustSamples = 64

// provesStored refuses a trust file that would replace the one of a network and does not prove what is stored of it:
// some units of each span tell, the last one among them. Adding keys to a file, or narrowing their ranges to what they signed, passes.
func provesStored(ctx context.Context, db storage.Reader, row ledger.Network, t ledger.Trust) error {
	codec, ok := eras.Codec(row.Era)
	if !ok {
		return nil // db.Writer says so
	}
	cov, err := db.Coverage(ctx, row.ID)
	if err != nil {
		return err
	}
	at := ledger.Start{
		Trust: t,
		State: func(ctx context.Context, keys [][]byte) ([][]byte, error) { return db.State(ctx, row.ID, keys) },
		Known: func(_ context.Context, ids []ledger.ID) ([]bool, error) { return make([]bool, len(ids)), nil },
	}
	for _, s := range cov.Spans {
		step := max(1, (s.Next()-s.Lo)/trustSamples)
		for next := s.Lo; s.Has(next); next += step {
			if s.Hi-next < step {
				next = s.Hi // the last one in any case
			}
			u, _, err := db.Unit(ctx, row.ID, next)
			if err != nil {
				return fmt.Errorf("unit %d of %s: %w", next, row.Name, err)
			}
			if !u.AttestedBy.IsZero() {
				continue // its own signatures were never checked
			}
			if _, err := codec.Begin(ctx, codec.Head(u), at); err != nil {
				return usagef("go on with the trust file that the archive was made with: permanode trust show tells them apart",
					"the trust file does not prove unit %d of %s, which is stored: %w", next, row.Name, err)
			}
		}
	}
	return nil
}

// summary prints what the archive now holds of a network.
func (p *program) summary(ctx context.Context, db *pebblestore.DB, name string, asJSON bool) error {
	a := query.New(db, eras.Codec)
	networks, err := a.Select(ctx, name)
	if err != nil {
		return err
	}
	cov, err := a.Coverage(ctx, networks[0])
	if err != nil {
		return err
	}
	return p.printCoverage(cov, asJSON)
}
