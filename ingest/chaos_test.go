package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/ledger/stardust/stardusttest"
)

// spoiled returns g's node with random faults.
func spoiled(g *tangle, rng *rand.Rand) http.Handler {
	pick := []func() replay.Rule{
		func() replay.Rule { return replay.Rule{P: 0.1, Do: replay.Missing} },
		func() replay.Rule { return replay.Rule{Raw: true, P: 0.1, Do: replay.Flip} },
		func() replay.Rule { return replay.Rule{P: 0.1, Do: replay.Status(503)} },
		func() replay.Rule { return replay.Rule{P: 0.05, Do: replay.Delay(time.Minute)} },
		func() replay.Rule { return replay.Rule{Path: "/blocks/", P: 0.05, Do: replay.Slow(time.Second)} },
		func() replay.Rule { return replay.InfoStatus("tip", func() uint64 { return 1 + rand.Uint64N(g.tip) }) },
		func() replay.Rule {
			return replay.Rule{Path: "/by-index/", P: 0.1, Do: replay.Instead(func(string) string {
				return fmt.Sprint("/api/core/v2/milestones/by-index/", 1+rand.Uint64N(g.tip))
			})}
		},
		func() replay.Rule {
			return replay.Rule{Path: "/metadata$", P: 0.05, Do: replay.Edit(func(m map[string]any, rng *rand.Rand) {
				m["referencedByMilestoneIndex"] = rng.IntN(50)
			})}
		},
		func() replay.Rule {
			return replay.Rule{Path: "/metadata$", P: 0.05, Do: replay.Edit(func(m map[string]any, _ *rand.Rand) {
				m["ledgerInclusionState"] = "included"
			})}
		},
	}
	var rules []replay.Rule
	for range 1 + rng.IntN(3) {
		rules = append(rules, pick[rng.IntN(len(pick))]())
	}
	return replay.NewFaults(replay.Serve(g), rng.Uint64(), rules...)
}

// Whatever faults three nodes have, however often the service is stopped and started, what is committed is
// true all the time, and an honest node completes it.
func TestFaultChaos(t *testing.T) {
	s := seed(t)
	for i := range lieUnits(10, 400) {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		g := newTangle(stardusttest.Options{Seed: s + uint64(i), Name: "chaos", Blocks: 1 + rng.IntN(12)}, 25)
		snapshot := g.snapshot(t)
		held := rng.IntN(2) == 0
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, g.trust(t))
			var nodes []ingest.Source
			for k := range 3 {
				nodes = append(nodes, inProcess(t, fmt.Sprint("node-", k), spoiled(g, rng)))
			}
			config := func(sources []ingest.Source) ingest.Config {
				cfg := r.config(sources...)
				if cfg.Start = 1; held {
					cfg.Snapshot = []string{snapshot}
				}
				return cfg
			}
			for range 4 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(20_000))*time.Millisecond)
				if err := r.collector(config(nodes)).Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("round %d: %v", i, err)
				}
				cancel()
				if cov := r.coverage(); len(cov.Spans) > 0 && cov.Spans[0].Hi > 0 {
					r.checkTangle(g, int(cov.Spans[0].Hi), held)
				}
			}
			if err := r.collector(config(append(nodes, g.node(t, "honest")))).CatchUp(context.Background()); err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
			r.checkTangle(g, 25, held)
			if gaps := r.coverage().Gaps; len(gaps) != 0 {
				t.Errorf("round %d: gaps %+v", i, gaps)
			}
		})
	}
}
