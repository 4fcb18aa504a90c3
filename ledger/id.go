package ledger

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// MaxIDLen is the length of the longest id, a legacy hash of 243 trits packed as t5b1.
const MaxIDLen = 49

// ID names a record, unit, transaction or output by the hash its protocol gives it: 32 bytes,
// 34 for outputs, 38 for foundries, 49 for legacy hashes in t5b1. The zero ID means none; it
// differs from an id of 32 zero bytes, which is a protocol's own word. IDs are comparable.
type ID struct {
	n uint8
	b [MaxIDLen]byte
}

// NewID returns the id with the bytes of b, which it copies. It panics if b is longer than
// [MaxIDLen]: lengths are fixed by the protocol and checked by the parser.
func NewID(b []byte) (id ID) {
	if len(b) > MaxIDLen {
		panic(fmt.Sprintf("ledger: id of %d bytes", len(b)))
	}
	id.n = uint8(len(b))
	copy(id.b[:], b)
	return id
}

// Bytes returns a copy of the id's bytes; nil for the zero ID.
func (id ID) Bytes() []byte {
	if id.n == 0 {
		return nil
	}
	return bytes.Clone(id.b[:id.n])
}

// Append appends the id's bytes to dst.
func (id ID) Append(dst []byte) []byte { return append(dst, id.b[:id.n]...) }

// Key returns the id's bytes as a string, the form of [Key.Val].
func (id ID) Key() string { return string(id.b[:id.n]) }

// Len returns the number of bytes.
func (id ID) Len() int { return int(id.n) }

// IsZero reports whether id is no id.
func (id ID) IsZero() bool { return id.n == 0 }

// Compare orders ids by their bytes, a prefix first.
func (id ID) Compare(other ID) int { return bytes.Compare(id.b[:id.n], other.b[:other.n]) }

// String returns lower-case hex, for logs. What a person reads is [Codec.FormatID].
func (id ID) String() string { return hex.EncodeToString(id.b[:id.n]) }
