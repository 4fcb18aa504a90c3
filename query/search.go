package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"permanode/index"
	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// Index is what the planner needs of the search index. It is safe for concurrent use.
type Index interface {
	// Search answers a bound query of one network. A part that cannot answer is no error: it is not in Searched.
	Search(ctx context.Context, req index.Request) (index.Result, error)
	// Done returns the units of a network that are in the index.
	Done(ctx context.Context, net ledger.NetID) (ranges.Set, error)
	// Status says how the index of a network does.
	Status(net ledger.NetID) index.Status
}

// ErrNoIndex says that a question needs the search index and there is none.
var ErrNoIndex = errors.New("there is no search index")

// NoIndexError reports a question that only the search index can answer, while there is none.
type NoIndexError struct{ Query string }

// Unwrap makes it an ErrNoIndex.
func (e *NoIndexError) Unwrap() error { return ErrNoIndex }

func (e *NoIndexError) Error() string {
	return fmt.Sprintf("the question %s is for words or a combination, and %v", Quote(e.Query), ErrNoIndex)
}

// Hint is the next step.
func (e *NoIndexError) Hint() string {
	return "build it with permanode index rebuild, or set index.text: true for the service; one exact tag, address or identifier needs none"
}

// QueryError reports a query that parses and has no meaning here: an unknown word, or an address that is none.
type QueryError struct {
	At   int // byte offset in the query
	What string
	Fix  string
}

func (e *QueryError) Error() string { return fmt.Sprintf("query, at byte %d: %s", e.At, e.What) }

// Hint is the next step.
func (e *QueryError) Hint() string { return e.Fix }

// Order is the order of a list.
type Order uint8

// The orders: networks by lineage, the newest era first, and in a network by place; or all of that backwards.
const (
	NewestFirst Order = iota
	OldestFirst
)

// SearchRequest is one question.
type SearchRequest struct {
	Networks []Network // to search; in any order
	Query    string    // docs/query.md; empty: everything
	Cursor   string    // Next of the page before; "" for the first
	Limit    int       // most hits, 0 for 100
	Order    Order
	Facets   []string // names of facets to count, of FacetNames
}

// FacetNames are the facets that can be asked for.
var FacetNames = []string{
	index.FacetTag, index.FacetKind, index.FacetState, index.FacetDay, index.FacetType, index.FacetEvent, index.FacetFunction,
}

// How a total stands to the truth.
const (
	Exact      = "exact"
	LowerBound = "lower_bound"
	UpperBound = "upper_bound"
)

// Total is how many items a list has over all pages.
type Total struct {
	Value    uint64 `json:"value"`
	Relation string `json:"relation"`      // Exact, LowerBound or UpperBound
	Why      string `json:"why,omitempty"` // why it is no exact number
}

// Taken says what a word in the search box was taken for.
type Taken struct {
	As    string `json:"as"`    // "tag", "words", or what it identifies: "address", "record", …
	Query string `json:"query"` // the term that asks for that alone
}

// SearchResult is one page of hits, and what was searched.
type SearchResult struct {
	Query    string  // canonical text
	Taken    []Taken // of a query that is one bare word; else empty
	Hits     []Hit
	Next     string // cursor of the next page; "" at the end
	Total    Total
	Searched []Extent // one a network, in the order of the hits
	Complete bool     // all of what was asked was searched
	Behind   bool     // units that are held were not searched: the index lacks them
	Facets   map[string]Facets
}

// Facets are the most frequent values of one facet, most frequent first, then by value.
type Facets struct {
	Values []FacetValue `json:"values"`
	Other  uint64       `json:"other"` // sum of all other values' counts
	Exact  bool         `json:"exact"`
}

// FacetValue is a value and how many hits have it; a tag is 0x hex.
type FacetValue struct {
	Value string `json:"value"`
	Count uint64 `json:"count"`
}

// UseIndex lets a answer what needs the search index. It is called before the first question.
func (a *Archive) UseIndex(x Index) { a.index = x }

// Search answers a query: exact keys from the store, the rest from the index, with the same result whichever way.
// Errors: *lang.SyntaxError and *QueryError for a query that is none, ErrBadCursor, *NoIndexError, and those of the store.
func (a *Archive) Search(ctx context.Context, req SearchRequest) (SearchResult, error) {
	s, err := a.prepare(ctx, req)
	if err != nil {
		return SearchResult{}, err
	}
	return s.page(ctx, req.Cursor, s.limit(req.Limit), true)
}

// search is one query over several networks, parsed, checked and bound.
type search struct {
	a        *Archive
	text     string // canonical
	node     lang.Node
	taken    []Taken
	networks []*bound // in the order of the hits
	order    Order
	facets   []string
	asked    [questionLen]byte
}

// bound is a query in one network.
type bound struct {
	Network
	node   lang.Node
	have   ranges.Set // committed units when the question came
	done   ranges.Set // those in the index then
	scope  ranges.Set // units where a hit can lie at all, held or not
	extent Extent
	named  []lang.Keys // exact keys that the query names here

	outgrown bool // the index has more than have by now
}

const defaultPage = 100

func (s *search) limit(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return n
}

func (a *Archive) prepare(ctx context.Context, req SearchRequest) (*search, error) {
	all, err := a.Networks(ctx)
	if err != nil {
		return nil, err
	}
	s := &search{a: a, order: req.Order, facets: req.Facets}
	for _, name := range req.Facets {
		if !slices.Contains(FacetNames, name) {
			return nil, &QueryError{What: fmt.Sprintf("there is no facet %s", Quote(name)), Fix: "there are " + strings.Join(FacetNames, ", ")}
		}
	}
	selected := byLineage(req.Networks, all)
	if req.Order == OldestFirst {
		slices.Reverse(selected)
	}
	b := &binding{a: a, all: all, selected: selected, known: map[reading][]ledger.Key{}}
	if s.node, s.taken, err = b.read(ctx, req.Query); err != nil {
		return nil, err
	}
	s.text = s.node.String()
	names := []string{"search", s.text, fmt.Sprint(req.Order)}
	for _, n := range selected {
		names = append(names, n.Name)
		in, err := b.network(ctx, n, s.node)
		if err != nil {
			return nil, err
		}
		s.networks = append(s.networks, in)
	}
	s.asked = question(names...)
	return s, nil
}

// page returns the hits behind cursor. counted: with totals and facets.
func (s *search) page(ctx context.Context, cursor string, limit int, counted bool) (SearchResult, error) {
	at, err := parseCursor(cursor, s.sort(), s.asked)
	if err != nil {
		return SearchResult{}, err
	}
	g := gathering{facets: facetSum{}, out: SearchResult{Query: s.text, Taken: s.taken, Complete: true}}
	ahead := at.network == "" // the cursor's network is passed: those that follow count from their beginning
	for _, n := range s.networks {
		q := ask{newest: s.order == NewestFirst, count: counted}
		if counted {
			q.facets = s.facets
		}
		switch {
		case ahead:
			q.limit = max(0, limit+1-len(g.out.Hits))
		case n.Name == at.network:
			q.limit, q.after, ahead = limit+1, &at.ord, true
		}
		got, err := s.a.answer(ctx, n, q)
		if err != nil {
			return SearchResult{}, fmt.Errorf("search %s: %w", n.Name, err)
		}
		g.add(n, got)
	}
	switch {
	case !ahead:
		return SearchResult{}, fmt.Errorf("%s: %w", Quote(cursor), ErrBadCursor)
	case g.unbuilt > 0 && g.unbuilt == g.asked:
		return SearchResult{}, &NoIndexError{Query: s.text}
	}
	if counted && len(s.facets) > 0 {
		g.out.Facets = g.facets.facets(s.facets, g.out.Complete)
	}
	return g.cut(limit, s), nil
}

// gathering joins the answers of networks to one page.
type gathering struct {
	out     SearchResult
	facets  facetSum
	why     []string // the total is no exact number
	asked   int      // networks that need the index
	unbuilt int      // of which it has nothing
}

func (g *gathering) add(n *bound, got answer) {
	if got.indexed || got.unbuilt {
		g.asked++
	}
	if got.unbuilt {
		g.unbuilt++
	}
	for _, ord := range got.ords {
		g.out.Hits = append(g.out.Hits, Hit{Network: n.Network, Ord: ord, named: n.named})
	}
	g.out.Total.Value += got.total
	g.facets.add(got.facets)
	why, behind := n.finish(got)
	if why != "" {
		g.why = append(g.why, n.Name+": "+why)
	}
	g.out.Behind = g.out.Behind || behind
	g.out.Searched = append(g.out.Searched, n.extent)
	g.out.Complete = g.out.Complete && n.extent.Complete
}

// cut ends the page: one hit more than its limit says that there is another.
func (g *gathering) cut(limit int, s *search) SearchResult {
	out := g.out
	if len(out.Hits) > limit {
		out.Hits = out.Hits[:limit]
		last := out.Hits[limit-1]
		out.Next = place{last.Network.Name, last.Ord}.cursor(s.sort(), s.asked)
	}
	out.Total.Relation, out.Total.Why = Exact, strings.Join(g.why, "; ")
	if len(g.why) > 0 {
		out.Total.Relation = LowerBound
	}
	return out
}

func (s *search) sort() byte {
	if s.order == NewestFirst {
		return sortNewestFirst
	}
	return sortOldestFirst
}

// finish sets what the extent of n says of an answer, and returns why its total is no exact number, "" if it is, and
// whether units that are held were not searched.
func (n *bound) finish(got answer) (why string, behind bool) {
	var reasons []string
	for _, g := range n.extent.Gaps {
		if lang.Intersect(n.scope, ranges.Of(ranges.Range{Lo: g.From, Hi: g.To})).Len() > 0 {
			reasons = append(reasons, fmt.Sprintf("units %s are missing (%s)", span(g.From, g.To), g.Reason))
		}
	}
	if len(n.extent.Ranges) == 0 && n.scope.Len() > 0 {
		reasons = append(reasons, "no unit is held yet")
	}
	if missing := lang.Intersect(n.have, n.scope).Minus(got.searched); missing.Len() > 0 {
		behind = true
		reasons = append(reasons, "units "+setText(missing)+" are not in the index yet")
	}
	reasons = append(reasons, got.problems...)
	if got.indexed {
		n.extent.Indexed = rangesOf(got.searched)
	}
	n.extent.Complete = len(reasons) == 0
	if got.lower {
		reasons = append(reasons, "there are too many candidates to check each")
	}
	return strings.Join(reasons, ", "), behind
}

// setText writes the ranges of a set, the first of them where there are many.
func setText(s ranges.Set) string {
	const most = 4
	var parts []string
	for i, r := range s.Ranges() {
		if i == most {
			return strings.Join(parts, ", ") + fmt.Sprintf(" and %d more ranges", len(s.Ranges())-most)
		}
		parts = append(parts, span(r.Lo, r.Hi))
	}
	return strings.Join(parts, ", ")
}

// Each calls do for every hit of a query, page by page, whatever req.Limit, and returns what was searched: a result
// without hits, with the total of the first page. Hits that come while it runs are not missed if they lie ahead.
func (a *Archive) Each(ctx context.Context, req SearchRequest, do func(Item) error) (SearchResult, error) {
	s, err := a.prepare(ctx, req)
	if err != nil {
		return SearchResult{}, err
	}
	first, err := s.page(ctx, req.Cursor, a.bounds.Page, true)
	if err != nil {
		return SearchResult{}, err
	}
	return s.walk(ctx, first, func(item *Item, _ uint64) error { return do(*item) })
}

// walk is Each from the first page on; do is told the total too.
func (s *search) walk(ctx context.Context, first SearchResult, do func(item *Item, total uint64) error) (SearchResult, error) {
	return s.pages(ctx, first, func(hits []Hit, total uint64) error {
		return s.a.eachItem(ctx, hits, func(item *Item) error { return do(item, total) })
	})
}

// pages calls do with the hits of every page, and the total; see [Archive.Each].
func (s *search) pages(ctx context.Context, first SearchResult, do func(hits []Hit, total uint64) error) (SearchResult, error) {
	got := first
	first.Hits = nil
	for {
		if err := do(got.Hits, first.Total.Value); err != nil {
			return first, err
		}
		if got.Next == "" {
			return first, nil
		}
		var err error
		if got, err = s.page(ctx, got.Next, s.a.bounds.Page, false); err != nil {
			return first, err
		}
		if first.Complete && !got.Complete { // a part of the index was lost on the way
			first.Complete, first.Behind, first.Searched = false, got.Behind, got.Searched
			first.Total.Relation, first.Total.Why = got.Total.Relation, got.Total.Why
		}
	}
}
