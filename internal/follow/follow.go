// Package follow drives what is made from committed cones: the index, later the log and the mirror. Each follower
// keeps its own durable account of what it has taken, so each can be deleted and made again from the store.
package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// A Follower takes committed cones. Its methods belong to one goroutine.
type Follower interface {
	Name() string // in errors and logs: "index"
	// Done returns the units of net that were taken and will be there after a crash.
	Done(ctx context.Context, net ledger.NetID) (ranges.Set, error)
	// Follow takes a cone, whole. It may hold it back until Sync. The same cone again changes nothing.
	Follow(ctx context.Context, c *ledger.Cone) error
	// Sync makes durable and visible what Follow took.
	Sync(ctx context.Context) error
}

// A Reporter is a Follower that wants to know how its work goes: the error that keeps it from going on, and nil
// when it goes on again.
type Reporter interface{ Report(err error) }

// How long Run waits after an error: the first time, and at most.
const (
	firstWait = 100 * time.Millisecond
	maxWait   = 30 * time.Second
)

// Run follows net until ctx ends, and returns its error: whatever is in coverage and was not taken, oldest first,
// and again whenever the store changes. After an error it waits, longer each time, and tries again.
func Run(ctx context.Context, r storage.Reader, net ledger.NetID, f Follower) error {
	wait := firstWait
	for {
		changed := r.Changed(net) // before coverage is read: a commit in between wakes us
		err := CatchUp(ctx, r, net, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if rep, ok := f.(Reporter); ok {
			rep.Report(err)
		}
		var again <-chan time.Time
		if err == nil {
			wait = firstWait
		} else {
			again, changed = time.After(wait), nil
			wait = min(2*wait, maxWait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again:
		}
	}
}

// CatchUp follows net once: all that coverage holds now and f has not taken, oldest first, then Sync. A unit that the
// store cannot read is left out, so that one damaged record does not keep back all behind it; its error is returned
// at the end, as the first of any other kind is at once.
func CatchUp(ctx context.Context, r storage.Reader, net ledger.NetID, f Follower) error {
	missing, err := Missing(ctx, r, net, f)
	if err != nil {
		return err
	}
	if missing.Len() == 0 {
		return nil
	}
	var damage error
	for _, part := range missing.Ranges() {
		for next := part.Lo; next <= part.Hi; next++ {
			if next, err = units(ctx, r, net, f, next, part.Hi); err == nil {
				break
			}
			if !errors.Is(err, storage.ErrCorrupt) {
				return err
			}
			if damage == nil {
				damage = err
			}
		}
	}
	if err := f.Sync(ctx); err != nil {
		return fmt.Errorf("%s: sync: %w", f.Name(), err)
	}
	return damage
}

// units follows units lo to hi. With an error it returns the unit that could not be followed.
func units(ctx context.Context, r storage.Reader, net ledger.NetID, f Follower, lo, hi uint64) (uint64, error) {
	next := lo
	for c, err := range r.Cones(ctx, net, lo, hi) {
		if err != nil {
			return next, fmt.Errorf("%s: read unit %d: %w", f.Name(), next, err)
		}
		if err := f.Follow(ctx, c); err != nil {
			return next, fmt.Errorf("%s: unit %d: %w", f.Name(), next, err)
		}
		next++
	}
	return next, nil
}

// Missing returns the units of net that coverage holds and f has not taken.
func Missing(ctx context.Context, r storage.Reader, net ledger.NetID, f Follower) (ranges.Set, error) {
	cov, err := r.Coverage(ctx, net)
	if err != nil {
		return ranges.Set{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	done, err := f.Done(ctx, net)
	if err != nil {
		return ranges.Set{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return cov.Set().Minus(done), nil
}
