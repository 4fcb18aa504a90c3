//go:build unix

package durable

import (
	"fmt"
	"os"
	"syscall"
)

// own gives f the owner and group of old.
func own(f *os.File, old os.FileInfo) error {
	want, ok := old.Sys().(*syscall.Stat_t)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, known := info.Sys().(*syscall.Stat_t)
	if !ok || !known || have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("it belongs to user %d and group %d, and a new one cannot be given to them: %w", want.Uid, want.Gid, err)
	}
	return nil
}
