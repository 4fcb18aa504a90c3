package pebblestore_test

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// kind is the kind of an operation on a file system.
type kind int

const (
	opRead kind = iota
	opWrite
	opSync
	opDir // create, rename, link
)

// faultFS calls hook around every operation. An error before it keeps it from happening; an error after it
// is returned although it happened.
type faultFS struct {
	vfs.FS
	hook func(kind) (before, after error)
}

func (f *faultFS) around(k kind, op func() error) error {
	before, after := f.hook(k)
	if before != nil {
		return before
	}
	if err := op(); err != nil {
		return err
	}
	return after
}

func (f *faultFS) open(k kind, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.around(k, func() (err error) { file, err = open(); return err })
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(opDir, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *faultFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(opRead, func() (vfs.File, error) { return f.FS.Open(name, o...) })
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(opDir, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *faultFS) ReuseForWrite(a, b string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(opDir, func() (vfs.File, error) { return f.FS.ReuseForWrite(a, b, c) })
}

func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	return f.open(opRead, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

func (f *faultFS) Link(a, b string) error {
	return f.around(opDir, func() error { return f.FS.Link(a, b) })
}

func (f *faultFS) Remove(name string) error {
	return f.around(opDir, func() error { return f.FS.Remove(name) })
}

func (f *faultFS) Rename(a, b string) error {
	return f.around(opDir, func() error { return f.FS.Rename(a, b) })
}

func (f *faultFS) MkdirAll(dir string, perm os.FileMode) error {
	return f.around(opDir, func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f *faultFS) Unwrap() vfs.FS { return f.FS }

type faultFile struct {
	vfs.File
	f *faultFS
}

func (f *faultFile) Read(p []byte) (n int, err error) {
	err = f.f.around(opRead, func() (err error) { n, err = f.File.Read(p); return err })
	return n, err
}

func (f *faultFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.f.around(opRead, func() (err error) { n, err = f.File.ReadAt(p, off); return err })
	return n, err
}

func (f *faultFile) Write(p []byte) (n int, err error) {
	err = f.f.around(opWrite, func() (err error) { n, err = f.File.Write(p); return err })
	return n, err
}

func (f *faultFile) Sync() error { return f.f.around(opSync, f.File.Sync) }

func (f *faultFile) SyncData() error { return f.f.around(opSync, f.File.SyncData) }

func (f *faultFile) SyncTo(n int64) (full bool, err error) {
	err = f.f.around(opSync, func() (err error) { full, err = f.File.SyncTo(n); return err })
	return full, err
}

// fullFS is a disk with room for so many bytes. The write that does not fit is cut.
type fullFS struct {
	vfs.FS
	mu   sync.Mutex
	room int64
	hit  atomic.Bool
}

func (f *fullFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &fullFile{file, f}, nil
}

func (f *fullFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.Create(name, c))
}

func (f *fullFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.wrap(f.FS.OpenReadWrite(name, c, o...))
}

func (f *fullFS) ReuseForWrite(a, b string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.ReuseForWrite(a, b, c))
}

func (f *fullFS) Unwrap() vfs.FS { return f.FS }

type fullFile struct {
	vfs.File
	f *fullFS
}

func (f *fullFile) Write(p []byte) (int, error) {
	f.f.mu.Lock()
	n := min(int64(len(p)), f.f.room)
	f.f.room -= n
	f.f.mu.Unlock()
	m, err := f.File.Write(p[:n])
	if err == nil && n < int64(len(p)) {
		f.f.hit.Store(true)
		err = syscall.ENOSPC
	}
	return m, err
}
