package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strconv"
	"strings"

	"permanode/query"
	"permanode/storage"
)

// Export says what to export.
type Export struct {
	Query   string // docs/query.md; empty: every record in coverage
	Network string // empty: all
	Format  string // query.NDJSON, also if empty, or query.CSV
	After   string // the place of the last row that is there already, NETWORK/SEQ/POS; "" from the beginning

	Progress func(rows uint64) // told how many rows came so far; may be nil
}

// Export writes rows to w as they come: the bytes that permanode export writes. Each answer is compared with the number of
// rows and the hash that the service says. One that breaks off is gone on with behind the last whole row, as long as
// rows come; w sees one export, and NDJSON one last line, over all of its bytes.
//
// Over a gap it finishes and then fails with an error that wraps storage.ErrIncomplete and names it. Where the service did
// not search all that it holds the error is an *query.UnsearchedError, and there is no last line.
func (c *Client) Export(ctx context.Context, e Export, w io.Writer) (query.Exported, error) {
	if e.Format == "" {
		e.Format = query.NDJSON
	}
	x := &exporting{Export: e, sum: sha256.New(), left: map[string]bool{}, out: bufio.NewWriterSize(w, 64<<10)}
	idle := 0 // answers in a row that broke off without a row
	for {
		before := x.rows
		missing, err := c.exportOnce(ctx, x)
		var broken *NoServiceError
		switch {
		case err == nil:
			return x.end(missing)
		case !errors.As(err, &broken) || x.failed != nil || !x.began:
			return x.result(), errors.Join(err, x.flush())
		}
		if idle++; x.rows > before {
			idle = 1
		}
		if idle >= c.attempts {
			return x.result(), errors.Join(err, x.flush())
		}
		if stop := c.wait(ctx, pause(idle, 0)); stop != nil {
			return x.result(), errors.Join(stop, x.flush())
		}
	}
}

// exporting is an export over one answer or several.
type exporting struct {
	Export
	out     *bufio.Writer
	failed  error // of w
	began   bool  // an answer came
	headed  bool  // the heading is written
	sum     hash.Hash
	rows    uint64
	unread  uint64          // rows that the service could not read whole
	word    []byte          // of the last row, up to its first comma
	network string          // of the last row, or of the one that was there before
	left    map[string]bool // the networks before it
	ended   *endLine        // of the answer that is read
}

// rowFormat knows the rows of a format.
type rowFormat interface {
	// next reads the next row from r, with its line end. head: it stands before the rows. It returns io.EOF at the end
	// and io.ErrUnexpectedEOF within a row.
	next(r *bufio.Reader) (row []byte, head bool, err error)
	// place returns the place of a row.
	place(row []byte) (place, error)
}

// place is where a row stands in an export.
type place struct {
	network string
	seq     uint64
	pos     int64 // -1: the row is of what the unit did itself
}

// String is the place as After takes it.
func (p place) String() string {
	if p.pos < 0 {
		return fmt.Sprintf("%s/%d", p.network, p.seq)
	}
	return fmt.Sprintf("%s/%d/%d", p.network, p.seq, p.pos)
}

// placeOf reads three words; pos may be empty.
func placeOf(network, seq, pos string) (p place, err error) {
	p = place{network: network, pos: -1}
	p.seq, err = strconv.ParseUint(seq, 10, 64)
	if err == nil && pos != "" {
		var n uint64
		n, err = strconv.ParseUint(pos, 10, 32)
		p.pos = int64(n)
	}
	if err != nil || network == "" {
		return p, fmt.Errorf("%w: a row has no place", errForm)
	}
	return p, nil
}

// behind reports that a row at p may stand behind one at before, of the same network.
func (p place) behind(before place) bool {
	if p.seq != before.seq || p.pos < 0 || before.pos < 0 {
		return p.seq >= before.seq && p != before
	}
	return p.pos > before.pos
}

// maxRow is the length of the longest row: a record that could not be read has all its bytes in it, in hex.
const maxRow = 64 << 20

// errForm says that rows are not what this version reads.
var errForm = errors.New("the export is not what this version reads")

// exportOnce takes the rows of one answer. It returns what the service says is missing.
func (c *Client) exportOnce(ctx context.Context, x *exporting) (missing error, err error) {
	a, err := c.send(ctx, call{path: "/v1/export", params: x.params(), accept: x.media(), flows: exportIdle})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	x.began, x.ended = true, nil
	part := &part{sum: sha256.New(), format: x.newFormat()}
	err = x.take(bufio.NewReaderSize(a, 64<<10), part)
	if err == nil {
		missing, err = x.judge(a, part)
	}
	if err == io.ErrUnexpectedEOF {
		err = a.broken(err)
	}
	unsearched := a.Header.Get("X-Unsearched") // such an answer breaks off behind its last row
	switch {
	case err == nil:
		return missing, nil
	case part.last == nil && unsearched != "" && errors.Is(err, io.ErrUnexpectedEOF):
		return &query.UnsearchedError{Why: fmt.Errorf("%w: %s", storage.ErrIncomplete, saidMissing(unsearched))}, nil
	case part.last != nil:
		at, bad := part.format.place(part.last)
		if bad != nil {
			return nil, bad // it cannot be gone on with
		}
		x.After = at.String()
	}
	return nil, err
}

// part is one answer of an export.
type part struct {
	format rowFormat
	sum    hash.Hash
	rows   uint64
	last   []byte // the last whole row; nil: none came
}

// take writes the rows of one answer on, to its end.
func (x *exporting) take(r *bufio.Reader, part *part) error {
	for {
		row, head, err := part.format.next(r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if end := endOf(x.Format, row); end != nil {
			x.ended = end
			continue
		}
		if x.ended != nil {
			return fmt.Errorf("%w: there is a row behind the last line", errForm)
		}
		part.sum.Write(row)
		if head && x.headed {
			continue
		}
		x.headed = x.headed || head
		if !head {
			if err := x.follows(row, part); err != nil {
				return err
			}
		}
		if err := x.write(row); err != nil {
			return err
		}
		if !head {
			part.last = append(part.last[:0], row...)
			part.rows++
			x.count()
		}
	}
}

// follows fails where a row was there already: an answer that does not begin behind the place that was asked for, or comes
// back to a network that was left, would double rows that its own hash certifies.
func (x *exporting) follows(row []byte, part *part) error {
	word, _, _ := bytes.Cut(row, []byte{','}) // in both formats the network comes first
	if part.rows > 0 && bytes.Equal(word, x.word) {
		return nil
	}
	at, err := part.format.place(row)
	if err != nil {
		return err
	}
	after := strings.Split(x.After, "/")
	if before, err := placeOf(after[0], strings.Join(after[1:min(2, len(after))], ""), strings.Join(after[min(2, len(after)):], "")); part.rows == 0 && err == nil {
		if at.network == before.network && !at.behind(before) {
			return fmt.Errorf("%w: rows behind %s were asked for, and one at %s comes: something between here and the service keeps old answers or drops parameters", errForm, x.After, at)
		}
		x.network = before.network
	}
	if at.network != x.network && x.left[at.network] {
		return fmt.Errorf("%w: the rows of %s are told twice", errForm, at.network)
	}
	x.left[x.network] = true
	x.network, x.word = at.network, append(x.word[:0], word...)
	return nil
}

func (x *exporting) params() url.Values {
	params := url.Values{"format": {x.Format}}
	for name, value := range map[string]string{"q": x.Query, "network": x.Network, "after": x.After} {
		if value != "" {
			params.Set(name, value)
		}
	}
	return params
}

func (x *exporting) newFormat() rowFormat {
	if x.Format == query.CSV {
		return &csvRows{}
	}
	return &jsonRows{}
}

func (x *exporting) media() string {
	if x.Format == query.CSV {
		return mediaCSV
	}
	return mediaNDJSON
}

func (x *exporting) write(row []byte) error {
	x.sum.Write(row)
	if _, err := x.out.Write(row); err != nil {
		x.failed = err
		return fmt.Errorf("write row %d: %w", x.rows+1, err)
	}
	return nil
}

func (x *exporting) count() {
	x.rows++
	if x.Progress != nil {
		x.Progress(x.rows)
	}
}

func (x *exporting) flush() error {
	if x.failed != nil {
		return nil // it was told
	}
	if err := x.out.Flush(); err != nil {
		return fmt.Errorf("write the last rows: %w", err)
	}
	return nil
}

func (x *exporting) result() query.Exported {
	return query.Exported{Rows: x.rows, SHA256: hex.EncodeToString(x.sum.Sum(nil))}
}

// judge compares an answer that ended with what the service says of it: an export that was cut by something in between
// has no such word.
func (x *exporting) judge(a *answer, part *part) (missing, err error) {
	why := saidMissing(a.Trailer.Get("X-Incomplete"))
	if why == "" && a.Header.Get("X-Coverage-Complete") == "false" {
		why = "the service says so, and not what is missing" // a proxy that drops trailers
	}
	if why != "" {
		missing = fmt.Errorf("%w: %s", storage.ErrIncomplete, why)
	}
	said := endLine{SHA256: a.Trailer.Get("X-Sha256")}
	said.Rows, _ = strconv.ParseUint(a.Trailer.Get("X-Rows"), 10, 64)
	if x.Format == query.NDJSON && x.ended != nil {
		said = *x.ended
	}
	whole := said.SHA256 != "" && (x.Format == query.CSV || x.ended != nil)
	switch {
	case !whole && x.Format == query.CSV && len(a.Trailer) == 0:
		return nil, &untoldError{a.asked}
	case !whole:
		return nil, io.ErrUnexpectedEOF
	case said.Rows != part.rows || said.SHA256 != hex.EncodeToString(part.sum.Sum(nil)):
		return nil, fmt.Errorf("the export of %s is damaged on its way: %d rows came, and it says %d rows with SHA-256 %s: %w",
			a.asked, part.rows, said.Rows, said.SHA256, storage.ErrCorrupt)
	}
	x.unread += said.Unread
	return missing, nil
}

// untoldError says that a table came to an end that nothing proves, as every other one will that comes the same way.
type untoldError struct{ asked string }

func (e *untoldError) Error() string {
	return fmt.Sprintf("the table of %s ended without the trailers that tell how many rows it has and their hash: nobody knows whether it is whole", e.asked)
}

// Hint is the next step.
func (e *untoldError) Hint() string {
	return "something between here and the service speaks HTTP/1.0 or drops trailers: have it speak HTTP/1.1 (nginx: proxy_http_version 1.1), or use the format ndjson, whose last line says as much"
}

// saidMissing reads the trailer X-Incomplete: an error of the service, escaped as in Go.
func saidMissing(text string) string {
	if plain, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`); err == nil {
		text = plain
	}
	return printable(strings.TrimPrefix(text, storage.ErrIncomplete.Error()+": "))
}

// end writes the last line, over all answers.
func (x *exporting) end(missing error) (query.Exported, error) {
	var unsearched *query.UnsearchedError
	done := x.result()
	if x.Format == query.NDJSON && !errors.As(missing, &unsearched) {
		line, err := json.Marshal(endLine{true, done.Rows, done.SHA256, x.unread})
		if err != nil {
			return done, fmt.Errorf("write the last line: %w", err)
		}
		if _, err := x.out.Write(append(line, '\n')); err != nil {
			return done, fmt.Errorf("write the last line: %w", err)
		}
	}
	if err := x.flush(); err != nil {
		return done, err
	}
	return done, missing
}

// endLine is the last line of an export in NDJSON.
type endLine struct {
	End    bool   `json:"_end"`
	Rows   uint64 `json:"rows"`
	SHA256 string `json:"sha256"`
	Unread uint64 `json:"undecoded,omitempty"`
}

// endOf returns the last line that row is, nil if it is none.
func endOf(format string, row []byte) *endLine {
	if format != query.NDJSON || !bytes.HasPrefix(row, []byte(`{"_end":true,`)) {
		return nil
	}
	var end endLine
	if err := json.Unmarshal(row, &end); err != nil {
		return nil
	}
	return &end
}

// jsonRows reads NDJSON.
type jsonRows struct{ line []byte }

func (j *jsonRows) next(r *bufio.Reader) (row []byte, head bool, err error) {
	j.line = j.line[:0]
	err = readLine(r, &j.line)
	return j.line, false, err
}

func (j *jsonRows) place(row []byte) (place, error) {
	var at struct {
		Network string      `json:"network"`
		Seq     json.Number `json:"seq"`
		Pos     json.Number `json:"pos"`
	}
	if err := json.Unmarshal(row, &at); err != nil {
		return place{}, fmt.Errorf("%w: a row has no place", errForm)
	}
	return placeOf(at.Network, at.Seq.String(), at.Pos.String())
}

// readLine appends a line with its end.
func readLine(r *bufio.Reader, line *[]byte) error {
	for from := len(*line); ; {
		piece, err := r.ReadSlice('\n')
		*line = append(*line, piece...)
		switch {
		case len(*line) > maxRow:
			return fmt.Errorf("%w: a row has more than %d bytes", errForm, maxRow)
		case err == nil:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(*line) > from:
			return io.ErrUnexpectedEOF
		default:
			return err
		}
	}
}

// csvRows reads a table as RFC 4180 has it: a line end within quotes belongs to the row.
type csvRows struct {
	row   []byte
	began bool // the heading was read
}

func (t *csvRows) next(r *bufio.Reader) (row []byte, head bool, err error) {
	t.row = t.row[:0]
	for quotes := 0; ; {
		from := len(t.row)
		if err := readLine(r, &t.row); err != nil {
			if err == io.EOF && from > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, false, err
		}
		if quotes += bytes.Count(t.row[from:], []byte{'"'}); quotes%2 == 0 {
			break
		}
	}
	head, t.began = !t.began, true
	return t.row, head, nil
}

func (t *csvRows) place(row []byte) (place, error) {
	cells := bytes.SplitN(row, []byte{','}, 4) // network, seq and pos are words and numbers without quotes
	if len(cells) < 4 {
		return place{}, fmt.Errorf("%w: a row has no place", errForm)
	}
	return placeOf(string(cells[0]), string(cells[1]), string(cells[2]))
}
