package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/iotanode"
	"permanode/internal/race"
	"permanode/internal/replay/iotareplay"
	"permanode/internal/wire/iota"
	"permanode/ledger"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// replayed returns the chain as a replayed node has it.
func (c *chain) replayed(t testing.TB) *iotareplay.Node {
	t.Helper()
	var chks [][]byte
	for _, m := range c.made {
		chks = append(chks, m.File())
	}
	r, err := iotareplay.New(chks, nil)
	if err != nil {
		t.Fatal(err)
	}
	return iotareplay.NewNode(r)
}

// overGRPC returns a source that asks the node at addr.
func overGRPC(t testing.TB, addr string) ingest.Source {
	t.Helper()
	s, err := iotanode.NewGRPC(iotanode.Config{Name: "node", Address: "grpc://" + addr, Timeout: 400 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// A stream that is cut, ended early, stalls, lacks messages or has wrong bytes, a node that is half open or starts
// again: what is committed is true at any time, and in the end all is there.
func TestRebasedFaultGRPC(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 5))
	units := 80
	if race.Enabled {
		units = 15
	}
	c := newChain(t, rebasedtest.Options{Seed: s, Transactions: 2, Epoch: uint64(units / 3), Unknown: 11}, units)
	for name, do := range map[string]iotareplay.Do{
		"cut": iotareplay.Cut, "end": iotareplay.End, "stall": iotareplay.Stall, "skip": iotareplay.Skip, "flip": iotareplay.Send,
	} {
		t.Run(name, func(t *testing.T) {
			for range rounds(1, 50) {
				node := c.replayed(t)
				trick := newTrick(rng.Uint64(), do)
				node.SetTrick(trick.play)
				srv, err := node.Serve("127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(srv.Stop)
				c.untilWhole(t, overGRPC(t, srv.Addr()), func() {})
				if trick.played.Load() == 0 {
					t.Error("nothing happened to the stream")
				}
			}
		})
	}
	t.Run("restart", func(t *testing.T) {
		node := c.replayed(t)
		srv, err := node.Serve("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var messages atomic.Int64
		down, up := make(chan struct{}), make(chan error, 1)
		node.SetTrick(func(call iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			if call.Method == iota.StreamCheckpoints && messages.Add(1) == int64(units) {
				close(down)
				return nil, iotareplay.Stall
			}
			return m, iotareplay.Send
		})
		source := overGRPC(t, srv.Addr())
		go func() {
			<-down
			srv.Stop()
			var err error
			srv, err = node.Serve(srv.Addr())
			up <- err
		}()
		c.untilWhole(t, source, func() {})
		if err := <-up; err != nil {
			t.Fatal(err)
		}
		srv.Stop()
	})
	t.Run("half open", func(t *testing.T) {
		node := c.replayed(t)
		srv, err := node.Serve("127.0.0.1:0")
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
		var messages atomic.Int64
		node.SetTrick(func(call iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
			if call.Method == iota.StreamCheckpoints && messages.Add(1) == int64(units) {
				wire.Freeze() // nothing comes any more, and nobody says so
			}
			return m, iotareplay.Send
		})
		c.untilWhole(t, overGRPC(t, wire.Addr()), wire.Break)
	})
}

// untilWhole collects until all is there; between two tries the world may change. What an attempt leaves is true.
func (c *chain) untilWhole(t *testing.T, s ingest.Source, between func()) {
	t.Helper()
	r := newRig(t, c.trust)
	last := uint64(len(c.made) - 1)
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		cfg := r.config(s)
		cfg.Trust = c.trust
		err := r.collector(cfg).CatchUp(ctx)
		cancel()
		if err == nil {
			break
		}
		if try == 10 || !errors.Is(err, storage.ErrIncomplete) && !errors.Is(err, ingest.ErrNoSource) {
			t.Fatalf("try %d: %v", try, err)
		}
		if cov := r.coverage(); len(cov.Spans) > 0 && !cov.Spans[0].Empty() {
			r.checkFiles(c.files, 0, cov.Spans[0].Hi, anybody)
		}
		between()
	}
	r.checkFiles(c.files, 0, last, anybody)
	r.checkFull()
}

// anybody lets any unit attest another: how far one reads at a time is up to the faults; a full check looks at it.
func anybody(uint64, ledger.ID) error { return nil }

// trick does something to a few messages of streams.
type trick struct {
	do     iotareplay.Do
	at     map[int64]uint64 // number of the message -> random
	count  atomic.Int64
	played atomic.Int64
}

func newTrick(s uint64, do iotareplay.Do) *trick {
	rng := rand.New(rand.NewPCG(s, 6))
	k := &trick{do: do, at: map[int64]uint64{}}
	for next := int64(1 + rng.IntN(20)); len(k.at) < 4; next += int64(1 + rng.IntN(60)) {
		k.at[next] = rng.Uint64()
	}
	return k
}

func (k *trick) play(c iotareplay.Call, m []byte) ([]byte, iotareplay.Do) {
	if c.Method != iota.StreamCheckpoints {
		return m, iotareplay.Send
	}
	r, ok := k.at[k.count.Add(1)]
	if !ok || len(m) == 0 {
		return m, iotareplay.Send
	}
	k.played.Add(1)
	if k.do == iotareplay.Send {
		m = bytes.Clone(m)
		m[r%uint64(len(m))] ^= 1 << (r >> 61)
	}
	return m, k.do
}
