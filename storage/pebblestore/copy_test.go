package pebblestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

func copyStore(from, to string, full bool) (pebblestore.CopyReport, error) {
	return pebblestore.Copy(context.Background(), from, to, pebblestore.CopyOptions{Codec: storagetest.Codecs, Full: full})
}

func mustCopy(t *testing.T, from, to string) pebblestore.CopyReport {
	t.Helper()
	r, err := copyStore(from, to, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sameFiles compares two directories, names relative to them.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	rel := func(dir string) map[string]string {
		out := map[string]string{}
		for name, raw := range tree(t, dir) {
			out[strings.TrimPrefix(name, dir)] = raw
		}
		return out
	}
	if x, y := rel(a), rel(b); !maps.Equal(x, y) {
		t.Errorf("%s holds %q\n%s holds %q", a, slices.Sorted(maps.Keys(x)), b, slices.Sorted(maps.Keys(y)))
	}
}

// writing is a store under test that grows.
type writing struct {
	*pebblestore.DB
	g *storagetest.Gen
	w storage.Writer
	m *storagetest.Model
}

func openWriting(t *testing.T, dir string) *writing {
	t.Helper()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w := &writing{DB: db, g: storagetest.NewGen(1, storagetest.Shape{}), m: storagetest.NewModel()}
	if w.w, err = db.Writer(context.Background(), w.g.Network()); err != nil {
		t.Fatal(err)
	}
	if err := w.w.Open(context.Background(), w.g.Span(), w.g.Opening()); err != nil {
		t.Fatal(err)
	}
	w.m.Open(w.g.Span(), w.g.Opening())
	t.Cleanup(func() { w.stop(t) })
	return w
}

func (w *writing) grow(t *testing.T, n int) {
	t.Helper()
	for range n {
		c := w.g.Next(w.w.Net())
		if err := w.w.Commit(context.Background(), []*ledger.Cone{c}); err != nil {
			t.Fatal(err)
		}
		w.m.Commit(c)
	}
}

func (w *writing) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(w.w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
}

func (w *writing) checkpoint(t *testing.T) pebblestore.Checkpoint {
	t.Helper()
	c, err := w.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expect opens a store for reading and compares it with a model.
func expect(t *testing.T, dir string, m *storagetest.Model) {
	t.Helper()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Check(context.Background(), db, 1, 12), db.Close()); err != nil {
		t.Errorf("%s: %v", dir, err)
	}
}

func TestCheckpoint(t *testing.T) {
	dir := t.TempDir()
	w := openWriting(t, dir)
	if err := w.DropCheckpoint(); err != nil {
		t.Errorf("dropping none: %v", err)
	}
	w.grow(t, 40)
	c := w.checkpoint(t)
	then := w.m.Clone()
	w.grow(t, 40)
	if c.Dir != filepath.Join(dir, pebblestore.CheckpointName) || c.Files == 0 || c.Bytes == 0 ||
		len(c.Units) != 1 || c.Units[0].Network != w.g.Network().Name || c.Units[0].Seq != slices.Max(then.Seqs()) {
		t.Errorf("checkpoint = %+v", c)
	}
	expect(t, c.Dir, then) // SUMS fits, or it would not open
	if _, err := os.Stat(filepath.Join(c.Dir, pebblestore.SumsName)); err != nil {
		t.Error(err)
	}
	c = w.checkpoint(t) // in place of the last
	expect(t, c.Dir, w.m)
	if err := w.DropCheckpoint(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the checkpoint is still there: %v", err)
	}
	w.checkpoint(t)
	w.stop(t)
	expect(t, dir, w.m) // its SUMS says nothing of the checkpoint
}

// A file that is listed and gone when it is looked at, as tables are that Pebble compacts meanwhile, is no fault.
func TestCheckpointOfFleetingFiles(t *testing.T) {
	dir := t.TempDir()
	w := openWriting(t, dir)
	w.grow(t, 3)
	if err := os.Symlink("nowhere", filepath.Join(dir, "000001.sst")); err != nil {
		t.Fatal(err)
	}
	c := w.checkpoint(t)
	expect(t, c.Dir, w.m)
	if err := os.Remove(filepath.Join(dir, "000001.sst")); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointInUse(t *testing.T) {
	w := openWriting(t, t.TempDir())
	w.grow(t, 3)
	c := w.checkpoint(t)
	reader, err := pebblestore.Open(c.Dir, pebblestore.Options{Codec: storagetest.Codecs, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Checkpoint(context.Background()); !errors.Is(err, pebblestore.ErrInUse) {
		t.Errorf("a checkpoint while one is read: %v", err)
	}
	if err := w.DropCheckpoint(); !errors.Is(err, pebblestore.ErrInUse) {
		t.Errorf("dropped while it is read: %v", err)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.Checkpoint(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled checkpoint: %v", err)
	}
	w.checkpoint(t)
	w.grow(t, 3)
	w.stop(t)
	if _, err := w.Checkpoint(context.Background()); err == nil {
		t.Error("a closed store made a checkpoint")
	}
}

// TestCheckpointFails: a disk that refuses what belongs to a checkpoint does not stop the store.
func TestCheckpointFails(t *testing.T) {
	var on atomic.Bool
	own := filepath.Join("data", pebblestore.CheckpointName)
	faulty := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind != errorfs.OpStat && strings.HasPrefix(op.Path, own) {
			return errorfs.ErrInjected
		}
		return nil
	}))
	g := storagetest.NewGen(1, storagetest.Shape{})
	db, err := pebblestore.Open("data", faultOptions(faulty))
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Writer(context.Background(), g.Network())
	if err != nil {
		t.Fatal(err)
	}
	commit := func() error { return w.Commit(context.Background(), []*ledger.Cone{g.Next(w.Net())}) }
	if err := errors.Join(w.Open(context.Background(), g.Span(), g.Opening()), commit()); err != nil {
		t.Fatal(err)
	}
	on.Store(true)
	if _, err := db.Checkpoint(context.Background()); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("checkpoint: %v", err)
	}
	on.Store(false)
	if err := commit(); err != nil {
		t.Errorf("the store stopped: %v", err)
	}
	if _, err := db.Checkpoint(context.Background()); err != nil {
		t.Errorf("the next checkpoint: %v", err)
	}
	if err := errors.Join(w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCopyGrows backs a store up under growth, each time only what is new, and restores it.
func TestCopyGrows(t *testing.T) {
	data, backup := t.TempDir(), filepath.Join(t.TempDir(), "disk", "backup")
	access := filepath.Join(data, "access")
	if err := os.Mkdir(access, 0o755); err != nil {
		t.Fatal(err)
	}
	note := func(line string) {
		f, err := os.OpenFile(filepath.Join(access, "day.ndjson"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(line)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w := openWriting(t, data)
	var last pebblestore.CopyReport
	for i := range 4 {
		w.grow(t, 60)
		note(fmt.Sprintf("{\"n\":%d}\n{\"torn\"", i))
		if err := os.WriteFile(filepath.Join(access, ".mine"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := w.checkpoint(t)
		if _, err := os.Stat(filepath.Join(c.Dir, "access", ".mine")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what is of the process is copied: %v", err)
		}
		last = mustCopy(t, c.Dir, backup)
		sameFiles(t, c.Dir, backup)
		expect(t, backup, w.m)
		if st, err := os.Stat(filepath.Join(backup, "access")); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may look into the access trail of the backup: %v %v", st.Mode(), err)
		}
		raw, err := os.ReadFile(filepath.Join(backup, "access", "day.ndjson"))
		if err != nil || !bytes.HasSuffix(raw, []byte(fmt.Sprintf("{\"n\":%d}\n", i))) {
			t.Errorf("lines of others: %q, %v", raw, err)
		}
		note("}\n")
	}
	if last.Copied >= last.Files || last.CopiedBytes >= last.Bytes {
		t.Errorf("nothing was spared: %+v", last)
	}
	again := mustCopy(t, filepath.Join(data, pebblestore.CheckpointName), backup)
	if again.Copied != 0 || again.Removed != 0 || again.Files != last.Files {
		t.Errorf("without change: %+v", again)
	}
	w.stop(t)
	mustCopy(t, data, backup) // a stopped one is a source too
	expect(t, backup, w.m)
	restored := filepath.Join(t.TempDir(), "data")
	mustCopy(t, backup, restored)
	sameFiles(t, backup, restored)
	expect(t, restored, w.m)
}

func TestCopyRefuses(t *testing.T) {
	small, large, other := t.TempDir(), t.TempDir(), t.TempDir()
	filled(t, small, 5)
	filled(t, large, 9)
	db, err := pebblestore.Open(other, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	g := storagetest.NewGen(2, storagetest.Shape{}) // units of the same numbers
	w, err := db.Writer(context.Background(), g.Network())
	if err == nil {
		err = w.Open(context.Background(), g.Span(), g.Opening())
	}
	for range 5 {
		err = errors.Join(err, w.Commit(context.Background(), []*ledger.Cone{g.Next(w.Net())}))
	}
	if err := errors.Join(err, w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	unclean, foreign := t.TempDir(), t.TempDir()
	filled(t, unclean, 5)
	if err := os.Remove(filepath.Join(unclean, pebblestore.SumsName)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(foreign, "letter.txt"), []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := func() string { return filepath.Join(t.TempDir(), "new") }
	for _, c := range []struct{ name, from, to, says string }{
		{"older over newer", small, large, "holds more than"},
		{"another archive", other, small, "is another archive"},
		{"another archive, longer", large, other, "is another archive"},
		{"source not stopped", unclean, fresh(), "was not stopped cleanly"},
		{"target not stopped", large, unclean, "was not stopped cleanly"},
		{"target of somebody", large, foreign, "neither empty nor a copy"},
		{"itself", large, large, "is the directory"},
		{"into itself", large, filepath.Join(large, "backup"), "lie in each other"},
		{"above itself", large, filepath.Dir(large), "lie in each other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := map[string]string{}
			if _, err := os.Stat(c.to); err == nil {
				before = tree(t, c.to)
			}
			_, err := copyStore(c.from, c.to, false)
			var refused *pebblestore.CopyRefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || refused.Hint() == "" {
				t.Errorf("err = %v, want a refusal that says %q", err, c.says)
			}
			if len(before) > 0 && !maps.Equal(before, tree(t, c.to)) {
				t.Error("it changed the target")
			}
		})
	}
	mustCopy(t, large, small) // the newer over the older
	sameFiles(t, large, small)
	db, err = pebblestore.Open(large, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	made, err := db.Checkpoint(t.Context())
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	is := func(change func(*pebblestore.Checkpoint)) error {
		want := made
		want.Units = slices.Clone(made.Units)
		change(&want)
		to := fresh()
		_, err := pebblestore.Copy(t.Context(), made.Dir, to, pebblestore.CopyOptions{Codec: storagetest.Codecs, Is: &want})
		if _, there := os.Stat(to); (there == nil) != (err == nil) {
			t.Errorf("after %v the target is there: %v", err, there)
		}
		return err
	}
	for name, change := range map[string]func(*pebblestore.Checkpoint){
		"files": func(c *pebblestore.Checkpoint) { c.Files++ }, "bytes": func(c *pebblestore.Checkpoint) { c.Bytes-- },
		"newest": func(c *pebblestore.Checkpoint) { c.Units[0].Seq-- }, "network": func(c *pebblestore.Checkpoint) { c.Units[0].Network += "x" },
		"no network": func(c *pebblestore.Checkpoint) { c.Units = nil },
	} {
		var refused *pebblestore.CopyRefusedError
		if err := is(change); !errors.As(err, &refused) || !strings.Contains(err.Error(), "is not the checkpoint that was made") {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := is(func(*pebblestore.Checkpoint) {}); err != nil {
		t.Errorf("the one that was made: %v", err)
	}
	if _, err := copyStore(t.TempDir(), fresh(), false); !errors.Is(err, storage.ErrNoData) {
		t.Errorf("from nothing: %v", err)
	}
}

// TestCopyDamage: bytes that are not what SUMS says are never passed on, and --full brings them again.
func TestCopyDamage(t *testing.T) {
	data, backup := t.TempDir(), filepath.Join(t.TempDir(), "b")
	filled(t, data, 30)
	mustCopy(t, data, backup)
	table := some(t, backup, "*.sst")
	flip(t, table)
	if r := mustCopy(t, data, backup); r.Copied != 0 {
		t.Errorf("a copy that reads nothing brought %d files", r.Copied)
	}
	r, err := copyStore(data, backup, true)
	if err != nil || r.Copied != 1 {
		t.Errorf("a full copy brought %d files, %v", r.Copied, err)
	}
	sameFiles(t, data, backup)

	flip(t, some(t, data, "*.sst"))
	fresh := filepath.Join(t.TempDir(), "fresh")
	if _, err := copyStore(data, fresh, false); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a damaged source: %v", err)
	}
	var half *pebblestore.UnfinishedCopyError
	if _, err := pebblestore.Open(fresh, pebblestore.Options{Codec: storagetest.Codecs}); !errors.As(err, &half) {
		t.Errorf("half a copy opens: %v", err)
	}
	if r, err := copyStore(backup, fresh, false); err != nil || !r.Resumed && r.Files > r.Copied+1 {
		t.Errorf("from the good one: %+v, %v", r, err)
	}
	sameFiles(t, backup, fresh)
}

func flip(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/3] ^= 1
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
