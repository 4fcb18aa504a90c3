package index

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/ledger"
)

// facetFields are the fields that facets count.
var facetFields = map[string]string{
	FacetTag: fieldTag, FacetKind: fieldKind, FacetState: fieldState, FacetDay: fieldDay,
	FacetType: fieldType, FacetEvent: fieldEvent, FacetFunction: fieldFunc,
}

// maxFacetTerms bounds the distinct values that are counted for a facet. Beyond it new ones go to Other.
const maxFacetTerms = 1 << 20

// facets counts terms. It is nil where none are wanted.
type facets struct {
	of    map[string]map[string]uint64 // name -> term -> count
	other map[string]uint64
}

func newFacets(names []string) *facets {
	f := &facets{of: map[string]map[string]uint64{}, other: map[string]uint64{}}
	for _, n := range names {
		if facetFields[n] != "" {
			f.of[n] = map[string]uint64{}
		}
	}
	if len(f.of) == 0 {
		return nil
	}
	return f
}

// add counts the terms of the hits of one shard.
func (f *facets) add(s *search, parts []*found) error {
	e := &evaluator{ctx: s.ctx}
	for _, p := range parts {
		hits := roaring.Or(p.sure, p.matched)
		if hits.IsEmpty() {
			continue
		}
		for name := range f.of {
			count := func(term string, n uint64) { f.count(name, term, n) }
			var err error
			if name == FacetTag {
				err = tagTerms(e, p.part, hits, count)
			} else {
				err = fieldTerms(e, p.part, facetFields[name], hits, count)
			}
			if err != nil {
				return fmt.Errorf("facet %s: %w", name, err)
			}
		}
	}
	return nil
}

func (f *facets) count(name, term string, n uint64) {
	counts := f.of[name]
	if _, ok := counts[term]; !ok && len(counts) >= maxFacetTerms {
		f.other[name] += n
		return
	}
	counts[term] += n
}

// fieldTerms counts the hits of every term of a field: for fields with few terms.
func fieldTerms(e *evaluator, p *part, field string, hits *roaring.Bitmap, count func(string, uint64)) error {
	docs := roaring.New()
	return e.terms(p, field, "", func(dict segment.TermDictionary, entry *index.DictEntry) error {
		docs.Clear()
		if err := orInto(docs, dict, []byte(entry.Term)); err != nil {
			return err
		}
		if n := docs.AndCardinality(hits); n > 0 {
			count(entry.Term, n)
		}
		return nil
	})
}

// tagTerms counts the tags of the hits: there may be far more tags than hits.
func tagTerms(e *evaluator, p *part, hits *roaring.Bitmap, count func(string, uint64)) error {
	values, ok := p.seg.(segment.DocValueVisitable)
	dict, err := p.seg.Dictionary(fieldTag)
	if err != nil {
		return err
	}
	if !ok || uint64(dict.Cardinality()) < hits.GetCardinality()/8 {
		return fieldTerms(e, p, fieldTag, hits, count)
	}
	var state segment.DocVisitState
	for it := hits.Iterator(); it.HasNext(); {
		state, err = values.VisitDocValues(uint64(it.Next()), []string{fieldTag}, func(_ string, term []byte) { count(string(term), 1) }, state)
		if err != nil {
			return err
		}
		if err := e.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// top returns the most frequent values.
func (f *facets) top(k int, exact bool, codec ledger.Codec) map[string]FacetCounts {
	out := map[string]FacetCounts{}
	for name, counts := range f.of {
		words := map[string]uint64{}
		rest := f.other[name]
		for term, n := range counts {
			if word, ok := facetWord(name, term, codec); ok {
				words[word] += n
			} else {
				rest += n
			}
		}
		terms := make([]FacetTerm, 0, len(words))
		for _, word := range slices.Sorted(maps.Keys(words)) {
			terms = append(terms, FacetTerm{word, words[word]})
		}
		slices.SortStableFunc(terms, func(a, b FacetTerm) int { return cmp.Compare(b.Count, a.Count) })
		fc := FacetCounts{Terms: terms[:min(k, len(terms))], Other: rest, Exact: exact && rest == 0}
		for _, t := range terms[len(fc.Terms):] {
			fc.Other += t.Count
		}
		out[name] = fc
	}
	return out
}

// facetWord returns the value that a term stands for; not of one that was cut.
func facetWord(name, term string, codec ledger.Codec) (string, bool) {
	switch name {
	case FacetKind:
		if term == unitKind {
			return unitKind, true
		}
		return codec.KindName(term[0]), true
	case FacetState:
		return ledger.State(term[0]).String(), true
	case FacetDay:
		day, err := time.Parse("20060102", term)
		return day.Format(time.DateOnly), err == nil
	}
	return keyOf(term), !isCut(term, valueLimit)
}
