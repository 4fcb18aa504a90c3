package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// ledgerOf is an archive of a generated network, and every output that it ever had.
type ledgerOf struct {
	*query.Archive
	store   storage.Reader
	network query.Network
	trust   ledger.Trust
	times   []int64 // of units, ms; 0 is the snapshot's
	outputs map[string]*held
}

type held struct {
	out            *stardust.Output
	created, spent uint64
}

// newLedger collects units of a network whose outputs expire. The states are those that the generator knows.
func newLedger(t *testing.T, units int) *ledgerOf {
	t.Helper()
	return ledgerFrom(t, stardusttest.Options{Seed: 11, Blocks: 12, Leases: 50, Receipts: 1 << 30}, units)
}

func ledgerFrom(t *testing.T, o stardusttest.Options, units int) *ledgerOf {
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
	l := &ledgerOf{Archive: query.New(db, eras.Codec), store: db, trust: trust, outputs: map[string]*held{}}
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
	l.times = append(l.times, snap.TimeMs)
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
	l.network = must(l.Networks(t.Context()))[0]
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

func (l *ledgerOf) genesis(t *testing.T, snapshot []byte) {
	f, err := stardust.ReadSnapshot(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range f.Outputs() {
		if err != nil {
			t.Fatal(err)
		}
		l.outputs[string(o.ID[:])] = &held{out: o.Output}
	}
}

func (l *ledgerOf) take(t *testing.T, c *stardusttest.Cone) {
	seq := uint64(c.Milestone.Index)
	l.times = append(l.times, int64(c.Milestone.Timestamp)*1000)
	if receipt := c.Milestone.Receipt; receipt != nil {
		for i, f := range receipt.Funds {
			o := &stardust.Output{Amount: f.Deposit, Conditions: []stardust.Condition{{Type: stardust.ConditionAddress, Address: f.Address}}}
			l.outputs[string(c.Milestone.ID[:])+string([]byte{byte(i), 0})] = &held{out: o, created: seq}
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
			l.outputs[string(in[:])].spent = seq
		}
		for k := range tx.Outputs {
			l.outputs[string(tx.ID[:])+string([]byte{byte(k), 0})] = &held{out: &tx.Outputs[k], created: seq}
		}
	}
}

// balances looks at every output: who owns it at a time and at the end of a unit, by the rule of expiration.
func (l *ledgerOf) balances(seq uint64, ms int64) map[string]map[string]*big.Int {
	all := map[string]map[string]*big.Int{}
	for _, h := range l.outputs {
		if h.created > seq || h.spent != 0 && h.spent <= seq {
			continue
		}
		owner := h.out.Conditions[0].Address
		for _, c := range h.out.Conditions {
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
		add("", new(big.Int).SetUint64(h.out.Amount))
		for _, token := range h.out.Tokens {
			add(fmt.Sprintf("0x%x", token.ID[:]), token.Amount)
		}
	}
	return all
}

func text(b query.Balance) string { return fmt.Sprint(b.Coins, b.Tokens) }

func (l *ledgerOf) want(mine map[string]*big.Int) string {
	b := query.Balance{Coins: "0", Tokens: []query.Token{}}
	for _, asset := range slices.Sorted(maps.Keys(mine)) {
		if asset == "" {
			b.Coins = mine[asset].String()
		} else if mine[asset].Sign() != 0 {
			b.Tokens = append(b.Tokens, query.Token{ID: asset, Amount: mine[asset].String()})
		}
	}
	return text(b)
}

// Whose an output is changes with time, tokens too, and sums are exact (FR-09, FR-10).
func TestBalances(t *testing.T) {
	const units = 24
	l := newLedger(t, units)
	owners := map[string]bool{}
	for _, h := range l.outputs {
		for _, c := range h.out.Conditions {
			owners[string(c.Address[:])] = true
		}
	}
	expired, most := 0, new(big.Int)
	check := func(at query.Moment, seq uint64, ms int64) {
		t.Helper()
		want := l.balances(seq, ms)
		for owner := range owners {
			b, err := l.Balance(t.Context(), l.network, owner, at)
			if err != nil {
				t.Fatal(err)
			}
			if text(b) != l.want(want[owner]) || b.Seq != seq {
				t.Fatalf("unit %d at %d: %x has %s (unit %d), want %s", seq, ms, owner, text(b), b.Seq, l.want(want[owner]))
			}
			for _, token := range b.Tokens {
				if n, _ := new(big.Int).SetString(token.Amount, 10); n.Cmp(most) > 0 {
					most = n
				}
			}
		}
	}
	for seq := uint64(1); seq <= units; seq += 3 {
		check(query.Moment{Unit: &seq}, seq, l.times[seq])
		for _, shift := range []int64{0, 1, 9_999} {
			ms := l.times[seq] + shift
			check(query.Moment{TimeMs: &ms}, seq, ms)
		}
		if before := l.times[seq] - 1; seq > 1 {
			check(query.Moment{TimeMs: &before}, seq-1, before)
			if fmt.Sprint(l.balances(seq-1, before)) != fmt.Sprint(l.balances(seq-1, l.times[seq])) {
				expired++
			}
		}
	}
	check(query.Moment{}, units, l.times[units])
	if expired == 0 || most.BitLen() < 200 {
		t.Errorf("%d moments at which something expired, the largest amount is %v: the network tries too little", expired, most)
	}
}

// statedOf is an archive of a generated network whose records state what became of them.
type statedOf struct {
	*query.Archive
	db    *pebblestore.DB
	w     storage.Writer
	gen   *rebasedtest.Network
	codec ledger.Codec
	start ledger.Start
}

func newStated(t *testing.T, seed uint64) *statedOf {
	t.Helper()
	gen := rebasedtest.New(rebasedtest.Options{Seed: seed})
	trust := must(eras.ParseTrust(gen.Trust()))
	codec, _ := eras.Codec(trust.Era)
	db := must(pebblestore.Open(t.TempDir(), pebblestore.Options{Codec: eras.Codec, Memory: 64 << 20}))
	t.Cleanup(func() { db.Close() })
	w := must(db.Writer(t.Context(), ledger.Network{Name: "stated", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw}))
	if err := w.Open(t.Context(), storage.Span{Lo: trust.First, Hi: trust.First - 1, Held: true}, nil); err != nil {
		t.Fatal(err)
	}
	start := ledger.Start{Trust: trust, Held: true}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	return &statedOf{query.New(db, eras.Codec), db, w, gen, codec, start}
}

// next commits a unit.
func (s *statedOf) next(t *testing.T) *ledger.Cone {
	t.Helper()
	c := s.gen.Next()
	cone := seal(t, s.codec, c.Head(), c.Raws(), s.start)
	cone.Net = s.w.Net()
	if err := s.w.Commit(t.Context(), []*ledger.Cone{cone}); err != nil {
		t.Fatal(err)
	}
	s.start.Prev = &cone.Unit
	return cone
}

// owners returns all addresses that are named.
func (s *statedOf) owners(t *testing.T) (all []string) {
	t.Helper()
	for owner, err := range s.db.Keys(t.Context(), s.w.Net(), ledger.Key{Kind: ledger.KeyAddress}, "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, owner.Val)
	}
	return all
}

// Where the records state what became of them, coins are sums of postings from the first unit on.
func TestBalancesOfStated(t *testing.T) {
	s := newStated(t, 5)
	tokens := 0
	for range 20 {
		cone := s.next(t)
		n := must(s.Networks(t.Context()))[0]
		for _, owner := range s.owners(t) {
			b, err := s.Balance(t.Context(), n, owner, query.Moment{})
			address := rebased.Address([]byte(owner))
			if want := fmt.Sprint(s.gen.Balance(address, "")); err != nil || b.Coins != want || b.Seq != cone.Unit.Seq {
				t.Fatalf("%x at checkpoint %d: %+v, %v; want %s", owner, cone.Unit.Seq, b, err, want)
			}
			for _, token := range b.Tokens {
				tokens++
				if want := fmt.Sprint(s.gen.Balance(address, token.ID)); token.Amount != want {
					t.Fatalf("%x at checkpoint %d has %s of %s; want %s", owner, cone.Unit.Seq, token.Amount, token.ID, want)
				}
			}
		}
	}
	if tokens == 0 {
		t.Error("nobody had a token: the network tries too little")
	}
}

func TestNoBalance(t *testing.T) {
	l := newLedger(t, 3)
	early, opening, snapshot, later := l.times[0]-1, l.times[1]-1, uint64(0), uint64(4)
	begins := "the ledger is held from unit 1, signed at " + time.UnixMilli(l.times[1]).UTC().Format(time.RFC3339) + ", on"
	for at, why := range map[query.Moment]string{{TimeMs: &early}: begins, {TimeMs: &opening}: begins, {Unit: &snapshot}: begins, {Unit: &later}: "held are units 1-3"} {
		var unknown *query.NoBalanceError
		if _, err := l.Balance(t.Context(), l.network, strings.Repeat("\x00", 33), at); !errors.As(err, &unknown) || !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), why) {
			t.Errorf("%v; want %s", err, why)
		}
	}
	gaps := newMemory()
	gaps.add("a", []storage.Span{{Lo: 1, Hi: 3}, {Lo: 6, Hi: 8}}, nil)
	a := query.New(gaps, codecs)
	n := must(a.Networks(t.Context()))[0]
	between := toyCone(1, 3).Unit.TimeMs + 500
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{TimeMs: &between}); !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "units 4-5 are missing") {
		t.Errorf("at a gap: %v", err)
	}
	held := toyCone(1, 2).Unit.TimeMs
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{TimeMs: &held}); !errors.Is(err, ledger.ErrNoLedger) {
		t.Errorf("without a ledger: %v", err)
	}
}

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-24": "2026-11-24T23:59:59.999Z", "2026": "2026-12-31T23:59:59.999Z", "2026-11-24T12:00:00+01:00": "2026-11-24T11:00:00Z",
	} {
		at, err := query.ParseMoment(text)
		if err != nil || at.TimeMs == nil || time.UnixMilli(*at.TimeMs).UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %+v, %v; want %s", text, at, err, want)
		}
	}
	if at, err := query.ParseMoment("unit:81"); err != nil || *at.Unit != 81 {
		t.Errorf("%+v, %v", at, err)
	}
	if at, err := query.ParseMoment(""); err != nil || at != (query.Moment{}) {
		t.Errorf("%+v, %v", at, err)
	}
	for _, bad := range []string{"unit:", "unit:x", "81", "yesterday", "2026-02-30", "unit:01"} {
		if at, err := query.ParseMoment(bad); err == nil {
			t.Errorf("%s is %+v", bad, at)
		}
	}
}

// The page of an address: what it holds at a moment, and its history both ways.
func TestAddressRoute(t *testing.T) {
	l := newLedger(t, 12)
	h := handler(l.Archive)
	codec := l.network.Codec
	var owner string
	for o, mine := range l.balances(12, l.times[12]) {
		if len(mine) > 1 {
			owner = o
		}
	}
	address := codec.FormatOwner(owner, l.trust)
	type page struct {
		Balances []query.Balance
		Items    []query.Item
		Total    query.Total
		Complete bool
	}
	read := func(url string) (p page) {
		t.Helper()
		got := get(t, h, url)
		if err := json.Unmarshal(got.body, &p); err != nil || got.status != 200 {
			t.Fatalf("%s: %d %s", url, got.status, got.body)
		}
		return p
	}
	newest := read("/v1/addresses/" + address + "?limit=1000")
	if len(newest.Balances) != 1 || text(newest.Balances[0]) != l.want(l.balances(12, l.times[12])[owner]) || newest.Balances[0].Address != address {
		t.Errorf("%+v", newest.Balances)
	}
	if len(newest.Items) == 0 || uint64(len(newest.Items)) != newest.Total.Value || !newest.Complete || newest.Items[0].As != "address" || len(newest.Items[0].Roles) == 0 {
		t.Errorf("%d items of %+v", len(newest.Items), newest.Total)
	}
	oldest := read("/v1/addresses/" + strings.ToUpper(address) + "?order=oldest&limit=1000")
	slices.Reverse(oldest.Items)
	if asJSON(oldest.Items) != asJSON(newest.Items) {
		t.Errorf("the history is not the same both ways")
	}
	at := time.UnixMilli(l.times[5]).UTC().Format(time.RFC3339)
	if past := read("/v1/addresses/" + address + "?at=" + at); past.Balances[0].Seq != 5 || past.Balances[0].Time != at || text(past.Balances[0]) != l.want(l.balances(5, l.times[5])[owner]) {
		t.Errorf("%+v", past.Balances)
	}
	none := get(t, h, "/v1/addresses/"+address+"?at=2020")
	if !strings.Contains(string(none.body), `"coins":null`) || !strings.Contains(string(none.body), "2020-12-31T23:59:59.999Z lies before all that is held") {
		t.Errorf("%s", none.body)
	}
}
