package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/stardust"
	"permanode/query"
	"permanode/storage/pebblestore"
	"permanode/testdata"
)

const demoHelp = `Starts a node in this process that serves what a real node of a private tangle served, pulls all of it over
HTTP, proves every unit, prints what was proven and three commands to try, and serves the API until Ctrl-C.

The archive stays in --data: a second start goes on where the first one ended, and the other commands read it once the
demo has ended.`

const (
	demoListen   = "127.0.0.1:8080"
	demoSnapshot = "genesis_snapshot.bin"
)

func (p *program) demoCommand() *cobra.Command {
	addr, dir := demoListen, ""
	c := &cobra.Command{
		Use: "demo", Short: "The service over a recorded tangle, served by a node in this process", Long: demoHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				cache, err := os.UserCacheDir()
				if err != nil {
					return usagef("name one with --data", "no folder for the archive: %w", err)
				}
				dir = filepath.Join(cache, "permanode", "demo")
			}
			ln, err := p.demoListener(c.Context(), addr, c.Flags().Changed("listen"))
			if err != nil {
				return err
			}
			defer ln.Close() // closed by the API, if it comes to that
			return p.serviceEnd(c.Context(), p.demo(c.Context(), ln, dir))
		},
	}
	c.Flags().StringVar(&addr, "listen", addr, "address of the API")
	c.Flags().StringVar(&dir, "data", "", "directory of the archive (default: permanode/demo in the user's cache folder)")
	return c
}

// demoListener takes a free port instead of the usual one where that is busy and nobody asked for it.
func (p *program) demoListener(ctx context.Context, addr string, asked bool) (net.Listener, error) {
	ln, err := listen(ctx, addr)
	if err == nil || asked || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	p.say("%s is busy: taking a free port", addr)
	return listen(ctx, "127.0.0.1:0")
}

func (p *program) demo(ctx context.Context, ln net.Listener, dir string) (err error) {
	files, err := fs.Sub(testdata.Recordings, "recordings/stardust")
	if err != nil {
		return err
	}
	rec, err := replay.OpenRecording(files)
	if err != nil {
		return fmt.Errorf("bundled recording: %w", err)
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	node, stop, err := serveNode(ctx, replay.NewNode(rec))
	if err != nil {
		return err
	}
	defer stop()
	trust, snapshot, remove, err := demoLedger(files, rec.Parameters)
	if err != nil {
		return err
	}
	defer remove()
	log := p.logger(slog.LevelWarn)
	db, err := p.open(dir, defaultMemory/8, false, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p.say("a node of the tangle %s answers at %s", trust.Name, node.Name())
	svc := &service{log: log, db: db}
	took, pulled, err := p.pull(ctx, svc, ingest.Config{
		Network: networkName(trust), Codec: stardust.Codec{}, Trust: trust, Sources: []ingest.Source{node},
		Snapshot: []string{snapshot}, Quarantine: quarantine(dir), Log: log,
	})
	defer func() { err = errors.Join(err, svc.close()) }()
	if err != nil {
		return err
	}
	if err := p.demoReport(ctx, db, ln.Addr().String(), dir, took, pulled); err != nil {
		return err
	}
	return svc.run(ctx, ln)
}

// serveNode serves a node on a free port of this machine until stop is called.
func serveNode(ctx context.Context, h http.Handler) (*hornet2.Source, func(), error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("the demo's node: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ln) // ends by Close below; a node that fails shows as a source that does not answer
	}()
	node, err := hornet2.New(hornet2.Config{URL: "http://" + ln.Addr().String()})
	stop := func() {
		_ = srv.Close()
		<-ended
		node.Close()
	}
	return node, stop, err
}

// demoLedger makes the trust file of the recording and a file of its snapshot, which remove takes away.
func demoLedger(files fs.FS, parameters []byte) (trust ledger.Trust, snapshot string, remove func(), err error) {
	raw, err := fs.ReadFile(files, demoSnapshot)
	if err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	sum := sha256.Sum256(raw)
	text, err := stardust.TrustFromRecording(parameters, hex.EncodeToString(sum[:]))
	if err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	if trust, err = eras.ParseTrust(text); err != nil {
		return trust, "", nil, fmt.Errorf("bundled recording: %w", err)
	}
	dir, err := os.MkdirTemp("", "permanode-demo-*")
	if err != nil {
		return trust, "", nil, fmt.Errorf("room for the snapshot: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	snapshot = filepath.Join(dir, demoSnapshot)
	if err := os.WriteFile(snapshot, raw, 0o600); err != nil {
		remove()
		return trust, "", nil, fmt.Errorf("room for the snapshot: %w", err)
	}
	return trust, snapshot, remove, nil
}

// pull adds the network to the service and brings it up to what its node has. It returns how long that took and how many
// records came.
func (p *program) pull(ctx context.Context, svc *service, c ingest.Config) (time.Duration, uint64, error) {
	w, err := openWriter(ctx, svc.db, c.Network, c.Trust)
	if err != nil {
		return 0, 0, err
	}
	m := p.meter("units")
	defer m.end()
	c.Store = w
	c.Progress = func(s ingest.Status) {
		m.report(s.Last, s.Newest, fmt.Sprintf("%d records, %.0f per second", s.Records, s.Rate))
	}
	collector, err := ingest.New(c)
	if err != nil {
		return 0, 0, errors.Join(err, w.Close())
	}
	svc.networks = append(svc.networks, &following{name: c.Network, collector: collector, close: w.Close})
	begin := time.Now()
	err = collector.CatchUp(ctx)
	return time.Since(begin), collector.Status().Records, err
}

// demoCount counts what the archive holds and had to prove for it.
type demoCount struct {
	milestones, blocks, signatures, outputs, gaps, bytes uint64
	example                                              string // id of an applied transaction
	unit                                                 uint64 // and its unit
}

// count reads the whole archive of n.
func (c *demoCount) count(ctx context.Context, a *query.Archive, n query.Network) error {
	e, err := a.Extent(ctx, n)
	if err != nil {
		return err
	}
	for _, g := range e.Gaps {
		c.gaps += g.To - g.From + 1
	}
	return a.Cones(ctx, []query.Network{n}, func(_ query.Network, cone *ledger.Cone) error {
		c.milestones++
		m, err := stardust.ParseMilestone(n.Codec.Head(cone.Unit))
		if err != nil {
			return fmt.Errorf("unit %d: %w", cone.Unit.Seq, err)
		}
		c.signatures += uint64(len(m.Signatures))
		for i := range cone.Records {
			if err := c.add(n, &cone.Records[i]); err != nil {
				return err
			}
		}
		return nil
	}, func(uint64, uint64) {})
}

func (c *demoCount) add(n query.Network, r *ledger.Record) error {
	raw := r.Parts[0].Raw
	c.blocks++
	c.bytes += uint64(len(raw))
	block, err := stardust.ParseBlock(raw)
	if err != nil {
		return fmt.Errorf("record %s: %w", n.Codec.FormatID(r.ID), err)
	}
	tx, ok := block.Payload.(*stardust.Transaction)
	if !ok {
		return nil
	}
	for i := range tx.Unlocks {
		if tx.Unlocks[i].Type == stardust.UnlockSignature {
			c.signatures++
		}
	}
	if r.State == ledger.Applied {
		c.outputs += uint64(len(tx.Outputs))
		c.example, c.unit = n.Codec.FormatID(r.ID), r.Ord.Seq
	}
	return nil
}

func (p *program) demoReport(ctx context.Context, db *pebblestore.DB, addr, dir string, took time.Duration, pulled uint64) error {
	a := query.New(db, eras.Codec)
	networks, err := a.Networks(ctx)
	if err != nil {
		return err
	}
	n := networks[0]
	var c demoCount
	if err := c.count(ctx, a, n); err != nil {
		return err
	}
	speed := "nothing new: all of it was here already"
	if pulled > 0 {
		speed = fmt.Sprintf("%.0f blocks per second (%d in %s, over HTTP)", float64(pulled)/took.Seconds(), pulled, took.Round(time.Millisecond))
	}
	var t table
	fmt.Fprintf(&t, "%s: proven from raw bytes, nothing believed\n", n.Name)
	t.line("milestones", "%d", c.milestones)
	t.line("blocks", "%d", c.blocks)
	t.line("signatures", "%d checked", c.signatures)
	t.line("roots", "%d recomputed", 2*c.milestones)
	t.line("outputs", "%d created; unspent + treasury = supply at every milestone", c.outputs)
	t.line("gaps", "%d", c.gaps)
	t.line("bytes", "%d (%s)", c.bytes, sizeText(c.bytes))
	t.line("speed", "%s", speed)
	base := fmt.Sprintf("http://%s/v1/networks/%s", addr, n.Name)
	return p.printf(`%s
Try, in another terminal:
  curl %s/coverage
  curl %s/records/%s
  curl '%s/units/%d/records?limit=3'

The API answers at http://%s until Ctrl-C. The archive stays in %s; then also: permanode check --full --data %s
`, t.String(), base, base, c.example, base, c.unit, addr, dir, dir)
}
