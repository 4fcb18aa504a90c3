package check

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"permanode/ledger"
)

// buckets is the number of parts that rows are counted in, by the hash of their key: a difference points to
// few keys.
const buckets = 1024

// tally is number and sum of hashes of a set of rows, whatever their order. The zero tally is empty.
type tally struct {
	n, sum [buckets]uint64
	buf    []byte
}

func (t *tally) add(bucket int, hash uint64) {
	t.n[bucket]++
	t.sum[bucket] += hash
}

func (t *tally) merge(o *tally) {
	for i := range t.n {
		t.n[i] += o.n[i]
		t.sum[i] += o.sum[i]
	}
}

// differing returns the buckets in which t and o differ.
func (t *tally) differing(o *tally) (out []int) {
	for i := range t.n {
		if t.n[i] != o.n[i] || t.sum[i] != o.sum[i] {
			out = append(out, i)
		}
	}
	return out
}

func bucketOf(k ledger.Key) int {
	return int((xxhash.Sum64String(k.Val) ^ uint64(k.Kind)) % buckets)
}

// posting counts one posting.
func (t *tally) posting(p ledger.Posting, o ledger.Ord) {
	b := append(append(t.buf[:0], byte(p.Key.Kind)), p.Key.Val...)
	b, _ = o.AppendBinary(b)
	b, _ = p.Value.AppendBinary(append(b, byte(p.Role)))
	t.buf = b
	t.add(bucketOf(p.Key), xxhash.Sum64(b))
}

func timeHash(u ledger.Unit) uint64 {
	b := binary.BigEndian.AppendUint64(nil, uint64(u.TimeMs))
	return xxhash.Sum64(binary.BigEndian.AppendUint64(b, u.Seq))
}
