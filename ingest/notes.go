package ingest

import (
	"context"
	"fmt"

	"permanode/ledger"
	"permanode/storage"
)

// note queues a note for the writer, once, and reports whether it is a new one. It is safe for concurrent use.
func (c *Collector) note(n storage.Note) bool {
	n.Net, n.TimeMs = c.net, now().UnixMilli()
	k := noteKey{n.Kind, n.Seq, n.Unit, n.Source, n.Code}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Kind != storage.NoteGap { // a gap's end and reason may change
		if _, ok := c.noted[k]; ok {
			return false
		}
		if len(c.noted) >= 4*maxNotes {
			clear(c.noted) // the store keeps the first of equal ones
		}
		c.noted[k] = struct{}{}
	}
	if len(c.notes) >= maxNotes {
		c.dropped++
		return true
	}
	c.notes = append(c.notes, n)
	return true
}

// flushNotes writes what was queued. It belongs to the goroutine that owns the writer at the time.
func (c *Collector) flushNotes(ctx context.Context) error {
	c.mu.Lock()
	notes, dropped := c.notes, c.dropped
	c.notes, c.dropped = nil, 0
	c.mu.Unlock()
	if dropped > 0 {
		c.log.Warn("notes were dropped: sources lie faster than they can be written", "count", dropped)
	}
	for _, n := range notes {
		if err := c.store.Note(ctx, n); err != nil {
			return fmt.Errorf("note about unit %d of %s: %w", n.Seq, c.name, err)
		}
	}
	return nil
}

// doubt remembers that the claims about unit seq did not hold, so that others are asked first.
func (c *Collector) doubt(seq uint64, p *prepared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubtSeq != seq {
		c.doubtSeq, c.doubted, c.doubtWords = seq, nil, nil
	}
	c.doubted = append(c.doubted, p.sayers...)
	if len(c.doubtWords) < len(c.pool.all) {
		c.doubtWords = append(c.doubtWords, p.claims)
	}
}

// judgeClaims compares what nodes said about a proven cone with what is proven, and notes lies.
func (c *Collector) judgeClaims(p *prepared, cone *ledger.Cone) {
	if p.claims == nil {
		return
	}
	c.mu.Lock()
	var words []*ledger.NodeClaims
	if c.doubtSeq == cone.Unit.Seq {
		words = c.doubtWords
	}
	c.mu.Unlock()
	for _, said := range append([]*ledger.NodeClaims{p.claims}, words...) {
		n, first := lies(said, cone)
		if n > 0 {
			c.note(storage.Note{
				Kind: storage.NoteClaim, Seq: cone.Unit.Seq, To: cone.Unit.Seq, Unit: cone.Unit.ID, Source: said.Source,
				Code: "claims.false", Text: fmt.Sprintf("the proof contradicts what was said of %d records: %s", n, first),
			})
		}
		for _, s := range p.sayers {
			switch {
			case said != p.claims:
			case n > 0:
				s.lied(n, fmt.Errorf("false claims about unit %d: %s", cone.Unit.Seq, first))
			default:
				s.honest()
			}
		}
	}
}

// lies counts the claims that a cone contradicts and describes the first.
func lies(said *ledger.NodeClaims, cone *ledger.Cone) (n int, first string) {
	for i := range cone.Records {
		r := &cone.Records[i]
		word, ok := said.Records[r.ID]
		if !ok {
			continue
		}
		var why string
		switch {
		case word.Referenced != 0 && word.Referenced != cone.Unit.Seq:
			why = fmt.Sprintf("confirmed by unit %d, it is %d", word.Referenced, cone.Unit.Seq)
		case word.State != 0 && word.State != r.State:
			why = fmt.Sprintf("%s, it is %s", word.State, r.State)
		case word.Place != 0 && word.Place != uint64(r.Ord.Pos)+1:
			why = fmt.Sprintf("at place %d, it is at %d", word.Place-1, r.Ord.Pos)
		default:
			continue
		}
		if n++; n == 1 {
			first = fmt.Sprintf("%s is said to be %s", r.ID, why)
		}
	}
	return n, first
}

// noteUndecoded notes a unit with records that this version could not read whole, before the unit itself is stored: by
// these notes it is known which balances may lack something. They wait in no queue that others can fill.
func (c *Collector) noteUndecoded(ctx context.Context, cone *ledger.Cone) error {
	var why string
	n := 0
	for i := range cone.Records {
		r := &cone.Records[i]
		if !r.Undecoded {
			continue
		}
		if n++; n == 1 {
			f, err := c.codec.Facts(r, c.cfg.Trust)
			if why = f.Undecoded; err != nil {
				why = err.Error()
			}
		}
	}
	if n == 0 {
		return nil
	}
	err := c.store.Note(ctx, storage.Note{
		Net: c.net, Kind: storage.NoteUndecoded, Seq: cone.Unit.Seq, To: cone.Unit.Seq, Unit: cone.Unit.ID, Source: c.name, Code: "record.undecoded",
		Text:   oneLine(fmt.Sprintf("%d of its %d records are stored as received and could not be read whole: %s", n, len(cone.Records), why)),
		TimeMs: now().UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("note about unit %d of %s: %w", cone.Unit.Seq, c.name, err)
	}
	return nil
}
