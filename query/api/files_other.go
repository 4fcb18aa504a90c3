//go:build !unix

package api

import "math"

// fileLimit returns how many files the process may have open: here nobody says.
func fileLimit() uint64 { return math.MaxUint64 }
