package judge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/index"
	"permanode/index/lang"
	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/storage"
)

// questions is how many are asked in one state of an archive.
func questions(short int) int {
	if torture {
		return 10_000
	}
	return short
}

// judge compares answers of a program with those of the matcher.
type judge struct {
	t       testing.TB
	a       *query.Archive
	world   *world
	seed    uint64
	state   string
	indexed bool // there is an index; else only what postings can tell is answered
	growing bool // units come in between
	wrong   int
	asked   int // that had hits
	refused int
	partly  int // answers of a part of what is held: the index was behind
}

// sees makes what a program over store and index answers with.
func sees(store storage.Reader, x *index.Index) *query.Archive {
	a := query.New(store, eras.Codec)
	if x != nil {
		a.UseIndex(x)
	}
	return a
}

// one is one question and what is right.
type one struct {
	query string
	nets  []*net
	order query.Order
	want  []*doc // of all that is held, in order; only units in scope count
	err   error
}

func (q *one) String() string {
	var names []string
	for _, n := range q.nets {
		names = append(names, n.name)
	}
	return fmt.Sprintf("%q in %s, order %d", q.query, strings.Join(names, ","), q.order)
}

// run asks n questions.
func (j *judge) run(ctx context.Context, n int) {
	j.t.Helper()
	begin := time.Now()
	asker := newAsker(rand.New(rand.NewPCG(j.seed, 2)), j.world.nets)
	corners := asker.corners()
	for i := range n + len(corners) {
		asker.r = rand.New(rand.NewPCG(j.seed, uint64(i)+1000))
		text := ""
		if i < n {
			text = asker.query()
		} else {
			text = corners[i-n]
		}
		q := j.ask(asker, text)
		if err := j.compare(ctx, q, asker.r); err != nil {
			if j.wrong++; j.wrong > 8 {
				j.t.Fatalf("%s: too many are wrong", j.state)
			}
			j.t.Errorf("%s, question %d: %v\n%v", j.state, i, q, err)
		}
	}
	j.t.Logf("%s: %d questions and %d corners, %d with hits, %d refused, %d of a part, %v", j.state, n, len(corners), j.asked, j.refused, j.partly, time.Since(begin).Round(time.Millisecond))
	if least := n / 4; j.indexed && j.asked < least || j.asked < least/4 {
		j.t.Errorf("%s: only %d of %d questions had an answer: they judge nothing", j.state, j.asked, n)
	}
}

// ask makes a question to some networks.
func (j *judge) ask(a *asker, text string) *one {
	q := &one{query: text, nets: j.world.nets, order: query.Order(a.r.IntN(2))}
	if a.r.IntN(3) == 0 {
		q.nets = slices.DeleteFunc(slices.Clone(q.nets), func(*net) bool { return a.r.IntN(2) == 0 })
		if len(q.nets) == 0 {
			q.nets = j.world.nets[:1]
		}
	}
	var match test
	if match, q.err = understand(q.query, q.nets, j.world); q.err != nil {
		return q
	}
	for _, n := range q.nets { // newest first; inside a network docs are oldest first
		for i := len(n.docs) - 1; i >= 0; i-- {
			if match(n.docs[i]) {
				q.want = append(q.want, n.docs[i])
			}
		}
	}
	if q.order == query.OldestFirst {
		slices.Reverse(q.want)
	}
	return q
}

// compare asks the program, page by page.
func (j *judge) compare(ctx context.Context, q *one, r *rand.Rand) error {
	networks, err := j.a.Networks(ctx)
	if err != nil {
		return err
	}
	networks = slices.DeleteFunc(networks, func(n query.Network) bool {
		return !slices.ContainsFunc(q.nets, func(have *net) bool { return have.name == n.Name })
	})
	r.Shuffle(len(networks), func(i, k int) { networks[i], networks[k] = networks[k], networks[i] })
	req := query.SearchRequest{Networks: networks, Query: q.query, Order: q.order}
	if r.IntN(8) == 0 && j.indexed && !j.growing {
		req.Facets = query.FacetNames
	}
	if r.IntN(12) == 0 && j.indexed && !j.growing && len(q.want) < 500 {
		return j.all(ctx, q, req)
	}
	at, pages := 0, 1+r.IntN(4)
	if r.IntN(4) == 0 {
		pages = 1 << 20
	}
	for page := 0; page < pages; page++ {
		req.Limit = pick(r, []int{1, 2, 3, 7, 50, 1000, 4000})
		if page > 30 {
			req.Limit = 1000
		}
		got, err := j.a.Search(ctx, req)
		if done, err := j.fails(q, err); done {
			return err
		}
		want := q.want
		if !j.growing {
			if !got.Complete {
				return fmt.Errorf("the answer is not complete: %+v, %s", got.Searched, got.Total.Why)
			}
		} else {
			want = within(q, got)
		}
		if !got.Complete {
			j.partly++
		}
		if at, err = j.page(ctx, q, got, want, at, req.Limit, r); err != nil {
			return fmt.Errorf("page %d: %w", page, err)
		}
		if j.growing || got.Next == "" {
			break // what a walk gives while units arrive is another test
		}
		if len(req.Facets) > 0 {
			if err := checkFacets(got.Facets, q.want); err != nil {
				return err
			}
			req.Facets = nil
		}
		req.Cursor = got.Next
	}
	if len(q.want) > 0 {
		j.asked++
	}
	return nil
}

// all compares what search --all gives.
func (j *judge) all(ctx context.Context, q *one, req query.SearchRequest) error {
	at := 0
	got, err := j.a.Each(ctx, req, func(it query.Item) error {
		if at == len(q.want) {
			return fmt.Errorf("hit %d is %+v, and there are no more", at, it)
		}
		at++
		return q.want[at-1].same(it)
	})
	if done, err := j.fails(q, err); done {
		return err
	}
	if at != len(q.want) || got.Total.Value != uint64(at) || !got.Complete {
		return fmt.Errorf("%d hits, total %+v, right are %d", at, got.Total, len(q.want))
	}
	if at > 0 {
		j.asked++
	}
	return nil
}

// same compares a hit as it is shown with the document.
func (d *doc) same(it query.Item) error {
	if it.ID != d.id || it.Kind != d.kind || it.State != d.state || it.Network != d.net.name || it.Seq != d.seq || uint32(it.Pos) != d.pos ||
		it.Time != time.UnixMilli(d.time).UTC().Format(time.RFC3339Nano) {
		return fmt.Errorf("the hit is %+v, right is %v", it, d)
	}
	return nil
}

// fails judges an error; done: there is nothing more to compare.
func (j *judge) fails(q *one, err error) (done bool, wrong error) {
	var syntax *lang.SyntaxError
	var meaning *query.QueryError
	switch {
	case err == nil && q.err == nil:
		return false, nil
	case err == nil:
		return true, fmt.Errorf("the program answers, the judge says: %w", q.err)
	case errors.Is(err, query.ErrNoIndex) && !j.indexed && q.err == nil:
		j.refused++
		return true, nil
	case errors.As(err, &syntax), errors.As(err, &meaning):
		if _, box := boxed(q.query); q.err != nil || box && resembles(q.query) {
			j.refused++
			return true, nil
		}
	}
	return true, fmt.Errorf("the program fails: %w; the judge says: %v, %d hits", err, q.err, len(q.want))
}

// resembles reports whether a word in the search box looks like an identifier that none is: the program may say so.
func resembles(word string) bool {
	word = strings.ToLower(strings.TrimSpace(word))
	_, pairs := unhex(word)
	return len(word) >= 40 || strings.HasPrefix(word, "0x") && !pairs
}

// within leaves of the right hits those in the units that the answer says to have searched.
func within(q *one, got query.SearchResult) (out []*doc) {
	scope := map[string]ranges.Set{}
	for _, e := range got.Searched {
		var s ranges.Set
		list := e.Ranges
		if !e.Complete {
			list = e.Indexed
		}
		for _, r := range list {
			s.Add(r.From, r.To)
		}
		scope[e.Network] = s
	}
	given := map[string]bool{}
	for _, hit := range got.Hits {
		given[placeOf(hit.Network.Name, hit.Ord.Seq, hit.Ord.Pos)] = true
	}
	for _, d := range q.want {
		// What an identifier names is looked at wherever it stands, so an answer may have right hits of other units too.
		if s := scope[d.net.name]; s.Has(d.seq) || given[placeOf(d.net.name, d.seq, d.pos)] {
			out = append(out, d)
		}
	}
	return out
}

func placeOf(net string, seq uint64, pos uint32) string {
	return fmt.Sprintf("%s %d/%d", net, seq, pos)
}

// page compares one page; at is how many hits came before it.
func (j *judge) page(ctx context.Context, q *one, got query.SearchResult, want []*doc, at, limit int, r *rand.Rand) (int, error) {
	if got.Total.Relation == "exact" && got.Total.Value != uint64(len(want)) {
		return at, fmt.Errorf("the total is %d, right is %d\n%s", got.Total.Value, len(want), difference(got.Hits, want[min(at, len(want)):], limit))
	}
	if got.Total.Relation != "exact" && !j.growing {
		return at, fmt.Errorf("the total is %+v, right is exactly %d", got.Total, len(want))
	}
	right := want[at:min(len(want), at+limit)]
	if diff := difference(got.Hits, right, limit); diff != "" {
		return at, fmt.Errorf("%d hits, right are %d of %d from %d on\n%s", len(got.Hits), len(right), len(want), at, diff)
	}
	at += len(right)
	if more := at < len(want); more != (got.Next != "") {
		return at, fmt.Errorf("next page: %q, right is %v", got.Next, more)
	}
	if len(got.Hits) > 0 && r.IntN(6) == 0 {
		i := r.IntN(len(got.Hits))
		items, err := j.a.Items(ctx, got.Hits[i:i+1])
		if err != nil {
			return at, err
		}
		if err := right[i].same(items[0]); err != nil {
			return at, err
		}
	}
	return at, nil
}

// difference tells the first place where hits differ, "" if there is none.
func difference(got []query.Hit, want []*doc, limit int) string {
	want = want[:min(len(want), limit)]
	for i := range max(len(got), len(want)) {
		var g string
		var w *doc
		if i < len(got) {
			g = placeOf(got[i].Network.Name, got[i].Ord.Seq, got[i].Ord.Pos)
		}
		if i < len(want) {
			w = want[i]
		}
		if w != nil && g == placeOf(w.net.name, w.seq, w.pos) {
			continue
		}
		out := fmt.Sprintf("hit %d: the program has %q, the judge %v\n", i, g, w)
		if w != nil {
			out += w.explain()
		}
		return out
	}
	return ""
}

// checkFacets counts what the facets must say.
func checkFacets(got map[string]query.Facets, hits []*doc) error {
	right := map[string]map[string]uint64{}
	for _, f := range query.FacetNames {
		right[f] = map[string]uint64{}
	}
	for _, d := range hits {
		right[index.FacetKind][d.kind]++
		right[index.FacetDay][time.UnixMilli(d.time).UTC().Format(time.DateOnly)]++
		if d.state != "" {
			right[index.FacetState][d.state]++
		}
		for of := range d.names {
			switch of.sort {
			case "tag":
				right[index.FacetTag][hexOf(of.val)]++
			case index.FacetType, index.FacetEvent, index.FacetFunction:
				right[of.sort][of.val]++
			}
		}
	}
	for name, count := range right {
		f := got[name]
		rest := uint64(0)
		for _, n := range count {
			rest += n
		}
		for _, v := range f.Values {
			if f.Exact && v.Count != count[v.Value] {
				return fmt.Errorf("facet %s: %q is counted %d times, right is %d", name, v.Value, v.Count, count[v.Value])
			}
			rest -= v.Count
		}
		if f.Exact && f.Other != rest {
			return fmt.Errorf("facet %s: others %d, right is %d", name, f.Other, rest)
		}
		if !slices.IsSortedFunc(f.Values, func(a, b query.FacetValue) int {
			if a.Count != b.Count {
				return int(b.Count) - int(a.Count)
			}
			return strings.Compare(a.Value, b.Value)
		}) {
			return fmt.Errorf("facet %s is not in order: %+v", name, f.Values)
		}
	}
	return nil
}

// openIndex opens an index whose shards hold so many documents.
func openIndex(t testing.TB, dir string, store storage.Reader, docs int) *index.Index {
	t.Helper()
	x, err := index.Open(dir, index.Options{Store: store, Codec: eras.Codec, Memory: 64 << 20, ShardDocs: docs, Log: slog.New(slog.NewTextHandler(tested{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// followers are the writers of an index, one a network.
func followers(t testing.TB, x *index.Index, w *world) map[ledger.NetID]follow.Follower {
	t.Helper()
	all := map[ledger.NetID]follow.Follower{}
	for _, n := range w.nets {
		f, err := x.Follower(n.row)
		if err != nil {
			t.Fatal(err)
		}
		all[n.id] = f
	}
	return all
}

func catchUp(ctx context.Context, t testing.TB, store storage.Reader, all map[ledger.NetID]follow.Follower) {
	t.Helper()
	for net, f := range all {
		if err := follow.CatchUp(ctx, store, net, f); err != nil {
			t.Fatal(err)
		}
	}
}

// tested is a writer into a test's log.
type tested struct{ t testing.TB }

func (w tested) Write(b []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(b)))
	return len(b), nil
}
