package pebblestore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/storage"
)

// passedOver are the folders below the directory that SUMS passes over. The index has sums of its own, can be deleted and
// made again at any time, and hashing it at each stop would take as long as reading it. A checkpoint and what a copy has
// brought so far are no part of the store.
func passedOver(name string) bool {
	return name == "index" || name == CheckpointName || name == copyingName
}

// SumsName is the file that a clean stop leaves: the size and SHA-256 of every other file below the
// directory, the index and what begins with a dot in a folder apart, and the last unit of every network, hashed itself. It is removed before the first write after
// an opening, so a directory that was killed has none.
//
//	permanode sums 1
//	file SIZE SHA256 NAME          one a file, by name; NAME with slashes, relative to the directory
//	unit NETWORK SEQ ID            one a network that holds a unit, by name
//	sha256 HEX                     of all bytes before this line
const SumsName = "SUMS"

const sumsHead = "permanode sums 1\n"

type fileSum struct {
	name string
	size int64
	sum  [32]byte
}

type lastUnit struct {
	network string
	seq     uint64
	id      ledger.ID
}

type sums struct {
	files []fileSum
	units []lastUnit
}

func (s *sums) encode() []byte {
	var b bytes.Buffer
	b.WriteString(sumsHead)
	for _, f := range s.files {
		fmt.Fprintf(&b, "file %d %x %s\n", f.size, f.sum, f.name)
	}
	for _, u := range s.units {
		fmt.Fprintf(&b, "unit %s %d %s\n", u.network, u.seq, u.id)
	}
	fmt.Fprintf(&b, "sha256 %x\n", sha256.Sum256(b.Bytes()))
	return b.Bytes()
}

var errSums = errors.New("not as a clean stop wrote it")

// decodeSums accepts exactly what encode writes.
func decodeSums(raw []byte) (*sums, error) {
	s := &sums{}
	sc := bufio.NewScanner(bytes.NewReader(raw))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		f := strings.SplitN(sc.Text(), " ", 4)
		switch {
		case f[0] == "file" && len(f) == 4:
			size, err := strconv.ParseInt(f[1], 10, 64)
			sum, err2 := hex.DecodeString(f[2])
			if err != nil || err2 != nil || len(sum) != 32 {
				return nil, errSums
			}
			s.files = append(s.files, fileSum{f[3], size, [32]byte(sum)})
		case f[0] == "unit" && len(f) == 4:
			seq, err := strconv.ParseUint(f[2], 10, 64)
			id, err2 := hex.DecodeString(f[3])
			if err != nil || err2 != nil || len(id) > ledger.MaxIDLen {
				return nil, errSums
			}
			s.units = append(s.units, lastUnit{f[1], seq, ledger.NewID(id)})
		}
	}
	if sc.Err() != nil || !bytes.Equal(s.encode(), raw) {
		return nil, errSums
	}
	return s, nil
}

// checkSums compares the directory with SUMS, nil if there is none: tables by their size, all other files
// whole; for a check all files whole. A difference is an error that names the files, unless the store is opened
// as damaged: then they are kept for Damage.
func (d *DB) checkSums() (*sums, error) {
	raw, err := readFile(d.opts.FS, d.opts.FS.PathJoin(d.dir, SumsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeSums(raw)
	if err != nil {
		d.faults = append(d.faults, storage.FileFault{Name: SumsName, Why: err.Error()})
	} else if d.faults, err = d.compareFiles(s); err != nil {
		return nil, err
	}
	if d.opts.Damaged {
		return s, nil
	}
	return s, d.faultError()
}

// faultError names the store's own files that differ from what the last clean stop wrote; nil if none
// does. What others keep in folders below is theirs: a check names it, but it keeps nobody out.
func (d *DB) faultError() error {
	var errs []error
	for _, f := range d.faults {
		if !strings.Contains(f.Name, "/") && len(errs) < 10 {
			errs = append(errs, corruptFile(f.Name, errors.New(f.Why)))
		}
	}
	return errors.Join(errs...)
}

// compareFiles hashes the files that s names, and looks for Pebble's files that it does not name.
func (d *DB) compareFiles(s *sums) ([]storage.FileFault, error) {
	why := make([]string, len(s.files))
	d.known = map[string]fileSum{}
	var g errgroup.Group
	g.SetLimit(hashers)
	for i, f := range s.files {
		g.Go(func() error {
			why[i] = d.compareFile(f)
			return nil
		})
	}
	_ = g.Wait()
	var faults []storage.FileFault
	for i, f := range s.files {
		if why[i] != "" {
			faults = append(faults, storage.FileFault{Name: f.name, Why: why[i]})
		} else if isTable(f.name) {
			d.known[f.name] = f
		}
	}
	names, err := d.opts.FS.List(d.dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		listed := slices.ContainsFunc(s.files, func(f fileSum) bool { return f.name == n })
		if !listed && (isTable(n) || strings.HasSuffix(n, ".log") || strings.HasPrefix(n, "MANIFEST-") || strings.HasPrefix(n, "marker.")) {
			faults = append(faults, storage.FileFault{Name: n, Why: "a file of the store that the last clean stop did not leave"})
		}
	}
	return faults, nil
}

// hashers is the number of files hashed at once.
const hashers = 2

func (d *DB) compareFile(f fileSum) string {
	name := d.opts.FS.PathJoin(append([]string{d.dir}, strings.Split(f.name, "/")...)...)
	st, err := d.opts.FS.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "it is missing"
	case err != nil:
		return err.Error()
	case !st.Mode().IsRegular():
		return fmt.Sprintf("it is %s, not a file", durable.Kind(st.Mode()))
	case st.Size() != f.size:
		return fmt.Sprintf("it has %d bytes, not %d", st.Size(), f.size)
	case isTable(f.name) && !d.opts.Damaged:
		return "" // reading all tables at every opening would take hours at a terabyte; blocks and records carry their own sums
	}
	got, err := d.hashFile(name, f.name)
	switch {
	case err != nil:
		return err.Error()
	case got.sum != f.sum:
		return fmt.Sprintf("its SHA-256 is %x, not %x", got.sum, f.sum)
	}
	return ""
}

// hashFile hashes a file. The lock file is not opened: closing it would drop the lock. It is empty.
func (d *DB) hashFile(path, name string) (fileSum, error) {
	s := fileSum{name: name, sum: sha256.Sum256(nil)}
	if name == lockName {
		return s, nil
	}
	f, err := openFile(d.opts.FS, path, vfs.SequentialReadsOption)
	if err != nil {
		return s, err
	}
	h := sha256.New()
	ctx := d.hashing
	if ctx == nil {
		ctx = context.Background()
	}
	s.size, err = io.Copy(h, readerOf{ctx, f})
	h.Sum(s.sum[:0])
	return s, errors.Join(err, f.Close())
}

// onlyReader hides what io.Copy might use instead of Read.
type onlyReader struct{ io.Reader }

const lockName = "LOCK"

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := openFile(fs, name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(onlyReader{f})
	return raw, errors.Join(err, f.Close())
}

// removeSums removes SUMS for good: a file that stands after a crash would accuse healthy files.
func removeSums(fs vfs.FS, dir string) error {
	if err := fs.Remove(fs.PathJoin(dir, SumsName)); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// writeSums writes the list after Pebble is closed.
func (d *DB) writeSums(units []lastUnit) error {
	fs := d.opts.FS
	// What Pebble removed must be gone for good: it does not sync the directory for that, and a file that
	// came back after a power loss would stand accused.
	if err := syncDir(fs, d.dir); err != nil {
		return err
	}
	names, err := d.listFiles("")
	if err != nil {
		return err
	}
	s := &sums{units: units, files: make([]fileSum, len(names))}
	var g errgroup.Group
	g.SetLimit(hashers)
	for i, n := range names {
		g.Go(func() (err error) {
			if k, ok := d.sumOf(n); ok { // tables do not change: the sum of when it was written stands, whatever became of the file since
				s.files[i] = k
				return nil
			}
			s.files[i], err = d.hashFile(fs.PathJoin(append([]string{d.dir}, strings.Split(n, "/")...)...), n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	d.keepBeside(s)
	name := fs.PathJoin(d.dir, SumsName)
	if err := writeFile(fs, name+".tmp", s.encode()); err != nil {
		return err
	}
	if err := fs.Rename(name+".tmp", name); err != nil {
		return err
	}
	return syncDir(fs, d.dir)
}

func writeFile(fs vfs.FS, name string, raw []byte) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// listFiles returns the names of all files below dir but SUMS and those of the index, with slashes, sorted. In the folders of
// others what begins with a dot is of the process that has them, and no part of what is kept.
func (d *DB) listFiles(under string) (out []string, err error) {
	fs := d.opts.FS
	dir := d.dir
	if under != "" {
		dir = fs.PathJoin(append([]string{dir}, strings.Split(under, "/")...)...)
	}
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, n := range names {
		rel := n
		if under != "" {
			rel = under + "/" + n
		}
		st, err := fs.Stat(fs.PathJoin(dir, n))
		switch {
		case under != "" && strings.HasPrefix(n, "."):
		case errors.Is(err, os.ErrNotExist): // Pebble removed it since: it lives while a checkpoint is made
		case err != nil:
			return nil, err
		case st.IsDir() && passedOver(rel):
		case st.IsDir():
			more, err := d.listFiles(rel)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		case rel != SumsName && rel != SumsName+".tmp" && st.Mode().IsRegular():
			if strings.ContainsAny(rel, "\n\r") {
				return nil, fmt.Errorf("file name %q cannot be listed in %s: remove it", rel, SumsName)
			}
			out = append(out, rel)
		}
	}
	return out, nil
}

// lastUnits returns the newest unit of each network.
func (d *DB) lastUnits() (out []lastUnit, err error) {
	for net, n := range d.nets {
		st := n.state.Load()
		i := len(st.spans) - 1
		for i >= 0 && st.spans[i].Empty() {
			i--
		}
		if i < 0 {
			continue
		}
		key := keySeq(tabUnit, net, st.spans[i].Hi)
		val, err := d.get(d.db, key)
		if errors.Is(err, pebble.ErrNotFound) {
			err = d.badRow(key, errMissing)
		}
		if err != nil {
			return nil, err
		}
		u, err := decodeUnit(key, val)
		if err != nil {
			return nil, d.badRow(key, err)
		}
		out = append(out, lastUnit{st.network.Name, u.Seq, u.ID})
	}
	slices.SortFunc(out, func(a, b lastUnit) int { return strings.Compare(a.network, b.network) })
	return out, nil
}

// compareUnits fails if what Pebble recovered ends elsewhere than the last clean stop.
func (d *DB) compareUnits(want *sums) error {
	got, err := d.lastUnits()
	if err != nil {
		return err
	}
	if !slices.Equal(got, want.units) {
		return corruptFile(SumsName, fmt.Errorf("it names the last units %v, the store ends with %v", want.units, got))
	}
	return nil
}
