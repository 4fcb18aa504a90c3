package stardust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// archive is the smallest thing that can hold a network: what a test proves cones into.
type archive struct {
	codec  stardust.Codec
	trust  ledger.Trust
	held   bool
	state  map[string][]byte
	placed map[ledger.ID]uint64 // the unit of each record
	prev   *ledger.Unit
	start  *ledger.Unit // snapshot
	cones  []*ledger.Cone
	blocks map[ledger.ID][]byte // what the source serves
	claims func(seq uint64, ids []ledger.ID) *ledger.NodeClaims
	edges  bool // unknown ids that the source does not serve are edges
	views  int
}

func newArchive(t testing.TB, trust []byte) *archive {
	t.Helper()
	tr, err := stardust.Codec{}.ParseTrust(trust)
	if err != nil {
		t.Fatal(err)
	}
	return &archive{trust: tr, state: map[string][]byte{}, placed: map[ledger.ID]uint64{}, blocks: map[ledger.ID][]byte{}}
}

// open starts with a ledger.
func (a *archive) open(files ...io.ReadSeeker) error {
	s, err := a.codec.Snapshot(a.trust, files...)
	if err != nil {
		return err
	}
	for c, err := range s.Changes {
		if err != nil {
			return err
		}
		if _, again := a.state[string(c.Key)]; again && len(c.Val) > 0 {
			return fmt.Errorf("key %x twice", c.Key)
		}
		a.state[string(c.Key)] = c.Val
	}
	a.held, a.start = true, &ledger.Unit{Seq: s.Seq, ID: s.Unit, TimeMs: s.TimeMs}
	return nil
}

// serve makes blocks known to the source.
func (a *archive) serve(raws ...[]byte) {
	for _, id := range a.codec.Identify(raws) {
		a.blocks[id.ID] = id.Raw
	}
}

// startOf returns where unit seq begins; seq 0 is the next one.
func (a *archive) startOf(seq uint64) ledger.Start {
	at := ledger.Start{Trust: a.trust, Prev: a.prev, Held: a.held}
	if a.prev == nil {
		at.Snapshot = a.start
	}
	at.Known = func(_ context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids))
		for i, id := range ids {
			u, ok := a.placed[id]
			out[i] = ok && (seq == 0 || u < seq)
		}
		return out, nil
	}
	at.State = func(_ context.Context, keys [][]byte) ([][]byte, error) { return a.read(keys), nil }
	return at
}

func (a *archive) read(keys [][]byte) [][]byte {
	out := make([][]byte, len(keys))
	for i, k := range keys {
		if v, ok := a.state[string(k)]; ok {
			out[i] = v
		}
	}
	return out
}

var errMissing = errors.New("the source lacks a block")

// prove walks and seals the cone of head and stores nothing.
func (a *archive) prove(head []byte, at ledger.Start) (*ledger.Cone, error) {
	ctx := context.Background()
	as, err := a.codec.Begin(ctx, head, at)
	if err != nil {
		return nil, err
	}
	for {
		want, err := as.Want(ctx, 200)
		if err != nil {
			return nil, err
		}
		if len(want) == 0 {
			break
		}
		if err := a.fetch(as, want); err != nil {
			return nil, err
		}
	}
	return a.seal(as)
}

// fetch hands over what the source has of want; it must have some.
func (a *archive) fetch(as ledger.Assembly, want []ledger.ID) error {
	some := false
	for _, id := range want {
		raw, ok := a.blocks[id]
		switch {
		case ok:
			if err := as.Put(a.codec.Identify([][]byte{raw})...); err != nil {
				return err
			}
		case a.edges:
			as.Edge(id)
		default:
			continue
		}
		some = true
	}
	if !some {
		return fmt.Errorf("%w: %s", errMissing, want[0])
	}
	return nil
}

func (a *archive) seal(as ledger.Assembly) (*ledger.Cone, error) {
	members := as.Members()
	p := a.codec.Prepare(members)
	view := ledger.View{}
	keys := as.StateKeys(p)
	for i, v := range a.read(keys) {
		view[string(keys[i])] = v
	}
	a.views++
	var c *ledger.NodeClaims
	if !a.held {
		ids := make([]ledger.ID, len(members))
		for i := range members {
			ids[i] = members[i].ID
		}
		c = a.claims(as.Unit().Seq, ids)
	}
	return as.Seal(p, view, c)
}

// add proves the next cone and stores it.
func (a *archive) add(head []byte) (*ledger.Cone, error) {
	c, err := a.prove(head, a.startOf(0))
	if err != nil {
		return nil, err
	}
	for i := range c.Records {
		if _, again := a.placed[c.Records[i].ID]; again {
			return nil, fmt.Errorf("record %s twice", c.Records[i].ID)
		}
		a.placed[c.Records[i].ID] = c.Unit.Seq
	}
	for _, ch := range c.Changes {
		if old := a.state[string(ch.Key)]; !bytes.Equal(old, ch.Old) || (old == nil) != (ch.Old == nil) {
			return nil, fmt.Errorf("change of %x says that it replaces %x, there is %x", ch.Key, ch.Old, old)
		}
		a.state[string(ch.Key)] = ch.Val
	}
	a.cones = append(a.cones, c)
	u := c.Unit
	a.prev = &u
	return c, nil
}

// again proves every stored cone once more over the final state and compares.
func (a *archive) again(t testing.TB) {
	t.Helper()
	last := a.prev
	defer func() { a.prev = last }()
	a.prev = nil
	for _, c := range a.cones {
		got, err := a.prove(a.codec.Head(c.Unit), a.startOf(c.Unit.Seq))
		if err != nil {
			t.Fatalf("prove unit %d again: %v", c.Unit.Seq, err)
		}
		sameCone(t, got, c)
		u := c.Unit
		a.prev = &u
	}
}

func sameCone(t testing.TB, got, want *ledger.Cone) {
	t.Helper()
	g, w := fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want)
	if g != w {
		t.Fatalf("unit %d proven again differs\n got %.2000s\nwant %.2000s", want.Unit.Seq, g, w)
	}
}
