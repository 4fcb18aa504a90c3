package iotanode

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/internal/replay/iotareplay"
	"permanode/internal/wire/iota"
)

// catchUp asks for all checkpoints in order as a collector does, heads ahead of records, and asks again after an
// error. It fails when one checkpoint takes too many rounds, and returns how many errors there were.
func catchUp(t *testing.T, s ingest.Source, c *iotareplay.Chain) (failed int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	again := func(what string, seq uint64, ask func() error) {
		for round := 0; ; round++ {
			err := ask()
			if err == nil {
				return
			}
			if failed++; round == 20 || ctx.Err() != nil || errors.Is(err, ingest.ErrPruned) {
				t.Fatalf("%s %d: %v", what, seq, err)
			}
		}
	}
	again("info", 0, func() error { _, err := s.Info(ctx); return err })
	for seq := c.First(); seq <= c.Last(); seq++ {
		want, err := splitFile(c.File(seq))
		if err != nil {
			t.Fatal(err)
		}
		again("head", seq, func() error {
			head, err := s.Head(ctx, seq)
			if err == nil && string(head) != string(want.head) {
				t.Fatalf("head %d differs", seq)
			}
			return err
		})
	}
	for seq := c.First(); seq <= c.Last(); seq++ {
		want, err := splitFile(c.File(seq))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // asked again: a fresh answer
			again("cone", seq, func() error {
				head, raws, err := s.Cone(ctx, seq)
				if err == nil {
					compare(t, seq, &cone{head, raws}, want)
				}
				return err
			})
		}
	}
	return failed
}

// A catch-up reads one stream, not checkpoint by checkpoint.
func TestStreamReadsAheadVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	var calls, streams atomic.Int64
	node.SetTrick(func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
		if c.Index == 0 {
			calls.Add(1)
			if c.Method == iota.StreamCheckpoints {
				streams.Add(1)
			}
		}
		return m, iotareplay.Send
	})
	g := serveGRPC(t, node, Config{})
	ctx := context.Background()
	if _, err := g.Info(ctx); err != nil {
		t.Fatal(err)
	}
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		if _, err := g.Head(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		if _, _, err := g.Cone(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
	// Info, the first head, the first cone, the stream.
	if calls.Load() != 4 || streams.Load() != 1 {
		t.Errorf("%d calls, %d streams", calls.Load(), streams.Load())
	}
}

// Whatever happens to a stream at whatever message, everything comes, in order and whole.
func TestStreamFaultsVector(t *testing.T) {
	chain := miniChain(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	runs := 3
	if os.Getenv("PERMANODE_TORTURE") != "" {
		runs = 100
	}
	for name, do := range map[string]iotareplay.Do{
		"cut": iotareplay.Cut, "ended early": iotareplay.End, "stalled": iotareplay.Stall, "left out": iotareplay.Skip,
	} {
		t.Run(name, func(t *testing.T) {
			for range runs {
				at, left := 1+rng.IntN(30), atomic.Int64{}
				left.Store(2)
				node := iotareplay.NewNode(chain)
				node.SetPerMessage(1)
				node.SetTrick(func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
					if c.Method != iota.StreamCheckpoints || c.Index != at {
						return m, iotareplay.Send
					}
					if data, err := iota.ParseCheckpointData(m); err == nil && data.Transactions != nil && do == iotareplay.Skip {
						return m, iotareplay.Send // a record that is left out is for the proof to find
					}
					if left.Add(-1) < 0 {
						return m, iotareplay.Send
					}
					return m, do
				})
				g := serveGRPC(t, node, Config{Timeout: 150 * time.Millisecond})
				if failed := catchUp(t, g, chain); failed > 4 {
					t.Errorf("message %d: %d errors", at, failed)
				}
			}
		})
	}
}

// A stream that leaves a checkpoint out is in error: nothing is taken for another.
func TestStreamGapVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	gap := chain.First() + 5
	node.SetTrick(func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
		if c.Method == iota.StreamCheckpoints && c.Seq == gap {
			return m, iotareplay.Skip
		}
		return m, iotareplay.Send
	})
	g := serveGRPC(t, node, Config{})
	ctx := context.Background()
	if _, err := g.Info(ctx); err != nil {
		t.Fatal(err)
	}
	var broke error
	for seq := chain.First(); seq <= gap && broke == nil; seq++ {
		_, broke = g.Head(ctx, seq)
	}
	if broke == nil {
		t.Error("the gap passed unseen")
	}
	if failed := catchUp(t, g, chain); failed > 6 {
		t.Errorf("%d errors", failed)
	}
}

// Messages that are not those of the checkpoint that was asked for, or not in the order of the API, are no answer.
func TestMessagesOutOfOrderVector(t *testing.T) {
	chain := miniChain(t)
	seq, other := chain.First()+2, chain.First()+3
	changed := func(m []byte, change func(d *iota.CheckpointData)) []byte {
		d, err := iota.ParseCheckpointData(m)
		if err != nil {
			t.Error(err)
			return m
		}
		change(d)
		return d.Append(nil)
	}
	head := func(change func(c *iota.Checkpoint)) iotareplay.Trick {
		return func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			return changed(m, func(d *iota.CheckpointData) {
				if d.Checkpoint != nil {
					change(d.Checkpoint)
				}
			}), iotareplay.Send
		}
	}
	var first atomic.Pointer[[]byte]
	for name, trick := range map[string]iotareplay.Trick{
		"another number": head(func(c *iota.Checkpoint) { c.Seq = &other }),
		"no summary":     head(func(c *iota.Checkpoint) { c.Summary = nil }),
		"no signature":   head(func(c *iota.Checkpoint) { c.Signature = nil }),
		"no contents":    head(func(c *iota.Checkpoint) { c.Contents = nil }),
		"no head": func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			if c.Index == 0 {
				return m, iotareplay.Skip
			}
			return m, iotareplay.Send
		},
		"an unknown begin": func(iotareplay.Call, []byte) ([]byte, iotareplay.Do) { return []byte{0x32, 0}, iotareplay.Send },
		"an end of another": func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			return changed(m, func(d *iota.CheckpointData) {
				if d.End != nil {
					d.End = &other
				}
			}), iotareplay.Send
		},
		"two heads": func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			if c.Index == 0 {
				first.Store(&m)
			}
			return *first.Load(), iotareplay.Send
		},
		"no effects": func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			return changed(m, func(d *iota.CheckpointData) {
				for i := range d.Transactions {
					d.Transactions[i].Effects = nil
				}
			}), iotareplay.Send
		},
		"no end": func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			if d, err := iota.ParseCheckpointData(m); err == nil && d.End != nil {
				return m, iotareplay.End
			}
			return m, iotareplay.Send
		},
	} {
		node := iotareplay.NewNode(chain)
		node.SetTrick(trick)
		g := serveGRPC(t, node, Config{Timeout: 2 * time.Second})
		if _, raws, err := g.Cone(context.Background(), seq); err == nil || raws != nil || errors.Is(err, ingest.ErrUnknown) || name == "two heads" && !contains(err, "before its end") {
			t.Errorf("%s: %d raws, %v", name, len(raws), err)
		}
	}
}

// Fields of newer nodes in every message do not matter.
func TestUnknownFieldsVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	node.SetTrick(func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
		return append(m, 0xa2, 0x06, 3, 'n', 'e', 'w', 0xa8, 0x06, 1), iotareplay.Send
	})
	if failed := catchUp(t, serveGRPC(t, node, Config{}), chain); failed > 0 {
		t.Errorf("%d errors", failed)
	}
}

// A window that holds nothing costs calls, and no more.
func TestSmallWindowVector(t *testing.T) {
	chain := miniChain(t)
	for _, window := range []int64{1, 20 << 10, 60 << 10} {
		g := serveGRPC(t, iotareplay.NewNode(chain), Config{Window: window, Timeout: time.Second})
		if failed := catchUp(t, g, chain); failed > 0 {
			t.Errorf("window %d: %d errors", window, failed)
		}
		if used := g.shelf.used(); used > window {
			t.Errorf("%d bytes are kept", used)
		}
	}
}

// A connection that is half open is left for a new one.
func TestHalfOpenVector(t *testing.T) {
	chain := miniChain(t)
	srv, err := iotareplay.NewNode(chain).Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	wire, err := iotareplay.NewWire(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := wire.Close(); err != nil {
			t.Error(err)
		}
	})
	g, err := NewGRPC(Config{Address: "grpc://" + wire.Addr(), Timeout: 300 * time.Millisecond})
	closing(t, g, err)
	wantCone(t, g, chain, chain.First())
	wire.Freeze()
	if failed := catchUp(t, g, chain); failed == 0 || failed > 3 {
		t.Errorf("%d errors", failed)
	}
	wire.Break()
	if failed := catchUp(t, g, chain); failed > 3 {
		t.Errorf("%d errors after the connection broke", failed)
	}
}

// A node that stops and comes back is asked again where it was left.
func TestRestartVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	srv, err := node.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGRPC(Config{Address: "grpc://" + srv.Addr(), Timeout: 2 * time.Second})
	closing(t, g, err)
	ctx := context.Background()
	if _, err := g.Info(ctx); err != nil {
		t.Fatal(err)
	}
	half := chain.First() + (chain.Last()-chain.First())/2
	for seq := chain.First(); seq < half; seq++ {
		wantCone(t, g, chain, seq)
	}
	srv.Stop()
	if _, err := g.Info(ctx); err == nil || errors.Is(err, ingest.ErrUnknown) {
		t.Errorf("a node that is down: %v", err)
	}
	if srv, err = node.Serve(srv.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := g.Info(ctx); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	for seq := half; seq <= chain.Last(); seq++ {
		wantCone(t, g, chain, seq)
	}
}

func TestPrunedAndUnknownVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	lowest, tip := chain.First()+4, chain.Last()-2
	node.SetLowest(lowest)
	node.SetTip(tip)
	r, err := NewREST(Config{Address: serve(t, node.REST())})
	closing(t, r, err)
	ctx := context.Background()
	for name, s := range map[string]ingest.Source{"gRPC": serveGRPC(t, node, Config{}), "REST": r} {
		info, err := s.Info(ctx)
		if err != nil || info.Oldest != lowest || info.Newest != tip || info.Identity != chain.Identity() {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if _, err := s.Head(ctx, lowest-1); !errors.Is(err, ingest.ErrPruned) {
			t.Errorf("%s: head below: %v", name, err)
		}
		if _, _, err := s.Cone(ctx, lowest-1); !errors.Is(err, ingest.ErrPruned) {
			t.Errorf("%s: cone below: %v", name, err)
		}
		if _, err := s.Head(ctx, tip+1); !errors.Is(err, ingest.ErrUnknown) {
			t.Errorf("%s: head above: %v", name, err)
		}
		if _, _, err := s.Cone(ctx, tip+1); !errors.Is(err, ingest.ErrUnknown) {
			t.Errorf("%s: cone above: %v", name, err)
		}
		wantCone(t, s, chain, lowest)
		wantCone(t, s, chain, tip)
		if _, err := s.Fetch(ctx, nil); !errors.Is(err, ingest.ErrCannot) {
			t.Errorf("%s: fetch: %v", name, err)
		}
		if _, err := s.Claims(ctx, 0, nil); !errors.Is(err, ingest.ErrCannot) {
			t.Errorf("%s: claims: %v", name, err)
		}
	}
}

// The bell rings for each new checkpoint, also after the node broke off.
func TestBellVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	node.SetTip(chain.First())
	var cut atomic.Bool
	node.SetTrick(func(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
		if c.Seq == chain.First()+3 && cut.CompareAndSwap(false, true) {
			return m, iotareplay.Cut
		}
		return m, iotareplay.Send
	})
	g := serveGRPC(t, node, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rang, ended := make(chan uint64, 100), make(chan error, 1)
	feed := g.Feed()
	go func() { ended <- feed.Run(ctx, nil, func(seq uint64) { rang <- seq }) }()
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		node.SetTip(seq)
		for got := range rang {
			if got == seq {
				break
			}
			if got > seq {
				t.Fatalf("rang for %d, the newest is %d", got, seq)
			}
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the feed ends with %v", err)
	}
	if !cut.Load() {
		t.Error("nothing was cut")
	}
	if s := feed.Status(); s.Last != chain.Last() || s.Reconnects != 1 || s.Connected || s.Name != g.Name() || s.Messages == 0 {
		t.Errorf("status %+v", s)
	}
}

func TestCancelledAtOnceVector(t *testing.T) {
	node := iotareplay.NewNode(miniChain(t))
	node.SetTrick(func(_ iotareplay.Call, m []byte) ([]byte, iotareplay.Do) { return m, iotareplay.Stall })
	g := serveGRPC(t, node, Config{Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	_, infoErr := g.Info(ctx)
	_, headErr := g.Head(ctx, 1)
	_, _, coneErr := g.Cone(ctx, 1)
	for what, err := range map[string]error{"info": infoErr, "head": headErr, "cone": coneErr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{"grpc://127.0.0.1:50051", "grpcs://node.example", "https://node.example:443/", "http://[::1]:50051"} {
		g, err := NewGRPC(Config{Address: good})
		closing(t, g, err)
	}
	for _, bad := range []string{"", "127.0.0.1:50051", "grpc://", "tcp://node.example:1", "grpc://node.example/path", "http://user:secret@node.example/?token=secret"} {
		if g, err := NewGRPC(Config{Address: bad}); err == nil {
			closing(t, g, nil)
			t.Errorf("%q was taken", bad)
		} else if contains(err, "secret") {
			t.Errorf("%q: the error shows credentials: %v", bad, err)
		}
	}
	g, err := NewGRPC(Config{Address: "grpc://user:secret@127.0.0.1:1", Timeout: time.Second})
	closing(t, g, err)
	if _, err := g.Info(context.Background()); err == nil || contains(err, "secret") || g.Name() != "grpc://127.0.0.1:1" {
		t.Errorf("name %q, error %v", g.Name(), err)
	}
}
