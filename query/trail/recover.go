package trail

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"permanode/internal/durable"
)

// ending is where a trail goes on.
type ending struct {
	state
	file  string // the newest day; "" if there is none
	bytes int64  // of it that are whole lines
	size  int64  // of it
	begin started

	running bool // who had the trail last has not left it
}

// recoverTrail finds where the trail in dir goes on, and moves what a killed run left of a line into a file of its own.
//
// Lines that HEAD covers are never cut. If they are not there as they were, the trail goes on behind HEAD all the same, so
// that the loss stays visible and can be healed by putting them back.
func recoverTrail(dir string) (e ending, err error) {
	c, err := list(dir)
	if err != nil {
		return e, err
	}
	head, there, headErr := readHead(dir)
	if _, err := os.Lstat(filepath.Join(dir, running)); err == nil {
		e.running = true
	}
	e.state = state{0, zeroHash}
	e.begin.After = "nothing"
	stands, last := false, ""
	switch {
	case headErr != nil:
		e.note("%v", headErr)
	case there:
		stands, last = headStands(dir, head)
	case len(c.days) > 0:
		e.note("%s is missing", headFile)
	default: // a new trail
		if err := writeHead(dir, noHead); err != nil {
			return e, err
		}
	}
	if err := e.walk(dir, c.days, head, stands, last); err != nil {
		return e, err
	}
	if there && headErr == nil && !stands {
		e.note("%s names line %d, which ends at byte %d of %s, and that is not there as it was: the files end with line %d", headFile, head.Seq, head.Bytes, head.File, e.seq)
		if head.Seq >= e.seq {
			e.state = head.state()
		}
		e.begin.After = kill
	}
	if e.bytes < e.size {
		if err := e.setAside(dir); err != nil {
			return e, err
		}
	}
	if e.file != "" && e.bytes == 0 && e.file != head.File {
		if err := e.dropDay(dir, c.days[:len(c.days)-1]); err != nil {
			return e, err
		}
	}
	return e, e.listTorn(dir)
}

// dropDay removes the newest file, which was made for a line that a kill kept from it: the next line may be of a later day.
func (e *ending) dropDay(dir string, before []string) error {
	if gone, err := removeEmpty(filepath.Join(dir, e.file)); err != nil || !gone {
		return err
	}
	e.file, e.bytes, e.size = "", 0, 0
	if n := len(before); n > 0 {
		info, err := os.Lstat(filepath.Join(dir, before[n-1]))
		if err != nil {
			return err
		}
		e.file, e.bytes, e.size = before[n-1], info.Size(), info.Size()
	}
	return nil
}

func (e *ending) note(format string, args ...any) {
	e.begin.Note = strings.TrimPrefix(e.begin.Note+"; "+fmt.Sprintf(format, args...), "; ")
}

// headStands reports whether the line that head names is there, and what it is.
func headStands(dir string, head Head) (ok bool, event string) {
	if head == noHead {
		return true, ""
	}
	f, err := durable.Open(filepath.Join(dir, head.File))
	if err != nil {
		return false, ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < head.Bytes {
		return false, ""
	}
	raw, err := lineEndingAt(f, head.Bytes)
	if err != nil || hash(raw) != head.SHA256 {
		return false, ""
	}
	l, err := parseLink(raw)
	return err == nil && l.Seq == head.Seq, l.Event
}

// walk follows the chain to its end: from HEAD if it stands, else through the newest file. last is what HEAD's line is.
func (e *ending) walk(dir string, days []string, head Head, stands bool, last string) error {
	if len(days) == 0 {
		return nil
	}
	from, at := len(days)-1, int64(0)
	if stands {
		from, at = max(0, slices.Index(days, head.File)), head.Bytes
		e.state = head.state()
	}
	strict := stands
	after, fits := behindHead(last), true
	for i := from; i < len(days); i++ {
		w, err := walkFile(filepath.Join(dir, days[i]), at, e.state, strict, func(event string) {
			fits = after.takes(days[i], event) && fits
			last = event
		})
		if err != nil {
			return err
		}
		at, e.state, e.file, e.bytes, e.size = 0, w.state, days[i], w.end, w.size
		if w.end < w.size && i < len(days)-1 { // no crash does that: a day is begun after the one before was synced
			e.note("%s breaks off at byte %d", days[i], w.end)
			strict = false
		}
	}
	if stands && !fits {
		e.note("%s names %s, and what is behind it no kill leaves there", headFile, head)
	}
	switch {
	case e.seq == 0 && e.size == 0:
	case last == stop && e.bytes == e.size:
		e.begin.After = stop
	case e.running:
		e.begin.After = kill
	default:
		e.begin.After = copied
	}
	return nil
}

// How a run ended that wrote no stop line.
const (
	kill   = "kill"
	copied = "copy" // that is known of the folder that this one was copied from, and of no other
)

// walked is how far a file holds lines.
type walked struct {
	state
	end, size int64
}

// walkFile reads a file to its last line. strict: a line that does not follow s, or is none, ends it: these bytes were
// never synced. Else the last line that is one ends it, whatever is before: nothing of that may be cut. met is told what
// each line is.
func walkFile(name string, at int64, s state, strict bool, met func(event string)) (w walked, err error) {
	f, err := durable.Open(name)
	if err != nil {
		return w, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return w, err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return w, err
	}
	w = walked{state: s, end: at, size: info.Size()}
	in, buf := newLines(f, at), make([]byte, 0, 4096)
	for {
		raw, whole, err := in.next(buf)
		if errors.Is(err, io.EOF) || err == nil && !whole {
			return w, nil
		}
		if err != nil {
			return w, fmt.Errorf("read %s: %w", name, err)
		}
		buf = raw
		l, err := parseLink(raw)
		good := err == nil && !in.long
		if good && (!strict || w.takes(l)) {
			w.state, w.end = l.state(), in.at
			met(l.Event)
		} else if strict {
			return w, nil
		}
	}
}

// setAside moves what follows the last line of the newest file into a file of its own. A crash in between leaves both, and
// the next start does it again.
func (e *ending) setAside(dir string) error {
	name := filepath.Join(dir, e.file)
	f, err := durable.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	aside, err := e.freeName(dir)
	if err != nil {
		return err
	}
	if err := keep(aside, io.NewSectionReader(f, e.bytes, e.size-e.bytes)); err != nil {
		return fmt.Errorf("keep the end of %s aside: %w", name, err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return err
	}
	// Only now: the copy is on disk.
	if err := f.Truncate(e.bytes); err != nil {
		return fmt.Errorf("cut %s to its whole lines: %w", name, err)
	}
	return f.Sync()
}

func keep(name string, from io.Reader) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Sync()
}

// freeName returns a path for a torn file of the start line to come.
func (e *ending) freeName(dir string) (string, error) {
	for k := 1; ; k++ {
		name := filepath.Join(dir, tornFile(e.seq+1, k))
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
}

// listTorn lists the torn files of the start line to come: also those of a start that was killed before it wrote it.
func (e *ending) listTorn(dir string) error {
	c, err := list(dir)
	if err != nil {
		return err
	}
	for _, file := range c.torn {
		if seq, _ := tornSeq(file); seq != e.seq+1 {
			continue
		}
		t, err := describe(dir, file)
		if err != nil {
			return err
		}
		e.begin.Torn = append(e.begin.Torn, t)
	}
	return nil
}

// describe hashes a torn file.
func describe(dir, file string) (t torn, err error) {
	f, err := durable.Open(filepath.Join(dir, file))
	if err != nil {
		return t, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return torn{file, n, hex.EncodeToString(h.Sum(nil))}, err
}
