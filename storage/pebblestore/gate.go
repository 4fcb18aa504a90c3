package pebblestore

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFrozen is what Pebble gets for a write that the gate no longer lets through.
var errFrozen = errors.New("the directory takes no more writes after a failed one")

// A gate stands between Pebble and the file system. The first write, sync or change of the directory
// that fails freezes it: from then on nothing reaches the disk, which stays as a crash at that moment
// would leave it, so that the next opening recovers from a state that Pebble was made for.
//
// Pebble itself cannot go on after such a failure: it ends the process, or returns success for a commit
// that failed. So for the log and the manifest the gate swallows the failure, Pebble stays alive for reads,
// and the writer asks the gate, not Pebble, whether a commit is good. Tables are different: a swallowed
// failure would lose acknowledged rows that are still in memory. So making a table fails, but only once
// the gate is released for closing; until then its maker waits, for Pebble would try again at once, forever. While
// Pebble is being opened a table is swallowed like the rest: the opening ends, and then fails by what the gate says.
type gate struct {
	vfs.FS
	own string // the folder of checkpoints: what fails in it concerns nobody but its maker

	ops      atomic.Uint64 // write operations begun
	mu       sync.RWMutex  // held for reading during every write operation
	frozen   atomic.Bool
	cause    error         // why it is frozen; guarded by mu
	stopped  chan struct{} // closed when frozen
	live     atomic.Bool   // Pebble is open: the makers of tables run by themselves
	released chan struct{} // closed when the engine closes
	once     sync.Once
}

func newGate(fs vfs.FS, dir string) *gate {
	return &gate{FS: fs, own: fs.PathJoin(dir, CheckpointName), stopped: make(chan struct{}), released: make(chan struct{})}
}

// aside reports whether name lies in a checkpoint, or is it.
func (g *gate) aside(name string) bool {
	rest, ok := strings.CutPrefix(name, g.own)
	return ok && (rest == "" || os.IsPathSeparator(rest[0]))
}

// freeze stops all writing. The first cause stays.
func (g *gate) freeze(cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.frozen.Swap(true) {
		g.cause = cause
		close(g.stopped)
	}
}

// err returns why the gate is frozen, or nil.
func (g *gate) err() error {
	if !g.frozen.Load() {
		return nil
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.cause
}

// release lets waiting table makers go, with an error.
func (g *gate) release() { g.once.Do(func() { close(g.released) }) }

// pause slows background work that fails again and again. Pebble holds a lock meanwhile that reads do not need.
func (g *gate) pause() {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-g.released:
	case <-t.C:
	}
}

// do runs one write operation unless the gate is frozen, and freezes it if the operation fails. It
// reports whether the operation took effect.
func (g *gate) do(op func() error) (bool, error) {
	g.ops.Add(1)
	g.mu.RLock()
	if g.frozen.Load() {
		g.mu.RUnlock()
		return false, errFrozen
	}
	err := op()
	g.mu.RUnlock()
	if err != nil {
		g.freeze(err)
	}
	return err == nil, err
}

// isTable reports whether losing a write of this file would lose rows that are only in memory.
func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// open runs an operation that makes a writable file.
func (g *gate) open(name string, make func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	ok, err := g.do(func() (err error) { f, err = make(); return err })
	switch {
	case ok:
		return &gateFile{File: f, g: g, table: isTable(name)}, nil
	case isTable(name) && g.live.Load():
		<-g.released
		return nil, err
	}
	// While Pebble opens, a table that cannot be made would be tried again for ever, and the opening would not end.
	// So it ends well, and whoever opened asks the gate.
	return &gateFile{File: &voidFile{}, g: g}, nil
}

// Create makes a file. A marker names a manifest: Pebble syncs both names at once, so that after a power loss
// the marker alone could be there. So the manifest's name is synced first.
func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if g.aside(name) {
		return g.FS.Create(name, c)
	}
	if strings.HasPrefix(g.PathBase(name), "marker.") {
		_, _ = g.do(func() error { return syncDir(g.FS, g.PathDir(name)) }) // a failure freezes, and open swallows
	}
	return g.open(name, func() (vfs.File, error) { return g.FS.Create(name, c) })
}

func (g *gate) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.aside(name) {
		return g.FS.OpenReadWrite(name, c, opts...)
	}
	return g.open(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, c, opts...) })
}

func (g *gate) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.open(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
}

// quiet runs a change of the directory; a failure is the gate's to know, not Pebble's.
func (g *gate) quiet(name string, op func() error) error {
	if _, err := g.do(op); err != nil && isTable(name) {
		return err
	}
	return nil
}

func (g *gate) Link(oldname, newname string) error {
	if g.aside(newname) {
		return g.FS.Link(oldname, newname)
	}
	return g.quiet(newname, func() error { return g.FS.Link(oldname, newname) })
}

func (g *gate) Rename(oldname, newname string) error {
	if g.aside(newname) {
		return g.FS.Rename(oldname, newname)
	}
	return g.quiet(newname, func() error { return g.FS.Rename(oldname, newname) })
}

func (g *gate) MkdirAll(dir string, perm os.FileMode) error {
	if g.aside(dir) {
		return g.FS.MkdirAll(dir, perm)
	}
	return g.quiet("", func() error { return g.FS.MkdirAll(dir, perm) })
}

// Remove of an obsolete file may fail without harm: Pebble tries again at the next opening.
func (g *gate) Remove(name string) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.frozen.Load() {
		return nil
	}
	return g.FS.Remove(name)
}

func (g *gate) RemoveAll(name string) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.frozen.Load() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

// OpenDir opens a directory to sync it.
func (g *gate) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil || g.aside(name) {
		return f, err
	}
	return &gateFile{File: f, g: g}, nil
}

// Unwrap returns the file system below.
func (g *gate) Unwrap() vfs.FS { return g.FS }

// gateFile is a file whose writes pass the gate.
type gateFile struct {
	vfs.File
	g     *gate
	table bool
}

// done turns a failure into success unless the file is a table, and Pebble is open.
func (f *gateFile) done(err error) error {
	if f.table && f.g.live.Load() {
		return err
	}
	return nil
}

func (f *gateFile) Write(p []byte) (n int, err error) {
	_, err = f.g.do(func() (err error) { n, err = f.File.Write(p); return err })
	if err = f.done(err); err == nil {
		n = len(p)
	}
	return n, err
}

func (f *gateFile) WriteAt(p []byte, off int64) (n int, err error) {
	_, err = f.g.do(func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	if err = f.done(err); err == nil {
		n = len(p)
	}
	return n, err
}

func (f *gateFile) Sync() error {
	_, err := f.g.do(f.File.Sync)
	return f.done(err)
}

func (f *gateFile) SyncData() error {
	_, err := f.g.do(f.File.SyncData)
	return f.done(err)
}

func (f *gateFile) SyncTo(length int64) (full bool, err error) {
	_, err = f.g.do(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, f.done(err)
}

// Preallocate is a wish: a disk that cannot grant it will fail the write itself.
func (f *gateFile) Preallocate(off, length int64) error {
	f.g.mu.RLock()
	defer f.g.mu.RUnlock()
	if f.g.frozen.Load() {
		return nil
	}
	return f.File.Preallocate(off, length)
}

// Close never reports a failure for what the gate swallows: what was not synced before is not relied on.
func (f *gateFile) Close() error { return f.done(f.File.Close()) }

// voidFile takes everything and keeps nothing.
type voidFile struct{ vfs.File }

func (*voidFile) Write(p []byte) (int, error)            { return len(p), nil }
func (*voidFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (*voidFile) Read([]byte) (int, error)               { return 0, io.EOF }
func (*voidFile) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (*voidFile) Close() error                           { return nil }
func (*voidFile) Preallocate(int64, int64) error         { return nil }
func (*voidFile) Sync() error                            { return nil }
func (*voidFile) SyncData() error                        { return nil }
func (*voidFile) SyncTo(int64) (bool, error)             { return true, nil }
func (*voidFile) Prefetch(int64, int64) error            { return nil }
func (*voidFile) Fd() uintptr                            { return vfs.InvalidFd }
func (*voidFile) Stat() (vfs.FileInfo, error)            { return voidInfo{}, nil }

// voidInfo describes an empty file.
type voidInfo struct{}

func (voidInfo) Name() string           { return "" }
func (voidInfo) Size() int64            { return 0 }
func (voidInfo) Mode() os.FileMode      { return 0 }
func (voidInfo) ModTime() time.Time     { return time.Time{} }
func (voidInfo) IsDir() bool            { return false }
func (voidInfo) Sys() any               { return nil }
func (voidInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
