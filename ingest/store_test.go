package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

// failing is a store that fails from the n-th commit on.
type failing struct {
	storage.Writer
	left int
	err  error
}

func (f *failing) Commit(ctx context.Context, cones []*ledger.Cone) error {
	if f.left--; f.left < 0 {
		return f.err
	}
	return f.Writer.Commit(ctx, cones)
}

// A store that stops writing ends both ways of collecting with its error, and what it took is still there.
func TestStoreStops(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 3, Name: "store", Blocks: 3}, 30)
	snapshot := g.snapshot(t)
	stopped := fmt.Errorf("%w: no space", storage.ErrStopped)
	for name, collect := range map[string]func(c *ingest.Collector) error{
		"run":  func(c *ingest.Collector) error { return c.Run(context.Background()) },
		"once": func(c *ingest.Collector) error { return c.CatchUp(context.Background()) },
	} {
		for _, left := range []int{0, 1, 3} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, g.trust(t))
				cfg := r.config(g.node(t, "node"))
				cfg.Snapshot, cfg.Store = []string{snapshot}, &failing{r.store, left, stopped}
				c := r.collector(cfg)
				if err := collect(c); !errors.Is(err, storage.ErrStopped) {
					t.Fatalf("%s: %v", name, err)
				}
				if s := c.Status(); s.Phase != ingest.Stopped || s.Sentence == "stopped" {
					t.Errorf("status %+v", s)
				}
				cfg.Store = r.store
				if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
					t.Fatal(err)
				}
				r.checkTangle(g, 30, true)
			})
		}
	}
}

// A cone that the store finds too large is a gap with that reason; what lies before it is committed.
func TestStoreFindsConeTooLarge(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 3, Name: "store", Blocks: 3}, 5)
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, g.trust(t))
		cfg := r.config(g.node(t, "node"))
		cfg.Snapshot, cfg.Store = []string{snapshot}, &tooLarge{r.store, 4}
		if err := r.collector(cfg).CatchUp(context.Background()); !errors.Is(err, storage.ErrIncomplete) {
			t.Fatal(err)
		}
		r.checkTangle(g, 3, true)
		if gaps := r.coverage().Gaps; len(gaps) != 1 || gaps[0].From != 4 {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

type tooLarge struct {
	storage.Writer
	seq uint64
}

func (s *tooLarge) Commit(ctx context.Context, cones []*ledger.Cone) error {
	for _, c := range cones {
		if c.Unit.Seq == s.seq {
			return storage.ErrTooLarge
		}
	}
	return s.Writer.Commit(ctx, cones)
}

// bell is a feed that hands over all records of a network and rings.
type bell struct {
	g    *tangle
	ring chan uint64
	runs atomic.Int64
}

func (b *bell) Name() string { return "bell" }

func (b *bell) Status() ingest.FeedStatus { return ingest.FeedStatus{Name: "bell"} }

func (b *bell) Run(ctx context.Context, put func([]byte), ring func(uint64)) error {
	if b.runs.Add(1) == 1 {
		return errors.New("the first connection breaks")
	}
	for _, c := range b.g.cones {
		for _, raw := range c.Raws {
			put(raw)
		}
		put([]byte("not a record"))
	}
	for {
		select {
		case seq := <-b.ring:
			ring(seq)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// headsOnly is a source that has units and no records.
type headsOnly struct {
	ingest.Source
	mu   sync.Mutex
	asks int
}

func (h *headsOnly) Fetch(context.Context, []ledger.ID) ([][]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asks++
	return nil, nil
}

// A feed fills the cache and rings: units are there long before the next poll, without a record asked for.
func TestFeed(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 3, Name: "feed", Blocks: 3}, 20)
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		g.setTip(0)
		r := newRig(t, g.trust(t))
		src := &headsOnly{Source: g.node(t, "node")}
		feed := &bell{g: g, ring: make(chan uint64)}
		cfg := r.config(src)
		cfg.Snapshot, cfg.Feeds, cfg.Poll = []string{snapshot}, []ingest.Feed{feed}, time.Hour
		c := r.collector(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Second)
		began := time.Now()
		for tip := uint64(1); tip <= 20; tip++ {
			g.setTip(tip)
			feed.ring <- tip
			for c.Status().Last != tip {
				if time.Since(began) > time.Minute {
					t.Fatalf("unit %d does not come: %+v", tip, c.Status())
				}
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		r.checkTangle(g, 20, true)
		if src.asks > 0 {
			t.Errorf("records were asked for %d times", src.asks)
		}
	})
}

// A source whose answers trickle in stands in nobody's way, and alone it does not hold up a one-off for long.
func TestSlowSource(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 3, Name: "slow", Blocks: 3}, 40)
	snapshot := g.snapshot(t)
	for name, c := range map[string]struct {
		path string
		err  error
	}{
		"all":     {"", ingest.ErrNoSource},
		"heads":   {"/by-index/", storage.ErrIncomplete},
		"records": {"/blocks/", storage.ErrIncomplete},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			slow := func() ingest.Source {
				return inProcess(t, "slow", replay.NewFaults(replay.Serve(g), 1, replay.Rule{Path: c.path, Do: replay.Slow(time.Second)}))
			}
			r := newRig(t, g.trust(t))
			cfg := r.config(slow(), g.node(t, "fast"))
			cfg.Snapshot = []string{snapshot}
			began := time.Now()
			if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.checkTangle(g, 40, true)
			if d := time.Since(began); d > 30*time.Second {
				t.Errorf("beside a fast source it took %s", d)
			}

			r = newRig(t, g.trust(t))
			cfg = r.config(slow())
			cfg.Snapshot = []string{snapshot}
			began = time.Now()
			if err := r.collector(cfg).CatchUp(context.Background()); !errors.Is(err, c.err) {
				t.Errorf("alone: %v", err)
			}
			if d := time.Since(began); d > 3*time.Minute {
				t.Errorf("alone it took %s", d)
			}
		}))
	}
}

// A service whose only source goes away says so, and goes on when it is back.
func TestSourceGoesAway(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 3, Name: "away", Blocks: 3}, 20)
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		g.setTip(10)
		var away atomic.Bool
		honest := replay.Serve(g)
		node := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			honest.ServeHTTP(w, r)
		})
		r := newRig(t, g.trust(t))
		cfg := r.config(inProcess(t, "node", node))
		cfg.Snapshot = []string{snapshot}
		c := r.collector(cfg)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		for _, step := range []struct {
			away  bool
			tip   uint64
			phase ingest.Phase
			last  uint64
		}{{false, 10, ingest.Following, 10}, {true, 20, ingest.Waiting, 10}, {false, 20, ingest.Following, 20}} {
			away.Store(step.away)
			g.setTip(step.tip)
			time.Sleep(time.Minute)
			if s := c.Status(); s.Phase != step.phase || s.Last != step.last || s.Sentence == "" {
				t.Errorf("away %v: %+v", step.away, s)
			}
		}
		cancel()
		<-done
		if n := r.noteKinds(); len(n) != 0 {
			t.Errorf("notes %v", n)
		}
	})
}
