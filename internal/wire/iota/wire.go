package iota

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMessage is wrapped by every error of a decoder.
var ErrMessage = errors.New("malformed protobuf message")

// field is one field as it stands in a message: num is a varint's value or 0, raw the bytes of a
// length-delimited one.
type field struct {
	id   protowire.Number
	typ  protowire.Type
	num  uint64
	raw  []byte
	left *int // list elements that the whole message may still have
}

// maxElements bounds the elements of all lists in one message: a message of nothing but empty elements would
// become many times larger in memory. A transaction counts as transactionCost of them.
const (
	maxElements     = 1 << 20
	transactionCost = 8
)

// parse calls do for every field of the outermost message b.
func parse(b []byte, do func(f field) error) error {
	left := maxElements
	return each(b, &left, do)
}

// spend takes n elements from what the message may still have.
func (f field) spend(n int) error {
	if *f.left -= n; *f.left < 0 {
		return fmt.Errorf("%w: more than %d elements", ErrMessage, maxElements)
	}
	return nil
}

// each calls do for every field of message b, in order, until one fails. Fields of wire types that this
// API does not use are skipped.
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

// bytes returns the content of a length-delimited field.
func (f field) bytes() ([]byte, error) {
	if f.typ != protowire.BytesType {
		return nil, fmt.Errorf("%w: field %d is no byte string or message", ErrMessage, f.id)
	}
	return f.raw, nil
}

// number returns the value of a varint field.
func (f field) number() (*uint64, error) {
	if f.typ != protowire.VarintType {
		return nil, fmt.Errorf("%w: field %d is no number", ErrMessage, f.id)
	}
	v := f.num
	return &v, nil
}

// inner reads field id of the message in f, for wrappers that hold nothing else of interest.
func (f field) inner(id protowire.Number) (found []byte, err error) {
	msg, err := f.bytes()
	if err != nil {
		return nil, err
	}
	err = each(msg, f.left, func(g field) error {
		if g.id != id {
			return nil
		}
		raw, err := g.bytes()
		found = raw
		return err
	})
	return found, err
}

// list calls do for every element of a message that holds one repeated field, id.
func (f field) list(id protowire.Number, do func(element field) error) error {
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	return each(msg, f.left, func(g field) error {
		if g.id != id {
			return nil
		}
		if err := g.spend(1); err != nil {
			return err
		}
		return do(g)
	})
}

// appendMessage appends a message field: its length is known once body has written it.
func appendMessage(b []byte, id protowire.Number, body func(b []byte) []byte) []byte {
	inner := body(nil)
	b = protowire.AppendTag(b, id, protowire.BytesType)
	return protowire.AppendBytes(b, inner)
}

func appendBytes(b []byte, id protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, id, protowire.BytesType), v)
}

func appendNumber(b []byte, id protowire.Number, v *uint64) []byte {
	if v == nil {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, id, protowire.VarintType), *v)
}

// appendWrapped appends a message field that holds v as its field inner; nothing if v is nil.
func appendWrapped(b []byte, id, inner protowire.Number, v []byte) []byte {
	if v == nil {
		return b
	}
	return appendMessage(b, id, func(b []byte) []byte { return appendBytes(b, inner, v) })
}

// appendText appends a string field; nothing if v is empty.
func appendText(b []byte, id protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, id, protowire.BytesType), v)
}

func appendMask(b []byte, id protowire.Number, paths []string) []byte {
	if paths == nil {
		return b
	}
	return appendMessage(b, id, func(b []byte) []byte {
		for _, p := range paths {
			b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), p)
		}
		return b
	})
}

// maxPaths bounds the paths of a read mask.
const maxPaths = 256

func (f field) mask() (paths []string, err error) {
	err = f.list(1, func(e field) error {
		p, err := e.bytes()
		if err != nil {
			return err
		}
		if len(paths) == maxPaths {
			return fmt.Errorf("%w: a mask of more than %d paths", ErrMessage, maxPaths)
		}
		paths = append(paths, string(p))
		return nil
	})
	return paths, err
}
