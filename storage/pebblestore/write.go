package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// chunkBytes is the size of one batch; tests make it smaller. What does not fit one batch is written in unsynced chunks, then
// one synced batch that makes it visible: the log keeps their order.
var chunkBytes = 8 << 20

// writer writes one network. It belongs to one goroutine.
type writer struct {
	storage.Reader
	d      *DB
	n      *network
	net    ledger.NetID
	name   string
	swept  bool // rows of commits that did not end are gone
	closed bool
}

func (d *DB) writer(ctx context.Context, n ledger.Network) (storage.Writer, error) {
	if d.opts.ReadOnly {
		return nil, errors.New("the store is open for reading only")
	}
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.stopError(); err != nil {
		return nil, err
	}
	old, err := d.claim(n)
	if err != nil {
		return nil, err
	}
	net, err := d.networkRow(old, n)
	if err != nil {
		d.unclaim(net)
		return nil, err
	}
	w := &writer{Reader: d, d: d, n: d.network(net), net: net, name: n.Name}
	d.startCatchUp(w.n)
	return w, nil
}

func (d *DB) network(net ledger.NetID) *network {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.nets[net]
}

// claim finds a network by its name and makes the caller its one writer. A network that is new gets the
// next number, and is not yet in d.nets.
func (d *DB) claim(n ledger.Network) (ledger.Network, error) {
	if !ledger.ValidName(n.Name) {
		return n, fmt.Errorf("the name %q is not 1 to 64 letters, digits, '.', '_' and '-', a letter or digit first", n.Name)
	}
	if n.Follows != "" && (!ledger.ValidName(n.Follows) || n.Follows == n.Name) {
		return n, fmt.Errorf("%q, which it is to follow, is not the name of another network", n.Follows)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return n, errClosed
	}
	var next ledger.NetID = 1
	for id, have := range d.nets {
		next = max(next, id+1)
		h := have.state.Load().network
		if h.Name != n.Name {
			continue
		}
		if h.Era != n.Era || h.Identity != n.Identity {
			return n, fmt.Errorf("the store holds era %s, identity %q under this name, not era %s, identity %q: use another name or data directory",
				h.Era, h.Identity, n.Era, n.Identity)
		}
		if d.writing[id] {
			return n, errors.New("it has a writer already")
		}
		d.writing[id] = true
		return h, nil
	}
	if next == 0 {
		return n, errors.New("the store holds 255 networks, which is the most")
	}
	d.writing[next] = true
	n.ID = next
	return n, nil
}

func (d *DB) unclaim(net ledger.NetID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.writing, net)
}

// networkRow makes the row of a network durable, where it is new, has another trust file or follows another network.
func (d *DB) networkRow(have, want ledger.Network) (ledger.NetID, error) {
	id := have.ID
	n := d.network(id)
	if n != nil && bytes.Equal(have.Trust, want.Trust) && have.Follows == want.Follows {
		return id, nil
	}
	want.ID, want.Trust = id, bytes.Clone(want.Trust)
	b := d.db.NewBatch()
	_ = b.Set(keyNet(tabNetwork, id), encodeNetwork(want), nil)
	if err := d.apply(b, pebble.Sync); err != nil {
		return id, err
	}
	if n == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.nets[id] = newNetwork(&netState{network: want})
		return id, nil
	}
	st := *n.state.Load()
	st.network = want
	n.publish(&st)
	return id, nil
}

// Net returns the network's number.
func (w *writer) Net() ledger.NetID { return w.net }

// Close lets another writer take the network. The store stays open.
func (w *writer) Close() error {
	if !w.closed {
		w.closed = true
		w.d.unclaim(w.net)
	}
	return nil
}

// lock starts an act of writing; the caller unlocks commitMu if it succeeds.
func (w *writer) lock(ctx context.Context) error {
	w.d.commitMu.Lock()
	err := ctx.Err()
	if err == nil {
		err = w.d.stopError()
	}
	w.d.mu.Lock()
	if w.closed || w.d.closed {
		err = errClosed
	}
	w.d.mu.Unlock()
	if err != nil {
		w.d.commitMu.Unlock()
	}
	return err
}

// Commit makes cones durable and visible, all or none.
func (w *writer) Commit(ctx context.Context, cones []*ledger.Cone) error {
	if len(cones) == 0 {
		return nil
	}
	if err := w.commit(ctx, cones); err != nil {
		if len(cones) == 1 {
			return fmt.Errorf("commit unit %d of %s: %w", cones[0].Unit.Seq, w.name, err)
		}
		return fmt.Errorf("commit units %d to %d of %s: %w", cones[0].Unit.Seq, cones[len(cones)-1].Unit.Seq, w.name, err)
	}
	return nil
}

func (w *writer) commit(ctx context.Context, cones []*ledger.Cone) error {
	for _, c := range cones {
		if err := w.validate(c); err != nil {
			return fmt.Errorf("unit %d: %w", c.Unit.Seq, err)
		}
	}
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.d.commitMu.Unlock()
	next, cones, err := w.plan(cones)
	if err != nil || len(cones) == 0 {
		return err
	}
	if err := w.d.room(ctx); err != nil {
		return err
	}
	if err := w.sweep(); err != nil {
		return err
	}
	if err := w.guarded(next, func() error { return w.write(next, cones) }); err != nil {
		return err
	}
	w.addBlocks(cones)
	return nil
}

// validate refuses what cannot be stored as it is. It does not prove: that was done.
func (w *writer) validate(c *ledger.Cone) error {
	switch {
	case c.Net != w.net:
		return fmt.Errorf("the cone is of network %d, this writer's is %d", c.Net, w.net)
	case c.Unit.Seq > ledger.MaxSeq:
		return fmt.Errorf("number above %d", uint64(ledger.MaxSeq))
	case c.Unit.ID.IsZero():
		return errors.New("it has no id")
	case len(c.Records) > ledger.UnitPos:
		return fmt.Errorf("%d records, the most are %d", len(c.Records), ledger.UnitPos)
	}
	size := int64(c.Bytes())
	for i := range c.Records {
		r := &c.Records[i]
		if want := (ledger.Ord{Seq: c.Unit.Seq, Pos: uint32(i)}); r.Ord != want {
			return fmt.Errorf("record %d stands at %s, not at %s", i, r.Ord, want)
		}
		if len(r.Parts) == 0 || r.ID.IsZero() {
			return fmt.Errorf("record %s has no bytes or no id", r.Ord)
		}
		size += 128 + 64*int64(len(r.Posts)+len(r.Moves))
	}
	for i := range c.Changes {
		size += int64(len(c.Changes[i].Key) + len(c.Changes[i].Val))
	}
	if most := w.d.opts.Memory / 4; size > most {
		return &TooLargeError{Need: size, Most: most}
	}
	return nil
}

// TooLargeError reports a cone that needs more memory than the store may use for one.
type TooLargeError struct{ Need, Most int64 }

func (e *TooLargeError) Unwrap() error { return storage.ErrTooLarge }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: it needs %d bytes, the most is %d", storage.ErrTooLarge, e.Need, e.Most)
}

// Hint is the next step.
func (e *TooLargeError) Hint() string {
	return fmt.Sprintf("raise memory: to %d MiB or more; a quarter of it is for the largest cone", (4*e.Need)>>20+1)
}

// plan checks that cones are consecutive and continue spans, leaves out those that are stored, and
// returns the state after the commit.
func (w *writer) plan(cones []*ledger.Cone) (*netState, []*ledger.Cone, error) {
	st := *w.n.state.Load()
	st.spans = slices.Clone(st.spans)
	var todo []*ledger.Cone
	for i, c := range cones {
		seq := c.Unit.Seq
		if i > 0 && seq != cones[i-1].Unit.Seq+1 {
			return nil, nil, fmt.Errorf("unit %d follows unit %d: cones must be consecutive", seq, cones[i-1].Unit.Seq)
		}
		if w.n.state.Load().has(seq) {
			if err := w.same(c); err != nil {
				return nil, nil, err
			}
			continue
		}
		at := slices.IndexFunc(st.spans, func(s spanRow) bool { return s.Hi+1 == seq })
		if at < 0 {
			return nil, nil, fmt.Errorf("unit %d continues no span: open one first, or commit the units before it", seq)
		}
		st.spans[at].Hi = seq
		todo = append(todo, c)
	}
	if len(todo) > 0 {
		first, last := todo[0].Unit.Seq, todo[len(todo)-1].Unit.Seq
		st.gaps = cutGaps(st.gaps, first, last)
	}
	return &st, todo, nil
}

// Repair replaces the rows of a committed unit.
func (w *writer) Repair(ctx context.Context, c *ledger.Cone) error {
	if err := w.repair(ctx, c); err != nil {
		return fmt.Errorf("repair unit %d of %s: %w", c.Unit.Seq, w.name, err)
	}
	return nil
}

func (w *writer) repair(ctx context.Context, c *ledger.Cone) error {
	if err := w.validate(c); err != nil {
		return err
	}
	if err := w.lock(ctx); err != nil {
		return err
	}
	defer w.d.commitMu.Unlock()
	st := w.n.state.Load()
	if !st.has(c.Unit.Seq) {
		return fmt.Errorf("it is not committed: %w", storage.ErrNotFound)
	}
	if err := w.same(c); err != nil {
		return err
	}
	u, err := (&view{netState: st, d: w.d, pr: w.d.db}).unit(c.Unit.Seq)
	if err != nil {
		return err
	}
	if u.records != uint64(len(c.Records)) {
		return fmt.Errorf("it is stored with %d records, not %d: %w", u.records, len(c.Records), storage.ErrConflict)
	}
	if err := w.d.room(ctx); err != nil {
		return err
	}
	return w.guarded(st, func() error {
		b, touched := &batch{w: w, b: w.d.db.NewIndexedBatch()}, map[ledger.Key]bool{}
		at := ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos}
		b.dropPostings(u.posts, at, touched)
		for i := range c.Records {
			if err := b.replaced(&c.Records[i], touched); err != nil {
				return err
			}
		}
		for i := range c.Records {
			b.record(&c.Records[i])
		}
		b.set(keySeq(tabManifest, w.net, c.Unit.Seq), encodeManifest(storage.Manifest(c)))
		b.unit(c)
		touch(touched, c.Posts)
		if err := w.repairBlocks(b, c, touched); err != nil {
			return err
		}
		return b.flush(pebble.Sync)
	})
}

// replaced takes away the postings of the stored row of r: those that still hold are set again. It adds the keys of both
// to touched.
func (b *batch) replaced(r *ledger.Record, touched map[ledger.Key]bool) error {
	key := appendRecordKey(nil, b.w.net, r.Ord)
	val, err := b.w.d.get(b.w.d.db, key)
	if err != nil {
		return err
	}
	old, err := decodeRecord(r.Ord, val)
	if err != nil {
		return b.w.d.badRow(key, err)
	}
	if old.ID != r.ID {
		return fmt.Errorf("record %s is stored with id %s, not %s: %w", r.Ord, old.ID, r.ID, storage.ErrConflict)
	}
	b.dropPostings(old.Posts, r.Ord, touched)
	touch(touched, r.Posts)
	return nil
}

func (b *batch) dropPostings(posts []ledger.Posting, o ledger.Ord, touched map[ledger.Key]bool) {
	touch(touched, posts)
	for i := range posts {
		b.delete(appendPostingKey(nil, b.w.net, posts[i].Key, o))
	}
}

func touch(touched map[ledger.Key]bool, posts []ledger.Posting) {
	for i := range posts {
		touched[posts[i].Key] = true
	}
}

// same compares a cone with the unit that is stored under its number.
func (w *writer) same(c *ledger.Cone) error {
	key := keySeq(tabUnit, w.net, c.Unit.Seq)
	val, err := w.d.get(w.d.db, key)
	if err != nil {
		return err
	}
	u, err := decodeUnit(key, val)
	if err != nil {
		return w.d.badRow(key, err)
	}
	if u.ID != c.Unit.ID {
		return fmt.Errorf("unit %d is stored with id %s, not %s: %w", c.Unit.Seq, u.ID, c.Unit.ID, storage.ErrConflict)
	}
	return nil
}

// guarded runs a write that ends in a synced batch and publishes next. Should it fail, readers keep the
// view from before it: its rows may lie in Pebble's memory although the disk refused them.
func (w *writer) guarded(next *netState, write func() error) error {
	before := w.d.db.NewSnapshot()
	if err := write(); err != nil {
		if w.d.gate.frozen.Load() && w.d.view.CompareAndSwap(nil, before) {
			return err
		}
		return errors.Join(err, before.Close())
	}
	w.n.publish(next)
	return before.Close()
}

// write stores cones and moves the coverage to next.
func (w *writer) write(next *netState, cones []*ledger.Cone) error {
	b := &batch{w: w}
	for _, c := range cones {
		if err := b.records(c); err != nil {
			return err
		}
	}
	// From here on all rows stand in one batch: state rows have no unit in their key, and the postings of a
	// unit could not be swept away.
	for _, c := range cones {
		b.unit(c)
	}
	b.coverage(w.n.state.Load(), next)
	return b.flush(pebble.Sync)
}

// batch is a Pebble batch that is cut into chunks.
type batch struct {
	w   *writer
	b   *pebble.Batch
	key []byte
	val []byte
}

func (b *batch) set(key, val []byte) {
	if b.b == nil {
		b.b = b.w.d.db.NewBatch()
	}
	_ = b.b.Set(key, val, nil) // fails only in an indexed batch or one without a database
}

func (b *batch) delete(key []byte) {
	if b.b == nil {
		b.b = b.w.d.db.NewBatch()
	}
	_ = b.b.Delete(key, nil)
}

func (b *batch) flush(o *pebble.WriteOptions) error {
	if b.b == nil {
		b.b = b.w.d.db.NewBatch()
	}
	p := b.b
	b.b = nil
	return b.w.d.apply(p, o)
}

// full flushes a full batch, unsynced, and waits until Pebble has caught up. It waits whatever the caller's
// context says: a commit that is left between its chunks would have to be swept away first.
func (b *batch) full() error {
	if b.b == nil || b.b.Len() < chunkBytes {
		return nil
	}
	if err := b.flush(pebble.NoSync); err != nil {
		return err
	}
	return b.w.d.room(context.Background())
}

// records adds manifest, records and their postings. A record and its postings stand in one batch, so
// that whoever finds the record of a commit that did not end can take its postings away.
func (b *batch) records(c *ledger.Cone) error {
	for i := range c.Records {
		b.record(&c.Records[i])
		if err := b.full(); err != nil {
			return err
		}
	}
	b.set(keySeq(tabManifest, b.w.net, c.Unit.Seq), encodeManifest(storage.Manifest(c)))
	return b.full()
}

func (b *batch) record(r *ledger.Record) {
	b.key = appendRecordKey(b.key[:0], b.w.net, r.Ord)
	b.val = appendRecord(b.val[:0], r)
	b.set(b.key, b.val)
	for j := range r.Posts {
		b.posting(&r.Posts[j], r.Ord)
	}
}

func (b *batch) posting(p *ledger.Posting, o ledger.Ord) {
	b.key = appendPostingKey(b.key[:0], b.w.net, p.Key, o)
	b.val = appendPostingValue(b.val[:0], p)
	b.set(b.key, b.val)
}

// unit adds the unit's own rows and the state after it.
func (b *batch) unit(c *ledger.Cone) {
	u := &c.Unit
	b.set(keySeq(tabUnit, b.w.net, u.Seq), encodeUnit(c))
	b.set(keyTime(b.w.net, u.TimeMs, u.Seq), nil)
	o := ledger.Ord{Seq: u.Seq, Pos: ledger.UnitPos}
	b.posting(&ledger.Posting{Key: ledger.Key{Kind: ledger.KeyUnit, Val: u.ID.Key()}, Role: ledger.RoleMention}, o)
	for i := range c.Posts {
		b.posting(&c.Posts[i], o)
	}
	for i := range c.Changes {
		b.key = appendStateKey(b.key[:0], b.w.net, c.Changes[i].Key)
		b.set(b.key, c.Changes[i].Val)
	}
}

// coverage adds the span and gap rows that differ.
func (b *batch) coverage(old, next *netState) {
	have := map[uint64]spanRow{}
	for _, s := range old.spans {
		have[s.Lo] = s
	}
	for _, s := range next.spans {
		if h, ok := have[s.Lo]; !ok || h.Hi != s.Hi {
			b.set(keySeq(tabSpan, b.w.net, s.Lo), encodeSpan(s))
		}
	}
	for _, g := range old.gaps {
		if !slices.ContainsFunc(next.gaps, func(n storage.Gap) bool { return n.From == g.From }) {
			b.delete(keySeq(tabGap, b.w.net, g.From))
		}
	}
	for _, g := range next.gaps {
		if !slices.Contains(old.gaps, g) {
			b.set(keySeq(tabGap, b.w.net, g.From), encodeGap(g))
		}
	}
}
