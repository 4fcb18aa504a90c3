package rebased

import (
	"context"
	"fmt"
	"slices"

	"permanode/ledger"
)

// assembly gathers the transactions that the contents of one checkpoint list.
type assembly struct {
	*head
	held bool

	place   map[Digest]int // of each transaction in the list
	records []ledger.Identified
	missing int
}

// newAssembly begins the cone of a checkpoint whose certificate is good.
func newAssembly(h *head, held bool) (*assembly, error) {
	place, err := h.places()
	if err != nil {
		return nil, err
	}
	n := len(place)
	return &assembly{head: h, held: held, place: place, records: make([]ledger.Identified, n), missing: n}, nil
}

// places returns the place of each transaction in the list. A transaction executes once: a list that names one twice
// is malformed.
func (h *head) places() (map[Digest]int, error) {
	list := h.contents.Transactions
	place := make(map[Digest]int, len(list))
	for i := range list {
		place[list[i].Transaction] = i
	}
	if len(place) != len(list) {
		return nil, fmt.Errorf("%w checkpoint %d: its contents name a transaction twice", ledger.ErrSyntax, h.unit.Seq)
	}
	return place, nil
}

// Unit returns the checkpoint.
func (a *assembly) Unit() ledger.Unit { return a.unit }

// HeadChanges returns the committee that a closing checkpoint elects.
func (a *assembly) HeadChanges() []ledger.Change {
	if c, ok := closingChange(&a.Summary); ok {
		return []ledger.Change{c}
	}
	return nil
}

// Want returns transactions of the list, in its order.
func (a *assembly) Want(_ context.Context, most int) ([]ledger.ID, error) {
	out := make([]ledger.ID, 0, min(most, a.missing))
	for i := 0; i < len(a.records) && len(out) < cap(out); i++ {
		if a.records[i].ID.IsZero() {
			out = append(out, ledger.NewID(a.contents.Transactions[i].Transaction[:]))
		}
	}
	return out, nil
}

// Put takes transactions of the list whose effects are those of the list too.
func (a *assembly) Put(ids ...ledger.Identified) error {
	var mismatch error
	for _, id := range ids {
		p, err := parsedOf(&id)
		if err != nil {
			return fmt.Errorf("transaction in checkpoint %d: %w", a.unit.Seq, err)
		}
		i, ok := a.place[p.digest]
		if !ok || a.contents.Transactions[i].Effects != p.fxDigest {
			if mismatch == nil {
				mismatch = &ledger.Mismatch{Got: id.ID}
			}
			continue
		}
		if a.records[i].ID.IsZero() {
			a.records[i] = id
			a.missing--
		}
	}
	return mismatch
}

// Edge does nothing: the list says what belongs to the cone, nobody's word is needed.
func (a *assembly) Edge(...ledger.ID) {}

// Members returns the transactions in the order of the list, nil until all are there.
func (a *assembly) Members() []ledger.Identified {
	if a.missing > 0 {
		return nil
	}
	return slices.Clone(a.records)
}
