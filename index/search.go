package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// maxChecked is how many records a search reads to count what terms cannot tell. Beyond it the total is a lower
// bound; the page is exact all the same.
const maxChecked = 200_000

// Search answers a request. A fault of a shard is no error: the answer names it.
func (x *Index) Search(ctx context.Context, req Request) (Result, error) {
	n, err := x.enter(ctx, req.Net)
	if err != nil {
		return Result{}, err
	}
	defer x.searches.Done()
	cov, err := x.opts.Store.Coverage(ctx, req.Net)
	if err != nil {
		return Result{}, err
	}
	s := &search{
		x: x, n: n, ctx: ctx, req: req, within: cov.Set(), budget: maxChecked,
		window: window{newest: req.Newest, after: req.After, hasAfter: req.HasAfter},
		out:    Result{Exact: true}, facets: newFacets(req.Facets),
		hash: hashQuery(req.Query),
	}
	views, faults := n.current().read()
	defer func() {
		for _, v := range views {
			v.close()
		}
	}()
	for _, f := range faults {
		s.problem(f.name, f.err)
	}
	if err := s.run(views); err != nil {
		return Result{}, fmt.Errorf("search %s: %w", n.Name, err)
	}
	return s.result(), nil
}

// search is one search in one network. It belongs to one goroutine.
type search struct {
	x      *Index
	n      *network
	ctx    context.Context
	req    Request
	window window
	within ranges.Set // units in coverage: an index may be ahead of a store that was restored
	hash   [32]byte
	budget int // records that may still be read for counting
	facets *facets
	out    Result
}

// run asks the shards, those first that hold the first hits.
func (s *search) run(views []*snapshot) error {
	slices.SortFunc(views, func(a, b *snapshot) int {
		if s.window.newest {
			return cmp.Compare(last(b.done), last(a.done))
		}
		return cmp.Compare(first(a.done), first(b.done))
	})
	for _, v := range views {
		within := v.done.Minus(v.done.Minus(s.within))
		if !s.req.Count && s.facets == nil && s.full(within) {
			s.searched(within)
			continue
		}
		if err := s.shard(v, within); err != nil {
			if notOfShard(s.ctx, err) {
				return cmp.Or(s.ctx.Err(), err)
			}
			s.n.current().condemn(v.shard, err)
			s.problem(v.name, err)
			continue
		}
		s.searched(within)
	}
	return nil
}

func first(s ranges.Set) uint64 {
	if r := s.Ranges(); len(r) > 0 {
		return r[0].Lo
	}
	return 0
}

func last(s ranges.Set) uint64 {
	if r := s.Ranges(); len(r) > 0 {
		return r[len(r)-1].Hi
	}
	return 0
}

func (s *search) problem(shard string, err error) {
	s.out.Problems = append(s.out.Problems, fmt.Sprintf("shard %s of the index of %s: %v", shard, s.n.Name, err))
	s.out.Exact = false
}

func (s *search) searched(units ranges.Set) {
	for _, r := range units.Ranges() {
		s.out.Searched.Add(r.Lo, r.Hi)
	}
}

// want is how many ordinals are looked for: one more than asked, to tell whether there are more.
func (s *search) want() int { return s.req.Limit + 1 }

// full reports whether nothing of units can stand on the page.
func (s *search) full(units ranges.Set) bool {
	if s.req.Limit == 0 || units.Len() == 0 {
		return true
	}
	begin, end := ledger.Ord{Seq: first(units)}, ledger.Ord{Seq: last(units), Pos: ledger.UnitPos}
	if s.window.newest {
		begin, end = end, begin
	}
	return !s.fits(begin) || !s.window.behind(end)
}

// fits reports whether a hit at o would stand on the page.
func (s *search) fits(o ledger.Ord) bool {
	return len(s.out.Ords) < s.want() || s.window.before(o, s.out.Ords[len(s.out.Ords)-1])
}

// merge adds hits to the page, which stays in order.
func (s *search) merge(ords []ledger.Ord) {
	all := s.window.sort(append(s.out.Ords, ords...))
	s.out.Ords = all[:min(len(all), s.want())]
}

// found is what was found in a part of a shard.
type found struct {
	*part
	bounds
	asked   *roaring.Bitmap // of the doubtful ones, those whose records were looked at, now or before
	matched *roaring.Bitmap // of those, the ones that match
	left    bool            // some were not looked at
	news    bool            // some were looked at now
}

// doubt is a document that terms do not tell.
type doubt struct {
	ord ledger.Ord
	of  *found
	doc uint32
}

// shard adds the hits of one shard. All that may fail comes before anything is added, but for facets.
func (s *search) shard(v *snapshot, within ranges.Set) (err error) {
	defer recovered(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that was cut under us
	if within.Len() == 0 {
		return nil
	}
	full := s.full(within)
	if total, ok := s.known(v); ok && full && s.facets == nil {
		s.out.Total += total
		return nil
	}
	parts, err := s.eval(v, within)
	if err != nil {
		return err
	}
	page, total, doubts, err := s.certain(v, parts, full)
	if err != nil {
		return err
	}
	hits, exact, err := s.settle(page, doubts)
	if err != nil {
		return err
	}
	if s.facets != nil {
		if err := s.facets.add(s, parts); err != nil {
			return err
		}
	}
	s.merge(append(page, hits...))
	for _, f := range parts {
		total += f.matched.GetCardinality()
	}
	s.out.Total += total
	s.out.Exact = s.out.Exact && exact
	s.learn(v, parts, v.man != nil && within.Len() == v.done.Len())
	return nil
}

// known returns the total of a closed shard if it was counted before.
func (s *search) known(v *snapshot) (total uint64, ok bool) {
	if v.man == nil {
		return 0, false
	}
	for _, seg := range v.snap.Segments() {
		n := s.x.counts.get(seg.Segment(), s.hash)
		if n == nil || !n.whole {
			return 0, false
		}
		total += n.total
	}
	return total, true
}

// learn keeps what was found out.
func (s *search) learn(v *snapshot, parts []*found, whole bool) {
	for _, f := range parts {
		if whole := whole && !f.left; whole || f.news {
			s.x.counts.put(&count{
				key: countKey{f.seg, s.hash}, owner: v.shard, asked: f.asked, matched: f.matched,
				total: f.sure.GetCardinality() + f.matched.GetCardinality(), whole: whole,
			})
		}
	}
}

// eval asks the segments. What an earlier search has checked is certain.
func (s *search) eval(v *snapshot, within ranges.Set) ([]*found, error) {
	segs, err := v.parts(s.x.tables, within)
	if err != nil {
		return nil, err
	}
	e := &evaluator{ctx: s.ctx, store: s.x.opts.Store, net: s.req.Net, done: within, lookups: map[ledger.Key][]ledger.Ord{}}
	e.table = func(seg segment.Segment) (*table, error) { return s.x.tables.of(v.shard, seg) }
	out := make([]*found, len(segs))
	for i, p := range segs {
		b, err := e.eval(p, s.req.Query, p.live)
		if err != nil {
			return nil, err
		}
		f := &found{part: p, bounds: exact(roaring.And(b.maybe, p.live)), asked: nothing, matched: nothing}
		if b.sure != b.maybe {
			f.sure = roaring.And(b.sure, p.live)
			f.recall(s.x.counts.get(p.seg, s.hash))
		}
		out[i] = f
	}
	return out, nil
}

// recall takes what is known of the doubtful ones. Others than now may have been live then: a record that was looked
// at stays what it is, and no more is taken.
func (f *found) recall(n *count) {
	doubts := f.doubtful()
	if n == nil || doubts.IsEmpty() {
		return
	}
	f.asked, f.matched = roaring.And(n.asked, doubts), roaring.And(n.matched, doubts)
	f.maybe = roaring.AndNot(f.maybe, f.asked)
}

// certain returns the first hits among those that terms or earlier searches tell, how many the terms tell, and the
// doubtful ones in order. Where the page is full nothing is in order, and no table is needed to count.
func (s *search) certain(v *snapshot, parts []*found, full bool) (page []ledger.Ord, total uint64, doubts []doubt, err error) {
	for _, f := range parts {
		total += f.sure.GetCardinality()
		left := f.doubtful()
		sure := f.sure
		if !f.matched.IsEmpty() {
			sure = roaring.Or(sure, f.matched)
		}
		if left.IsEmpty() && (sure.IsEmpty() || full) {
			continue
		}
		t, err := s.x.tables.of(v.shard, f.seg)
		if err != nil {
			return nil, 0, nil, err
		}
		if !full {
			page = append(page, t.first(sure, &s.window, s.want())...)
		}
		for it := left.Iterator(); it.HasNext(); {
			doc := it.Next()
			doubts = append(doubts, doubt{unpacked(t.ords[doc]), f, doc})
		}
	}
	page = s.window.sort(page)
	slices.SortFunc(doubts, func(a, b doubt) int { return s.window.compare(a.ord, b.ord) })
	return page[:min(len(page), s.want())], total, doubts, nil
}

// settle reads the records of the doubtful hits: all of them for a count or facets, as far as the budget goes, and
// those that may stand on the page in any case. page is what is certain of this shard.
func (s *search) settle(page []ledger.Ord, doubts []doubt) (hits []ledger.Ord, exact bool, err error) {
	counting := s.req.Count || s.facets != nil
	exact = true
	line := s.window.sort(append(slices.Clone(s.out.Ords), page...)) // what a hit must come before
	for i, d := range doubts {
		behind := s.window.behind(d.ord)
		fits := s.req.Limit > 0 && behind && s.fitsLine(line, hits, d.ord)
		if !fits && (!counting || s.budget == 0) {
			exact, d.of.left = false, true
			if !behind {
				continue
			}
			for _, rest := range doubts[i:] { // none of them fits either
				rest.of.left = true
			}
			break
		}
		ok, err := s.matches(d.ord)
		if err != nil {
			return nil, false, err
		}
		s.budget = max(s.budget-1, 0)
		d.of.note(d.doc, ok)
		if !ok {
			continue
		}
		if behind && len(hits) < s.want() {
			hits = append(hits, d.ord)
		}
	}
	return hits, exact, nil
}

// note keeps what a record said.
func (f *found) note(doc uint32, matches bool) {
	if !f.news {
		f.asked, f.matched, f.news = f.asked.Clone(), f.matched.Clone(), true
	}
	f.asked.Add(doc)
	if matches {
		f.matched.Add(doc)
	}
}

// fitsLine reports whether a hit at o would be among the first ones, given line and the hits found before o.
func (s *search) fitsLine(line, hits []ledger.Ord, o ledger.Ord) bool {
	before, _ := slices.BinarySearchFunc(line, o, s.window.compare)
	return before+len(hits) < s.want()
}

// matches reads the record at o and asks it.
func (s *search) matches(o ledger.Ord) (bool, error) {
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	sub, err := s.n.reading.subject(s.ctx, s.x.opts.Store, s.req.Net, o)
	if err != nil {
		return false, &storeError{fmt.Errorf("record %d/%d: %w", o.Seq, o.Pos, err)}
	}
	return sub.matches(s.req.Query), nil
}

func (s *search) result() Result {
	if s.out.More = len(s.out.Ords) > s.req.Limit; s.out.More {
		s.out.Ords = s.out.Ords[:s.req.Limit]
	}
	if s.facets != nil {
		s.out.Facets = s.facets.top(cmp.Or(s.req.FacetTop, 10), s.out.Exact, s.n.reading.codec)
	}
	if !s.req.Count {
		s.out.Total, s.out.Exact = 0, false
	}
	return s.out
}

// errClosed says that the index was closed.
var errClosed = errors.New("the index is closed")
