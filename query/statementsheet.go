package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// sheet is one account's part of a statement: what of the period is held, and the balances at its ends.
type sheet struct {
	n        Network
	here     Network // with the rules at the end of the span
	owner    string  // Val of a KeyAddress
	index    int     // of the readings of the address in this network
	address  string
	asset    string // of the lines, if filtered
	filtered bool

	span      storage.Span
	known     bool  // open, end and opening are: there can be lines
	open, end point // of the lines; in span
	opening   map[string]ledger.Amount
	closing   map[string]ledger.Amount // nil: not known
	final     bool
	complete  bool
	why       []string
	unread    ranges.Set // units with records that cannot be read whole, and may have moved something
}

// point is a place between units: behind those before next, at the time ms.
type point struct {
	next uint64
	ms   int64 // 0: not known
}

// fill finds the ends of the period and the balances there.
func (a *Archive) fill(ctx context.Context, s *sheet, from, to Period) error {
	s.address = s.n.Codec.FormatOwner(s.owner, s.n.Rules)
	cov, err := a.store.Coverage(ctx, s.n.ID)
	if err != nil {
		return fmt.Errorf("coverage of %s: %w", s.n.Name, err)
	}
	closed, err := a.close(ctx, s, cov, to)
	if err != nil {
		return err
	}
	if !closed {
		if there, err := a.closeEarly(ctx, s, cov, from, to); err != nil || !there {
			return err
		}
	}
	if there, err := a.begin(ctx, s, cov, from); err != nil || !there {
		return err
	}
	if to == (Period{}) && closed && s.open.ms > s.end.ms {
		s.complete = false
		why := fmt.Sprintf("the period has not begun: the newest unit that is held, %d, was signed at %s", s.end.next-1, timeText(s.end.ms))
		return s.unknown(&NoBalanceError{s.n.Name, why, storage.ErrNotFound})
	}
	switch {
	case s.end.next >= s.open.next && s.end.ms >= s.open.ms:
		return a.balances(ctx, s, closed)
	case closed:
		return &PeriodError{Where: fmt.Sprintf(" in %s: its first unit is %d, its last %d", s.n.Name, s.open.next, s.end.next-1)}
	}
	s.complete = false
	return nil
}

// close finds the end of the period. It reports whether that is known.
func (a *Archive) close(ctx context.Context, s *sheet, cov storage.Coverage, to Period) (bool, error) {
	seq, ms, err := a.moment(ctx, s.n, cov, to.Moment)
	if err != nil {
		return false, s.unknown(err)
	}
	if s.span = spanOf(cov, seq); !s.span.Held {
		return false, s.unknown(noLedger(s.n, s.span))
	}
	s.end = point{seq + 1, ms}
	s.final = to.Unit != nil || to.TimeMs != nil && cov.Has(seq+1)
	return true, nil
}

// closeEarly takes the end of a span with a ledger where that of the period is not known: lines up to there can be told
// all the same. It reports whether there is such a span.
func (a *Archive) closeEarly(ctx context.Context, s *sheet, cov storage.Coverage, from, to Period) (bool, error) {
	for _, in := range cov.Spans {
		if !in.Held || in.Empty() || to.Unit != nil && *to.Unit < in.Lo || from.Unit != nil && *from.Unit > in.Hi {
			continue
		}
		ms, err := a.timeOf(ctx, s.n, in.Hi)
		if err == nil && (to.TimeMs == nil || *to.TimeMs >= ms) {
			s.span, s.end = in, point{in.Next(), ms}
		}
		return s.end != point{}, err
	}
	return false, nil
}

func (a *Archive) timeOf(ctx context.Context, n Network, seq uint64) (int64, error) {
	u, _, err := a.store.Unit(ctx, n.ID, seq)
	if err != nil {
		return 0, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
	}
	return u.TimeMs, nil
}

// begin finds the beginning of the period in the span. It reports whether that is known.
func (a *Archive) begin(ctx context.Context, s *sheet, cov storage.Coverage, from Period) (bool, error) {
	lo := s.span.Lo
	s.open = point{lo, s.span.PrevTime}
	early := from == Period{}
	switch {
	case from.Unit != nil && *from.Unit > s.span.Next():
		return false, s.unknown(&NoBalanceError{s.n.Name, fmt.Sprintf("unit %d is not held", *from.Unit), storage.ErrNotFound})
	case from.Unit != nil:
		early = *from.Unit < lo
		if *from.Unit > lo {
			ms, err := a.timeOf(ctx, s.n, *from.Unit-1)
			s.open, s.complete = point{*from.Unit, ms}, true
			return true, err
		}
	case from.TimeMs != nil:
		next, err := a.signedBefore(ctx, s, *from.TimeMs)
		if err != nil {
			return false, err
		}
		early = next <= lo && *from.TimeMs <= s.span.PrevTime
		if next > lo || !early && s.span.PrevTime != 0 {
			s.open = point{max(next, lo), *from.TimeMs - 1}
		}
	}
	if early {
		s.early(cov, from)
	}
	s.complete = len(s.why) == 0
	return true, nil
}

// signedBefore returns the unit behind those of the span that were signed before a time.
func (a *Archive) signedBefore(ctx context.Context, s *sheet, ms int64) (uint64, error) {
	by, err := a.store.SeqAt(ctx, s.n.ID, math.MinInt64, ms)
	if err != nil {
		return 0, fmt.Errorf("units of %s signed before %s: %w", s.n.Name, timeText(ms), err)
	}
	next := s.span.Lo
	for _, r := range by.Ranges() {
		if r.Lo <= s.span.Hi && r.Hi >= next {
			next = min(r.Hi, s.span.Hi) + 1
		}
	}
	return next, nil
}

// early says what is missing where the period begins before the span: nothing, if the network itself does.
func (s *sheet) early(cov storage.Coverage, from Period) {
	lo := s.span.Lo
	if s.n.Rules.States && lo == s.n.Rules.First {
		return
	}
	earlier := false
	for _, in := range cov.Spans {
		earlier = earlier || in.Lo < lo && !in.Empty()
	}
	if from == (Period{}) && !earlier {
		return // as far back as anything is held
	}
	s.why = append(s.why, fmt.Sprintf("no line is known of before unit %d: the opening balance is that of the ledger with which it begins", lo))
}

// lacks returns what is missing of the period; nothing: it is complete. Where only some records cannot be read there are
// balances all the same.
func (s *sheet) lacks() []string {
	if s.unread.Len() == 0 {
		return s.why
	}
	return append(slices.Clip(s.why), unreadText(s.unread))
}

// whole reports whether nothing of the period is missing.
func (s *sheet) whole() bool { return s.complete && s.unread.Len() == 0 }

// judge finds the records before the end of the period that cannot be read whole.
func (a *Archive) judge(ctx context.Context, s *sheet) (err error) {
	if s.known {
		s.unread, err = a.unreadOf(ctx, s.n, s.owner, s.span.Lo, s.end.next-1)
	}
	return err
}

// balances computes what the account held at both ends. Where the end of the period is not known there is none there.
func (a *Archive) balances(ctx context.Context, s *sheet, closed bool) error {
	here, err := a.at(ctx, s.n, s.span.Hi)
	if err != nil {
		return err
	}
	s.here = here
	s.address = s.n.Codec.FormatOwner(s.owner, here.Rules)
	if s.opening, err = a.heldBy(ctx, s, s.open); err == nil && closed {
		s.closing, err = a.heldBy(ctx, s, s.end)
	}
	if errors.Is(err, ledger.ErrNoLedger) {
		s.complete, s.opening, s.closing = false, nil, nil
		return s.unknown(&NoBalanceError{s.n.Name, err.Error(), err})
	}
	if err != nil {
		return fmt.Errorf("balance in %s: %w", s.n.Name, err)
	}
	s.known = true
	if !closed {
		s.complete = false
		s.why = append(s.why, fmt.Sprintf("the lines go to unit %d, and what came behind it is not known", s.end.next-1))
	}
	return nil
}

// heldBy returns what the account held at a point of its span.
func (a *Archive) heldBy(ctx context.Context, s *sheet, at point) (map[string]ledger.Amount, error) {
	return a.holdings(ctx, s.here, s.owner, s.span.Lo, at.next, at.ms)
}
