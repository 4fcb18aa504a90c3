package ingest_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
)

// tangle is a generated network as its nodes serve it. Tests change it while nobody asks.
type tangle struct {
	net   *stardusttest.Network
	name  string
	cones []*stardusttest.Cone // of units 1, 2, …

	mu     sync.Mutex
	tip    uint64
	heads  map[uint64][]byte
	blocks map[[32]byte][]byte
	meta   map[[32]byte]map[string]any
}

func newTangle(o stardusttest.Options, units int) *tangle {
	g := &tangle{net: stardusttest.New(o), name: o.Name, heads: map[uint64][]byte{}, blocks: map[[32]byte][]byte{}, meta: map[[32]byte]map[string]any{}}
	for range units {
		g.add(g.net.Next())
	}
	return g
}

var stateNames = map[ledger.State]string{ledger.Applied: "included", ledger.Conflicting: "conflicting", ledger.NoTransaction: "noTransaction"}

func (g *tangle) add(c *stardusttest.Cone) {
	g.cones = append(g.cones, c)
	g.tip = uint64(c.Milestone.Index)
	g.heads[g.tip] = c.Head
	for i, raw := range c.Raws {
		id := [32]byte(c.IDs[i].Bytes())
		g.blocks[id] = raw
		m := map[string]any{
			"blockId": "0x" + hex.EncodeToString(id[:]), "referencedByMilestoneIndex": g.tip,
			"ledgerInclusionState": stateNames[c.Outcomes[i].State], "whiteFlagIndex": i,
		}
		if c.Outcomes[i].State == ledger.Conflicting {
			m["conflictReason"] = c.Outcomes[i].Reason
		}
		g.meta[id] = m
	}
}

func (g *tangle) setTip(tip uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tip = tip
}

// Info implements replay.Tangle.
func (g *tangle) Info() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Appendf(nil, `{"name":"HORNET","version":"2.0.1","status":{"isHealthy":false,"confirmedMilestone":{"index":%d},"latestMilestone":{"index":%d},"pruningIndex":0},"protocol":{"networkName":%q}}`,
		g.tip, g.tip, g.name)
}

// Head implements replay.Tangle.
func (g *tangle) Head(seq uint64) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if seq > g.tip {
		return nil
	}
	return g.heads[seq]
}

// Block implements replay.Tangle.
func (g *tangle) Block(id [32]byte) []byte { return g.blocks[id] }

// Metadata implements replay.Tangle.
func (g *tangle) Metadata(id [32]byte) []byte {
	m, ok := g.meta[id]
	if !ok {
		return nil
	}
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

// variant is the same network with other heads for some units.
func (g *tangle) variant(heads map[uint64][]byte) *tangle {
	v := &tangle{net: g.net, name: g.name, cones: g.cones, tip: g.tip, heads: maps.Clone(g.heads), blocks: g.blocks, meta: g.meta}
	maps.Copy(v.heads, heads)
	return v
}

func (g *tangle) trust(t testing.TB) ledger.Trust {
	t.Helper()
	trust, err := stardust.Codec{}.ParseTrust(g.net.Trust())
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// inProcess is a source without a network between, so that it can live in a bubble of synctest.
func inProcess(t testing.TB, name string, h http.Handler) ingest.Source {
	t.Helper()
	return source(t, hornet2.Config{Name: name, Transport: replay.Transport(h)})
}

func (g *tangle) node(t testing.TB, name string) ingest.Source {
	return inProcess(t, name, replay.Serve(g))
}

// snapshot writes the genesis snapshot to a file.
func (g *tangle) snapshot(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "genesis.bin")
	if err := os.WriteFile(path, g.net.Snapshot(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkTangle compares units 1 to last of the store with what the generator made.
func (r *rig) checkTangle(g *tangle, last int, held bool) {
	r.t.Helper()
	r.checkRange(g, 1, last, held)
}

func sameCone(cone *ledger.Cone, want *stardusttest.Cone) error {
	if cone.Unit.ID != ledger.NewID(want.Milestone.ID[:]) || len(cone.Records) != len(want.Raws) {
		return fmt.Errorf("unit %s with %d records", cone.Unit.ID, len(cone.Records))
	}
	for i := range cone.Records {
		rec := &cone.Records[i]
		if rec.ID != want.IDs[i] || !bytes.Equal(rec.Parts[0].Raw, want.Raws[i]) || rec.State != want.Outcomes[i].State || rec.Reason != want.Outcomes[i].Reason {
			return fmt.Errorf("place %d holds %s %s %d, want %s %+v", i, rec.ID, rec.State, rec.Reason, want.IDs[i], want.Outcomes[i])
		}
	}
	created, consumed := outputs(cone, ledger.RoleReceive), outputs(cone, ledger.RoleSpend)
	if want := idTexts(want.Created); !slices.Equal(created, want) {
		return fmt.Errorf("created %d outputs, want %d", len(created), len(want))
	}
	if want := idTexts(want.Consumed); !slices.Equal(consumed, want) {
		return fmt.Errorf("consumed %d outputs, want %d", len(consumed), len(want))
	}
	return nil
}

func idTexts(ids []ledger.ID) (out []string) {
	for _, id := range ids {
		out = append(out, id.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// notes returns the stored notes of a kind.
func (r *rig) notes(kind storage.NoteKind) (out []storage.Note) {
	r.t.Helper()
	for n, err := range r.store.Notes(context.Background(), r.store.Net()) {
		if err != nil {
			r.t.Fatal(err)
		}
		if n.Kind == kind {
			out = append(out, n)
		}
	}
	return out
}

// wholeSource gives whole cones; change may change what it gives.
type wholeSource struct {
	g      *tangle
	change func(seq uint64, raws [][]byte) [][]byte
}

func (w *wholeSource) Name() string { return "whole" }

func (w *wholeSource) Info(context.Context) (ingest.Info, error) {
	return ingest.Info{Oldest: 1, Newest: w.g.tip}, nil
}

func (w *wholeSource) Head(_ context.Context, seq uint64) ([]byte, error) {
	if h := w.g.Head(seq); h != nil {
		return h, nil
	}
	return nil, ingest.ErrUnknown
}

func (w *wholeSource) Fetch(context.Context, []ledger.ID) ([][]byte, error) { return nil, nil }

func (w *wholeSource) Cone(_ context.Context, seq uint64) ([]byte, [][]byte, error) {
	if seq == 0 || seq > w.g.tip {
		return nil, nil, ingest.ErrUnknown
	}
	raws := slices.Clone(w.g.cones[seq-1].Raws)
	if w.change != nil {
		raws = w.change(seq, raws)
	}
	return w.g.heads[seq], raws, nil
}

func (w *wholeSource) Claims(context.Context, uint64, []ledger.ID) (*ledger.NodeClaims, error) {
	return nil, ingest.ErrCannot
}

// The generated network itself, honestly served, both ways: what the lies below are measured against.
func TestGeneratedNetwork(t *testing.T) {
	g := newTangle(stardusttest.Options{Seed: 1, Name: "generated"}, 40)
	for _, held := range []bool{true, false} {
		r := newRig(t, g.trust(t))
		cfg := r.config(g.node(t, "honest"))
		if held {
			cfg.Snapshot = []string{g.snapshot(t)}
		}
		if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
		r.checkTangle(g, 40, held)
		if n := r.noteKinds(); len(n) != 0 {
			t.Errorf("notes %v", n)
		}
	}
}
