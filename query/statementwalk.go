package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"permanode/ledger"
	"permanode/storage"
)

// spot is a place of lines: a record, a unit itself, or an output that expired.
type spot struct {
	ms     int64
	free   bool       // between units: there is no ord
	ord    ledger.Ord // of the record or unit; of the one that made an output which expired at once
	output string     // that expired; "": a record or unit
}

// compare orders spots. Records follow their ordinals, whatever times their units bear. What expires comes before the
// first unit that was signed at its time or later, what expired at once behind its record.
func (a spot) compare(b spot) int {
	if a.output == "" && b.output == "" {
		return a.ord.Compare(b.ord)
	}
	if a.ms != b.ms {
		return cmp.Compare(a.ms, b.ms)
	}
	if a.free != b.free {
		if a.free {
			return -1
		}
		return 1
	}
	return cmp.Or(a.ord.Compare(b.ord), strings.Compare(a.output, b.output))
}

func spotOf(e *ledger.Expiry) spot {
	s := spot{ms: e.TimeMs, free: !e.AtOnce, output: e.Output}
	if e.AtOnce {
		s.ord = e.Made
	}
	return s
}

// expiries yields what expired in the period of s, in no order.
func (a *Archive) expiries(ctx context.Context, s *sheet) iter.Seq2[*ledger.Expiry, error] {
	return func(yield func(*ledger.Expiry, error) bool) {
		keys, err := a.expiring(ctx, s.n, s.owner)
		if err != nil {
			yield(nil, err)
			return
		}
		times := map[uint64]int64{}
		for e, err := range s.n.Codec.Expiries(ctx, s.here.Rules, s.owner, s.span.Hi, keys, a.state(s.n)) {
			in := false
			if err == nil && s.open.ms < e.TimeMs && e.TimeMs <= s.end.ms {
				in, err = a.expired(ctx, s, &e, times)
			}
			if s.filtered {
				e.Holds = slices.DeleteFunc(e.Holds, func(h ledger.Holding) bool { return h.Asset != s.asset })
			}
			if (err != nil || in && len(e.Holds) > 0) && !yield(&e, err) || err != nil {
				return
			}
		}
	}
}

// maxTimes bounds the times of units that are remembered.
const maxTimes = 1 << 16

// expired reports whether an output was still there when its time came. What was consumed behind the period was; before
// it, not.
func (a *Archive) expired(ctx context.Context, s *sheet, e *ledger.Expiry, times map[uint64]int64) (bool, error) {
	switch {
	case !e.IsSpent || e.AtOnce || e.Spent.Seq >= s.end.next:
		return true, nil
	case e.Spent.Seq < s.open.next:
		return false, nil
	}
	ms, ok := times[e.Spent.Seq]
	if !ok {
		var err error
		if ms, err = a.timeOf(ctx, s.n, e.Spent.Seq); err != nil {
			return false, err
		}
		if len(times) < maxTimes {
			times[e.Spent.Seq] = ms
		}
	}
	return ms >= e.TimeMs, nil
}

// walker gives the lines of one account in order.
type walker struct {
	a      *Archive
	s      *sheet
	look   *looker
	from   point                    // where it begins
	skip   spotCursor               // lines up to there are passed
	held   map[string]ledger.Amount // behind the last line
	before map[string]ledger.Amount // before the first line that was given; nil: there is none yet

	window   []ledger.Expiry // the next ones, in order
	size     int             // how many of them are held at a time; 0: none was read yet
	complete bool            // there are no more behind window
}

// How many expired outputs are held at a time: few for a page, and more of them each time that all had to be read again, so
// that a long statement reads them a few times and not once for each window.
const (
	leastExpiries = 1 << 10
	mostExpiries  = 1 << 15
)

// walker begins at the cursor.
func (a *Archive) walker(ctx context.Context, s *sheet, at spotCursor) (*walker, error) {
	w := &walker{a: a, s: s, from: s.open, skip: at, look: a.looker(&bound{Network: s.n})}
	if !s.known {
		return w, nil
	}
	w.held = maps.Clone(s.opening)
	if at.given == 0 {
		return w, nil
	}
	var err error
	if w.from, err = a.behind(ctx, s, at.spot); err != nil || w.from == s.open {
		return w, err
	}
	w.held, err = a.heldBy(ctx, s, w.from)
	return w, err
}

// behind returns a point not far before a spot: balances there are computed, and few lines need be walked to the spot.
func (a *Archive) behind(ctx context.Context, s *sheet, at spot) (point, error) {
	if at.output == "" {
		if at.ord.Seq <= s.open.next || at.ord.Seq >= s.end.next {
			return s.open, nil
		}
		ms, err := a.timeOf(ctx, s.n, at.ord.Seq-1)
		return point{at.ord.Seq, ms}, err
	}
	next, err := a.signedBefore(ctx, s, at.ms)
	if err != nil || next <= s.open.next || next > s.end.next || at.ms-1 < s.open.ms {
		return s.open, err
	}
	return point{next, at.ms - 1}, nil
}

// line is one line and where it stands.
type line struct {
	StatementLine
	spot  spot
	index int // among the lines of its spot
}

// lines yields the lines behind the cursor. At the end it compares what the lines add up to with the closing balance: a
// statement that is wrong fails.
func (w *walker) lines(ctx context.Context) iter.Seq2[*line, error] {
	return func(yield func(*line, error) bool) {
		if !w.s.known {
			return
		}
		err := w.walk(ctx, func(l *line) bool { return yield(l, nil) })
		if err == nil {
			err = w.settle()
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("statement of %s in %s: %w", w.s.address, w.s.n.Name, err))
		}
	}
}

var errStopped = errors.New("the reader has enough")

// settle compares the sum of all lines with the closing balance.
func (w *walker) settle() error {
	if w.s.closing == nil {
		return nil
	}
	for asset := range w.s.closing {
		if _, there := w.held[asset]; !there {
			w.held[asset] = ledger.Amount{}
		}
	}
	for asset, amount := range w.held {
		if (!w.s.filtered || asset == w.s.asset) && !amount.Equal(w.s.closing[asset]) {
			return fmt.Errorf("the lines add up to %s of %s, and the closing balance is %s", amount, w.s.assetText(asset), w.s.closing[asset])
		}
	}
	return nil
}

// walk joins records with what expired between them.
func (w *walker) walk(ctx context.Context, yield func(*line) bool) error {
	s := w.s
	if err := w.fill(ctx, nil); err != nil {
		return err
	}
	if w.from.next < s.end.next {
		scan := storage.Scan{Lo: ledger.Ord{Seq: w.from.next}, Hi: ledger.Ord{Seq: s.end.next - 1, Pos: ledger.UnitPos}}
		for f, err := range w.a.store.Lookup(ctx, s.n.ID, ledger.Key{Kind: ledger.KeyAddress, Val: s.owner}, scan) {
			if err != nil {
				return err
			}
			if f.Value.Sign() == 0 && f.Role&(ledger.RoleSpend|ledger.RoleReceive) == 0 {
				continue // named, no more
			}
			if err := w.record(ctx, f, yield); err != nil {
				return err
			}
		}
	}
	return w.expire(ctx, nil, yield)
}

// record yields the lines of what expired before a record, and those of the record.
func (w *walker) record(ctx context.Context, f storage.Found, yield func(*line) bool) error {
	unit, err := w.look.unitOf(ctx, f.Ord.Seq)
	if err != nil {
		return err
	}
	at := spot{ms: unit.TimeMs, ord: f.Ord}
	if err := w.expire(ctx, &at, yield); err != nil {
		return err
	}
	d, err := w.look.at(ctx, f.Ord)
	if err != nil {
		return err
	}
	changes, others := w.changes(d)
	if len(changes) == 0 {
		return nil
	}
	if err := w.look.rulesAt(ctx, f.Ord.Seq); err != nil {
		return err
	}
	return w.give(event{at, w.recordLine(d, unit, roles(f.Role)), w.look.rules, changes, others}, yield)
}

// event is what happened at a spot.
type event struct {
	at      spot
	line    StatementLine // all but what depends on the asset
	rules   Network       // at its time
	changes []ledger.Holding
	others  map[string][]string // owners by asset
}

// recordLine describes a record or a unit.
func (w *walker) recordLine(d *document, unit *ledger.Unit, in []string) StatementLine {
	n := w.look.rules
	l := StatementLine{Seq: &unit.Seq, Time: timeText(unit.TimeMs), Roles: in}
	if d.rec == nil {
		l.Kind, l.ID = LineUnit, n.Codec.FormatID(unit.ID)
		l.Href = fmt.Sprintf("/v1/networks/%s/units/%d", n.Name, unit.Seq)
		return l
	}
	state := d.rec.State.String()
	l.Kind, l.ID, l.Pos, l.State = LineRecord, n.Codec.FormatID(d.rec.ID), &d.rec.Ord.Pos, &state
	l.Href = fmt.Sprintf("/v1/networks/%s/records/%s", n.Name, l.ID)
	return l
}

// changes returns what a record or unit did to the account, and the owners whose part in it is the opposite. A record's
// moves tell whose an output was when it was consumed; its postings count it to whom it was at first. A unit consumes
// nothing.
func (w *walker) changes(d *document) (changes []ledger.Holding, others map[string][]string) {
	mine, theirs := map[string]ledger.Amount{}, map[[2]string]ledger.Amount{}
	if d.rec == nil {
		for _, p := range d.posts {
			switch {
			case p.Key.Kind == ledger.KeyAddress && p.Key.Val == w.s.owner:
				mine[""] = p.Value
			case p.Key.Kind == ledger.KeyToken && strings.HasPrefix(p.Key.Val, w.s.owner):
				mine[p.Key.Val[len(w.s.owner):]] = p.Value
			}
		}
	} else {
		for _, m := range d.rec.Moves {
			if m.Owner == w.s.owner {
				mine[m.Asset] = mine[m.Asset].Add(m.Amount)
			} else {
				of := [2]string{m.Asset, m.Owner}
				theirs[of] = theirs[of].Add(m.Amount)
			}
		}
	}
	for asset, amount := range mine {
		if amount.Sign() != 0 && (!w.s.filtered || asset == w.s.asset) {
			changes = append(changes, ledger.Holding{Asset: asset, Amount: amount})
		}
	}
	others = map[string][]string{}
	for of, amount := range theirs {
		if asset := of[0]; amount.Sign()*mine[asset].Sign() < 0 {
			others[asset] = append(others[asset], of[1])
		}
	}
	slices.SortFunc(changes, func(a, b ledger.Holding) int { return strings.Compare(a.Asset, b.Asset) })
	return changes, others
}

// expire yields the lines of what expired before a spot, nil: of all the rest.
func (w *walker) expire(ctx context.Context, before *spot, yield func(*line) bool) error {
	for len(w.window) > 0 {
		e := &w.window[0]
		at := spotOf(e)
		if before != nil && at.compare(*before) >= 0 {
			return nil
		}
		if err := w.expiry(ctx, e, at, yield); err != nil {
			return err
		}
		w.window = w.window[1:]
		if len(w.window) == 0 && !w.complete {
			if err := w.fill(ctx, &at); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill reads the next expired outputs behind a spot.
func (w *walker) fill(ctx context.Context, behind *spot) error {
	w.window, w.complete = nil, true
	w.size = min(max(leastExpiries, 4*w.size), mostExpiries)
	least := func() {
		slices.SortFunc(w.window, func(a, b ledger.Expiry) int { return spotOf(&a).compare(spotOf(&b)) })
		if len(w.window) > w.size {
			clear(w.window[w.size:])
			w.window, w.complete = w.window[:w.size], false
		}
	}
	for e, err := range w.a.expiries(ctx, w.s) {
		if err != nil {
			return err
		}
		if at := spotOf(e); e.TimeMs <= w.from.ms || behind != nil && at.compare(*behind) <= 0 {
			continue
		}
		if w.window = append(w.window, *e); len(w.window) == 2*w.size {
			least()
		}
	}
	least()
	return nil
}

// expiry yields the lines of one expired output.
func (w *walker) expiry(ctx context.Context, e *ledger.Expiry, at spot, yield func(*line) bool) error {
	n := w.s.here
	l := StatementLine{Kind: LineExpiry, Time: timeText(e.TimeMs), Roles: []string{}, ID: n.Codec.FormatKey(ledger.Key{Kind: ledger.KeyOutput, Val: e.Output}, nil)}
	l.Href = "/v1/records/" + l.ID
	other := e.From
	changes := slices.Clone(e.Holds)
	if e.From == w.s.owner {
		other = e.To
		for i := range changes {
			changes[i].Amount = changes[i].Amount.Neg()
		}
	}
	others := map[string][]string{}
	for _, c := range changes {
		others[c.Asset] = []string{other}
	}
	return w.give(event{at, l, n, changes, others}, yield)
}

// give yields the lines of an event, one an asset, that lie behind the cursor. All count.
func (w *walker) give(e event, yield func(*line) bool) error {
	passed := 0
	if w.skip.given > 0 {
		switch order := e.at.compare(w.skip.spot); {
		case order < 0:
			passed = len(e.changes)
		case order == 0:
			passed = w.skip.given
		}
	}
	e.line.Network, e.line.Address = w.s.n.Name, w.s.address
	for i, c := range e.changes {
		if i == passed && w.before == nil {
			w.before, w.skip = maps.Clone(w.held), spotCursor{} // from here on all are given
		}
		w.held[c.Asset] = w.held[c.Asset].Add(c.Amount)
		if i < passed {
			continue
		}
		l := e.line
		l.Asset, l.Amount, l.Balance = w.s.assetText(c.Asset), c.Amount.String(), w.held[c.Asset].String()
		l.Others, l.MoreOthers = e.counterparties(c.Asset)
		if !yield(&line{l, e.at, i}) {
			return errStopped
		}
	}
	return nil
}

// counterparties writes the first of the owners on the other side.
func (e *event) counterparties(asset string) (texts []string, more int) {
	texts = make([]string, 0, len(e.others[asset]))
	for _, o := range e.others[asset] {
		texts = append(texts, e.rules.Codec.FormatOwner(o, e.rules.Rules))
	}
	slices.Sort(texts)
	if len(texts) > maxCounterparties {
		return texts[:maxCounterparties], len(texts) - maxCounterparties
	}
	return texts, 0
}
