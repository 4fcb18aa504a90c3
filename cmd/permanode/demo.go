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
	"permanode/internal/replay/iotareplay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/stardust"
	"permanode/query"
	"permanode/testdata"
)

const demoHelp = `Starts two nodes in this process: one serves over REST what a real node of a private Stardust tangle served, the
other one a small constructed Rebased network over gRPC. Pulls all of it into one archive, proves every unit, prints
what was proven and commands to try, and serves the API until Ctrl-C.

The archive stays in --data: a second start goes on where the first one ended, and the other commands read it once the
demo has ended.`

const (
	demoListen   = "127.0.0.1:8080"
	demoSnapshot = "genesis_snapshot.bin"
)

func (p *program) demoCommand() *cobra.Command {
	addr, dir := demoListen, ""
	c := &cobra.Command{
		Use: "demo", Short: "The service over two recorded networks, served by nodes in this process", Long: demoHelp, Args: noArgs,
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

// demoNet is one of the networks of the demo: what collects it, and how it is told about.
type demoNet struct {
	what string // of the network, in a sentence
	ingest.Config
	count  func(n query.Network, c *demoCount, cone *ledger.Cone) error
	close  func() error
	took   time.Duration
	pulled uint64
}

func (p *program) demo(ctx context.Context, ln net.Listener, dir string) (err error) {
	var nets []*demoNet
	defer func() {
		for _, n := range nets {
			err = errors.Join(err, n.close())
		}
	}()
	for _, open := range []func(context.Context) (*demoNet, error){demoStardust, demoRebased} {
		n, err := open(ctx)
		if err != nil {
			return fmt.Errorf("bundled recording: %w", err)
		}
		nets = append(nets, n)
	}
	log := p.logger(slog.LevelWarn)
	db, err := p.open(dir, defaultMemory/8, false, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	svc := &service{log: log, db: db}
	defer func() { err = errors.Join(err, svc.close()) }()
	for _, n := range nets {
		p.say("%s answers at %s", n.what, n.Sources[0].Name())
		n.Network, n.Quarantine, n.Log = networkName(n.Trust), quarantine(dir), log
		if n.took, n.pulled, err = p.pull(ctx, svc, n.Config); err != nil {
			return err
		}
	}
	if err := p.demoReport(ctx, db, nets, ln.Addr().String(), dir); err != nil {
		return err
	}
	return svc.run(ctx, ln)
}

// demoStardust serves the recording of a real Hornet node.
func demoStardust(ctx context.Context) (_ *demoNet, err error) {
	files, err := fs.Sub(testdata.Recordings, "recordings/stardust")
	if err != nil {
		return nil, err
	}
	rec, err := replay.OpenRecording(files)
	if err != nil {
		return nil, err
	}
	node, stop, err := serveNode(ctx, replay.NewNode(rec))
	if err != nil {
		return nil, errors.Join(err, rec.Close())
	}
	trust, snapshot, remove, err := demoLedger(files, rec.Parameters)
	if err != nil {
		stop()
		return nil, errors.Join(err, rec.Close())
	}
	return &demoNet{
		what:   "a node of the Stardust tangle " + trust.Name + ", recorded,",
		Config: ingest.Config{Codec: stardust.Codec{}, Trust: trust, Sources: []ingest.Source{node}, Snapshot: []string{snapshot}},
		count:  countStardust,
		close: func() error {
			stop()
			remove()
			return rec.Close()
		},
	}, nil
}

// demoRebased serves a constructed chain of checkpoints as a node's gRPC service.
func demoRebased(ctx context.Context) (*demoNet, error) {
	files, err := fs.Sub(testdata.Recordings, "vectors/rebased/checkpoints/mininet-a")
	if err != nil {
		return nil, err
	}
	chain, err := iotareplay.Open(files)
	if err != nil {
		return nil, err
	}
	raw, err := fs.ReadFile(files, "committee_epoch0.json")
	if err != nil {
		return nil, err
	}
	spec, err := rebased.ParseCommitteeFile(raw)
	if err != nil {
		return nil, err
	}
	text, err := rebased.NewTrust(spec)
	if err != nil {
		return nil, err
	}
	trust, err := rebased.Codec{}.ParseTrust(text)
	if err != nil {
		return nil, err
	}
	server, err := iotareplay.NewNode(chain).Serve("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the demo's node: %w", err)
	}
	node, err := feedTypes[feedIotaGRPC].open(ctx, feedConfig{URL: "grpc://" + server.Addr()})
	if err != nil {
		server.Stop()
		return nil, err
	}
	return &demoNet{
		what:   "a node of a small Rebased network, constructed,",
		Config: ingest.Config{Codec: rebased.Codec{}, Trust: trust, Sources: []ingest.Source{node.Source}},
		count:  countRebased,
		close: func() error {
			err := node.close()
			server.Stop()
			return err
		},
	}, nil
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
