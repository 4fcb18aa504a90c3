//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// fileLimit returns how many files a process may raise its limit to, as Go's runtime does.
func fileLimit() (uint64, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("the limit of file handles cannot be read: %w", err)
	}
	return uint64(l.Max), nil
}
