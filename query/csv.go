package query

import (
	"bufio"
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
const TextRule = "Somebody else's text. It begins with an apostrophe where its first visible character is = + - @, a tab, a line break, or a fullwidth form of those. " +
	"Bytes that are no readable text (no UTF-8, control characters) stand as 0x hex. The column beside has the exact bytes in hex."

// table writes CSV: RFC 4180 with a header row and CRLF, UTF-8 without byte order mark. Cells are given from left to
// right; end ends a row. It keeps the first error of its writer for end and close.
type table struct {
	buf     *bufio.Writer
	sum     hash.Hash
	columns []Column
	row     []byte
	cells   int
	rows    uint64 // without the header
}

// tableBuffer is how much goes out at once.
const tableBuffer = 64 << 10

func newTable(w io.Writer, columns []Column) *table {
	t := &table{sum: sha256.New(), columns: columns}
	t.buf = bufio.NewWriterSize(io.MultiWriter(w, t.sum), tableBuffer)
	for _, c := range columns {
		t.word(c.Name)
	}
	t.row = append(t.row, '\r', '\n')
	_, _ = t.buf.Write(t.row) // which keeps its error
	t.row, t.cells = t.row[:0], 0
	return t
}

// null writes an empty cell.
func (t *table) null() {
	if t.cells > 0 {
		t.row = append(t.row, ',')
	}
	t.cells++
}

// word writes what this program made: an id, an address, a state, a time.
func (t *table) word(s string) {
	t.null()
	if !strings.ContainsAny(s, "\",\r\n") {
		t.row = append(t.row, s...)
		return
	}
	t.row = append(t.row, '"')
	for i := range len(s) {
		if s[i] == '"' {
			t.row = append(t.row, '"')
		}
		t.row = append(t.row, s[i])
	}
	t.row = append(t.row, '"')
}

// text writes somebody else's text, neutralised.
func (t *table) text(s string) { t.word(neutral(s)) }

// uint writes a number.
func (t *table) uint(n uint64) {
	t.null()
	t.row = strconv.AppendUint(t.row, n, 10)
}

// digits writes an amount: decimal digits, behind a minus where it is negative.
func (t *table) digits(s string) {
	t.null()
	t.row = append(t.row, s...)
}

// bytes writes two cells: bytes as text where they are readable, and in hex. Without any, both are empty; of no bytes the
// second is 0x.
func (t *table) bytes(b []byte, has bool) {
	switch {
	case !has:
		t.null()
	case readable(b):
		t.text(string(b))
	default:
		t.hex(b)
	}
	if !has {
		t.null()
		return
	}
	t.hex(b)
}

func (t *table) hex(b []byte) {
	t.null()
	t.row = hex.AppendEncode(append(t.row, '0', 'x'), b)
}

// end ends a row.
func (t *table) end() error {
	if t.cells != len(t.columns) {
		return fmt.Errorf("row %d has %d cells, the table %d columns", t.rows+1, t.cells, len(t.columns))
	}
	t.row = append(t.row, '\r', '\n')
	_, err := t.buf.Write(t.row)
	t.row, t.cells = t.row[:0], 0
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

// neutral returns s so that no program takes it for a formula.
func neutral(s string) string {
	seen := strings.TrimLeftFunc(s, invisible)
	if first, _ := utf8.DecodeRuneInString(seen); seen != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}

// invisible reports format characters, such as a byte order mark: programs drop them.
func invisible(r rune) bool { return unicode.Is(unicode.Cf, r) }

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
