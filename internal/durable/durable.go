// Package durable writes files that are there, whole, after a power loss, or not at all. It opens files, and nothing else
// that has the name of one.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile puts data under name: it writes a temporary file beside it, syncs it, renames it over
// name and syncs the folder. A crash at any moment leaves the old file or the new one.
func WriteFile(name string, data []byte, perm os.FileMode) error {
	return write(name, data, perm, func(*os.File) error { return nil })
}

// Replace puts data under name as WriteFile does, for those who could read what was there: old, whose mode, owner and group
// stay. It fails with an error of fs.ErrPermission, and changes nothing, where this user cannot give files to that owner.
func Replace(name string, data []byte, old os.FileInfo) error {
	return write(name, data, old.Mode().Perm(), func(f *os.File) error { return own(f, old) })
}

func write(name string, data []byte, perm os.FileMode, give func(*os.File) error) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = give(f); err != nil { // before others may read it, and they may be others
		return err
	}
	if err = f.Chmod(perm); err != nil {
		return err
	}
	// Sync before the rename: else the new name may survive a power loss without its bytes.
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Remove removes name and syncs its folder. A name that is not there is no error.
func Remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return SyncDir(filepath.Dir(name))
}

// SyncDir makes the names in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return d.Close()
}
