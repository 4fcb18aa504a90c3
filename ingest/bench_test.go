package ingest_test

import (
	"context"
	"testing"

	"permanode/ledger/stardust/stardusttest"
)

// BenchmarkCatchUp is the whole of catching up with a ledger: asked in this process, gathered, prepared,
// sealed and committed durably.
func BenchmarkCatchUp(b *testing.B) {
	const units, blocks = 100, 100
	g := newTangle(stardusttest.Options{Seed: 1, Name: "bench", Blocks: blocks}, units)
	snapshot := g.snapshot(b)
	records, size := 0, 0
	for _, c := range g.cones {
		records += len(c.Raws)
		for _, raw := range c.Raws {
			size += len(raw)
		}
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		b.StopTimer()
		r := newRig(b, g.trust(b))
		cfg := r.config(g.node(b, "node"))
		cfg.Snapshot = []string{snapshot}
		c := r.collector(cfg)
		b.StartTimer()
		if err := c.CatchUp(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		r.close()
		b.StartTimer()
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}
