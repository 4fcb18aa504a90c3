package iotanode

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is put and taken, the shelf keeps its bound, gives back what was put, and gives each cone once.
func TestShelf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := shelf{limit: 4096}
		put := map[uint64]*cone{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			seq := rapid.Uint64Range(0, 12).Draw(t, "seq")
			switch rapid.IntRange(0, 3).Draw(t, "act") {
			case 0:
				c := &cone{head: make([]byte, rapid.IntRange(0, 1500).Draw(t, "size"))}
				put[seq] = c
				s.put(seq, c)
			case 1:
				c := s.take(seq)
				if c != nil && c != put[seq] {
					t.Fatal("another cone than was put")
				}
				if s.take(seq) != nil {
					t.Fatal("given twice")
				}
			case 2:
				if head, ok := s.head(seq); ok && len(head) != len(put[seq].head) {
					t.Fatal("another head")
				}
			}
			if s.used() > s.limit || len(s.order) != len(s.kept) {
				t.Fatalf("%d bytes, %d places for %d cones", s.used(), len(s.order), len(s.kept))
			}
			var sum int64
			for _, c := range s.kept {
				sum += c.size()
			}
			if sum != s.used() {
				t.Fatalf("%d bytes counted, %d are kept", s.used(), sum)
			}
		}
	})
}

// A head that was given longer ago is read again: it may have been a lie.
func TestShelfForgetsHeads(t *testing.T) {
	s := shelf{limit: 4096}
	s.put(1, &cone{head: []byte("head")})
	if _, ok := s.head(1); !ok {
		t.Fatal("no head")
	}
	s.kept[1].at = s.kept[1].at.Add(-headAge)
	if _, ok := s.head(1); ok {
		t.Error("an old answer is given again")
	}
	if s.take(1) == nil {
		t.Error("the records are gone too")
	}
}
