// Package jsonleaf reads the scalars of JSON texts that people wrote into records. Whatever is no JSON object or
// array has none; it does no I/O and never fails.
package jsonleaf

import (
	"bytes"
	"encoding/json"

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
	w := walk{dec: json.NewDecoder(bytes.NewReader(trimmed))}
	w.dec.UseNumber() // a number keeps its digits
	if !w.value("", 0) {
		return nil
	}
	return w.leaves
}

type walk struct {
	dec    *json.Decoder
	leaves []ledger.Leaf
	paths  int
}

// value reads one value at path; it reports false when the bounds are reached.
func (w *walk) value(path string, depth int) bool {
	tok, err := w.dec.Token()
	if w.paths += len(path); err != nil || depth > maxDepth || w.paths > maxPathBytes {
		return false
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		w.leaves = append(w.leaves, ledger.Leaf{Path: path, Value: scalar(tok)})
		return true
	}
	for w.dec.More() {
		at := path
		if delim == '{' {
			key, err := w.dec.Token()
			if err != nil {
				return false
			}
			at = join(path, key.(string))
		}
		if !w.value(at, depth+1) {
			return false
		}
	}
	_, err = w.dec.Token()
	return err == nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func scalar(tok json.Token) string {
	switch v := tok.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return "null"
}
