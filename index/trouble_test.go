package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"permanode/index/lang"
	"permanode/internal/follow"
	"permanode/storage"
)

// lines counts what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

// TestUnwritable: an index whose folder is taken away while it is written says so, not a thousand times, leaves its
// units out of answers, and goes on by itself when it can be written again.
func TestUnwritable(t *testing.T) {
	r, s := filled(19, 30)
	dir := filepath.Join(t.TempDir(), "index")
	log := &lines{}
	x, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ShardDocs: 1000, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closed(t, x) }()
	catchUp(t, x, s)
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.fill(r, 31, 60, 5)
	s.cover(31, 60)
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := follow.CatchUp(context.Background(), s, fakeNet, f); !errors.Is(err, errUnwritable) {
			t.Errorf("error %v", err)
		}
		if st := x.Status(fakeNet); !strings.Contains(st.Problem, "cannot be written") || st.Done.Len() > 0 {
			t.Errorf("status %+v", st)
		}
		got, err := x.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}, Count: true})
		if err != nil || len(got.Problems) != 1 || got.Exact || got.Searched.Len() > 0 {
			t.Errorf("search %+v, %v", got, err)
		}
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	catchUp(t, x, s)
	sound(t, r, x, s)
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(log.all) == 0 || len(log.all) > 10 {
		t.Errorf("%d lines were logged", len(log.all))
	}
}

// TestMergeEnds: a merge that cannot go on closes its shard at once, and the shard is closed later.
func TestMergeEnds(t *testing.T) {
	r, s := filled(22, 60)
	x := opened(t, t.TempDir(), s, 1000)
	catchUp(t, x, s)
	n := mustEnter(t, x)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.writer.closeHot(ctx, n.current().hot); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	n.writer = nil
	s.fill(r, 61, 70, 5)
	s.cover(61, 70)
	catchUp(t, x, s)
	n.writer.shardDocs = 1
	if err := n.writer.closeFull(context.Background()); err != nil || len(n.current().closed) != 1 {
		t.Errorf("%d closed shards, %v", len(n.current().closed), err)
	}
	sound(t, r, x, s)
}

// TestDamagedWhileRunning: a shard that is written and found damaged by a search is made again without a restart.
func TestDamagedWhileRunning(t *testing.T) {
	r, s := filled(20, 60)
	x := opened(t, t.TempDir(), s, 1000)
	catchUp(t, x, s)
	n := mustEnter(t, x)
	hot := n.current().hot
	segments, err := filepath.Glob(filepath.Join(hot.dir, "*.zap"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, name := range segments {
		flip(t, name, 300)
	}
	n.current().condemn(hot, errors.New("made to fail"))
	s.fill(r, 61, 70, 5)
	s.cover(61, 70)
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		t.Fatal(err)
	}
	_ = follow.CatchUp(context.Background(), s, fakeNet, f) // the first may say what the search has found
	catchUp(t, x, s)
	sound(t, r, x, s)
}

// TestCheckIncomplete: what is missing or damaged of an index is said, never that all is well.
func TestCheckIncomplete(t *testing.T) {
	_, s := filled(21, 40)
	master := t.TempDir()
	x := opened(t, master, s, 1000)
	catchUp(t, x, s)
	closed(t, x)
	hot := func(dir string) string { return filepath.Join(dir, "fake", mappingVersion(), hotName) }
	segment := func(t *testing.T, dir string) string {
		all, err := filepath.Glob(filepath.Join(hot(dir), "*.zap"))
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string) error
		fault  bool
	}{
		{"segment cut", func(t *testing.T, dir string) error { return os.Truncate(segment(t, dir), 400) }, true},
		{"segment emptied", func(t *testing.T, dir string) error { return os.Truncate(segment(t, dir), 0) }, true},
		{"segment gone", func(t *testing.T, dir string) error { return os.Remove(segment(t, dir)) }, true},
		{"root gone", func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(hot(dir), "root.bolt")) }, true},
		{"root emptied", func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(hot(dir), "root.bolt"), 0) }, true},
		{"shard gone", func(_ *testing.T, dir string) error { return os.RemoveAll(hot(dir)) }, false},
		{"all gone", func(_ *testing.T, dir string) error { return os.RemoveAll(dir) }, false},
	}
	for _, c := range cases {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, full), func(t *testing.T) {
				dir := copyDir(t, master)
				if err := c.damage(t, dir); err != nil {
					t.Fatal(err)
				}
				ro, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ReadOnly: true})
				if err != nil {
					t.Fatal(err)
				}
				defer closed(t, ro)
				faults, incomplete := 0, false
				for f, err := range ro.Check(context.Background(), fakeNetwork(), full) {
					switch {
					case errors.Is(err, storage.ErrIncomplete):
						incomplete = true
					case err != nil || f.Shard != hotName:
						t.Errorf("%+v, %v", f, err)
					default:
						faults++
					}
				}
				if c.fault != (faults > 0) || !incomplete {
					t.Errorf("%d faults, incomplete %v", faults, incomplete)
				}
				if st := ro.Status(fakeNet); c.fault != (st.Problem != "") {
					t.Errorf("status %+v", st)
				}
			})
		}
	}
}
