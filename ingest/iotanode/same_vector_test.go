package iotanode

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"permanode/ingest"
	"permanode/internal/replay/iotareplay"
	"permanode/ledger/ledgertest"
)

// The same archive from a directory, REST, stores and gRPC comes to the same bytes.
func TestSameFromEverywhereVector(t *testing.T) {
	dir := vectorDir(t, "rebased/checkpoints/*/committee_epoch0.json")
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	prefixed := t.TempDir()
	for seq := chain.First(); seq <= chain.Last(); seq++ {
		name := filepath.Join(prefixed, strconv.FormatUint(seq, 10)+".chk")
		if err := os.WriteFile(name, append([]byte{1}, chain.File(seq)...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mid := chain.First() + (chain.Last()-chain.First())/2
	store, err := iotareplay.StoreOf(chain, []iotareplay.Batch{
		{First: chain.First(), Last: mid, Packed: true}, {First: mid + 1, Last: chain.Last()},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored := t.TempDir()
	if err := store.Write(stored); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	sources := map[string]ingest.Source{}
	add := func(name string, s interface {
		ingest.Source
		Close() error
	}, err error,
	) {
		sources[name] = closing(t, s, err)
	}
	d, err := OpenDir(Config{Address: dir})
	add("directory", d, err)
	d, err = OpenDir(Config{Address: prefixed})
	add("directory as a node writes it", d, err)
	s, err := OpenStore(ctx, Config{Address: stored})
	add("store in a folder", s, err)
	s, err = OpenStore(ctx, Config{Address: serve(t, store)})
	add("store over HTTP", s, err)
	l, err := NewLive(Config{Address: serve(t, node.Live())})
	add("live store", l, err)
	r, err := NewREST(Config{Address: serve(t, node.REST())})
	add("REST", r, err)
	sources["gRPC"] = serveGRPC(t, node, Config{})
	for name, s := range sources {
		t.Run(name, func(t *testing.T) {
			info, err := s.Info(ctx)
			if err != nil || info.Newest != chain.Last() || info.Oldest != chain.First() || len(info.Missing) > 0 {
				t.Fatalf("%+v, %v", info, err)
			}
			if info.Identity != "" && info.Identity != chain.Identity() {
				t.Errorf("identity %s, want %s", info.Identity, chain.Identity())
			}
			for seq := chain.First(); seq <= chain.Last(); seq++ {
				wantCone(t, s, chain, seq)
			}
		})
	}
}

// The stores of the vectors, made by another program, hold the constructed chain.
func TestStoreVector(t *testing.T) {
	chain := miniChain(t)
	for _, path := range ledgertest.Paths(t, "rebased/store/historical/MANIFEST") {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseManifest(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range ledgertest.Files[storeExpected](t, "rebased/store/expected.json") {
			h := file.Data.Historical
			if m.Next != h.Next || len(m.Files) != len(h.Files) || len(raw) != h.Bytes {
				t.Fatalf("%+v, want %+v", m, h)
			}
			for i, f := range h.Files {
				if got := m.Files[i]; got.Name() != f.File || got.Start != f.Start || got.End != f.End || hex.EncodeToString(got.SHA3[:]) != f.SHA3 {
					t.Errorf("%+v, want %+v", got, f)
				}
			}
		}
		s, err := OpenStore(context.Background(), Config{Address: filepath.Dir(path)})
		closing(t, s, err)
		if report, err := s.Report(context.Background()); err != nil || len(report) > 0 {
			t.Errorf("report %q, %v", report, err)
		}
		for seq := chain.First(); seq <= chain.Last(); seq++ {
			wantCone(t, s, chain, seq)
		}
	}
	for _, path := range ledgertest.Paths(t, "rebased/store/live/*.chk") {
		d, err := OpenDir(Config{Address: path})
		closing(t, d, err)
		info, err := d.Info(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		wantCone(t, d, chain, info.Newest)
	}
}

type storeExpected struct {
	Historical struct {
		Next  uint64      `json:"next_checkpoint_seq_num"`
		Files []storeFile `json:"files"`
		Bytes int         `json:"manifest_bytes"`
	} `json:"historical"`
	Archive struct {
		Next  uint64      `json:"next_checkpoint_seq_num"`
		Epoch uint64      `json:"epoch"`
		Files []storeFile `json:"files"`
	} `json:"archive"`
}

type storeFile struct {
	File  string `json:"file"`
	Type  string `json:"file_type"`
	Epoch uint64 `json:"epoch"`
	Start uint64 `json:"start"`
	End   uint64 `json:"end_exclusive"`
	SHA3  string `json:"sha3_256"`
}
