package ingest_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"permanode/ingest"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
	"permanode/storage"
)

// files is a chain of checkpoint files as its nodes serve them. Tests change the tip while nobody asks.
type files struct {
	name  string
	trust ledger.Trust
	heads [][]byte // by number
	raws  [][][]byte

	proofs map[uint64]*proof // by first unit

	mu  sync.Mutex
	tip uint64
}

func newFiles(t testing.TB, name string, trust []byte, chks ...[]byte) *files {
	t.Helper()
	f := &files{name: name}
	var err error
	if f.trust, err = eras.ParseTrust(trust); err != nil {
		t.Fatal(err)
	}
	for _, chk := range chks {
		f.add(t, chk)
	}
	return f
}

// add appends a checkpoint.
func (f *files) add(t testing.TB, chk []byte) {
	t.Helper()
	head, raws, err := rebased.SplitCheckpoint(chk)
	if err != nil {
		t.Fatal(err)
	}
	f.heads, f.raws = append(f.heads, head), append(f.raws, raws)
	f.tip = uint64(len(f.heads) - 1)
}

func (f *files) setTip(tip uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tip = tip
}

// under returns the same files under another trust file.
func (f *files) under(t testing.TB, trust []byte) *files {
	t.Helper()
	o := newFiles(t, f.name, trust)
	o.heads, o.raws, o.tip = f.heads, f.raws, f.tip
	return o
}

// vectorChains returns the chains of the vectors.
func vectorChains(t testing.TB) (all []*files) {
	t.Helper()
	for _, f := range ledgertest.Folders(t, "rebased/checkpoints/*/committee_epoch0.json", "chk") {
		spec, err := rebased.ParseCommitteeFile(f.File)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := rebased.NewTrust(spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, newFiles(t, f.Name, trust, f.Parts...))
	}
	return all
}

// reply is what a node says when it is asked for a unit.
type reply struct {
	head []byte
	raws [][]byte
	err  error
}

// chainNode serves files.
type chainNode struct {
	*files
	name  string
	first uint64                               // what lies below is pruned
	lie   func(seq uint64, honest reply) reply // nil: honest
}

func (f *files) node(name string) *chainNode { return &chainNode{files: f, name: name} }

func (n *chainNode) Name() string { return n.name }

func (n *chainNode) Info(context.Context) (ingest.Info, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return ingest.Info{Identity: n.trust.Identity, Oldest: n.first, Newest: n.tip}, nil
}

func (n *chainNode) ask(seq uint64) reply {
	n.mu.Lock()
	tip := n.tip
	n.mu.Unlock()
	switch {
	case seq < n.first:
		return reply{err: ingest.ErrPruned}
	case seq > tip:
		return reply{err: ingest.ErrUnknown}
	}
	a := reply{head: n.heads[seq], raws: n.raws[seq]}
	if n.lie != nil {
		a = n.lie(seq, a)
	}
	return a
}

func (n *chainNode) Head(_ context.Context, seq uint64) ([]byte, error) {
	a := n.ask(seq)
	return a.head, a.err
}

func (n *chainNode) Cone(_ context.Context, seq uint64) ([]byte, [][]byte, error) {
	a := n.ask(seq)
	return a.head, slices.Clone(a.raws), a.err
}

func (n *chainNode) Fetch(context.Context, []ledger.ID) ([][]byte, error) { return nil, nil }

func (n *chainNode) Claims(context.Context, uint64, []ledger.ID) (*ledger.NodeClaims, error) {
	return nil, ingest.ErrCannot
}

// byHand proves units lo to hi of f one by one, each by its own certificate, without store and collector. What it
// returns has no changes; their sum is state. Nothing is proven twice.
func (f *files) byHand(t testing.TB, lo, hi uint64) (cones []*ledger.Cone, state map[string][]byte) {
	t.Helper()
	p := f.proofs[lo]
	if p == nil {
		p = f.proof(lo)
		if f.proofs == nil {
			f.proofs = map[uint64]*proof{}
		}
		f.proofs[lo] = p
	}
	return p.to(t, hi)
}

// byHandBut does the same with another head of one unit, whose certificate is not checked: another unit attests it.
func (f *files) byHandBut(t testing.TB, lo, hi, but uint64, head []byte) (cones []*ledger.Cone, state map[string][]byte) {
	t.Helper()
	p := f.proof(lo)
	p.but, p.head = but, head
	return p.to(t, hi)
}

// proof is the units of a chain from lo on, as far as they were proven.
type proof struct {
	*files
	lo, but uint64
	head    []byte
	at      ledger.Start
	state   map[string][]byte // after all of cones
	cones   []*ledger.Cone
	changes [][]ledger.Change
}

func (f *files) proof(lo uint64) *proof {
	p := &proof{files: f, lo: lo, state: map[string][]byte{}}
	p.at = ledger.Start{Trust: f.trust, Held: lo == 0, State: func(_ context.Context, keys [][]byte) ([][]byte, error) {
		out := make([][]byte, len(keys))
		for i, k := range keys {
			out[i] = p.state[string(k)]
		}
		return out, nil
	}}
	return p
}

func (p *proof) to(t testing.TB, hi uint64) (cones []*ledger.Cone, state map[string][]byte) {
	t.Helper()
	for p.lo+uint64(len(p.cones)) <= hi {
		p.next(t)
	}
	n := hi - p.lo + 1
	state = map[string][]byte{}
	for _, list := range p.changes[:n] {
		for _, c := range list {
			state[string(c.Key)] = c.Val
		}
	}
	return p.cones[:n], state
}

func (p *proof) next(t testing.TB) {
	t.Helper()
	ctx, codec, seq := context.Background(), rebased.Codec{}, p.lo+uint64(len(p.cones))
	head := p.heads[seq]
	if p.at.Attested = (ledger.Attestation{}); p.head != nil && seq == p.but {
		head = p.head
		p.at.Attested = ledger.Attestation{Unit: p.unit(seq).ID, By: p.unit(seq + 1).ID}
	}
	asm, err := codec.Begin(ctx, head, p.at)
	if err == nil {
		err = asm.Put(codec.Identify(p.raws[seq])...)
	}
	if err != nil {
		t.Fatal(err)
	}
	list := codec.Prepare(asm.Members())
	view := ledger.View{}
	for _, k := range asm.StateKeys(list) {
		view[string(k)] = p.state[string(k)]
	}
	cone, err := asm.Seal(list, view, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cone.Changes {
		p.state[string(c.Key)] = c.Val
	}
	p.changes, cone.Changes = append(p.changes, cone.Changes), nil
	p.cones = append(p.cones, cone)
	p.at.Prev = &cone.Unit
}

// stored returns units lo to hi as the store has them.
func (r *rig) stored(lo, hi uint64) (out []*ledger.Cone) {
	r.t.Helper()
	for c, err := range r.store.Cones(context.Background(), r.store.Net(), lo, hi) {
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// checkFiles compares units lo to hi of the store, and its state, with what proving by hand gives. attested may look
// at who attested a unit; nil wants each unit's own certificate checked.
func (r *rig) checkFiles(f *files, lo, hi uint64, attested func(seq uint64, by ledger.ID) error) {
	r.t.Helper()
	cov := r.coverage()
	if len(cov.Spans) != 1 || cov.Spans[0].Lo != lo || cov.Spans[0].Hi != hi || cov.Spans[0].Held != (lo == 0) {
		r.t.Fatalf("coverage %+v, want units %d to %d", cov, lo, hi)
	}
	want, state := f.byHand(r.t, lo, hi)
	for i, got := range r.stored(lo, hi) {
		if err := sameAsByHand(got, want[i], r.store.Net(), attested); err != nil {
			r.t.Fatalf("unit %d: %v", got.Unit.Seq, err)
		}
	}
	r.checkState(state)
}

func sameAsByHand(got, want *ledger.Cone, net ledger.NetID, attested func(uint64, ledger.ID) error) error {
	c := *want
	c.Net = net
	if attested != nil {
		if err := attested(got.Unit.Seq, got.Unit.AttestedBy); err != nil {
			return err
		}
		c.Unit.AttestedBy = got.Unit.AttestedBy
	}
	if !reflect.DeepEqual(got.Unit, c.Unit) {
		return fmt.Errorf("unit %+v\nwant %+v", got.Unit, c.Unit)
	}
	if len(got.Records) != len(c.Records) {
		return fmt.Errorf("%d records, want %d", len(got.Records), len(c.Records))
	}
	for i := range c.Records {
		if len(got.Records[i].Moves)+len(c.Records[i].Moves) == 0 {
			got.Records[i].Moves = c.Records[i].Moves // no moves, whether nil or empty
		}
		if !reflect.DeepEqual(got.Records[i], c.Records[i]) {
			return fmt.Errorf("record %d is\n%+v\nwant\n%+v", i, got.Records[i], c.Records[i])
		}
	}
	return nil
}

// checkState compares the store's state with want.
func (r *rig) checkState(want map[string][]byte) {
	r.t.Helper()
	rows := map[string][]byte{}
	for c, err := range r.db.RawState(context.Background(), r.store.Net()) {
		if err != nil {
			r.t.Fatal(err)
		}
		rows[string(c.Key)] = slices.Clone(c.Val)
	}
	if !reflect.DeepEqual(rows, want) {
		r.t.Fatalf("%d rows of state, want %d, or they differ", len(rows), len(want))
	}
}

// refusals counts the stored notes about refused content by source and code.
func (r *rig) refusals() map[string]int {
	r.t.Helper()
	out := map[string]int{}
	for _, n := range r.notes(storage.NoteRefused) {
		out[n.Source+" "+n.Code]++
	}
	return out
}

// attested says who must have attested each unit of f where units lo to hi were collected in one go: in each whole rest of a
// segment the last unit of an epoch, or the segment's last; elsewhere each unit itself.
func (f *files) attested(lo, hi uint64) func(uint64, ledger.ID) error {
	codec := rebased.Codec{}
	want := map[uint64]ledger.ID{}
	for first := lo; first <= hi; {
		last := first - first%codec.Segment() + codec.Segment() - 1
		if last > hi {
			break
		}
		var by ledger.ID
		for seq := last + 1; seq > first; seq-- {
			c, _, _, err := rebased.ParseHead(f.heads[seq-1])
			if err != nil {
				return func(uint64, ledger.ID) error { return err }
			}
			if c.Summary.EndOfEpoch != nil || seq-1 == last {
				d := rebased.CheckpointDigest(c.Header)
				by = ledger.NewID(d[:])
				continue
			}
			want[seq-1] = by
		}
		first = last + 1
	}
	return func(seq uint64, by ledger.ID) error {
		if by != want[seq] {
			return fmt.Errorf("attested by %q, want %q", by, want[seq])
		}
		return nil
	}
}
