package query

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Column describes one column of a table in CSV.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // "text", "word", "integer", "time" or "hex"
	Unit string `json:"unit"` // of an integer or time; "" for none
	Rule string `json:"rule"` // what stands there, in a sentence
}

// TextRule is how cells of the type "text" are written: what somebody else wrote must not become a formula where the
// table is opened.
const TextRule = "Somebody else's text. It begins with an apostrophe where its first visible character is = + - @ or another form of those (fullwidth, small, superscript, subscript, minus), " +
	"and where a tab or a line break stands before its first visible character; spaces, blanks and format characters are not visible. " +
	"Bytes that are no readable text (no UTF-8, control characters) stand as 0x hex. The column beside has the exact bytes in hex."

// table writes CSV: RFC 4180 with a header row and CRLF, UTF-8 without byte order mark. Cells are given from left to
// right; end ends a row. It keeps the first error of its writer for end and close.
type table struct {
	cells
	buf     *bufio.Writer
	sum     hash.Hash
	columns []Column
	rows    uint64 // without the header
}

// cells is a row that is being written, or several.
type cells struct {
	row []byte
	n   int // cells of the last of them
}

// tableBuffer is how much goes out at once.
const tableBuffer = 64 << 10

func newTable(w io.Writer, columns []Column) *table {
	t := &table{sum: sha256.New(), columns: columns}
	t.buf = bufio.NewWriterSize(io.MultiWriter(w, t.sum), tableBuffer)
	t.header(columns)
	_, _ = t.buf.Write(t.row) // which keeps its error
	t.row = t.row[:0]
	return t
}

// header writes the names of columns.
func (c *cells) header(columns []Column) {
	for _, column := range columns {
		c.word(column.Name)
	}
	_ = c.endRow(columns) // there are as many
}

// endRow ends a row.
func (c *cells) endRow(columns []Column) error {
	if c.n != len(columns) {
		return fmt.Errorf("a row has %d cells, its table %d columns", c.n, len(columns))
	}
	c.row, c.n = append(c.row, '\r', '\n'), 0
	return nil
}

// null writes an empty cell.
func (c *cells) null() {
	if c.n > 0 {
		c.row = append(c.row, ',')
	}
	c.n++
}

// word writes what this program made: an id, an address, a state, a time.
func (c *cells) word(s string) {
	c.null()
	c.row = appendCell(c.row, "", s)
}

// text writes somebody else's text, neutralised.
func (c *cells) text(b []byte) {
	c.null()
	c.row = appendCell(c.row, mark(b), b)
}

// appendCell appends a cell, mark and s, in quotes where a table needs them.
func appendCell[T string | []byte](row []byte, mark string, s T) []byte {
	at := 0
	for at < len(s) && !quoted[s[at]] {
		at++
	}
	if at == len(s) {
		return append(append(row, mark...), s...)
	}
	row = append(append(row, '"'), mark...)
	from := 0
	for i := at; i < len(s); i++ {
		if s[i] == '"' {
			row, from = append(append(row, s[from:i+1]...), '"'), i+1
		}
	}
	return append(append(row, s[from:]...), '"')
}

// quoted are the bytes that only stand within quotes.
var quoted = [256]bool{'"': true, ',': true, '\r': true, '\n': true}

// uint writes a number.
func (c *cells) uint(n uint64) {
	c.null()
	c.row = strconv.AppendUint(c.row, n, 10)
}

// digits writes an amount: decimal digits, behind a minus where it is negative.
func (c *cells) digits(s string) {
	c.null()
	c.row = append(c.row, s...)
}

// bytes writes two cells: bytes as text where they are readable, and in hex. Without any, both are empty; of no bytes the
// second is 0x.
func (c *cells) bytes(b []byte, has bool) {
	switch {
	case !has:
		c.null()
	case readable(b):
		c.text(b)
	default:
		c.hex(b)
	}
	if !has {
		c.null()
		return
	}
	c.hex(b)
}

func (c *cells) hex(b []byte) {
	c.null()
	c.row = hex.AppendEncode(append(c.row, '0', 'x'), b)
}

// end ends a row.
func (t *table) end() error {
	if err := t.endRow(t.columns); err != nil {
		return err
	}
	_, err := t.buf.Write(t.row)
	t.row = t.row[:0]
	if err != nil {
		return fmt.Errorf("write row %d: %w", t.rows+1, err)
	}
	t.rows++
	return nil
}

// close hands over what is still held back.
func (t *table) close() error {
	if err := t.buf.Flush(); err != nil {
		return fmt.Errorf("write the last rows: %w", err)
	}
	return nil
}

// sha256 returns the hash, in hex, of all that close and the rows before it wrote.
func (t *table) sha256() string { return hex.EncodeToString(t.sum.Sum(nil)) }

// signs begin a formula, or a number, in some program, or when a program has brought text to one form (NFKC) first.
const signs = "=+-@" + "＝＋－＠" + "﹦﹢﹣﹫" + "⁼⁺⁻" + "₌₊₋" + "−﬩⩵⩶"

// mark returns what must stand before b so that no program takes it for a formula, not even one that drops what is not
// visible around a cell.
func mark(b []byte) string {
	seen := bytes.TrimLeftFunc(b, invisible)
	first, _ := utf8.DecodeRune(seen)
	if len(seen) > 0 && strings.ContainsRune(signs, first) || bytes.ContainsAny(b[:len(b)-len(seen)], "\t\r\n") {
		return "'"
	}
	return ""
}

// invisible reports white space, format characters such as a byte order mark, and characters without ink of other kinds:
// programs drop them.
func invisible(r rune) bool {
	const blank = '\u2800' // of Braille
	if r < utf8.RuneSelf {
		return strings.ContainsRune(" \t\r\n", r)
	}
	return r == blank || unicode.In(r, unicode.White_Space, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// readable reports whether b is text that one can look at.
func readable(b []byte) bool {
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || unicode.Is(unicode.Cc, r) {
			return false
		}
		i += n
	}
	return true
}
