package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"permanode/internal/durable"
)

// ErrUnavailable says that the disk takes no lines, so that a call could not be recorded.
var ErrUnavailable = errors.New("access cannot be recorded")

const (
	batchTime  = 500 * time.Millisecond // a line waits as long, and a sync, before it is on disk
	batchLines = 1000                   // or until so many wait
	maxQueue   = 16384                  // lines that wait
	maxWaiting = 16 << 20               // and their bytes
)

// Calls without a good key have a line each up to this rate over all addresses; the others are counted, and the count has a
// line each while. So strangers write 50 MB a day at most.
const (
	strangerRate  = 1 // a second
	strangerBurst = 100
	strangerTime  = time.Minute
)

// Options are what a trail needs.
type Options struct {
	Log   *slog.Logger // of what goes wrong, and of the heads
	Wrong []string     // what is known from elsewhere to be wrong with the folder; the start line notes it
}

// file is what a trail needs of a file of lines.
type file interface {
	io.WriteCloser
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// seams are what tests replace.
type seams struct {
	now  func() time.Time
	open func(name string, flag int, perm os.FileMode) (file, error)
}

// Trail is an access trail that takes lines. It is safe for concurrent use. One process has it at a time: the one that
// holds the archive.
type Trail struct {
	dir string
	log *slog.Logger
	seams

	mu      sync.Mutex // guards what follows, up to the blank line
	queue   []entry
	flying  int // lines that are being written
	waiting int // bytes of both, about
	full    uint64
	broken  error // why the last batch is not on disk
	closed  bool
	head    Head
	counts  counts

	strangers *rate.Limiter
	refused   uint64 // calls over that rate whose number has no line yet
	since     time.Time

	wake chan struct{} // there is work now
	quit chan struct{} // closed by Close
	done chan struct{} // the writer has ended

	// Of the writer alone.
	f    file
	at   state
	day  string // name of the newest file; "" before the first
	size int64  // of it that is synced
	tail int64  // so much behind it may be of a write that failed
	left error  // of the end; read by Close when the writer has ended
}

// entry is a line that waits.
type entry struct {
	line line
	at   time.Time
	size int
	sync chan error // of AppendSync; takes one
}

// Open opens the trail in dir, which it makes if need be, and writes a start line. It fails if that line does not get to
// disk. What it finds wrong is in the start line and the log; nothing of it is repaired.
func Open(dir string, o Options) (*Trail, error) {
	return open(dir, o, seams{time.Now, func(name string, flag int, perm os.FileMode) (file, error) { return durable.OpenFile(name, flag, perm) }})
}

func open(dir string, o Options, s seams) (*Trail, error) {
	t := &Trail{
		dir: dir, log: o.Log, seams: s, strangers: rate.NewLimiter(strangerRate, strangerBurst),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("access trail: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return nil, fmt.Errorf("access trail: %w", err)
	}
	end, err := recoverTrail(dir)
	if err != nil {
		return nil, fmt.Errorf("access trail %s: %w", dir, err)
	}
	for i, what := range o.Wrong {
		if i == 10 {
			end.note("and %d more", len(o.Wrong)-i)
			break
		}
		end.note("%s", what)
	}
	t.at, t.day, t.size = end.state, end.file, end.bytes
	if err := durable.WriteFile(filepath.Join(dir, running), nil, 0o600); err != nil {
		return nil, fmt.Errorf("access trail: %w", err)
	}
	t.queue = []entry{{line: line{Event: start, started: &end.begin}, at: t.now()}}
	if t.flush(); t.broken != nil {
		err := errors.Join(t.broken, t.closeFile())
		if end.file != t.day && t.size == 0 { // made for a line that the disk did not take
			_, failed := removeEmpty(filepath.Join(dir, t.day))
			err = errors.Join(err, failed)
		}
		if !end.running {
			err = errors.Join(err, t.leave())
		}
		return nil, fmt.Errorf("access trail %s: %w", dir, err)
	}
	switch b := end.begin; {
	case b.Note != "":
		t.log.Error("the access trail is not as it was", "dir", dir, "why", b.Note, "hint", "permanode check --access; put back what is missing from a copy")
	case b.After == kill:
		t.log.Warn("the access trail ends without a stop, since the service was killed: up to a second of calls before may not be in it", "dir", dir, "torn", len(b.Torn))
	case b.After == copied:
		t.log.Warn("the access trail is a copy that was made while a service had it, or after a kill: what came later is not in it", "dir", dir)
	}
	t.logHead("the access trail goes on")
	go t.write()
	return t, nil
}

// Ready returns nil while the trail takes lines, and else an error that wraps [ErrUnavailable] and says why. It is asked
// before the work of a call.
func (t *Trail) Ready() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ready(2)
}

// ready judges the queue with 1/share of its room.
func (t *Trail) ready(share int) error {
	switch {
	case t.closed:
		return fmt.Errorf("%w: the service stops", ErrUnavailable)
	case t.broken != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, t.broken)
	case len(t.queue)+t.flying >= maxQueue/share || t.waiting >= maxWaiting/share:
		return fmt.Errorf("%w: the disk is slow: %d lines wait for it", ErrUnavailable, len(t.queue)+t.flying)
	}
	return nil
}

// Append puts the line of e on disk within a second, or as soon as the disk takes lines again. It never waits. It fails,
// with [ErrUnavailable], only if there is no room in memory; the number of such lines is in a line of its own, later. Of
// calls without a good key that come too often only the number has a line.
func (t *Trail) Append(e Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.queue)+t.flying >= maxQueue || t.waiting >= maxWaiting {
		t.full++
		t.counts.lost++
		return fmt.Errorf("%w: %d lines wait for the disk", ErrUnavailable, len(t.queue)+t.flying)
	}
	if e.Denied && e.Key == "" && t.tooMany() {
		return nil
	}
	t.add(entry{line: lineOf(&e)})
	if len(t.queue) >= batchLines {
		t.poke()
	}
	return nil
}

// tooMany counts a call without a good key that is to have no line of its own.
func (t *Trail) tooMany() bool {
	now := t.now()
	if t.strangers.AllowN(now, 1) {
		return false
	}
	if t.refused == 0 {
		t.since = now
	}
	t.refused++
	return true
}

// AppendSync returns once the line of e is on disk. It fails with [ErrUnavailable], or with ctx, and then the line may be
// in the trail or not.
func (t *Trail) AppendSync(ctx context.Context, e Event) error {
	done := make(chan error, 1)
	t.mu.Lock()
	if err := t.ready(1); err != nil {
		t.mu.Unlock()
		return err
	}
	t.add(entry{line: lineOf(&e), sync: done})
	t.poke()
	t.mu.Unlock()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: the disk did not take the line in time: %w", ErrUnavailable, context.Cause(ctx))
	}
}

func (t *Trail) add(e entry) {
	e.at = t.now()
	e.size = e.line.size()
	t.queue = append(t.queue, e)
	t.waiting += e.size
}

func (t *Trail) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Head returns the newest line on disk.
func (t *Trail) Head() Head {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// Close writes what waits and a stop line, and ends the writer. Its error says how many lines are not on disk. Nothing may
// be appended after it.
func (t *Trail) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.mu.Unlock()
	close(t.quit)
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return errors.Join(fmt.Errorf("access trail %s: %d lines are not on disk: %w", t.dir, uint64(len(t.queue))+t.full, t.broken), t.left)
	}
	if t.left != nil {
		return fmt.Errorf("close the access trail %s: %w", t.dir, t.left)
	}
	return nil
}

// write puts lines on disk until Close.
func (t *Trail) write() {
	defer close(t.done)
	tick := time.NewTicker(batchTime)
	defer tick.Stop()
	for {
		select {
		case <-t.wake:
			t.flush()
		case <-tick.C:
			t.flush()
		case <-t.quit:
			t.mu.Lock()
			t.add(entry{line: line{Event: stop}})
			t.mu.Unlock()
			t.flush()
			t.end()
			return
		}
	}
}

// end leaves a trail whose stop line is on disk. What went wrong is for Close.
func (t *Trail) end() {
	err := t.closeFile()
	if t.broken == nil { // this goroutine alone sets it
		err = errors.Join(err, t.leave())
	}
	t.left = err
	if t.broken == nil && err == nil {
		t.logHead("the access trail ends")
	}
}

// leave says that nobody has the trail: its stop line is on disk.
func (t *Trail) leave() error { return durable.Remove(filepath.Join(t.dir, running)) }

func (t *Trail) logHead(text string) {
	h := t.Head()
	t.log.Info(text, "seq", h.Seq, "sha256", h.SHA256)
}

// flush puts on disk what waits, a batch for each day. What the disk does not take waits on, except for lines whose caller
// waits: he is told, and his line is dropped.
func (t *Trail) flush() {
	t.mu.Lock()
	batch, was := t.queue, t.broken
	if past := t.now().Sub(t.since); t.refused > 0 && (t.closed || past < 0 || past >= strangerTime) {
		batch = append(batch, entry{line: line{Event: refused, Calls: t.refused}, at: t.now()})
		t.refused = 0
	}
	if t.full > 0 {
		batch = append(batch, entry{line: line{Event: lost, Lost: t.full}, at: t.now()})
		t.full = 0
	}
	size := t.waiting
	t.queue, t.flying = nil, len(batch)
	t.mu.Unlock()
	err := t.repair(was != nil)
	if err == nil { // also where nothing waits, so that a folder that was taken away is seen
		err = t.inPlace(t.size)
	}
	for err == nil && len(batch) > 0 {
		n := 0
		n, err = t.put(batch)
		batch = batch[n:]
	}
	t.settle(batch, size, was, err)
}

// settle puts back what is not on disk of a batch that had size bytes.
func (t *Trail) settle(batch []entry, size int, was, err error) {
	var left []entry
	kept := 0
	for _, e := range batch {
		if e.sync != nil {
			e.sync <- fmt.Errorf("%w: %w", ErrUnavailable, err)
			continue
		}
		left = append(left, e)
		kept += e.size
	}
	t.mu.Lock()
	t.queue, t.flying, t.waiting = append(left, t.queue...), 0, t.waiting-size+kept
	t.broken = err
	if err != nil {
		t.counts.failed++
	}
	t.mu.Unlock()
	switch {
	case err != nil && was == nil:
		t.log.Error("the access trail cannot be written: calls are refused until it can", "dir", t.dir, "err", err, "hint", "look at the disk: space, errors, permissions; put back what was moved")
	case err == nil && was != nil:
		t.log.Info("the access trail is written again", "dir", t.dir)
	}
}

// put writes and syncs the lines of one day from the front of batch, and returns how many are on disk. They can be also
// where it fails, when HEAD cannot be noted.
func (t *Trail) put(batch []entry) (n int, err error) {
	day := max(t.day, dayFile(batch[0].at)) // after a clock that was set back the newer day goes on
	if err := t.openDay(day); err != nil {
		return 0, err
	}
	var out bytes.Buffer
	at := t.at
	for n < len(batch) && max(day, dayFile(batch[n].at)) == day {
		l := &batch[n].line
		l.Seq, l.Prev, l.Time = at.seq+1, at.hash, batch[n].at.UTC().Format(timeLayout)
		raw, err := l.encode()
		if err != nil {
			return 0, err
		}
		at = state{l.Seq, hash(raw)}
		out.Write(raw)
		n++
	}
	t.tail = int64(out.Len())
	if _, err := t.f.Write(out.Bytes()); err != nil {
		return 0, fmt.Errorf("write %s: %w", day, err)
	}
	if err := t.f.Sync(); err != nil {
		return 0, fmt.Errorf("sync %s: %w", day, err)
	}
	if err := t.inPlace(t.size + t.tail); err != nil {
		return 0, err
	}
	t.at, t.size, t.tail = at, t.size+t.tail, 0
	head := Head{at.seq, at.hash, day, t.size}
	t.mu.Lock()
	t.head = head
	t.counts.lines += uint64(n)
	t.mu.Unlock()
	for _, e := range batch[:n] {
		if e.sync != nil {
			e.sync <- nil
		}
	}
	if err := writeHead(t.dir, head); err != nil { // the lines are on disk, but nothing would show that they are taken away
		return n, fmt.Errorf("note %s: %w", headFile, err)
	}
	return n, nil
}

// inPlace fails if the open file is not the one of its name any more, or has not size bytes: lines would go where nobody
// finds them.
func (t *Trail) inPlace(size int64) error {
	if t.f == nil {
		return nil
	}
	open, err := t.f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(filepath.Join(t.dir, t.day))
	if err != nil {
		return fmt.Errorf("%s was taken away: %w", t.day, err)
	}
	if !os.SameFile(open, there) {
		return fmt.Errorf("%s was replaced: it is not the file that is written", t.day)
	}
	if open.Size() != size {
		return fmt.Errorf("%s has %d bytes and not %d: somebody else writes there", t.day, open.Size(), size)
	}
	return nil
}

// openDay makes t.f the file of day, which holds what this trail wrote and nothing else.
func (t *Trail) openDay(day string) error {
	if t.f != nil && t.day == day {
		return nil
	}
	if err := t.closeFile(); err != nil {
		return err
	}
	f, err := t.open(filepath.Join(t.dir, day), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size := t.size
	if day != t.day {
		size = 0 // it may be there from a try that failed
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		return errors.Join(fmt.Errorf("%s does not have %d bytes: somebody else writes there", day, size), err, f.Close())
	}
	if day != t.day && t.day != "" {
		t.logHead("a day of the access trail ends")
	}
	t.f, t.day, t.size = f, day, size
	return durable.SyncDir(t.dir)
}

func (t *Trail) closeFile() error {
	if t.f == nil {
		return nil
	}
	err := t.f.Close()
	t.f = nil
	return err
}

// repair brings the newest file back to what was synced last, after a write that failed: part of it may be there. The file
// is opened anew, since a sync that failed once may succeed later without having written. It fails while the file is
// another one than was written.
func (t *Trail) repair(needed bool) error {
	if !needed || t.day == "" {
		return nil
	}
	if err := t.closeFile(); err != nil {
		t.log.Debug("close a file of the access trail that failed", "err", err)
	}
	head := t.Head()
	if there, _ := headStands(t.dir, head); !there {
		return fmt.Errorf("%s was taken away, replaced or changed: line %d is not there", head.File, head.Seq)
	}
	f, err := t.open(filepath.Join(t.dir, t.day), os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	t.f = f
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if n := info.Size(); n < t.size || n > t.size+t.tail {
		return fmt.Errorf("%s has %d bytes and not %d: somebody else writes there", t.day, n, t.size)
	}
	if err := f.Truncate(t.size); err != nil {
		return fmt.Errorf("cut %s to its whole lines: %w", t.day, err)
	}
	t.tail = 0
	if err := writeHead(t.dir, head); err != nil { // the disk takes something again
		return fmt.Errorf("note %s: %w", headFile, err)
	}
	return nil
}

// size is about what l takes.
func (l *line) size() int {
	n := 512
	if l.call != nil {
		n += len(l.Query) + len(l.QueryHex)
		for _, m := range []map[string]string{l.Path, l.Params} {
			for name, value := range m {
				n += len(name) + len(value)
			}
		}
	}
	return n
}
