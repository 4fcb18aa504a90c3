package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

const (
	// MaxSeq is the largest number of a unit. No ordinal begins with the byte ff: keys rely on it.
	MaxSeq = 0xff_0000_0000 - 1
	// UnitPos is the pos of the unit itself: of what it did without a record (a receipt's outputs)
	// and of the posting of its id. Records lie below it.
	UnitPos = 1<<24 - 1
	// OrdLen is the length of an ordinal's binary form.
	OrdLen = 8
)

// Ord is the place of a record in its network: the number of its unit and its place there, from
// 0, in the era's order. Its binary form is big endian, seq in 5 bytes and pos in 3, so that keys
// sort by place; its text form is those 16 hex digits.
type Ord struct {
	Seq uint64
	Pos uint32
}

// AppendBinary appends the 8 bytes of o to dst. The error is always nil.
func (o Ord) AppendBinary(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, o.Seq<<24|uint64(o.Pos)), nil
}

// Bytes returns the 8 bytes of o.
func (o Ord) Bytes() [OrdLen]byte {
	var b [OrdLen]byte
	binary.BigEndian.PutUint64(b[:], o.Seq<<24|uint64(o.Pos))
	return b
}

// OrdFrom reads the binary form. b holds at least 8 bytes.
func OrdFrom(b []byte) Ord {
	v := binary.BigEndian.Uint64(b)
	return Ord{Seq: v >> 24, Pos: uint32(v & UnitPos)}
}

// Valid reports whether o can be stored.
func (o Ord) Valid() bool { return o.Seq <= MaxSeq && o.Pos <= UnitPos }

// Less reports whether o lies before p.
func (o Ord) Less(p Ord) bool { return o.Compare(p) < 0 }

// Compare returns -1, 0 or 1 as o lies before, at or behind p.
func (o Ord) Compare(p Ord) int {
	switch {
	case o.Seq < p.Seq, o.Seq == p.Seq && o.Pos < p.Pos:
		return -1
	case o == p:
		return 0
	}
	return 1
}

// String returns the text form, 16 hex digits.
func (o Ord) String() string { return fmt.Sprintf("%010x%06x", o.Seq, o.Pos) }

// ParseOrd reads the text form.
func ParseOrd(s string) (Ord, error) {
	if len(s) != 16 {
		return Ord{}, errors.New("an ordinal has 16 hex digits")
	}
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		return Ord{}, errors.New("an ordinal has 16 hex digits")
	}
	return Ord{Seq: v >> 24, Pos: uint32(v & UnitPos)}, nil
}
