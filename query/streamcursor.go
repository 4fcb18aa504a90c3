package query

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"permanode/ledger"
)

// sortStream marks the cursor of a stream, which names a place in each network.
const sortStream = 3

// marks are the places of a stream: for each of its networks, by their order, the first place that was not looked at.
type marks []ledger.Ord

// behindOrd is the first place behind ord.
func behindOrd(ord ledger.Ord) ledger.Ord {
	if ord.Pos == ledger.UnitPos {
		return ledger.Ord{Seq: ord.Seq + 1}
	}
	return ledger.Ord{Seq: ord.Seq, Pos: ord.Pos + 1}
}

// beforeOrd is the last place before ord; nil: there is none.
func beforeOrd(ord ledger.Ord) *ledger.Ord {
	switch {
	case ord.Pos > 0:
		return &ledger.Ord{Seq: ord.Seq, Pos: ord.Pos - 1}
	case ord.Seq > 0:
		return &ledger.Ord{Seq: ord.Seq - 1, Pos: ledger.UnitPos}
	}
	return nil
}

// streamQuestion is the part of a stream's cursor that ties it to what was asked. network is "" for all of them.
func streamQuestion(text, network string) [questionLen]byte { return question("stream", text, network) }

// cursor writes base64url(version, sort, number of networks, for each the length of its name, its name and its mark,
// question).
func (m marks) cursor(networks []Network, q [questionLen]byte) string {
	raw := make([]byte, 0, 3+len(m)*(1+16+ledger.OrdLen)+questionLen)
	raw = append(raw, cursorVersion, sortStream, byte(len(m)))
	for i, n := range networks {
		ord := m[i].Bytes()
		raw = append(append(raw, byte(len(n.Name))), n.Name...)
		raw = append(raw, ord[:]...)
	}
	return base64.RawURLEncoding.EncodeToString(append(raw, q[:]...))
}

// parseMarks is the inverse of cursor. A network that the cursor does not name came later: it begins at its beginning.
// Errors wrap ErrBadCursor.
func parseMarks(text string, networks []Network, q [questionLen]byte) (marks, error) {
	madeUp := fmt.Errorf("%s: %w: it was cut or made up", Quote(text), ErrBadCursor)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(raw) < 3+questionLen {
		return nil, madeUp
	}
	if raw[0] != cursorVersion || raw[1] != sortStream || !bytes.HasSuffix(raw, q[:]) {
		return nil, fmt.Errorf("%s: %w", Quote(text), ErrBadCursor)
	}
	m, rest := make(marks, len(networks)), raw[3:len(raw)-questionLen]
	var named []string
	for range raw[2] {
		if len(rest) == 0 || len(rest) < 1+int(rest[0])+ledger.OrdLen {
			return nil, madeUp
		}
		name := string(rest[1 : 1+rest[0]])
		rest = rest[1+len(name):]
		ord := ledger.OrdFrom(rest)
		rest = rest[ledger.OrdLen:]
		i := slices.IndexFunc(networks, func(n Network) bool { return n.Name == name })
		if i < 0 || slices.Contains(named, name) {
			return nil, fmt.Errorf("%s: %w", Quote(text), ErrBadCursor)
		}
		named = append(named, name)
		m[i] = ord
	}
	if len(rest) > 0 {
		return nil, madeUp
	}
	return m, nil
}
