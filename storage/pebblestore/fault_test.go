package pebblestore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// campaign runs one row of the fault table: for three seconds, or count times where PERMANODE_TORTURE is set.
// It prints its seed; PERMANODE_SEED repeats one.
func campaign(t *testing.T, count int, one func(t *testing.T, rng *rand.Rand) error) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("PERMANODE_SEED"), 10, 64); err == nil {
		seed = s
	}
	torture := os.Getenv("PERMANODE_TORTURE") != ""
	end := time.Now().Add(3 * time.Second)
	if testing.Short() || race.Enabled { // the race detector
		end = time.Now().Add(time.Second)
	}
	n := 0
	for ; n < count && (torture || time.Now().Before(end)); n++ {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		if err := one(t, rng); err != nil {
			t.Fatalf("seed %d, run %d: %v", seed, n, err)
		}
	}
	t.Logf("seed %d: %d runs", seed, n)
}

func faultOptions(fs vfs.FS) pebblestore.Options {
	return pebblestore.Options{Codec: storagetest.Codecs, FS: fs, Memory: 16 << 20}
}

// job is a network that is collected into a store: a list of steps, each idempotent.
type job struct {
	g     *storagetest.Gen
	steps []func(*job) error

	fs    vfs.FS
	db    *pebblestore.DB
	w     storage.Writer
	done  int                // steps acknowledged
	model *storagetest.Model // what is acknowledged

	mu   sync.Mutex
	hist []*storagetest.Model // what was attempted, in order
	sure int                  // the newest of them that is acknowledged
}

// acked is what a fault may leave: the first, or one that was under way then.
type acked []*storagetest.Model

// since returns what is left by a fault that began when the model at from was acknowledged.
func (j *job) since(from int) acked {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.hist[from:])
}

func (j *job) acknowledged() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sure
}

func (j *job) left() acked { return j.since(j.acknowledged()) }

// made are the cones of jobs, by seed: no cone changes once it is made.
var made sync.Map

func jobCones(seed uint64, g *storagetest.Gen) []*ledger.Cone {
	if c, ok := made.Load(seed); ok {
		return c.([]*ledger.Cone)
	}
	var cones []*ledger.Cone
	for range 90 {
		cones = append(cones, g.Next(1))
	}
	made.Store(seed, cones)
	return cones
}

// newJob makes about 40 steps: opening, commits small and large, notes, stops.
func newJob(seed uint64) *job {
	j := &job{g: storagetest.NewGen(seed, storagetest.Shape{MaxRecords: 10, MaxPayload: 2500}), model: storagetest.NewModel()}
	j.hist = []*storagetest.Model{j.model}
	cones := jobCones(seed, j.g)
	rng := rand.New(rand.NewPCG(seed, 5))
	j.step(func(m *storagetest.Model) { m.Open(j.g.Span(), j.g.Opening()) }, func(j *job) error {
		return j.w.Open(context.Background(), j.g.Span(), j.g.Opening())
	})
	for len(cones) > 0 {
		part := cones[:min(len(cones), 1+rng.IntN(6))]
		cones = cones[len(part):]
		j.step(func(m *storagetest.Model) {
			for _, c := range part {
				m.Commit(c)
			}
		}, func(j *job) error { return j.w.Commit(context.Background(), part) })
		switch rng.IntN(12) {
		case 0:
			j.steps = append(j.steps, (*job).restart)
		case 3: // an archive without totals
			j.steps = append(j.steps, func(j *job) error { return pebblestore.SetBlocks(j.db, nil) }, (*job).restart)
		case 1:
			n := storage.Note{Net: 1, Kind: storage.NoteGap, Seq: 200, To: 200 + uint64(rng.IntN(9)), Text: "far"}
			j.step(func(m *storagetest.Model) { m.Note(n) }, func(j *job) error { return j.w.Note(context.Background(), n) })
		case 2:
			n := storage.Note{Net: 1, Kind: storage.NoteRefused, Seq: uint64(rng.IntN(9)), Source: "s", TimeMs: rng.Int64()}
			j.step(func(m *storagetest.Model) { m.Note(n) }, func(j *job) error { return j.w.Note(context.Background(), n) })
		}
	}
	return j
}

// step adds a step that changes the model.
func (j *job) step(change func(*storagetest.Model), act func(*job) error) {
	j.steps = append(j.steps, func(j *job) error {
		next := j.model.Clone()
		change(next)
		j.mu.Lock()
		j.hist = append(j.hist, next)
		at := len(j.hist) - 1
		j.mu.Unlock()
		if err := act(j); err != nil {
			return err
		}
		j.mu.Lock()
		j.model, j.sure = next, at
		j.mu.Unlock()
		return nil
	})
}

func (j *job) restart() error {
	if err := errors.Join(j.w.Close(), j.db.Close()); err != nil {
		return err
	}
	j.db = nil
	return j.open(j.fs)
}

// run does all steps that are not done.
func (j *job) run(fs vfs.FS, stop func() bool) error {
	j.fs = fs
	if j.db == nil {
		if err := j.open(fs); err != nil {
			return err
		}
	}
	for ; j.done < len(j.steps) && !stop(); j.done++ {
		if err := j.steps[j.done](j); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) open(fs vfs.FS) (err error) {
	if j.db, err = pebblestore.Open("data", faultOptions(fs)); err != nil {
		return err
	}
	j.w, err = j.db.Writer(context.Background(), j.g.Network())
	return err
}

func never() bool { return false }

// recovered opens what a fault left and expects what was acknowledged, or that and the step under way;
// then finishes the job and checks the store in full.
func (j *job) recovered(fs vfs.FS, left acked, finish bool) error {
	j.db, j.w = nil, nil
	if err := j.open(fs); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	if err := matches(j.db, left); err != nil {
		return fmt.Errorf("after recovery: %w", errors.Join(err, j.db.Close()))
	}
	if !finish {
		return j.db.Close()
	}
	if err := j.run(fs, never); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if err := j.model.Check(context.Background(), j.db, 1, 0); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	if err := j.db.Close(); err != nil {
		return err
	}
	return sound(fs)
}

// sound checks a store in full.
func sound(fs vfs.FS) error {
	db, err := pebblestore.Inspect("data", faultOptions(fs))
	if err != nil {
		return err
	}
	var found []check.Finding
	_, err = check.Run(context.Background(), check.Options{Store: db, Codec: storagetest.Codecs, Full: true}, func(f check.Finding) { found = append(found, f) })
	if err != nil {
		err = fmt.Errorf("check: %w: %v", err, found)
	}
	return errors.Join(err, db.Close())
}

// matches compares a store with what must, or may, be there.
func matches(r storage.Reader, left acked) error {
	var errs []error
	for _, m := range left {
		err := m.Check(context.Background(), r, 1, 4)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("neither as acknowledged nor with what was under way: %w", errors.Join(errs...))
}

// countOps runs a job without faults and returns how many operations it takes.
func countOps(t *testing.T, seed uint64, which func(kind) bool) int64 {
	t.Helper()
	var n atomic.Int64
	fs := &faultFS{vfs.NewMem(), func(k kind) (error, error) {
		if which(k) {
			n.Add(1)
		}
		return nil, nil
	}}
	j := newJob(seed)
	if err := j.run(fs, never); err != nil {
		t.Fatal(err)
	}
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	return n.Load()
}

func isWrite(k kind) bool { return k != opRead }

func TestCrash(t *testing.T) {
	pebblestore.SmallChunks(t)
	pebblestore.SmallBlocks(t)
	const seed = 21
	total := countOps(t, seed, isWrite)
	campaign(t, 10_000, func(_ *testing.T, rng *rand.Rand) error {
		at, left := 1+rng.Int64N(total), acked(nil)
		mem := vfs.NewCrashableMem()
		var clone *vfs.MemFS
		var n atomic.Int64
		var once sync.Once
		var crashed atomic.Bool
		j := newJob(seed)
		keep := 25 * rng.IntN(5)
		pick := rand.New(rand.NewPCG(rng.Uint64(), 1))
		fs := &faultFS{mem, func(k kind) (error, error) {
			if isWrite(k) && n.Add(1) >= at {
				once.Do(func() {
					from := j.acknowledged()
					clone = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: pick})
					left = j.since(from)
					crashed.Store(true)
				})
			}
			return nil, nil
		}}
		if err := j.run(fs, crashed.Load); err != nil {
			return err
		}
		if err := j.db.Close(); err != nil {
			return err
		}
		if clone == nil {
			return nil // background work took fewer operations this time
		}
		k := newJob(seed)
		return k.recovered(clone, left, rng.IntN(4) == 0)
	})
}

// faultRow is a failure of the n-th operation of a kind.
func faultRow(t *testing.T, which func(kind) bool, persisted bool) {
	pebblestore.SmallChunks(t)
	pebblestore.SmallBlocks(t)
	const seed = 22
	total := countOps(t, seed, which)
	campaign(t, 10_000, func(_ *testing.T, rng *rand.Rand) error {
		at := 1 + rng.Int64N(total)
		burst := int64(1)
		if rng.IntN(2) == 0 {
			burst = 1 << 40 // everything from here on fails
		}
		mem := vfs.NewCrashableMem()
		var n atomic.Int64
		var off atomic.Bool
		fs := &faultFS{mem, func(k kind) (error, error) {
			if off.Load() || !which(k) {
				return nil, nil
			}
			if i := n.Add(1); i < at || i >= at+burst {
				return nil, nil
			}
			if persisted {
				return nil, errorfs.ErrInjected
			}
			return errorfs.ErrInjected, nil
		}}
		j := newJob(seed)
		return survive(j, mem, fs, &off, rng)
	})
}

// survive runs a job into a fault: the writer stops, reads go on, nothing acknowledged is lost.
func survive(j *job, mem *vfs.MemFS, fs vfs.FS, off *atomic.Bool, rng *rand.Rand) error {
	err := j.run(fs, never)
	left := j.left()
	off.Store(true)
	if err != nil && !errors.Is(err, errorfs.ErrInjected) && !errors.Is(err, storage.ErrStopped) && !errors.Is(err, storage.ErrCorrupt) {
		return fmt.Errorf("an error that does not name its cause: %w", err)
	}
	if j.db != nil && j.w != nil {
		if err := goesOn(j, left, err); err != nil {
			return err
		}
	}
	if rng.IntN(2) == 0 { // power is lost instead of a stop
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
		if j.db != nil {
			_ = j.db.Close()
		}
		return newJob(22).recovered(clone, left, false)
	}
	if j.db != nil {
		_ = j.db.Close() // it may say that writing had stopped
	}
	finish := rng.IntN(4) == 0
	k := newJob(22)
	return k.recovered(mem, left, finish)
}

// goesOn reads everything acknowledged from a store that stopped writing.
func goesOn(j *job, left acked, failed error) error {
	cov, err := j.db.Coverage(context.Background(), 1)
	if err != nil {
		return nil // it was not opened, or is closed
	}
	if errors.Is(failed, storage.ErrStopped) {
		err := left[0].Check(context.Background(), j.db, 1, 4)
		for range 100 { // a read can join one that background work began before the disk was well again
			if !errors.Is(err, errorfs.ErrInjected) {
				break
			}
			err = left[0].Check(context.Background(), j.db, 1, 4)
		}
		if err != nil {
			return fmt.Errorf("reads do not go on: %w", err)
		}
		if len(cov.Spans) > 0 {
			c := storagetest.NewGen(5, storagetest.Shape{}).Next(1)
			c.Unit.Seq = cov.Spans[0].Hi + 1
			for i := range c.Records {
				c.Records[i].Ord.Seq = c.Unit.Seq
			}
			if err := j.w.Commit(context.Background(), []*ledger.Cone{c}); !errors.Is(err, storage.ErrStopped) {
				return fmt.Errorf("a stopped store took a commit: %w", err)
			}
		}
		return nil
	}
	return matches(j.db, left)
}

func TestFaultWrite(t *testing.T) { faultRow(t, func(k kind) bool { return k == opWrite }, false) }

func TestFaultWritePersists(t *testing.T) {
	faultRow(t, func(k kind) bool { return k == opWrite }, true)
}

func TestFaultSync(t *testing.T) { faultRow(t, func(k kind) bool { return k == opSync }, false) }

func TestFaultSyncPersists(t *testing.T) {
	faultRow(t, func(k kind) bool { return k == opSync }, true)
}

func TestFaultDirectory(t *testing.T) { faultRow(t, func(k kind) bool { return k == opDir }, false) }

func TestFaultDirectoryPersists(t *testing.T) {
	faultRow(t, func(k kind) bool { return k == opDir }, true)
}

func TestFaultRead(t *testing.T) { faultRow(t, func(k kind) bool { return k == opRead }, false) }

func TestDiskFull(t *testing.T) {
	pebblestore.SmallChunks(t)
	pebblestore.SmallBlocks(t)
	const seed = 22
	probe := &fullFS{FS: vfs.NewMem(), room: 1 << 40}
	j := newJob(seed)
	if err := j.run(probe, never); err != nil {
		t.Fatal(err)
	}
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	total := 1<<40 - probe.room
	campaign(t, 1000, func(_ *testing.T, rng *rand.Rand) error {
		mem := vfs.NewCrashableMem()
		fs := &fullFS{FS: mem, room: rng.Int64N(total)}
		j := newJob(seed)
		err := j.run(fs, never)
		left := j.left()
		if err == nil {
			err = j.db.Close()
			j.db = nil
		}
		if fs.hit.Load() && err == nil && fs.room == 0 && j.done < len(j.steps) {
			return errors.New("a full disk and no error")
		}
		if j.db != nil && j.w != nil {
			if err := goesOn(j, left, err); err != nil {
				return err
			}
		}
		if j.db != nil {
			_ = j.db.Close()
		}
		return newJob(seed).recovered(mem, left, rng.IntN(4) == 0)
	})
}

// tap calls after when a file with this beginning of a name was made, or renamed to.
type tap struct {
	vfs.FS
	begin string
	after func()
}

func (r *tap) Rename(from, to string) error {
	err := r.FS.Rename(from, to)
	r.look(to)
	return err
}

func (r *tap) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, c)
	r.look(name)
	return f, err
}

func (r *tap) look(name string) {
	if base := r.PathBase(name); strings.HasPrefix(base, r.begin) && base != pebblestore.SumsName+".tmp" {
		r.after()
	}
}

// Power is lost when a file that speaks of others has its name and nothing was synced since: what it speaks
// of must be there, or gone, for good. SUMS names all files that are there; a marker names the manifest.
func TestCrashBehindNames(t *testing.T) {
	pebblestore.SmallBlocks(t)
	for _, begin := range []string{pebblestore.SumsName, "marker."} {
		mem := vfs.NewCrashableMem()
		type left struct {
			fs    *vfs.MemFS
			acked acked
		}
		var clones []left
		j := newJob(22)
		fs := &tap{mem, begin, func() {
			for i := range uint64(race.Fewer(8)) {
				clones = append(clones, left{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(i, 1))}), j.left()})
			}
		}}
		if err := j.run(fs, never); err != nil {
			t.Fatal(err)
		}
		if err := j.db.Close(); err != nil {
			t.Fatal(err)
		}
		for i, c := range clones {
			if err := newJob(22).recovered(c.fs, c.acked, false); err != nil {
				t.Fatalf("%s, clone %d of %d: %v", begin, i, len(clones), err)
			}
		}
		t.Logf("%s: %d clones", begin, len(clones))
	}
}
