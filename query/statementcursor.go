package query

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"permanode/ledger"
)

// sortStatement is the order of a statement's lines.
const sortStatement = 3

// spotCursor names the last line given, and the end of the period: units that come in while a statement is read page by
// page do not belong to it. The zero cursor is the beginning.
type spotCursor struct {
	network string
	owner   int
	spot    spot
	given   int // lines of the spot, from the first one on
	end     point
}

const (
	spotFree   = 1 << iota // spot.free
	spotOutput             // there is a spot.output
)

// text writes base64url(version, sort, length and name of the network, reading, flags, time, ordinal, lines given, end
// of the period, output, question).
func (c spotCursor) text(s *sheet, q [questionLen]byte) string {
	raw := append([]byte{cursorVersion, sortStatement, byte(len(c.network))}, c.network...)
	flags := byte(0)
	if c.spot.free {
		flags |= spotFree
	}
	if c.spot.output != "" {
		flags |= spotOutput
	}
	ord := c.spot.ord.Bytes()
	raw = append(raw, byte(c.owner), flags)
	raw = binary.BigEndian.AppendUint64(raw, uint64(c.spot.ms))
	raw = append(raw, ord[:]...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(c.given))
	raw = binary.BigEndian.AppendUint64(raw, s.end.next)
	raw = binary.BigEndian.AppendUint64(raw, uint64(s.end.ms))
	raw = append(raw, c.spot.output...)
	return base64.RawURLEncoding.EncodeToString(append(raw, q[:]...))
}

// parseSpotCursor is the inverse of text, for the same question; "" is the beginning. Errors wrap ErrBadCursor.
func parseSpotCursor(text string, q [questionLen]byte) (c spotCursor, err error) {
	const fixed = 1 + 1 + 8 + ledger.OrdLen + 4 + 8 + 8
	if text == "" {
		return c, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") || len(raw) < 3 || len(raw) < 3+int(raw[2])+fixed+questionLen {
		return c, fmt.Errorf("%s: %w: it was cut or made up", Quote(text), ErrBadCursor)
	}
	rest, asked := raw[3+raw[2]:len(raw)-questionLen], raw[len(raw)-questionLen:]
	if raw[0] != cursorVersion || raw[1] != sortStatement || !bytes.Equal(asked, q[:]) {
		return c, fmt.Errorf("%s: %w", Quote(text), ErrBadCursor)
	}
	c = spotCursor{network: string(raw[3 : 3+raw[2]]), owner: int(rest[0])}
	flags := rest[1]
	c.spot.free = flags&spotFree != 0
	c.spot.ms = int64(binary.BigEndian.Uint64(rest[2:]))
	c.spot.ord = ledger.OrdFrom(rest[10:])
	rest = rest[10+ledger.OrdLen:]
	c.given = int(binary.BigEndian.Uint32(rest))
	c.end = point{binary.BigEndian.Uint64(rest[4:]), int64(binary.BigEndian.Uint64(rest[12:]))}
	c.spot.output = string(rest[20:])
	if c.given == 0 || (flags&spotOutput != 0) != (c.spot.output != "") {
		return spotCursor{}, fmt.Errorf("%s: %w", Quote(text), ErrBadCursor)
	}
	return c, nil
}

// resume sets the end of the period back to where it was on the page before. Errors wrap ErrBadCursor if it was not there.
func (a *Archive) resume(ctx context.Context, s *sheet, at spotCursor) error {
	if !s.known || at.end.next < s.open.next || at.end.next > s.end.next || at.end.ms < s.open.ms || at.end.ms > s.end.ms {
		return ErrBadCursor
	}
	if at.end == s.end {
		return nil
	}
	if at.end.next > s.span.Lo { // it was the newest unit then, or the period's last one
		ms, err := a.timeOf(ctx, s.n, at.end.next-1)
		if err != nil {
			return err
		}
		if at.end.ms < ms {
			return ErrBadCursor
		}
	}
	s.end = at.end
	if s.closing == nil {
		return nil
	}
	var err error
	s.closing, err = a.heldBy(ctx, s, s.end)
	return err
}
