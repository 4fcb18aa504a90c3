package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

var errClosed = errors.New("the store is closed")

// DB is an open store. It implements [storage.Reader] for all networks and is safe for concurrent use.
type DB struct {
	dir      string
	opts     Options
	gate     *gate
	lock     *pebble.Lock
	db       *pebble.DB // nil where a damaged store cannot be opened at all
	pressure pressure
	known    map[string]fileSum  // tables that SUMS named and that were compared; set by open alone
	faults   []storage.FileFault // what differs from SUMS; set by open alone
	was      *sums               // SUMS as it was, nil if there was none; set by open alone
	bare     bool                // no SUMS was there: the last stop was no clean one; set by open alone

	accused sync.Map // names of corrupt files that the log has

	heard   atomic.Uint64   // operations of the gate at the last Alive
	making  sync.Mutex      // held while a checkpoint is made or dropped
	hashing context.Context // ends the hashing of files for SUMS early; nil: nothing does
	sumsMu  sync.Mutex
	taken   []string           // folders that TakeOver named; guarded by sumsMu
	hashed  map[string]fileSum // tables of the last checkpoint, which are the store's own; guarded by sumsMu

	// commitMu is held while rows are written: one batch at a time, so that the view before a batch that
	// fails is the view of everything acknowledged.
	commitMu sync.Mutex
	view     atomic.Pointer[pebble.Snapshot] // set once writing has stopped: what was acknowledged

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup // what brings blocks up to date; Close waits for it

	mu      sync.Mutex // guards the fields below
	idle    sync.Cond  // signalled when users falls to 0
	users   int        // calls and iterations under way
	closed  bool
	nets    map[ledger.NetID]*network
	writing map[ledger.NetID]bool
}

var _ storage.Reader = (*DB)(nil)

// network is one network's state in memory. It moves after a good commit only.
type network struct {
	state atomic.Pointer[netState]
	built built // guarded by DB.commitMu

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every move
}

// netState never changes once it is published.
type netState struct {
	network ledger.Network
	spans   []spanRow     // by Lo
	gaps    []storage.Gap // by From, disjoint
}

func newNetwork(st *netState) *network {
	n := &network{changed: make(chan struct{}), built: built{next: map[uint64]uint64{}, open: map[uint64]openStride{}}}
	n.state.Store(st)
	return n
}

// publish makes st what readers see.
func (n *network) publish(st *netState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.Store(st)
	close(n.changed)
	n.changed = make(chan struct{})
}

// has reports whether a unit is committed: the one filter of all reads.
func (st *netState) has(seq uint64) bool {
	i, ok := slices.BinarySearchFunc(st.spans, seq, func(s spanRow, seq uint64) int {
		switch {
		case s.Lo > seq:
			return 1
		case s.Empty() || s.Hi < seq:
			return -1
		}
		return 0
	})
	return ok && st.spans[i].Lo <= seq
}

// coverage returns a copy.
func (st *netState) coverage() (c storage.Coverage) {
	for _, s := range st.spans {
		sp := s.Span
		sp.Snapshot = slices.Clone(sp.Snapshot)
		c.Spans = append(c.Spans, sp)
	}
	c.Gaps = slices.Clone(st.gaps)
	return c
}

// A view is one read: what was committed when it began. It must be closed.
type view struct {
	*netState
	d  *DB
	pr pebble.Reader
}

// begin starts a read of a network.
func (d *DB) begin(ctx context.Context, net ledger.NetID) (*view, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	n := d.nets[net]
	if n == nil {
		return nil, fmt.Errorf("network %d: %w", net, storage.ErrNotFound)
	}
	d.users++
	v := &view{netState: n.state.Load(), d: d, pr: d.db}
	if s := d.view.Load(); s != nil {
		v.pr = s
	}
	return v, nil
}

// beginStill starts a read over several iterators that must not see what is written meanwhile.
func (d *DB) beginStill(ctx context.Context, net ledger.NetID) (*view, error) {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	v, err := d.begin(ctx, net)
	if err == nil && v.pr == pebble.Reader(d.db) {
		v.pr = d.db.NewSnapshot()
	}
	return v, err
}

func (v *view) closeStill() {
	if s, ok := v.pr.(*pebble.Snapshot); ok && s != v.d.view.Load() {
		_ = s.Close()
	}
	v.close()
}

func (v *view) close() {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	if v.d.users--; v.d.users == 0 {
		v.d.idle.Broadcast()
	}
}

func (v *view) get(key []byte) ([]byte, error) { return v.d.get(v.pr, key) }

// get returns a copy of a row. A missing one is pebble.ErrNotFound.
func (d *DB) get(r pebble.Reader, key []byte) ([]byte, error) {
	val, closer, err := r.Get(key)
	if err != nil {
		return nil, d.readError(key, err)
	}
	out := append(make([]byte, 0, len(val)), val...)
	return out, d.readError(key, closer.Close())
}

// readError tells damage from other failures.
func (d *DB) readError(key []byte, err error) error {
	switch {
	case err == nil || errors.Is(err, pebble.ErrNotFound):
		return err
	case pebble.IsCorruptionError(err):
		return d.badRow(key, err)
	}
	return fmt.Errorf("read %s: %w", keyName(key), err)
}

// badRow is the error of a row that cannot be read.
func (d *DB) badRow(key []byte, why error) error {
	e := &storage.CorruptError{Key: keyName(key), Why: firstLine(why)}
	if len(key) >= 10 && key[0] == tabRecord {
		e.Ord = ledger.OrdFrom(key[2:])
	} else if len(key) >= 10 && (key[0] == tabUnit || key[0] == tabManifest) {
		e.Ord.Seq, _ = seqOf(key)
	}
	return e
}

// each calls f with every row whose key begins with prefix; the slices are f's own.
func (d *DB) each(ctx context.Context, prefix []byte, f func(key, val []byte) error) error {
	return d.eachIn(ctx, d.db, prefix, after(prefix), f)
}

func (d *DB) eachIn(ctx context.Context, r pebble.Reader, lo, hi []byte, f func(key, val []byte) error) (err error) {
	it, err := r.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return d.readError(lo, err)
	}
	defer func() { err = errors.Join(err, d.readError(lo, it.Close())) }()
	last := lo
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return d.readError(it.Key(), err)
		}
		last = bytes.Clone(it.Key())
		if err := f(last, bytes.Clone(val)); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return d.readError(last, err)
	}
	return ctx.Err()
}

// apply writes a batch. Whatever Pebble says, only the gate knows whether it reached the disk.
func (d *DB) apply(b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.gate.freeze(fmt.Errorf("pebble: %v", p))
			err = d.stopError()
		}
	}()
	if err := d.stopError(); err != nil {
		return err
	}
	if err := b.Commit(o); err != nil {
		d.gate.freeze(err)
	}
	if err := d.stopError(); err != nil {
		return err
	}
	return b.Close()
}

// Clean reports whether the store, as it was opened, was what a clean stop had left.
func (d *DB) Clean() bool { return !d.bare && len(d.faults) == 0 }

// Stopped returns nil, or why nothing can be written any more: an error that is storage.ErrStopped.
func (d *DB) Stopped() error { return d.stopError() }

// Alive returns nil if a commit could begin before ctx ends, or something was written since the last call: no commit
// hangs. A store that stopped writing is alive: it is read.
func (d *DB) Alive(ctx context.Context) error {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		if d.commitMu.TryLock() {
			d.commitMu.Unlock()
			return nil
		}
		if n := d.gate.ops.Load(); d.heard.Swap(n) != n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("store %s: a commit goes on and writes nothing: %w", d.dir, ctx.Err())
		case <-t.C:
		}
	}
}

// stopError is nil, or why nothing can be written.
func (d *DB) stopError() error {
	if err := d.gate.err(); err != nil {
		return fmt.Errorf("%w: %w", storage.ErrStopped, err)
	}
	return nil
}

// Close ends all use. After a clean stop the directory holds SUMS; the next opening compares it. A store
// whose writing had stopped is left as it is, for the next opening to recover.
func (d *DB) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for d.users > 0 {
		d.idle.Wait()
	}
	for _, n := range d.nets {
		n.mu.Lock()
		close(n.changed)
		n.changed = make(chan struct{})
		n.mu.Unlock()
	}
	d.mu.Unlock()
	d.cancel()
	d.lastCommit()
	d.background.Wait()
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	err := d.shutdown()
	if e := d.unlock(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close store %s: %w", d.dir, err)
	}
	return nil
}

// lastCommit waits for a commit under way; whoever comes after it starts nothing.
func (d *DB) lastCommit() {
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
}

func (d *DB) shutdown() error {
	if d.opts.ReadOnly {
		return d.stopPebble()
	}
	if err := d.flush(); err != nil {
		d.gate.freeze(err)
	}
	units, err := d.lastUnits()
	if err != nil {
		return errors.Join(err, d.stopPebble())
	}
	if err := d.stopPebble(); err != nil {
		return err
	}
	if err := d.stopError(); err != nil {
		return err
	}
	// The log now holds only what was flushed; opening once more leaves an empty one.
	d.gate.live.Store(false)
	if err := d.start(); err != nil {
		return err
	}
	if err := d.stopPebble(); err != nil {
		return err
	}
	if err := d.stopError(); err != nil {
		return err
	}
	return d.writeSums(units)
}

// flush writes memory out. It does not wait for a flush that the gate holds.
func (d *DB) flush() error {
	if err := d.gate.err(); err != nil {
		return err
	}
	done, err := d.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-d.gate.stopped:
		return d.gate.err()
	}
}

// stopPebble closes Pebble, whatever state it is in.
func (d *DB) stopPebble() error {
	if s := d.view.Swap(nil); s != nil {
		_ = s.Close()
	}
	d.gate.release() // Close waits for makers of tables
	if d.db == nil {
		return nil
	}
	err := d.db.Close()
	if stop := d.stopError(); stop != nil {
		return stop // what Pebble says of it is noise
	}
	return err
}

// Writer returns the writer of a network, which it creates at first use: n.ID is ignored. The era and
// identity of a network never change; its trust file and what it follows become what n says. A second writer of a network is refused.
func (d *DB) Writer(ctx context.Context, n ledger.Network) (storage.Writer, error) {
	w, err := d.writer(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("write network %s: %w", n.Name, err)
	}
	return w, nil
}

// isLockHeld reports whether the lock file is there and somebody else holds it. Pebble has no
// sentinel for its own holder.
func isLockHeld(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || err.Error() == "lock held by current process"
}

// corruptFile is the error of a damaged file.
func corruptFile(name string, why error) error {
	return &storage.CorruptError{Key: "file " + name, Why: why.Error()}
}
