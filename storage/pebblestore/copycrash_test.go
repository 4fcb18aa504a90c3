package pebblestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permanode/internal/race"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// noteBeside replaces a file in a folder of others by a longer one, durably: a copy has more of it than the one before.
func noteBeside(fs vfs.FS, n int) error {
	dir := fs.PathJoin("data", "access")
	name := fs.PathJoin(dir, "day.ndjson")
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := fs.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte("{}\n"), n))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(name+".new", name); err != nil {
		return err
	}
	for _, d := range []string{dir, "data"} {
		f, err := fs.OpenDir(d)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// backups makes checkpoints and copies part of a job.
func backups(j *job, rng *rand.Rand, begun, done func(*storagetest.Model)) {
	for i := len(j.steps); i > 1; i-- {
		if rng.IntN(8) != 0 {
			continue
		}
		j.steps = slices.Insert(j.steps, i, func(j *job) error {
			if err := noteBeside(j.fs, 1+j.done); err != nil {
				return err
			}
			c, err := j.db.Checkpoint(context.Background())
			if err != nil {
				return err
			}
			begun(j.model)
			_, err = pebblestore.Copy(context.Background(), c.Dir, "backup", pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: j.fs})
			if err == nil {
				done(j.model)
			}
			return err
		})
	}
}

// TestCopyCrash loses power at any moment of a job that is backed up: the store is what it would be without, and
// the backup is the last one, or the one under way, or refuses to be opened; a copy made then ends it.
func TestCopyCrash(t *testing.T) {
	pebblestore.SmallChunks(t)
	pebblestore.SmallBlocks(t)
	const seed = 31
	run := func(rng *rand.Rand, at int64) (int64, error) {
		mem := vfs.NewCrashableMem()
		var clone *vfs.MemFS
		var n atomic.Int64
		var once sync.Once
		var crashed atomic.Bool
		var mu sync.Mutex
		var sure, maybe, sureThen, maybeThen *storagetest.Model
		j := newJob(seed)
		backups(j, rand.New(rand.NewPCG(seed, 9)), func(m *storagetest.Model) { mu.Lock(); maybe = m; mu.Unlock() },
			func(m *storagetest.Model) { mu.Lock(); sure = m; mu.Unlock() })
		var left acked
		keep, pick := 25*rng.IntN(5), rand.New(rand.NewPCG(rng.Uint64(), 1))
		fs := &faultFS{mem, func(k kind) (error, error) {
			if isWrite(k) && n.Add(1) >= at {
				once.Do(func() {
					from := j.acknowledged()
					mu.Lock()
					sureThen = sure
					mu.Unlock()
					clone = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: pick})
					mu.Lock()
					maybeThen = maybe
					mu.Unlock()
					left = j.since(from)
					crashed.Store(true)
				})
			}
			return nil, nil
		}}
		if err := errors.Join(j.run(fs, crashed.Load), j.db.Close()); err != nil || clone == nil {
			return n.Load(), err
		}
		if err := backupAt(clone, "backup", false, sureThen, maybeThen); err != nil {
			return 0, fmt.Errorf("the backup after the crash: %w", err)
		}
		k := newJob(seed)
		if err := k.recovered(clone, left, false); err != nil {
			return 0, err
		}
		if _, err := pebblestore.Copy(context.Background(), "data", "backup", pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: clone}); err != nil {
			return 0, fmt.Errorf("the copy after the crash: %w", err)
		}
		db, err := pebblestore.Open("backup", pebblestore.Options{Codec: storagetest.Codecs, FS: clone, ReadOnly: true, Memory: 16 << 20})
		if err != nil {
			return 0, fmt.Errorf("open the backup in the end: %w", err)
		}
		return 0, errors.Join(matches(db, left), db.Close())
	}
	total, err := run(rand.New(rand.NewPCG(1, 1)), 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	campaign(t, 5_000, func(_ *testing.T, rng *rand.Rand) error {
		_, err := run(rng, 1+rng.Int64N(total))
		return err
	})
}

// TestCopyCrashAnywhere loses power between any two operations of a copy that brings a backup up to date, all or some of
// what was not synced.
func TestCopyCrashAnywhere(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j := newJob(33)
	grow := func(steps, lines int) *storagetest.Model {
		if err := j.run(mem, func() bool { return j.done >= steps }); err != nil {
			t.Fatal(err)
		}
		if err := noteBeside(mem, lines); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.w.Close(), j.db.Close()); err != nil {
			t.Fatal(err)
		}
		j.db = nil
		return j.model.Clone()
	}
	o := pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: mem}
	first := grow(4, 1)
	if _, err := pebblestore.Copy(context.Background(), "data", "backup", o); err != nil {
		t.Fatal(err)
	}
	then := grow(8, 2)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var left []*vfs.MemFS
	o.FS = &faultFS{mem, func(k kind) (error, error) {
		if isWrite(k) {
			for _, keep := range []int{0, 50} {
				left = append(left, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng}))
			}
		}
		return nil, nil
	}}
	if _, err := pebblestore.Copy(context.Background(), "data", "backup", o); err != nil {
		t.Fatal(err)
	}
	left = append(left, mem.CrashClone(vfs.CrashCloneCfg{RNG: rng}))
	for i, fs := range left {
		if race.Enabled && i%10 != 0 && i != len(left)-1 {
			continue
		}
		if err := backupAt(fs, "backup", i == len(left)-1, first, then); err != nil {
			t.Fatalf("what is left after %d of %d operations: %v", i/2, len(left)/2, err)
		}
		_, err := pebblestore.Copy(context.Background(), "data", "backup", pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: fs})
		if err == nil {
			err = backupAt(fs, "backup", true, then)
		}
		if err != nil {
			t.Fatalf("the copy after %d of %d operations: %v", i/2, len(left)/2, err)
		}
	}
}

// TestCopyFaults: whatever operation fails while a copy is made, the target is the last one or no archive, and the copy
// can be made when the disk is well again.
func TestCopyFaults(t *testing.T) {
	data := "data"
	mem := vfs.NewMem()
	first, then := storagetest.NewModel(), storagetest.NewModel()
	j := newJob(33)
	if err := j.run(mem, func() bool { return j.done > 12 }); err != nil {
		t.Fatal(err)
	}
	first = j.model.Clone()
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	o := pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: mem}
	if _, err := pebblestore.Copy(context.Background(), data, "old", o); err != nil {
		t.Fatal(err)
	}
	j.db = nil
	if err := j.run(mem, never); err != nil {
		t.Fatal(err)
	}
	then = j.model.Clone()
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	try := func(at int64, to string) (int64, error) {
		var n atomic.Int64
		fs := &faultFS{mem, func(kind) (error, error) {
			if n.Add(1) == at {
				return errorfs.ErrInjected, nil
			}
			return nil, nil
		}}
		_, err := pebblestore.Copy(context.Background(), data, to, pebblestore.CopyOptions{Codec: storagetest.Codecs, FS: fs})
		return n.Load(), err
	}
	clone := func(to string) {
		if _, err := pebblestore.Copy(context.Background(), "old", to, o); err != nil {
			t.Fatal(err)
		}
	}
	clone("count")
	total, err := try(1<<60, "count")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	campaign(t, 5_000, func(_ *testing.T, rng *rand.Rand) error {
		n++
		to := fmt.Sprintf("to%d", n)
		clone(to)
		defer func() { _ = mem.RemoveAll(to) }()
		at := 1 + rng.Int64N(total)
		if _, err := try(at, to); err != nil {
			if err := backupAt(mem, to, false, first, then); err != nil {
				return fmt.Errorf("operation %d of %d: %w", at, total, err)
			}
		}
		if _, err := pebblestore.Copy(context.Background(), data, to, o); err != nil {
			return fmt.Errorf("operation %d of %d: the copy afterwards: %w", at, total, err)
		}
		return backupAt(mem, to, true, then)
	})
}

// backupAt opens what a fault left of a backup: one of the models, of which nil is none yet; half a copy unless done.
// Whatever it is, SUMS is nowhere beside files that it does not fit, those in folders of others included.
func backupAt(fs vfs.FS, dir string, done bool, may ...*storagetest.Model) error {
	changed, err := pebblestore.CompareBeside(fs, dir, "access")
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return fmt.Errorf("SUMS does not fit what is beside it: %v", changed)
	}
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs, FS: fs, ReadOnly: true, Memory: 16 << 20})
	var half *pebblestore.UnfinishedCopyError
	switch {
	case errors.As(err, &half) && !done:
		return nil
	case errors.Is(err, storage.ErrNoData) && slices.Contains(may, nil):
		return nil
	case err != nil:
		return err
	}
	if !db.Clean() {
		return errors.Join(errors.New("a copy that opens is not as a clean stop leaves it"), db.Close())
	}
	may = slices.DeleteFunc(may, func(m *storagetest.Model) bool { return m == nil })
	return errors.Join(matches(db, may), db.Close())
}
