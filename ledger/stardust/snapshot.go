package stardust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"permanode/ledger"
)

// Snapshot reads a full snapshot file, or a full and a delta file, and returns the ledger at the target
// index as changes. The files' differences are read first, with the signatures and the chain of their
// milestones checked, and held: a full file's outputs stand at a later index and are rolled back by them.
// The outputs are read a second time, one by one. At the end of the changes the supply is checked.
func (Codec) Snapshot(t ledger.Trust, files ...io.ReadSeeker) (ledger.Snapshot, error) {
	rules, ok := t.Rules.(*Rules)
	if !ok || len(files) < 1 || len(files) > 2 {
		return ledger.Snapshot{}, errors.New("a snapshot needs a trust file of this era, a full file and at most one delta file")
	}
	l := &loader{rules: rules, files: files, changed: make(map[OutputID]*loaded)}
	if err := l.full(); err != nil {
		return ledger.Snapshot{}, fmt.Errorf("full snapshot: %w", err)
	}
	if len(files) == 2 {
		if err := l.delta(); err != nil {
			return ledger.Snapshot{}, fmt.Errorf("delta snapshot: %w", err)
		}
	}
	s := ledger.Snapshot{Seq: uint64(l.target), TimeMs: int64(l.time) * 1000, Changes: l.changes}
	if l.id != (Hash{}) {
		s.Unit = ledger.NewID(l.id[:])
	}
	return s, nil
}

// loader gathers what differences say: the ledger at the target index is the outputs of the full file
// with changed in place of those of the same id.
type loader struct {
	rules *Rules
	files []io.ReadSeeker

	target  uint32
	time    uint32 // of the target, seconds
	id      Hash   // of the target
	block   Hash   // that carries the target, where its payload is in a file; else zero
	totals  totals
	outputs uint64               // of the full file
	changed map[OutputID]*loaded // nil: not in the ledger
}

// loaded is an output that a difference created or consumed.
type loaded struct {
	SnapshotOutput
	spent uint32 // milestone that spent it, 0 if none did
}

func (l *loader) open(i int) (*SnapshotFile, error) {
	if _, err := l.files[i].Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("rewind snapshot file: %w", err)
	}
	f, err := ReadSnapshot(l.files[i])
	if err == nil && f.Header.Full != (i == 0) {
		err = errors.New("the first file must be a full one, the second a delta file")
	}
	return f, err
}

// full reads the differences of the full file, which run backwards from its ledger index.
func (l *loader) full() error {
	f, err := l.open(0)
	if err != nil {
		return err
	}
	h := &f.Header
	l.target, l.time, l.id, l.outputs = h.Target, h.TargetTime, h.TargetID, h.Outputs
	if h.Ledger < h.Target {
		return l.forged("snapshot.index", "the ledger index %d lies before the target %d", h.Ledger, h.Target)
	}
	l.totals.held, l.totals.treasury, l.totals.amount = true, h.Treasury.Input, h.Treasury.Amount
	if err := l.parameters(h); err != nil {
		return err
	}
	next, expect := h.Ledger, Hash{} // index and id of the next difference; zero: any
	var above *Milestone
	var announced []*ParameterChange
	for d, err := range f.Differences() {
		if err != nil {
			return err
		}
		m := d.Milestone
		if err := l.signed(m, next, expect); err != nil {
			return err
		}
		if above != nil && m.Timestamp >= above.Timestamp {
			return l.forged("unit.time", "the time of milestone %d does not lie before that of %d", m.Index, above.Index)
		}
		if m.Index == h.Target && m.ID != h.TargetID {
			return l.forged("snapshot.target", "milestone %d has id %x, the header says %x", m.Index, m.ID, h.TargetID)
		}
		if m.Index > h.Target {
			l.rollBack(d)
		} else if m.Parameters != nil {
			announced = append(announced, m.Parameters)
		}
		if m.Index == h.Target {
			l.block = containerID(d.Payload)
		}
		above, next, expect = m, m.Index-1, m.Previous
	}
	if next > h.Target {
		return l.forged("snapshot.index", "the differences end at milestone %d and do not reach the target %d", next+1, h.Target)
	}
	if above != nil && next == h.Target && expect != h.TargetID {
		return l.forged("snapshot.target", "milestone %d names %x before it, the header says %x", above.Index, expect, h.TargetID)
	}
	slices.Reverse(announced) // oldest first: a later word on the same index counts
	return l.announce(announced)
}

// parameters begins the table of parameters with those of the header, which were in force at the ledger
// index. Where they came into force behind the target, the trust file knows those before them.
func (l *loader) parameters(h *SnapshotHeader) error {
	e, err := newParameters(h.Parameters.Target, h.Parameters.Params)
	if err != nil {
		return err
	}
	if id := e.NetworkID(); id != l.rules.genesis.NetworkID() {
		return l.forged("snapshot.network", "the snapshot is one of %s, network id %d", e.Network, id)
	}
	if e.from > h.Target {
		l.totals.parameters = parameterTable{l.rules.genesis}
	}
	l.totals.parameters = append(l.totals.parameters, e)
	return nil
}

func (l *loader) announce(changes []*ParameterChange) error {
	for _, c := range changes {
		e, err := newParameters(c.Target, c.Params)
		if err != nil {
			return err
		}
		l.totals.parameters = l.totals.parameters.with(e)
	}
	return nil
}

// signed checks the milestone of a difference: its place in the chain and its signatures.
func (l *loader) signed(m *Milestone, index uint32, id Hash) error {
	forged := func(code, format string, args ...any) error {
		return &ledger.Forged{Seq: uint64(m.Index), Code: code, Why: fmt.Sprintf(format, args...)}
	}
	if m.Index != index {
		return forged("unit.seq", "the difference of milestone %d was expected", index)
	}
	if id != (Hash{}) && m.ID != id {
		return forged("unit.prev", "its id is %x, the milestone after it names %x", m.ID, id)
	}
	return l.rules.attest(m, forged)
}

func (l *loader) rollBack(d *SnapshotDifference) {
	for i := range d.Consumed {
		l.changed[d.Consumed[i].ID] = &loaded{SnapshotOutput: d.Consumed[i].SnapshotOutput}
	}
	for i := range d.Created { // also what it consumed itself
		l.changed[d.Created[i].ID] = nil
	}
	if d.Milestone.Receipt != nil {
		l.totals.treasury, l.totals.amount = d.Treasury.Input, d.Treasury.Amount
	}
}

// delta reads the differences of the delta file, which run forward from the full file's target.
func (l *loader) delta() error {
	f, err := l.open(1)
	if err != nil {
		return err
	}
	h := &f.Header
	if h.TargetID != l.id {
		return l.forged("snapshot.target", "the delta file continues milestone %x, the full file leads to %x", h.TargetID, l.id)
	}
	for d, err := range f.Differences() {
		if err != nil {
			return err
		}
		m := d.Milestone
		if err := l.signed(m, l.target+1, Hash{}); err != nil {
			return err
		}
		if m.Previous != l.id {
			return l.forged("unit.prev", "milestone %d names %x before it, that is %x", m.Index, m.Previous, l.id)
		}
		if l.id != (Hash{}) && m.Timestamp <= l.time {
			return l.forged("unit.time", "the time of milestone %d does not rise", m.Index)
		}
		if err := l.goForward(d); err != nil {
			return err
		}
		l.target, l.time, l.id, l.block = m.Index, m.Timestamp, m.ID, containerID(d.Payload)
	}
	if h.Target != l.target || h.TargetTime != l.time {
		return l.forged("snapshot.index", "the delta file leads to milestone %d, its header says %d", l.target, h.Target)
	}
	return nil
}

// containerID returns the id of the block that carries a milestone, which follows from the payload.
func containerID(payload []byte) Hash {
	raw, err := MilestoneBlock(payload)
	if err != nil {
		return Hash{} // cannot be: the payload was parsed
	}
	return H(raw)
}

// goForward keeps what a difference spent: who spends it again gets the reason "spent", as from a node.
func (l *loader) goForward(d *SnapshotDifference) error {
	for i := range d.Created {
		l.changed[d.Created[i].ID] = &loaded{SnapshotOutput: d.Created[i]}
	}
	for i := range d.Consumed {
		l.changed[d.Consumed[i].ID] = &loaded{SnapshotOutput: d.Consumed[i].SnapshotOutput, spent: d.Milestone.Index}
	}
	if r := d.Milestone.Receipt; r != nil {
		if d.Treasury.Input != l.totals.treasury || r.Treasury.Input != l.totals.treasury {
			return l.forged("ledger.receipt", "milestone %d moves treasury %x; it is %x", d.Milestone.Index, r.Treasury.Input, l.totals.treasury)
		}
		l.totals.treasury, l.totals.amount = d.Milestone.ID, r.Treasury.Amount
	}
	if c := d.Milestone.Parameters; c != nil {
		return l.announce([]*ParameterChange{c})
	}
	return nil
}

func (l *loader) forged(code, format string, args ...any) error {
	return &ledger.Forged{Seq: uint64(l.target), Code: code, Why: fmt.Sprintf(format, args...)}
}

// changes is the second pass.
func (l *loader) changes(yield func(ledger.Change, error) bool) {
	w := writer{l: l, yield: yield}
	err := w.outputs()
	if err == nil && !w.stopped {
		err = w.entries(len(l.files) - 1)
	}
	if err == nil && !w.stopped {
		err = w.end()
	}
	if err != nil && !w.stopped {
		yield(ledger.Change{}, fmt.Errorf("snapshot: %w", err))
	}
}

// writer hands the ledger on, row by row.
type writer struct {
	l       *loader
	yield   func(ledger.Change, error) bool
	stopped bool
}

func (w *writer) put(c ledger.Change) {
	w.stopped = w.stopped || !w.yield(c, nil)
}

// outputs writes the outputs and behind them what each address holds of those that are not spent.
func (w *writer) outputs() error {
	groups := w.groups()
	owners := newGathering(0, groups)
	err := w.each(func(o *loaded) error {
		if err := w.output(o); err != nil {
			return err
		}
		return owners.add(o)
	})
	for err == nil && !w.stopped {
		owners.write(w)
		if owners.group+1 == groups {
			w.put(ledger.Change{Key: openingKey(""), Val: []byte{}})
			return nil
		}
		owners = newGathering(owners.group+1, groups)
		err = w.each(owners.add)
	}
	return err
}

// each goes through the outputs at the target index: those of the full file that no difference changed, then the
// others by id.
func (w *writer) each(do func(*loaded) error) error {
	f, err := w.l.open(0)
	if err != nil {
		return err
	}
	for o, err := range f.Outputs() {
		if err != nil {
			return err
		}
		if _, changed := w.l.changed[o.ID]; changed {
			continue
		}
		if err := do(&loaded{SnapshotOutput: *o}); err != nil || w.stopped {
			return err
		}
	}
	list := make([]*loaded, 0, len(w.l.changed))
	for _, o := range w.l.changed {
		if o != nil {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *loaded) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, o := range list {
		if err := do(o); err != nil || w.stopped {
			return err
		}
	}
	return nil
}

func (w *writer) output(o *loaded) error {
	if o.Booked > w.l.target {
		return w.l.forged("snapshot.index", "output %x was booked by milestone %d", o.ID, o.Booked)
	}
	row := outputRow{
		created: ledger.Ord{Seq: uint64(o.Booked), Pos: ledger.UnitPos}, booked: o.Time,
		block: o.Block, spent: unspent, raw: o.Output.Raw,
	}
	if o.spent != 0 {
		row.spent = ledger.Ord{Seq: uint64(o.spent), Pos: ledger.UnitPos}
	} else {
		sum := w.l.totals.unspent + o.Output.Amount
		if sum < o.Output.Amount {
			return w.l.forged("ledger.supply", "unspent outputs exceed 64 bits")
		}
		w.l.totals.unspent = sum
	}
	w.put(ledger.Change{Key: outputKey(o.ID), Val: row.encode()})
	return nil
}

// entries writes the solid entry points of file i, which belong to the target. Nodes list the block of
// the target among them, although it is a record of the first cone behind the snapshot: it is left out.
func (w *writer) entries(i int) error {
	f, err := w.l.open(i)
	if err != nil {
		return err
	}
	for id, err := range f.SEPs() {
		if err != nil {
			return err
		}
		if id == w.l.block && id != (Hash{}) {
			continue
		}
		if w.put(ledger.Change{Key: entryKey(id[:]), Val: []byte{}}); w.stopped {
			return nil
		}
	}
	return nil
}

// end checks the supply and writes the totals.
func (w *writer) end() error {
	t := &w.l.totals
	now := &t.parameters[t.parameters.at(w.l.target)]
	if sum := t.unspent + t.amount; sum != now.Supply || sum < t.amount {
		return w.l.forged("ledger.supply", "unspent outputs hold %d and the treasury %d; the supply is %d", t.unspent, t.amount, now.Supply)
	}
	w.put(ledger.Change{Key: totalsKey(uint64(w.l.target)), Val: t.encode()})
	return nil
}
