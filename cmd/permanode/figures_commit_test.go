package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// engine is a store that a dataset is written to.
type engine struct {
	dir string
	db  *pebblestore.DB
	w   storage.Writer
}

func openEngine(b *testing.B, dir string, s *dataset, fs vfs.FS) *engine {
	b.Helper()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: eras.Codec, Memory: figuresMemory, FS: fs})
	if err != nil {
		b.Fatal(err)
	}
	w, err := db.Writer(context.Background(), ledger.Network{Name: "figures", Era: s.trust.Era, Identity: s.trust.Identity, Trust: s.trust.Raw})
	if err != nil {
		b.Fatal(err)
	}
	e := &engine{dir: dir, db: db, w: w}
	f, err := os.Open(s.snapshot)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	codec, _ := eras.Codec(s.trust.Era)
	snap, err := codec.Snapshot(s.trust, f)
	if err != nil {
		b.Fatal(err)
	}
	span := storage.Span{Lo: snap.Seq + 1, Held: true, Snapshot: s.trust.Snapshot, PrevID: snap.Unit, PrevTime: snap.TimeMs}
	if err := w.Open(context.Background(), span, snap.Changes); err != nil {
		b.Fatal(err)
	}
	return e
}

func (e *engine) close(b *testing.B) {
	b.Helper()
	if err := errors.Join(e.w.Close(), e.db.Close()); err != nil {
		b.Fatal(err)
	}
}

// commits cuts cones as the collector does while it catches up.
func commits(cones []*ledger.Cone) (out [][]*ledger.Cone) {
	const most, mostBytes = 64, 8 << 20
	for len(cones) > 0 {
		n, size := 0, 0
		for n < min(len(cones), most) && size < mostBytes {
			size += cones[n].Bytes()
			n++
		}
		out = append(out, cones[:n])
		cones = cones[n:]
	}
	return out
}

func (e *engine) commit(batches [][]*ledger.Cone) error {
	for _, cones := range batches {
		if err := e.w.Commit(context.Background(), cones); err != nil {
			return err
		}
	}
	return nil
}

// lookUp asks the store what the proof of a cone that it does not hold yet asks: whether earlier units hold its
// records, and the state under keys.
func (e *engine) lookUp(c *ledger.Cone, keys [][]byte) error {
	ctx, scan := context.Background(), storage.Scan{Hi: ledger.Ord{Seq: c.Unit.Seq - 1, Pos: ledger.UnitPos}}
	for i := range c.Records {
		key := ledger.Key{Kind: ledger.KeyRecord, Val: c.Records[i].ID.Key()}
		for _, err := range e.w.Lookup(ctx, e.w.Net(), key, scan) {
			return errors.Join(err, fmt.Errorf("unit %d: record %s lies in an earlier one", c.Unit.Seq, c.Records[i].ID))
		}
	}
	_, err := e.w.State(ctx, e.w.Net(), keys)
	return err
}

// logTap is a file system that keeps what is written to Pebble's logs: the batches that ours makes.
type logTap struct {
	vfs.FS
	mu   sync.Mutex
	logs map[uint64]*tapped
}

type tapped struct {
	written bytes.Buffer
	taken   int // batches
}

func newLogTap() *logTap { return &logTap{FS: vfs.Default, logs: map[uint64]*tapped{}} }

func (t *logTap) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.Create(name, c)
	return t.tap(name, f), err
}

func (t *logTap) ReuseForWrite(from, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := t.FS.ReuseForWrite(from, name, c)
	return t.tap(name, f), err
}

func (t *logTap) tap(name string, f vfs.File) vfs.File {
	number, isLog := strings.CutSuffix(filepath.Base(name), ".log")
	n, err := strconv.ParseUint(number, 10, 64)
	if f == nil || !isLog || err != nil {
		return f
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs[n] = &tapped{}
	return &tapFile{File: f, t: t, log: t.logs[n]}
}

type tapFile struct {
	vfs.File
	t   *logTap
	log *tapped
}

func (f *tapFile) Write(p []byte) (int, error) {
	f.t.mu.Lock()
	f.log.written.Write(p)
	f.t.mu.Unlock()
	return f.File.Write(p)
}

// take returns the batches since the last call, as Pebble writes them.
func (t *logTap) take(b *testing.B) (batches [][]byte) {
	b.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	var numbers []uint64
	for n := range t.logs {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		log := t.logs[n]
		r := logReader(record.NewReader, bytes.NewReader(log.written.Bytes()), n)
		for have := 0; ; have++ {
			one, err := r.Next()
			if err != nil {
				log.taken = have
				break
			}
			batch, err := io.ReadAll(one)
			if err != nil {
				b.Fatal(err)
			}
			if have >= log.taken {
				batches = append(batches, batch)
			}
		}
		if i < len(numbers)-1 {
			delete(t.logs, n)
		}
	}
	return batches
}

// logReader names the type of a file's number, which Pebble keeps to itself.
func logReader[N ~uint64](open func(io.Reader, N) *record.Reader, r io.Reader, n uint64) *record.Reader {
	return open(r, N(n))
}

// rawStore is the floor of a commit: Pebble and nothing else.
type rawStore struct {
	dir        string
	db         *pebble.DB
	keys, size int
}

// rawOptions are the engine's, as sameOptions shows.
func rawOptions() *pebble.Options {
	o := &pebble.Options{
		FormatMajorVersion: pebble.FormatValueSeparation,
		Logger:             quietPebble{},
		CacheSize:          figuresMemory / 4,
		MemTableSize:       figuresMemory / 16, MemTableStopWritesThreshold: 1 << 20,
		L0StopWritesThreshold: 1 << 20, L0CompactionThreshold: 4,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		MaxOpenFiles:               1000, BytesPerSync: 1 << 20,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].FilterType = pebble.TableFilter
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionGood })
	return o
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)         {}
func (quietPebble) Errorf(string, ...any)        {}
func (quietPebble) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func openRaw(b *testing.B, dir string) *rawStore {
	b.Helper()
	db, err := pebble.Open(dir, rawOptions())
	if err != nil {
		b.Fatal(err)
	}
	return &rawStore{dir: dir, db: db}
}

// sameOptions fails unless both directories were written with the same options: Pebble keeps them in a file.
func sameOptions(b *testing.B, dirs ...string) {
	b.Helper()
	var texts []string
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
		if err != nil || len(names) == 0 {
			b.Fatalf("no options in %s: %v", dir, err)
		}
		text, err := os.ReadFile(names[len(names)-1])
		if err != nil {
			b.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		b.Fatalf("floor and ours run Pebble with other options:\n%s\n%s", texts[0], texts[1])
	}
}

// write sets the keys of batches anew, in batches of the same size, and syncs where ours did: the last batch of
// a commit moves the coverage, and only that one is synced.
func (r *rawStore) write(batches [][]byte) error {
	for _, repr := range batches {
		batch, o := r.db.NewBatch(), pebble.NoSync
		for entries := batchrepr.Read(repr); ; {
			kind, key, val, ok, err := entries.Next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := setOrDelete(batch, kind, key, val); err != nil {
				return err
			}
			if key[0] == 'C' {
				o = pebble.Sync
			}
			r.keys++
			r.size += len(key) + len(val)
		}
		if err := errors.Join(batch.Commit(o), batch.Close()); err != nil {
			return err
		}
	}
	return nil
}

func setOrDelete(b *pebble.Batch, kind pebble.InternalKeyKind, key, val []byte) error {
	switch kind {
	case pebble.InternalKeyKindSet:
		return b.Set(key, val, nil)
	case pebble.InternalKeyKindDelete:
		return b.Delete(key, nil)
	}
	return fmt.Errorf("an entry of kind %d", kind)
}

// content is number, size and hash of all rows of a store.
type content struct {
	keys, size int
	hash       uint64
}

func contentOf(b *testing.B, dir string) (c content) {
	b.Helper()
	o := rawOptions()
	o.ReadOnly = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		b.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		b.Fatal(err)
	}
	h := xxhash.New()
	for ok := it.First(); ok; ok = it.Next() {
		c.keys++
		c.size += len(it.Key()) + len(it.Value())
		_, _ = h.Write(it.Key())
		_, _ = h.Write(it.Value())
	}
	if err := errors.Join(it.Error(), it.Close(), db.Close()); err != nil {
		b.Fatal(err)
	}
	c.hash = h.Sum64()
	return c
}
