// Package ranges holds sets of unit numbers as sorted, disjoint, inclusive ranges. The zero Set is
// empty and ready to use.
package ranges

import (
	"iter"
	"slices"
	"sort"
)

// Range is the numbers Lo to Hi, both included.
type Range struct{ Lo, Hi uint64 }

// Set is a set of numbers. Its ranges never touch: 1-3 and 4-5 are one range 1-5. Not safe for
// concurrent change.
type Set struct{ r []Range }

// Of returns the set of the given ranges.
func Of(rs ...Range) (s Set) {
	for _, r := range rs {
		s.Add(r.Lo, r.Hi)
	}
	return s
}

// Add adds lo to hi. An empty range (hi < lo) adds nothing.
func (s *Set) Add(lo, hi uint64) {
	if hi < lo {
		return
	}
	// i: the first range that touches or lies behind lo; j: the first that lies wholly behind hi.
	i := sort.Search(len(s.r), func(i int) bool { return s.r[i].Hi >= lo || s.r[i].Hi+1 == lo })
	j := sort.Search(len(s.r), func(j int) bool { return s.r[j].Lo > hi && s.r[j].Lo-1 != hi })
	if i < j {
		lo, hi = min(lo, s.r[i].Lo), max(hi, s.r[j-1].Hi)
	}
	s.r = slices.Replace(s.r, i, j, Range{lo, hi})
}

// Remove takes lo to hi out.
func (s *Set) Remove(lo, hi uint64) {
	if hi < lo {
		return
	}
	var out []Range
	for _, r := range s.r {
		if r.Hi < lo || r.Lo > hi {
			out = append(out, r)
			continue
		}
		if r.Lo < lo {
			out = append(out, Range{r.Lo, lo - 1})
		}
		if r.Hi > hi {
			out = append(out, Range{hi + 1, r.Hi})
		}
	}
	s.r = out
}

// Has reports whether v is in s.
func (s Set) Has(v uint64) bool {
	i := sort.Search(len(s.r), func(i int) bool { return s.r[i].Hi >= v })
	return i < len(s.r) && s.r[i].Lo <= v
}

// Covers reports whether all of lo to hi is in s.
func (s Set) Covers(lo, hi uint64) bool {
	i := sort.Search(len(s.r), func(i int) bool { return s.r[i].Hi >= lo })
	return hi < lo || i < len(s.r) && s.r[i].Lo <= lo && hi <= s.r[i].Hi
}

// Minus returns the numbers of s that are not in t.
func (s Set) Minus(t Set) Set {
	out := Set{slices.Clone(s.r)}
	for _, r := range t.r {
		out.Remove(r.Lo, r.Hi)
	}
	return out
}

// Ranges returns the ranges in rising order. The caller must not change them.
func (s Set) Ranges() []Range { return s.r }

// Len returns how many numbers s holds.
func (s Set) Len() (n uint64) {
	for _, r := range s.r {
		n += r.Hi - r.Lo + 1
	}
	return n
}

// All returns the numbers in rising order.
func (s Set) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, r := range s.r {
			for v := r.Lo; ; v++ {
				if !yield(v) {
					return
				}
				if v == r.Hi {
					break
				}
			}
		}
	}
}
