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

// newAssembly begins the cone of a checkpoint whose certificate is good. A transaction executes once: a list that names
// one twice is malformed.
func newAssembly(h *head, held bool) (*assembly, error) {
	n := len(h.contents.Transactions)
	a := &assembly{head: h, held: held, place: make(map[Digest]int, n), records: make([]ledger.Identified, n), missing: n}
	for i := range h.contents.Transactions {
		a.place[h.contents.Transactions[i].Transaction] = i
	}
	if len(a.place) != n {
		return nil, fmt.Errorf("%w checkpoint %d: its contents name a transaction twice", ledger.ErrSyntax, h.unit.Seq)
	}
	return a, nil
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
		if id.Err != nil {
			return fmt.Errorf("transaction in checkpoint %d: %w", a.unit.Seq, id.Err)
		}
		p, ok := id.Parsed.(*identified)
		if !ok {
			return fmt.Errorf("%w: what is put into checkpoint %d was not identified by this era", ledger.ErrSyntax, a.unit.Seq)
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
