package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// Config says what one Collector collects.
type Config struct {
	Network string         // label in status, notes and file names; see ledger.ValidName
	Codec   ledger.Codec   // of the network's era
	Trust   ledger.Trust   // parsed by that codec
	Store   storage.Writer // of this network; the Collector is its only user
	Sources []Source       // asked in this order; at least one
	Feeds   []Feed         // bells and caches; may be empty

	// Start is the first unit wanted, where the store is empty and no snapshot is given. 0 means the oldest
	// that a source still has.
	Start uint64
	// Snapshot names the files of the ledger before the first unit: a full one, then at most one delta. Their
	// SHA-256 must be those in the trust file. None: the span goes by claims.
	Snapshot []string

	Quarantine      string // folder for refused bytes, one folder a network inside; "" keeps none
	QuarantineBytes int64  // 0 means 64 MiB
	Memory          int64  // bytes for cones under way, cache and pending units; 0 means 256 MiB
	Workers         int    // that prepare; 0 means one a processor
	Poll            time.Duration
	Log             *slog.Logger // nil means none

	// Progress is called after commits, at most five times a second, and once at the end of CatchUp. It must
	// not block.
	Progress func(Status)
}

const (
	defaultMemory     = 256 << 20
	defaultQuarantine = 64 << 20
	defaultPoll       = time.Second
	minMemory         = 4 << 20
)

// withDefaults returns c with zero values replaced, or all that is wrong with it at once.
func (c Config) withDefaults() (Config, error) {
	var errs error
	bad := func(format string, args ...any) { errs = errors.Join(errs, fmt.Errorf(format, args...)) }
	if c.Network == "" || filepath.Base(c.Network) != c.Network {
		bad("the network's name %q cannot name a folder", c.Network)
	}
	if c.Codec == nil || c.Store == nil || c.Trust.Identity == "" {
		bad("network %s: codec, store and trust file are all needed", c.Network)
	}
	if len(c.Sources) == 0 {
		bad("network %s: no source: nothing would be collected; name at least one", c.Network)
	}
	if c.Start > ledger.MaxSeq {
		bad("network %s: start %d is no unit number", c.Network, c.Start)
	}
	if len(c.Snapshot) > 2 {
		bad("network %s: %d snapshot files: one full file and at most one delta file make a ledger", c.Network, len(c.Snapshot))
	}
	if c.Memory < 0 || c.Memory > 0 && c.Memory < minMemory {
		bad("network %s: memory of %d bytes is too little; at least %d", c.Network, c.Memory, minMemory)
	}
	if errs != nil {
		return c, fmt.Errorf("%w: %w", ErrConfig, errs)
	}
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.QuarantineBytes <= 0 {
		c.QuarantineBytes = defaultQuarantine
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Poll <= 0 {
		c.Poll = defaultPoll
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
