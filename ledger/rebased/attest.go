package rebased

import (
	"context"
	"fmt"

	"permanode/ledger"
)

// segmentUnits is the number of checkpoints that one certificate attests at most: 13 seconds at the usual rate.
const segmentUnits = 64

// Segment returns 64.
func (Codec) Segment() uint64 { return segmentUnits }

// Attest checks the links of consecutive checkpoints, the form of every certificate, and the signature of the last
// one of each epoch: a summary names the digest of the one before, so that one signature proves all before it, and a
// committee proves none but its own epoch. Errors are those of [Codec.Begin].
func (Codec) Attest(ctx context.Context, heads [][]byte, at ledger.Start) ([]ledger.Attestation, error) {
	r, err := rulesOf(&at.Trust)
	if err != nil {
		return nil, err
	}
	before, err := summaryOf(at.Prev)
	if err != nil {
		return nil, err
	}
	var beforeID ledger.ID
	if at.Prev != nil {
		beforeID = at.Prev.ID
	}
	out := make([]ledger.Attestation, len(heads))
	run := 0         // heads[run:i] are linked, of one epoch, and not yet attested
	var c *Committee // of the epoch of the head before
	for i, raw := range heads {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("attest %d units: %w", len(heads), err)
		}
		h, err := parseHead(raw)
		if err != nil {
			return nil, err
		}
		if err := h.links(r, before, beforeID); err != nil {
			return nil, err
		}
		if _, err := h.places(); err != nil {
			return nil, err
		}
		if c == nil || c.Epoch != h.Summary.Epoch {
			if c, err = r.committee(ctx, h, before, &at); err != nil {
				return nil, err
			}
		}
		b, err := c.form(h.Certified)
		if err != nil {
			return nil, forgedUnit(h.unit.Seq, err)
		}
		out[i].Unit = h.unit.ID
		if h.Summary.EndOfEpoch != nil || i == len(heads)-1 {
			if err := c.signed(h.Certified, b); err != nil {
				return nil, forgedUnit(h.unit.Seq, err)
			}
			if err := r.next(h); err != nil {
				return nil, err
			}
			for ; run <= i; run++ {
				out[run].By = h.unit.ID
			}
		}
		before, beforeID = &h.Summary, h.unit.ID
	}
	return out, nil
}
