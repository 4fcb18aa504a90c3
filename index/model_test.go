package index

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/index/lang"
	"permanode/index/text"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// naive says whether the document at o matches n: by looking at it.
func (s *fakeStore) naive(n lang.Node, o ledger.Ord) bool {
	c := s.cones[o.Seq]
	unit := o.Pos == ledger.UnitPos
	posts := c.Posts
	var facts fakeFacts
	var rec ledger.Record
	if !unit {
		rec = c.Records[o.Pos]
		posts = rec.Posts
		facts = s.factsOf(&rec)
	}
	switch n := n.(type) {
	case lang.All:
		return true
	case lang.None:
		return false
	case lang.And:
		for _, p := range n {
			if !s.naive(p, o) {
				return false
			}
		}
		return true
	case lang.Or:
		for _, p := range n {
			if s.naive(p, o) {
				return true
			}
		}
		return false
	case lang.Not:
		return !s.naive(n.Of, o)
	case lang.Keys:
		for _, k := range n.Of {
			for _, p := range posts {
				if p.Key.Kind == k.Kind && (p.Key.Val == k.Val || n.Prefix && strings.HasPrefix(p.Key.Val, k.Val)) {
					return true
				}
			}
		}
		return false
	case lang.Units:
		return n.Set.Has(o.Seq)
	case lang.State:
		return !unit && rec.State == n.Of
	case lang.Kind:
		return !unit && slices.Contains(n.Of, rec.Kind)
	case lang.OfUnit:
		return unit
	case lang.Text:
		want := " " + strings.Join(text.Words(n.Text), " ")
		if !n.Prefix {
			want += " "
		}
		for _, t := range facts.Texts { // words and spaces: see factsOf
			if strings.Contains(t, want) {
				return true
			}
		}
		return false
	case lang.Leaf:
		for _, l := range facts.Leaves {
			if l.Path == n.Path && (l.Value == n.Value || n.Prefix && strings.HasPrefix(l.Value, n.Value)) {
				return true
			}
		}
		return false
	}
	panic(fmt.Sprintf("%T", n))
}

// factsOf returns what a record says, its texts as words with a space on either side.
func (s *fakeStore) factsOf(r *ledger.Record) (f fakeFacts) {
	raw := string(r.Parts[0].Raw)
	if f, ok := s.parsed[raw]; ok {
		return f
	}
	if err := json.Unmarshal(r.Parts[0].Raw, &f); err != nil {
		panic(err)
	}
	for i, t := range f.Texts {
		f.Texts[i] = " " + strings.Join(text.Words(t), " ") + " "
	}
	s.parsed[raw] = f
	return f
}

// randomQuery makes a bound query.
func randomQuery(r *rand.Rand, depth int) lang.Node {
	if depth > 0 && r.IntN(3) > 0 {
		parts := make([]lang.Node, 2+r.IntN(2))
		for i := range parts {
			parts[i] = randomQuery(r, depth-1)
		}
		switch r.IntN(3) {
		case 0:
			return lang.And(parts)
		case 1:
			return lang.Or(parts)
		}
		return lang.Not{Of: parts[0]}
	}
	beginning := func(s string) string { return s[:r.IntN(len(s)+1)] }
	switch r.IntN(12) {
	case 0:
		return lang.All{}
	case 1:
		return lang.State{Of: ledger.State(1 + r.IntN(4))}
	case 2:
		return lang.Kind{Of: []uint8{uint8(r.IntN(3))}}
	case 3:
		return lang.OfUnit{}
	case 4:
		lo := uint64(r.IntN(120))
		return lang.Units{Set: ranges.Of(ranges.Range{Lo: lo, Hi: lo + uint64(r.IntN(80))}, ranges.Range{Lo: 3, Hi: 3})}
	case 5:
		return lang.Keys{Of: []ledger.Key{{Kind: ledger.KeyTag, Val: pick(r, tags)}}}
	case 6:
		return lang.Keys{Of: []ledger.Key{{Kind: ledger.KeyTag, Val: beginning(pick(r, tags))}}, Prefix: true}
	case 7:
		kind := pick(r, []ledger.KeyKind{ledger.KeyAddress, ledger.KeyParent, ledger.KeyOutput})
		return lang.Keys{Of: []ledger.Key{{Kind: kind, Val: pick(r, owners)}, {Kind: ledger.KeyAddress, Val: pick(r, owners)}}}
	case 8:
		v := pick(r, values)
		if r.IntN(2) == 0 {
			return lang.Leaf{Path: pick(r, paths), Value: beginning(v), Prefix: true}
		}
		return lang.Leaf{Path: pick(r, paths), Value: v}
	}
	w := pick(r, words)
	switch r.IntN(4) {
	case 0:
		if w = beginning(w); len(text.Words(w)) > 0 {
			return lang.Text{Text: w, Prefix: true}
		}
		w = "net"
	case 1:
		w += pick(r, glue) + pick(r, words)
	case 2:
		return lang.Text{Text: w + " " + pick(r, words), Prefix: true}
	}
	return lang.Text{Text: w}
}

// judge compares the answer to a random request with what looking at each document gives.
func judge(t *testing.T, r *rand.Rand, x *Index, s *fakeStore, within ranges.Set) {
	t.Helper()
	req := Request{Net: fakeNet, Query: randomQuery(r, 3), Newest: r.IntN(2) == 0, Limit: r.IntN(12), Count: r.IntN(3) > 0}
	if r.IntN(2) == 0 {
		req.HasAfter, req.After = true, ledger.Ord{Seq: uint64(r.IntN(130)), Pos: uint32(r.IntN(5))}
	}
	if r.IntN(4) == 0 {
		req.Facets, req.FacetTop = []string{FacetTag, FacetKind, FacetState, FacetDay}, 3
	}
	var hits, page []ledger.Ord
	for _, o := range s.ordsOf(within) {
		if s.naive(req.Query, o) {
			hits = append(hits, o)
		}
	}
	ordered := slices.Clone(hits)
	if req.Newest {
		slices.Reverse(ordered)
	}
	more := false
	for _, o := range ordered {
		c := o.Compare(req.After)
		if !req.HasAfter || c > 0 && !req.Newest || c < 0 && req.Newest {
			if more = len(page) == req.Limit; more {
				break
			}
			page = append(page, o)
		}
	}
	got, err := x.Search(context.Background(), req)
	if err != nil {
		t.Fatalf("%+v: %v", req, err)
	}
	if len(got.Problems) > 0 || got.Searched.Minus(within).Len()+within.Minus(got.Searched).Len() > 0 {
		t.Fatalf("%+v: problems %v, searched %v, want %v", req, got.Problems, got.Searched, within)
	}
	if !same(got.Ords, page) || req.Limit > 0 && got.More != more {
		t.Fatalf("%+v:\n got %v (more %v)\nwant %v (more %v)", req, got.Ords, got.More, page, more)
	}
	if req.Count && (got.Total != uint64(len(hits)) || !got.Exact) {
		t.Fatalf("%+v: total %d, exact %v, want %d", req, got.Total, got.Exact, len(hits))
	}
	for _, name := range req.Facets {
		if want := s.naiveFacet(name, hits, req.FacetTop); fmt.Sprint(got.Facets[name]) != fmt.Sprint(want) {
			t.Fatalf("%+v: facet %s:\n got %+v\nwant %+v", req, name, got.Facets[name], want)
		}
	}
}

func (s *fakeStore) naiveFacet(name string, hits []ledger.Ord, top int) FacetCounts {
	counts := map[string]uint64{}
	for _, o := range hits {
		c := s.cones[o.Seq]
		unit := o.Pos == ledger.UnitPos
		switch name {
		case FacetDay:
			counts[time.UnixMilli(c.Unit.TimeMs).UTC().Format(time.DateOnly)]++
		case FacetKind:
			if unit {
				counts["unit"]++
			} else {
				counts[fakeCodec{}.KindName(c.Records[o.Pos].Kind)]++
			}
		case FacetState:
			if !unit {
				counts[c.Records[o.Pos].State.String()]++
			}
		case FacetTag:
			if !unit {
				for _, p := range c.Records[o.Pos].Posts {
					if p.Key.Kind == ledger.KeyTag {
						counts[p.Key.Val]++
					}
				}
			}
		}
	}
	f := FacetCounts{Exact: true, Terms: []FacetTerm{}}
	for v := range maps.Keys(counts) {
		if len(v) > valueLimit-1 { // cut: only counted
			f.Other += counts[v]
			f.Exact = false
			continue
		}
		f.Terms = append(f.Terms, FacetTerm{v, counts[v]})
	}
	slices.SortFunc(f.Terms, func(a, b FacetTerm) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	for i, t := range f.Terms {
		if i >= top {
			f.Other += t.Count
		}
	}
	f.Terms = f.Terms[:min(top, len(f.Terms))]
	return f
}

// TestAgainstNaive compares with a matcher that looks at each document, for shards of several sizes, while units
// come, some of them late, and before and after they are closed.
func TestAgainstNaive(t *testing.T) {
	rounds := 100
	if os.Getenv("PERMANODE_TORTURE") != "" {
		rounds = 10_000
	}
	for _, shardDocs := range []int{4, 60, 0} {
		t.Run(fmt.Sprint(shardDocs), func(t *testing.T) {
			seed := uint64(shardDocs) + 11
			r := rand.New(rand.NewPCG(seed, 1))
			s := newFakeStore()
			s.fill(r, 1, 120, 5)
			x := opened(t, t.TempDir(), s, shardDocs)
			for _, part := range []ranges.Range{{Lo: 50, Hi: 70}, {Lo: 71, Hi: 90}, {Lo: 1, Hi: 20}, {Lo: 30, Hi: 40}, {Lo: 91, Hi: 92}, {Lo: 21, Hi: 29}, {Lo: 93, Hi: 120}, {Lo: 41, Hi: 49}} {
				before := copied(s.covered)
				s.cover(part.Lo, part.Hi)
				for range rounds / 50 {
					judge(t, r, x, s, before)
				}
				catchUp(t, x, s)
				for range rounds / 10 {
					judge(t, r, x, s, s.covered)
				}
			}
			for range rounds {
				judge(t, r, x, s, s.covered)
			}
			for f, err := range x.Check(context.Background(), fakeNetwork(), true) {
				t.Errorf("check: %+v %v", f, err)
			}
		})
	}
}
