package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/internal/wire/inx"
	"permanode/storage"
)

// inxFace is the INX interface of a replayed node. It keeps its port when it is started again.
type inxFace struct {
	*replay.INX
	t      testing.TB
	at     string
	server *replay.INXServer
}

func newINXFace(t testing.TB, n *replay.Node) *inxFace {
	t.Helper()
	x, err := replay.NewINX(n)
	if err != nil {
		t.Fatal(err)
	}
	f := &inxFace{INX: x, t: t, at: "127.0.0.1:0"}
	f.start()
	t.Cleanup(func() { f.server.Stop() })
	return f
}

func (f *inxFace) start() {
	f.t.Helper()
	var err error
	if f.server, err = f.Serve(f.at); err != nil {
		f.t.Fatal(err)
	}
	f.at = f.server.Addr()
}

func (f *inxFace) source(name string) *hornet2.INX {
	f.t.Helper()
	s, err := hornet2.NewINX(hornet2.INXConfig{Name: name, Address: f.at, Timeout: 300 * time.Millisecond})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return s
}

// A node over INX alone gives the truth, with a ledger and by claims; all that is stored is what a run over REST stores.
func TestINXAlone(t *testing.T) {
	for _, name := range recordings {
		for _, held := range []bool{true, false} {
			if race.Enabled && name == "stardust" { // it is the longer one
				continue
			}
			t.Run(fmt.Sprint(name, "/held=", held), func(t *testing.T) {
				r := newRig(t, trustOf(t, name))
				var from ingest.Source = newINXFace(t, node(t, name)).source("inx")
				if held {
					from = noClaims{from, t}
				}
				cfg := r.config(from)
				if held {
					cfg.Snapshot = []string{snapshotOf(t, name)}
				}
				if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
					t.Fatal(err)
				}
				r.check(readTruth(t, name), held)
				if k := r.noteKinds(); len(k) != 0 {
					t.Errorf("notes %v", k)
				}
				if held && name == "stardust" {
					r.sameAs(restAlone(t))
				}
			})
		}
	}
}

// The feed alone makes the archive follow: it is asked for nothing meanwhile. The node stops, goes on in the dark, and
// comes back three milestones behind what it had confirmed.
func TestINXFollow(t *testing.T) {
	n := node(t, "stardust")
	n.SetTip(20)
	face := newINXFace(t, n)
	r := newRig(t, trustOf(t, "stardust"))
	s := face.source("inx")
	cfg := r.config(s)
	feed := s.Feed()
	cfg.Snapshot, cfg.Feeds, cfg.Poll = []string{snapshotOf(t, "stardust")}, []ingest.Feed{feed}, time.Hour
	c := r.collector(cfg)
	stop := background(t, c)
	reaches := func(tip uint64) {
		t.Helper()
		eventually(t, fmt.Sprint("unit ", tip), func() bool { return c.Status().Last == tip })
	}
	eventually(t, "the start", func() bool {
		return c.Status().Last == 20 && feed.Status().Connected && c.Status().Phase == ingest.Following
	})
	for tip := uint64(21); tip <= 60; tip++ {
		n.SetTip(tip)
	}
	reaches(60)
	face.server.Stop()
	n.SetTip(57)
	face.start()
	eventually(t, "the node's return", func() bool { return feed.Status().Connected && feed.Status().Reconnects > 0 })
	n.SetTip(63)
	reaches(63)
	all := readTruth(t, "stardust")
	if race.Enabled {
		all = all[:70]
	}
	face.server.Stop()
	n.SetTip(uint64(len(all)))
	face.start()
	reaches(uint64(len(all)))
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.check(all, true)
	if k := r.noteKinds(); len(k) != 0 {
		t.Errorf("notes %v", k)
	}
}

func before(seq uint64) uint64 { return max(seq, 2) - 1 }

// inxLies are what a node can do wrong over INX. Those that blame are seen through with certainty: the node, and no
// other source, is blamed.
var inxLies = map[string]struct {
	rules  []replay.INXRule
	blamed bool
}{
	"cone cut":          {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXCut}}},
	"cone stalls":       {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, P: 0.05, Do: replay.INXStall}}},
	"cone ends early":   {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXEnd}}},
	"wrong order":       {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXShuffle}}},
	"block missing":     {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXDrop}}},
	"block twice":       {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXDouble}}},
	"foreign block":     {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXForeign(before)}}, blamed: true},
	"another cone":      {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXInstead(before)}}, blamed: true},
	"flipped bits":      {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, P: 0.3, Do: replay.INXFlip}}},
	"flipped block":     {rules: []replay.INXRule{{Method: inx.ReadMilestoneCone, Do: replay.INXFlipBlock}}, blamed: true},
	"another milestone": {rules: []replay.INXRule{{Method: inx.ReadMilestone, Do: replay.INXInstead(before)}}, blamed: true},
	"flipped milestone": {rules: []replay.INXRule{{Method: inx.ReadMilestone, P: 0.3, Do: replay.INXFlip}}},
	"wrong blocks": {rules: []replay.INXRule{
		{Method: inx.ReadMilestoneCone, Do: replay.INXDrop}, {Method: inx.ReadBlock, Do: flipRawBlock},
	}, blamed: true},
	"half the calls fail": {rules: []replay.INXRule{{P: 0.5, Do: replay.INXRefuse(codes.Unavailable)}}},
	"all pruned":          {rules: []replay.INXRule{replay.INXStatus(func(s *inx.Status) { s.TanglePruned = 100 })}},
	"another network": {rules: []replay.INXRule{replay.INXStatus(func(s *inx.Status) {
		s.Parameters.Params = []byte("\x02\x05other\x03tst\x0a\x00\x00\x00\x0f\x64\x00\x00\x00\x01\x0a\x00\x00\x00\x00\x00\x00\x00\x01")
	})}},
}

// flipRawBlock changes a bit of a block that was asked for alone: behind its version and parents, so that it is still
// told as some block.
func flipRawBlock(a *replay.INXAnswer, _ *rand.Rand) {
	if len(a.Messages) == 1 {
		raw, err := inx.ParseWrapped(a.Messages[0])
		if err == nil && len(raw) > 0 {
			raw = append([]byte(nil), raw...)
			raw[len(raw)-1] ^= 1
			a.Messages = [][]byte{inx.AppendWrapped(nil, raw)}
		}
	}
}

// Each lie alone, beside an honest node over REST: the archive is the same, and who lied is blamed.
func TestINXLies(t *testing.T) {
	all := readTruth(t, "stardust")[:lieUnits(50, 115)]
	s := seed(t)
	for name, lie := range inxLies {
		t.Run(name, func(t *testing.T) {
			n := node(t, "stardust")
			n.SetTip(uint64(len(all)))
			face := newINXFace(t, n)
			face.SetFaults(s, lie.rules...)
			honest := source(t, hornet2.Config{Name: "honest", URL: serve(t, n)})
			r := newRig(t, trustOf(t, "stardust"))
			cfg := r.config(face.source("liar"), honest)
			cfg.Snapshot = []string{snapshotOf(t, "stardust")}
			c := r.collector(cfg)
			if err := c.CatchUp(testContext(t)); err != nil {
				t.Fatal(err)
			}
			r.check(all, true)
			for _, s := range c.Status().Sources {
				if s.Name == "honest" && s.Lies != 0 || s.Name == "liar" && lie.blamed && s.Lies == 0 {
					t.Errorf("source %+v", s)
				}
			}
			refused := 0
			for _, note := range r.notes(storage.NoteRefused) {
				if refused++; note.Source != "liar" {
					t.Errorf("note %+v", note)
				}
			}
			if lie.blamed && refused == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// A node that boasts of units that nobody has: what is there is committed, and the rest is missing until it takes that
// back.
func TestINXTipBeyond(t *testing.T) {
	n := node(t, "stardust-migration")
	face := newINXFace(t, n)
	face.SetFaults(1, replay.INXStatus(func(s *inx.Status) { s.Confirmed.Info.Index += 1000 }))
	r := newRig(t, trustOf(t, "stardust-migration"))
	cfg := r.config(face.source("liar"), source(t, hornet2.Config{Name: "honest", URL: serve(t, n)}))
	cfg.Snapshot = []string{snapshotOf(t, "stardust-migration")}
	if err := r.collector(cfg).CatchUp(testContext(t)); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("error %v", err)
	}
	if cov := r.coverage(); len(cov.Spans) != 1 || cov.Spans[0].Hi != n.Tip() || len(cov.Gaps) != 1 || cov.Gaps[0].From != n.Tip()+1 {
		t.Errorf("coverage %+v", cov)
	}
	face.SetFaults(1)
	if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
		t.Error(err)
	}
}

// By claims a node says what became of records and where the lower edge is: lies about that are refuted by the roots,
// and the honest node is believed as little.
func TestINXLiesInMetadata(t *testing.T) {
	all := readTruth(t, "stardust")[:lieUnits(30, 115)]
	for name, edit := range map[string]func(m *inx.Metadata, rng *rand.Rand){
		"included":  func(m *inx.Metadata, _ *rand.Rand) { m.State, m.Reason = inx.Included, 0 },
		"of none":   func(m *inx.Metadata, _ *rand.Rand) { m.Referenced = 0 },
		"earlier":   func(m *inx.Metadata, _ *rand.Rand) { m.Referenced = 1 },
		"any state": func(m *inx.Metadata, rng *rand.Rand) { m.State = rng.Uint32N(4) },
		"swapped":   func(m *inx.Metadata, rng *rand.Rand) { m.ID[rng.IntN(len(m.ID))] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			n := node(t, "stardust")
			n.SetTip(uint64(len(all)))
			face := newINXFace(t, n)
			face.SetFaults(seed(t), replay.INXRule{P: 0.3, Do: replay.INXMetadata(edit)})
			r := newRig(t, trustOf(t, "stardust"))
			c := r.collector(r.config(face.source("liar"), source(t, hornet2.Config{Name: "honest", URL: serve(t, n)})))
			if err := c.CatchUp(testContext(t)); err != nil {
				t.Fatal(err)
			}
			r.check(all, false)
		})
	}
}

// What one node has pruned another still has; alone, such a node begins where it can.
func TestINXPruned(t *testing.T) {
	n := node(t, "stardust-migration")
	n.SetPruned(15)
	face := newINXFace(t, n)
	r := newRig(t, trustOf(t, "stardust-migration"))
	cfg := r.config(face.source("inx"), source(t, hornet2.Config{Name: "rest", URL: serve(t, node(t, "stardust-migration"))}))
	cfg.Snapshot = []string{snapshotOf(t, "stardust-migration")}
	c := r.collector(cfg)
	if err := c.CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	r.check(readTruth(t, "stardust-migration"), true)
	for _, s := range c.Status().Sources {
		if s.Lies != 0 || !s.OK {
			t.Errorf("source %+v", s)
		}
	}
	alone := newRig(t, trustOf(t, "stardust-migration"))
	if err := alone.collector(alone.config(face.source("inx"))).CatchUp(testContext(t)); err != nil {
		t.Fatal(err)
	}
	alone.check(readTruth(t, "stardust-migration")[15:], false)
}

// badDays are what can be wrong with one of several interfaces.
func badDays(rng *rand.Rand) (rules []replay.INXRule) {
	share := func() float64 { return 0.05 + 0.4*rng.Float64() }
	some := []func() replay.INXRule{
		func() replay.INXRule { return replay.INXRule{P: 0.1, Do: replay.INXCut} },
		func() replay.INXRule { return replay.INXRule{P: 0.02, Do: replay.INXStall} },
		func() replay.INXRule {
			return replay.INXRule{Method: inx.ReadMilestoneCone, P: share(), Do: replay.INXEnd}
		},
		func() replay.INXRule {
			return replay.INXRule{Method: inx.ReadMilestoneCone, P: share(), Do: replay.INXShuffle}
		},
		func() replay.INXRule {
			return replay.INXRule{Method: inx.ReadMilestoneCone, P: share(), Do: replay.INXDrop}
		},
		func() replay.INXRule {
			return replay.INXRule{Method: inx.ReadMilestoneCone, P: share(), Do: replay.INXDouble}
		},
		func() replay.INXRule {
			return replay.INXRule{Method: inx.ReadMilestoneCone, P: 0.1, Do: replay.INXForeign(before)}
		},
		func() replay.INXRule { return replay.INXRule{P: 0.05, Do: replay.INXFlip} },
		func() replay.INXRule { return replay.INXRule{P: 0.05, Do: replay.INXInstead(before)} },
		func() replay.INXRule { return replay.INXRule{P: share(), Do: replay.INXRefuse(codes.Unavailable)} },
		func() replay.INXRule { return replay.INXRule{P: 0.05, Do: replay.INXRefuse(codes.NotFound)} },
	}
	for range 1 + rng.IntN(3) {
		rules = append(rules, some[rng.IntN(len(some))]())
	}
	return rules
}

// Whatever happens to a node with INX, REST and MQTT, and to a second one with INX: nothing is lost and nothing else
// gets in. Seeded; many rounds with PERMANODE_TORTURE=1.
func TestINXFaultMixes(t *testing.T) {
	want := restAlone(t)
	s := seed(t)
	rounds := 2
	switch {
	case os.Getenv("PERMANODE_TORTURE") != "":
		rounds = 200
	case race.Enabled:
		rounds = 1
	}
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(s, uint64(i)))
			n := newLiveNode(t, "stardust", 1+rng.Uint64N(60), replay.BrokerConfig{Seed: rng.Uint64()})
			n.start()
			second := node(t, "stardust")
			second.SetTip(n.Tip())
			faces := []*inxFace{newINXFace(t, n.Node), newINXFace(t, second)}
			r := newRig(t, trustOf(t, "stardust"))
			a, b := faces[0].source("inx-a"), faces[1].source("inx-b")
			cfg := r.config(a, n.source(), b)
			cfg.Snapshot = []string{snapshotOf(t, "stardust")}
			cfg.Feeds = []ingest.Feed{a.Feed(), n.feed("ws"), b.Feed()}
			c := r.collector(cfg)
			stop := background(t, c)
			for n.Tip() < 115 {
				for _, f := range faces {
					f.SetFaults(rng.Uint64(), badDays(rng)...)
				}
				switch f := faces[rng.IntN(2)]; rng.IntN(6) {
				case 0:
					f.server.Stop()
					f.start()
				case 1:
					f.server.Freeze()
				case 2: // the node is away, and comes back three milestones behind
					faces[0].server.Stop()
					n.out.Store(true)
					n.SetTip(max(n.Tip(), 4) - 3)
					n.out.Store(false)
					faces[0].start()
				case 3:
					n.out.Store(rng.IntN(2) == 0)
				}
				n.SetTip(n.Tip() + 1 + rng.Uint64N(20))
				second.SetTip(max(n.Tip(), 4) - rng.Uint64N(4))
				behind := n.Tip() - rng.Uint64N(n.Tip())
				patience, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(300))*time.Millisecond)
				for c.Status().Last < behind && patience.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}
			n.out.Store(false)
			second.SetTip(115)
			for _, f := range faces {
				f.SetFaults(0)
				f.server.Stop()
				f.start()
			}
			eventually(t, "the end", func() bool { return c.Status().Last == 115 })
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			r.sameAs(want)
			for _, st := range c.Status().Sources {
				if st.Name == "rest" && st.Lies > 0 {
					t.Errorf("the honest source is blamed: %+v", st)
				}
			}
		})
	}
}
