//go:build unix

package access_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"permanode/query/access"
)

// A key that root adds leaves the file to the service: its mode, its owner and its group stay.
func TestAddKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	const owner, group = 65531, 65532
	dir := t.TempDir()
	file, link := filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "link.yaml")
	add := func(name, to string) {
		t.Helper()
		if _, err := access.Add(to, name, access.Reader); err != nil {
			t.Fatal(err)
		}
	}
	add("a", file)
	if err := os.Chown(file, owner, group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"b": file, "c": link} {
		add(name, to)
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != owner || s.Gid != group || info.Mode().Perm() != 0o640 {
			t.Errorf("after %s it is of %d:%d, mode %o", to, s.Uid, s.Gid, info.Mode().Perm())
		}
	}
}
