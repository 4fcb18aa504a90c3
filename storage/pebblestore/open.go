package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/ledger"
	"permanode/storage"
)

// pebbleFormat is the format of Pebble's own files. It is fixed, because raising it is one-way: a step
// of migrations does that.
const pebbleFormat = pebble.FormatValueSeparation

const defaultMemory = 512 << 20

// Options says how a store is opened.
type Options struct {
	// Codec returns the codec of an era, to re-hash what is read.
	Codec func(ledger.Era) (ledger.Codec, bool)
	// Memory is what the store may use in bytes, 0 for 512 MiB: a quarter is the block cache, a quarter the
	// largest cone, the rest memtables and tables in use.
	Memory int64
	// FS is the file system; nil is the disk.
	FS vfs.FS
	// ReadOnly leaves the directory as it is. A directory that is not there is storage.ErrNoData.
	ReadOnly bool
	// Damaged opens read-only although SUMS does not fit, for a check that lists what can be read.
	Damaged bool
	// Keep names folders that others keep below the directory, and that nobody writes as long as the store is open, unless
	// [DB.TakeOver] says so: what SUMS said of them is written again. So a change while nobody had the directory is known
	// until its owner comes back, whoever writes the store in between.
	Keep []string
	// Log gets what Pebble says; nil drops it.
	Log *slog.Logger

	still bool         // nothing is compacted
	lock  *pebble.Lock // of the directory, held by the caller; nil: it is taken
}

// Open opens the store in dir and creates it unless opts.ReadOnly. It fails with storage.ErrLocked,
// storage.ErrNoData, or storage.ErrCorrupt where a file differs from what the last clean stop wrote.
func Open(dir string, opts Options) (*DB, error) {
	d, err := open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return d, nil
}

func open(dir string, opts Options) (_ *DB, err error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.Memory <= 0 {
		opts.Memory = defaultMemory
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.ReadOnly = opts.ReadOnly || opts.Damaged
	if err := prepareDir(opts.FS, dir, opts.ReadOnly); err != nil {
		return nil, err
	}
	if err := unfinishedCopy(opts.FS, dir); err != nil {
		return nil, err
	}
	d := &DB{dir: dir, opts: opts, gate: newGate(opts.FS, dir), nets: map[ledger.NetID]*network{}, writing: map[ledger.NetID]bool{}}
	d.idle.L = &d.mu
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if _, err := opts.FS.Stat(opts.FS.PathJoin(dir, SumsName)); opts.ReadOnly && errors.Is(err, os.ErrNotExist) {
		if err := d.checkPresent(); errors.Is(err, storage.ErrNoData) {
			return nil, err // before the lock: a directory that is no store is left as it is
		}
	}
	if d.faults, err = notFiles(opts.FS, dir); err != nil {
		return nil, err
	}
	if len(d.faults) > 0 {
		return nil, d.faultError()
	}
	if d.lock = opts.lock; d.lock == nil {
		if d.lock, err = lockDir(opts.FS, dir); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			_ = d.unlock()
		}
	}()
	want, err := d.checkSums()
	if err != nil {
		return nil, err
	}
	d.was, d.bare = want, want == nil && len(d.faults) == 0
	if err := d.checkPresent(); err != nil {
		if !opts.Damaged || !errors.Is(err, storage.ErrCorrupt) {
			return nil, err
		}
		d.faults = append(d.faults, storage.FileFault{Name: ".", Why: err.Error()})
		return d, nil
	}
	if want != nil && !opts.ReadOnly {
		if err := removeSums(opts.FS, dir); err != nil {
			return nil, err
		}
	}
	if err := d.start(); err != nil {
		if !opts.Damaged || !errors.Is(err, storage.ErrCorrupt) {
			return nil, err
		}
		d.faults = append(d.faults, storage.FileFault{Name: ".", Why: "nothing can be read: " + err.Error()})
		return d, nil
	}
	if err := d.load(want); err != nil {
		damage := errors.Is(err, storage.ErrCorrupt) || want != nil && errors.Is(err, storage.ErrNoData) // SUMS says that there were
		if !opts.Damaged || !damage {
			return nil, errors.Join(err, d.stopPebble())
		}
		d.faults = append(d.faults, storage.FileFault{Name: ".", Why: "networks and coverage cannot be read: " + err.Error()})
	}
	return d, nil
}

// Inspect opens a store for a check: read-only, and as far as it can be read although files are damaged; at
// worst it holds no network and says so in Damage. A directory that was not stopped cleanly is recovered first, as any opening does, and stopped cleanly.
func Inspect(dir string, opts Options) (*DB, error) {
	fs := opts.FS
	if fs == nil {
		fs = vfs.Default
	}
	if _, err := fs.Stat(fs.PathJoin(dir, SumsName)); errors.Is(err, os.ErrNotExist) {
		if err := recoverDir(dir, opts); err != nil && !errors.Is(err, storage.ErrCorrupt) && !errors.Is(err, os.ErrPermission) {
			return nil, err
		}
	}
	opts.Damaged = true
	return Open(dir, opts)
}

func recoverDir(dir string, opts Options) error {
	opts.ReadOnly = true
	db, err := Open(dir, opts) // makes nothing where there is nothing
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	opts.ReadOnly = false
	if db, err = Open(dir, opts); err != nil {
		return err
	}
	return db.Close()
}

// prepareDir makes the directory, and makes sure that it survives a power loss.
func prepareDir(fs vfs.FS, dir string, readOnly bool) error {
	_, err := fs.Stat(dir)
	switch {
	case err == nil || !errors.Is(err, os.ErrNotExist):
		return err
	case readOnly:
		return storage.ErrNoData
	}
	var missing []string
	for p := dir; ; p = fs.PathDir(p) {
		if _, err := fs.Stat(p); err == nil || p == fs.PathDir(p) {
			break
		}
		missing = append(missing, p)
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range missing {
		if err := syncDir(fs, fs.PathDir(p)); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// lockDir takes Pebble's lock. Whatever keeps an existing directory from being locked, but missing
// permission, is another holder.
func lockDir(fs vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, fs)
	switch {
	case err == nil:
		return l, nil
	case isLockHeld(err):
		return nil, fmt.Errorf("%w (%v)", storage.ErrLocked, err)
	}
	return nil, err
}

// unlock gives the lock back, unless it is the caller's.
func (d *DB) unlock() error {
	if d.opts.lock != nil {
		return nil
	}
	return d.lock.Close()
}

// checkPresent tells a store from an empty directory, and refuses to start a new store over what is
// left of an old one: Pebble would remove its tables.
func (d *DB) checkPresent() error {
	desc, err := pebble.Peek(d.dir, d.opts.FS)
	if err != nil {
		return corruptFile(d.dir, err)
	}
	if desc.Exists {
		return nil
	}
	names, err := d.opts.FS.List(d.dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		// A manifest alone is what a kill leaves that came before the store's first marker.
		if isTable(n) || strings.HasSuffix(n, ".log") {
			return corruptFile(n, errors.New("data without the marker that names its manifest; restore the directory from a copy"))
		}
	}
	if d.opts.ReadOnly {
		return storage.ErrNoData
	}
	return nil
}

// start opens Pebble behind the gate.
func (d *DB) start() error {
	cache := pebble.NewCache(d.opts.Memory / 4)
	defer cache.Unref()
	po := d.pebbleOptions(cache)
	db, err := openPebble(d.dir, po)
	if err != nil {
		if pebble.IsCorruptionError(err) || d.opts.Damaged && !errors.Is(err, os.ErrPermission) {
			err = corruptFile(d.dir, err)
		}
		if stop := d.gate.err(); stop != nil {
			err = stop // what Pebble says follows from it
		}
		if d.opts.Damaged {
			return err
		}
		return errors.Join(d.faultError(), err)
	}
	d.db = db
	d.gate.live.Store(true)
	if err := d.gate.err(); err != nil {
		return errors.Join(err, d.stopPebble())
	}
	return nil
}

// openPebble turns a panic over a damaged file into an error.
func openPebble(dir string, po *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = corruptFile(dir, fmt.Errorf("%v", p))
		}
	}()
	return pebble.Open(dir, po)
}

func (d *DB) pebbleOptions(cache *pebble.Cache) *pebble.Options {
	po := &pebble.Options{
		Cache:              cache,
		FS:                 d.gate,
		ReadOnly:           d.opts.ReadOnly,
		Lock:               d.lock,
		FormatMajorVersion: pebbleFormat,
		Logger:             pebbleLog{d},
		EventListener:      d.events(),
		MemTableSize:       d.opts.memTable(),
		// Pebble must never make a commit wait for a flush: a flush that fails would hold it forever. The
		// writer waits instead, see pressure.
		MemTableStopWritesThreshold: 1 << 20,
		L0StopWritesThreshold:       1 << 20,
		L0CompactionThreshold:       4,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		MaxOpenFiles:                1000,
		DisableAutomaticCompactions: d.opts.still,
		BytesPerSync:                1 << 20,
		DisableTableStats:           d.opts.ReadOnly, // nothing is compacted
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		po.Levels[i].FilterType = pebble.TableFilter
	}
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionGood })
	return po
}

// events wakes the writer that waits for room and stops writing when background work fails.
func (d *DB) events() *pebble.EventListener {
	d.pressure.wake = make(chan struct{}, 1)
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if d.gate.frozen.Load() { // Pebble tries again at once, as long as the disk is bad
				d.gate.pause()
				return
			}
			d.opts.Log.Error("background work of the store failed", "err", firstLine(err))
			d.gate.freeze(fmt.Errorf("background work: %w", err))
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			name := path.Base(i.Path)
			if _, again := d.accused.LoadOrStore(name, true); !again && !d.opts.Damaged { // a check lists it by itself
				d.opts.Log.Error("corrupt file", "file", name, "err", firstLine(i.Details))
			}
		},
		WALCreated:    func(pebble.WALCreateInfo) { d.pressure.changed() },
		FlushEnd:      func(pebble.FlushInfo) { d.pressure.changed() },
		CompactionEnd: func(pebble.CompactionInfo) { d.pressure.changed() },
	}
}

// pebbleLog hands Pebble's log on. Fatalf means a broken invariant; I/O failures end at the gate. A
// panic reaches apply, which stops writing, where it comes from a commit.
type pebbleLog struct{ d *DB }

func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.d.opts.Log.Error("pebble", "msg", fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	l.d.gate.freeze(err)
	panic(err)
}

// load reads format, networks and coverage, and compares them with the units that SUMS names.
func (d *DB) load(want *sums) error {
	if err := d.loadFormat(); err != nil {
		return err
	}
	err := d.each(context.Background(), []byte{tabNetwork}, func(key, val []byte) error {
		n, err := decodeNetwork(val)
		if err == nil && len(key) != 2 {
			err = errRow("network key of %d bytes", len(key))
		}
		if err != nil {
			return d.badRow(key, err)
		}
		n.ID = ledger.NetID(key[1])
		return d.loadNetwork(n)
	})
	if err != nil || want == nil || d.opts.Damaged {
		return err
	}
	return d.compareUnits(want)
}

func (d *DB) loadFormat() error {
	v, err := d.get(d.db, keyFormat())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		if d.opts.ReadOnly {
			return storage.ErrNoData
		}
		b := d.db.NewBatch()
		_ = b.Set(keyFormat(), []byte{formatVersion}, nil)
		return d.apply(b, pebble.Sync)
	case err != nil:
		return err
	case len(v) != 1 || v[0] == 0:
		return d.badRow(keyFormat(), errRow("format row %x", v))
	case v[0] != formatVersion:
		return &FormatError{Have: int(v[0])}
	}
	return nil
}

// FormatError reports data of another format than the one that this program reads and writes.
type FormatError struct{ Have int }

func (e *FormatError) Error() string {
	if e.Have > formatVersion {
		return fmt.Sprintf("data has format %d, this program knows %d: use a newer permanode", e.Have, formatVersion)
	}
	return fmt.Sprintf("data has format %d, written by a development version before format %d", e.Have, formatVersion)
}

// Hint is the next step.
func (e *FormatError) Hint() string {
	if e.Have > formatVersion {
		return "open it with the permanode that wrote it, or a newer one"
	}
	return "ingest again into a new data directory: no release wrote that format, so nothing reads it any more"
}

func (d *DB) loadNetwork(n ledger.Network) error {
	st := &netState{network: n}
	err := d.each(context.Background(), keyNet(tabSpan, n.ID), func(key, val []byte) error {
		s, err := decodeSpan(key, val)
		if err != nil {
			return d.badRow(key, err)
		}
		st.spans = append(st.spans, s)
		return nil
	})
	if err != nil {
		return err
	}
	err = d.each(context.Background(), keyNet(tabGap, n.ID), func(key, val []byte) error {
		g, err := decodeGap(key, val)
		if err != nil {
			return d.badRow(key, err)
		}
		st.gaps = append(st.gaps, g)
		return nil
	})
	if err != nil {
		return err
	}
	net := newNetwork(st)
	if net.built, err = d.loadBuilt(n.ID); err != nil {
		return err
	}
	d.nets[n.ID] = net
	return nil
}
