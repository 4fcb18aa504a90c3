package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"permanode/index/lang"
	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// filled returns a store of units 1 to n, covered.
func filled(seed, n uint64) (*rand.Rand, *fakeStore) {
	r := rand.New(rand.NewPCG(seed, 2))
	s := newFakeStore()
	s.fill(r, 1, n, 5)
	s.cover(1, n)
	return r, s
}

// copyDir copies a folder as it is at this moment.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we walk
		}
		if err != nil {
			return err
		}
		name := filepath.Join(to, strings.TrimPrefix(path, from))
		if e.IsDir() {
			return os.MkdirAll(name, 0o755)
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, os.WriteFile(name, raw, 0o644))
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// sound checks all of an index, and asks some questions.
func sound(t *testing.T, r *rand.Rand, x *Index, s *fakeStore) {
	t.Helper()
	for f, err := range x.Check(context.Background(), fakeNetwork(), true) {
		t.Errorf("check: %+v %v", f, err)
	}
	for range 40 {
		judge(t, r, x, s, s.covered)
	}
}

func closed(t *testing.T, x *Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReopen: what was followed is there again, and is not followed again.
func TestReopen(t *testing.T) {
	r, s := filled(1, 60)
	dir := t.TempDir()
	x := opened(t, dir, s, 50)
	catchUp(t, x, s)
	closed(t, x)
	s.fill(r, 61, 80, 5)
	for range 2 {
		x = opened(t, dir, s, 50)
		catchUp(t, x, s)
		sound(t, r, x, s)
		closed(t, x)
		s.cover(61, 80)
	}
	if _, err := x.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}}); !errors.Is(err, errClosed) {
		t.Errorf("a closed index answers %v", err)
	}
}

// TestLongCatchUp: shards are closed while units come, not at the end alone.
func TestLongCatchUp(t *testing.T) {
	_, s := filled(15, 300)
	x := opened(t, t.TempDir(), s, 70)
	catchUp(t, x, s)
	n := mustEnter(t, x)
	docs := len(s.ordsOf(s.covered))
	if closed := len(n.current().closed); closed < docs/100 {
		t.Errorf("%d closed shards of %d documents, at 70 each", closed, docs)
	}
	for _, sh := range n.current().closed {
		if sh.man.Docs < 70 || sh.man.Docs > 140 {
			t.Errorf("shard %s has %d documents", sh.name, sh.man.Docs)
		}
	}
}

// TestReadOnly: two at once read what a writer left, and change nothing.
func TestReadOnly(t *testing.T) {
	r, s := filled(2, 60)
	dir := t.TempDir()
	x := opened(t, dir, s, 70)
	catchUp(t, x, s)
	closed(t, x)
	names := func() (out []string) {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
			info, err := e.Info()
			if err == nil && !e.IsDir() {
				out = append(out, fmt.Sprint(path, info.Size(), info.ModTime()))
			}
			return err
		})
		return out
	}
	before := names()
	var both []*Index
	for range 2 {
		ro, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, ro)
		sound(t, r, ro, s)
	}
	if _, err := both[0].Follower(fakeNetwork()); err == nil {
		t.Error("a reader follows")
	}
	if err := both[0].Rebuild(context.Background(), fakeNetwork(), nil); err == nil {
		t.Error("a reader rebuilds")
	}
	for _, ro := range both {
		closed(t, ro)
	}
	if after := names(); !slices.Equal(before, after) {
		t.Errorf("files changed:\n%v\n%v", before, after)
	}
	none, err := Open(filepath.Join(dir, "none"), Options{Store: s, Codec: fakeCodecs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer none.Close()
	got, err := none.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}, Limit: 1, Count: true})
	if err != nil || got.Total != 0 || got.Searched.Len() != 0 {
		t.Errorf("without a folder: %+v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a reader made a folder: %v", err)
	}
}

// TestUnitOverBatches: a unit of many documents counts once all of them are there, and a crash between them leaves
// nothing of it.
func TestUnitOverBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	s := newFakeStore()
	s.fill(r, 1, 1, 4)
	s.fill(r, 2, 2, 3000)
	for len(s.cones[2].Records) < 1600 {
		s.fill(r, 2, 2, 3000)
	}
	s.cover(1, 2)
	dir := t.TempDir()
	x := opened(t, dir, s, 0)
	w, err := newWriter(mustEnter(t, x).current(), mustEnter(t, x).reading, x.merged, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	docs, err := w.reading.documents(ctx, s.cones[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs[:1500] {
		w.batch.Update(d)
	}
	w.account.begun.Add(2, 2)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	judge(t, r, x, s, ranges.Set{})
	closed(t, x)
	x = opened(t, dir, s, 0)
	judge(t, r, x, s, ranges.Set{})
	catchUp(t, x, s)
	sound(t, r, x, s)
}

func mustEnter(t *testing.T, x *Index) *network {
	t.Helper()
	n, err := x.enter(context.Background(), fakeNet)
	if err != nil {
		t.Fatal(err)
	}
	x.searches.Done()
	return n
}

// TestRebuild: the new index stands beside the old one until it is whole, and searches go on meanwhile.
func TestRebuild(t *testing.T) {
	r, s := filled(6, 90)
	dir := t.TempDir()
	x := opened(t, dir, s, 60)
	catchUp(t, x, s)
	sh := mustEnter(t, x).current().closed[0]
	mustEnter(t, x).current().condemn(sh, errors.New("made to fail"))
	got, err := x.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}, Count: true})
	if err != nil || len(got.Problems) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	stopped, stop := context.WithCancel(context.Background())
	err = x.Rebuild(stopped, fakeNetwork(), func(done, _ uint64) {
		if done == 70 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped rebuild ends with %v", err)
	}
	first := uint64(0)
	err = x.Rebuild(context.Background(), fakeNetwork(), func(done, total uint64) {
		if first == 0 {
			first = done
		}
		if total != 90 {
			t.Errorf("progress %d of %d", done, total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if first != 0 && first < 20 { // 0: all units were there already
		t.Errorf("it went on at unit %d: what the first rebuild did is lost", first)
	}
	sound(t, r, x, s)
	s.fill(r, 91, 99, 5)
	s.cover(91, 99)
	catchUp(t, x, s)
	sound(t, r, x, s)
	if names, _ := os.ReadDir(filepath.Join(dir, "fake")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// TestSwapInterrupted: a rebuild that was killed between its renames is ended at the next opening, and what other
// versions of the mapping left goes.
func TestSwapInterrupted(t *testing.T) {
	r, s := filled(7, 30)
	dir := t.TempDir()
	x := opened(t, dir, s, 40)
	catchUp(t, x, s)
	now := mustEnter(t, x).folder()
	closed(t, x)
	if err := errors.Join(os.Rename(now, now+rebuildEnding), os.MkdirAll(now+goneEnding, 0o755), os.MkdirAll(filepath.Join(dir, "fake", "0123456789ab"), 0o755)); err != nil {
		t.Fatal(err)
	}
	x = opened(t, dir, s, 40)
	if done, err := x.Done(context.Background(), fakeNet); err != nil || done.Len() != 30 {
		t.Errorf("done %v, %v", done, err)
	}
	sound(t, r, x, s)
	if names, _ := os.ReadDir(filepath.Join(dir, "fake")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// TestForeign: shards of another network of the same name are not taken for this one's.
func TestForeign(t *testing.T) {
	r, s := filled(8, 30)
	dir := t.TempDir()
	x := opened(t, dir, s, 25)
	catchUp(t, x, s)
	closed(t, x)
	set, err := openSet(filepath.Join(dir, "fake", mappingVersion()), "another", true, nil, func(error) {})
	if err != nil || len(set.closed) != 0 || set.hot != nil || len(set.faults) == 0 {
		t.Errorf("%+v, %v", set, err)
	}
	x = opened(t, dir, s, 25)
	sound(t, r, x, s)
}

// TestAhead: an index that is ahead of its store, which was restored from a copy, gives nothing that is not there.
func TestAhead(t *testing.T) {
	r, s := filled(9, 60)
	x := opened(t, t.TempDir(), s, 50)
	catchUp(t, x, s)
	s.covered = ranges.Of(ranges.Range{Lo: 1, Hi: 33})
	for range 100 {
		judge(t, r, x, s, s.covered)
	}
}

// TestWhileIndexing: answers are right for exactly the units that they say to have searched, while units come and
// shards are closed.
func TestWhileIndexing(t *testing.T) {
	_, s := filled(10, 200)
	x := opened(t, t.TempDir(), s, 50)
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		if err := follow.CatchUp(ctx, s, fakeNet, f); err != nil {
			t.Error(err)
		}
		cancel()
	}()
	r := rand.New(rand.NewPCG(10, 3))
	for ctx.Err() == nil {
		q := randomQuery(r, 2)
		got, err := x.Search(context.Background(), Request{Net: fakeNet, Query: q, Limit: 10_000, Count: true})
		if err != nil || len(got.Problems) > 0 {
			t.Errorf("%+v: %v, %v", q, got.Problems, err)
			break
		}
		var want []ledger.Ord
		for _, o := range s.ordsOf(got.Searched) {
			if s.naive(q, o) {
				want = append(want, o)
			}
		}
		if !same(got.Ords, want) || got.Total != uint64(len(want)) {
			t.Errorf("%+v: %d hits, want %d", q, len(got.Ords), len(want))
			break
		}
	}
	all.Wait()
	cancel()
}

// TestPhraseOnce: what was checked is not checked again.
func TestPhraseOnce(t *testing.T) {
	_, s := filled(11, 400)
	x := opened(t, t.TempDir(), s, 30)
	catchUp(t, x, s)
	req := Request{Net: fakeNet, Query: lang.Text{Text: "sensor node"}, Limit: 3, Count: true, Newest: true}
	first, err := x.Search(context.Background(), req)
	if err != nil || first.Total < 2 {
		t.Fatal(first, err)
	}
	read := s.read
	req.After, req.HasAfter = first.Ords[0], true // the next page, and the same total
	if more, err := x.Search(context.Background(), req); err != nil || more.Total != first.Total || more.Ords[0] != first.Ords[1] {
		t.Errorf("%+v, then %+v, %v", first, more, err)
	}
	req.HasAfter = false
	if again, err := x.Search(context.Background(), req); err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("%+v, then %+v, %v", first, again, err)
	}
	if again := s.read - read; read == 0 || again > 0 {
		t.Errorf("%d records read, then %d", read, again)
	}
}

// TestPhraseOfComing: what is remembered of a segment is of documents, not of those that counted at that time.
func TestPhraseOfComing(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 2))
	s := newFakeStore()
	for s.fill(r, 1, 2, 900); len(s.cones[1].Records) < 300 || len(s.cones[2].Records) < 300; {
		s.fill(r, 1, 2, 900)
	}
	s.cover(1, 2)
	x := opened(t, t.TempDir(), s, 0)
	n := mustEnter(t, x)
	ctx := context.Background()
	w, err := newWriter(n.current(), n.reading, x.merged, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 2} {
		docs, err := n.reading.documents(ctx, s.cones[seq])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			w.batch.Update(d)
		}
	}
	w.account.done.Add(1, 1)
	w.account.begun.Add(2, 2)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	ask := func(units uint64) {
		t.Helper()
		for _, q := range []lang.Node{lang.Text{Text: "sensor node"}, lang.Not{Of: lang.Text{Text: "sensor node"}}} {
			var want []ledger.Ord
			for _, o := range s.ordsOf(ranges.Of(ranges.Range{Lo: 1, Hi: units})) {
				if s.naive(q, o) {
					want = append(want, o)
				}
			}
			for range 2 {
				got, err := x.Search(ctx, Request{Net: fakeNet, Query: q, Count: true, Limit: 10_000})
				if err != nil || !same(got.Ords, want) || got.Total != uint64(len(want)) || len(want) == 0 {
					t.Errorf("with units to %d: %d hits, total %d, want %d; %v", units, len(got.Ords), got.Total, len(want), err)
				}
			}
		}
	}
	ask(1)
	w.account.begun.Remove(2, 2)
	w.account.done.Add(2, 2)
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	ask(2)
}

// TestBudget: with more candidates than may be checked for a count the page is exact and the total a lower bound.
func TestBudget(t *testing.T) {
	_, s := filled(12, 300)
	x := opened(t, t.TempDir(), s, 0)
	catchUp(t, x, s)
	q := lang.Or{lang.Text{Text: "sensor node"}, lang.State{Of: 1}}
	var want []ledger.Ord
	for _, o := range s.ordsOf(s.covered) {
		if s.naive(q, o) {
			want = append(want, o)
		}
	}
	n := mustEnter(t, x)
	for _, limit := range []int{0, 1, 5, 1000} {
		se := &search{
			x: x, n: n, ctx: context.Background(), within: s.covered, budget: 1, facets: newFacets(nil),
			req: Request{Net: fakeNet, Query: q, Limit: limit, Count: true}, out: Result{Exact: true}, hash: [32]byte{1},
		}
		views, _ := n.current().read()
		err := se.run(views)
		for _, v := range views {
			v.close()
		}
		got := se.result()
		if err != nil || !same(got.Ords, want[:min(limit, len(want))]) || got.Total > uint64(len(want)) || limit < 1000 && got.Exact {
			t.Errorf("limit %d: %+v, %v", limit, got, err)
		}
	}
}

// TestStoreFails: what the store cannot give ends the search; it is no fault of a shard.
func TestStoreFails(t *testing.T) {
	_, s := filled(13, 20)
	x := opened(t, t.TempDir(), s, 0)
	catchUp(t, x, s)
	bad := &failing{s}
	x.opts.Store = bad
	_, err := x.Search(context.Background(), Request{Net: fakeNet, Query: lang.Text{Text: "sensor node"}, Count: true})
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	x.opts.Store = s
	if got, err := x.Search(context.Background(), Request{Net: fakeNet, Query: lang.All{}, Count: true}); err != nil || len(got.Problems) > 0 {
		t.Errorf("then %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := x.Search(ctx, Request{Net: fakeNet, Query: lang.All{}, Count: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if st := x.Status(fakeNet); st.Problem != "" {
		t.Errorf("status %+v", st)
	}
}

type failing struct{ *fakeStore }

func (failing) Record(context.Context, ledger.NetID, ledger.Ord) (r ledger.Record, err error) {
	return r, storage.ErrCorrupt
}

// TestCheckFinds: documents that are not what their records give are found, one too many and one too few.
func TestCheckFinds(t *testing.T) {
	_, s := filled(14, 40)
	x := opened(t, t.TempDir(), s, 0)
	catchUp(t, x, s)
	var seq uint64
	for seq = 1; len(s.cones[seq].Records) < 2; seq++ {
	}
	records := s.cones[seq].Records
	findings := func() (n int) {
		for f, err := range x.Check(context.Background(), fakeNetwork(), true) {
			if err != nil || f.Shard != hotName {
				t.Errorf("%+v, %v", f, err)
			}
			n++
		}
		return n
	}
	if n := findings(); n != 0 {
		t.Fatalf("%d findings before", n)
	}
	whole := records[0].Posts
	records[0].Posts = whole[1:]
	if findings() == 0 {
		t.Error("a term too many is not found")
	}
	records[0].Posts = append(slices.Clone(whole), ledger.Posting{Key: ledger.Key{Kind: ledger.KeyObject, Val: "new"}})
	if findings() == 0 {
		t.Error("a term too few is not found")
	}
	records[0].Posts = whole
	s.cones[seq].Records = records[:1]
	if findings() == 0 {
		t.Error("a document too many is not found")
	}
	s.cones[seq].Records = append(slices.Clone(records), ledger.Record{Ord: ledger.Ord{Seq: seq, Pos: uint32(len(records))}, Kind: 1, State: 1, Parts: records[0].Parts})
	if findings() == 0 {
		t.Error("a document too few is not found")
	}
}
