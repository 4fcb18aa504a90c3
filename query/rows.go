package query

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"permanode/ledger"
)

// rowFormat writes rows as bytes. It is safe for concurrent use.
type rowFormat interface {
	// begin returns what stands before the first row.
	begin() []byte
	// appendRow appends a row to dst.
	appendRow(dst []byte, r *Row) ([]byte, error)
	// end returns what stands behind the last row, and no hash covers.
	end(done Exported, undecoded uint64) ([]byte, error)
}

func formatOf(name string) rowFormat {
	if name == CSV {
		return csvRows{}
	}
	return ndjsonRows{}
}

// rowBuffer is how much of an export goes out at once.
const rowBuffer = 64 << 10

// rowWriter puts an export together.
type rowWriter struct {
	format          rowFormat
	buf             *bufio.Writer
	sum             hash.Hash
	rows, undecoded uint64
}

func newRowWriter(format rowFormat, w io.Writer) *rowWriter {
	out := &rowWriter{format: format, buf: bufio.NewWriterSize(w, rowBuffer), sum: sha256.New()}
	_ = out.put(block{bytes: format.begin()}) // the buffer keeps its error
	return out
}

// block is rows that were written as bytes.
type block struct {
	bytes           []byte
	rows, undecoded uint64
}

// add writes a row behind the others.
func (b *block) add(format rowFormat, r *Row) (err error) {
	if b.bytes, err = format.appendRow(b.bytes, r); err != nil {
		return fmt.Errorf("write the row of record %s of %s: %w", r.ID, r.Network, err)
	}
	b.rows++
	if r.Undecoded != nil {
		b.undecoded++
	}
	return nil
}

func (w *rowWriter) put(b block) error {
	w.sum.Write(b.bytes)
	if _, err := w.buf.Write(b.bytes); err != nil {
		return fmt.Errorf("write row %d: %w", w.rows+1, err)
	}
	w.rows += b.rows
	w.undecoded += b.undecoded
	return nil
}

func (w *rowWriter) result() Exported { return Exported{w.rows, hex.EncodeToString(w.sum.Sum(nil))} }

// flush hands over what there is, without an end.
func (w *rowWriter) flush() error {
	if err := w.buf.Flush(); err != nil {
		return fmt.Errorf("write the last rows: %w", err)
	}
	return nil
}

// end ends what is whole.
func (w *rowWriter) end() error {
	tail, err := w.format.end(w.result(), w.undecoded)
	if err == nil {
		_, err = w.buf.Write(tail)
	}
	if err != nil {
		return fmt.Errorf("write the end: %w", err)
	}
	return w.flush()
}

// ndjsonRows is one JSON object a line, as encoding/json writes it, and a last line with the hash of all others.
type ndjsonRows struct{}

func (ndjsonRows) begin() []byte { return nil }

func (ndjsonRows) end(done Exported, undecoded uint64) ([]byte, error) {
	line, err := json.Marshal(struct {
		End       bool   `json:"_end"`
		Rows      uint64 `json:"rows"`
		SHA256    string `json:"sha256"`
		Undecoded uint64 `json:"undecoded,omitempty"`
	}{true, done.Rows, done.SHA256, undecoded})
	return append(line, '\n'), err
}

func (ndjsonRows) appendRow(dst []byte, r *Row) ([]byte, error) {
	text := func(name, value string) {
		dst = append(append(dst, name...), ':')
		dst = appendJSONText(dst, value)
	}
	text(`{"network"`, r.Network)
	dst = strconv.AppendUint(append(dst, `,"seq":`...), r.Seq, 10)
	if dst = append(dst, `,"pos":`...); r.Pos == ledger.UnitPos {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, uint64(r.Pos), 10)
	}
	text(`,"id"`, r.ID)
	text(`,"state"`, r.State)
	if dst = append(dst, `,"reason":`...); r.Reason == nil {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendUint(dst, uint64(*r.Reason), 10)
	}
	text(`,"basis"`, r.Basis)
	text(`,"kind"`, r.Kind)
	text(`,"time"`, r.Time)
	if r.Tag == nil {
		dst = append(dst, `,"tag":null`...)
	} else {
		text(`,"tag"`, *r.Tag)
	}
	dst = append(dst, `,"addresses":[`...)
	for i, address := range r.Addresses {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONText(dst, address)
	}
	dst = append(dst, ']')
	text(`,"sha256"`, r.SHA256)
	if r.Undecoded != nil {
		dst = appendJSON(append(dst, `,"undecoded":`...), r.Undecoded)
	}
	return append(dst, "}\n"...), nil
}

// appendJSONText appends s in quotes.
func appendJSONText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendJSON(dst, s)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// appendJSON appends a value of texts and numbers.
func appendJSON(dst []byte, v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // texts and numbers can be
	return append(dst, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
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
	{"payloads", "integer", "", "How many payloads the record carries; content of no bytes is none. Those behind the first are not in the table: ask for the record."},
	{"payload", "text", "", "The record's first payload. " + TextRule},
	{"payload_hex", "hex", "", "The bytes of that payload. Empty: there is none."},
	{"undecoded", "text", "", "Why this version could not read all of the record; its tag, addresses and payloads may be missing then. Empty: it could."},
}

// csvRows is a table, and nothing behind it.
type csvRows struct{}

func (csvRows) begin() []byte {
	var c cells
	c.header(ExportColumns)
	return c.row
}

func (csvRows) end(Exported, uint64) ([]byte, error) { return nil, nil }

func (csvRows) appendRow(dst []byte, r *Row) ([]byte, error) {
	c, reason := cells{row: dst}, ""
	if r.Undecoded != nil {
		reason = r.Undecoded.Reason
	}
	c.word(r.Network)
	c.uint(r.Seq)
	if r.Pos == ledger.UnitPos {
		c.null()
	} else {
		c.uint(uint64(r.Pos))
	}
	c.word(r.ID)
	c.word(r.State)
	if r.Reason == nil {
		c.null()
	} else {
		c.uint(uint64(*r.Reason))
	}
	c.word(r.Basis)
	c.word(r.Kind)
	c.word(r.Time)
	c.bytes(r.tag, r.Tag != nil)
	c.word(strings.Join(r.Addresses, " "))
	c.word(r.SHA256)
	c.uint(uint64(r.payloads))
	c.bytes(r.payload, r.payloads > 0)
	c.text([]byte(reason))
	err := c.endRow(ExportColumns)
	return c.row, err
}
