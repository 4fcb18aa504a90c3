package pebblestore

import (
	"errors"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/storage"
)

// Beside returns the files of a folder that others keep below the directory that, at the opening, were not as the last
// clean stop had left them. None after a stop that was not clean: nothing says then what they should be.
func (d *DB) Beside(folder string) (changed []storage.FileFault) {
	for _, f := range d.faults {
		if strings.HasPrefix(f.Name, folder+"/") {
			changed = append(changed, f)
		}
	}
	return changed
}

// CompareBeside is [DB.Beside] of a directory that is not opened. While a service has it there is nothing to compare with,
// and none is returned.
func CompareBeside(fs vfs.FS, dir, folder string) (changed []storage.FileFault, err error) {
	if fs == nil {
		fs = vfs.Default
	}
	d := &DB{dir: dir, opts: Options{FS: fs}}
	name := fs.PathJoin(dir, SumsName)
	raw, err := readFile(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeSums(raw)
	if err != nil {
		return []storage.FileFault{{Name: SumsName, Why: err.Error()}}, nil
	}
	for _, f := range s.files {
		if !strings.HasPrefix(f.name, folder+"/") {
			continue
		}
		if why := d.compareFile(f); why != "" {
			changed = append(changed, storage.FileFault{Name: f.name, Why: why})
		}
	}
	if _, err := fs.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil, nil // a service started meanwhile, and writes there
	}
	return changed, nil
}
