package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"permanode/index"
	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// bounds say how much the planner answers from the store by looking at each candidate, while the index is current
// ("few": as fast as the index) and while it cannot tell ("most": about a second). No result depends on them.
type bounds struct {
	fewCandidates, mostCandidates uint64
	fewTags, mostTags             int // distinct tags that a prefix is taken apart into
}

var usualBounds = bounds{fewCandidates: 256, mostCandidates: 20_000, fewTags: 64, mostTags: 1024}

// ask is what is wanted of one network.
type ask struct {
	newest bool
	after  *ledger.Ord // only hits behind it in that order; nil: from the beginning
	limit  int         // most hits; 0: none
	count  bool
	facets []string
}

// behind reports whether ord lies behind the cursor.
func (q ask) behind(ord ledger.Ord) bool {
	return q.after == nil || q.compare(*q.after, ord) < 0
}

// compare orders ordinals as the answer does.
func (q ask) compare(a, b ledger.Ord) int {
	if q.newest {
		return b.Compare(a)
	}
	return a.Compare(b)
}

// cut returns the first hits behind the cursor of all, which are sorted.
func (q ask) cut(all []ledger.Ord) []ledger.Ord {
	at, found := 0, false
	if q.after != nil {
		if at, found = slices.BinarySearchFunc(all, *q.after, q.compare); found {
			at++
		}
	}
	return all[at:min(len(all), at+q.limit)]
}

// answer is what one network gives.
type answer struct {
	ords     []ledger.Ord
	total    uint64
	lower    bool       // total is a lower bound, although all of searched was searched
	searched ranges.Set // units
	problems []string
	indexed  bool // the index answered
	unbuilt  bool // the index is needed, and has nothing yet
	facets   map[string]index.FacetCounts
}

// How a question is answered.
const (
	planNone       = "none"       // nothing in this network can match
	planKeys       = "keys"       // postings of exact keys, merged
	planCandidates = "candidates" // postings of exact keys, each record looked at
	planIndex      = "index"
)

// plan is how one network answers.
type plan struct {
	how   string
	keys  []ledger.Key // planKeys, planCandidates: where hits can be
	units ranges.Set   // units to look in
	node  lang.Node    // what is left to match
}

// indexed reports whether the index holds keys of this kind.
func indexedKey(k ledger.Key) bool {
	switch k.Kind {
	case ledger.KeyTag, ledger.KeyAddress, ledger.KeyObject, ledger.KeyType, ledger.KeyEvent, ledger.KeyFunction:
		return true
	}
	return false
}

// answer answers in one network.
func (a *Archive) answer(ctx context.Context, n *bound, q ask) (answer, error) {
	p, err := a.plan(ctx, n)
	if err != nil {
		return answer{}, err
	}
	switch p.how {
	case planNone:
		return answer{searched: n.have}, nil
	case planKeys:
		return a.byKeys(ctx, n, p, q)
	case planCandidates:
		return a.byCandidates(ctx, n, p, q)
	}
	return a.byIndex(ctx, n, q)
}

// plan decides. Its decision never changes a result, only what it costs.
func (a *Archive) plan(ctx context.Context, n *bound) (plan, error) {
	if _, none := n.node.(lang.None); none || n.have.Len() == 0 {
		return plan{how: planNone}, nil
	}
	current := a.index != nil && lang.Intersect(n.have, n.scope).Minus(a.index.Status(n.ID).Done).Len() == 0
	tags, candidates := a.bounds.mostTags, a.bounds.mostCandidates
	if current {
		tags, candidates = a.bounds.fewTags, a.bounds.fewCandidates
	}
	p := plan{how: planIndex, units: n.have, node: n.node}
	opened, err := a.openPrefixes(ctx, n, tags)
	if err != nil {
		return p, err
	}
	if _, none := opened.(lang.None); none {
		p.how = planNone
		return p, nil
	}
	if keys, units, ok := justKeys(opened); ok {
		p.how, p.keys = planKeys, keys
		if units != nil {
			p.units = lang.Intersect(p.units, *units)
		}
		if len(keys) == 1 {
			return p, nil
		}
		counts, err := a.counts(ctx, n, keys, p.units)
		if err != nil {
			return p, err
		}
		if current && counts.several && counts.sum > a.bounds.mostCandidates && !slices.ContainsFunc(keys, func(k ledger.Key) bool { return !indexedKey(k) }) {
			p.how = planIndex // to count them without repetition it knows a quicker way
		}
		return p, nil
	}
	c, err := a.cover(ctx, n, opened)
	if err != nil || !c.ok || c.count > candidates {
		return p, err
	}
	p.how, p.keys = planCandidates, c.keys
	return p, nil
}

// justKeys reports whether n asks for exact keys and nothing else but units.
func justKeys(n lang.Node) (keys []ledger.Key, units *ranges.Set, ok bool) {
	switch n := n.(type) {
	case lang.Keys:
		return n.Of, nil, !n.Prefix
	case lang.And:
		if len(n) != 2 {
			return nil, nil, false
		}
		for i := range n {
			k, isKeys := n[i].(lang.Keys)
			u, isUnits := n[1-i].(lang.Units)
			if isKeys && isUnits && !k.Prefix {
				return k.Of, &u.Set, true
			}
		}
	}
	return nil, nil, false
}

// cover is a set of exact keys that every hit is posted under.
type cover struct {
	keys  []ledger.Key
	count uint64 // sum of their postings
	ok    bool
}

// cover returns the smallest one that the form of n gives.
func (a *Archive) cover(ctx context.Context, n *bound, node lang.Node) (best cover, err error) {
	switch node := node.(type) {
	case lang.Keys:
		if node.Prefix {
			return cover{}, nil
		}
		counts, err := a.counts(ctx, n, node.Of, n.have)
		return cover{node.Of, counts.sum, true}, err
	case lang.And:
		for _, p := range node {
			c, err := a.cover(ctx, n, p)
			if err != nil {
				return best, err
			}
			if c.ok && (!best.ok || c.count < best.count) {
				best = c
			}
		}
		return best, nil
	case lang.Or:
		best.ok = true
		for _, p := range node {
			c, err := a.cover(ctx, n, p)
			if err != nil || !c.ok {
				return cover{}, err
			}
			best.keys = append(best.keys, c.keys...)
			best.count += c.count
		}
		return best, nil
	}
	return cover{}, nil
}

// openPrefixes returns the query with every prefix of tags as the tags that it holds, where they are at most most.
func (a *Archive) openPrefixes(ctx context.Context, n *bound, most int) (lang.Node, error) {
	return lang.Bind(n.node, rewrite(func(k lang.Keys) (lang.Node, error) {
		if !k.Prefix {
			return k, nil
		}
		var keys []ledger.Key
		for _, p := range k.Of {
			for key, err := range a.store.Keys(ctx, n.ID, p, "") {
				if err != nil {
					return nil, fmt.Errorf("tags that begin with %x: %w", p.Val, err)
				}
				if len(keys) == most {
					return k, nil
				}
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return lang.None{}, nil
		}
		return lang.Keys{Of: keys}, nil
	}))
}

// rewrite is a Binder that changes the Keys of a bound tree.
type rewrite func(lang.Keys) (lang.Node, error)

// Term calls f for Keys.
func (f rewrite) Term(n lang.Node) (lang.Node, error) {
	if k, ok := n.(lang.Keys); ok {
		return f(k)
	}
	return n, nil
}

// keyCounts are the postings of several keys.
type keyCounts struct {
	sum     uint64
	several bool // more than one key has any
}

func (a *Archive) counts(ctx context.Context, n *bound, keys []ledger.Key, units ranges.Set) (c keyCounts, err error) {
	for _, k := range keys {
		var count uint64
		for _, r := range units.Ranges() {
			some, err := a.store.Count(ctx, n.ID, k, r.Lo, r.Hi)
			if err != nil {
				return c, fmt.Errorf("count %s: %w", kindNames[k.Kind], err)
			}
			count += some
		}
		c.several = c.several || c.sum > 0 && count > 0
		c.sum += count
	}
	return c, nil
}

// byKeys merges postings.
func (a *Archive) byKeys(ctx context.Context, n *bound, p plan, q ask) (answer, error) {
	out := answer{searched: n.have}
	for ord, err := range a.union(ctx, n, p.keys, p.units, q) {
		if err != nil {
			return out, err
		}
		if len(out.ords) == q.limit {
			break
		}
		out.ords = append(out.ords, ord)
	}
	if !q.count {
		return out, nil
	}
	counts, err := a.counts(ctx, n, p.keys, p.units)
	if err != nil {
		return out, err
	}
	if out.total = counts.sum; counts.several { // a record may stand under more than one key
		out.total = 0
		for _, err := range a.union(ctx, n, p.keys, p.units, ask{newest: q.newest}) {
			if err != nil {
				return out, err
			}
			out.total++
		}
	}
	if len(q.facets) > 0 {
		out.facets, err = a.facetsOf(ctx, n, p, counts.sum, q)
	}
	return out, err
}

// facetsOf counts the facets of what byKeys finds: from the records where they are few, else from the index.
func (a *Archive) facetsOf(ctx context.Context, n *bound, p plan, postings uint64, q ask) (map[string]index.FacetCounts, error) {
	if postings > a.bounds.mostCandidates && a.index != nil && !slices.ContainsFunc(p.keys, func(k ledger.Key) bool { return !indexedKey(k) }) {
		got, err := a.searchHeld(ctx, n, index.Request{Net: n.ID, Query: n.node, Facets: q.facets, FacetTop: facetTop})
		if n.have.Minus(got.Searched).Len() > 0 {
			inexact(got.Facets)
		}
		return got.Facets, err
	}
	tally := newTally(q.facets)
	look := a.looker(n)
	for ord, err := range a.union(ctx, n, p.keys, p.units, ask{newest: q.newest}) {
		if err != nil {
			return nil, err
		}
		d, err := look.at(ctx, ord)
		if err != nil {
			return nil, err
		}
		if err := tally.add(ctx, look, d); err != nil {
			return nil, err
		}
	}
	return tally.counts(), nil
}

// byCandidates looks at each record that is posted under the plan's keys.
func (a *Archive) byCandidates(ctx context.Context, n *bound, p plan, q ask) (answer, error) {
	out := answer{searched: n.have}
	tally := newTally(q.facets)
	look := a.looker(n)
	var hits []ledger.Ord
	for ord, err := range a.union(ctx, n, p.keys, p.units, ask{newest: q.newest}) {
		if err != nil {
			return out, err
		}
		d, err := look.at(ctx, ord)
		if err != nil {
			return out, err
		}
		yes, err := look.matches(ctx, p.node, d)
		if err != nil {
			return out, err
		}
		if !yes {
			continue
		}
		hits = append(hits, ord)
		if err := tally.add(ctx, look, d); err != nil {
			return out, err
		}
	}
	out.ords, out.total, out.facets = q.cut(hits), uint64(len(hits)), tally.counts()
	return out, nil
}

// byIndex asks the index. What stands under keys that the index does not hold is looked at here, record by record:
// for all others such keys match nothing.
func (a *Archive) byIndex(ctx context.Context, n *bound, q ask) (answer, error) {
	rest, apart, err := a.withoutStored(ctx, n)
	if err != nil {
		return answer{}, err
	}
	var in, known []ledger.Ord // hits among apart; those that the index gives for rest
	look := a.looker(n)
	for _, ord := range apart {
		d, err := look.at(ctx, ord)
		if err != nil {
			return answer{}, err
		}
		is, err := look.matches(ctx, n.node, d)
		if err != nil {
			return answer{}, err
		}
		if is {
			in = append(in, ord)
		}
		if is, err = look.matches(ctx, rest, d); err != nil {
			return answer{}, err
		}
		if is {
			known = append(known, ord)
		}
	}
	got, err := a.askIndex(ctx, n, rest, len(known), q)
	if err != nil {
		return got, err
	}
	got.merge(q, apart, in, known)
	return got, nil
}

// askIndex asks for rest, with more hits than wanted: as many may be taken away.
func (a *Archive) askIndex(ctx context.Context, n *bound, rest lang.Node, more int, q ask) (answer, error) {
	if _, none := rest.(lang.None); none {
		return answer{searched: n.have}, nil
	}
	if a.index == nil {
		return answer{unbuilt: true}, nil
	}
	req := index.Request{Net: n.ID, Query: rest, Newest: q.newest, Count: q.count, Facets: q.facets, FacetTop: facetTop}
	if q.limit > 0 {
		req.Limit = q.limit + more
	}
	if q.after != nil {
		req.After, req.HasAfter = *q.after, true
	}
	got, err := a.searchHeld(ctx, n, req)
	if err != nil {
		return answer{}, err
	}
	return answer{
		ords: got.Ords, total: got.Total, lower: q.count && !got.Exact && len(got.Problems) == 0, searched: got.Searched, problems: got.Problems,
		indexed: true, unbuilt: got.Searched.Len() == 0 && len(got.Problems) == 0, facets: got.Facets,
	}, nil
}

// searchHeld asks the index for hits in the units that were held when the question came: the index may have more by now.
func (a *Archive) searchHeld(ctx context.Context, n *bound, req index.Request) (index.Result, error) {
	whole := req.Query
	held := func() (lang.Node, error) { return lang.Bind(lang.And{lang.Units{Set: n.have}, whole}, rewrite(keep)) }
	var err error
	restricted := a.index.Status(n.ID).Done.Minus(n.have).Len() > 0
	if restricted {
		if req.Query, err = held(); err != nil {
			return index.Result{}, err
		}
	}
	got, err := a.index.Search(ctx, req)
	if err != nil || got.Searched.Minus(n.have).Len() == 0 {
		return got, err
	}
	if !restricted {
		if req.Query, err = held(); err != nil {
			return got, err
		}
		if got, err = a.index.Search(ctx, req); err != nil {
			return got, err
		}
	}
	got.Searched = lang.Intersect(got.Searched, n.have)
	return got, nil
}

func keep(k lang.Keys) (lang.Node, error) { return k, nil }

// merge puts in, the hits among apart, in the place of known, what the index said of apart.
func (out *answer) merge(q ask, apart, in, known []ledger.Ord) {
	if len(apart) == 0 {
		return
	}
	for _, ord := range known {
		if out.searched.Has(ord.Seq) && q.count {
			out.total--
		}
	}
	if q.count {
		out.total += uint64(len(in))
	}
	inexact(out.facets)
	ords := slices.DeleteFunc(out.ords, func(o ledger.Ord) bool { return slices.Contains(known, o) })
	for _, ord := range in {
		if q.behind(ord) {
			ords = append(ords, ord)
		}
	}
	slices.SortFunc(ords, q.compare)
	out.ords = ords[:min(len(ords), q.limit)]
}

// inexact marks facets that were not counted over all of the hits.
func inexact(facets map[string]index.FacetCounts) {
	for name, f := range facets {
		f.Exact = false
		facets[name] = f
	}
}

// BroadError reports an identifier that stands in too many records to be combined with other terms.
type BroadError struct{ Postings uint64 }

func (e *BroadError) Error() string {
	return fmt.Sprintf("an identifier of the query stands in %d records, too many to look at each", e.Postings)
}

// Hint is the next step.
func (e *BroadError) Hint() string { return "ask for the identifier alone, or within a few units" }

// withoutStored returns the query without the keys that only the store holds, and all that is posted under them.
func (a *Archive) withoutStored(ctx context.Context, n *bound) (rest lang.Node, apart []ledger.Ord, err error) {
	var stored []ledger.Key
	rest, err = lang.Bind(n.node, rewrite(func(k lang.Keys) (lang.Node, error) {
		var kept []ledger.Key
		for _, key := range k.Of {
			if indexedKey(key) {
				kept = append(kept, key)
			} else {
				stored = append(stored, key)
			}
		}
		if len(kept) == 0 {
			return lang.None{}, nil
		}
		return lang.Keys{Of: kept, Prefix: k.Prefix}, nil
	}))
	if err != nil || len(stored) == 0 {
		return rest, nil, err
	}
	counts, err := a.counts(ctx, n, stored, n.have)
	if err != nil {
		return rest, nil, err
	}
	if counts.sum > a.bounds.mostCandidates {
		return rest, nil, &BroadError{counts.sum}
	}
	for ord, err := range a.union(ctx, n, stored, n.have, ask{}) {
		if err != nil {
			return rest, nil, err
		}
		apart = append(apart, ord)
	}
	slices.SortFunc(apart, ledger.Ord.Compare)
	return rest, apart, nil
}

// facetTop is how many values of a facet are asked for.
const facetTop = 100

// byCount sorts facet values: most frequent first, then by value.
func byCount(a, b index.FacetTerm) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
}
