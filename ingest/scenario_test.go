package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger/stardust"
	"permanode/storage"
)

// eventually waits until ok, which is asked again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// background runs a collector until stop is called, which returns Run's error.
func background(t *testing.T, c *ingest.Collector) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var err error
	stopped := false
	stop = func() error {
		if !stopped {
			cancel()
			select {
			case err = <-done:
			case <-time.After(20 * time.Second):
				t.Error("Run does not end")
			}
			stopped = true
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func (r *rig) coverage() storage.Coverage {
	r.t.Helper()
	cov, err := r.store.Coverage(context.Background(), r.store.Net())
	if err != nil {
		r.t.Fatal(err)
	}
	return cov
}

// Several nodes, each with its own faults, some at random: together they give the truth.
func TestFaultySources(t *testing.T) {
	n, all := node(t, "stardust"), part(t, 60)
	n.SetTip(uint64(len(all)))
	var seen atomic.Int64
	nodes := []http.Handler{
		replay.NewFaults(n, 1, replay.Rule{Raw: true, P: 0.05, Do: replay.Missing}, replay.Rule{P: 0.02, Do: replay.Status(503)}),
		replay.NewFaults(n, 2, replay.Rule{Raw: true, P: 0.02, Do: replay.Flip}, replay.Rule{P: 0.02, Do: replay.Reset}),
		replay.NewFaults(n, 3, replay.Rule{Path: "/blocks/", P: 0.05, Do: replay.Half}, replay.InfoStatus("tip", func() uint64 {
			return uint64(20 + 30*(seen.Add(1)%2)) // goes backwards again and again
		})),
		replay.NewFaults(n, 4, replay.Rule{Do: replay.Reset}), // never there
		replay.NewFaults(n, 5, replay.Network("another-network")),
	}
	var sources []ingest.Source
	for i, h := range nodes {
		sources = append(sources, source(t, hornet2.Config{Name: fmt.Sprint("node-", i), URL: serve(t, h), Timeout: time.Second}))
	}
	for _, held := range []bool{true, false} {
		if race.Enabled && !held {
			continue
		}
		r := newRig(t, trustOf(t, "stardust"))
		cfg := r.config(sources...)
		if held {
			cfg.Snapshot = []string{snapshotOf(t, "stardust")}
		}
		c := r.collector(cfg)
		if err := c.CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
		r.check(all, held)
		for i, s := range c.Status().Sources {
			if bad := i >= 3; s.OK == bad && bad || bad && s.Problem == "" {
				t.Errorf("source %+v", s)
			}
		}
	}
}

// FR-06: a unit is missing in the middle; it comes from another source later, after a kill. Nothing of what
// lies above is visible meanwhile, and in the end nothing tells that there was a hole.
func TestUnitMissingInTheMiddle(t *testing.T) {
	all := readTruth(t, "stardust")
	n := node(t, "stardust")
	first := source(t, hornet2.Config{Name: "a", URL: serve(t, replay.NewFaults(n, 1, replay.Rule{Path: "/by-index/52$", Do: replay.Missing}))})
	n.SetTip(54)
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(first)
	cfg.Snapshot = []string{snapshotOf(t, "stardust")}
	c := r.collector(cfg)
	stop := background(t, c)
	holed := func() bool {
		cov := r.coverage()
		return len(cov.Spans) == 1 && cov.Spans[0].Hi == 51 && len(cov.Gaps) == 1
	}
	eventually(t, "a gap", holed)
	if g := r.coverage().Gaps[0]; g.From != 52 || g.To != 52 || !strings.Contains(g.Reason, "no source has the unit") {
		t.Errorf("gap %+v", g)
	}
	eventually(t, "units above the gap", func() bool { return c.Status().Pending == 2 })
	if s := c.Status(); s.Phase != ingest.Waiting || s.Gap == nil || s.Lag != 3 || s.Last != 51 {
		t.Errorf("status %+v", s)
	}
	if _, _, err := r.store.Unit(context.Background(), r.store.Net(), 53); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("unit 53 above the gap: %v", err)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	r.close()
	r.open() // as after a kill: nothing but the store is left
	if !holed() {
		t.Errorf("after a restart: %+v", r.coverage())
	}
	err := r.collector(r.config(first)).CatchUp(testContext(t))
	if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "52") {
		t.Errorf("one-off over the hole: %v", err)
	}
	second := source(t, hornet2.Config{Name: "b", URL: serve(t, n)})
	if err := r.collector(r.config(first, second)).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.check(all[:54], true)
	if race.Enabled {
		return
	}
	n.SetTip(1000)
	if err := r.collector(r.config(first, second)).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.check(all, true)
}

// A service repairs the hole by itself, also when the units above it are no longer to be had by then.
func TestHoleIsRepairedInTheBackground(t *testing.T) {
	n := node(t, "stardust")
	n.SetTip(40)
	var open atomic.Bool
	hole := replay.Rule{Path: "/by-index/30$", Do: func(w http.ResponseWriter, req *http.Request, next http.Handler, _ *rand.Rand) {
		if open.Load() {
			next.ServeHTTP(w, req)
			return
		}
		replay.Missing(w, req, next, nil)
	}}
	gone := replay.Rule{Path: "/by-index/(3[1-9]|40)$", Do: func(w http.ResponseWriter, req *http.Request, next http.Handler, _ *rand.Rand) {
		if !open.Load() {
			next.ServeHTTP(w, req)
			return
		}
		replay.Missing(w, req, next, nil)
	}}
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(source(t, hornet2.Config{URL: serve(t, replay.NewFaults(n, 1, hole, gone))}))
	cfg.Snapshot = []string{snapshotOf(t, "stardust")}
	c := r.collector(cfg)
	background(t, c)
	eventually(t, "units above the gap", func() bool { return c.Status().Pending == 10 })
	open.Store(true)
	eventually(t, "the repair", func() bool { s := c.Status(); return s.Last == 40 && s.Phase == ingest.Following })
	r.check(readTruth(t, "stardust")[:40], true)
}

// A service follows a tip that moves, and one that goes back is no event.
func TestFollow(t *testing.T) {
	n := node(t, "stardust")
	n.SetTip(10)
	r := newRig(t, trustOf(t, "stardust"))
	var told atomic.Uint64
	cfg := r.config(source(t, hornet2.Config{URL: serve(t, n)}))
	cfg.Progress = func(s ingest.Status) { told.Store(s.Last) }
	c := r.collector(cfg)
	stop := background(t, c)
	for _, tip := range []uint64{10, 11, 15, 3, 60} {
		n.SetTip(tip)
		want := max(tip, c.Status().Last)
		eventually(t, fmt.Sprint("unit ", want), func() bool { return c.Status().Last == want })
	}
	eventually(t, "rest", func() bool { return c.Status().Phase == ingest.Following })
	s := c.Status()
	if s.Gap != nil || s.Lag != 0 || !strings.Contains(s.Sentence, "claims of nodes") || s.Units != 60 || s.Records == 0 || s.Bytes == 0 {
		t.Errorf("status %+v", s)
	}
	if n := r.noteKinds(); len(n) != 0 {
		t.Errorf("notes %v", n)
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := c.Status(); s.Phase != ingest.Stopped || told.Load() == 0 {
		t.Errorf("in the end %+v, told %d", s, told.Load())
	}
	r.check(readTruth(t, "stardust")[:60], false)
}

// A node that pruned the wanted beginning: the gap says so. Start 0 takes what there is.
func TestPrunedBeginning(t *testing.T) {
	n, all := node(t, "stardust"), part(t, 75)
	n.SetTip(uint64(len(all)))
	pruned := replay.NewFaults(n, 1, replay.InfoStatus("pruningIndex", func() uint64 { return 60 }),
		replay.Rule{Path: `/by-index/([1-9]|[1-5][0-9]|60)$`, Do: replay.Missing})
	src := source(t, hornet2.Config{URL: serve(t, pruned)})

	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(src)
	cfg.Start = 1
	err := r.collector(cfg).CatchUp(testContext(t))
	if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "pruned") {
		t.Fatalf("error %v", err)
	}
	if cov := r.coverage(); len(cov.Spans) != 0 || len(cov.Gaps) != 1 || cov.Gaps[0].From != 1 || cov.Gaps[0].To != 60 || !strings.Contains(cov.Gaps[0].Reason, "pruned") {
		t.Errorf("coverage %+v", cov)
	}

	r = newRig(t, trustOf(t, "stardust"))
	if err := r.collector(r.config(src)).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.check(all[60:], false)
}

// The lower edge of a node that has pruned all below it, blocks and metadata too.
func TestPrunedEdge(t *testing.T) {
	all := part(t, 75)
	below := map[string]bool{}
	for _, m := range all[:60] {
		for _, b := range m.Blocks {
			below[b.BlockID.String()] = true
		}
	}
	n := node(t, "stardust")
	n.SetTip(uint64(len(all)))
	gone := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		parts := strings.Split(req.URL.Path, "/")
		if len(parts) > 5 && below[parts[5]] {
			replay.Missing(w, req, nil, nil)
			return
		}
		n.ServeHTTP(w, req)
	})
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(source(t, hornet2.Config{URL: serve(t, replay.NewFaults(gone, 1, replay.InfoStatus("pruningIndex", func() uint64 { return 60 })))}))
	if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.check(all[60:], false)
}

func TestOtherNetwork(t *testing.T) {
	r := newRig(t, trustOf(t, "stardust"))
	other := source(t, hornet2.Config{Name: "stranger", URL: serve(t, node(t, "stardust-migration"))})
	err := r.collector(r.config(other)).CatchUp(testContext(t))
	var typed *ingest.OtherNetworkError
	if !errors.As(err, &typed) || !errors.Is(err, ingest.ErrNoSource) || typed.Source != "stranger" || typed.Name != "permanode-migration-s1" || typed.Want != r.trust.Identity {
		t.Errorf("error %v", err)
	}
	if cov := r.coverage(); len(cov.Spans)+len(cov.Gaps) != 0 {
		t.Errorf("coverage %+v", cov)
	}
}

func TestNobodyAnswers(t *testing.T) {
	r := newRig(t, trustOf(t, "stardust"))
	dead := source(t, hornet2.Config{Name: "dead", URL: "http://127.0.0.1:1"})
	err := r.collector(r.config(dead)).CatchUp(testContext(t))
	if !errors.Is(err, ingest.ErrNoSource) || !strings.Contains(err.Error(), "dead") {
		t.Errorf("error %v", err)
	}
}

// A server that is no node of this era answers, but nothing that is of use.
func TestNoNode(t *testing.T) {
	r := newRig(t, trustOf(t, "stardust"))
	src := source(t, hornet2.Config{Name: "web", URL: serve(t, http.NotFoundHandler())})
	err := r.collector(r.config(src)).CatchUp(testContext(t))
	if !errors.Is(err, ingest.ErrNoSource) || !strings.Contains(err.Error(), "web") || !strings.Contains(err.Error(), "/info") {
		t.Errorf("error %v", err)
	}
}

func TestSnapshotMustFit(t *testing.T) {
	trust := trustOf(t, "stardust")
	n := node(t, "stardust")
	n.SetTip(10)
	src := source(t, hornet2.Config{URL: serve(t, n)})
	good, wrong := snapshotOf(t, "stardust"), snapshotOf(t, "stardust-migration")

	r := newRig(t, trust)
	cfg := r.config(src)
	cfg.Snapshot = []string{wrong}
	var typed *ingest.SnapshotError
	err := r.collector(cfg).CatchUp(testContext(t))
	if !errors.As(err, &typed) || !errors.Is(err, ingest.ErrConfig) || !strings.Contains(err.Error(), typed.Got) || !strings.Contains(err.Error(), trust.Snapshot[0]) {
		t.Errorf("wrong file: %v", err)
	}
	cfg.Snapshot = []string{filepath.Join(t.TempDir(), "none.bin")}
	if err := r.collector(cfg).CatchUp(testContext(t)); !errors.Is(err, ingest.ErrConfig) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if cov := r.coverage(); len(cov.Spans) != 0 {
		t.Errorf("coverage %+v", cov)
	}
	cfg.Snapshot, cfg.Start = []string{good}, 5
	if err := r.collector(cfg).CatchUp(testContext(t)); !errors.Is(err, ingest.ErrConfig) {
		t.Errorf("start behind the snapshot: %v", err)
	}
	if err := r.collector(r.config(src)).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	cfg.Start = 0
	if err := r.collector(cfg).CatchUp(testContext(t)); !errors.Is(err, ingest.ErrConfig) {
		t.Errorf("a snapshot for a span by claims: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	r := newRig(t, trustOf(t, "stardust"))
	src := source(t, hornet2.Config{})
	for name, change := range map[string]func(*ingest.Config){
		"no name":        func(c *ingest.Config) { c.Network = "" },
		"a path":         func(c *ingest.Config) { c.Network = "../x" },
		"no codec":       func(c *ingest.Config) { c.Codec = nil },
		"no source":      func(c *ingest.Config) { c.Sources = nil },
		"far start":      func(c *ingest.Config) { c.Start = 1 << 50 },
		"many snapshots": func(c *ingest.Config) { c.Snapshot = []string{"a", "b", "c"} },
		"little memory":  func(c *ingest.Config) { c.Memory = 1 },
	} {
		cfg := r.config(src)
		change(&cfg)
		if _, err := ingest.New(cfg); !errors.Is(err, ingest.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// exportCones writes what a rig holds as a cone file.
func exportCones(t *testing.T, r *rig, lo, hi uint64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.cones")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := storage.NewConeWriter(f, stardust.Era, r.trust.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for cone, err := range r.store.Cones(context.Background(), r.store.Net(), lo, hi) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(cone); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func cones(t *testing.T, path string) *archive.Cones {
	t.Helper()
	c, err := archive.OpenCones(path, stardust.Codec{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// What one archive exports, another one takes: with a ledger, by claims, and a part from the middle.
func TestConeFiles(t *testing.T) {
	name := "stardust"
	if race.Enabled {
		name = "stardust-migration"
	}
	all := readTruth(t, name)
	last := uint64(len(all))
	r := newRig(t, trustOf(t, name))
	cfg := r.config(inProcess(t, "node", node(t, name)))
	cfg.Snapshot = []string{snapshotOf(t, name)}
	if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	path := exportCones(t, r, 1, last)
	for _, held := range []bool{true, false} {
		o := newRig(t, r.trust)
		cfg := o.config(cones(t, path))
		if held {
			cfg.Snapshot = []string{snapshotOf(t, name)}
		}
		if err := o.collector(cfg).CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
		o.check(all, held)
	}
	o := newRig(t, r.trust)
	if err := o.collector(o.config(cones(t, exportCones(t, r, 12, last-3)))).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	o.check(all[11:last-3], false)

	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"flipped": flipped(raw), "cut": raw[:len(raw)-9], "empty": nil, "longer": append(bytes.Clone(raw), 0)} {
		file := filepath.Join(t.TempDir(), "bad.cones")
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.OpenCones(file, stardust.Codec{}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flipped(raw []byte) []byte {
	out := bytes.Clone(raw)
	out[len(out)/3] ^= 4
	return out
}
