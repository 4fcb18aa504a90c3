// Package follow drives what is made from committed cones: the index, later the log and the mirror. Each follower
// keeps its own durable account of what it has taken, so each can be deleted and made again from the store.
package follow

import (
	"context"
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

// CatchUp follows net once: all that coverage holds now and f has not taken, oldest first, then Sync. It returns
// the first error.
func CatchUp(ctx context.Context, r storage.Reader, net ledger.NetID, f Follower) error {
	missing, err := Missing(ctx, r, net, f)
	if err != nil {
		return err
	}
	if missing.Len() == 0 {
		return nil
	}
	for _, part := range missing.Ranges() {
		for c, err := range r.Cones(ctx, net, part.Lo, part.Hi) {
			if err != nil {
				return fmt.Errorf("%s: read units %d to %d: %w", f.Name(), part.Lo, part.Hi, err)
			}
			if err := f.Follow(ctx, c); err != nil {
				return fmt.Errorf("%s: unit %d: %w", f.Name(), c.Unit.Seq, err)
			}
		}
	}
	if err := f.Sync(ctx); err != nil {
		return fmt.Errorf("%s: sync: %w", f.Name(), err)
	}
	return nil
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
