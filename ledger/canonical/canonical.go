// Package canonical reads and writes the one JSON encoding of the files that carry or define trust:
// trust files, policies, evidence.
//
//	text := one value, UTF-8, no white space, nothing after it
//	value := string | array | object, at most 16 levels deep
//	object := keys in ASCII, ascending by bytes, each once
//	string := only `"`, `\` and characters below U+0020 are escaped (\b \t \n \f \r, else \u00xx in
//	          lower case); U+2028 and U+2029 do not occur
//
// There are no numbers, booleans or nulls: so a text has one reading and a value one text, and a
// signature over the text is one over the value. [Parse] accepts nothing that [Encode] would write
// otherwise. This is RFC 8785 for the subset. Nothing here panics on bad input or allocates more than a
// small multiple of it.
package canonical

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxDepth is the number of levels that a value may have: a string has none, an array or object one
// more than what is in it.
const MaxDepth = 16

// ErrFormat is wrapped by every error of [Parse].
var ErrFormat = errors.New("not canonical JSON")

// A FormatError says where a text stops being canonical.
type FormatError struct {
	Offset int
	Why    string
}

func (e *FormatError) Unwrap() error { return ErrFormat }
func (e *FormatError) Error() string {
	return fmt.Sprintf("not canonical JSON at byte %d: %s", e.Offset, e.Why)
}

// Value is a [String], an [Array] or an [Object].
type Value interface {
	// Append appends the value's text to dst.
	Append(dst []byte) []byte
}

// String is a text. It must be UTF-8 without U+2028 and U+2029 if it is to be read again.
type String string

// Array is a list of values.
type Array []Value

// Object is a set of values by key. Keys must be ASCII if it is to be read again.
type Object map[string]Value

// Encode returns the text of v.
func Encode(v Value) []byte { return v.Append(nil) }

// Append appends the text of s to dst.
func (s String) Append(dst []byte) []byte { return appendString(dst, string(s)) }

// Append appends the text of a to dst.
func (a Array) Append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, v := range a {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = v.Append(dst)
	}
	return append(dst, ']')
}

// Append appends the text of o to dst.
func (o Object) Append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, k := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, k), ':')
		dst = o[k].Append(dst)
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// short holds the letter of the escapes that have one.
var short = map[byte]byte{'"': '"', '\\': '\\', '\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		c := s[i]
		switch letter, ok := short[c]; {
		case ok:
			dst = append(dst, '\\', letter)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// Parse reads a text that is canonical to the last byte. Errors are *FormatError.
func Parse(raw []byte) (Value, error) {
	p := parser{raw: raw}
	v, err := p.value(0)
	if err == nil && p.off != len(raw) {
		err = p.fail("%d bytes follow the value", len(raw)-p.off)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type parser struct {
	raw []byte
	off int
}

func (p *parser) fail(format string, args ...any) error {
	return &FormatError{Offset: p.off, Why: fmt.Sprintf(format, args...)}
}

// next reports whether the next byte is c, and passes it if so.
func (p *parser) next(c byte) bool {
	if p.off < len(p.raw) && p.raw[p.off] == c {
		p.off++
		return true
	}
	return false
}

// value reads one value inside depth others.
func (p *parser) value(depth int) (Value, error) {
	if p.off == len(p.raw) {
		return nil, p.fail("a value is missing")
	}
	switch c := p.raw[p.off]; {
	case c == '"':
		s, err := p.text()
		return String(s), err
	case c != '[' && c != '{':
		return nil, p.fail("a string, an array or an object begins otherwise")
	case depth == MaxDepth:
		return nil, p.fail("more than %d levels", MaxDepth)
	case c == '[':
		return p.array(depth + 1)
	}
	return p.object(depth + 1)
}

func (p *parser) array(depth int) (Value, error) {
	p.off++
	a := Array{}
	if p.next(']') {
		return a, nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
		if p.next(']') {
			return a, nil
		}
		if !p.next(',') {
			return nil, p.fail("a comma or the end of the array is missing")
		}
	}
}

func (p *parser) object(depth int) (Value, error) {
	p.off++
	o := Object{}
	if p.next('}') {
		return o, nil
	}
	for last := ""; ; {
		key, err := p.key(last, len(o) == 0)
		if err != nil {
			return nil, err
		}
		if !p.next(':') {
			return nil, p.fail("a colon is missing")
		}
		if o[key], err = p.value(depth); err != nil {
			return nil, err
		}
		last = key
		if p.next('}') {
			return o, nil
		}
		if !p.next(',') {
			return nil, p.fail("a comma or the end of the object is missing")
		}
	}
}

// key reads a key that comes behind last.
func (p *parser) key(last string, first bool) (string, error) {
	if p.off == len(p.raw) || p.raw[p.off] != '"' {
		return "", p.fail("a key is missing")
	}
	at := p.off
	key, err := p.text()
	if err != nil {
		return "", err
	}
	p.off, at = at, p.off
	switch {
	case strings.ContainsFunc(key, func(r rune) bool { return r >= utf8.RuneSelf }):
		return "", p.fail("key %q is not ASCII", key)
	case !first && key == last:
		return "", p.fail("key %q occurs twice", key)
	case !first && key < last:
		return "", p.fail("key %q stands behind %q", key, last)
	}
	p.off = at
	return key, nil
}

// text reads a string, quotes included.
func (p *parser) text() (string, error) {
	p.off++
	start := p.off
	var out []byte // what was read so far, once there was an escape
	for p.off < len(p.raw) {
		switch c := p.raw[p.off]; {
		case c == '"':
			tail := p.raw[start:p.off]
			p.off++
			return string(append(out, tail...)), nil
		case c == '\\':
			out = append(out, p.raw[start:p.off]...)
			b, err := p.escape()
			if err != nil {
				return "", err
			}
			out, start = append(out, b), p.off
		case c < 0x20:
			return "", p.fail("a control character that is not escaped")
		case c < utf8.RuneSelf:
			p.off++
		default:
			r, n := utf8.DecodeRune(p.raw[p.off:])
			if r == utf8.RuneError && n == 1 {
				return "", p.fail("no UTF-8")
			}
			if r == '\u2028' || r == '\u2029' {
				return "", p.fail("%U is forbidden", r)
			}
			p.off += n
		}
	}
	return "", p.fail("the string does not end")
}

// escape reads an escape and returns its character. An escape that is not the only way to write its
// character is refused.
func (p *parser) escape() (byte, error) {
	rest := p.raw[p.off:]
	for c, letter := range short {
		if len(rest) >= 2 && rest[1] == letter {
			p.off += 2
			return c, nil
		}
	}
	if len(rest) >= 6 && string(rest[1:4]) == "u00" {
		hi, lo := strings.IndexByte(hexDigits, rest[4]), strings.IndexByte(hexDigits, rest[5])
		c := byte(hi<<4 | lo)
		if _, has := short[c]; hi >= 0 && hi < 2 && lo >= 0 && !has {
			p.off += 6
			return c, nil
		}
	}
	return 0, p.fail("an escape that is not the one form of its character")
}
