package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"permanode/index"
	"permanode/ingest"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/api"
	"permanode/storage/pebblestore"
)

const runHelp = `Follows the feeds of the config, proves and stores what they bring, and answers on the API, until it is told
to stop (Ctrl-C, SIGTERM). A feed that is down is no error; a network that cannot go on says why in /readyz, while
the others and the API go on. The signal USR1 makes it rebuild its index while it answers.

Exit status: 0 stopped as told; 1 error, also of a stop that could not close the store, the index or the access trail
and says why; 2 wrong config.`

func (p *program) runCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use: "run --config FILE", Short: "The service: collect, prove, store, answer", Long: runHelp, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.told = takeSignals()
			conf, err := p.loadConfig(file)
			if err != nil {
				return err
			}
			return p.serviceEnd(c.Context(), p.runService(c.Context(), conf))
		},
	}
	configFlag(c, &file)
	return c
}

// serviceEnd makes a stop that was asked for a good end.
func (p *program) serviceEnd(ctx context.Context, err error) error {
	if err = unlessStopped(ctx, err); err == nil && ctx.Err() != nil {
		p.say("stopped")
	}
	return err
}

// unlessStopped returns the error of what ctx did not end.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// closing adds to the error of the work that of closing what it was done with. Where the work was told to stop, that it was
// must not hide that a close failed.
func closing(ctx context.Context, err *error, end func() error) {
	if failed := end(); failed != nil {
		*err = errors.Join(unlessStopped(ctx, *err), failed)
	}
}

func (p *program) runService(ctx context.Context, conf *config) (err error) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(conf.LogLevel)); err != nil {
		return usagef("use debug, info, warn or error", "log_level: %w", err)
	}
	log := p.logger(level)
	ln, err := listen(ctx, conf.API.Listen, conf.API.KeysFile != "")
	if err != nil {
		return err
	}
	defer ln.Close() // closed by the API, if it comes to that
	db, err := p.open(conf.DataDir, conf.Memory, false, log)
	if err != nil {
		return err
	}
	defer closing(ctx, &err, db.Close)
	svc := p.newService(conf.DataDir, db, log)
	svc.level, svc.config = level, conf.file
	if svc.metricsAt, err = metricsListener(ctx, conf, log); err != nil {
		return err
	}
	if svc.metricsAt != nil {
		defer svc.metricsAt.Close() // closed by its server, if it comes to that
	}
	defer closing(ctx, &err, svc.close)
	if err := svc.openFace(&conf.API, conf.DataDir); err != nil {
		return err
	}
	for _, n := range conf.Networks {
		followed, err := svc.follow(ctx, conf, n)
		if err != nil {
			return err
		}
		svc.networks = append(svc.networks, followed)
	}
	rows, err := db.Networks(ctx)
	if err != nil {
		return err
	}
	for _, line := range unheld(rows) {
		log.Warn(line)
	}
	if conf.Index.Text {
		if err := svc.openIndex(ctx, conf.DataDir, conf.Memory); err != nil {
			return err
		}
	}
	return svc.run(ctx, ln)
}

func listen(ctx context.Context, addr string, keys bool) (net.Listener, error) {
	if err := api.CheckListen(addr, keys); err != nil {
		return nil, usagef("for example 127.0.0.1:8080", "%w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("API: %w", err)
	}
	return ln, nil
}

// metricsListener opens the listener of the metrics, nil if there is to be none. A taken port that nobody asked for by
// name costs the metrics, not the service.
func metricsListener(ctx context.Context, conf *config, log *slog.Logger) (net.Listener, error) {
	if conf.Metrics.Listen == "" {
		return nil, nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", conf.Metrics.Listen)
	switch {
	case err == nil:
		return ln, nil
	case conf.origin["metrics.listen"] == "default":
		log.Warn("no metrics: their address is taken; metrics.listen of the config names another, or none", "error", err)
		return nil, nil
	}
	return nil, fmt.Errorf("metrics: %w", err)
}

// service is the API over one store, and the networks that it follows.
type service struct {
	log       *slog.Logger
	db        *pebblestore.DB
	meter     func(what string) *meter
	networks  []*following
	index     *index.Index // nil: none is kept
	followers []indexed
	disk      *diskState
	copies    *checkpointer
	manager   *notifier // nil: no service manager started it
	told      told
	face      *apiFace
	level     *slog.LevelVar // of log; nil: it stays as it is
	config    string         // file with the level
	metrics   *prometheus.Registry
	metricsAt net.Listener // nil: no metrics are served
}

// newService is the service over an archive in dir, which collects nothing yet.
func (p *program) newService(dir string, db *pebblestore.DB, log *slog.Logger) *service {
	s := &service{log: log, db: db, meter: p.meter, disk: newDiskState(dir), metrics: newRegistry(), told: p.told}
	s.disk.measure()
	s.metrics.MustRegister(healthMetrics{s})
	if err := db.DropCheckpoint(); err != nil {
		log.Warn("the checkpoint of an earlier run stays, and costs room", "err", err)
	}
	return s
}

// indexed is one network that the index follows.
type indexed struct {
	net      ledger.Network
	follower follow.Follower
}

// openIndex opens the index of the archive in dir, and a follower of each network in it, collected or not.
func (s *service) openIndex(ctx context.Context, dir string, memory byteSize) (err error) {
	if s.index, err = openIndex(dir, s.db, memory, false, s.log); err != nil {
		return err
	}
	rows, err := s.db.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range rows {
		f, err := s.index.Follower(n)
		if err != nil {
			return fmt.Errorf("index of %s: %w", n.Name, err)
		}
		s.followers = append(s.followers, indexed{n, f})
	}
	return s.index.Collect(s.metrics)
}

// following is one network that is collected.
type following struct {
	name      string
	collector *ingest.Collector
	close     func() error
}

// follow makes the collector of a network and everything that it needs.
func (s *service) follow(ctx context.Context, conf *config, n networkConfig) (_ *following, err error) {
	trust, codec, err := trustAndCodec(n.Trust)
	if err != nil {
		return nil, err
	}
	var sources []*source
	defer func() {
		if err != nil {
			err = errors.Join(err, closeSources(sources))
		}
	}()
	memory := max(int64(conf.Memory)/int64(len(conf.Networks)), 8<<20)
	for _, f := range n.Feeds {
		f.memory = memory
		opened, err := feedTypes[f.Type].open(ctx, f)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("feed cannot be opened yet", "network", n.Name, "feed", f.Name, "error", err)
			later := &late{name: f.Name, open: func(ctx context.Context) (*source, error) { return feedTypes[f.Type].open(ctx, f) }}
			opened, err = &source{Source: later, name: f.Name, close: later.Close}, nil
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, opened)
	}
	w, err := openWriter(ctx, s.db, n.Name, n.Follows, trust)
	if err != nil {
		return nil, err
	}
	m := s.meter("units of " + n.Name)
	c, err := ingest.New(ingest.Config{
		Network: n.Name, Codec: codec, Trust: trust, Store: w, Sources: plainSources(sources), Feeds: plainFeeds(sources), Start: n.Start, Snapshot: n.Snapshot,
		Quarantine: quarantine(conf.DataDir), Memory: memory,
		Log: s.log,
		Progress: func(st ingest.Status) {
			if st.Lag > 0 { // at the tip there is nothing to wait for
				m.report(st.Last, st.Newest, fmt.Sprintf("%d records, %.0f per second", st.Records, st.Rate))
			}
		},
	})
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := s.metrics.Register(c.Metrics()); err != nil {
		return nil, errors.Join(fmt.Errorf("metrics of %s: %w", n.Name, err), w.Close())
	}
	return &following{name: n.Name, collector: c, close: func() error { return errors.Join(w.Close(), closeSources(sources)) }}, nil
}

func (s *service) close() (err error) {
	if s.index != nil {
		err = s.index.Close()
	}
	for _, n := range s.networks {
		err = errors.Join(err, n.close())
	}
	if s.face != nil {
		err = errors.Join(err, s.face.close())
	}
	return err
}

// run follows and answers until ctx ends. A network that cannot go on ends alone: readers are served still.
func (s *service) run(ctx context.Context, ln net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	s.copies = newCheckpointer(ctx, s.db)
	defer s.copies.close()
	s.manager = s.openManager()
	defer s.manager.close()
	for _, n := range s.networks {
		g.Go(func() error {
			if err := n.collector.Run(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("collecting stopped", "net", n.name, "err", err)
			}
			return nil
		})
	}
	for _, x := range s.followers {
		g.Go(func() error { return unlessStopped(ctx, follow.Run(ctx, s.db, x.net.ID, x.follower)) })
	}
	g.Go(func() error {
		s.rebuildOnSignal(ctx)
		return nil
	})
	g.Go(func() error {
		s.disk.watch(ctx)
		return nil
	})
	handler := s.api()
	g.Go(func() error {
		s.manager.run(ctx, s.pulse(s.face.scheme(), ln, handler))
		return nil
	})
	g.Go(func() error {
		s.reloadOnSignal(ctx)
		return nil
	})
	g.Go(func() error {
		s.log.Info("the API answers", "url", s.face.scheme()+"://"+ln.Addr().String()+"/v1/info")
		return api.Serve(ctx, s.face.listener(ln), handler, s.log)
	})
	if s.metricsAt != nil {
		g.Go(func() error {
			s.log.Info("the metrics answer", "url", "http://"+s.metricsAt.Addr().String()+"/metrics")
			return serveMetrics(ctx, s.metricsAt, metricsHandler(s.metrics, isLoopback(s.metricsAt.Addr())), s.log)
		})
	}
	return g.Wait()
}

// live says what the service does for each network that it collects.
func (s *service) live() map[string]query.Live {
	all := map[string]query.Live{}
	for _, n := range s.networks {
		st := n.collector.Status()
		l := query.Live{
			Phase: string(st.Phase), Sentence: st.Sentence, Newest: st.Newest, Lag: st.Lag, Pending: st.Pending,
			Sources: []query.LiveSource{}, Feeds: []query.LiveFeed{},
		}
		for _, src := range st.Sources {
			l.Sources = append(l.Sources, query.LiveSource{Name: src.Name, Software: src.Software, Newest: src.Newest, OK: src.OK, Problem: src.Problem})
		}
		for _, f := range st.Feeds {
			l.Feeds = append(l.Feeds, query.LiveFeed{Name: f.Name, Connected: f.Connected, Sentence: f.Sentence()})
		}
		all[n.name] = l
	}
	return all
}

// sourceTroubles says why sources are not asked now.
func sourceTroubles(sources []ingest.SourceStatus) (text string) {
	for _, s := range sources {
		if !s.OK && s.Problem != "" {
			text += "; " + s.Name + ": " + s.Problem
		}
	}
	return text
}
