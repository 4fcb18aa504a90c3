package storage

import (
	"errors"
	"fmt"

	"permanode/ledger"
)

// The errors that tell a caller what it can do.
var (
	ErrNotFound   = errors.New("not in the archive") // says nothing about the ledger
	ErrIncomplete = errors.New("incomplete")         // a gap lies inside what was asked
	ErrCorrupt    = errors.New("corrupt")            // bytes do not match their id: not retried, not served
	ErrConflict   = errors.New("another unit stands under this number")
	ErrTooLarge   = errors.New("cone is larger than memory allows")
	ErrStopped    = errors.New("the store stopped writing") // a write failed; reads go on; reopen to write again
	ErrLocked     = errors.New("data directory is in use by another process")
	ErrNoData     = errors.New("no data directory")
)

// A CorruptError reports stored bytes that no longer hash to their id, or cannot be read.
type CorruptError struct {
	Ord     ledger.Ord
	ID, Got ledger.ID // zero where the row itself cannot be read
	Key     string    // engine and key, for example "pebble R/02/00000043bc00000a"
	Why     string    // what is wrong, where ids do not say it
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

func (e *CorruptError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("%s: %s", e.Key, e.Why)
	}
	return fmt.Sprintf("record %s: bytes at %s hash to %s", e.ID, e.Key, e.Got)
}

// Hint is the next step.
func (e *CorruptError) Hint() string {
	return "permanode check --full lists all damage; restore the data directory from a copy, or ingest again into a new one"
}
