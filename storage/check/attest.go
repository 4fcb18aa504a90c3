package check

import (
	"context"
	"fmt"

	"permanode/ledger"
)

// attest completes start for a unit that another one's signatures prove: it walks to that one over the links,
// once for all units in between. Where the span ends before it, because collecting was stopped inside of a segment, the
// unit's own signatures have to do.
func (w *window) attest(ctx context.Context, stored *ledger.Cone, start *ledger.Start) error {
	by, ok := w.codec.(ledger.Attester)
	if !ok || stored.Unit.AttestedBy.IsZero() {
		return nil
	}
	seq := stored.Unit.Seq
	if a, ok := w.attested[seq]; ok {
		start.Attested = a
		return nil
	}
	heads, last := [][]byte{w.codec.Head(stored.Unit)}, stored.Unit.ID
	for next := seq + 1; last != stored.Unit.AttestedBy; next++ {
		if uint64(len(heads)) < by.Segment() && !w.span.Has(next) {
			return w.ownSignatures(ctx, by, stored, heads, start)
		}
		if uint64(len(heads)) >= by.Segment() {
			return fmt.Errorf("unit %s, whose signatures prove it, is not one of the next %d", w.codec.FormatID(stored.Unit.AttestedBy), len(heads))
		}
		u, _, err := w.o.Store.Unit(ctx, w.n.ID, next)
		if err != nil {
			return fmt.Errorf("unit %d, over which its signatures are reached: %w", next, err)
		}
		heads, last = append(heads, w.codec.Head(u)), u.ID
	}
	attested, err := by.Attest(ctx, heads, *start)
	if err != nil {
		return fmt.Errorf("the units up to %d, whose signatures prove it: %w", seq+uint64(len(heads))-1, err)
	}
	w.attested = map[uint64]ledger.Attestation{}
	for i, a := range attested {
		w.attested[seq+uint64(i)] = a
	}
	start.Attested = attested[0]
	return nil
}

// ownSignatures completes start for a unit that one behind the end of the span attests, if its own signatures prove it.
// heads are those from the unit to the end of the span, where nothing may attest it yet.
func (w *window) ownSignatures(ctx context.Context, by ledger.Attester, stored *ledger.Cone, heads [][]byte, start *ledger.Start) error {
	u := &stored.Unit
	attested, err := by.Attest(ctx, heads, *start)
	if u.Seq%by.Segment()+uint64(len(heads)) >= by.Segment() || err == nil && attested[0].By != attested[len(heads)-1].Unit {
		return fmt.Errorf("unit %s, whose signatures are to prove it, does not stand behind it", w.codec.FormatID(u.AttestedBy))
	}
	if _, err := by.Attest(ctx, heads[:1], *start); err != nil {
		return fmt.Errorf("unit %s, which attests it, is not stored yet, and its own signatures do not prove it: %w",
			w.codec.FormatID(u.AttestedBy), err)
	}
	start.Attested = ledger.Attestation{Unit: u.ID, By: u.AttestedBy}
	return nil
}
