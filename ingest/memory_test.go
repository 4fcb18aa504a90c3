package ingest_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// heldCodec counts the assemblies that something still holds, and looks at unit after.
type heldCodec struct {
	stardust.Codec
	live  atomic.Int64
	after uint64
	most  int64
	held  int64 // when unit after began
}

type heldAssembly struct{ ledger.Assembly }

func (c *heldCodec) Begin(ctx context.Context, head []byte, at ledger.Start) (ledger.Assembly, error) {
	a, err := c.Codec.Begin(ctx, head, at)
	if err != nil {
		return nil, err
	}
	if c.live.Add(1); a.Unit().Seq == c.after {
		for end := time.Now().Add(20 * time.Second); c.live.Load() > c.most && time.Now().Before(end); {
			runtime.GC() // what the pipeline holds goes on to the store meanwhile
		}
		c.held = c.live.Load()
	}
	h := &heldAssembly{a}
	runtime.AddCleanup(h, func(live *atomic.Int64) { live.Add(-1) }, &c.live)
	return h, nil
}

// TestCommittedConesAreForgotten: memory does not grow with the length of a catch-up.
func TestCommittedConesAreForgotten(t *testing.T) {
	const units = 260
	g := newTangle(stardusttest.Options{Seed: 5, Name: "held", Blocks: 2}, units)
	r := newRig(t, g.trust(t))
	codec := &heldCodec{after: units - 5, most: 130} // channels and one commit hold fewer
	cfg := r.config(g.node(t, "node"))
	cfg.Codec, cfg.Snapshot = codec, []string{g.snapshot(t)}
	if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if codec.held == 0 || codec.held > codec.most {
		t.Errorf("%d of %d cones are still in memory at unit %d", codec.held, units, codec.after)
	}
}
