package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"permanode/ledger"
	"permanode/storage"
)

// variant is one form of a unit's head, and who gave it. Two variants with the same unit id differ in
// what is not signed.
type variant struct {
	head []byte
	unit ledger.Unit
	from []*asked
	asm  ledger.Assembly // begun on the unit before; nil if it does not continue it
	err  error           // why not
}

// heads asks every source that may be asked for the head of unit seq. Answers that are no head of that
// unit are refused here; nothing is proven yet.
func (c *Collector) heads(ctx context.Context, seq uint64) ([]*variant, error) {
	sources := c.pool.ready()
	for round := 1; len(sources) == 0 && round < walkRounds; round++ {
		if err := c.pauseRound(ctx, round); err != nil {
			return nil, err
		}
		sources = c.pool.ready()
	}
	got := make([][]byte, len(sources))
	errs, err := askAll(ctx, sources, func(ctx context.Context, i int) (err error) {
		got[i], err = sources[i].Head(ctx, seq)
		return err
	})
	if err != nil {
		return nil, err
	}
	var found []*variant
	for i, s := range sources {
		if errs[i] != nil {
			continue
		}
		u, err := c.codec.Unit(got[i])
		if err == nil && u.Seq != seq {
			err = &ledger.Forged{Seq: seq, Code: "unit.seq", Why: fmt.Sprintf("the answer is unit %d", u.Seq)}
		}
		if err != nil {
			// Begin may know better what is wrong with it.
			if _, better := c.codec.Begin(ctx, got[i], c.alone()); better != nil && untrue(better) && !errors.As(err, new(*ledger.Forged)) {
				err = better
			}
			s.lied(1, err)
			c.refuse(seq, ledger.ID{}, s.Name(), err, got[i])
			continue
		}
		at := slices.IndexFunc(found, func(v *variant) bool { return bytes.Equal(v.head, got[i]) })
		if at < 0 {
			at, found = len(found), append(found, &variant{head: got[i], unit: u})
		}
		found[at].from = append(found[at].from, s)
	}
	c.rememberSilent(seq, found)
	if len(found) == 0 {
		v, err := c.pendingHead(seq)
		if err != nil {
			return nil, fmt.Errorf("pending unit %d of %s: %w", seq, c.name, err)
		}
		if v != nil {
			found = append(found, v)
		}
	}
	return found, nil
}

// rememberSilent marks unit seq for a later comparison with every source that gave no head of it.
func (c *Collector) rememberSilent(seq uint64, found []*variant) {
	for _, s := range c.pool.all {
		if !slices.ContainsFunc(found, func(v *variant) bool { return slices.Contains(v.from, s) }) {
			s.audit(seq)
		}
	}
}

// signed returns the variants whose signatures are good, begun on start where they continue it. The
// others are refused. It fails only for reasons of this process.
func (c *Collector) signed(ctx context.Context, found []*variant, start ledger.Start) ([]*variant, error) {
	var out []*variant
	for _, v := range found {
		asm, err := c.codec.Begin(ctx, v.head, start)
		if err == nil {
			v.asm = asm
			out = append(out, v)
			continue
		}
		if errors.As(err, new(*ledger.Unjudged)) {
			v.err = err
			continue
		}
		if !untrue(err) {
			return nil, err
		}
		v.err = err
		alone := start
		alone.Prev, alone.Snapshot = nil, nil
		if _, err := c.codec.Begin(ctx, v.head, alone); err == nil {
			out = append(out, v)
			continue
		}
		for _, s := range v.from {
			s.lied(1, err)
			c.refuse(v.unit.Seq, ledger.ID{}, s.Name(), v.err, v.head)
		}
	}
	return out, nil
}

// untrue reports whether an error is about what a source gave, not about this process.
func untrue(err error) bool {
	var forged *ledger.Forged
	return errors.As(err, &forged) || errors.Is(err, ledger.ErrSyntax)
}

// chooseHead returns the head of unit seq that continues start, begun; found are its heads if they were asked for. It returns a *problem if there is
// none now, and an *EquivocationError if the signers went on from another unit than the committed one.
func (c *Collector) chooseHead(ctx context.Context, seq uint64, start ledger.Start, found []*variant) (_ *variant, err error) {
	if len(found) == 0 {
		if found, err = c.heads(ctx, seq); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, c.missing(seq, errors.New("no source has the unit"))
	}
	if rewrapped(found) { // a later unit proves the content, not which of the signatures are true
		start.Attested = ledger.Attestation{}
	}
	good, err := c.signed(ctx, found, start)
	if err != nil {
		return nil, err
	}
	if len(good) == 0 {
		kind := problemForged
		if errors.As(found[0].err, new(*ledger.Unjudged)) {
			kind = problemUndecided
		}
		return nil, &problem{seq: seq, kind: kind, err: found[0].refusal()}
	}
	c.noteVariants(good)
	var next []*variant // one a unit id
	for _, v := range good {
		if v.asm != nil && !slices.ContainsFunc(next, func(o *variant) bool { return o.unit.ID == v.unit.ID }) {
			next = append(next, v)
		}
	}
	switch len(next) {
	case 0:
		c.mu.Lock()
		delete(c.above, seq) // it may be the one that does not fit
		c.mu.Unlock()
		return nil, c.unlinked(ctx, good[0], start)
	case 1:
		return next[0], nil
	}
	return c.lookAhead(ctx, seq, next, start)
}

// rewrapped reports whether two heads differ in what is not signed alone.
func rewrapped(found []*variant) bool {
	for i, v := range found {
		if slices.ContainsFunc(found[:i], func(o *variant) bool { return o.unit.ID == v.unit.ID }) {
			return true
		}
	}
	return false
}

func (v *variant) refusal() error {
	if v.err != nil {
		return v.err
	}
	return errors.New("refused")
}

// noteVariants notes re-wrapped units, and both of two units that were signed for one number.
func (c *Collector) noteVariants(good []*variant) {
	for i, v := range good {
		for _, o := range good[:i] {
			if o.unit.ID == v.unit.ID {
				c.noteRewrapped(v.unit, v.from[0].Name())
				break
			}
		}
		if slices.ContainsFunc(good, func(o *variant) bool { return o.unit.ID != v.unit.ID }) {
			c.noteEquivocation(v.unit, v.from[0].Name())
		}
	}
}

func (c *Collector) noteRewrapped(u ledger.Unit, source string) {
	c.note(storage.Note{
		Kind: storage.NoteRewrapped, Seq: u.Seq, To: u.Seq, Unit: u.ID, Source: source, Code: "unit.rewrapped",
		Text: "the same signed content with other signatures or in another container; nothing to do",
	})
}

func (c *Collector) noteEquivocation(u ledger.Unit, source string) {
	c.note(storage.Note{
		Kind: storage.NoteEquivocation, Seq: u.Seq, To: u.Seq, Unit: u.ID, Source: source, Code: "unit.equivocation",
		Text: fmt.Sprintf("the signers signed more than one unit %d; this is one of them", u.Seq), Evidence: c.codec.Head(u),
	})
}

// lookAhead decides between units that were all signed for seq: the one that the next unit builds on.
func (c *Collector) lookAhead(ctx context.Context, seq uint64, choice []*variant, start ledger.Start) (*variant, error) {
	ahead, err := c.heads(ctx, seq+1)
	if err != nil {
		return nil, err
	}
	var chosen []*variant
	for _, v := range choice {
		built, err := c.builtOn(ctx, v, ahead, start)
		if err != nil {
			return nil, err
		}
		if built {
			chosen = append(chosen, v)
		}
	}
	if len(chosen) == 1 {
		return chosen[0], nil
	}
	return nil, &problem{seq: seq, kind: problemUndecided, err: fmt.Errorf("%d different units were signed with this number and %d of them are built on: waiting for the signers to go on from one",
		len(choice), len(chosen))}
}

// builtOn reports whether a signed unit among ahead continues v. Who may sign it can depend on v.
func (c *Collector) builtOn(ctx context.Context, v *variant, ahead []*variant, start ledger.Start) (bool, error) {
	start.Prev, start.Snapshot, start.Attested = &v.unit, nil, ledger.Attestation{}
	for _, n := range ahead {
		if n.unit.Prev != v.unit.ID {
			continue
		}
		_, err := c.codec.Begin(ctx, n.head, start)
		if err == nil {
			return true, nil
		}
		if !untrue(err) && !errors.As(err, new(*ledger.Unjudged)) {
			return false, err
		}
	}
	return false, nil
}

// unlinked explains a signed unit that does not continue the unit before it: v is one of those that
// sources gave. If the predecessor that v names was signed too, the signers equivocated one unit ago.
func (c *Collector) unlinked(ctx context.Context, v *variant, start ledger.Start) error {
	seq := v.unit.Seq
	for _, s := range v.from {
		c.refuse(seq, v.unit.ID, s.Name(), v.err, v.head)
	}
	broken := &problem{seq: seq, kind: problemForged, err: v.refusal()}
	if start.Prev == nil || v.unit.Prev == start.Prev.ID || v.unit.Prev.IsZero() {
		return broken
	}
	found, err := c.heads(ctx, seq-1)
	if err != nil {
		return err
	}
	start.Snapshot = nil
	ours := *start.Prev
	start.Prev = nil
	good, err := c.signed(ctx, found, start)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(good, func(o *variant) bool { return o.unit.ID == v.unit.Prev })
	if at < 0 {
		return broken
	}
	other := good[at]
	c.noteEquivocation(ours, c.name)
	c.noteEquivocation(other.unit, other.from[0].Name())
	if !c.isCommitted(ours.Seq) {
		return &problem{seq: ours.Seq, kind: problemUndecided, reset: true, err: errors.New("another unit with this number was built on")}
	}
	decided, err := decision(ctx, c.store, c.net, ours.Seq)
	if err != nil {
		return err
	}
	if decided == ours.ID {
		return &problem{seq: seq, kind: problemForged, err: fmt.Errorf("%s follows unit %s of number %d, and the operator decided that %s counts",
			v.from[0].Name(), c.codec.FormatID(other.unit.ID), ours.Seq, c.codec.FormatID(ours.ID))}
	}
	return &EquivocationError{Network: c.name, Seq: ours.Seq, Committed: ours.ID, Other: other.unit.ID, Source: other.from[0].Name()}
}

// missing says why unit seq, or something of it, cannot be had.
func (c *Collector) missing(seq uint64, why error) *problem {
	p := &problem{seq: seq, kind: problemMissing, err: why}
	switch {
	case c.pool.resting():
		p.kind = problemTransport
		p.err = errors.Join(why, c.pool.err())
	case c.pool.pruned(seq):
		p.kind = problemPruned
		oldest, _, _ := c.pool.span()
		p.err = fmt.Errorf("every source has pruned it (the oldest unit that one still has is %d)", oldest)
	case c.pool.missingTo(seq) != seq-1:
		p.err = fmt.Errorf("every source says that it has not units %d to %d", seq, c.pool.missingTo(seq))
	}
	return p
}

// audit compares units that were committed without a source's word on them with what it says now.
func (c *Collector) audit(ctx context.Context) error {
	for _, s := range c.pool.all {
		if !s.ready() {
			continue
		}
		s.mu.Lock()
		todo := slices.Collect(s.unaudited.All())
		newest, oldest := s.info.Newest, s.info.Oldest
		s.mu.Unlock()
		for _, seq := range todo {
			if seq > newest || !c.isCommitted(seq) {
				continue
			}
			if seq >= oldest {
				if done, err := c.compare(ctx, s, seq); err != nil || !done {
					if err != nil {
						return err
					}
					break
				}
			}
			s.mu.Lock()
			s.unaudited.Remove(seq, seq)
			s.mu.Unlock()
		}
	}
	return nil
}

// compare notes what s says differently about the committed unit seq. It reports whether s answered.
func (c *Collector) compare(ctx context.Context, s *asked, seq uint64) (bool, error) {
	began := now()
	head, err := s.Head(ctx, seq)
	s.answer(ctx, err, now().Sub(began))
	if err != nil {
		return errors.Is(err, ErrUnknown) || errors.Is(err, ErrPruned), ctx.Err()
	}
	ours, _, err := c.store.Unit(ctx, c.net, seq)
	if err != nil {
		return false, err
	}
	if bytes.Equal(head, c.codec.Head(ours)) {
		return true, nil
	}
	u, err := c.codec.Unit(head)
	if err != nil || u.Seq != seq {
		s.lied(1, err)
		return true, nil
	}
	v := &variant{head: head, unit: u, from: []*asked{s}}
	good, err := c.signed(ctx, []*variant{v}, c.alone())
	if err != nil || len(good) == 0 {
		return true, err
	}
	if u.ID == ours.ID {
		c.noteRewrapped(u, s.Name())
		return true, nil
	}
	c.noteEquivocation(ours, c.name)
	c.noteEquivocation(u, s.Name())
	return true, nil
}

// refuse keeps what a source gave in quarantine and notes it.
func (c *Collector) refuse(seq uint64, id ledger.ID, source string, why error, raw []byte) {
	code := "malformed"
	var forged *ledger.Forged
	if errors.As(why, &forged) {
		code = forged.Code
	} else if errors.As(why, new(*ledger.Mismatch)) {
		code = "record.mismatch"
	}
	r := refused{Network: c.name, Unit: seq, Source: source, Code: code, Reason: why.Error(), Time: now().UTC()}
	if !id.IsZero() {
		r.ID = id.String()
	}
	if err := c.quarantine.put(r, raw); err != nil {
		c.log.Warn("cannot keep refused bytes", "error", err)
	}
	c.note(storage.Note{Kind: storage.NoteRefused, Seq: seq, To: seq, Unit: id, Source: source, Code: code, Text: oneLine(why.Error())})
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }
