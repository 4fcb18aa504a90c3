// Package bcs reads and writes Binary Canonical Serialization: no names, no tags but variant numbers, one encoding
// a value.
//
// Integers are little-endian. Lengths and variant numbers are ULEB128 of a u32, shortest form only. Bytes and
// strings are a length and their bytes; an option is 00, or 01 and the value. A [Reader] walks over untrusted
// bytes: it never panics, bounds what it allocates and how deep values nest, and its first error stays. What it returns shares the memory of the input.
//
// Source: the Binary Canonical Serialization specification of the Move projects (crate bcs).
package bcs

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
	"unsafe" // for the size of values

	"permanode/ledger"
)

// MaxLen is the largest length of a sequence.
const MaxLen = 1<<31 - 1

// MaxDepth is how deep values may nest: the networks allow types 16 levels deep.
const MaxDepth = 64

// A SyntaxError says which rule of the encoding the bytes break. It wraps [ledger.ErrSyntax].
type SyntaxError struct {
	Offset int    // of the value that breaks the rule, from the start of what is read
	Why    string // the rule
}

func (e *SyntaxError) Unwrap() error { return ledger.ErrSyntax }
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("malformed BCS at byte %d: %s", e.Offset, e.Why)
}

// An UnknownError reports a variant number that this program has no form for: the bytes may be true, and a newer
// program may read them. It wraps [ledger.ErrSyntax].
type UnknownError struct {
	Type   string // the enum
	Tag    uint32
	Offset int // of the variant number, from the start of what is read
}

func (e *UnknownError) Unwrap() error { return ledger.ErrSyntax }
func (e *UnknownError) Error() string {
	return fmt.Sprintf("unknown %s tag %d at byte %d", e.Type, e.Tag, e.Offset)
}

// A Reader walks over untrusted bytes. Its first error stays, and what is read after it is zero: callers check Err
// once, at the end. A Reader belongs to one goroutine.
type Reader struct {
	b     []byte
	off   int
	depth int
	room  int // bytes that may still be allocated
	err   error
	skim  bool
}

// NewReader returns a Reader over b. All that is read with it takes at most 8·len(b) + 4 MiB of memory, twice that
// while lists grow: no value of the networks needs as much, and values of few bytes may be large in memory.
func NewReader(b []byte) *Reader { return &Reader{b: b, room: 8*len(b) + 4<<20} }

// NewSkimmer returns a Reader that checks everything and keeps nothing: strings, lists and pointers come back empty,
// so a walk over hostile bytes costs no memory.
func NewSkimmer(b []byte) *Reader { return &Reader{b: b, skim: true} }

// Skim reports whether r keeps nothing.
func (r *Reader) Skim() bool { return r.skim }

// Offset is the number of bytes read.
func (r *Reader) Offset() int { return r.off }

// Seek continues at off, after an error too; nesting starts anew. An off outside of the input is an error.
func (r *Reader) Seek(off int) {
	r.err, r.depth = nil, 0
	if off < 0 || off > len(r.b) {
		r.Fail("no place in the input")
		return
	}
	r.off = off
}

// Remaining is the number of bytes not yet read; 0 after an error.
func (r *Reader) Remaining() int {
	if r.err != nil {
		return 0
	}
	return len(r.b) - r.off
}

// From returns the bytes between off, an earlier Offset, and here. It is nil after an error.
func (r *Reader) From(off int) []byte {
	if r.err != nil || off < 0 || off > r.off {
		return nil
	}
	return r.b[off:r.off:r.off]
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// End returns the first error; bytes left over are one.
func (r *Reader) End() error {
	if r.err == nil && r.off != len(r.b) {
		r.Fail(fmt.Sprintf("%d bytes after the value", len(r.b)-r.off))
	}
	return r.err
}

// Fail records that the value at the current offset breaks a rule.
func (r *Reader) Fail(why string) { r.FailAt(r.off, why) }

// FailAt records that the value at off breaks a rule.
func (r *Reader) FailAt(off int, why string) {
	if r.err == nil {
		r.err = &SyntaxError{off, why}
	}
}

// Fixed returns the next n bytes, or nil.
func (r *Reader) Fixed(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.Fail(fmt.Sprintf("needs %d bytes, %d are left", n, len(r.b)-r.off))
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// Copy fills dst with the next bytes.
func (r *Reader) Copy(dst []byte) { copy(dst, r.Fixed(len(dst))) }

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.Fixed(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.Fixed(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.Fixed(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.Fixed(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// I64 reads eight bytes, two's complement.
func (r *Reader) I64() int64 { return int64(r.U64()) }

// Bool reads 00 or 01.
func (r *Reader) Bool() bool {
	at := r.off
	v := r.U8()
	if v > 1 {
		r.FailAt(at, fmt.Sprintf("%02x is no bool", v))
	}
	return v == 1
}

// Option reads whether a value follows.
func (r *Reader) Option() bool {
	at := r.off
	v := r.U8()
	if v > 1 {
		r.FailAt(at, fmt.Sprintf("%02x is no option", v))
	}
	return v == 1
}

// ULEB reads a ULEB128 of a u32 in its shortest form.
func (r *Reader) ULEB() uint32 {
	at := r.off
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.U8()
		v |= uint64(c&0x7f) << shift
		switch {
		case r.err != nil:
			return 0
		case c&0x80 != 0:
			continue
		case c == 0 && shift > 0:
			r.FailAt(at, "a number is not in its shortest form")
			return 0
		case v > 1<<32-1:
			r.FailAt(at, "a number exceeds 32 bits")
			return 0
		}
		return uint32(v)
	}
	r.FailAt(at, "a number has more than 5 bytes")
	return 0
}

// Len reads the length of a sequence of elements of at least size bytes each, which must fit what is left.
func (r *Reader) Len(size int) int {
	at := r.off
	n := int64(r.ULEB())
	if n > MaxLen || n*int64(max(size, 1)) > int64(r.Remaining()) {
		r.FailAt(at, fmt.Sprintf("length %d exceeds the %d bytes that are left", n, r.Remaining()))
		return 0
	}
	return int(n)
}

// Bytes reads a length and as many bytes. An empty value is not nil.
func (r *Reader) Bytes() []byte { return r.Fixed(r.Len(1)) }

// String reads a length and as many bytes of UTF-8.
func (r *Reader) String() string {
	at := r.off
	b := r.Bytes()
	if !utf8.Valid(b) {
		r.FailAt(at, "a string is not UTF-8")
	}
	if !r.spend(len(b)) {
		return ""
	}
	return string(b)
}

// Variant reads the variant number of the enum named name, which has n variants from 0.
func (r *Reader) Variant(name string, n uint32) uint32 {
	at := r.off
	v := r.ULEB()
	if r.err == nil && v >= n {
		r.err = &UnknownError{name, v, at}
	}
	if r.err != nil {
		return 0
	}
	return v
}

// Enter goes one level deeper; it reports false, with an error, at a depth no honest value has. Each Enter that
// reports true needs a Leave.
func (r *Reader) Enter() bool {
	if r.err != nil {
		return false
	}
	if r.depth == MaxDepth {
		r.Fail(fmt.Sprintf("values nest deeper than %d", MaxDepth))
		return false
	}
	r.depth++
	return true
}

// Leave goes back up.
func (r *Reader) Leave() {
	if r.depth > 0 {
		r.depth--
	}
}

// List reads a length and as many elements, of at least size bytes each. It is nil if there are none.
func List[T any](r *Reader, size int, read func(*Reader) T) []T {
	return Elements(r, r.Len(size), read)
}

// Elements reads n elements, whose number is known to fit what is left. It is nil if there are none.
func Elements[T any](r *Reader, n int, read func(*Reader) T) []T {
	if n == 0 {
		return nil
	}
	if r.skim {
		for i := 0; i < n && r.err == nil; i++ {
			read(r)
		}
		return nil
	}
	// Elements may be far larger than their encoding: the list grows with what was really there.
	var zero T
	list := make([]T, 0, min(n, 64))
	for i := 0; i < n && r.spend(int(unsafe.Sizeof(zero))); i++ {
		list = append(list, read(r))
	}
	return list
}

// spend takes n bytes of the memory that values may fill. It reports false after an error, and where r keeps nothing.
func (r *Reader) spend(n int) bool {
	if r.err != nil || r.skim {
		return false
	}
	if r.room -= n; r.room < 0 {
		r.Fail("the value is too large in memory for its bytes")
	}
	return r.err == nil
}

// Opt reads an option: nil, or a pointer to the value.
func Opt[T any](r *Reader, read func(*Reader) T) *T {
	if !r.Option() {
		return nil
	}
	return Ptr(r, read(r))
}

// Ptr returns a pointer to v, or nil where r keeps nothing.
func Ptr[T any](r *Reader, v T) *T {
	if !r.spend(int(unsafe.Sizeof(v))) {
		return nil
	}
	p := new(T)
	*p = v
	return p
}
