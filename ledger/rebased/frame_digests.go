package rebased

import (
	"bytes"
	"slices"
)

// digestSet is every digest that may stand in some bytes: any 32 behind a byte 20 hex, which is their length. It holds
// places, not digests: hostile bytes are full of them.
type digestSet struct {
	b      []byte
	places []int32 // where digests begin, ascending by digest
}

func newDigestSet(b []byte) *digestSet {
	s := &digestSet{b: b, places: make([]int32, 0, bytes.Count(b, []byte{32}))}
	for i := 0; i+sizeDigest <= len(b); i++ {
		if b[i] == 32 {
			s.places = append(s.places, int32(i+1))
		}
	}
	slices.SortFunc(s.places, func(x, y int32) int { return bytes.Compare(s.at(x), s.at(y)) })
	return s
}

func (s *digestSet) at(place int32) []byte { return s.b[place : place+32] }

// has reports whether d may stand in the bytes.
func (s *digestSet) has(d *Digest) bool {
	_, ok := slices.BinarySearchFunc(s.places, d[:], func(place int32, d []byte) int { return bytes.Compare(s.at(place), d) })
	return ok
}
