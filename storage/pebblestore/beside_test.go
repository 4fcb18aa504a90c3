package pebblestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// What somebody changed in a folder that its owner left is known until the owner comes back, whoever writes the store in
// between; of folders that are not kept SUMS says what is there.
func TestKeptBeside(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 3)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	session := func(do func(db *pebblestore.DB)) {
		t.Helper()
		db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs, Keep: []string{"access"}})
		if err != nil {
			t.Fatal(err)
		}
		if do != nil {
			do(db)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(want string) {
		t.Helper()
		all, err := pebblestore.CompareBeside(nil, dir, "access")
		got := ""
		for _, f := range all {
			got += f.Name + " "
		}
		if got != want || err != nil {
			t.Errorf("changed %q, %v, want %q", got, err, want)
		}
		session(func(db *pebblestore.DB) {
			if again := db.Beside("access"); fmt.Sprint(again) != fmt.Sprint(all) {
				t.Errorf("at an opening %v, before it %v", again, all)
			}
		})
	}
	owner := func(db *pebblestore.DB) { // writes there, and knows what it found
		write("access/a", "1")
		write("access/b", "1")
		write("other/o", "1")
		db.TakeOver("access")
	}
	session(owner)
	changed("")
	write("access/a", "2")
	if err := os.Remove(filepath.Join(dir, "access", "b")); err != nil {
		t.Fatal(err)
	}
	write("access/c", "new")
	changed("access/a access/b ")
	session(func(*pebblestore.DB) { // changed meanwhile
		write("other/o", "2")
		write("access/b", "2")
	})
	changed("access/a access/b ")
	if all, err := pebblestore.CompareBeside(nil, dir, "other"); len(all) > 0 || err != nil {
		t.Errorf("a folder that is not kept: %v, %v", all, err)
	}
	write("access/a", "1")
	changed("access/b ") // putting back heals
	session(owner)
	changed("")
	if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil { // a kill: nothing says what there was
		t.Fatal(err)
	}
	write("access/a", "2")
	changed("")
	write("access/a", "3")
	changed("access/a ")
}
