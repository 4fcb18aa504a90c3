package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"permanode/ingest"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

// Every row of the catalogue of lies (T-L1 to T-L5, T-L8 to T-L10, T-L12, T-L13), each in bulk: all are
// detected, nothing forged is stored, coverage is exact. Time is that of a bubble, so that pauses cost none.

// lieUnits is how many units a row runs over: enough for 1,000 mutants in `make torture`, fewer in CI.
func lieUnits(ci, torture int) int {
	if os.Getenv("PERMANODE_TORTURE") != "" {
		return torture
	}
	if race.Enabled {
		return max(4, ci/5)
	}
	return ci
}

// seed returns a new seed and prints it with a failure.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	t.Logf("seed %d", s)
	return s
}

// once is a node that answers the first request for each path with a lie and all others honestly.
type once struct {
	honest http.Handler
	lie    func(w http.ResponseWriter, r *http.Request) bool // false: no lie about this

	mu   sync.Mutex
	told map[string]bool
}

func newOnce(honest http.Handler, lie func(w http.ResponseWriter, r *http.Request) bool) *once {
	return &once{honest: honest, lie: lie, told: map[string]bool{}}
}

func (o *once) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	again := o.told[r.URL.Path]
	if !again && o.lie(w, r) {
		o.told[r.URL.Path] = true
		o.mu.Unlock()
		return
	}
	o.mu.Unlock()
	o.honest.ServeHTTP(w, r)
}

func (o *once) count() int { return len(o.told) }

// collect runs a one-off over g's units from sources inside a bubble and hands the store to judge.
func collect(t *testing.T, g *tangle, held bool, sources func() []ingest.Source, judge func(r *rig, c *ingest.Collector, err error)) {
	t.Helper()
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, g.trust(t))
		cfg := r.config(sources()...)
		if held {
			cfg.Snapshot = []string{snapshot}
		}
		c := r.collector(cfg)
		judge(r, c, c.CatchUp(context.Background()))
	})
}

// oneByOne collects g as its tip rises unit by unit, so that every lie stands in the way when it is told, and
// compares what is stored with the truth.
func oneByOne(t *testing.T, g *tangle, held bool, node ingest.Source, judge func(r *rig)) {
	t.Helper()
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, g.trust(t))
		for tip := range g.cones {
			g.setTip(uint64(tip + 1))
			cfg := r.config(node)
			if held {
				cfg.Snapshot = []string{snapshot}
			}
			if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		r.checkTangle(g, len(g.cones), held)
		judge(r)
	})
}

func sendBytes(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", replay.Raw)
	_, _ = w.Write(body)
}

// T-L1: a bit of every block is changed. The node's honest second answer is welcome.
func TestLiesChangedBlock(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies"}, lieUnits(20, 60))
	rng := rand.New(rand.NewPCG(seed(t), 0))
	honest := replay.Serve(g)
	liar := newOnce(honest, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blocks/") || r.Header.Get("Accept") != replay.Raw {
			return false
		}
		rec := answer(honest, r)
		rec[rng.IntN(len(rec))] ^= 1 << rng.IntN(8)
		sendBytes(w, rec)
		return true
	})
	collect(t, g, true, func() []ingest.Source { return []ingest.Source{inProcess(t, "liar", liar)} },
		func(r *rig, c *ingest.Collector, err error) {
			if err != nil {
				t.Fatal(err)
			}
			r.checkTangle(g, len(g.cones), true)
			// Bytes that are no record at all have no id: one note a unit.
			if n := len(r.notes(storage.NoteRefused)); n > liar.count() || n < liar.count()*8/10 || n == 0 {
				t.Errorf("%d lies told, %d noted", liar.count(), n)
			}
			if s := c.Status().Sources[0]; s.Lies != liar.count() {
				t.Errorf("%d lies told, %d counted", liar.count(), s.Lies)
			}
			t.Logf("%d mutants", liar.count())
		})
}

func answer(h http.Handler, r *http.Request) []byte {
	w := &body{header: http.Header{}}
	h.ServeHTTP(w, r)
	return bytes.Clone(w.Bytes())
}

type body struct {
	bytes.Buffer
	header http.Header
}

func (b *body) Header() http.Header { return b.header }
func (b *body) WriteHeader(int)     {}

// T-L2, T-L4 and every other lie that only a key holder can tell: each is refused with its own code, at
// every unit, and the honest head that comes later is taken.
func TestLiesOfKeyHolders(t *testing.T) {
	mutants := 0
	for _, l := range stardusttest.Lies {
		if l.Code == "" {
			continue
		}
		t.Run(strings.ReplaceAll(l.Name, " ", "-"), func(t *testing.T) {
			g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies", Blocks: 5}, lieUnits(12, 340))
			heads := map[string][]byte{}
			for i, c := range g.cones {
				if i > 0 {
					if h := g.net.Tell(l, c); h != nil {
						heads[fmt.Sprintf("/api/core/v2/milestones/by-index/%d", i+1)] = h
					}
				}
			}
			liar := newOnce(replay.Serve(g), func(w http.ResponseWriter, r *http.Request) bool {
				h := heads[r.URL.Path]
				if h != nil {
					sendBytes(w, h)
				}
				return h != nil
			})
			oneByOne(t, g, true, inProcess(t, "liar", liar), func(r *rig) {
				codes := map[string]int{}
				for _, n := range r.notes(storage.NoteRefused) {
					codes[n.Code]++
				}
				if liar.count() != len(heads) || codes[l.Code] != len(heads) || len(codes) != 1 || len(heads) == 0 {
					t.Errorf("%d lies, told %d, refused %v, want all as %s", len(heads), liar.count(), codes, l.Code)
				}
			})
			mutants += len(heads)
		})
	}
	t.Logf("%d mutants", mutants)
}

// T-L3: whole cones with a record missing, one added, or in another order.
func TestLiesAboutCones(t *testing.T) {
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 0))
	units := lieUnits(40, 340)
	for name, c := range map[string]struct {
		change func(seq uint64, raws [][]byte) [][]byte
		noted  bool
	}{
		"missing": {func(_ uint64, raws [][]byte) [][]byte {
			i := rng.IntN(len(raws))
			return append(raws[:i:i], raws[i+1:]...)
		}, false},
		"added": {func(seq uint64, raws [][]byte) [][]byte {
			extra := stardust.AppendBlock(nil, &stardust.Block{Version: 2, Parents: []stardust.Hash{{1}}, Nonce: seq})
			return append(raws, extra)
		}, true},
		"swapped": {func(_ uint64, raws [][]byte) [][]byte {
			rng.Shuffle(len(raws), func(i, j int) { raws[i], raws[j] = raws[j], raws[i] })
			return raws
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTangle(stardusttest.Options{Seed: s, Name: "lies", Blocks: 5}, units)
			collect(t, g, true, func() []ingest.Source { return []ingest.Source{&wholeSource{g, c.change}, g.node(t, "honest")} },
				func(r *rig, col *ingest.Collector, err error) {
					if err != nil {
						t.Fatal(err)
					}
					r.checkTangle(g, units, true)
					if noted := len(r.notes(storage.NoteRefused)); (noted > 0) != c.noted || (col.Status().Sources[0].Lies > 0) != c.noted {
						t.Errorf("%d refused, lies %d", noted, col.Status().Sources[0].Lies)
					}
				})
		})
	}
	// Alone, a cone with a record missing completes no unit.
	g := newTangle(stardusttest.Options{Seed: s, Name: "lies", Blocks: 5}, 3)
	short := &wholeSource{g, func(seq uint64, raws [][]byte) [][]byte {
		if seq == 3 {
			return raws[:len(raws)-1]
		}
		return raws
	}}
	collect(t, g, true, func() []ingest.Source { return []ingest.Source{short} }, func(r *rig, _ *ingest.Collector, err error) {
		if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "records") {
			t.Errorf("error %v", err)
		}
		r.checkTangle(g, 2, true)
		if gaps := r.coverage().Gaps; len(gaps) != 1 || gaps[0].From != 3 {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

// T-L5, known before commit: both units are kept as notes, and the one that the next unit builds on is taken.
func TestLiesTwoUnitsKnownBefore(t *testing.T) {
	units := lieUnits(60, 1010)
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies", Blocks: 3}, units)
	other := lieNamed(t, "other content")
	heads := map[uint64][]byte{}
	for i, c := range g.cones[:units-1] {
		heads[uint64(i+1)] = g.net.Tell(other, c)
	}
	v := g.variant(heads)
	for _, order := range [][]*tangle{{g, v}, {v, g}} {
		collect(t, g, true, func() []ingest.Source {
			return []ingest.Source{order[0].node(t, "a"), order[1].node(t, "b")}
		}, func(r *rig, _ *ingest.Collector, err error) {
			if err != nil {
				t.Fatal(err)
			}
			r.checkTangle(g, units, true)
			r.checkEquivocations(g, heads)
		})
	}
	// The last unit alone: nothing tells yet which one counts, so none is committed.
	v = g.variant(map[uint64][]byte{uint64(units): g.net.Tell(other, g.cones[units-1])})
	collect(t, g, true, func() []ingest.Source { return []ingest.Source{g.node(t, "a"), v.node(t, "b")} },
		func(r *rig, _ *ingest.Collector, err error) {
			if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "different units were signed") {
				t.Errorf("error %v", err)
			}
			r.checkTangle(g, units-1, true)
		})
}

func lieNamed(t *testing.T, name string) stardusttest.Lie {
	t.Helper()
	for _, l := range stardusttest.Lies {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no lie %q", name)
	return stardusttest.Lie{}
}

// checkEquivocations looks for both units of every number in heads, with what was signed.
func (r *rig) checkEquivocations(g *tangle, heads map[uint64][]byte) {
	r.t.Helper()
	stand := map[string]bool{}
	for _, n := range r.notes(storage.NoteEquivocation) {
		stand[fmt.Sprint(n.Seq, " ", string(n.Evidence))] = true
	}
	for seq, head := range heads {
		if !stand[fmt.Sprint(seq, " ", string(head))] || !stand[fmt.Sprint(seq, " ", string(g.heads[seq]))] {
			r.t.Fatalf("unit %d: not both units stand (%d notes)", seq, len(stand))
		}
	}
}

// T-L5, the committed one loses: the network stops with both units noted, and does so again after a restart.
func TestLiesCommittedUnitLoses(t *testing.T) {
	s := seed(t)
	other := lieNamed(t, "other content")
	for i := range lieUnits(8, 1000) {
		units := 2 + i%20
		g := newTangle(stardusttest.Options{Seed: s + uint64(i), Name: "lies", Blocks: 2}, units+1)
		lost := g.net.Tell(other, g.cones[units-1])
		first := g.variant(map[uint64][]byte{uint64(units): lost})
		first.setTip(uint64(units))
		snapshot := g.snapshot(t)
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, g.trust(t))
			cfg := r.config(first.node(t, "first"))
			cfg.Snapshot = []string{snapshot}
			if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				cfg = r.config(first.node(t, "first"), g.node(t, "second"))
				err := r.collector(cfg).Run(context.Background())
				var typed *ingest.EquivocationError
				if !errors.As(err, &typed) || typed.Seq != uint64(units) || typed.Other != ledger.NewID(g.cones[units-1].Milestone.ID[:]) || typed.Source != "second" {
					t.Fatalf("units %d: error %v", units, err)
				}
				r.checkEquivocations(g, map[uint64][]byte{uint64(units): lost})
				if cov := r.coverage(); cov.Spans[0].Hi != uint64(units) {
					t.Fatalf("coverage %+v", cov)
				}
			}
			r.decideAndGoOn(g, uint64(units), r.config(first.node(t, "first"), g.node(t, "second")))
		})
	}
}

// decideAndGoOn is the operator's act after the committed unit lost: only a noted unit can be chosen, only the
// committed one can count, and then the network waits for who follows it instead of stopping.
func (r *rig) decideAndGoOn(g *tangle, seq uint64, cfg ingest.Config) {
	r.t.Helper()
	ctx := context.Background()
	ours, _, err := r.store.Unit(ctx, r.store.Net(), seq)
	if err != nil {
		r.t.Fatal(err)
	}
	theirs := ledger.NewID(g.cones[seq-1].Milestone.ID[:])
	for _, wrong := range []struct {
		seq  uint64
		unit ledger.ID
	}{{seq, theirs}, {seq, ledger.NewID(make([]byte, 32))}, {seq - 1, ours.Prev}} {
		if err := ingest.Decide(ctx, r.store, cfg.Codec, wrong.seq, wrong.unit, time.Now()); !errors.Is(err, ingest.ErrConfig) {
			r.t.Fatalf("decide %s for %d: %v", wrong.unit, wrong.seq, err)
		}
	}
	if err := ingest.Decide(ctx, r.store, cfg.Codec, seq, ours.ID, time.Now()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.collector(cfg).CatchUp(ctx); !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "the operator decided") {
		r.t.Fatalf("after the decision: %v", err)
	}
}

// T-L5, another unit shows up after commit, and the signers go on from the committed one: noted, no stop.
func TestLiesOtherUnitAfterCommit(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies"}, 10)
	other := lieNamed(t, "other content")
	heads := map[uint64][]byte{8: g.net.Tell(other, g.cones[7])}
	snapshot := g.snapshot(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, g.trust(t))
		cfg := r.config(g.node(t, "a"))
		cfg.Snapshot = []string{snapshot}
		for range 2 {
			if err := r.collector(cfg).CatchUp(context.Background()); err != nil {
				t.Fatal(err)
			}
			cfg = r.config(g.node(t, "a"), g.variant(heads).node(t, "b"))
		}
		r.checkTangle(g, 10, true)
		r.checkEquivocations(g, heads)
	})
}

// T-L8: "not found" for what exists. Another source is asked; alone, the unit stays incomplete.
func TestLiesNotFound(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies"}, lieUnits(25, 70))
	rng := rand.New(rand.NewPCG(seed(t), 0))
	hidden := map[string]bool{}
	for _, c := range g.cones {
		for _, id := range c.IDs {
			if rng.IntN(100) < 80 {
				hidden["/api/core/v2/blocks/0x"+id.String()] = true
			}
		}
	}
	honest := replay.Serve(g)
	liar := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hidden[strings.TrimSuffix(r.URL.Path, "/metadata")] {
			replay.Missing(w, r, nil, nil)
			return
		}
		honest.ServeHTTP(w, r)
	})
	for _, held := range []bool{true, false} {
		collect(t, g, held, func() []ingest.Source { return []ingest.Source{inProcess(t, "liar", liar), g.node(t, "honest")} },
			func(r *rig, _ *ingest.Collector, err error) {
				if err != nil {
					t.Fatal(err)
				}
				r.checkTangle(g, len(g.cones), held)
			})
		collect(t, g, held, func() []ingest.Source { return []ingest.Source{inProcess(t, "liar", liar)} },
			func(r *rig, _ *ingest.Collector, err error) {
				if !errors.Is(err, storage.ErrIncomplete) {
					t.Errorf("error %v", err)
				}
				if cov := r.coverage(); len(cov.Gaps) != 1 || cov.Gaps[0].Reason == "" {
					t.Errorf("coverage %+v", cov)
				}
			})
	}
	t.Logf("%d mutants", len(hidden))
}

// T-L9: a node of another network is named and nothing of it is taken.
func TestLiesOtherNetwork(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 0))
	g := newTangle(stardusttest.Options{Seed: 1, Name: "lies", Blocks: 2}, 2)
	for range lieUnits(20, 1000) {
		name := []byte("lies")
		name[rng.IntN(4)] ^= 1 << rng.IntN(5)
		o := g.variant(nil)
		o.name = string(name)
		collect(t, g, true, func() []ingest.Source { return []ingest.Source{o.node(t, "other")} }, func(r *rig, _ *ingest.Collector, err error) {
			var typed *ingest.OtherNetworkError
			if !errors.As(err, &typed) || typed.Source != "other" || typed.Name != o.name {
				t.Fatalf("%q: %v", name, err)
			}
			if cov := r.coverage(); len(cov.Spans) != 1 || cov.Spans[0].Hi != 0 {
				t.Fatalf("%q: coverage %+v", name, cov)
			}
			if n := r.notes(storage.NoteRefused); len(n) != 1 || n[0].Source != "other" {
				t.Fatalf("%q: notes %+v", name, n)
			}
		})
	}
}

// T-L10: metadata lies about state, place and unit, where states go by claims. The root decides, and every
// unit with a lie is noted.
func TestLiesInMetadata(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies"}, lieUnits(30, 80))
	s := seed(t)
	lies := map[string]func(m map[string]any, rng *rand.Rand) bool{
		"state": func(m map[string]any, _ *rand.Rand) bool {
			switch m["ledgerInclusionState"] {
			case "included":
				m["ledgerInclusionState"], m["conflictReason"] = "conflicting", 1
			case "conflicting":
				m["ledgerInclusionState"] = "included"
				delete(m, "conflictReason")
			default:
				return false
			}
			return true
		},
		"place": func(m map[string]any, rng *rand.Rand) bool {
			m["whiteFlagIndex"] = 100 + rng.IntN(1000)
			return true
		},
		"earlier": func(m map[string]any, rng *rand.Rand) bool {
			m["referencedByMilestoneIndex"] = 1
			return true
		},
		"later": func(m map[string]any, rng *rand.Rand) bool {
			m["referencedByMilestoneIndex"] = 1000 + rng.IntN(1000)
			return true
		},
	}
	for name, change := range lies {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(s, 0))
			honest := replay.Serve(g)
			lied := map[float64]bool{}
			told := 0
			first := map[string]bool{}
			var mu sync.Mutex
			fault := replay.Edit(func(m map[string]any, _ *rand.Rand) {
				mu.Lock()
				defer mu.Unlock()
				id := fmt.Sprint(m["blockId"])
				seq := unitNumber(m["referencedByMilestoneIndex"])
				// A false edge hides what lies below it, where the next try would be lied to again: one a unit.
				if first[id] || name == "earlier" && (seq < 2 || lied[seq]) {
					return
				}
				first[id] = true
				if rng.IntN(3) == 0 && change(m, rng) {
					lied[seq] = true
					told++
				}
			})
			node := replay.NewFaults(honest, s, replay.Rule{Path: "/metadata$", Do: fault})
			oneByOne(t, g, false, inProcess(t, "liar", node), func(r *rig) {
				noted := map[float64]bool{}
				for _, n := range r.notes(storage.NoteClaim) {
					noted[float64(n.Seq)] = true
				}
				for seq := range lied {
					if !noted[seq] {
						t.Errorf("unit %v: a lie is not noted", seq)
					}
				}
				if len(noted) != len(lied) || told == 0 {
					t.Errorf("%d units with lies, %d noted", len(lied), len(noted))
				}
			})
			t.Logf("%d mutants", told)
		})
	}
}

func unitNumber(v any) float64 {
	var f float64
	if _, err := fmt.Sscan(fmt.Sprint(v), &f); err != nil {
		return -1
	}
	return f
}

// T-L12: a signed cone larger than memory allows is refused, with its unit named, and memory stays bounded.
func TestLiesHugeCone(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies"}, 3)
	huge := g.net.Huge(lieUnits(50_000, 300_000))
	g.tip++
	g.heads[g.tip] = huge.Head
	for i, raw := range huge.Raws {
		g.blocks[[32]byte(huge.IDs[i].Bytes())] = raw
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak uint64
	r := newRig(t, g.trust(t))
	cfg := r.config(g.node(t, "honest"))
	cfg.Snapshot, cfg.Memory = []string{g.snapshot(t)}, 16<<20
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.GC() // what is left is held
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	err := r.collector(cfg).CatchUp(testContext(t))
	cancel()
	<-watched
	if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), storage.ErrTooLarge.Error()) {
		t.Errorf("error %v", err)
	}
	r.checkTangle(g, 3, true)
	if peak > before.HeapAlloc+64<<20 {
		t.Errorf("heap grew from %d to %d MiB", before.HeapAlloc>>20, peak>>20)
	}
}

// T-L13: another set of valid signatures on the same content is the same unit: a note, and nothing else.
func TestLiesRewrapped(t *testing.T) {
	units := lieUnits(60, 4100)
	g := newTangle(stardusttest.Options{Seed: seed(t), Name: "lies", Blocks: 2, Rotation: uint32(units)}, units)
	l := lieNamed(t, "other signatures")
	heads := map[uint64][]byte{}
	for i, c := range g.cones {
		if h := g.net.Tell(l, c); h != nil && !bytes.Equal(h, c.Head) {
			heads[uint64(i+1)] = h
		}
	}
	if len(heads) == 0 {
		t.Fatal("no mutants")
	}
	v := g.variant(heads)
	collect(t, g, true, func() []ingest.Source { return []ingest.Source{g.node(t, "a"), v.node(t, "b")} },
		func(r *rig, c *ingest.Collector, err error) {
			if err != nil {
				t.Fatal(err)
			}
			r.checkTangle(g, units, true)
			if k := r.noteKinds(); k[storage.NoteRewrapped] != len(heads) || len(k) != 1 {
				t.Errorf("%d re-wrapped units, notes %v", len(heads), k)
			}
			if s := c.Status().Sources; s[0].Lies+s[1].Lies != 0 {
				t.Errorf("sources %+v", s)
			}
		})
	t.Logf("%d mutants", len(heads))
}
