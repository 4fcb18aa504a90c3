package pebblestore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// This file moves the bytes of a copy. The target has three states:
//
//	copying/ without SUMS    files are being brought; the target beside it is what it was
//	copying/ with SUMS       all are there; they take their places, and nothing else is needed for that
//	no copying/              the copy is done
const copyingName = "copying"

// plan returns the files that have to be brought, and keeps in mind which of the target stay.
func (c *copier) plan(old *sums) (need []fileSum, err error) {
	named := map[string]bool{}
	for _, f := range c.want.files {
		named[f.name] = true
		if f.name == lockName {
			continue // each directory has its own
		}
		c.report.Files++
		c.report.Bytes += f.size
		if c.there(f) {
			continue
		}
		if err := c.continues(f); err != nil {
			return nil, err
		}
		need = append(need, f)
	}
	if old != nil {
		for _, f := range old.files {
			if !named[f.name] && strings.Contains(f.name, "/") && c.have[f.name] == f {
				c.keep = append(c.keep, f)
			}
		}
	}
	return need, nil
}

// there reports whether the target has a file already.
func (c *copier) there(f fileSum) bool {
	if have, ok := c.have[f.name]; !ok || have != f {
		return false
	}
	st, err := c.fs.Stat(below(c.fs, c.to, f.name))
	return err == nil && st.Size() == f.size
}

// continues refuses a file of lines, which only grows, if the target's is not how it began.
func (c *copier) continues(f fileSum) error {
	have, ok := c.have[f.name]
	if !ok || isLines(f.name) == 0 {
		return nil
	}
	if have.size <= f.size {
		got, err := hashPart(c.ctx, c.fs, below(c.fs, c.from, f.name), have.size)
		if err != nil {
			return err
		}
		if got == have.sum {
			return nil
		}
	}
	return &CopyRefusedError{c.to, fmt.Sprintf("holds lines of %s that %s does not", f.name, c.from), otherTarget}
}

func hashPart(ctx context.Context, fs vfs.FS, name string, size int64) (sum [32]byte, err error) {
	f, err := openFile(fs, name, vfs.SequentialReadsOption)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	_, err = io.CopyN(h, readerOf{ctx, f}, size)
	h.Sum(sum[:0])
	return sum, errors.Join(err, f.Close())
}

// bring copies what is needed into the folder beside, and then has it take its place.
func (c *copier) bring(need []fileSum) error {
	var total int64
	for _, f := range need {
		total += f.size
	}
	gone, err := c.obsolete(c.want)
	if err != nil {
		return err
	}
	if len(need) == 0 && len(gone) == 0 && len(c.have) > 0 {
		return c.clear(nil) // nothing changed since the last copy
	}
	if err := c.room(total); err != nil {
		return err
	}
	if err := c.clear(need); err != nil {
		return err
	}
	dir := c.fs.PathJoin(c.to, copyingName)
	if err := c.fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syncDir(c.fs, c.to); err != nil {
		return err
	}
	var done int64
	for _, f := range need {
		if err := c.bringFile(dir, f); err != nil {
			return err
		}
		done += f.size
		if c.opts.Progress != nil {
			c.opts.Progress(done, total)
		}
	}
	s := &sums{units: c.want.units, files: append(slices.Clone(c.want.files), c.keep...)}
	slices.SortFunc(s.files, func(a, b fileSum) int { return strings.Compare(a.name, b.name) })
	if err := writeDurably(c.fs, dir, SumsName, s.encode()); err != nil {
		return err
	}
	return c.take()
}

// room refuses before the disk is filled, where the file system says how full it is.
func (c *copier) room(total int64) error {
	u, err := c.fs.GetDiskUsage(c.to)
	if err != nil || total <= 0 || u.AvailBytes >= uint64(total) {
		return nil
	}
	return &CopyRefusedError{c.to, fmt.Sprintf("has room for %d bytes, and %d have to be brought", u.AvailBytes, total), "make room there, or name a directory on a larger disk"}
}

// clear removes from the folder beside what is not needed there; all of it and the folder if nothing is.
func (c *copier) clear(need []fileSum) error {
	dir := c.fs.PathJoin(c.to, copyingName)
	if !c.exists(c.to, copyingName) {
		return nil
	}
	if len(need) == 0 {
		if err := c.fs.RemoveAll(dir); err != nil {
			return err
		}
		return syncDir(c.fs, c.to)
	}
	names, err := (&DB{dir: dir, opts: Options{FS: c.fs}}).listFiles("")
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.ContainsFunc(need, func(f fileSum) bool { return f.name == n }) {
			if err := c.fs.Remove(below(c.fs, dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// bringFile copies a file under a temporary name, and gives it its own once it is durable and what SUMS says.
func (c *copier) bringFile(dir string, f fileSum) error {
	target := below(c.fs, dir, f.name)
	if st, err := c.fs.Stat(target); err == nil && st.Size() == f.size {
		if sum, err := hashPart(c.ctx, c.fs, target, f.size); err == nil && sum == f.sum {
			c.report.Resumed = true
			return nil
		}
	}
	parent := c.fs.PathDir(target)
	if err := c.fs.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	source := below(c.fs, c.from, f.name)
	sum, err := copyFile(c.ctx, c.fs, source, target+".tmp", f.size)
	if err != nil {
		return err
	}
	if sum != f.sum {
		return corruptFile(source, fmt.Errorf("its SHA-256 is %x, not %x as %s says", sum, f.sum, SumsName))
	}
	if err := c.fs.Rename(target+".tmp", target); err != nil {
		return err
	}
	c.report.Copied++
	c.report.CopiedBytes += f.size
	for p := parent; ; p = c.fs.PathDir(p) {
		if err := syncDir(c.fs, p); err != nil || p == dir {
			return err
		}
	}
}

// copyFile copies the first size bytes of a file, durably, and returns their SHA-256.
func copyFile(ctx context.Context, fs vfs.FS, from, to string, size int64) (sum [32]byte, err error) {
	in, err := openFile(fs, from, vfs.SequentialReadsOption)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := fs.Create(to, vfs.WriteCategoryUnspecified)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	// The sum comes first: Pebble's file in memory spoils what it was given to write, where the race detector is on.
	n, err := io.Copy(io.MultiWriter(h, onlyWriter{out}), io.LimitReader(readerOf{ctx, in}, size))
	if err == nil && n < size {
		err = corruptFile(from, fmt.Errorf("it ends after %d of %d bytes", n, size))
	}
	if err == nil {
		err = out.Sync()
	}
	h.Sum(sum[:0])
	return sum, errors.Join(err, out.Close())
}

// onlyWriter hides what io.Copy might use instead of Write.
type onlyWriter struct{ io.Writer }

// writeDurably puts a small file under its name, whole or not at all.
func writeDurably(fs vfs.FS, dir, name string, raw []byte) error {
	path := fs.PathJoin(dir, name)
	if err := writeFile(fs, path+".tmp", raw); err != nil {
		return err
	}
	if err := fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(fs, dir)
}

// take gives the files in the folder beside their places, removes those that the store no longer has, and writes SUMS.
// Every step can be done again.
func (c *copier) take() error {
	dir := c.fs.PathJoin(c.to, copyingName)
	s, err := c.readSums(dir)
	if err != nil {
		return err
	}
	if c.exists(c.to, SumsName) {
		if err := removeSums(c.fs, c.to); err != nil {
			return err
		}
	}
	folders := map[string]bool{}
	for _, f := range s.files {
		if !c.exists(dir, f.name) {
			continue
		}
		for p := path.Dir(f.name); p != "."; p = path.Dir(p) {
			folders[p] = true
		}
		if err := c.place(dir, f.name); err != nil {
			return err
		}
	}
	for p := range folders {
		if err := syncDir(c.fs, below(c.fs, c.to, p)); err != nil {
			return err
		}
	}
	if err := syncDir(c.fs, c.to); err != nil {
		return err
	}
	if err := c.complete(s); err != nil {
		return err
	}
	gone, err := c.obsolete(s)
	if err != nil {
		return err
	}
	for _, n := range gone {
		if err := c.fs.Remove(c.fs.PathJoin(c.to, n)); err != nil {
			return err
		}
		c.report.Removed++
	}
	if err := syncDir(c.fs, c.to); err != nil {
		return err
	}
	if err := writeDurably(c.fs, c.to, SumsName, s.encode()); err != nil {
		return err
	}
	return c.done(dir)
}

// done removes the folder beside: first, for good, what says that its files have to take their places.
func (c *copier) done(dir string) error {
	if err := removeSums(c.fs, dir); err != nil {
		return err
	}
	return c.clear(nil)
}

// place links a file to its place, or moves it where links are unknown.
func (c *copier) place(dir, name string) error {
	from, to := below(c.fs, dir, name), below(c.fs, c.to, name)
	if err := c.fs.MkdirAll(c.fs.PathDir(to), 0o700); err != nil {
		return err
	}
	if err := c.fs.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if c.fs.Link(from, to) == nil {
		return nil
	}
	return c.fs.Rename(from, to)
}

// complete fails if a file is not in its place.
func (c *copier) complete(s *sums) error {
	for _, f := range s.files {
		st, err := c.fs.Stat(below(c.fs, c.to, f.name))
		if err == nil && st.Size() != f.size {
			err = fmt.Errorf("it has %d bytes, not %d", st.Size(), f.size)
		}
		if err != nil {
			return corruptFile(below(c.fs, c.to, f.name), err)
		}
	}
	return nil
}

// obsolete returns the files of the store in the target that s does not name.
func (c *copier) obsolete(s *sums) (out []string, err error) {
	names, err := c.fs.List(c.to)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		listed := slices.ContainsFunc(s.files, func(f fileSum) bool { return f.name == n })
		if !listed && isOfStore(n) {
			out = append(out, n)
		}
	}
	return out, nil
}

// unfinishedCopy refuses a directory that a copy left half: some of its files are not in their places, or none is.
func unfinishedCopy(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil || !slices.Contains(names, copyingName) {
		return nil // what cannot be listed fails later
	}
	_, err = fs.Stat(below(fs, dir, copyingName+"/"+SumsName))
	if err == nil || !slices.Contains(names, SumsName) && !slices.ContainsFunc(names, isOfStore) {
		return &UnfinishedCopyError{dir}
	}
	return nil
}

// isOfStore reports whether a file at the top of the directory is one of Pebble's.
func isOfStore(name string) bool {
	return isTable(name) || strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") ||
		strings.HasPrefix(name, "OPTIONS-") || strings.HasPrefix(name, "marker.")
}
