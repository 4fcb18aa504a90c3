package querytest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// ledgerOf is an archive of a generated network, and every output that it ever had.
type Ledger struct {
	*query.Archive
	Store   storage.Reader
	Network query.Network
	Trust   ledger.Trust
	Times   []int64 // of units, ms; 0 is the snapshot's
	Outputs map[string]*held
}

type held struct {
	Out            *stardust.Output
	created, spent uint64
}

// newLedger collects units of a network whose outputs expire. The states are those that the generator knows.
func NewLedger(t *testing.T, units int) *Ledger {
	t.Helper()
	return LedgerFrom(t, stardusttest.Options{Seed: 11, Blocks: 12, Leases: 50, Receipts: 1 << 30}, units)
}

func LedgerFrom(t *testing.T, o stardusttest.Options, units int) *Ledger {
	t.Helper()
	gen := stardusttest.New(o)
	trust, err := eras.ParseTrust(gen.Trust())
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Codec: eras.Codec, Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	l := &Ledger{Archive: query.New(db, eras.Codec), Store: db, Trust: trust, Outputs: map[string]*held{}}
	w, err := db.Writer(t.Context(), ledger.Network{Name: "leases", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw})
	if err != nil {
		t.Fatal(err)
	}
	codec, _ := eras.Codec(trust.Era)
	snap, err := codec.Snapshot(trust, bytes.NewReader(gen.Snapshot()))
	if err != nil {
		t.Fatal(err)
	}
	span := storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: true, Snapshot: trust.Snapshot, PrevID: snap.Unit, PrevTime: snap.TimeMs}
	if err := w.Open(t.Context(), span, snap.Changes); err != nil {
		t.Fatal(err)
	}
	l.genesis(t, gen.Snapshot())
	l.Times = append(l.Times, snap.TimeMs)
	start := ledger.Start{Trust: trust, Held: true, Snapshot: &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	start.Known = func(ctx context.Context, ids []ledger.ID) (out []bool, err error) {
		for _, id := range ids {
			n, err := w.Count(ctx, w.Net(), ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, 0, ledger.MaxSeq)
			if err != nil {
				return nil, err
			}
			out = append(out, n > 0)
		}
		return out, nil
	}
	for range units {
		c := gen.Next()
		cone := seal(t, codec, c.Head, c.Raws, start)
		cone.Net = w.Net()
		if err := w.Commit(t.Context(), []*ledger.Cone{cone}); err != nil {
			t.Fatal(err)
		}
		start.Prev, start.Snapshot = &cone.Unit, nil
		l.take(t, c)
	}
	l.Network = Must(l.Networks(t.Context()))[0]
	return l
}

func seal(t testing.TB, codec ledger.Codec, head []byte, raws [][]byte, start ledger.Start) *ledger.Cone {
	t.Helper()
	a, err := codec.Begin(t.Context(), head, start)
	if err != nil {
		t.Fatal(err)
	}
	have := map[ledger.ID]ledger.Identified{}
	for _, id := range codec.Identify(raws) {
		have[id.ID] = id
	}
	for {
		want, err := a.Want(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 {
			break
		}
		for _, id := range want {
			if err := a.Put(have[id]); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := codec.Prepare(a.Members())
	keys := a.StateKeys(p)
	vals, err := start.State(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	view := ledger.View{}
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	cone, err := a.Seal(p, view, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cone
}

func (l *Ledger) genesis(t *testing.T, snapshot []byte) {
	f, err := stardust.ReadSnapshot(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range f.Outputs() {
		if err != nil {
			t.Fatal(err)
		}
		l.Outputs[string(o.ID[:])] = &held{Out: o.Output}
	}
}

func (l *Ledger) take(t *testing.T, c *stardusttest.Cone) {
	seq := uint64(c.Milestone.Index)
	l.Times = append(l.Times, int64(c.Milestone.Timestamp)*1000)
	if receipt := c.Milestone.Receipt; receipt != nil {
		for i, f := range receipt.Funds {
			o := &stardust.Output{Amount: f.Deposit, Conditions: []stardust.Condition{{Type: stardust.ConditionAddress, Address: f.Address}}}
			l.Outputs[string(c.Milestone.ID[:])+string([]byte{byte(i), 0})] = &held{Out: o, created: seq}
		}
	}
	for i, raw := range c.Raws {
		b, err := stardust.ParseBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		tx, ok := b.Payload.(*stardust.Transaction)
		if !ok || c.Outcomes[i].State != ledger.Applied {
			continue
		}
		for _, in := range tx.Inputs {
			l.Outputs[string(in[:])].spent = seq
		}
		for k := range tx.Outputs {
			l.Outputs[string(tx.ID[:])+string([]byte{byte(k), 0})] = &held{Out: &tx.Outputs[k], created: seq}
		}
	}
}

// balances looks at every output: who owns it at a time and at the end of a unit, by the rule of expiration.
func (l *Ledger) Held(seq uint64, ms int64) map[string]map[string]*big.Int {
	all := map[string]map[string]*big.Int{}
	for _, h := range l.Outputs {
		if h.created > seq || h.spent != 0 && h.spent <= seq {
			continue
		}
		owner := h.Out.Conditions[0].Address
		for _, c := range h.Out.Conditions {
			if c.Type == stardust.ConditionExpiration && ms >= int64(c.Time)*1000 {
				owner = c.Address
			}
		}
		mine := all[string(owner[:])]
		if mine == nil {
			mine = map[string]*big.Int{}
			all[string(owner[:])] = mine
		}
		add := func(asset string, amount *big.Int) {
			if mine[asset] == nil {
				mine[asset] = new(big.Int)
			}
			mine[asset].Add(mine[asset], amount)
		}
		add("", new(big.Int).SetUint64(h.Out.Amount))
		for _, token := range h.Out.Tokens {
			add(fmt.Sprintf("0x%x", token.ID[:]), token.Amount)
		}
	}
	return all
}

func Text(b query.Balance) string { return fmt.Sprint(b.Coins, b.Tokens) }

func (l *Ledger) Want(mine map[string]*big.Int) string {
	b := query.Balance{Coins: "0", Tokens: []query.Token{}}
	for _, asset := range slices.Sorted(maps.Keys(mine)) {
		if asset == "" {
			b.Coins = mine[asset].String()
		} else if mine[asset].Sign() != 0 {
			b.Tokens = append(b.Tokens, query.Token{ID: asset, Amount: mine[asset].String()})
		}
	}
	return Text(b)
}

// statedOf is an archive of a generated network whose records state what became of them.
type statedOf struct {
	*query.Archive
	Db    *pebblestore.DB
	w     storage.Writer
	Gen   *rebasedtest.Network
	Codec ledger.Codec
	start ledger.Start
}

func NewStated(t *testing.T, seed uint64) *statedOf {
	t.Helper()
	gen := rebasedtest.New(rebasedtest.Options{Seed: seed})
	trust := Must(eras.ParseTrust(gen.Trust()))
	codec, _ := eras.Codec(trust.Era)
	db := Must(pebblestore.Open(t.TempDir(), pebblestore.Options{Codec: eras.Codec, Memory: 64 << 20}))
	t.Cleanup(func() { db.Close() })
	w := Must(db.Writer(t.Context(), ledger.Network{Name: "stated", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw}))
	if err := w.Open(t.Context(), storage.Span{Lo: trust.First, Hi: trust.First - 1, Held: true}, nil); err != nil {
		t.Fatal(err)
	}
	start := ledger.Start{Trust: trust, Held: true}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	return &statedOf{query.New(db, eras.Codec), db, w, gen, codec, start}
}

// next commits a unit.
func (s *statedOf) Next(t *testing.T) *ledger.Cone {
	t.Helper()
	c := s.Gen.Next()
	cone := seal(t, s.Codec, c.Head(), c.Raws(), s.start)
	cone.Net = s.w.Net()
	if err := s.w.Commit(t.Context(), []*ledger.Cone{cone}); err != nil {
		t.Fatal(err)
	}
	s.start.Prev = &cone.Unit
	return cone
}

// owners returns all addresses that are named.
func (s *statedOf) Owners(t *testing.T) (all []string) {
	t.Helper()
	for owner, err := range s.Db.Keys(t.Context(), s.w.Net(), ledger.Key{Kind: ledger.KeyAddress}, "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, owner.Val)
	}
	return all
}

// generated is a store for a generated network; next proves and commits a unit of so many blocks, and returns
// how many records it has.
func Generated(b *testing.B, blocks int) (db *pebblestore.DB, n ledger.Network, next func() (rows int)) {
	gen := stardusttest.New(stardusttest.Options{Seed: 1, Blocks: blocks, Corpus: &stardusttest.Corpus{Tags: 500, Addresses: 2000, Words: 5000}})
	trust := Must(eras.ParseTrust(gen.Trust()))
	codec, _ := eras.Codec(trust.Era)
	db = Must(pebblestore.Open(b.TempDir(), pebblestore.Options{Codec: eras.Codec, Memory: 256 << 20}))
	b.Cleanup(func() { db.Close() })
	n = ledger.Network{Name: "corpus", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw}
	w := Must(db.Writer(b.Context(), n))
	n.ID = w.Net()
	snap := Must(codec.Snapshot(trust, bytes.NewReader(gen.Snapshot())))
	span := storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: true, Snapshot: trust.Snapshot, PrevID: snap.Unit, PrevTime: snap.TimeMs}
	if err := w.Open(b.Context(), span, snap.Changes); err != nil {
		b.Fatal(err)
	}
	start := ledger.Start{Trust: trust, Held: true, Snapshot: &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	start.Known = func(_ context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids)) // each cone stands on the block of the milestone before
		for i, id := range ids {
			n, err := w.Count(b.Context(), w.Net(), ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, 0, ledger.MaxSeq)
			if err != nil {
				return nil, err
			}
			out[i] = n > 0
		}
		return out, nil
	}
	return db, n, func() int {
		c := gen.Next()
		cone := seal(b, codec, c.Head, c.Raws, start)
		cone.Net = w.Net()
		if err := w.Commit(b.Context(), []*ledger.Cone{cone}); err != nil {
			b.Fatal(err)
		}
		start.Prev, start.Snapshot = &cone.Unit, nil
		return len(cone.Records)
	}
}
