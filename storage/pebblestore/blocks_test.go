package pebblestore_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// tallied is a store with many blocks, and its model.
type tallied struct {
	t  *testing.T
	fs vfs.FS
	g  *storagetest.Gen
	m  *storagetest.Model
	db *pebblestore.DB
	w  storage.Writer
}

func newTallied(t *testing.T) *tallied {
	pebblestore.SmallBlocks(t)
	s := &tallied{t: t, fs: vfs.NewMem(), g: storagetest.NewGen(4, storagetest.Shape{MaxRecords: 9, MaxPayload: 40}), m: storagetest.NewModel()}
	s.open()
	t.Cleanup(func() {
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.w.Open(t.Context(), s.g.Span(), s.g.Opening()); err != nil {
		t.Fatal(err)
	}
	s.m.Open(s.g.Span(), s.g.Opening())
	s.commit(60)
	return s
}

func (s *tallied) open() {
	s.t.Helper()
	var err error
	if s.db, err = pebblestore.Open("data", faultOptions(s.fs)); err != nil {
		s.t.Fatal(err)
	}
	if s.w, err = s.db.Writer(context.Background(), s.g.Network()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *tallied) reopen() {
	s.t.Helper()
	if err := s.db.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

func (s *tallied) commit(n int) {
	s.t.Helper()
	for range n {
		c := s.g.Next(1)
		if err := s.w.Commit(context.Background(), []*ledger.Cone{c}); err != nil {
			s.t.Fatal(err)
		}
		s.m.Commit(c)
	}
}

func (s *tallied) set(rows map[string]string) {
	s.t.Helper()
	if err := pebblestore.SetBlocks(s.db, rows); err != nil {
		s.t.Fatal(err)
	}
}

func (s *tallied) exact(what string) {
	s.t.Helper()
	if err := s.m.Check(context.Background(), s.db, 1, 0); err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
}

// Counts and sums are the same with all blocks, with none, and with any part of them.
func TestBlocksNoneSomeAll(t *testing.T) {
	s := newTallied(t)
	all := pebblestore.Blocks(s.db)
	if len(all) < 200 {
		t.Fatalf("%d blocks: too few to test", len(all))
	}
	s.exact("with all")
	rng := rand.New(rand.NewPCG(9, 9))
	for _, share := range []float64{0, 0.1, 0.5, 0.9} {
		part := maps.Clone(all)
		maps.DeleteFunc(part, func(string, string) bool { return rng.Float64() >= share })
		s.set(part)
		s.exact(fmt.Sprintf("with %d of %d", len(part), len(all)))
	}
	s.set(all)
}

// An archive without blocks, or with those of another layout, gets them in the background, the same as if they had been
// there from the beginning, whatever is committed meanwhile.
func TestBlocksOfExistingData(t *testing.T) {
	s := newTallied(t)
	all := pebblestore.Blocks(s.db)
	marker := markerOf(slices.Collect(maps.Keys(all)))
	other := map[string]string{marker: all[marker][:10] + "\x01\x07", "B\x01\x04a\x00\x01\x00\x00\x00\x00\x01\x00\x00\x01": "junk"}
	for name, left := range map[string]map[string]string{"none": {}, "another layout": other} {
		s.set(left)
		s.reopen()
		if !pebblestore.CaughtUp(s.db) {
			t.Fatalf("%s: totals are not built", name)
		}
		if got := pebblestore.Blocks(s.db); !maps.Equal(withoutMarkers(got), withoutMarkers(all)) {
			t.Fatalf("%s: %d rows are built, want %d", name, len(got), len(all))
		}
		if err := badTotals(s.db); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	s.set(nil)
	s.reopen()
	s.commit(40) // while they are built
	if !pebblestore.CaughtUp(s.db) {
		t.Fatal("totals are not built")
	}
	s.commit(5)
	if err := badTotals(s.db); err != nil {
		t.Fatal(err)
	}
	s.exact("in the end")
}

func isMarker(key string) bool { return key[0] == 'B' && key[2] == 0 }

func markerOf(keys []string) string { return keys[slices.IndexFunc(keys, isMarker)] }

func withoutMarkers(rows map[string]string) map[string]string {
	out := maps.Clone(rows)
	maps.DeleteFunc(out, func(k, _ string) bool { return isMarker(k) })
	return out
}

// A row of a total that is wrong, missing or surplus is found, each by name, and nothing else is.
func TestBadTotals(t *testing.T) {
	s := newTallied(t)
	all := pebblestore.Blocks(s.db)
	if err := badTotals(s.db); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	keys := slices.Sorted(maps.Keys(all))
	for i := range race.Fewer(300) {
		key := keys[rng.IntN(len(keys))]
		if i < race.Fewer(20) {
			key = markerOf(keys)
		}
		rows := maps.Clone(all)
		what := "missing"
		switch i % 3 {
		case 0:
			delete(rows, key)
		case 1:
			what = "flipped"
			b := []byte(rows[key])
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			rows[key] = string(b)
		case 2:
			what = "moved"
			b := []byte(key)
			b[2+rng.IntN(len(b)-2)] ^= 1 << rng.IntN(8)
			if _, there := rows[string(b)]; there {
				continue
			}
			rows[string(b)] = rows[key]
			delete(rows, key)
		}
		s.set(rows)
		err := badTotals(s.db)
		if err == nil {
			t.Fatalf("a %s row %x is not found", what, key)
		}
		if n := strings.Count(err.Error(), "\n") + 1; n > 3 {
			t.Errorf("a %s row %x gives %d findings: %v", what, key, n, err)
		}
	}
	s.set(all)
}
