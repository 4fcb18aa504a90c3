package storagetest

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"slices"

	"permanode/ledger"
	"permanode/storage"
)

// Shape says what a generated network looks like. The zero Shape is a small held one that starts at 1.
type Shape struct {
	Name       string // network and identity; "" is "toy"
	Lo         uint64 // first unit; 0 is 1
	Claims     bool   // no ledger is held
	MaxRecords int    // most records in a cone; 0 is 4
	MaxPayload int    // most bytes of a payload; 0 is 100
}

// Gen makes a network's cones, one after the other, from a seed.
type Gen struct {
	shape   Shape
	rng     *rand.Rand
	state   map[string][]byte
	opening []ledger.Change
	unspent [][]byte
	recent  []ledger.ID
	prev    ledger.ID
	seq     uint64
	timeMs  int64
}

// NewGen returns a generator. The same seed and shape give the same network.
func NewGen(seed uint64, s Shape) *Gen {
	if s.Name == "" {
		s.Name = "toy"
	}
	s.Lo, s.MaxRecords, s.MaxPayload = max(s.Lo, 1), max(s.MaxRecords, 0), max(s.MaxPayload, 0)
	if s.MaxRecords == 0 {
		s.MaxRecords = 4
	}
	if s.MaxPayload == 0 {
		s.MaxPayload = 100
	}
	g := &Gen{shape: s, rng: rand.New(rand.NewPCG(seed, 7)), state: map[string][]byte{}, seq: s.Lo - 1, timeMs: 1_600_000_000_000}
	if s.Lo > 1 {
		g.prev = hashID([]byte("before"))
	}
	at := (ledger.Ord{Seq: s.Lo - 1}).Bytes()
	for i := range 20 {
		key := outputID(hashID([]byte("genesis")), i)
		out := g.output(1000 + uint32(g.rng.IntN(1000)))
		row := slices.Concat(at[:], notOrd[:], out[:])
		g.state[string(key)] = row
		g.unspent = append(g.unspent, key)
		g.opening = append(g.opening, ledger.Change{Key: key, Val: row})
	}
	g.opening = withHoldings(g.opening)
	return g
}

// Network returns the network's description.
func (g *Gen) Network() ledger.Network {
	return ledger.Network{Name: g.shape.Name, Era: Era, Identity: g.shape.Name, Trust: []byte("toy " + g.shape.Name)}
}

// Span returns how the network's first span is opened.
func (g *Gen) Span() storage.Span {
	s := storage.Span{Lo: g.shape.Lo, Hi: g.shape.Lo - 1, Held: !g.shape.Claims}
	if g.shape.Lo > 1 {
		s.PrevID, s.PrevTime = hashID([]byte("before")), 1_600_000_000_000
	}
	if s.Held {
		s.Snapshot = []string{"5f"}
	}
	return s
}

// Opening returns the starting ledger, nothing for a network by claims.
func (g *Gen) Opening() iter.Seq2[ledger.Change, error] {
	return func(yield func(ledger.Change, error) bool) {
		if g.shape.Claims {
			return
		}
		for _, c := range g.opening {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (g *Gen) output(amount uint32) (o [8]byte) {
	copy(o[:], []byte{0x00, 'a', byte(g.rng.IntN(16)), 0x00}) // owners with zero bytes, at both ends
	binary.BigEndian.PutUint32(o[4:], amount)
	return o
}

var tags = [][]byte{{}, {0}, {0, 0}, []byte("a\x00b"), []byte("a"), []byte("ab"), []byte("abc"), {0xff}, {0xff, 0xff}, []byte("INVOICE")}

// Next makes the next cone, for network number net.
func (g *Gen) Next(net ledger.NetID) *ledger.Cone {
	g.seq++
	g.timeMs += int64(g.rng.IntN(20_000)) - 5_000
	b := &builder{seq: g.seq, held: true, read: func(k []byte) []byte { return g.state[string(k)] }}
	for range g.rng.IntN(g.shape.MaxRecords + 1) {
		r := g.record(b)
		raw := r.append(g.rng.Uint64())
		_ = b.add(hashID(raw), raw, r) // a held builder judges by itself and never fails
		g.spendable(b)
	}
	u := g.unit(b)
	cone := b.cone(u)
	for _, c := range cone.Changes {
		g.state[string(c.Key)] = c.Val
	}
	if g.shape.Claims {
		cone = g.byClaims(u, b)
	}
	for i := range cone.Records {
		g.recent = append(g.recent, cone.Records[i].ID)
	}
	g.recent = g.recent[max(0, len(g.recent)-50):]
	g.prev = u.ID
	cone.Net = net
	return cone
}

// spendable keeps the outputs of the newest record for later inputs.
func (g *Gen) spendable(b *builder) {
	rec := &b.records[len(b.records)-1]
	for _, m := range rec.Moves {
		if m.Amount.Sign() > 0 {
			g.unspent = append(g.unspent, m.Output.Bytes())
		}
	}
}

// record makes a record that builds on the cone so far.
func (g *Gen) record(b *builder) *record {
	r := &record{tag: tags[g.rng.IntN(len(tags))]}
	if n := len(b.records); n > 0 {
		r.parents = append(r.parents, b.records[n-1].ID)
		if g.rng.IntN(2) == 0 {
			r.parents = append(r.parents, b.records[g.rng.IntN(n)].ID)
		}
	}
	if n := len(g.recent); n > 0 {
		r.parents = append(r.parents, g.recent[g.rng.IntN(n)])
	}
	if len(r.parents) == 0 {
		r.parents = append(r.parents, ledger.NewID(zeroRef[:]))
	}
	r.payload = make([]byte, g.rng.IntN(g.shape.MaxPayload+1))
	for b := r.payload; len(b) > 0; b = b[min(8, len(b)):] {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], g.rng.Uint64())
		copy(b, word[:])
	}
	if g.rng.IntN(10) < 6 {
		g.transfer(b, r)
	}
	return r
}

// transfer spends an output; some inputs are unknown, spent or worth too little.
func (g *Gen) transfer(b *builder, r *record) {
	var sum uint64
	i := g.rng.IntN(len(g.unspent))
	key := g.unspent[i]
	if g.rng.IntN(10) > 0 {
		g.unspent = slices.Delete(g.unspent, i, i+1)
	}
	if len(g.unspent) == 0 {
		g.unspent = append(g.unspent, key)
	}
	if row := b.row(key); row != nil {
		sum = amountOf(row)
	}
	switch g.rng.IntN(20) {
	case 0:
		key = outputID(hashID([]byte{byte(g.rng.Uint32())}), 1)
	case 1:
		sum++
	}
	r.inputs = [][]byte{key}
	if half := uint32(sum / 2); half > 0 && g.rng.IntN(2) == 0 {
		r.outs = append(r.outs, g.output(half))
		sum -= uint64(half)
	}
	r.outs = append(r.outs, g.output(uint32(sum)))
}

// unit signs what was built.
func (g *Gen) unit(b *builder) ledger.Unit {
	h := binary.BigEndian.AppendUint64([]byte{'U'}, g.seq)
	h = binary.BigEndian.AppendUint64(h, uint64(g.timeMs))
	if g.prev.IsZero() {
		h = append(h, zeroRef[:]...)
	} else {
		h = g.prev.Append(h)
	}
	if n := len(b.records); n > 0 {
		h = b.records[n-1].ID.Append(h)
	} else {
		h = append(h, zeroRef[:]...)
	}
	h = binary.BigEndian.AppendUint32(h, uint32(len(b.records)))
	h = append(h, b.root()...)
	a := auth(g.shape.Name, h)
	u, _ := Toy{}.Unit(append(h, a[:]...)) // it has the right length
	return u
}

// byClaims builds the same cone as one who holds no ledger sees it.
func (g *Gen) byClaims(u ledger.Unit, held *builder) *ledger.Cone {
	claims := &ledger.NodeClaims{Records: map[ledger.ID]ledger.Claimed{}}
	for i := range held.records {
		r := &held.records[i]
		claims.Records[r.ID] = ledger.Claimed{Referenced: u.Seq, State: r.State, Reason: r.Reason}
	}
	b := &builder{seq: u.Seq, read: func([]byte) []byte { return nil }, claims: claims}
	for i := range held.records {
		r, _ := parseRecord(held.records[i].Parts[0].Raw)
		_ = b.add(held.records[i].ID, held.records[i].Parts[0].Raw, r)
	}
	return b.cone(u)
}
