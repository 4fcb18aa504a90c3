package pebblestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/ledger"
	"permanode/storage"
)

// CheckpointName is the folder below the directory that [DB.Checkpoint] fills. SUMS passes over it.
const CheckpointName = "checkpoint"

// A Checkpoint is the store as it was at one moment: a directory that looks like one after a clean stop, SUMS
// included. Its tables are the store's own, linked, so it costs no room until the store replaces them.
type Checkpoint struct {
	Dir   string // on the disk of the store
	Files int
	Bytes int64
	Units []LastUnit // newest unit of each network that holds one, by name
}

// LastUnit is the newest unit of a network.
type LastUnit struct {
	Network string
	Seq     uint64
	ID      ledger.ID
}

// ErrInUse says that a copy still reads the last checkpoint.
var ErrInUse = errors.New("the last checkpoint is being copied")

// besideMemory is the memory of the short-lived store in a checkpoint.
const besideMemory = 64 << 20

// Checkpoint makes a checkpoint in place of the last one. Commits wait while memory is flushed and tables are linked,
// about a second; then those that no checkpoint and no clean stop has hashed yet are hashed, while all goes on. The
// folders of others (not the index) are copied too, files of lines up to their last whole line. It fails with
// [ErrInUse] while another Checkpoint runs or a copy reads the last one, and with [storage.ErrStopped] as writing does;
// no failure of its own stops the store.
func (d *DB) Checkpoint(ctx context.Context) (Checkpoint, error) {
	if !d.making.TryLock() {
		return Checkpoint{}, fmt.Errorf("checkpoint of %s: %w", d.dir, ErrInUse)
	}
	defer d.making.Unlock()
	if err := d.enter(); err != nil {
		return Checkpoint{}, err
	}
	defer (&view{d: d}).close()
	c, err := d.checkpoint(ctx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint of %s: %w", d.dir, err)
	}
	return c, nil
}

// DropCheckpoint removes the last checkpoint: its tables then cost no room any more. None is no error. It fails with
// [ErrInUse] as Checkpoint does.
func (d *DB) DropCheckpoint() error {
	if !d.making.TryLock() {
		return fmt.Errorf("checkpoint of %s: %w", d.dir, ErrInUse)
	}
	defer d.making.Unlock()
	return d.dropCheckpoint()
}

func (d *DB) checkpointDir() string { return d.opts.FS.PathJoin(d.dir, CheckpointName) }

// enter counts a call, so that Close waits for it.
func (d *DB) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	d.users++
	return nil
}

func (d *DB) checkpoint(ctx context.Context) (c Checkpoint, err error) {
	fs, dir := d.opts.FS, d.checkpointDir()
	if d.opts.ReadOnly {
		return c, errors.New("the store is open for reading only")
	}
	if err := d.dropCheckpoint(); err != nil {
		return c, err
	}
	if err := d.linkTables(dir); err != nil {
		return c, err
	}
	names, err := fs.List(dir)
	if err != nil {
		return c, err
	}
	if err := d.copyFolders(ctx, dir); err != nil {
		return c, err
	}
	// Opening and stopping it empties its log and writes SUMS. Nothing is compacted, so that its tables stay the store's.
	beside, err := open(dir, Options{Codec: d.opts.Codec, Memory: besideMemory, FS: fs, still: true})
	if err != nil {
		return c, err
	}
	beside.known, beside.hashing = d.sumsOf(names), ctx
	if err := beside.Close(); err != nil {
		return c, err
	}
	raw, err := readFile(fs, fs.PathJoin(dir, SumsName))
	if err != nil {
		return c, err
	}
	s, err := decodeSums(raw)
	if err != nil {
		return c, corruptFile(SumsName, err)
	}
	d.keepSums(s, names)
	return s.checkpoint(dir), nil
}

// checkpoint describes the directory whose SUMS s is.
func (s *sums) checkpoint(dir string) Checkpoint {
	c := Checkpoint{Dir: dir, Files: len(s.files)}
	for _, f := range s.files {
		c.Bytes += f.size
	}
	for _, u := range s.units {
		c.Units = append(c.Units, LastUnit{u.network, u.seq, u.id})
	}
	return c
}

// linkTables flushes what is in memory and has Pebble link its tables into dir. Nothing is committed meanwhile, so
// that the log which is copied holds nothing that is not in a table.
func (d *DB) linkTables(dir string) error {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	if err := d.stopError(); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return fmt.Errorf("%w: %w", storage.ErrStopped, err)
	}
	if err := d.db.Checkpoint(dir); err != nil {
		return err
	}
	return d.stopError() // of a frozen store a copy may lack what Pebble believes to be there
}

// sumsOf returns what is known of the tables called names. They are the store's own and never change.
func (d *DB) sumsOf(names []string) map[string]fileSum {
	known := map[string]fileSum{}
	for _, n := range names {
		if s, ok := d.sumOf(n); ok {
			known[n] = s
		}
	}
	return known
}

// sumOf returns the sum of a table, if it is known.
func (d *DB) sumOf(name string) (fileSum, bool) {
	if s, ok := d.known[name]; ok {
		return s, true
	}
	d.sumsMu.Lock()
	defer d.sumsMu.Unlock()
	s, ok := d.hashed[name]
	return s, ok
}

// keepSums remembers the sums of tables that are the store's own.
func (d *DB) keepSums(s *sums, own []string) {
	hashed := map[string]fileSum{}
	for _, f := range s.files {
		if isTable(f.name) && slices.Contains(own, f.name) {
			hashed[f.name] = f
		}
	}
	d.sumsMu.Lock()
	defer d.sumsMu.Unlock()
	d.hashed = hashed
}

// dropCheckpoint removes the last checkpoint, unless somebody holds its lock.
func (d *DB) dropCheckpoint() error {
	fs, dir := d.opts.FS, d.checkpointDir()
	if _, err := fs.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	lock, err := lockDir(fs, dir)
	if errors.Is(err, storage.ErrLocked) {
		return ErrInUse
	}
	if err != nil {
		return err
	}
	// SUMS first: what is left of it after a crash must not look whole.
	if err := fs.Remove(fs.PathJoin(dir, SumsName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, lock.Close())
	}
	return errors.Join(fs.RemoveAll(dir), lock.Close())
}

// copyFolders copies the files in the folders of others, as long as they are now.
func (d *DB) copyFolders(ctx context.Context, to string) error {
	names, err := d.listFiles("")
	if err != nil {
		return err
	}
	// Files of lines last: what says how far they go must not say more than there is.
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(isLines(a), isLines(b)) })
	for _, n := range names {
		if !strings.Contains(n, "/") {
			continue
		}
		if err := d.copyNow(ctx, n, to); err != nil && !errors.Is(err, os.ErrNotExist) { // it was removed meanwhile
			return fmt.Errorf("copy %s: %w", n, err)
		}
	}
	return nil
}

// copyNow copies a file that others may append to. A file of lines ends with a whole one.
func (d *DB) copyNow(ctx context.Context, name, to string) error {
	fs := d.opts.FS
	from := below(fs, d.dir, name)
	st, err := fs.Stat(from)
	if err != nil {
		return err
	}
	size := st.Size()
	if isLines(name) > 0 {
		if size, err = wholeLines(fs, from, size); err != nil {
			return err
		}
	}
	target := below(fs, to, name)
	if err := fs.MkdirAll(fs.PathDir(target), 0o700); err != nil {
		return err
	}
	_, err = copyFile(ctx, fs, from, target, size)
	return err
}

// isLines is 1 for a file of lines, which only grows, else 0.
func isLines(name string) int {
	if strings.HasSuffix(name, ".ndjson") {
		return 1
	}
	return 0
}

// wholeLines returns how many of the first size bytes are whole lines.
func wholeLines(fs vfs.FS, name string, size int64) (int64, error) {
	f, err := openFile(fs, name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], size-n); err != nil {
			return 0, err
		}
		for i := n; i > 0; i-- {
			if buf[i-1] == '\n' {
				return size - n + i, nil
			}
		}
		size -= n
	}
	return 0, nil
}

// below joins a name with slashes to a directory.
func below(fs vfs.FS, dir, name string) string {
	return fs.PathJoin(append([]string{dir}, strings.Split(name, "/")...)...)
}

// readerOf ends a copy once its context does.
type readerOf struct {
	ctx context.Context
	io.Reader
}

func (r readerOf) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
