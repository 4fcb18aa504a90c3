package pebblestore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// TestMain is also the other process of TestTwoProcesses.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PEBBLESTORE_TEST_OPEN"); dir != "" {
		if _, err := pebblestore.Open(dir, pebblestore.Options{}); errors.Is(err, storage.ErrLocked) {
			os.Exit(42)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// filled makes a store of n units, cleanly stopped.
func filled(t *testing.T, dir string, n int) {
	t.Helper()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db, n)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, db *pebblestore.DB, n int) {
	t.Helper()
	g := storagetest.NewGen(1, storagetest.Shape{})
	w, err := db.Writer(context.Background(), g.Network())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Open(context.Background(), g.Span(), g.Opening()); err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := w.Commit(context.Background(), []*ledger.Cone{g.Next(w.Net())}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// tree returns the names and bytes of all files below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(p)
		out[p] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNoData(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{filepath.Join(dir, "missing"), dir} {
		_, err := pebblestore.Open(d, pebblestore.Options{ReadOnly: true})
		if !errors.Is(err, storage.ErrNoData) {
			t.Errorf("%s: %v", d, err)
		}
		if _, err = pebblestore.Inspect(d, pebblestore.Options{}); !errors.Is(err, storage.ErrNoData) {
			t.Errorf("inspect %s: %v", d, err)
		}
	}
	for name := range tree(t, dir) {
		if filepath.Base(name) != "LOCK" {
			t.Errorf("%s was made", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Error("a directory was made")
	}
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{true, false} {
		if db, err := pebblestore.Open(file, pebblestore.Options{ReadOnly: readOnly}); err == nil {
			_ = db.Close()
			t.Error("a file was opened as a store")
		}
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 30)
	before := tree(t, dir)
	for range 2 {
		db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if u, _, err := db.Unit(t.Context(), 1, 30); err != nil || u.Seq != 30 {
			t.Errorf("unit 30: %v, %v", u.Seq, err)
		}
		if _, err := db.Writer(t.Context(), ledger.Network{Name: "x", Era: storagetest.Era}); err == nil {
			t.Error("a writer of a store that is read only")
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	after := tree(t, dir)
	if len(before) != len(after) {
		t.Errorf("%d files, were %d", len(after), len(before))
	}
	for name, raw := range before {
		if after[name] != raw {
			t.Errorf("%s changed", name)
		}
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	db, err := pebblestore.Open(dir, pebblestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, o := range []pebblestore.Options{{}, {ReadOnly: true}} {
		if _, err := pebblestore.Open(dir, o); !errors.Is(err, storage.ErrLocked) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := pebblestore.Inspect(dir, pebblestore.Options{}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("inspect: %v", err)
	}
}

func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 3)
	db, err := pebblestore.Open(dir, pebblestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "PEBBLESTORE_TEST_OPEN="+dir)
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != 42 {
		t.Errorf("the other process ends with %v", err)
	}
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 10)
	name := filepath.Join(dir, pebblestore.SumsName)
	first, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for file := range tree(t, dir) {
		if base := filepath.Base(file); base != pebblestore.SumsName && !bytes.Contains(first, []byte(" "+base+"\n")) {
			t.Errorf("%s does not name %s", pebblestore.SumsName, base)
		}
	}
	if !bytes.Contains(first, []byte("\nunit toy 10 ")) {
		t.Error("it does not name the last unit")
	}
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Error("it stands while the store is open")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func() error{
		"a lost file": func() error { return os.Remove(some(t, dir, "*.sst")) },
		"a longer file": func() error {
			f, err := os.OpenFile(some(t, dir, "*.sst"), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				err = errors.Join(err, f.Close())
			}
			return err
		},
		"a file added": func() error { return os.WriteFile(filepath.Join(dir, "000999.log"), nil, 0o600) },
		"an older SUMS": func() error {
			return os.WriteFile(name, first, 0o600)
		},
	} {
		saved := tree(t, dir)
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if db, err := pebblestore.Open(dir, pebblestore.Options{}); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
			if err == nil {
				_ = db.Close()
			}
		}
		for file := range tree(t, dir) {
			if _, ok := saved[file]; !ok {
				_ = os.Remove(file)
			}
		}
		for file, raw := range saved {
			if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if db, err = pebblestore.Open(dir, pebblestore.Options{}); err != nil {
		t.Fatalf("with everything put back: %v", err)
	}
	_ = db.Close()
}

// A follower's folder is its own: SUMS does not name what lies in it, so it can be changed and deleted at any time.
func TestSumsPassOverTheIndex(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 3)
	for _, folder := range []string{"index", "quarantine"} {
		if err := errors.Join(os.Mkdir(filepath.Join(dir, folder), 0o755), os.WriteFile(filepath.Join(dir, folder, "file"), []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, pebblestore.SumsName))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sums, []byte(" index/file\n")) || !bytes.Contains(sums, []byte(" quarantine/file\n")) {
		t.Errorf("%s", sums)
	}
}

// some returns a file of dir whose name matches.
func some(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatal("no such file", err)
	}
	return names[0]
}

// A directory whose marker is gone must not become an empty store.
func TestMarkerLost(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 10)
	if err := errors.Join(os.Remove(some(t, dir, "marker.manifest.*")), os.Remove(filepath.Join(dir, pebblestore.SumsName))); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	if _, err := pebblestore.Open(dir, pebblestore.Options{}); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("opened: %v", err)
	}
	if after := tree(t, dir); len(after) != len(before) {
		t.Error("files were touched")
	}
}

// Data of another format is not touched, and the error says what to do.
func TestOtherFormats(t *testing.T) {
	for format, want := range map[byte]string{3: "newer permanode", 1: "development version"} {
		dir := t.TempDir()
		db, err := pebblestore.Open(dir, pebblestore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := pebblestore.SetFormat(db, format); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, o := range []pebblestore.Options{{}, {ReadOnly: true}, {Damaged: true}} {
			_, err = pebblestore.Open(dir, o)
			var hint interface{ Hint() string }
			if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("format %d: %v", format, err)
			}
		}
	}
}

// Without a codec of the era nothing is shown: bytes could not be hashed again.
func TestNoCodec(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 10)
	db, err := pebblestore.Open(dir, pebblestore.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, _, err := db.Unit(t.Context(), 1, 5); err == nil {
		t.Error("a unit without a codec")
	}
	nets, err := db.Networks(t.Context())
	if err != nil || !slices.ContainsFunc(nets, func(n ledger.Network) bool { return n.Name == "toy" }) {
		t.Errorf("networks: %v, %v", nets, err)
	}
}

// Files that others keep below the directory keep nobody out; a check names what changed in them.
func TestFilesOfOthers(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "quarantine", "toy", "5.reason.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(other), 0o700), os.WriteFile(other, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	filled(t, dir, 5)
	if err := os.WriteFile(other, []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := pebblestore.Inspect(dir, pebblestore.Options{Codec: storagetest.Codecs})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for f, err := range db.Damage(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, f.Name)
	}
	if !slices.Equal(names, []string{"quarantine/toy/5.reason.json"}) {
		t.Errorf("damage: %v", names)
	}
	if err := errors.Join(db.Close(), os.Remove(other)); err != nil {
		t.Fatal(err)
	}
	filled(t, dir, 5)
}
