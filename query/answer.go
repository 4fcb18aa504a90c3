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

// byKeys merges postings.
func (a *Archive) byKeys(ctx context.Context, n *bound, p plan, q ask) (answer, error) {
	out := answer{searched: n.have}
	var err error
	if p.keys, err = a.posted(ctx, n, p.keys, p.units); err != nil {
		return out, err
	}
	more := false
	for ord, err := range a.union(ctx, n, p.keys, p.units, q) {
		if err != nil {
			return out, err
		}
		if more = len(out.ords) == q.limit; more {
			break
		}
		out.ords = append(out.ords, ord)
	}
	if !q.count {
		return out, nil
	}
	postings := uint64(len(out.ords))
	if out.total = postings; more || q.after != nil { // not all of them are here
		if out.total, postings, err = a.countOf(ctx, n, p, q); err != nil {
			return out, err
		}
	}
	if len(q.facets) > 0 {
		out.facets, err = a.facetsOf(ctx, n, p, postings, q)
	}
	return out, err
}

// countOf counts the places that are posted under the plan's keys, and the postings.
func (a *Archive) countOf(ctx context.Context, n *bound, p plan, q ask) (places, postings uint64, err error) {
	counts, err := a.counts(ctx, n, p.keys, p.units)
	if err != nil || !counts.several {
		return counts.sum, counts.sum, err
	}
	for _, err := range a.union(ctx, n, p.keys, p.units, ask{newest: q.newest}) { // a record may stand under more than one key
		if err != nil {
			return 0, 0, err
		}
		places++
	}
	return places, counts.sum, nil
}

// facetsOf counts the facets of what byKeys finds: from the records where they are few, else from the index.
func (a *Archive) facetsOf(ctx context.Context, n *bound, p plan, postings uint64, q ask) (map[string]index.FacetCounts, error) {
	if postings > a.bounds.MostCandidates && a.index != nil && !slices.ContainsFunc(p.keys, func(k ledger.Key) bool { return !indexedKey(k) }) {
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
		if is && !d.idle { // such a unit is not in the index
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
	restrict := func() (err error) {
		req.Query, err = lang.Bind(lang.And{lang.Units{Set: n.have}, req.Query}, rewrite(keep))
		return err
	}
	if n.outgrown {
		if err := restrict(); err != nil {
			return index.Result{}, err
		}
	}
	got, err := a.index.Search(ctx, req)
	if err != nil || got.Searched.Minus(n.have).Len() == 0 {
		return got, err
	}
	if !n.outgrown {
		n.outgrown = true
		if err := restrict(); err != nil {
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
	if counts.sum > a.bounds.MostCandidates {
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
