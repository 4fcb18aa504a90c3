package check_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
)

// checkpoints is a generated chain.
type checkpoints struct {
	trust   ledger.Trust
	made    []*rebasedtest.Checkpoint
	segment int                     // units that one certificate attests at most
	by      map[ledger.ID]ledger.ID // who attests each unit of a whole segment, as stored
}

func makeCheckpoints(t testing.TB, o rebasedtest.Options, units int) *checkpoints {
	t.Helper()
	n := rebasedtest.New(o)
	c := &checkpoints{segment: 16}
	var err error
	if c.trust, err = (rebased.Codec{}).ParseTrust(n.Trust()); err != nil {
		t.Fatal(err)
	}
	for range units {
		c.made = append(c.made, n.Next())
	}
	return c
}

func codecsOf(codec ledger.Codec) func(ledger.Era) (ledger.Codec, bool) {
	return func(era ledger.Era) (ledger.Codec, bool) {
		if era == codec.Era() {
			return codec, true
		}
		return eras.Codec(era)
	}
}

// store proves a chain with codec, segments by one certificate, and commits it into a network of dir.
func (c *checkpoints) store(t testing.TB, dir string, codec ledger.Codec, fs vfs.FS) {
	t.Helper()
	ctx := context.Background()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: codecsOf(codec), FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Writer(ctx, ledger.Network{Name: "checkpoints", Era: c.trust.Era, Identity: c.trust.Identity, Trust: c.trust.Raw})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Open(ctx, storage.Span{Hi: ^uint64(0), Held: true}, nil); err != nil {
		t.Fatal(err)
	}
	start := ledger.Start{Trust: c.trust, Held: true}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	attested := map[ledger.ID]ledger.Attestation{}
	c.by = map[ledger.ID]ledger.ID{}
	for i, made := range c.made {
		if i%c.segment == 0 && i+c.segment <= len(c.made) {
			var heads [][]byte
			for _, m := range c.made[i : i+c.segment] {
				heads = append(heads, m.Head())
			}
			list, err := codec.(ledger.Attester).Attest(ctx, heads, start)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				attested[a.Unit], c.by[a.Unit] = a, a.By
			}
		}
		u, err := codec.Unit(made.Head())
		if err != nil {
			t.Fatal(err)
		}
		start.Attested = attested[u.ID]
		cone := proveCheckpoint(t, codec, made, start)
		cone.Net = w.Net()
		if err := w.Commit(ctx, []*ledger.Cone{cone}); err != nil {
			t.Fatal(err)
		}
		start.Prev = &cone.Unit
	}
	if err := errors.Join(w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func proveCheckpoint(t testing.TB, codec ledger.Codec, made *rebasedtest.Checkpoint, start ledger.Start) *ledger.Cone {
	t.Helper()
	ctx := context.Background()
	a, err := codec.Begin(ctx, made.Head(), start)
	if err == nil {
		err = a.Put(codec.Identify(made.Raws())...)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := codec.Prepare(a.Members())
	keys := a.StateKeys(p)
	vals, err := start.State(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	view := ledger.View{}
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	cone, err := a.Seal(p, view, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cone
}

// older is a codec that cannot read some transactions: of those it knows the bytes, and their digests from the list.
type older struct {
	rebased.Codec
	unread map[ledger.ID]bool
	rest   bool // as from a file: what stands behind the effects is one part
}

func (o older) Begin(ctx context.Context, head []byte, at ledger.Start) (ledger.Assembly, error) {
	a, err := o.Codec.Begin(ctx, head, at)
	if err != nil {
		return nil, err
	}
	return olderAssembly{a, o}, nil
}

type olderAssembly struct {
	ledger.Assembly
	codec older
}

func (a olderAssembly) Seal(p []ledger.Prepared, v ledger.View, c *ledger.NodeClaims) (*ledger.Cone, error) {
	cone, err := a.Assembly.Seal(p, v, c)
	if err != nil {
		return nil, err
	}
	for i := range cone.Records {
		r := &cone.Records[i]
		if !a.codec.unread[r.ID] {
			continue
		}
		for _, part := range r.Parts {
			if part.Kind == ledger.PartOutput {
				cone.Changes = withoutCoin(cone.Changes, part.Raw)
			}
		}
		if a.codec.rest {
			if r.Parts, err = withRest(p[i].Raw, r.Parts); err != nil {
				return nil, err
			}
		}
		r.Kind, r.State, r.Undecoded, r.Moves = 0, ledger.Executed, true, nil
		r.Posts = slices.DeleteFunc(r.Posts, func(p ledger.Posting) bool { return p.Key.Kind != ledger.KeyRecord })
	}
	return cone, nil
}

// withoutCoin takes away the row of a coin that was written.
func withoutCoin(changes []ledger.Change, object []byte) []ledger.Change {
	o, err := rebased.ParseObject(object)
	if err != nil {
		return changes
	}
	id := o.ID()
	end := binary.BigEndian.AppendUint64(id[:], o.Version())
	return slices.DeleteFunc(changes, func(c ledger.Change) bool { return bytes.HasSuffix(c.Key, end) })
}

// withRest makes one part of all that stands behind the effects in a file.
func withRest(raw []byte, parts []ledger.Part) ([]ledger.Part, error) {
	file, err := rebased.JoinCheckpoint(nil, [][]byte{raw})
	if err != nil {
		return nil, err
	}
	rest := file[2+len(parts[0].Raw)+len(parts[1].Raw):]
	return append(parts[:2:2], ledger.Part{Kind: ledger.PartRest, Raw: rest}), nil
}

// unreadable picks transactions whose coins no other one of the same checkpoint spends.
func (c *checkpoints) unreadable(t testing.TB) map[ledger.ID]bool {
	t.Helper()
	out := map[ledger.ID]bool{}
	for seq, made := range c.made {
		spent := map[string]bool{}
		for i := len(made.Records) - 1; i >= 0; i-- {
			r := &made.Records[i]
			fine := r.Kind == rebased.KindProgrammable && !r.Opaque && seq%4 == 1
			for _, o := range r.Outputs {
				fine = fine && !spent[string(o)]
			}
			if fine {
				d := r.Digest()
				out[ledger.NewID(d[:])] = true
			}
			for _, o := range r.Inputs {
				spent[string(o)] = true
			}
		}
	}
	if len(out) < 5 {
		t.Fatalf("only %d transactions are suited", len(out))
	}
	return out
}

// everyRow returns all rows of a store but notes.
func everyRow(t testing.TB, dir string, fs vfs.FS) map[string]string {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, ReadOnly: true, FS: fs, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		marker := it.Key()[0] == 'B' && it.Key()[2] == 0 // how far totals go is a cursor: it depends on when they were built
		if it.Key()[0] != 'E' && !marker {
			out[string(it.Key())] = string(it.Value())
		}
	}
	if err := errors.Join(it.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameRows(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Fatalf("row %c %x is %x (there %v), want %x", k[0], k[1:], g, ok, v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Fatalf("row %c %x is one too many", k[0], k[1:])
		}
	}
}

// repair runs Repair over a store.
func repair(dir string, codec ledger.Codec, fs vfs.FS) (check.Repairs, error) {
	ctx, codecs := context.Background(), codecsOf(codec)
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: codecs, FS: fs})
	if err != nil {
		return check.Repairs{}, err
	}
	done, err := check.Repair(ctx, check.Options{Store: db, Codec: codecs}, db.Writer)
	return done, errors.Join(err, db.Close())
}

// checkWith runs a full check over a store.
func checkWith(t testing.TB, dir string, codec ledger.Codec) (check.Report, error) {
	t.Helper()
	db, err := pebblestore.Inspect(dir, pebblestore.Options{Codec: codecsOf(codec)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	return check.Run(context.Background(), check.Options{Store: db, Codec: codecsOf(codec), Full: true}, func(f check.Finding) { t.Log(f) })
}

func fewUnits(n int) int {
	if race.Enabled { // the race detector
		return n / 4
	}
	return n
}

// What an older codec stored without reading it whole becomes, by Repair, the archive that this codec makes: records,
// postings, sums, state and manifests, also of the transactions behind that spend what was not read.
func TestRebasedRepair(t *testing.T) {
	c := makeCheckpoints(t, rebasedtest.Options{Seed: 21, Transactions: 6, Epoch: 10, Unknown: 7}, fewUnits(40))
	whole := t.TempDir()
	c.store(t, whole, rebased.Codec{}, nil)
	report, err := checkWith(t, whole, rebased.Codec{})
	if err != nil {
		t.Fatal(err)
	}
	beyond := report.Undecoded // what this codec cannot read either
	want := everyRow(t, whole, nil)
	for name, rest := range map[string]bool{"framed": false, "rest": true} {
		t.Run(name, func(t *testing.T) {
			old := older{unread: c.unreadable(t), rest: rest}
			dir := t.TempDir()
			c.store(t, dir, old, nil)
			unread := uint64(len(old.unread)) + beyond
			if r, err := checkWith(t, dir, old); err != nil || r.Undecoded != unread || r.Better != 0 {
				t.Fatalf("check by the older codec: %+v, %v, want %d undecoded", r, err, unread)
			}
			r, err := checkWith(t, dir, rebased.Codec{})
			if err != nil || r.Undecoded != unread || r.Better == 0 {
				t.Fatalf("check before the repair: %+v, %v", r, err)
			}
			done, err := repair(dir, rebased.Codec{}, nil)
			if err != nil || done.Units < r.Better || done.Undecoded != beyond || done.Later == 0 {
				t.Fatalf("repaired %+v of %d units: %v", done, r.Better, err)
			}
			sameRows(t, everyRow(t, dir, nil), want)
			if r, err := checkWith(t, dir, rebased.Codec{}); err != nil || r.Undecoded != beyond || r.Better != 0 {
				t.Errorf("check after the repair: %+v, %v", r, err)
			}
			if done, err := repair(dir, rebased.Codec{}, nil); err != nil || done.Units+done.Later != 0 {
				t.Errorf("repaired again: %+v, %v", done, err)
			}
			sameRows(t, everyRow(t, dir, nil), want)
		})
	}
}

// Power that fails, or a disk that is full, in the middle of a repair leaves each unit as it was or as it is to be: the
// archive is sound, and another repair ends it.
func TestRebasedRepairFault(t *testing.T) {
	c := makeCheckpoints(t, rebasedtest.Options{Seed: 22, Transactions: 4, Epoch: 10}, 18)
	old := older{unread: c.unreadable(t), rest: true}
	whole := vfs.NewCrashableMem()
	c.store(t, "data", rebased.Codec{}, whole)
	want := everyRow(t, "data", whole)
	start := vfs.NewCrashableMem()
	c.store(t, "data", old, start)
	n := &faulty{at: -1}
	if _, err := repair("data", rebased.Codec{}, n.wrap(start.CrashClone(vfs.CrashCloneCfg{}))); err != nil {
		t.Fatal(err)
	}
	rng, rounds := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)), 8
	switch {
	case os.Getenv("PERMANODE_TORTURE") != "":
		rounds = 400
	case fewUnits(4) == 1:
		rounds = 2
	}
	for i := range rounds {
		f := &faulty{at: 1 + rng.Int64N(n.done.Load()), crash: i%2 == 0, rng: rng}
		mem := start.CrashClone(vfs.CrashCloneCfg{})
		_, err := repair("data", rebased.Codec{}, f.wrap(mem))
		after := mem
		if f.crash {
			if err != nil || f.clone == nil {
				t.Fatalf("operation %d of %d: %v, crashed %v", f.at, n.done.Load(), err, f.clone != nil)
			}
			after = f.clone
		}
		if _, err := checkOn(t, after); err != nil {
			t.Fatalf("operation %d, crash %v: %v", f.at, f.crash, err)
		}
		if _, err := repair("data", rebased.Codec{}, after); err != nil {
			t.Fatalf("operation %d, crash %v: repaired again: %v", f.at, f.crash, err)
		}
		sameRows(t, everyRow(t, "data", after), want)
	}
}

// checkOn opens a store as the program does after a crash, and checks it in full.
func checkOn(t testing.TB, fs vfs.FS) (check.Report, error) {
	t.Helper()
	codecs := codecsOf(rebased.Codec{})
	db, err := pebblestore.Open("data", pebblestore.Options{Codec: codecs, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	r, err := check.Run(context.Background(), check.Options{Store: db, Codec: codecs, Full: true}, func(f check.Finding) { t.Log(f) })
	return r, errors.Join(err, db.Close())
}

// faulty is a disk on which something happens at one write or sync: power fails, or from then on it is full.
type faulty struct {
	at    int64
	crash bool
	rng   *rand.Rand

	done  atomic.Int64
	mem   *vfs.MemFS
	clone *vfs.MemFS // what the failure of power left
}

func (f *faulty) wrap(mem *vfs.MemFS) vfs.FS {
	f.mem = mem
	return errorfs.Wrap(mem, errorfs.InjectorFunc(f.hook))
}

func (f *faulty) hook(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	n := f.done.Add(1)
	switch {
	case f.at < 0 || n < f.at:
	case f.crash && n == f.at:
		f.clone = f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: f.rng})
	case !f.crash:
		return syscall.ENOSPC
	}
	return nil
}
