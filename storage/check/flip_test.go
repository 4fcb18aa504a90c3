package check_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// TestFlips turns one bit of one file of a stopped store: a check names it, with the rows that are hit where it
// is a table; of any other file opening refuses and names it too. The bit is turned back each time.
func TestFlips(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, storagetest.Shape{MaxRecords: 12, MaxPayload: 600}, 300)
	flips(t, dir, storagetest.Codecs, 50)
}

// TestFlipsAfterKill copies a directory while it is written, as a kill leaves it. The check recovers it; then
// the same holds.
func TestFlipsAfterKill(t *testing.T) {
	if race.Enabled {
		t.Skip("what a kill leaves is no matter of races, and TestFlips checks the same")
	}
	live, dir := t.TempDir(), t.TempDir()
	build(t, live, storagetest.Shape{MaxRecords: 12, MaxPayload: 600}, 100)
	db, err := pebblestore.Open(live, options())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	g := storagetest.NewGen(1, storagetest.Shape{MaxRecords: 12, MaxPayload: 600})
	w, err := db.Writer(context.Background(), g.Network())
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if err := w.Commit(context.Background(), cone(g, w)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	r, found, err := run(t, dir, check.Options{Full: true})
	if err != nil || r.Proven != 200 {
		t.Fatalf("after the kill: %+v, %v, %v", r, err, found)
	}
	flips(t, dir, storagetest.Codecs, 50)
}

func flips(t *testing.T, dir string, codecs func(ledger.Era) (ledger.Codec, bool), n int) {
	seed := uint64(time.Now().UnixNano())
	if os.Getenv("PERMANODE_TORTURE") != "" {
		n = 1000
	}
	if race.Enabled { // the race detector
		n = 3
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil && st.Size() > 0 {
				files = append(files, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for i := range n {
		name := files[rng.IntN(len(files))]
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bit := rng.IntN(8 * len(raw))
		if i%len(files) == 0 { // the end of a file is special in all formats
			bit = 8*len(raw) - 1 - rng.IntN(8)
		}
		raw[bit/8] ^= 1 << (bit % 8)
		write(t, name, raw)
		if why := flipFound(t, dir, filepath.Base(name), codecs); why != "" {
			t.Fatalf("seed %d, flip %d, bit %d of %s: %s", seed, i, bit, name, why)
		}
		raw[bit/8] ^= 1 << (bit % 8)
		write(t, name, raw)
		kinds[strings.SplitN(strings.TrimLeft(filepath.Base(name), "0123456789"), "-", 2)[0]]++
	}
	t.Logf("flips by kind of file: %v", kinds)
	if _, found, err := runWith(t, dir, codecs, check.Options{Full: true}); err != nil {
		t.Errorf("with all bits turned back: %v, %v", err, found)
	}
}

func write(t *testing.T, name string, raw []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// flipFound returns what is wrong with how a flip in a file is reported.
func flipFound(t *testing.T, dir, file string, codecs func(ledger.Era) (ledger.Codec, bool)) string {
	for _, readOnly := range []bool{true, false} {
		if strings.HasSuffix(file, ".sst") {
			break // compared by size alone
		}
		o := options()
		o.Codec, o.ReadOnly = codecs, readOnly
		db, err := pebblestore.Open(dir, o)
		if err == nil {
			_ = db.Close()
			return "the store opens"
		}
		if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), file) {
			return "opening says " + err.Error()
		}
	}
	_, found, err := runWith(t, dir, codecs, check.Options{Full: true})
	if !errors.Is(err, storage.ErrCorrupt) {
		return "the check ends with " + errText(err)
	}
	for _, f := range found {
		if f.File == file && f.What == "file" {
			if strings.HasSuffix(file, ".sst") && len(f.Hit) == 0 {
				return "no rows are named: " + f.String()
			}
			return ""
		}
	}
	return "the check does not name it: " + err.Error()
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A table with a turned bit lets the store open and stop again; the list that the stop writes still says what
// the table was, so a check names it.
func TestFlipOutlivesOpening(t *testing.T) {
	clean := t.TempDir()
	build(t, clean, storagetest.Shape{MaxRecords: 12, MaxPayload: 600}, 100)
	rng := rand.New(rand.NewPCG(1, 1))
	for range race.Fewer(5) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(clean)); err != nil {
			t.Fatal(err)
		}
		tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
		if err != nil || len(tables) == 0 {
			t.Fatal("no tables", err)
		}
		name := tables[rng.IntN(len(tables))]
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		raw[rng.IntN(len(raw))] ^= 16
		write(t, name, raw)
		db, err := pebblestore.Open(dir, options())
		if err != nil && !errors.Is(err, storage.ErrCorrupt) {
			t.Fatal(err)
		}
		if err == nil {
			_ = db.Close() // it may meet the damage
		}
		if _, found, err := run(t, dir, check.Options{Full: true}); !errors.Is(err, storage.ErrCorrupt) || len(found) == 0 || found[0].File != filepath.Base(name) {
			t.Errorf("after an opening: %v, %v", err, found)
		}
	}
}

// TestFlipsWithoutSums: after a stop that was not clean nothing says what the tables should be, and a plain check reads
// them all the same: a flipped bit in any of their rows is found.
func TestFlipsWithoutSums(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, storagetest.Shape{MaxRecords: 12, MaxPayload: 600}, 100)
	if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
		t.Fatal(err)
	}
	if _, found, err := run(t, dir, check.Options{}); err != nil {
		t.Fatalf("before: %v, %v", err, found)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal("no tables", err)
	}
	var largest []byte
	var name string
	for _, table := range tables {
		raw, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > len(largest) {
			largest, name = raw, table
		}
	}
	for range 12 { // the first half of a table is rows; index, filter and properties stand at its end
		at := rand.IntN(len(largest) / 2)
		bad := bytes.Clone(largest)
		bad[at] ^= 1 << rand.IntN(8)
		write(t, name, bad)
		r, found, err := run(t, dir, check.Options{})
		if !errors.Is(err, storage.ErrCorrupt) || len(found) == 0 {
			t.Errorf("byte %d of %d of %s: %+v, %v", at, len(largest), filepath.Base(name), r, err)
		}
	}
}
