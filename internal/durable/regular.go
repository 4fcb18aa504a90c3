package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ErrNoFile says that what has the name of a file is none.
var ErrNoFile = errors.New("not a file")

// Regular returns nil for a file, or a link to one, else a [fs.PathError] of [ErrNoFile] that says what it is.
func Regular(name string, mode fs.FileMode) error {
	if mode.IsRegular() {
		return nil
	}
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("it is %s, %w", Kind(mode), ErrNoFile)}
}

// Kind returns what a mode is of, with its article.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "of the type " + mode.Type().String()
}

// Open opens a file to read it. What is none is refused: reading a pipe would wait for who writes, and a device may have no
// end.
func Open(name string) (*os.File, error) { return OpenFile(name, os.O_RDONLY, 0) }

// OpenFile is [os.OpenFile] of a file: whatever else has the name is refused, see [Open].
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	// First: to open a device may do something.
	if info, err := os.Stat(name); err == nil {
		if err := Regular(name, info.Mode()); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(name, flag|syscall.O_NONBLOCK, perm) // it changes nothing for a file, and waits for nobody else
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = Regular(name, info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadFile reads a file of at most so many bytes; a larger one is an error.
func ReadFile(name string, most int64) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: its error tells nothing
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s has more than %d bytes: it is another file", name, most)
	}
	if err != nil {
		return nil, err
	}
	return raw, nil
}
