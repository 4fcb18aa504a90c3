package ingest

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// Copier is a Source that holds second copies of units: what it gives is another copy than that of the source
// before it, and once one of them is proven the other is refused under this source's name.
type Copier interface {
	Source
	Copies() []ranges.Range // the units that it may have, in order
}

// refuseCopies keeps the copies of a proven unit that differ from what was proven. It fails only with the context.
func (c *Collector) refuseCopies(ctx context.Context, p *prepared) error {
	for _, s := range c.pool.all {
		other, ok := s.Source.(Copier)
		if !ok || s == p.cone || !ranges.Of(other.Copies()...).Has(p.unit.Seq) {
			continue
		}
		head, raws, err := other.Cone(ctx, p.unit.Seq)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrUnknown) || err == nil && c.sameCone(p, head, raws) {
			continue
		}
		why := &ledger.Forged{Seq: p.unit.Seq, Code: "unit.copy", Why: "this copy is not the one that was proven"}
		if err != nil {
			why.Why += ": " + err.Error()
		}
		c.refuse(p.unit.Seq, ledger.ID{}, s.Name(), why, slices.Concat(append([][]byte{head}, raws...)...))
	}
	return nil
}

func (c *Collector) sameCone(p *prepared, head []byte, raws [][]byte) bool {
	return bytes.Equal(head, c.codec.Head(p.unit)) && slices.EqualFunc(raws, p.members, func(raw []byte, m ledger.Identified) bool { return bytes.Equal(raw, m.Raw) })
}
