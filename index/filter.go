package index

import (
	segment "github.com/blevesearch/scorch_segment_api/v2"
	"github.com/cespare/xxhash/v2"
)

// A filter tells which words stand side by side in a document, and sometimes of two that they do when they do not: a
// Bloom filter of pairs, stored with the document. It spares a phrase most records that hold its words somewhere.
// With six bits a pair and three probes, one in sixteen pairs is in it by chance.
const (
	filterBits   = 6
	filterProbes = 3
)

// pairHash hashes two words that stand side by side.
func pairHash(a, b uint64) uint64 { return (a*0x9e3779b97f4a7c15 ^ b) * 0xff51afd7ed558ccd }

func wordHash(w string) uint64 { return xxhash.Sum64String(w) }

// probe calls see for the bits of a pair until it returns false.
func probe(pair uint64, bits uint64, see func(bit uint64) bool) bool {
	at, step := pair>>32, pair&0xffffffff|1
	for i := range uint64(filterProbes) {
		if !see((at + i*step) % bits) {
			return false
		}
	}
	return true
}

// newFilter returns the filter of pairs; none for no pairs.
func newFilter(pairs []uint64) []byte {
	f := make([]byte, (len(pairs)*filterBits+7)/8)
	for _, p := range pairs {
		probe(p, 8*uint64(len(f)), func(bit uint64) bool {
			f[bit/8] |= 1 << (bit % 8)
			return true
		})
	}
	return f
}

// mayHold reports whether all pairs may be in f.
func mayHold(f []byte, pairs []uint64) bool {
	for _, p := range pairs {
		if len(f) == 0 || !probe(p, 8*uint64(len(f)), func(bit uint64) bool { return f[bit/8]&(1<<(bit%8)) != 0 }) {
			return false
		}
	}
	return true
}

// appendPairs appends the hashes of neighbours that have no term of their own.
func appendPairs(pairs []uint64, words []string) []uint64 {
	var before uint64
	for i, w := range words {
		h := wordHash(w)
		if i > 0 && !joined(words[i-1], w) {
			pairs = append(pairs, pairHash(before, h))
		}
		before = h
	}
	return pairs
}

// filterOf reads the filter of a document. It is good until see returns.
func filterOf(s segment.Segment, doc uint32, see func(f []byte)) error {
	return s.VisitStoredFields(uint64(doc), func(name string, _ byte, value []byte, _ []uint64) bool {
		if name == fieldWord {
			see(value)
		}
		return name != fieldWord
	})
}
