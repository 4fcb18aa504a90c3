package query

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"permanode/index"
	"permanode/index/lang"
	"permanode/ledger"
)

// keyFacets are the facets whose values are those of keys.
var keyFacets = map[string]ledger.KeyKind{
	index.FacetTag: ledger.KeyTag, index.FacetType: ledger.KeyType, index.FacetEvent: ledger.KeyEvent, index.FacetFunction: ledger.KeyFunction,
}

// tally counts the facets of documents that are looked at one by one: exactly, and all values.
type tally struct {
	names []string
	count map[string]map[string]uint64
}

func newTally(names []string) *tally {
	t := &tally{names: names, count: map[string]map[string]uint64{}}
	for _, name := range names {
		t.count[name] = map[string]uint64{}
	}
	return t
}

func (t *tally) add(ctx context.Context, l *looker, d *document) error {
	for _, name := range t.names {
		switch name {
		case index.FacetKind:
			if d.rec != nil {
				t.count[name][l.n.Codec.KindName(d.rec.Kind)]++
			} else {
				t.count[name][lang.UnitKind]++
			}
		case index.FacetState:
			if d.rec != nil {
				t.count[name][d.rec.State.String()]++
			}
		case index.FacetDay:
			u, err := l.unitOf(ctx, d.ord.Seq)
			if err != nil {
				return err
			}
			t.count[name][time.UnixMilli(u.TimeMs).UTC().Format(time.DateOnly)]++
		default:
			for _, p := range d.posts {
				if p.Key.Kind == keyFacets[name] {
					t.count[name][p.Key.Val]++
				}
			}
		}
	}
	return nil
}

func (t *tally) counts() map[string]index.FacetCounts {
	out := map[string]index.FacetCounts{}
	for _, name := range t.names {
		f := index.FacetCounts{Exact: true}
		for value, count := range t.count[name] {
			f.Terms = append(f.Terms, index.FacetTerm{Value: value, Count: count})
		}
		slices.SortFunc(f.Terms, byCount)
		out[name] = f
	}
	return out
}

// facetSum adds the facets of several networks.
type facetSum map[string]*summed

type summed struct {
	count map[string]uint64
	other uint64
	exact bool
	cut   int // networks whose list was cut
	lists int
}

func (s facetSum) add(facets map[string]index.FacetCounts) {
	for name, f := range facets {
		m := s[name]
		if m == nil {
			m = &summed{count: map[string]uint64{}, exact: true}
			s[name] = m
		}
		for _, t := range f.Terms {
			m.count[t.Value] += t.Count
		}
		m.other += f.Other
		m.exact = m.exact && f.Exact
		m.lists++
		if f.Other > 0 {
			m.cut++
		}
	}
}

// facets returns the first values of each. Sums of lists that were cut are no exact numbers: a value may stand in the
// part of one that was cut off.
func (s facetSum) facets(names []string, complete bool) map[string]Facets {
	out := map[string]Facets{}
	for _, name := range names {
		m := s[name]
		if m == nil {
			out[name] = Facets{Values: []FacetValue{}, Exact: complete}
			continue
		}
		terms := make([]index.FacetTerm, 0, len(m.count))
		for value, count := range m.count {
			terms = append(terms, index.FacetTerm{Value: value, Count: count})
		}
		slices.SortFunc(terms, byCount)
		f := Facets{Values: []FacetValue{}, Other: m.other, Exact: complete && m.exact && (m.cut == 0 || m.lists == 1)}
		for i, t := range terms {
			if i >= facetTop {
				f.Other += t.Count
				continue
			}
			if name == index.FacetTag {
				t.Value = "0x" + hex.EncodeToString([]byte(t.Value))
			}
			f.Values = append(f.Values, FacetValue(t))
		}
		out[name] = f
	}
	return out
}
