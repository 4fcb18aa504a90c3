package ingest_test

import (
	"errors"
	"testing"

	"permanode/ingest"
	"permanode/ledger"
	"permanode/storage"
)

// TestRebasedLeansOnWhatIsThere: a segment whose heads were attested by one certificate ends early, since a cone in it
// cannot be had. No unit that is stored may lean on one that is not: those before the hole stand on their own.
func TestRebasedLeansOnWhatIsThere(t *testing.T) {
	c := placedChain(t, seed(t))
	for _, hole := range []uint64{lieStart + 1, lieClosing - 1, lieClosing, lieClosing + 2, lieEnd} {
		n := c.node("without records")
		n.lie = func(seq uint64, honest reply) reply {
			if seq == hole {
				honest.raws = nil
			}
			return honest
		}
		c.collectRange(t, []ingest.Source{n}, func(r *rig, _ *ingest.Collector, err error) {
			if !errors.Is(err, storage.ErrIncomplete) {
				t.Fatalf("without the records of %d: %v", hole, err)
			}
			stored := r.stored(lieStart, hole-1)
			ids := map[ledger.ID]bool{}
			for _, cone := range stored {
				ids[cone.Unit.ID] = true
			}
			for _, cone := range stored {
				if by := cone.Unit.AttestedBy; !by.IsZero() && !ids[by] {
					t.Errorf("without the records of %d: unit %d leans on %s, which is not stored", hole, cone.Unit.Seq, by)
				}
			}
			if len(stored) != int(hole-lieStart) {
				t.Errorf("without the records of %d: %d units are stored", hole, len(stored))
			}
			r.checkFull()
		})
	}
}
