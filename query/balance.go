package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/ledger"
	"permanode/storage"
)

// Moment is a place in a network's history: the end of a unit, or a time. The zero Moment is the newest unit.
type Moment struct {
	Unit   *uint64
	TimeMs *int64
}

// ParseMoment reads "" (the newest unit), unit:N, or a time as queries write it; a day, month or year is its end.
func ParseMoment(text string) (Moment, error) { return parseMoment(text, "end") }

// parseMoment names, in its errors, which end of a day it is for.
func parseMoment(text, which string) (at Moment, err error) {
	if text == "" {
		return at, nil
	}
	if digits, ok := strings.CutPrefix(text, "unit:"); ok {
		seq, ok := plainNumber(digits, ledger.MaxSeq)
		if !ok {
			return at, fmt.Errorf("unit %s is not a number in plain digits", Quote(digits))
		}
		return Moment{Unit: &seq}, nil
	}
	t, until, day, ok := lang.ParseTime(text)
	if !ok {
		return at, fmt.Errorf("it is no moment: write unit:81, 2026-11-24 (its %s) or 2026-11-24T12:00:00Z", which)
	}
	ms := t.UnixMilli()
	if day {
		ms = until.UnixMilli() - 1
	}
	return Moment{TimeMs: &ms}, nil
}

// Balance is what an address held at a moment.
type Balance struct {
	Network string  `json:"network"`
	Address string  `json:"address"` // as the era writes it
	Seq     uint64  `json:"seq"`     // the newest unit that counts
	Time    string  `json:"time"`    // the moment, at which expiry is judged: what was asked for, else the unit's time
	Coins   string  `json:"coins"`   // base coin; decimal digits
	Tokens  []Token `json:"tokens"`  // those it held any of, by id; never null
	// Missing says what may be missing from the amounts: what records moved that this version cannot read whole. Empty: nothing.
	Missing string `json:"-"`
}

// NoBalanceError reports a balance that the archive cannot know.
type NoBalanceError struct {
	Network string
	Why     string
	err     error // that it wraps
}

// Unwrap makes it a storage.ErrNotFound or ledger.ErrNoLedger.
func (e *NoBalanceError) Unwrap() error { return e.err }

func (e *NoBalanceError) Error() string {
	return fmt.Sprintf("no balance in %s: %s", e.Network, e.Why)
}

// Hint is the next step.
func (e *NoBalanceError) Hint() string {
	if errors.Is(e.err, ledger.ErrNoLedger) {
		return "balances need the whole ledger: ingest into a new directory with --snapshot FILE"
	}
	return "ask for a moment inside coverage"
}

// Balance returns what owner, the Val of a KeyAddress, held at a moment. It fails with *NoBalanceError where the archive
// cannot know; where a record that this version cannot read whole may have moved something, Missing says so.
func (a *Archive) Balance(ctx context.Context, n Network, owner string, at Moment) (Balance, error) {
	cov, err := a.store.Coverage(ctx, n.ID)
	if err != nil {
		return Balance{}, fmt.Errorf("coverage of %s: %w", n.Name, err)
	}
	seq, ms, err := a.moment(ctx, n, cov, at)
	if err != nil {
		return Balance{}, err
	}
	in := spanOf(cov, seq)
	if !in.Held {
		return Balance{}, noLedger(n, in)
	}
	here, err := a.at(ctx, n, max(seq, in.Lo))
	if err != nil {
		return Balance{}, err
	}
	held, err := a.holdings(ctx, here, owner, in.Lo, seq+1, ms)
	if errors.Is(err, ledger.ErrNoLedger) {
		return Balance{}, &NoBalanceError{n.Name, err.Error(), err}
	}
	if err != nil {
		return Balance{}, fmt.Errorf("balance in %s at unit %d: %w", n.Name, seq, err)
	}
	out := Balance{
		Network: n.Name, Address: n.Codec.FormatOwner(owner, here.Rules), Seq: seq, Time: timeText(ms),
		Coins: held[""].String(), Tokens: []Token{},
	}
	for asset, amount := range held {
		if asset != "" && amount.Sign() != 0 {
			out.Tokens = append(out.Tokens, Token{n.Codec.FormatAsset(asset), amount.String()})
		}
	}
	if lack, err := a.unreadOf(ctx, here, owner, in.Lo, seq); err != nil {
		return Balance{}, err
	} else if lack.Len() > 0 {
		out.Missing = unreadText(lack)
	}
	slices.SortFunc(out.Tokens, func(a, b Token) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// noLedger says that the units of a span came without the ledger before them.
func noLedger(n Network, in storage.Span) error {
	err := fmt.Errorf("%w: the units from %d on were collected without the ledger before them", ledger.ErrNoLedger, in.Lo)
	return &NoBalanceError{n.Name, err.Error(), err}
}

// spanOf returns the span that holds a unit, or that begins with the ledger behind it.
func spanOf(cov storage.Coverage, seq uint64) (of storage.Span) {
	for _, in := range cov.Spans {
		if in.Has(seq) {
			return in
		}
		if begins(in) && in.Lo == seq+1 {
			of = in
		}
	}
	return of
}

// begins reports whether a span begins with a ledger of a known time: that of a snapshot, behind the unit before it.
func begins(in storage.Span) bool { return in.Held && in.PrevTime != 0 && !in.Empty() }

// moment returns the unit and the time of a moment. The unit is held, or a ledger is from which a span goes on.
func (a *Archive) moment(ctx context.Context, n Network, cov storage.Coverage, at Moment) (seq uint64, ms int64, err error) {
	have := cov.Set()
	if have.Len() == 0 {
		return 0, 0, &NoBalanceError{n.Name, "no unit is held yet", storage.ErrNotFound}
	}
	switch {
	case at.TimeMs != nil:
		return a.until(ctx, n, cov, *at.TimeMs)
	case at.Unit != nil:
		seq = *at.Unit
	default:
		seq = have.Ranges()[len(have.Ranges())-1].Hi
	}
	if !have.Has(seq) {
		if in := spanOf(cov, seq); begins(in) {
			return seq, in.PrevTime, nil
		}
		why := fmt.Sprintf("unit %d is not held; held are units %s", seq, setText(have))
		if seq < have.Ranges()[0].Lo {
			since, err := a.since(ctx, n, cov)
			if err != nil {
				return 0, 0, err
			}
			why = fmt.Sprintf("unit %d lies before all that is held: %s", seq, since)
		}
		return 0, 0, &NoBalanceError{n.Name, why, storage.ErrNotFound}
	}
	u, _, err := a.store.Unit(ctx, n.ID, seq)
	if err != nil {
		return 0, 0, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
	}
	return seq, u.TimeMs, nil
}

// since says where what is held begins.
func (a *Archive) since(ctx context.Context, n Network, cov storage.Coverage) (string, error) {
	first := cov.Set().Ranges()[0].Lo
	if in := spanOf(cov, first); begins(in) {
		return fmt.Sprintf("the ledger is held from unit %d, signed at %s, on", first-1, timeText(in.PrevTime)), nil
	}
	ms, err := a.timeOf(ctx, n, first)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the ledger is held from unit %d, signed at %s, on", first, timeText(ms)), nil
}

// opened returns the unit behind which a span's ledger is held, where that ledger is the one of a time: the span's first
// unit came later.
func (a *Archive) opened(ctx context.Context, n Network, cov storage.Coverage, ms int64) (seq uint64, is bool, err error) {
	for _, in := range cov.Spans {
		if !begins(in) || ms < in.PrevTime {
			continue
		}
		first, err := a.timeOf(ctx, n, in.Lo)
		if err != nil || ms < first {
			return in.Lo - 1, err == nil, err
		}
	}
	return 0, false, nil
}

// until returns the newest unit that was signed by then. A unit that is missing right behind it may have been, too.
func (a *Archive) until(ctx context.Context, n Network, cov storage.Coverage, ms int64) (uint64, int64, error) {
	if seq, is, err := a.opened(ctx, n, cov, ms); is || err != nil {
		return seq, ms, err
	}
	have := cov.Set()
	end := ms
	if end < math.MaxInt64 {
		end++
	}
	by, err := a.store.SeqAt(ctx, n.ID, math.MinInt64, end)
	if err != nil {
		return 0, 0, fmt.Errorf("units of %s signed by %s: %w", n.Name, timeText(ms), err)
	}
	if by.Len() == 0 {
		why, err := a.since(ctx, n, cov)
		if err != nil {
			return 0, 0, err
		}
		return 0, 0, &NoBalanceError{n.Name, timeText(ms) + " lies before all that is held: " + why, storage.ErrNotFound}
	}
	seq := by.Ranges()[len(by.Ranges())-1].Hi
	for i, r := range have.Ranges() {
		if r.Hi == seq && i+1 < len(have.Ranges()) {
			gap := span(seq+1, have.Ranges()[i+1].Lo-1)
			return 0, 0, &NoBalanceError{n.Name, fmt.Sprintf("units %s are missing, and may have been signed by %s", gap, timeText(ms)), storage.ErrIncomplete}
		}
	}
	return seq, ms, nil
}

// holdings returns what owner held before unit next and at the time ms, by asset, in a span that begins at lo: with next
// = lo what the starting ledger says.
func (a *Archive) holdings(ctx context.Context, n Network, owner string, lo, next uint64, ms int64) (map[string]ledger.Amount, error) {
	held := map[string]ledger.Amount{}
	if next > lo {
		var err error
		if held[""], err = a.store.Sum(ctx, n.ID, ledger.Key{Kind: ledger.KeyAddress, Val: owner}, lo, next-1); err != nil {
			return nil, err
		}
		for key, err := range a.store.Keys(ctx, n.ID, ledger.Key{Kind: ledger.KeyToken, Val: owner}, "") {
			if err != nil {
				return nil, err
			}
			if held[key.Val[len(owner):]], err = a.store.Sum(ctx, n.ID, key, lo, next-1); err != nil {
				return nil, err
			}
		}
	}
	expiring, err := a.expiring(ctx, n, owner)
	if err != nil {
		return nil, err
	}
	beside, err := n.Codec.Beside(ctx, n.Rules, owner, max(next, 1)-1, ms, expiring, a.state(n))
	for _, h := range beside {
		held[h.Asset] = held[h.Asset].Add(h.Amount)
	}
	return held, err
}

// expiring returns the keys of what time can give owner or take.
func (a *Archive) expiring(ctx context.Context, n Network, owner string) (keys []ledger.Key, err error) {
	for key, err := range a.store.Keys(ctx, n.ID, ledger.Key{Kind: ledger.KeyExpiry, Val: owner}, "") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// state reads the era state of n.
func (a *Archive) state(n Network) func(context.Context, [][]byte) ([][]byte, error) {
	return func(ctx context.Context, keys [][]byte) ([][]byte, error) { return a.store.State(ctx, n.ID, keys) }
}
