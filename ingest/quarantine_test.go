package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func dirSize(t *testing.T, dir string) (total int64, pairs int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != droppedFile {
			total += st.Size()
		}
		if filepath.Ext(e.Name()) == ".bin" {
			pairs++
		}
	}
	return total, pairs
}

// The oldest pairs go first, what is left fits, and every one that went is counted, across restarts.
func TestQuarantineIsBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	const limit, count = 10_000, 50
	for i := range count {
		q := &quarantine{dir: dir, limit: limit} // as after a restart
		r := refused{Network: "net", Unit: uint64(i), Source: "node", Code: "unit.key", Reason: "why", Time: time.Unix(int64(i), 0)}
		if err := q.put(r, bytes.Repeat([]byte{byte(i)}, 500)); err != nil {
			t.Fatal(err)
		}
		old := time.Unix(int64(1000+i), 0) // files of one second must have an order
		for _, ext := range []string{"json", "bin"} {
			if err := os.Chtimes(filepath.Join(dir, fmt.Sprintf("%d.unit.key.%s", i, ext)), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	size, pairs := dirSize(t, dir)
	if size > limit || pairs == 0 {
		t.Errorf("%d pairs of %d bytes, at most %d", pairs, size, limit)
	}
	for i := range count {
		_, err := os.Stat(filepath.Join(dir, fmt.Sprintf("%d.unit.key.bin", i)))
		if kept := i >= count-pairs; (err == nil) != kept {
			t.Errorf("pair %d: %v, the newest %d are to be kept", i, err, pairs)
		}
	}
	var c struct{ Dropped int }
	text, err := os.ReadFile(filepath.Join(dir, droppedFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Dropped != count-pairs {
		t.Errorf("dropped %d, want %d (%v)", c.Dropped, count-pairs, err)
	}
	// One that could never fit is only counted.
	q := &quarantine{dir: dir, limit: limit}
	if err := q.put(refused{Unit: 99, Code: "x"}, make([]byte, limit+1)); err != nil {
		t.Fatal(err)
	}
	if again, n := dirSize(t, dir); again != size || n != pairs {
		t.Errorf("after one too large: %d pairs of %d bytes", n, again)
	}
}

func TestQuarantineNames(t *testing.T) {
	dir := t.TempDir()
	q := &quarantine{dir: dir, limit: 1 << 20}
	if err := q.put(refused{Unit: 7, Code: "../../etc/Passwd"}, []byte("bytes")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "7...-..-etc-passwd.bin"))
	if err != nil || string(raw) != "bytes" {
		t.Errorf("%q, %v", raw, err)
	}
}
