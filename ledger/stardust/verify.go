package stardust

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"

	"filippo.io/edwards25519"
	"github.com/hdevalence/ed25519consensus"
)

// signature is one to check; good tells what came of it.
type signature struct {
	key, message, sig []byte // key of 32 bytes, sig of 64
	good              *bool
}

// batchSize is where a larger batch gains little: one bad signature makes all of its batch be split.
const batchSize = 64

// verify checks signatures by the rules of ZIP-215, which alone make a batch agree with its parts.
func verify(todo []signature) {
	var b batch
	for len(todo) > 0 {
		n := min(len(todo), batchSize)
		b.verify(todo[:n])
		todo = todo[n:]
	}
}

// batch is the memory for one batch after the other.
type batch struct {
	points  []edwards25519.Point // the base point, then R of each signature, then each key once
	scalars []edwards25519.Scalar
	keys    [][]byte
	random  []byte
}

// verify tells all signatures that are good. Each of them starts as not good.
func (b *batch) verify(all []signature) {
	switch {
	case len(all) == 1:
		*all[0].good = ed25519consensus.Verify(all[0].key, all[0].message, all[0].sig)
	case b.good(all):
		mark(all)
	default:
		b.split(all)
	}
}

func mark(all []signature) {
	for i := range all {
		*all[i].good = true
	}
}

// split halves a batch with a bad signature in it until that is found. If it is not in the one half it must be in the
// other, which then need not be checked as a whole: good signatures never fail together.
func (b *batch) split(all []signature) {
	if len(all) == 1 {
		return
	}
	left, right := all[:len(all)/2], all[len(all)/2:]
	if !b.good(left) {
		b.split(left)
		b.verify(right)
		return
	}
	mark(left)
	b.split(right)
}

// good reports whether all signatures are good, with z random numbers of 128 bits that nobody can foresee:
//
//	8·(Σ z·R + Σ z·k·A − (Σ z·s)·B) = 0
//
// A key that signed several of them enters the sum once, with its scalars added: wallets spend several outputs, and
// few wallets make most of the traffic. Encodings of points need not be canonical, s must be. Source: ZIP-215.
func (b *batch) good(all []signature) bool {
	n := len(all)
	b.reset(n)
	_, _ = rand.Read(b.random) // never fails
	base := &b.scalars[0]
	for i := range all {
		var z, s, k edwards25519.Scalar
		var wide [32]byte
		copy(wide[:], b.random[16*i:16*i+16])
		if _, err := z.SetCanonicalBytes(wide[:]); err != nil {
			return false
		}
		if _, err := s.SetCanonicalBytes(all[i].sig[32:]); err != nil {
			return false
		}
		if _, err := b.points[1+i].SetBytes(all[i].sig[:32]); err != nil {
			return false
		}
		a, ok := b.key(n, all[i].key)
		if !ok {
			return false
		}
		base.MultiplyAdd(&z, &s, base)
		b.scalars[1+i] = z
		a.MultiplyAdd(&z, challenge(&k, &all[i]), a)
	}
	base.Negate(base)
	return b.sumIsZero(1 + n + len(b.keys))
}

// challenge sets k to the hash that binds R, key and message.
func challenge(k *edwards25519.Scalar, s *signature) *edwards25519.Scalar {
	var buf [32 + 32 + 32]byte
	in := append(append(append(buf[:0], s.sig[:32]...), s.key...), s.message...)
	h := sha512.Sum512(in)
	_, _ = k.SetUniformBytes(h[:]) // fails for other lengths only
	return k
}

// key returns the scalar of a key, which it adds if it is new; false if the key is no point.
func (b *batch) key(n int, key []byte) (*edwards25519.Scalar, bool) {
	for i := range b.keys {
		if bytes.Equal(b.keys[i], key) {
			return &b.scalars[1+n+i], true
		}
	}
	at := 1 + n + len(b.keys)
	b.keys = append(b.keys, key)
	_, err := b.points[at].SetBytes(key)
	return &b.scalars[at], err == nil
}

// reset makes room for n signatures with as many keys, all scalars zero.
func (b *batch) reset(n int) {
	if len(b.points) < 1+2*n {
		b.points, b.scalars = make([]edwards25519.Point, 1+2*n), make([]edwards25519.Scalar, 1+2*n)
		b.points[0].Set(edwards25519.NewGeneratorPoint())
		b.random = make([]byte, 16*n)
	}
	clear(b.scalars)
	b.keys = b.keys[:0]
	b.random = b.random[:16*n]
}

// sumIsZero reports whether the sum of the first n products is a point of small order.
func (b *batch) sumIsZero(n int) bool {
	points, scalars := make([]*edwards25519.Point, n), make([]*edwards25519.Scalar, n)
	for i := range n {
		points[i], scalars[i] = &b.points[i], &b.scalars[i]
	}
	var sum edwards25519.Point
	sum.VarTimeMultiScalarMult(scalars, points)
	return sum.MultByCofactor(&sum).Equal(edwards25519.NewIdentityPoint()) == 1
}
