// Package merkle computes roots and audit paths of the tree shape that the tangle eras sign: that of
// RFC 6962, over any hash.
//
//	empty tree = H()   leaf = H(00 | id)   node = H(01 | left | right)
//
// A tree of n leaves splits at the largest power of two below n. Source: TIP-4, "Merkle hash trees".
package merkle

import (
	"bytes"
	"hash"
	"math/bits"

	"permanode/ledger"
)

// Step is one level of an audit path: the sibling's hash and the side on which it stands.
type Step struct {
	Hash []byte
	Left bool // the sibling is the left one
}

// hasher makes tree hashes in one reused hash state.
type hasher struct {
	h   hash.Hash
	pre [1]byte
}

func (t *hasher) leaf(dst []byte, id ledger.ID) []byte {
	t.h.Reset()
	t.pre[0] = 0
	t.h.Write(t.pre[:])
	var buf [ledger.MaxIDLen]byte
	t.h.Write(id.Append(buf[:0]))
	return t.h.Sum(dst[:0])
}

// node may write its result over left.
func (t *hasher) node(dst, left, right []byte) []byte {
	t.h.Reset()
	t.pre[0] = 1
	t.h.Write(t.pre[:])
	t.h.Write(left)
	t.h.Write(right)
	return t.h.Sum(dst[:0])
}

// Root returns the root over ids in their order. It costs 2n-1 hashes and memory for log n of them.
func Root(newHash func() hash.Hash, ids []ledger.ID) []byte {
	t := &hasher{h: newHash()}
	if len(ids) == 0 {
		return t.h.Sum(nil)
	}
	// Complete subtrees wait on a stack, largest first: as many as the count so far has one bits.
	var stack [][]byte
	for i, id := range ids {
		depth := bits.OnesCount(uint(i))
		if depth == len(stack) {
			stack = append(stack, make([]byte, 0, t.h.Size()))
		}
		stack[depth] = t.leaf(stack[depth], id)
		for merge := bits.TrailingZeros(^uint(i)); merge > 0; merge-- {
			stack[depth-1] = t.node(stack[depth-1], stack[depth-1], stack[depth])
			depth--
		}
	}
	top := bits.OnesCount(uint(len(ids))) - 1
	root := stack[top]
	for top--; top >= 0; top-- {
		root = t.node(root, stack[top], root)
	}
	return bytes.Clone(root)
}

// Path returns the audit path of ids[i], from the leaf up; empty in a tree of one. i is in range.
func Path(newHash func() hash.Hash, ids []ledger.ID, i int) []Step {
	if len(ids) == 1 {
		return nil
	}
	k := 1 << (bits.Len(uint(len(ids)-1)) - 1)
	if i < k {
		return append(Path(newHash, ids[:k], i), Step{Hash: Root(newHash, ids[k:])})
	}
	return append(Path(newHash, ids[k:], i-k), Step{Hash: Root(newHash, ids[:k]), Left: true})
}

// Walk returns the root to which path leads from id. Whoever compares it with a signed root has
// proven that id is a leaf of that tree. Hashes of any other length than the hash's give no such proof
// and return nil.
func Walk(newHash func() hash.Hash, id ledger.ID, path []Step) []byte {
	t := &hasher{h: newHash()}
	at := t.leaf(nil, id)
	for _, s := range path {
		if len(s.Hash) != t.h.Size() {
			return nil
		}
		if s.Left {
			at = t.node(at, s.Hash, at)
		} else {
			at = t.node(at, at, s.Hash)
		}
	}
	return at
}
