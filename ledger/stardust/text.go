package stardust

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"permanode/ledger"
	"permanode/ledger/jsonleaf"
)

// maxUnpacked is how many bytes a compressed payload may unpack to. Beyond it a payload is bytes and no more: nothing
// of it is shortened.
const maxUnpacked = 256 << 10

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
	return text, jsonleaf.Read(data)
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
