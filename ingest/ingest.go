// Package ingest collects cones: it asks sources, has the era prove what they say, and commits.
// It believes nobody and knows no era.
package ingest

import (
	"context"
	"errors"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// What a source can answer beside bytes. Everything else is a transport error: the source is asked
// again later.
var (
	ErrUnknown = errors.New("source does not know it") // may exist elsewhere, or later
	ErrPruned  = errors.New("source has pruned it")    // below the source's pruning index
	ErrCannot  = errors.New("source cannot answer this kind of question")
)

// Info is what a source says of itself.
type Info struct {
	Identity string // the network's own identity as in a trust file; "" if the source does not say
	Begin    string // where it says no more: the first characters of that identity, else ""
	Name     string // the network's readable name, "" if unknown
	Software string // node software and version, for people
	Oldest   uint64 // first unit it can still serve: everything before it is gone
	Newest   uint64 // newest confirmed unit
	// Missing are units between Oldest and Newest that the source knows it has not, in order.
	Missing []ranges.Range
}

// Source is asked, and never believed. All methods are safe for concurrent use, watch the context
// and bound what they read.
type Source interface {
	Name() string
	Info(ctx context.Context) (Info, error)
	// Head returns the head of a unit, as Codec.Unit reads it.
	Head(ctx context.Context, seq uint64) ([]byte, error)
	// Fetch returns any part of what was asked, in any order. Missing ones are no error.
	Fetch(ctx context.Context, ids []ledger.ID) ([][]byte, error)
	// Cone returns a whole cone, or ErrCannot.
	Cone(ctx context.Context, seq uint64) (head []byte, raws [][]byte, err error)
	// Claims returns what the node says of these records, or ErrCannot. Unknown ones are left out.
	Claims(ctx context.Context, seq uint64, ids []ledger.ID) (*ledger.NodeClaims, error)
}

// Feed is a bell and a cache: nothing that it brings is believed, and nothing is missing when it is down.
// Name and Status are safe for concurrent use, before, during and after Run.
type Feed interface {
	// Name returns the name for logs, status and metrics; other feeds of the network have other names.
	Name() string
	// Run hands over raw records and rings with numbers of confirmed units until ctx ends, and then returns
	// its error. put and ring do not block for long and keep nothing of the feed's. Run connects again by
	// itself; if it returns another error it is called again later.
	Run(ctx context.Context, put func(raw []byte), ring func(seq uint64)) error
	// Status says how the feed does. See [FeedMeter], which keeps it.
	Status() FeedStatus
}
