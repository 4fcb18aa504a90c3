package trail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"permanode/internal/durable"
)

// The kinds of faults.
const (
	Changed   = "changed"   // a line is not the one that its successor, or HEAD, was made for
	Missing   = "missing"   // lines are not there
	Repeated  = "repeated"  // a line is there again, or behind a later one
	Malformed = "malformed" // what is there is no line
	Torn      = "torn"      // the last line has no end
	WrongDay  = "day"       // a line is in the file of an earlier day
	BadHead   = "head"      // HEAD does not name a line
	Foreign   = "foreign"   // a file that does not belong there, or a torn file that is missing or changed
	Noted     = "noted"     // a start found the trail not as it was, and goes on
	Lost      = "lost"      // lines found no room while the disk took none
)

// Fault is one thing that is wrong with a trail.
type Fault struct {
	Kind string
	File string
	Line int    // of the file, from 1; 0: the file
	Seq  uint64 // as the line says; 0: none
	What string // one sentence
}

func (f Fault) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.What)
	}
	return fmt.Sprintf("%s line %d: %s", f.File, f.Line, f.What)
}

// Hint is the next step.
func (f Fault) Hint() string {
	switch f.Kind {
	case Torn:
		return "start the service: it keeps such a rest aside and says so in its start line"
	case Foreign:
		return "move the file elsewhere, or put back the one that was there"
	case Lost, Noted:
		return "the line stays; look into the log of the service at that time"
	case BadHead:
		return "put back HEAD from a copy; the service makes a new one at its next line"
	}
	return "compare the file with a copy of it; putting back the right bytes heals the chain"
}

// Summary is how far [Verify] came.
type Summary struct {
	Days   int
	Lines  uint64
	First  uint64 // number of the first line; 0: there is none
	Last   uint64
	SHA256 string // of the last line: to be noted elsewhere
	Kills  int    // starts that no stop came before
	Faults int
}

// verifier is a run of Verify.
type verifier struct {
	dir    string
	report func(Fault)
	sum    Summary
	head   Head
	named  bool            // head is good, and its line was not met yet
	after  *behind         // of the line that head names, once it was met and is right
	stale  bool            // what is behind it cannot be
	before int             // faults up to the file that is read
	torn   map[string]bool // files that no start line has named yet
	empty  []string        // files of days without a line
	last   string          // event of the last line

	// Where the chain may go on: behind the last line, and, if that one did not fit, where it was before.
	at []state
}

// Verify reads a trail and reports everything that is wrong with it, in the order of the files, in bounded memory. It fails
// only if it cannot read. It may run beside the service, whose newest lines it may then not see.
func Verify(ctx context.Context, dir string, report func(Fault)) (Summary, error) {
	v := &verifier{dir: dir, report: report, at: []state{{0, zeroHash}}, torn: map[string]bool{}}
	head, there, headErr := readHead(dir) // first: a running service moves on
	c, err := list(dir)
	if err != nil {
		return v.sum, fmt.Errorf("access trail: %w", err)
	}
	v.head, v.named = head, there && headErr == nil && head != noHead
	if head == noHead {
		v.after = new(behindHead(""))
	}
	for _, e := range c.foreign {
		what := "does not belong to an access trail"
		if !e.Type().IsRegular() {
			what += fmt.Sprintf(": it is %s, not a file", durable.Kind(e.Type()))
		}
		v.fault(Fault{Kind: Foreign, File: e.Name(), What: what})
	}
	for _, name := range c.torn {
		v.torn[name] = true
	}
	for _, name := range c.days {
		if err := v.file(ctx, name); err != nil {
			return v.sum, fmt.Errorf("access trail: read %s: %w", name, err)
		}
		v.sum.Days++
	}
	v.empties(c.days)
	v.end(there, headErr)
	return v.sum, nil
}

func (v *verifier) fault(f Fault) {
	v.sum.Faults++
	v.report(f)
}

// file verifies the lines of one day.
func (v *verifier) file(ctx context.Context, name string) error {
	f, err := durable.Open(filepath.Join(v.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	v.before = v.sum.Faults
	in, buf := newLines(reader{ctx, f}, 0), make([]byte, 0, 4096)
	for n := 1; ; n++ {
		raw, whole, err := in.next(buf)
		if errors.Is(err, io.EOF) {
			if n == 1 {
				v.empty = append(v.empty, name)
			}
			return nil
		}
		if err != nil {
			return err
		}
		buf = raw
		at := Fault{File: name, Line: n}
		l, bad := parseLink(raw)
		switch {
		case !whole:
			if v.grows(ctx, name, in.at) {
				return nil
			}
			at.Kind, at.What = Torn, "has no end: the file breaks off inside it"
			v.fault(at)
		case in.long:
			at.Kind, at.What = Malformed, fmt.Sprintf("has more than %d bytes, and no line has", maxLine)
			v.fault(at)
		case bad != nil:
			at.Kind, at.What = Malformed, bad.Error()
			v.fault(at)
		default:
			at.Seq = l.Seq
			v.line(at, l, in.at)
			continue
		}
		if v.isHead(name, in.at) {
			v.named = false
			v.fault(Fault{Kind: Changed, File: name, Line: n, Seq: v.head.Seq, What: fmt.Sprintf("is not line %d, which HEAD names here", v.head.Seq)})
		}
	}
}

// grows reports whether a service is writing the line that has no end yet.
func (v *verifier) grows(ctx context.Context, name string, size int64) bool {
	for range 10 {
		info, err := os.Stat(filepath.Join(v.dir, name))
		if err != nil || info.Size() > size {
			return err == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond): // a write takes less
		}
	}
	return false
}

// isHead reports whether HEAD names the line that ends there.
func (v *verifier) isHead(file string, end int64) bool {
	return v.named && v.head.File == file && v.head.Bytes == end
}

// line verifies one line.
func (v *verifier) line(at Fault, l link, end int64) {
	v.chain(at, l)
	if v.sum.Lines++; v.sum.First == 0 {
		v.sum.First = l.Seq
	}
	v.sum.Last, v.sum.SHA256, v.last = l.Seq, l.hash, l.Event
	switch {
	case v.named && (l.Seq == v.head.Seq || v.isHead(at.File, end)):
		v.named = false
		v.isNamed(at, l, end)
	case v.after != nil:
		v.stale = !v.after.takes(at.File, l.Event) || v.stale
	}
	if day, _ := dayOf(at.File); l.Time[:len(dayLayout)] > day {
		at.Kind, at.What = WrongDay, fmt.Sprintf("is of %s, a later day than its file", l.Time[:len(dayLayout)])
		v.fault(at)
	}
	switch l.Event {
	case start:
		v.started(at, l)
	case lost:
		at.Kind, at.What = Lost, fmt.Sprintf("says that %d lines could not be written", l.Lost)
		v.fault(at)
	}
}

// isNamed verifies the line that HEAD names.
func (v *verifier) isNamed(at Fault, l link, end int64) {
	switch is := (Head{l.Seq, l.hash, at.File, end}); {
	case is == v.head:
		v.after = new(behindHead(l.Event))
	case is.SHA256 != v.head.SHA256:
		at.Kind, at.What = Changed, fmt.Sprintf("was changed: HEAD names line %d here with another hash", v.head.Seq)
		v.fault(at)
	case v.before == v.sum.Faults: // else what is wrong before it has moved it
		v.fault(Fault{Kind: BadHead, File: headFile, Seq: v.head.Seq, What: fmt.Sprintf(
			"names line %d, which ends at byte %d of %s; the line of that hash is number %d and ends at byte %d of %s",
			v.head.Seq, v.head.Bytes, v.head.File, is.Seq, is.Bytes, is.File)})
	}
}

// chain reports a line that does not follow. The next one may follow it or what was before it, so that one wrong line is
// one fault.
func (v *verifier) chain(at Fault, l link) {
	if slices.ContainsFunc(v.at, func(s state) bool { return s.takes(l) }) {
		v.at = []state{l.state()}
		return
	}
	before := v.at[0]
	switch {
	case l.Seq > before.seq+1:
		at.Kind, at.What = Missing, fmt.Sprintf("is number %d, and lines %d to %d are not before it", l.Seq, before.seq+1, l.Seq-1)
	case l.Seq <= before.seq:
		at.Kind, at.What = Repeated, fmt.Sprintf("is number %d, behind number %d: it was repeated, moved or put in", l.Seq, before.seq)
	case before.seq == 0:
		at.Kind, at.What = Changed, "is number 1 and names a line before it"
	default:
		at.Kind, at.What = Changed, fmt.Sprintf("does not follow line %d: that one was changed, or this one", before.seq)
	}
	v.fault(at)
	v.at = []state{l.state(), before}
}

// started verifies what a start line says.
func (v *verifier) started(at Fault, l link) {
	if l.After == kill || l.After == copied {
		v.sum.Kills++
	}
	if l.Note != "" {
		at.Kind, at.What = Noted, "says that the service found here: "+l.Note
		v.fault(at)
	}
	for _, t := range l.Torn {
		delete(v.torn, t.File)
		got, err := torn{}, fs.ErrNotExist
		if _, ok := tornSeq(t.File); ok { // and no path to elsewhere
			got, err = describe(v.dir, t.File)
		}
		if errors.Is(err, fs.ErrNotExist) {
			v.fault(Fault{Kind: Foreign, File: t.File, What: fmt.Sprintf("is missing: the start line %d names it", l.Seq)})
		} else if err != nil || got != t {
			v.fault(Fault{Kind: Foreign, File: t.File, What: fmt.Sprintf("is not as the start line %d names it: %d bytes with SHA-256 %s (%v)", l.Seq, t.Bytes, t.SHA256, err)})
		}
	}
}

// empties reports files without a line. A service makes one just before its first line: only the newest can be such, and not
// behind a stop while nobody has the trail.
func (v *verifier) empties(days []string) {
	_, err := os.Lstat(filepath.Join(v.dir, running))
	for _, name := range v.empty {
		if name != days[len(days)-1] || (err != nil && v.last == stop) {
			v.fault(Fault{Kind: Foreign, File: name, What: "has no line, and a file is made for a line: it was put in, or its lines are missing"})
		}
	}
}

// end reports what only the end can show.
func (v *verifier) end(headThere bool, headErr error) {
	for _, name := range slices.Sorted(maps.Keys(v.torn)) {
		if seq, _ := tornSeq(name); seq != v.sum.Last+1 { // that one a start that was killed has set aside for the next
			v.fault(Fault{Kind: Foreign, File: name, What: "is named by no start line"})
		}
	}
	switch {
	case errors.Is(headErr, durable.ErrNoFile): // it was told
	case headErr != nil:
		v.fault(Fault{Kind: BadHead, File: headFile, What: headErr.Error()})
	case !headThere && v.sum.Lines > 0 && !v.moved(headThere):
		v.fault(Fault{Kind: BadHead, File: headFile, What: "is missing, so that newest lines could be too"})
	case !headThere && !v.moved(headThere):
		v.fault(Fault{Kind: Missing, File: headFile, What: "is not there and no line either, and each start leaves both: all of the trail was taken away (or the very first start was killed in its first moment)"})
	case v.named && v.head.Seq > v.sum.Last:
		v.fault(Fault{Kind: Missing, File: headFile, Seq: v.head.Seq, What: fmt.Sprintf("names line %d, and the files end with line %d: the newest lines are missing", v.head.Seq, v.sum.Last)})
	case v.stale && !v.moved(headThere):
		v.fault(Fault{Kind: BadHead, File: headFile, Seq: v.head.Seq, What: fmt.Sprintf("names %s, and what is behind it no kill leaves there: lines were added, or an earlier %s was put back", v.head, headFile)})
	}
}

// moved reports whether HEAD is another one by now: a service writes, and what was read of it is old.
func (v *verifier) moved(wasThere bool) bool {
	now, there, err := readHead(v.dir)
	return err == nil && (there != wasThere || now != v.head)
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
