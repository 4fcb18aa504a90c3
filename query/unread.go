package query

import (
	"context"
	"fmt"
	"sync"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// unread remembers which units of a network have records that this version cannot read whole. The store names units that
// had some when they came (storage.NoteUndecoded); a repair may have read them since, so each is looked at once.
type unread struct {
	mu     sync.Mutex
	looked ranges.Set
	some   ranges.Set // of looked: there is one, which may have moved something of those it names
	blind  ranges.Set // of looked: not even what became of one is known, and it may have moved anything
}

// maxUnread is how many units with such records are asked for an owner; of more of them nobody is told that he is safe.
const maxUnread = 1000

// unreadOf returns the units of lo..hi in which a record that cannot be read whole may have moved something of owner.
func (a *Archive) unreadOf(ctx context.Context, n Network, owner string, lo, hi uint64) (of ranges.Set, err error) {
	noted, err := a.noted(ctx, n, lo, hi)
	if err != nil || noted.Len() == 0 {
		return of, err
	}
	got, _ := a.unread.LoadOrStore(n.ID, &unread{})
	u := got.(*unread)
	asked := 0
	for seq := range noted.All() {
		some, blind, err := a.lookUnread(ctx, n, u, seq)
		if err != nil {
			return of, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
		}
		if some && !blind && asked < maxUnread {
			asked++
			named, err := a.store.Count(ctx, n.ID, ledger.Key{Kind: ledger.KeyAddress, Val: owner}, seq, seq)
			if err != nil {
				return of, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
			}
			some = named > 0
		}
		if some {
			of.Add(seq, seq)
		}
	}
	return of, nil
}

// noted returns the units of lo..hi that had such records when they came.
func (a *Archive) noted(ctx context.Context, n Network, lo, hi uint64) (noted ranges.Set, err error) {
	for note, err := range a.store.Notes(ctx, n.ID) {
		if err != nil {
			return noted, fmt.Errorf("notes of %s: %w", n.Name, err)
		}
		if note.Kind == storage.NoteUndecoded && lo <= note.Seq && note.Seq <= hi {
			noted.Add(note.Seq, note.Seq)
		}
	}
	return noted, nil
}

// lookUnread says whether a unit has such records, and whether one is blind.
func (a *Archive) lookUnread(ctx context.Context, n Network, u *unread, seq uint64) (some, blind bool, err error) {
	u.mu.Lock()
	looked, some, blind := u.looked.Has(seq), u.some.Has(seq), u.blind.Has(seq)
	u.mu.Unlock()
	if looked {
		return some, blind, nil
	}
	for cone, err := range a.store.Cones(ctx, n.ID, seq, seq) {
		if err != nil {
			return false, false, err
		}
		for i := range cone.Records {
			if r := &cone.Records[i]; r.Undecoded {
				some, blind = true, blind || r.State == ledger.Executed
			}
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.looked.Add(seq, seq)
	if some {
		u.some.Add(seq, seq)
	}
	if blind {
		u.blind.Add(seq, seq)
	}
	return some, blind, nil
}

// unreadText says what such records mean for lines and balances.
func unreadText(units ranges.Set) string {
	return fmt.Sprintf("records of %d units (%s) cannot be read whole by this version: what they moved may be missing from lines and balances", units.Len(), setText(units))
}
