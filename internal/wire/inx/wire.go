package inx

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMessage is wrapped by every error of a decoder.
var ErrMessage = errors.New("malformed protobuf message")

// maxElements bounds the elements of all lists in one message. A block has at most 8 parents, a coordinator some
// dozens of keys.
const maxElements = 1024

// field is one field as it stands in a message: num is a varint's value or 0, raw the bytes of a length-delimited
// one.
type field struct {
	id   protowire.Number
	typ  protowire.Type
	num  uint64
	raw  []byte
	left *int // list elements that the whole message may still have
}

// parse calls do for every field of the outermost message b.
func parse(b []byte, do func(f field) error) error {
	left := maxElements
	return each(b, &left, do)
}

// each calls do for every field of message b, in order, until one fails. Fields of wire types that this API does not
// use are skipped.
func each(b []byte, left *int, do func(f field) error) error {
	for at := 0; at < len(b); {
		id, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return fmt.Errorf("%w: tag at byte %d: %w", ErrMessage, at, protowire.ParseError(n))
		}
		f := field{id: id, typ: typ, left: left}
		value := at + n
		switch typ {
		case protowire.VarintType:
			f.num, n = protowire.ConsumeVarint(b[value:])
		case protowire.BytesType:
			f.raw, n = protowire.ConsumeBytes(b[value:])
		default:
			n = protowire.ConsumeFieldValue(id, typ, b[value:])
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d at byte %d: %w", ErrMessage, id, value, protowire.ParseError(n))
		}
		at = value + n
		if typ != protowire.VarintType && typ != protowire.BytesType {
			continue
		}
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// bytes returns the content of a length-delimited field, never nil.
func (f field) bytes() ([]byte, error) {
	if f.typ != protowire.BytesType {
		return nil, fmt.Errorf("%w: field %d is no byte string or message", ErrMessage, f.id)
	}
	if f.raw == nil {
		return []byte{}, nil
	}
	return f.raw, nil
}

func (f field) text() (string, error) {
	b, err := f.bytes()
	return string(b), err
}

// number returns the value of a varint field.
func (f field) number() (uint32, error) {
	if f.typ != protowire.VarintType {
		return 0, fmt.Errorf("%w: field %d is no number", ErrMessage, f.id)
	}
	if f.num > math.MaxUint32 {
		return 0, fmt.Errorf("%w: field %d is %d; 32 bits are allowed", ErrMessage, f.id, f.num)
	}
	return uint32(f.num), nil
}

func (f field) flag() (bool, error) {
	v, err := f.number()
	return v != 0, err
}

// message calls do for every field of the message in f.
func (f field) message(do func(f field) error) error {
	b, err := f.bytes()
	if err != nil {
		return err
	}
	return each(b, f.left, do)
}

// wrapped returns the byte string in a message that holds nothing else, never nil.
func (f field) wrapped() ([]byte, error) {
	b, err := f.bytes()
	if err != nil {
		return nil, err
	}
	return unwrap(b, f.left)
}

func unwrap(b []byte, left *int) ([]byte, error) {
	found := []byte{}
	err := each(b, left, func(g field) (err error) {
		if g.id == 1 {
			found, err = g.bytes()
		}
		return err
	})
	return found, err
}

// element takes one element of a list from what the message may still have.
func (f field) element() error {
	if *f.left--; *f.left < 0 {
		return fmt.Errorf("%w: more than %d elements", ErrMessage, maxElements)
	}
	return nil
}

// numbers adds the elements of a repeated number, packed or not.
func (f field) numbers(list []uint32) ([]uint32, error) {
	add := func(v uint64) error {
		f.typ, f.num = protowire.VarintType, v
		n, err := f.number()
		list = append(list, n)
		return errors.Join(err, f.element())
	}
	if f.typ == protowire.VarintType {
		err := add(f.num)
		return list, err
	}
	for b := f.raw; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: field %d: %w", ErrMessage, f.id, protowire.ParseError(n))
		}
		if err := add(v); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return list, nil
}

func appendNumber(b []byte, id protowire.Number, v uint32) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, id, protowire.VarintType), uint64(v))
}

func appendFlag(b []byte, id protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendNumber(b, id, 1)
}

func appendText(b []byte, id protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, id, protowire.BytesType), v)
}

// appendBytes appends a byte string; nothing if it is empty.
func appendBytes(b []byte, id protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return appendMessage(b, id, v)
}

// appendMessage appends a message, whatever its length.
func appendMessage(b []byte, id protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, id, protowire.BytesType), m)
}

// appendWrapped appends a message that holds the byte string v; nothing if v is nil.
func appendWrapped(b []byte, id protowire.Number, v []byte) []byte {
	if v == nil {
		return b
	}
	return appendMessage(b, id, AppendWrapped(nil, v))
}
