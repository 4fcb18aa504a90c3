package stardust

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"permanode/ledger"
)

// The bounds of what is read from a payload. Beyond them a payload is text and no more: nothing of it is
// shortened.
const (
	maxUnpacked  = 256 << 10 // bytes that a compressed payload may unpack to
	maxDepth     = 64        // levels of a JSON text
	maxPathBytes = 1 << 20   // sum of the paths of a JSON text's members
)

// readText returns what a person can read in a payload: its text if it is UTF-8 and shows anything, and
// the leaves if that is one JSON object or array. A gzip stream and an IOTA DID document are read by what
// is inside. Whatever merely resembles a form is text, or nothing.
func readText(data []byte) (string, []ledger.Leaf) {
	if inside, ok := unpack(data); ok {
		data = inside
	}
	if inside, ok := didDocument(data); ok {
		data = inside
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return "", nil
	}
	text := string(data)
	if strings.IndexFunc(text, shows) < 0 {
		return "", nil
	}
	return text, jsonLeaves(data)
}

// shows reports whether a character leaves ink.
func shows(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != utf8.RuneError }

// unpack reads a gzip stream that is whole and small.
func unpack(data []byte) ([]byte, bool) {
	if len(data) < 18 || data[0] != 0x1f || data[1] != 0x8b {
		return nil, false
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	out, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	return out, err == nil && len(out) <= maxUnpacked
}

// didDocument returns the JSON text of a DID document: "DID", version 1, encoding 0 (JSON), u16 length.
func didDocument(data []byte) ([]byte, bool) {
	const head = 3 + 1 + 1 + 2
	if len(data) < head || string(data[:5]) != "DID\x01\x00" || int(binary.LittleEndian.Uint16(data[5:])) != len(data)-head {
		return nil, false
	}
	return data[head:], true
}

// jsonLeaves returns the scalars of a JSON object or array in their order, repeated keys included; nil if
// data is anything else.
func jsonLeaves(data []byte) []ledger.Leaf {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' || !json.Valid(trimmed) {
		return nil
	}
	w := leafWalk{dec: json.NewDecoder(bytes.NewReader(trimmed))}
	w.dec.UseNumber() // a number keeps its digits
	if !w.value("", 0) {
		return nil
	}
	return w.leaves
}

type leafWalk struct {
	dec    *json.Decoder
	leaves []ledger.Leaf
	paths  int
}

// value reads one value at path; it reports false when the bounds are reached.
func (w *leafWalk) value(path string, depth int) bool {
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
			at = joinPath(path, key.(string))
		}
		if !w.value(at, depth+1) {
			return false
		}
	}
	_, err = w.dec.Token()
	return err == nil
}

func joinPath(path, key string) string {
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
