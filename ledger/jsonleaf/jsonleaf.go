// Package jsonleaf reads the scalars of JSON texts that people wrote into records. Whatever is no JSON object or
// array has none; it does no I/O and never fails.
package jsonleaf

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"permanode/ledger"
)

// The bounds of a text whose leaves are read. Beyond them it has none: nothing of it is shortened.
const (
	maxDepth     = 64      // levels
	maxPathBytes = 1 << 20 // sum of the paths of its members
)

// Read returns the scalars of a JSON object or array in their order, repeated keys included; nil if data is anything
// else, more than one value, or beyond the bounds.
func Read(data []byte) []ledger.Leaf {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' || !json.Valid(trimmed) {
		return nil
	}
	w := walk{rest: trimmed}
	if !w.value("", 0) {
		return nil
	}
	return w.leaves
}

// walk reads a text that was found valid: it looks for no errors. That is several times faster than the tokens of
// encoding/json, and this is read for every record that is indexed or found.
type walk struct {
	rest   []byte
	leaves []ledger.Leaf
	paths  int
}

// value reads one value at path; it reports false when the bounds are reached.
func (w *walk) value(path string, depth int) bool {
	if w.paths += len(path); depth > maxDepth || w.paths > maxPathBytes {
		return false
	}
	w.space()
	switch w.rest[0] {
	case '{', '[':
		return w.members(path, depth, w.take(1)[0] == '{')
	case '"':
		w.leaf(path, w.text())
	default: // a number keeps its digits
		n := bytes.IndexAny(w.rest, ",]} \t\r\n")
		w.leaf(path, string(w.take(n)))
	}
	return true
}

// members reads the values of an object or array, behind its bracket.
func (w *walk) members(path string, depth int, object bool) bool {
	for {
		w.space()
		switch w.rest[0] {
		case '}', ']':
			w.take(1)
			return true
		case ',':
			w.take(1)
			w.space()
		}
		at := path
		if object {
			at = join(path, w.text())
			w.space()
			w.take(1) // the colon
		}
		if !w.value(at, depth+1) {
			return false
		}
	}
}

func (w *walk) leaf(path, value string) {
	w.leaves = append(w.leaves, ledger.Leaf{Path: path, Value: value})
}

func (w *walk) take(n int) []byte {
	taken := w.rest[:n]
	w.rest = w.rest[n:]
	return taken
}

func (w *walk) space() { w.rest = bytes.TrimLeft(w.rest, " \t\r\n") }

// text reads a string. Escapes, and bytes that are no UTF-8, are read as encoding/json reads them.
func (w *walk) text() string {
	n, plain := 1, true
	for ; w.rest[n] != '"'; n++ {
		if w.rest[n] == '\\' {
			plain = false
			n++
		}
	}
	quoted := w.take(n + 1)
	if plain && utf8.Valid(quoted) {
		return string(quoted[1:n])
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return "" // not of a valid text
	}
	return s
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
