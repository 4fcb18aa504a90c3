package ranges

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestAgainstMap compares with a map of numbers.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		model := map[uint64]bool{}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			lo := rapid.Uint64Range(0, 40).Draw(t, "lo")
			hi := rapid.Uint64Range(0, 40).Draw(t, "hi")
			add := rapid.Bool().Draw(t, "add")
			if add {
				s.Add(lo, hi)
			} else {
				s.Remove(lo, hi)
			}
			for v := lo; v <= hi; v++ {
				model[v] = add
			}
		}
		var want []uint64
		for v := uint64(0); v <= 41; v++ {
			if model[v] {
				want = append(want, v)
			}
			if s.Has(v) != model[v] {
				t.Fatalf("Has(%d) = %v in %v", v, s.Has(v), s)
			}
		}
		if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != uint64(len(want)) {
			t.Fatalf("set = %v (%d numbers), want %v", got, s.Len(), want)
		}
		for i, r := range s.Ranges() {
			if r.Lo > r.Hi || i > 0 && s.Ranges()[i-1].Hi+1 >= r.Lo {
				t.Fatalf("ranges are empty or touch: %v", s)
			}
			if !s.Covers(r.Lo, r.Hi) || s.Covers(r.Lo, r.Hi+1) {
				t.Fatalf("Covers is wrong at %v", r)
			}
		}
		if left := s.Minus(s); left.Len() != 0 {
			t.Fatalf("set minus itself = %v", left)
		}
	})
}

func TestEnds(t *testing.T) {
	s := Of(Range{^uint64(0) - 1, ^uint64(0)}, Range{0, 0})
	s.Add(1, 1)
	if got := s.Ranges(); len(got) != 2 || got[0] != (Range{0, 1}) {
		t.Errorf("ranges = %v", got)
	}
	n := 0
	for range s.All() {
		n++
	}
	if n != 4 {
		t.Errorf("%d numbers, want 4", n)
	}
}
