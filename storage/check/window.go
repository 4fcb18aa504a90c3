package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// edgeUnits of the units before a window are read for the ids of their records, since most parents lie there.
const edgeUnits = 4

// windowUnits is the number of units that one worker checks at a time: few where there are few.
func (k *netCheck) windowUnits() uint64 {
	return min(max(k.total/uint64(2*k.o.Workers), 8*edgeUnits), 256)
}

// window is a run of units of one span, checked by one worker.
type window struct {
	*netCheck
	span   storage.Span
	lo, hi uint64
	full   bool
	pick   *rand.Rand // hash one more record of each unit by itself

	found   []Finding // until the windows before are done
	prev    *ledger.Unit
	ids     map[ledger.ID]uint64 // records at hand -> unit
	records uint64
	bytes   uint64
	signed  uint64
	proven  uint64
	failed  bool // a unit could not be proven: what it changed is not known

	undecoded uint64 // records that were not read whole
	better    uint64 // units with such records that this version reads better: check --repair
	attested  map[uint64]ledger.Attestation

	unread ranges.Set // units of which not all could be read
	posts  tally
	times  tally
	state  storage.StateSum  // new rows minus old rows
	rows   int64             // rows added
	recent map[string][]byte // state that units of the window wrote, for those behind them; may lack some
	size   int               // of recent, in bytes

	onProven  func(stored, proven *ledger.Cone) error                    // of each proven unit; may be nil
	onChanges func([]ledger.Change)                                      // of each proven unit; may be nil
	read      func(ctx context.Context, keys [][]byte) ([][]byte, error) // the state as of the unit, or later
}

func (k *netCheck) window(span storage.Span, lo, hi uint64, full bool) *window {
	w := &window{netCheck: k, span: span, lo: lo, hi: hi, full: full, ids: map[ledger.ID]uint64{}}
	w.read = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return k.o.Store.State(ctx, k.n.ID, keys) }
	return w
}

// maxHeld bounds the findings that wait for the windows before. More are handed on at once.
const maxHeld = 10_000

// add keeps a finding, so that all come in the order of units.
func (w *window) add(f Finding) {
	if w.found = append(w.found, f); len(w.found) > maxHeld {
		w.flush()
	}
}

func (w *window) flush() {
	for _, f := range w.found {
		w.netCheck.add(f)
	}
	w.found = nil
}

func (w *window) fault(ctx context.Context, what string, seq uint64, err error) error {
	f, err := w.finding(ctx, what, seq, err)
	if err == nil {
		w.add(f)
	}
	return err
}

// run checks the window. An error means that the check cannot go on.
func (w *window) run(ctx context.Context) error {
	if err := w.before(ctx); err != nil {
		return err
	}
	if !w.full {
		return w.units(ctx)
	}
	for next := w.lo; next <= w.hi; {
		var err error
		if next, err = w.cones(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// before reads the unit before the window, and ids of records of those before.
func (w *window) before(ctx context.Context) error {
	if w.lo == w.span.Lo {
		return nil
	}
	from := max(w.span.Lo, w.lo-min(w.lo, edgeUnits))
	for seq := from; seq < w.lo; seq++ {
		u, m, err := w.o.Store.Unit(ctx, w.n.ID, seq)
		if err != nil { // found by the window that holds it
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		for i := range m {
			if w.full {
				w.ids[m[i].ID] = seq
			}
		}
		if seq == w.lo-1 {
			w.prev = &u
		}
	}
	return nil
}

// units checks ids, links and manifests without reading records.
func (w *window) units(ctx context.Context) error {
	for seq := w.lo; seq <= w.hi; seq++ {
		u, m, err := w.o.Store.Unit(ctx, w.n.ID, seq)
		if err != nil {
			if err := w.fault(ctx, "unit", seq, err); err != nil {
				return err
			}
			w.prev = nil
			continue
		}
		if err := w.link(u); err != nil {
			w.add(Finding{Network: w.n.Name, What: "unit", Seq: seq, Why: err.Error()})
		}
		c := ledger.Cone{Unit: u}
		head := storage.Manifest(&c)
		if len(m) < len(head) || !slices.Equal(m[:len(head)], head) {
			w.add(Finding{Network: w.n.Name, What: "manifest", Seq: seq, Why: "it does not begin with the digests of the unit"})
		}
		w.times.add(0, timeHash(u))
		w.signed++
		w.prev = &u
	}
	return nil
}

func (w *window) link(u ledger.Unit) error {
	if w.prev != nil && !u.Prev.IsZero() && u.Prev != w.prev.ID {
		return fmt.Errorf("it follows unit %s, before it stands %s", w.codec.FormatID(u.Prev), w.codec.FormatID(w.prev.ID))
	}
	return nil
}

// The most that is read before it is proven: the more signatures are checked at once, the cheaper each is.
const (
	groupRecords = 2048
	groupBytes   = 4 << 20
)

// group is cones that were read and whose records are prepared together.
type group struct {
	cones    []*ledger.Cone
	ids      []ledger.Identified // of all records, in order
	prepared []ledger.Prepared
	records  int
	bytes    int
}

// cones proves from unit lo until the end or the first unit that cannot be read, which it lists; it returns
// where to go on.
func (w *window) cones(ctx context.Context, lo uint64) (next uint64, err error) {
	next = lo
	g := &group{}
	for c, err := range w.o.Store.Cones(ctx, w.n.ID, lo, w.hi) {
		if err != nil {
			if err := w.group(ctx, g); err != nil {
				return next, err
			}
			return next + 1, w.unreadable(ctx, next, err)
		}
		next++
		g.cones = append(g.cones, c)
		g.records += len(c.Records)
		g.bytes += c.Bytes()
		if g.records >= groupRecords || g.bytes >= groupBytes {
			if err := w.group(ctx, g); err != nil {
				return next, err
			}
			g = &group{}
		}
	}
	return next, w.group(ctx, g)
}

// group proves cones in order.
func (w *window) group(ctx context.Context, g *group) error {
	raws := make([][]byte, 0, g.records)
	for _, c := range g.cones {
		for i := range c.Records {
			raws = append(raws, w.codec.Raw(&c.Records[i]))
		}
	}
	g.ids = w.codec.Identify(raws)
	g.prepared = w.codec.Prepare(g.ids)
	for _, c := range g.cones {
		if err := w.cone(ctx, c, g); err != nil {
			return err
		}
		g.ids, g.prepared = g.ids[len(c.Records):], g.prepared[len(c.Records):]
	}
	return nil
}

// unreadable lists what of a unit cannot be read.
func (w *window) unreadable(ctx context.Context, seq uint64, first error) error {
	w.failed, w.prev = true, nil
	w.unread.Add(seq, seq)
	w.forget()
	if err := w.fault(ctx, "unit", seq, first); err != nil {
		return err
	}
	named := map[string]bool{keyOf(first): true}
	report := func(what string, err error) error {
		k := keyOf(err)
		if k == "" || named[k] {
			return nil
		}
		named[k] = true
		return w.fault(ctx, what, seq, err)
	}
	u, m, err := w.o.Store.Unit(ctx, w.n.ID, seq)
	if err == nil {
		w.prev = &u
		w.times.add(0, timeHash(u))
	} else if err := report("unit", err); err != nil {
		return err
	}
	count, inRow := ledger.UnitPos, 0
	if err == nil {
		count = objects(m)
	}
	// Without the unit's row nobody can say how many records there were: a run of bad ones ends the list.
	for pos := 0; pos < count && (err == nil || inRow < maxInRow); pos++ {
		o := ledger.Ord{Seq: seq, Pos: uint32(pos)}
		r, e := w.o.Store.Record(ctx, w.n.ID, o)
		var c *storage.CorruptError
		switch {
		case e == nil:
			inRow = 0
			w.records++
			for _, p := range r.Parts {
				w.bytes += uint64(len(p.Raw))
			}
		case errors.As(e, &c) && c.Ord == o:
			if err := report("record", e); err != nil {
				return err
			}
			inRow++
		default: // behind the last, or the unit's own row is damaged
			return ctx.Err()
		}
	}
	return nil
}

// maxInRow is how many records in a row are asked for in vain.
const maxInRow = 64

// objects counts the records in a manifest.
func objects(m []storage.Digest) (n int) {
	for i := range m {
		if m[i].Part == ledger.PartObject {
			n++
		}
	}
	return n
}

func keyOf(err error) string {
	var c *storage.CorruptError
	if errors.As(err, &c) {
		return c.Key
	}
	return ""
}

// cone proves one unit again and compares all that is stored of it.
func (w *window) cone(ctx context.Context, stored *ledger.Cone, g *group) error {
	seq := stored.Unit.Seq
	proven, err := w.prove(ctx, stored, g)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && errors.Is(err, errStore):
		return err
	case err != nil:
		w.failed = true
		w.add(Finding{Network: w.n.Name, What: "unit", Seq: seq, Why: "its stored bytes do not prove it: " + err.Error()})
		proven = stored
		w.forget() // what this unit changed is not known
	default:
		w.proven++
		better := readsMore(stored, proven) || seq >= w.begun && gains(stored, proven)
		if !better { // units behind were proven over the rows as they are: what this one adds to them Repair brings
			w.remember(proven.Changes)
		}
		if w.onProven != nil {
			if err := w.onProven(stored, proven); err != nil {
				return err
			}
		}
		if better {
			w.better++
			proven = stored
			break
		}
		w.compare(stored, proven)
	}
	w.signed++
	for i := range stored.Records {
		if stored.Records[i].Undecoded {
			w.undecoded++
		}
	}
	if err := w.manifest(ctx, proven); err != nil {
		return err
	}
	w.count(proven)
	if w.onChanges != nil {
		w.onChanges(proven.Changes)
	}
	w.prev = &stored.Unit
	if w.pick != nil && len(stored.Records) > 0 {
		o := stored.Records[w.pick.IntN(len(stored.Records))].Ord
		if _, err := w.o.Store.Record(ctx, w.n.ID, o); err != nil {
			return w.fault(ctx, "record", seq, err)
		}
	}
	return nil
}

// errStore marks an error of reading, which is no fault of the unit.
var errStore = errors.New("read the store")

// prove runs the era's proof over the stored bytes, whose records come next in g.
func (w *window) prove(ctx context.Context, stored *ledger.Cone, g *group) (*ledger.Cone, error) {
	seq := stored.Unit.Seq
	if err := w.link(stored.Unit); err != nil {
		return nil, err
	}
	start := ledger.Start{Trust: w.trust, Prev: w.prev, Held: w.span.Held, Known: w.known(seq), State: w.read}
	if seq == w.span.Lo && len(w.span.Snapshot) > 0 {
		start.Snapshot = &ledger.Unit{Seq: seq - 1, ID: w.span.PrevID, TimeMs: w.span.PrevTime}
	}
	if seq == w.span.Lo {
		start.Prev = nil
	}
	if err := w.attest(ctx, stored, &start); err != nil {
		return nil, err
	}
	ids := g.ids[:len(stored.Records)]
	for i := range ids { // those belong to this unit or the root refutes it: no need to look for them before it
		if _, before := w.ids[ids[i].ID]; !before {
			w.ids[ids[i].ID] = seq
		}
	}
	a, err := w.codec.Begin(ctx, w.codec.Head(stored.Unit), start)
	if err != nil {
		return nil, err
	}
	if err := w.gather(ctx, a, ids, !w.trust.States && (seq == w.span.Lo || !w.span.Held)); err != nil {
		return nil, err
	}
	members := a.Members()
	if len(members) != len(ids) {
		return nil, fmt.Errorf("%d records are stored, its cone has %d", len(ids), len(members))
	}
	prepared, err := inOrder(g.prepared[:len(ids)], members)
	if err != nil {
		return nil, err
	}
	view, err := w.view(ctx, a.StateKeys(prepared))
	if err != nil {
		return nil, err
	}
	var claims *ledger.NodeClaims
	if !w.span.Held && !w.trust.States {
		claims = claimed(stored)
	}
	cone, err := a.Seal(prepared, view, claims)
	if err != nil {
		return nil, err
	}
	cone.Net = w.n.ID
	return cone, nil
}

// inOrder returns what was prepared in the order of the cone's members, which is the stored order unless
// that is wrong.
func inOrder(p []ledger.Prepared, members []ledger.Identified) ([]ledger.Prepared, error) {
	out := make([]ledger.Prepared, len(p))
	byID := map[ledger.ID]int{}
	for i := range p {
		byID[p[i].ID] = i
	}
	for i := range members {
		at, ok := byID[members[i].ID]
		if !ok {
			return nil, fmt.Errorf("record %s of its cone is not stored", members[i].ID)
		}
		out[i] = p[at]
	}
	return out, nil
}

// gather hands all stored records over and asks what is missing. Where nobody could tell the lower edge
// when the unit was collected, the root alone does.
func (w *window) gather(ctx context.Context, a ledger.Assembly, ids []ledger.Identified, openEdge bool) error {
	byID := make(map[ledger.ID]ledger.Identified, len(ids))
	for i := range ids {
		byID[ids[i].ID] = ids[i]
	}
	for {
		want, err := a.Want(ctx, 1<<20)
		if err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
		if len(want) == 0 {
			return nil
		}
		var edge []ledger.ID
		for _, id := range want {
			have, ok := byID[id]
			switch {
			case ok:
				if err := a.Put(have); err != nil {
					return err
				}
			case openEdge:
				edge = append(edge, id)
			default:
				return fmt.Errorf("a record builds on %s, which is neither stored nor known", w.codec.FormatID(id))
			}
		}
		a.Edge(edge...)
	}
}

// known returns which ids are records of a smaller unit.
func (w *window) known(seq uint64) func(context.Context, []ledger.ID) ([]bool, error) {
	return func(ctx context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids))
		if seq == 0 {
			return out, nil
		}
		scan := storage.Scan{Hi: ledger.Ord{Seq: seq - 1, Pos: ledger.UnitPos}}
		for i, id := range ids {
			if at, ok := w.ids[id]; ok {
				out[i] = at < seq
				continue
			}
			for _, err := range w.o.Store.Lookup(ctx, w.n.ID, ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, scan) {
				if err != nil && !errors.Is(err, storage.ErrCorrupt) {
					return nil, err
				}
				out[i] = err == nil
				break
			}
		}
		return out, nil
	}
}

// view reads the state that a unit needs. Most of it was written by units shortly before.
func (w *window) view(ctx context.Context, keys [][]byte) (ledger.View, error) {
	v := make(ledger.View, len(keys))
	var ask [][]byte
	for _, k := range keys {
		if val, ok := w.recent[string(k)]; ok {
			v[string(k)] = val
		} else {
			ask = append(ask, k)
		}
	}
	if len(ask) == 0 {
		return v, nil
	}
	vals, err := w.read(ctx, ask)
	if err != nil {
		if errors.Is(err, storage.ErrCorrupt) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	for i, k := range ask {
		v[string(k)] = vals[i]
	}
	return v, nil
}

// maxRecent bounds the state that a window remembers, in bytes.
const maxRecent = 16 << 20

func (w *window) remember(changes []ledger.Change) {
	if w.recent == nil || w.size > maxRecent {
		w.recent, w.size = map[string][]byte{}, 0
	}
	for i := range changes {
		w.recent[string(changes[i].Key)] = changes[i].Val
		w.size += len(changes[i].Key) + len(changes[i].Val) + 64
	}
}

func (w *window) forget() { w.recent, w.size = nil, 0 }

// claimed rebuilds what a node once claimed: the stored states, which the root proves again.
func claimed(c *ledger.Cone) *ledger.NodeClaims {
	n := &ledger.NodeClaims{Source: "the store", Records: make(map[ledger.ID]ledger.Claimed, len(c.Records))}
	for i := range c.Records {
		r := &c.Records[i]
		n.Records[r.ID] = ledger.Claimed{Referenced: c.Unit.Seq, State: r.State, Reason: r.Reason}
	}
	return n
}

func (w *window) manifest(ctx context.Context, c *ledger.Cone) error {
	_, m, err := w.o.Store.Unit(ctx, w.n.ID, c.Unit.Seq)
	if err != nil {
		return w.fault(ctx, "manifest", c.Unit.Seq, err)
	}
	if !slices.Equal(m, storage.Manifest(c)) {
		w.add(Finding{Network: w.n.Name, What: "manifest", Seq: c.Unit.Seq, Why: fmt.Sprintf("its %d digests are not those of the unit's bytes", len(m))})
	}
	return nil
}

// count adds up what the unit's rows in the other tables must be.
func (w *window) count(c *ledger.Cone) {
	seq := c.Unit.Seq
	w.times.add(0, timeHash(c.Unit))
	at := ledger.Ord{Seq: seq, Pos: ledger.UnitPos}
	w.posts.posting(ledger.Posting{Key: ledger.Key{Kind: ledger.KeyUnit, Val: c.Unit.ID.Key()}, Role: ledger.RoleMention}, at)
	for i := range c.Posts {
		w.posts.posting(c.Posts[i], at)
	}
	for i := range c.Records {
		r := &c.Records[i]
		w.records++
		w.ids[r.ID] = seq
		for _, p := range r.Parts {
			w.bytes += uint64(len(p.Raw))
		}
		for j := range r.Posts {
			w.posts.posting(r.Posts[j], r.Ord)
		}
	}
	for i := range c.Changes {
		ch := &c.Changes[i]
		w.state.Sub(ch.Key, ch.Old)
		w.state.Add(ch.Key, ch.Val)
		if ch.Old == nil {
			w.rows++
		}
	}
}
