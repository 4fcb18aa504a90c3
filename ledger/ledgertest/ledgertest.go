// Package ledgertest hands golden vectors and recordings to tests. Nothing but tests imports it.
//
// Vectors live below testdata/vectors of the module, or below the folder that PERMANODE_VECTORS names:
// any folder of that layout has to pass, so files are matched by pattern and nothing about a single
// file is taken for granted. A relative name starts at the module's root. A folder that is not there
// fails; a pattern without a match skips that part of another folder.
package ledgertest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// folder names another set of vectors.
const folder = "PERMANODE_VECTORS"

// Missing ends a test for which no vector is there: a failure in the default folder, which has one for each test, and
// a skip in another.
func Missing(t testing.TB, what string) {
	t.Helper()
	if _, given := os.LookupEnv(folder); !given {
		t.Fatalf("no %s among the vectors", what)
	}
	t.Skipf("no %s among the vectors", what)
}

// Hex is bytes that a vector writes as hex text, with or without 0x.
type Hex []byte

// UnmarshalJSON reads the text.
func (h *Hex) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	*h = raw
	return err
}

// String returns the bytes as 0x hex.
func (h Hex) String() string { return "0x" + hex.EncodeToString(h) }

// A File is one vector file, as a whole.
type File[T any] struct {
	Name string // without folder
	Data T
}

// Files decodes each vector file that matches pattern ("stardust/private-net-*.json"). No match: fails
// in the default folder, skips in another.
func Files[T any](t testing.TB, pattern string) (all []File[T]) {
	t.Helper()
	for _, name := range Paths(t, pattern) {
		all = append(all, File[T]{Name: filepath.Base(name), Data: decode[T](t, name, read(t, name))})
	}
	return all
}

// Load returns the entries of the list named key in each vector file that matches pattern; the key "" is
// the file itself. No match or no entry: fails in the default folder, skips in another.
func Load[T any](t testing.TB, pattern, key string) (all []T) {
	t.Helper()
	for _, name := range Paths(t, pattern) {
		raw := read(t, name)
		if key != "" {
			part, ok := decode[map[string]json.RawMessage](t, name, raw)[key]
			if !ok {
				continue
			}
			raw = part
		}
		all = append(all, decode[[]T](t, name, raw)...)
	}
	switch _, given := os.LookupEnv(folder); {
	case len(all) == 0 && given:
		t.Skipf("no %s in %s", key, pattern)
	case len(all) == 0:
		t.Fatalf("no %s in %s", key, pattern)
	}
	return all
}

// Recording returns the folder of the recording with that name ("stardust", "stardust-migration").
func Recording(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(moduleRoot(t), "testdata", "recordings", name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("no recording %s: %v", name, err)
	}
	return dir
}

// Paths returns the paths of the vector files that match pattern, of any form. No match: fails in the default folder,
// skips in another.
func Paths(t testing.TB, pattern string) []string {
	t.Helper()
	root, given := os.LookupEnv(folder)
	switch {
	case !given:
		root = filepath.Join(moduleRoot(t), "testdata", "vectors")
	case !filepath.IsAbs(root):
		root = filepath.Join(moduleRoot(t), root)
	}
	if _, err := os.Stat(root); err != nil {
		t.Fatalf("no folder of vectors: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	switch {
	case err != nil || len(files) == 0 && !given:
		t.Fatalf("no vectors %s in %s (%v)", pattern, root, err)
	case len(files) == 0:
		t.Skipf("no vectors %s in %s", pattern, root)
	}
	return files
}

// A Folder holds a file of vectors and, beside it, files that are named by number: 0.chk, 1.chk, …
type Folder struct {
	Name  string   // of the folder itself
	File  []byte   // the file that was looked for
	Parts [][]byte // the numbered files, from 0 on
}

// Folders returns the folder of each vector file that matches pattern ("rebased/checkpoints/*/committee_epoch0.json"),
// with the files of the ending ext beside it. No match: fails in the default folder, skips in another.
func Folders(t testing.TB, pattern, ext string) (all []Folder) {
	t.Helper()
	for _, name := range Paths(t, pattern) {
		dir := filepath.Dir(name)
		f := Folder{Name: filepath.Base(dir), File: read(t, name)}
		for i := 0; ; i++ {
			part := filepath.Join(dir, strconv.Itoa(i)+"."+ext)
			if _, err := os.Stat(part); err != nil {
				break
			}
			f.Parts = append(f.Parts, read(t, part))
		}
		if len(f.Parts) == 0 {
			t.Fatalf("no 0.%s beside %s", ext, name)
		}
		all = append(all, f)
	}
	return all
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode[T any](t testing.TB, name string, raw []byte) (v T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// moduleRoot is the nearest folder upwards that holds go.mod.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod in this folder or above")
		}
		dir = up
	}
}
