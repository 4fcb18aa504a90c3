package query_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"permanode/index"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// Facets count all hits, however they are found.
func TestFacets(t *testing.T) {
	l := querytest.NewLibrary(t)
	for _, name := range []string{"m", "n"} {
		id := l.AddNetwork(name, "")
		l.AddUnit(id, 1, querytest.Day, "A|addr1A|x", "B|addr1A|x", "A|addr1A|x")
		l.AddUnit(id, 2, 2*querytest.Day, "A|addr1A|x")
	}
	l.CatchUp()
	want := `map[day:{[{1970-01-02 6} {1970-01-03 2}] 0 true} kind:{[{none 6} {data 2}] 0 true} state:{[{applied 4} {conflicting 2} {no-transaction 2}] 0 true} tag:{[{0x41 6} {0x42 2}] 0 true}]`
	for _, text := range []string{"addr:addr1A", "x", "addr:addr1A text:x", "NOT tag:C"} {
		for _, candidates := range []uint64{0, 1000} {
			a := l.Indexed()
			force(a, candidates, 10)
			got, err := a.Search(t.Context(), query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: text, Limit: 1, Facets: []string{"tag", "kind", "state", "day"}})
			if fmt.Sprint(got.Facets) != want || err != nil {
				t.Errorf("%s: %v, %v\nwant %s", text, got.Facets, err, want)
			}
		}
	}
}

// TestPlansAgree: whichever way the planner takes, hits, totals and pages are the same.
func TestPlansAgree(t *testing.T) {
	l := querytest.NewLibrary(t)
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"red", "green", "blue", "red-green"}
	var ids []string
	for _, name := range []string{"m", "n"} {
		id := l.AddNetwork(name, "")
		for seq := range uint64(30) {
			var raws []string
			for range r.IntN(5) {
				raws = append(raws, fmt.Sprintf("T%d|addr1%d|%s %d", r.IntN(9), r.IntN(4), words[r.IntN(len(words))], r.IntN(3)))
			}
			l.AddUnit(id, seq, int64(seq)*querytest.Day/3, raws...)
			for _, rec := range l.Held[id][seq].Records {
				ids = append(ids, rec.ID.String())
			}
			ids = append(ids, l.Held[id][seq].Unit.ID.String())
		}
	}
	l.CatchUp()
	var term func(depth int) string
	term = func(depth int) string {
		if depth > 0 {
			switch r.IntN(4) {
			case 0:
				return "(" + term(depth-1) + " " + term(depth-1) + ")"
			case 1:
				return "(" + term(depth-1) + " OR " + term(depth-1) + ")"
			case 2:
				return "NOT " + term(depth-1)
			}
		}
		return []string{
			fmt.Sprintf("tag:T%d", r.IntN(10)), "tag:T*", fmt.Sprintf("addr:addr1%d", r.IntN(5)), "id:" + ids[r.IntN(len(ids))],
			"text:" + words[r.IntN(len(words))], fmt.Sprintf("unit:%d..", r.IntN(40)), "kind:data", "state:applied", "network:n",
			fmt.Sprintf("before:1970-01-%02d", 1+r.IntN(12)),
		}[r.IntN(10)]
	}
	same := map[string]bool{}
	for range 120 {
		text, order, limit := term(3), query.Order(r.IntN(2)), 1+r.IntN(20)
		var first string
		for _, b := range []struct {
			candidates uint64
			tags       int
		}{{0, 0}, {3, 3}, {1 << 20, 1 << 10}} {
			a := l.Indexed()
			force(a, b.candidates, b.tags)
			a.Bounds().MostCandidates = 1 << 20
			hits, got, err := search(t, a, text, order, limit)
			answer := fmt.Sprint(hits, got.Total, got.Complete, err)
			if first == "" {
				first = answer
				same[answer] = true
			}
			if answer != first {
				t.Fatalf("%s by %d (order %d): with bounds %+v\n%s\nelse\n%s", text, limit, order, b, answer, first)
			}
		}
	}
	if len(same) < 40 {
		t.Errorf("only %d different answers: the queries try too little", len(same))
	}
}

// The index goes on while a search runs: the answer is of the units that were held when it began.
func TestIndexAhead(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T||x", "T||y")
	l.CatchUp()
	a := query.New(l.Memory, querytest.Codecs)
	grow := &growing{Index: l.Index, grow: func() {
		l.AddUnit(id, l.Cover[id].Spans[0].Hi+1, querytest.Day, "T||x")
		l.CatchUp()
	}}
	a.UseIndex(grow)
	for range 3 {
		got, err := a.Search(t.Context(), query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: "x OR z NOT tag:U"})
		if err != nil || got.Total.Value != uint64(len(got.Hits)) || len(got.Searched[0].Ranges) != 1 {
			t.Fatal(got, err)
		}
		if held := got.Searched[0].Ranges[0].To; got.Total.Value != held || got.Hits[0].Ord.Seq != held || !got.Complete {
			t.Errorf("%d hits in units 1 to %d, complete %v", got.Total.Value, held, got.Complete)
		}
	}
}

// growing commits and indexes a unit just before each search.
type growing struct {
	*index.Index
	grow func()
}

func (g *growing) Search(ctx context.Context, req index.Request) (index.Result, error) {
	g.grow()
	return g.Index.Search(ctx, req)
}

// A list that loses a part of the index on the way is not complete, whatever its first page said.
func TestEachLosesAShard(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	var raws []string
	for i := range 150 {
		raws = append(raws, fmt.Sprintf("-||word %d", i))
	}
	l.AddUnit(id, 1, querytest.Day, raws...)
	l.CatchUp()
	a := query.New(l.Memory, querytest.Codecs)
	a.UseIndex(&failing{Index: l.Index, good: 1})
	a.Bounds().Page = 100
	rows := 0
	got, err := a.Each(t.Context(), query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: "word 7 OR word"}, func(query.Item) error {
		rows++
		return nil
	})
	if err != nil || got.Complete || got.Total.Relation != "lower_bound" || !errors.Is(got.Missing(), storage.ErrIncomplete) || rows != 100 {
		t.Errorf("%d rows, total %+v, complete %v, %v", rows, got.Total, got.Complete, err)
	}
}

// failing answers good searches and then loses all its shards.
type failing struct {
	*index.Index
	good int
}

func (f *failing) Search(ctx context.Context, req index.Request) (index.Result, error) {
	if f.good--; f.good < 0 {
		return index.Result{Problems: []string{"shard 1-1 cannot be read"}}, nil
	}
	return f.Index.Search(ctx, req)
}

// force sets what the planner answers from the store: nothing or everything forces its way.
func force(a *query.Archive, candidates uint64, tags int) {
	b := a.Bounds()
	b.FewCandidates, b.MostCandidates, b.FewTags, b.MostTags = candidates, candidates, tags, tags
}
