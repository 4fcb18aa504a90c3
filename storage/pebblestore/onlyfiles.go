package pebblestore

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/durable"
	"permanode/storage"
)

// notFiles returns what has the name of a file of the store and is none. It comes before anything is opened: to open a
// pipe waits for somebody else.
func notFiles(fs vfs.FS, dir string) (faults []storage.FileFault, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !isOfStore(n) && n != SumsName && n != lockName {
			continue
		}
		if err := onlyFile(fs, fs.PathJoin(dir, n)); err != nil {
			faults = append(faults, storage.FileFault{Name: n, Why: errors.Unwrap(err).Error()})
		}
	}
	return faults, nil
}

// onlyFile fails if name is there and no file.
func onlyFile(fs vfs.FS, name string) error {
	if st, err := fs.Stat(name); err == nil {
		return durable.Regular(name, st.Mode())
	}
	return nil // what cannot be looked at fails later
}

// openFile opens a file to read it; what is none is refused.
func openFile(fs vfs.FS, name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := onlyFile(fs, name); err != nil {
		return nil, err
	}
	return fs.Open(name, opts...)
}
