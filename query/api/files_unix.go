//go:build unix

package api

import (
	"math"
	"syscall"
)

// fileLimit returns how many files the process may have open. Go's runtime has raised that as far as it may.
func fileLimit() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return math.MaxUint64
	}
	return uint64(l.Cur)
}
