package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"golang.org/x/sync/errgroup"

	"permanode/ingest"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/api"
	"permanode/storage/pebblestore"
)

const demoHelp = `Starts two nodes in this process: one is a real node of a private Stardust tangle, recorded, with its REST, MQTT and
INX; the other one serves a small constructed Rebased network over gRPC. Pulls all that they have into one archive,
proves every unit, prints what was proven and commands to try, and serves the API until Ctrl-C. Meanwhile the recorded
node goes on: it confirms one more milestone every second (--pace) until its recording ends.

Its plug can be pulled: curl -X POST http://ADDRESS/plug/out drops all its connections, /plug/in brings it back; the
address is printed. The node goes on in the dark, and the archive loses nothing: what it missed it asks for.

The archive stays in --data: a second start goes on where the first one ended, and the other commands read it once the
demo has ended.`

const (
	demoListen   = "127.0.0.1:8080"
	demoSnapshot = "genesis_snapshot.bin"
	demoPace     = time.Second
)

func (p *program) demoCommand() *cobra.Command {
	addr, dir, pace := demoListen, "", demoPace
	c := &cobra.Command{
		Use: "demo", Short: "The service over two recorded networks, served by nodes in this process", Long: demoHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.told = takeSignals()
			if pace <= 0 {
				return usagef("write it like 1s or 200ms", "--pace %s is no time between two milestones", pace)
			}
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
			return p.serviceEnd(c.Context(), p.demo(c.Context(), ln, dir, pace))
		},
	}
	c.Flags().StringVar(&addr, "listen", addr, "address of the API")
	c.Flags().StringVar(&dir, "data", "", "directory of the archive (default: permanode/demo in the user's cache folder)")
	c.Flags().DurationVar(&pace, "pace", pace, "time between two milestones of the recorded node")
	return c
}

// demoListener takes a free port instead of the usual one where that is busy and nobody asked for it.
func (p *program) demoListener(ctx context.Context, addr string, asked bool) (net.Listener, error) {
	ln, err := listen(ctx, addr, false)
	if err == nil || asked || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	p.say("%s is busy: taking a free port", addr)
	return listen(ctx, "127.0.0.1:0", false)
}

func (p *program) demo(ctx context.Context, ln net.Listener, dir string, pace time.Duration) (err error) {
	log := p.logger(slog.LevelWarn)
	db, err := p.open(dir, defaultMemory/8, false, log)
	var format *pebblestore.FormatError
	if errors.As(err, &format) {
		return usagef("name another directory: permanode demo --data DIR; or, if nothing but a demo of another version was there, remove "+dir, "%w", err)
	}
	if err != nil {
		return err
	}
	defer closing(ctx, &err, db.Close)
	archive := query.New(db, eras.Codec)
	held := func(network string) uint64 { _, last := demoHeld(ctx, archive, network); return last }
	nets, closeNets, err := p.demoNets(ctx, pace, held)
	if err != nil {
		return err
	}
	defer closing(ctx, &err, closeNets)
	plug, err := listen(ctx, "127.0.0.1:0", false)
	if err != nil {
		return err
	}
	defer plug.Close() // closed by its server, if it comes to that
	svc := p.newService(dir, db, log)
	if svc.metricsAt, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer svc.metricsAt.Close() // closed by its server, if it comes to that
	defer closing(ctx, &err, svc.close)
	if err := svc.openFace(&apiConfig{Listen: ln.Addr().String(), Rate: 50, SearchRate: 5}, dir); err != nil {
		return err
	}
	for _, n := range nets {
		p.say("%s answers at %s", n.what, n.at)
		n.Network, n.Quarantine, n.Log = networkName(n.Trust), quarantine(dir), log
		if n.took, n.pulled, err = p.pull(ctx, svc, n.Config); err != nil {
			return err
		}
	}
	if err := svc.openIndex(ctx, dir, defaultMemory/8); err != nil {
		return err
	}
	for _, x := range svc.followers {
		if err := p.catchUp(ctx, db, x.net, x.follower); err != nil {
			return err
		}
	}
	if err := p.demoReport(ctx, archive, nets, demoPlaces{api: ln.Addr().String(), plug: plug.Addr().String(), metrics: svc.metricsAt.Addr().String(), dir: dir}); err != nil {
		return err
	}
	err = p.demoLive(ctx, svc, nets, ln, plug)
	for _, n := range nets {
		if n.node != nil {
			err = errors.Join(err, p.printf("%s\n", demoEnd(context.WithoutCancel(ctx), archive, n)))
		}
	}
	return err
}

// demoNets starts the nodes of the demo.
func (p *program) demoNets(ctx context.Context, pace time.Duration, held func(string) uint64) (nets []*demoNet, closeAll func() error, err error) {
	closeAll = func() (err error) {
		for _, n := range nets {
			err = errors.Join(err, n.close())
		}
		return err
	}
	for _, open := range []func() (*demoNet, error){
		func() (*demoNet, error) { return demoStardust(p, pace, held) },
		func() (*demoNet, error) { return demoRebased(ctx) },
	} {
		n, err := open()
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("bundled recording: %w", err), closeAll())
		}
		nets = append(nets, n)
	}
	return nets, closeAll, nil
}

// demoLive serves, while the recorded node goes on and its plug can be pulled, until ctx ends.
func (p *program) demoLive(ctx context.Context, svc *service, nets []*demoNet, ln, plug net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return svc.run(ctx, ln) })
	for _, n := range nets {
		if n.node == nil {
			continue
		}
		g.Go(func() error { return api.Serve(ctx, plug, n.node, svc.log) })
		g.Go(func() error {
			if !n.node.live(ctx) {
				return nil
			}
			return p.demoWhole(ctx, svc.db, n)
		})
	}
	return g.Wait()
}

// demoWhole waits until all of a recording that has ended is in the archive, and says so.
func (p *program) demoWhole(ctx context.Context, db *pebblestore.DB, n *demoNet) error {
	archive := query.New(db, eras.Codec)
	rows, err := archive.Select(ctx, n.Network)
	if err != nil {
		return err
	}
	for {
		changed := db.Changed(rows[0].ID)
		if _, last := demoHeld(ctx, archive, n.Network); last >= n.node.last {
			return p.printf("the recording has ended: %s\n", demoEnd(ctx, archive, n))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// demoHeld returns the range of units that the archive holds of a network, 0 and 0 where it holds none or has a hole.
func demoHeld(ctx context.Context, a *query.Archive, network string) (first, last uint64) {
	selected, err := a.Select(ctx, network)
	if err != nil {
		return 0, 0 // nothing is there yet
	}
	e, err := a.Extent(ctx, selected[0])
	if err != nil || len(e.Ranges) != 1 {
		return 0, 0
	}
	return e.Ranges[0].From, e.Ranges[0].To
}

// demoEnd says whether anything was lost.
func demoEnd(ctx context.Context, a *query.Archive, n *demoNet) string {
	first, last := demoHeld(ctx, a, n.Network)
	tip := n.node.node.Tip()
	switch {
	case first == 0:
		return fmt.Sprintf("%s: the archive has a hole: permanode coverage names it", n.Network)
	case last < tip:
		return fmt.Sprintf("%s: milestones %d to %d are here without a hole; the node has %d more, which the next start asks for", n.Network, first, last, tip-last)
	}
	return fmt.Sprintf("%s: milestones %d to %d are here without a hole, which is all that the node confirmed: nothing is lost", n.Network, first, last)
}

// pull adds the network to the service and brings it up to what its node has. It returns how long that took and how many
// records came.
func (p *program) pull(ctx context.Context, svc *service, c ingest.Config) (time.Duration, uint64, error) {
	w, err := openWriter(ctx, svc.db, c.Network, "", c.Trust)
	if err != nil {
		return 0, 0, err
	}
	c.Store = w
	live, err := ingest.New(c)
	if err != nil {
		return 0, 0, errors.Join(err, w.Close())
	}
	if err := svc.metrics.Register(live.Metrics()); err != nil {
		return 0, 0, errors.Join(err, w.Close())
	}
	svc.networks = append(svc.networks, &following{name: c.Network, collector: live, close: w.Close})
	m := p.meter("units")
	defer m.end()
	c.Feeds = nil // nothing is to be listened to yet
	c.Progress = func(s ingest.Status) {
		m.report(s.Last, s.Newest, fmt.Sprintf("%d records, %.0f per second", s.Records, s.Rate))
	}
	collector, err := ingest.New(c)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	err = collector.CatchUp(ctx)
	return time.Since(begin), collector.Status().Records, err
}
