package stardust_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"runtime"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

// model is a ledger as a list of outputs: who had one, when, follows by looking at each.
type model struct {
	outputs map[string]*modelOutput
	times   map[uint64]int64 // of units, seconds
}

type modelOutput struct {
	created, spent uint64 // spent 0: never
	first, last    string // whose it is until then, and from then on
	until          int64
	amounts        map[string]*big.Int
}

func (m *model) create(seq uint64, id string, o *stardust.Output) {
	out := &modelOutput{created: seq, first: string(o.Conditions[0].Address[:]), until: math.MaxInt64, amounts: map[string]*big.Int{}}
	out.last = out.first
	for _, c := range o.Conditions {
		if c.Type == stardust.ConditionExpiration {
			out.last, out.until = string(c.Address[:]), int64(c.Time)
		}
	}
	out.amounts[""] = new(big.Int).SetUint64(o.Amount)
	for _, token := range o.Tokens {
		out.amounts[string(token.ID[:])] = token.Amount
	}
	m.outputs[id] = out
}

// newModel begins with the outputs of a genesis snapshot.
func newModel(t testing.TB, snapshot []byte) *model {
	t.Helper()
	m := &model{outputs: map[string]*modelOutput{}, times: map[uint64]int64{}}
	f, err := stardust.ReadSnapshot(bytes.NewReader(snapshot))
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range f.Outputs() {
		if err != nil {
			t.Fatal(err)
		}
		m.create(0, string(o.ID[:]), o.Output)
	}
	return m
}

// add takes a cone, whose states are right.
func (m *model) add(t testing.TB, c *ledger.Cone) {
	t.Helper()
	seq := c.Unit.Seq
	m.times[seq] = c.Unit.TimeMs / 1000
	for i := range c.Records {
		r := &c.Records[i]
		if r.State != ledger.Applied {
			continue
		}
		b, err := stardust.ParseBlock(r.Parts[0].Raw)
		if err != nil {
			t.Fatal(err)
		}
		tx := b.Payload.(*stardust.Transaction)
		for _, in := range tx.Inputs {
			m.outputs[string(in[:])].spent = seq
		}
		for k := range tx.Outputs {
			m.create(seq, string(tx.ID[:])+string([]byte{byte(k), byte(k >> 8)}), &tx.Outputs[k])
		}
	}
	head, err := stardust.ParseMilestone(stardust.Codec{}.Head(c.Unit))
	if err != nil {
		t.Fatal(err)
	}
	if head.Receipt != nil {
		for k, f := range head.Receipt.Funds {
			m.create(seq, string(head.ID[:])+string([]byte{byte(k), byte(k >> 8)}), &stardust.Output{
				Amount: f.Deposit, Conditions: []stardust.Condition{{Address: f.Address}},
			})
		}
	}
}

// at returns what everybody holds at the end of a unit and at a time: by owner, by asset.
func (m *model) at(seq uint64, time int64) map[string]map[string]*big.Int {
	out := map[string]map[string]*big.Int{}
	for _, o := range m.outputs {
		if o.created > seq || o.spent != 0 && o.spent <= seq {
			continue
		}
		owner := o.first
		if time >= o.until {
			owner = o.last
		}
		if out[owner] == nil {
			out[owner] = map[string]*big.Int{}
		}
		for asset, amount := range o.amounts {
			if out[owner][asset] == nil {
				out[owner][asset] = new(big.Int)
			}
			out[owner][asset].Add(out[owner][asset], amount)
		}
	}
	return out
}

// book is what a store answers from postings: sums and distinct keys up to a unit.
type book struct {
	sums     map[ledger.Key]ledger.Amount
	owners   map[string]bool
	expiring map[string]map[ledger.Key]bool
}

func newBook() *book {
	return &book{map[ledger.Key]ledger.Amount{}, map[string]bool{}, map[string]map[ledger.Key]bool{}}
}

func (b *book) add(c *ledger.Cone) {
	lists := [][]ledger.Posting{c.Posts}
	for i := range c.Records {
		lists = append(lists, c.Records[i].Posts)
	}
	for _, p := range slices.Concat(lists...) {
		switch p.Key.Kind {
		case ledger.KeyAddress:
			b.owners[p.Key.Val] = true
			b.sums[p.Key] = b.sums[p.Key].Add(p.Value)
		case ledger.KeyToken:
			b.sums[p.Key] = b.sums[p.Key].Add(p.Value)
		case ledger.KeyExpiry:
			owner := p.Key.Val[:33]
			if b.expiring[owner] == nil {
				b.expiring[owner] = map[ledger.Key]bool{}
			}
			b.expiring[owner][p.Key] = true
		}
	}
}

// balance is the answer: sums of postings and what stands beside them.
func (b *book) balance(t testing.TB, a *archive, owner string, seq uint64, timeMs int64) map[string]string {
	t.Helper()
	beside, err := a.codec.Beside(context.Background(), a.trust, owner, seq, timeMs, slices.Collect(maps.Keys(b.expiring[owner])),
		func(_ context.Context, keys [][]byte) ([][]byte, error) { return a.read(keys), nil })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(beside, func(a, b ledger.Holding) int { return cmp.Compare(a.Asset, b.Asset) }) {
		t.Fatalf("holdings are not in order: %v", beside)
	}
	sums := map[string]ledger.Amount{"": b.sums[ledger.Key{Kind: ledger.KeyAddress, Val: owner}]}
	for k, v := range b.sums {
		if k.Kind == ledger.KeyToken && k.Val[:33] == owner {
			sums[k.Val[33:]] = v
		}
	}
	for _, h := range beside {
		if h.Amount.Sign() == 0 {
			t.Errorf("nothing of %x stands beside", h.Asset)
		}
		sums[h.Asset] = sums[h.Asset].Add(h.Amount)
	}
	out := map[string]string{}
	for asset, v := range sums {
		if v.Sign() != 0 {
			out[asset] = v.String()
		}
	}
	return out
}

// compare holds all balances at a unit and a time against the model's, and their sum against the supply.
func (b *book) compare(t testing.TB, a *archive, m *model, seq uint64, timeMs int64) {
	t.Helper()
	want := m.at(seq, timeMs/1000)
	owners := maps.Clone(b.owners)
	for owner := range want {
		owners[owner] = true
	}
	total := new(big.Int)
	for owner := range owners {
		got := b.balance(t, a, owner, seq, timeMs)
		if len(got) != len(want[owner]) {
			t.Fatalf("unit %d, %d ms: %x holds %v, want %v", seq, timeMs, owner, got, want[owner])
		}
		for asset, amount := range want[owner] {
			if got[asset] != amount.String() {
				t.Fatalf("unit %d, %d ms: %x holds %v of %x, want %v", seq, timeMs, owner, got[asset], asset, amount)
			}
			if asset == "" {
				total.Add(total, amount)
			}
		}
	}
	_, treasury, parameters, err := stardust.Totals(a.state[string(stardust.TotalsKey(seq))], uint32(seq))
	if err != nil {
		t.Fatal(err)
	}
	p, err := stardust.ParseParameters(parameters)
	if err != nil {
		t.Fatal(err)
	}
	if total.Uint64() != p.Supply-treasury {
		t.Fatalf("unit %d, %d ms: all hold %d, the supply without treasury is %d", seq, timeMs, total, p.Supply-treasury)
	}
}

// compareAll compares at every unit and around every expiry that lies there.
func (b *book) compareAll(t testing.TB, a *archive, m *model, seq uint64) {
	t.Helper()
	now := m.times[seq] * 1000
	times := []int64{now - 1, now, now + 1, now + 30_000, 1 << 42}
	for _, o := range m.outputs {
		if o.created <= seq && (o.spent == 0 || o.spent > seq) && o.until < math.MaxUint32 && o.until > now/1000-30 && len(times) < 12 {
			times = append(times, o.until*1000-1, o.until*1000, o.until*1000+1)
		}
	}
	slices.Sort(times)
	for _, at := range slices.Compact(times) {
		b.compare(t, a, m, seq, at)
	}
}

// checkMoves holds roles and moves against the model: who consumed is who had it by then.
func (m *model) checkMoves(t testing.TB, c *ledger.Cone) (expired int) {
	t.Helper()
	for i := range c.Records {
		r := &c.Records[i]
		if r.State != ledger.Applied {
			continue
		}
		addresses, keys := roles(r, ledger.KeyAddress), roles(r, ledger.KeyExpiry)
		moved := map[string]ledger.Amount{}
		for _, mv := range r.Moves {
			moved[string(mv.Output.Bytes())+mv.Owner+mv.Asset] = mv.Amount
		}
		b, err := stardust.ParseBlock(r.Parts[0].Raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range b.Payload.(*stardust.Transaction).Inputs {
			o := m.outputs[string(in[:])]
			owner := o.first
			if m.times[c.Unit.Seq] >= o.until {
				owner = o.last
			}
			if owner != o.first {
				expired++
			}
			if addresses[owner]&ledger.RoleSpend == 0 {
				t.Errorf("record %s: %x consumes %x and has role %d", r.ID, owner, in, addresses[owner])
			}
			for _, a := range []string{o.first, o.last} {
				if want := o.first != o.last; (keys[a+string(in[:])] == ledger.RoleSpend) != want {
					t.Errorf("record %s: input %x is posted as expiring for %x: %t", r.ID, in, a, !want)
				}
			}
			for asset, amount := range o.amounts {
				got := moved[string(in[:])+owner+asset]
				if got.Big().CmpAbs(amount) != 0 || got.Sign() >= 0 {
					t.Errorf("record %s: %x of %x moves %s from %x, want -%s", r.ID, asset, in, got, owner, amount)
				}
			}
		}
	}
	return expired
}

// TestBalancesWithExpiry: at every unit, and around every expiry, what postings and the codec say of every address is
// what a walk over all outputs finds; and all together is the supply.
func TestBalancesWithExpiry(t *testing.T) {
	const length = 24
	n, a := openNetwork(t, stardusttest.Options{Seed: 31, Blocks: 40, Leases: 50}, true)
	m, b := newModel(t, n.Snapshot()), newBook()
	expired := 0
	b.compare(t, a, m, 0, 0)
	for range length {
		made := n.Next()
		a.serve(made.Raws...)
		c, err := a.add(made.Head)
		if err != nil {
			t.Fatal(err)
		}
		compareMade(t, c, made, true)
		m.add(t, c)
		b.add(c)
		b.compareAll(t, a, m, c.Unit.Seq)
		expired += m.checkMoves(t, c)
	}
	a.again(t)
	most := new(big.Int)
	tokens := 0
	for _, o := range m.outputs {
		if len(o.amounts) > 1 && o.until < math.MaxInt64 {
			tokens++
			for asset, amount := range o.amounts {
				if asset != "" && amount.Cmp(most) > 0 {
					most = amount
				}
			}
		}
	}
	if expired < 10 || tokens < 10 || most.String() != "115792089237316195423570985008687907853269984665640564039457584007913129639935" {
		t.Errorf("%d expired outputs were spent, %d hold tokens, %s at most: too few to tell", expired, tokens, most)
	}
	// Any past unit over the state as it is now.
	early := newBook()
	for _, c := range a.cones {
		early.add(c)
		early.compare(t, a, m, c.Unit.Seq, c.Unit.TimeMs)
	}
}

// TestBalancesBehindSnapshots opens in the middle, by files of all shapes.
func TestBalancesBehindSnapshots(t *testing.T) {
	const length = 20
	o := stardusttest.Options{Seed: 32, Blocks: 30, Leases: 50, History: true}
	n, whole := openNetwork(t, o, true)
	m := newModel(t, n.Snapshot())
	cones := n.Cones(length)
	for _, made := range cones {
		whole.serve(made.Raws...)
		c, err := whole.add(made.Head)
		if err != nil {
			t.Fatal(err)
		}
		m.add(t, c)
	}
	early := stardusttest.New(o)
	early.Cones(9)
	for target, files := range map[uint64][][]byte{
		7:  {n.Full(7, 30)},
		9:  {early.Full(9, 30)},
		14: {early.Full(9, 30), n.Delta(9, 14)},
		16: {n.Full(16, 30)},
	} {
		for _, most := range []uint64{1 << 19, 100} { // all in one pass, and in several
			t.Run(fmt.Sprintf("%d in passes of %d", target, most), func(t *testing.T) {
				defer stardust.SetGatheredOutputs(most)()
				a, b := newArchive(t, n.Trust()), newBook()
				var readers []io.ReadSeeker
				for _, f := range files {
					readers = append(readers, bytes.NewReader(f))
				}
				if err := a.open(readers...); err != nil {
					t.Fatal(err)
				}
				b.compareAll(t, a, m, target)
				for _, made := range cones[target:] {
					a.serve(made.Raws...)
					c, err := a.add(made.Head)
					if err != nil {
						t.Fatal(err)
					}
					b.add(c)
					b.compareAll(t, a, m, c.Unit.Seq)
				}
			})
		}
	}
}

// TestBalancesOfRecordings compares with all that a real node confirmed.
func TestBalancesOfRecordings(t *testing.T) {
	for _, name := range recordings {
		r := readRecording(t, name)
		a := r.archive(t)
		if err := a.open(bytes.NewReader(r.snapshot)); err != nil {
			t.Fatal(err)
		}
		m, b := newModel(t, r.snapshot), newBook()
		expiring := 0
		for i, line := range r.truth {
			c, err := a.add(r.heads[line.Milestone])
			if err != nil {
				t.Fatal(err)
			}
			m.add(t, c)
			b.add(c)
			m.checkMoves(t, c)
			if i%8 == 0 || i == len(r.truth)-1 {
				b.compareAll(t, a, m, c.Unit.Seq)
			}
		}
		for _, keys := range b.expiring {
			expiring += len(keys)
		}
		t.Logf("%s: %d owners, %d keys of outputs that expire", name, len(b.owners), expiring)
	}
}

// TestBesideWithoutLedger: who cannot know says so.
func TestBesideWithoutLedger(t *testing.T) {
	n, a := openNetwork(t, stardusttest.Options{Seed: 33}, false)
	made := n.Next()
	a.serve(made.Raws...)
	a.claims = func(uint64, []ledger.ID) *ledger.NodeClaims { return made.Claims() }
	if _, err := a.add(made.Head); err != nil {
		t.Fatal(err)
	}
	_, held := openNetwork(t, stardusttest.Options{Seed: 33}, true)
	delete(held.state, "A") // an archive that noted nothing of its opening
	owner := string(make([]byte, 33))
	for name, c := range map[string]struct {
		a      *archive
		seq    uint64
		keys   []ledger.Key
		owner  string
		ledger bool
	}{
		"by claims":          {a: a, seq: 1, owner: owner, ledger: true},
		"unit not there":     {a: a, seq: 7, owner: owner, ledger: true},
		"opening not noted":  {a: held, owner: owner, ledger: true},
		"no address":         {a: held, owner: owner[1:]},
		"key of another one": {a: held, owner: owner, keys: []ledger.Key{{Kind: ledger.KeyExpiry, Val: "x"}}, ledger: true},
	} {
		_, err := c.a.codec.Beside(context.Background(), c.a.trust, c.owner, c.seq, 0, c.keys,
			func(_ context.Context, keys [][]byte) ([][]byte, error) { return c.a.read(keys), nil })
		if err == nil || errors.Is(err, ledger.ErrNoLedger) != c.ledger {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, held = openNetwork(t, stardusttest.Options{Seed: 33}, true)
	read := func(_ context.Context, keys [][]byte) ([][]byte, error) { return held.read(keys), nil }
	for _, k := range []ledger.Key{
		{Kind: ledger.KeyExpiry, Val: "x"},
		{Kind: ledger.KeyToken, Val: owner + string(make([]byte, 34))},
		{Kind: ledger.KeyExpiry, Val: owner + string(make([]byte, 34))}, // named by a key, and in no row
	} {
		if _, err := held.codec.Beside(context.Background(), held.trust, owner, 0, 0, []ledger.Key{k}, read); err == nil || errors.Is(err, ledger.ErrNoLedger) {
			t.Errorf("key %q: %v", k.Val, err)
		}
	}
}

// manyOutputs returns a trust file and a full snapshot with so many outputs, each of another address.
func manyOutputs(t testing.TB, count int) (trust, file []byte) {
	t.Helper()
	p := &stardust.Parameters{
		Version: 2, Network: "many", HRP: "tst", MinPoWScore: 1, BelowMaxDepth: 15, VByteCost: 1, FactorData: 1, FactorKey: 10, Supply: uint64(count) * 1e6,
	}
	raw := stardust.AppendParameters(nil, p)
	trust, err := stardust.NewTrust(stardust.TrustSpec{Parameters: raw, KeyCount: 1, Keys: []stardust.KeyRange{{Key: stardust.Hash{1}}}})
	if err != nil {
		t.Fatal(err)
	}
	file = stardust.AppendSnapshotHeader(nil, &stardust.SnapshotHeader{
		Full: true, TargetTime: 1, Parameters: &stardust.ParameterChange{Version: 2, Params: raw}, Outputs: uint64(count), SEPs: 1,
	})
	for i := range count {
		var o stardust.SnapshotOutput
		h := stardust.H(fmt.Appendf(nil, "output %d", i))
		copy(o.ID[:], h[:])
		a := stardust.Address{}
		h = stardust.H(h[:])
		copy(a[1:], h[:])
		o.Output = &stardust.Output{Type: stardust.OutputBasic, Amount: 1e6, Conditions: []stardust.Condition{{Type: stardust.ConditionAddress, Address: a}}}
		file = stardust.AppendSnapshotOutput(file, &o)
	}
	return trust, append(file, make([]byte, 32)...)
}

// openingHeap reads a snapshot and returns the number of rows and the most bytes that were live meanwhile.
func openingHeap(t testing.TB, trust, file []byte, every int) (rows int, heap uint64) {
	t.Helper()
	tr, err := stardust.Codec{}.ParseTrust(trust)
	if err != nil {
		t.Fatal(err)
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	s, err := stardust.Codec{}.Snapshot(tr, bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Changes {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; rows%every == 0 {
			now := live()
			heap = max(heap, now-min(before, now))
		}
	}
	return rows, heap
}

// TestOpeningMemory: what is held while a snapshot is read does not grow with its outputs.
func TestOpeningMemory(t *testing.T) {
	const count, most = 30_000, 3_000
	defer stardust.SetGatheredOutputs(most)()
	trust, file := manyOutputs(t, count)
	rows, heap := openingHeap(t, trust, file, 2_900)
	if rows != 2*count+3 { // an output and a holding each, an entry point, the totals, the mark
		t.Errorf("%d rows", rows)
	}
	if heap > 300*most {
		t.Errorf("%d bytes were held at a time, for %d outputs in a pass", heap, most)
	}
}
