package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/index/lang"
	"permanode/storage"
)

// shards returns the folders of closed shards, oldest first.
func shards(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "fake", mappingVersion(), "*-*"))
	if err != nil || len(all) == 0 {
		t.Fatalf("shards %v, %v", all, err)
	}
	return all
}

// flip changes a byte of a file.
func flip(t *testing.T, name string, at int) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[at%len(raw)] ^= 0x20
	if err := os.WriteFile(name, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedShard: a reader names it and leaves its units out; a writer makes them again.
func TestDamagedShard(t *testing.T) {
	r, s := filled(5, 90)
	master := t.TempDir()
	x := opened(t, master, s, 60)
	catchUp(t, x, s)
	closed(t, x)
	damages := map[string]func(t *testing.T, dir string){
		"no manifest": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, manifestName)) },
		"cut manifest": func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, manifestName), 50); err != nil {
				t.Fatal(err)
			}
		},
		"no segment": func(t *testing.T, dir string) { remove(t, segmentOf(t, dir)) },
		"cut segment": func(t *testing.T, dir string) {
			if err := os.Truncate(segmentOf(t, dir), 1000); err != nil {
				t.Fatal(err)
			}
		},
		"no root":      func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "root.bolt")) },
		"flipped root": func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "root.bolt"), r.IntN(1<<30)) },
	}
	damages["flipped places"] = func(t *testing.T, dir string) { flip(t, filepath.Join(dir, placesName), r.IntN(1<<30)) }
	for i := range 8 {
		damages[fmt.Sprintf("flip %d", i)] = func(t *testing.T, dir string) { flip(t, segmentOf(t, dir), r.IntN(1<<30)) }
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, master)
			victim := shards(t, dir)[0]
			man, err := readManifest(victim)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, victim)
			ro, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			got, err := ro.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}, Count: true})
			if err != nil || len(got.Problems) != 1 || got.Exact || got.Searched.Minus(man.units()).Len() != got.Searched.Len() {
				t.Errorf("a reader says %+v, %v", got, err)
			}
			if st := ro.Status(fakeNet); !strings.Contains(st.Problem, "rebuild") {
				t.Errorf("status %+v", st)
			}
			found := 0
			for f, err := range ro.Check(context.Background(), fakeNetwork(), false) {
				if err != nil && !errors.Is(err, storage.ErrIncomplete) {
					t.Error(err)
				}
				if f.Shard == filepath.Base(victim) {
					found++
				}
			}
			if found == 0 {
				t.Error("check finds nothing")
			}
			closed(t, ro)
			y := opened(t, dir, s, 60)
			catchUp(t, y, s)
			sound(t, r, y, s)
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func segmentOf(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.zap"))
	if err != nil || len(all) != 1 {
		t.Fatalf("segments %v, %v: a closed shard has one", all, err)
	}
	return all[0]
}

// TestCutWhileOpen: a file that is cut while it is in use makes an answer incomplete; it ends nothing.
func TestCutWhileOpen(t *testing.T) {
	_, s := filled(17, 60)
	dir := t.TempDir()
	x := opened(t, dir, s, 60)
	catchUp(t, x, s)
	if err := os.Truncate(segmentOf(t, shards(t, dir)[0]), 0); err != nil {
		t.Fatal(err)
	}
	req := Request{Net: fakeNet, Query: lang.Text{Text: "invoice"}, Count: true, Facets: []string{FacetTag}}
	for range 2 {
		got, err := x.Search(context.Background(), req)
		if err != nil || len(got.Problems) != 1 || got.Exact {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if st := x.Status(fakeNet); st.Problem == "" {
		t.Errorf("status %+v", st)
	}
	found := 0
	for _, err := range x.Check(context.Background(), fakeNetwork(), true) {
		if err == nil {
			found++
		} else if !errors.Is(err, storage.ErrIncomplete) {
			t.Error(err)
		}
	}
	if found == 0 {
		t.Error("check finds nothing")
	}
}
