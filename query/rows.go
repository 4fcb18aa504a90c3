package query

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"

	"permanode/ledger"
)

// rowSink takes the rows of an export in one format.
type rowSink interface {
	write(*Row) error
	count() uint64 // rows so far
	end() error    // ends what is whole
	flush() error  // hands over what there is, without an end
	result() Exported
}

func newSink(format string, w io.Writer) rowSink {
	if format == CSV {
		return &tableRows{newTable(w, ExportColumns)}
	}
	return newLines(w)
}

// lines writes rows as NDJSON and the last line with their hash.
type lines struct {
	buf          *bufio.Writer
	sum          hash.Hash
	json         *json.Encoder
	rows, unread uint64
}

func newLines(w io.Writer) *lines {
	l := &lines{buf: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	l.json = json.NewEncoder(io.MultiWriter(l.buf, l.sum))
	l.json.SetEscapeHTML(false)
	return l
}

func (l *lines) write(r *Row) error {
	if err := l.json.Encode(r); err != nil {
		return fmt.Errorf("write row %d: %w", l.rows+1, err)
	}
	l.rows++
	if r.Undecoded != nil {
		l.unread++
	}
	return nil
}

func (l *lines) count() uint64 { return l.rows }

func (l *lines) result() Exported { return Exported{l.rows, hex.EncodeToString(l.sum.Sum(nil))} }

func (l *lines) flush() error {
	if err := l.buf.Flush(); err != nil {
		return fmt.Errorf("write the last lines: %w", err)
	}
	return nil
}

func (l *lines) end() error {
	done := l.result()
	line, err := json.Marshal(struct {
		End    bool   `json:"_end"`
		Rows   uint64 `json:"rows"`
		SHA256 string `json:"sha256"`
		Unread uint64 `json:"undecoded,omitempty"`
	}{true, done.Rows, done.SHA256, l.unread})
	if err == nil {
		_, err = l.buf.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the last line: %w", err)
	}
	return l.flush()
}

// ExportColumns are the columns of an export in CSV.
var ExportColumns = []Column{
	{"network", "word", "", "The network's name in this archive."},
	{"seq", "integer", "unit number", "The number of the unit that confirmed the record."},
	{"pos", "integer", "place in the unit, from 0", "The record's place in its unit. Empty where the row is of what the unit did itself."},
	{"id", "word", "", "The record's id as the era's own API writes it."},
	{"state", "word", "", "What became of the record. Empty for a unit."},
	{"reason", "integer", "", "The protocol's conflict code. Empty unless the state is conflicting."},
	{"basis", "word", "", "Why the row is believed: root, path or claim."},
	{"kind", "word", "", "What the record is."},
	{"time_utc", "time", "RFC 3339, UTC", "The signed time of the unit."},
	{"tag", "text", "", "The record's first tag. " + TextRule},
	{"tag_hex", "hex", "", "The bytes of that tag. Empty: there is none; 0x: a tag of no bytes."},
	{"addresses", "word", "", "The addresses named in the record's own bytes, sorted, with spaces between."},
	{"sha256", "word", "", "SHA-256, in hex, of the record's exact received bytes."},
	{"payloads", "integer", "", "How many payloads the record carries. Those behind the first are not in the table: ask for the record."},
	{"payload", "text", "", "The record's first payload. " + TextRule},
	{"payload_hex", "hex", "", "The bytes of that payload. Empty: there is none; 0x: a payload of no bytes."},
	{"undecoded", "text", "", "Why this version could not read all of the record; its tag, addresses and payloads may be missing then. Empty: it could."},
}

// tableRows writes rows as CSV.
type tableRows struct{ t *table }

func (c *tableRows) count() uint64    { return c.t.rows }
func (c *tableRows) result() Exported { return Exported{c.t.rows, c.t.sha256()} }
func (c *tableRows) flush() error     { return c.t.close() }
func (c *tableRows) end() error       { return c.t.close() }

func (c *tableRows) write(r *Row) error {
	t, reason := c.t, ""
	if r.Undecoded != nil {
		reason = r.Undecoded.Reason
	}
	t.word(r.Network)
	t.uint(r.Seq)
	if r.Pos == ledger.UnitPos {
		t.null()
	} else {
		t.uint(uint64(r.Pos))
	}
	t.word(r.ID)
	t.word(r.State)
	if r.Reason == nil {
		t.null()
	} else {
		t.uint(uint64(*r.Reason))
	}
	t.word(r.Basis)
	t.word(r.Kind)
	t.word(r.Time)
	t.bytes(r.tag, r.Tag != nil)
	t.word(strings.Join(r.Addresses, " "))
	t.word(r.SHA256)
	t.uint(uint64(r.payloads))
	t.bytes(r.payload, r.payloads > 0)
	t.text(reason)
	return t.end()
}
