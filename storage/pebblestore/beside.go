package pebblestore

import (
	"errors"
	"os"
	"slices"
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

// TakeOver says that the caller writes into a folder from now on, and has noted what [DB.Beside] says of it: the next SUMS
// says what is there then.
func (d *DB) TakeOver(folder string) {
	d.sumsMu.Lock()
	defer d.sumsMu.Unlock()
	d.taken = append(d.taken, folder)
}

// keepBeside puts into s what SUMS said before of the folders that are kept.
func (d *DB) keepBeside(s *sums) {
	if d.was == nil {
		return // a stop that was not clean: nothing says what they should be
	}
	d.sumsMu.Lock()
	defer d.sumsMu.Unlock()
	kept := func(f fileSum) bool {
		folder, _, below := strings.Cut(f.name, "/")
		return below && slices.Contains(d.opts.Keep, folder) && !slices.Contains(d.taken, folder)
	}
	s.files = slices.DeleteFunc(s.files, kept)
	for _, f := range d.was.files {
		if kept(f) {
			s.files = append(s.files, f)
		}
	}
	slices.SortFunc(s.files, func(a, b fileSum) int { return strings.Compare(a.name, b.name) })
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
