package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"permanode/ledger"
)

const (
	cursorVersion   = 2
	sortOldestFirst = 1 // also of lists in the order of network names
	sortNewestFirst = 2
	questionLen     = 8
)

// place is the last row given to an asker.
type place struct {
	network string
	ord     ledger.Ord
}

// from returns where a list of network continues: behind the place in its own network, else at the beginning.
func (p place) from(network string) ledger.Ord {
	if p.network != network {
		return ledger.Ord{}
	}
	return ordFloor(p.ord)
}

// question returns the part of a cursor that ties it to what was asked.
func question(parts ...string) [questionLen]byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return [questionLen]byte(sum[:questionLen])
}

// cursor writes base64url(version, sort, length and name of the network, ordinal, question). It grants nothing, so
// it carries no MAC.
func (p place) cursor(sort byte, q [questionLen]byte) string {
	raw := append([]byte{cursorVersion, sort, byte(len(p.network))}, p.network...)
	ord := p.ord.Bytes()
	raw = append(raw, ord[:]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, q[:]...))
}

// parseCursor is the inverse of cursor, for the same order and question; "" is the beginning. Errors wrap ErrBadCursor.
func parseCursor(text string, sort byte, q [questionLen]byte) (place, error) {
	if text == "" {
		return place{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || // which the decoder passes over
		len(raw) < 3 || len(raw) != 3+int(raw[2])+ledger.OrdLen+questionLen {
		return place{}, fmt.Errorf("%s: %w: it was cut or made up", Quote(text), ErrBadCursor)
	}
	name, rest := raw[3:3+raw[2]], raw[3+raw[2]:]
	if raw[0] != cursorVersion || raw[1] != sort || !bytes.Equal(rest[ledger.OrdLen:], q[:]) {
		return place{}, fmt.Errorf("%s: %w", Quote(text), ErrBadCursor)
	}
	return place{string(name), ledger.OrdFrom(rest)}, nil
}
