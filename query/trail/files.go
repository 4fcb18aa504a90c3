package trail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"permanode/internal/durable"
)

const (
	headFile  = "HEAD"
	running   = ".running" // copies leave out what begins with a dot
	dayLayout = "2006-01-02"
	daySuffix = ".ndjson"
)

func dayFile(at time.Time) string { return at.UTC().Format(dayLayout) + daySuffix }

// dayOf returns the day of a file of lines.
func dayOf(file string) (day string, ok bool) {
	day, ok = strings.CutSuffix(file, daySuffix)
	at, err := time.Parse(dayLayout, day)
	return day, ok && err == nil && at.Format(dayLayout) == day
}

// removeEmpty removes a file in which nothing is.
func removeEmpty(name string) (gone bool, err error) {
	if info, err := os.Lstat(name); err != nil || info.Size() > 0 {
		return false, nil
	}
	return true, durable.Remove(name)
}

func tornFile(seq uint64, k int) string { return fmt.Sprintf("torn-%d-%d.bin", seq, k) }

// tornSeq returns the number of the start line that names a torn file.
func tornSeq(file string) (seq uint64, ok bool) {
	var k int
	if n, err := fmt.Sscanf(file, "torn-%d-%d.bin", &seq, &k); n != 2 || err != nil {
		return 0, false
	}
	return seq, file == tornFile(seq, k)
}

// isTemporary tells what a killed write of HEAD leaves.
func isTemporary(file string) bool {
	rest, ok := strings.CutPrefix(file, "."+headFile+".tmp")
	_, err := strconv.ParseUint(rest, 10, 64)
	return ok && err == nil
}

// contents are the names in a trail, each list in order.
type contents struct {
	days, torn []string
	foreign    []fs.DirEntry
}

func list(dir string) (c contents, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	for _, e := range entries {
		name := e.Name()
		_, isDay := dayOf(name)
		_, isTorn := tornSeq(name)
		switch {
		case !e.Type().IsRegular():
			c.foreign = append(c.foreign, e)
		case isDay:
			c.days = append(c.days, name)
		case isTorn:
			c.torn = append(c.torn, name)
		case name != headFile && name != running && !isTemporary(name):
			c.foreign = append(c.foreign, e)
		}
	}
	return c, nil
}

// lines reads a file of lines from an offset on, with bounded memory.
type lines struct {
	r    *bufio.Reader
	at   int64 // where the next line begins
	long bool  // the line is longer than any: it is left out
}

func newLines(r io.Reader, at int64) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10), at: at} }

// next returns the next line with its newline; whole is false for what has none. At the end of the file it returns
// nothing and io.EOF.
func (s *lines) next(buf []byte) (raw []byte, whole bool, err error) {
	raw, s.long = buf[:0], false
	for {
		part, err := s.r.ReadSlice('\n')
		s.at += int64(len(part))
		if s.long = s.long || len(raw)+len(part) > maxLine; !s.long {
			raw = append(raw, part...)
		}
		switch {
		case err == nil:
			return raw, true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(raw) > 0 || s.long):
			return raw, false, nil
		default:
			return nil, false, err
		}
	}
}

// lineEndingAt returns the line of a file that ends at an offset.
func lineEndingAt(f io.ReaderAt, end int64) ([]byte, error) {
	from := max(0, end-maxLine)
	buf := make([]byte, end-from)
	if _, err := f.ReadAt(buf, from); err != nil {
		return nil, err
	}
	if buf[len(buf)-1] != '\n' {
		return nil, errors.New("no line ends there")
	}
	return buf[bytes.LastIndexByte(buf[:len(buf)-1], '\n')+1:], nil
}
