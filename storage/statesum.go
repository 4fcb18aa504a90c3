package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// StateSum is the sum, modulo 2^256, of the hashes of state rows: a fingerprint of a set of rows that
// does not depend on their order and can be kept up to date row by row. An engine stores the sum of a
// span's opening rows; a checker adds the changes of every unit and compares with the rows that are
// there. It finds damage, not an adversary.
type StateSum [32]byte

// Add adds the row key -> val. A nil val is no row and adds nothing.
func (s *StateSum) Add(key, val []byte) {
	if val != nil {
		s.Merge(hashRow(key, val))
	}
}

// Sub takes the row key -> val away. A nil val is no row and takes nothing.
func (s *StateSum) Sub(key, val []byte) {
	if val == nil {
		return
	}
	h := hashRow(key, val)
	var borrow uint64
	for i := 24; i >= 0; i -= 8 {
		var d uint64
		d, borrow = bits.Sub64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(h[i:]), borrow)
		binary.BigEndian.PutUint64(s[i:], d)
	}
}

// Merge adds the rows of t.
func (s *StateSum) Merge(t StateSum) {
	var carry uint64
	for i := 24; i >= 0; i -= 8 {
		var d uint64
		d, carry = bits.Add64(binary.BigEndian.Uint64(s[i:]), binary.BigEndian.Uint64(t[i:]), carry)
		binary.BigEndian.PutUint64(s[i:], d)
	}
}

// hashRow is SHA-256 of the key's length in 8 bytes, the key and the value.
func hashRow(key, val []byte) StateSum {
	var buf [256]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(len(key)))
	b = append(append(b, key...), val...)
	return sha256.Sum256(b)
}
