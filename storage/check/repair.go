package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// Repairs says what Repair did.
type Repairs struct {
	Units     uint64 // read better now, and stored so
	Later     uint64 // units behind them whose records are worth something else by that
	Undecoded uint64 // records that this version cannot read whole either
}

// Repair proves again, from their stored bytes, the units with records that were stored without being read whole,
// and stores what this version reads. From the first such unit on it proves all, since what later records move may
// depend on it. A note says where it began, so that what an interrupted one has left behind is no damage to Run, and
// the next Repair ends it. writer returns the writer of a network; Repair closes it. A unit whose bytes do not prove it
// ends it with an error: that is damage, which Run lists.
func Repair(ctx context.Context, o Options, writer func(context.Context, ledger.Network) (storage.Writer, error)) (done Repairs, err error) {
	c := newChecker(o, func(Finding) {})
	nets, err := o.Store.Networks(ctx)
	if err != nil {
		return done, err
	}
	for _, n := range nets {
		if o.Network != "" && o.Network != n.Name {
			continue
		}
		if err := c.repair(ctx, n, writer, &done); err != nil {
			return done, fmt.Errorf("repair %s: %w", n.Name, err)
		}
	}
	return done, nil
}

// codeBegun marks the note that a repair leaves at the first unit that it looks at.
const codeBegun = "repair.begun"

func (c *checker) repair(ctx context.Context, n ledger.Network, writer func(context.Context, ledger.Network) (storage.Writer, error), done *Repairs) (err error) {
	k, err := c.open(ctx, n)
	if err != nil {
		return err
	}
	first, unread := k.begun, 0
	err = k.eachCone(ctx, func(cone *ledger.Cone) {
		if cone == nil {
			unread++
			return
		}
		for i := range cone.Records {
			if cone.Records[i].Undecoded {
				first = min(first, cone.Unit.Seq)
			}
		}
	})
	if err == nil && unread > 0 {
		err = fmt.Errorf("%d units cannot be read: permanode check --full lists all damage: %w", unread, storage.ErrCorrupt)
	}
	if err != nil || first > ledger.MaxSeq {
		return err
	}
	w, err := writer(ctx, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if first < k.begun {
		err := w.Note(ctx, storage.Note{
			Net: n.ID, Kind: storage.NoteUndecoded, Seq: first, To: first, Source: n.Name, Code: codeBegun,
			Text: "records from here on were read again by a later version", TimeMs: time.Now().UnixMilli(),
		})
		if err != nil {
			return err
		}
	}
	for _, s := range k.cov.Spans {
		if s.Empty() || s.Hi < first {
			continue
		}
		if err := k.repairSpan(ctx, s, max(first, s.Lo), w, done); err != nil {
			return err
		}
	}
	return nil
}

// repairBegun returns the first unit at which a repair ever began.
func (k *netCheck) repairBegun(ctx context.Context) (uint64, error) {
	first := uint64(ledger.MaxSeq) + 1
	for n, err := range k.o.Store.Notes(ctx, k.n.ID) {
		if errors.Is(err, storage.ErrCorrupt) {
			return first, nil // found when all notes are read
		}
		if err != nil {
			return first, err
		}
		if n.Code == codeBegun {
			first = min(first, n.Seq)
		}
	}
	return first, nil
}

func (k *netCheck) repairSpan(ctx context.Context, s storage.Span, lo uint64, w storage.Writer, done *Repairs) error {
	step := k.windowUnits()
	for ; s.Has(lo); lo += step {
		at := k.window(s, lo, min(s.Hi, lo+step-1), true)
		at.onProven = func(stored, proven *ledger.Cone) error {
			for i := range proven.Records {
				if proven.Records[i].Undecoded {
					done.Undecoded++
				}
			}
			better := readsMore(stored, proven)
			if !better && sameRecords(stored, proven) {
				return nil
			}
			if err := w.Repair(ctx, proven); err != nil {
				return err
			}
			if better {
				done.Units++
			} else {
				done.Later++
			}
			return nil
		}
		if err := at.run(ctx); err != nil {
			return err
		}
		if at.failed {
			why := "its bytes do not prove it"
			if len(at.found) > 0 {
				why = at.found[0].String()
			}
			return fmt.Errorf("%s: permanode check --full lists all damage: %w", why, storage.ErrCorrupt)
		}
		k.progress(lo-s.Lo+step, s.Hi-s.Lo+1, "")
	}
	return nil
}

func sameRecords(stored, proven *ledger.Cone) bool {
	for i := range proven.Records {
		if recordDiffers(&stored.Records[i], &proven.Records[i]) != "" {
			return false
		}
	}
	return true
}
