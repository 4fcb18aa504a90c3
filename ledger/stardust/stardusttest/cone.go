package stardusttest

import (
	"bytes"
	"encoding/binary"
	"slices"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// builder makes one cone. A chain of blocks runs through it, each naming the one before: on it order is
// certain, and only on it do blocks depend on each other. Beside it stand blocks whose outcome does not
// depend on order; where those come is found by a walk of our own.
type builder struct {
	n        *Network
	made     int
	tip      stardust.Hash // of the chain; zero at the very first
	loose    []stardust.Hash
	parents  map[stardust.Hash][]stardust.Hash // of the blocks made here
	raws     map[stardust.Hash][]byte
	outcomes map[stardust.Hash]Outcome
	created  map[stardust.Hash][]ledger.ID
	consumed map[stardust.Hash][]ledger.ID
	applied  map[stardust.Hash]*stardust.Transaction
}

// begin takes the block of the milestone before as the first of the cone.
func (n *Network) begin() *builder {
	b := &builder{
		n: n, parents: map[stardust.Hash][]stardust.Hash{}, raws: map[stardust.Hash][]byte{},
		outcomes: map[stardust.Hash]Outcome{},
		created:  map[stardust.Hash][]ledger.ID{}, consumed: map[stardust.Hash][]ledger.ID{},
		applied: map[stardust.Hash]*stardust.Transaction{},
	}
	n.wallet.begin()
	if n.block != nil {
		id := stardust.H(n.block)
		b.keep(id, n.block, nil, Outcome{State: ledger.NoTransaction})
		b.tip = id
	}
	return b
}

func (b *builder) keep(id stardust.Hash, raw []byte, parents []stardust.Hash, o Outcome) {
	b.raws[id], b.parents[id], b.outcomes[id] = raw, parents, o
}

var outcomeOfData = Outcome{State: ledger.NoTransaction}

// step adds one block: of 100 about 62 carry a transaction, as in the recordings.
func (b *builder) step() {
	n := b.n
	if n.corpus != nil {
		n.corpus.step(b)
		return
	}
	if n.rng.IntN(100) >= 62 {
		b.add(n.data(), outcomeOfData, n.rng.IntN(3) > 0)
		return
	}
	if n.rng.IntN(4) == 0 {
		if t := n.wallet.aside(n); t != nil {
			b.transaction(t, false)
			return
		}
	}
	b.transaction(n.traffic(), true)
}

// transaction adds a block with t, which also becomes the wallet's truth.
func (b *builder) transaction(t *draft, chain bool) {
	o := Outcome{State: ledger.Applied}
	if t.reason != 0 {
		o = Outcome{State: ledger.Conflicting, Reason: uint16(t.reason)}
	}
	id := b.add(t.tx, o, chain)
	if t.reason != 0 {
		return
	}
	b.applied[id] = t.tx
	for _, in := range t.tx.Inputs {
		b.consumed[id] = append(b.consumed[id], ledger.NewID(in[:]))
	}
	for i := range t.tx.Outputs {
		out := outputID(t.tx.ID, i)
		b.created[id] = append(b.created[id], ledger.NewID(out[:]))
	}
}

// add makes a block with that payload. On the chain it names the chain's tip, and some that nobody named.
func (b *builder) add(p stardust.Payload, o Outcome, chain bool) stardust.Hash {
	n := b.n
	var parents []stardust.Hash
	switch {
	case chain:
		parents = append(parents, b.tip)
		for len(b.loose) > 0 && len(parents) < 4 {
			parents, b.loose = append(parents, b.loose[0]), b.loose[1:]
		}
	case len(b.loose) > 0 && n.rng.IntN(2) == 0:
		parents = append(parents, b.loose[0], b.tip)
	default:
		parents = append(parents, b.tip)
	}
	if len(n.recent) > 0 && n.rng.IntN(3) == 0 {
		parents = append(parents, n.recent[n.rng.IntN(len(n.recent))])
	}
	parents = ascending(parents)
	raw := stardust.AppendBlock(nil, &stardust.Block{Version: 2, Parents: parents, Payload: p, Nonce: n.rng.Uint64()})
	id := stardust.H(raw)
	b.keep(id, raw, parents, o)
	b.made++
	if chain {
		b.tip = id
	} else {
		b.loose = append(b.loose, id)
	}
	return id
}

func ascending(ids []stardust.Hash) []stardust.Hash {
	slices.SortFunc(ids, func(a, b stardust.Hash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// confirm ends the cone with its milestone.
func (b *builder) confirm() *Cone {
	n := b.n
	for len(b.loose) > 7 {
		b.add(n.data(), Outcome{State: ledger.NoTransaction}, true)
	}
	parents := ascending(append([]stardust.Hash{b.tip}, b.loose...))
	c := &Cone{}
	var applied []ledger.ID
	for _, id := range b.order(parents) {
		o := b.outcomes[id]
		c.Raws, c.IDs, c.Outcomes = append(c.Raws, b.raws[id]), append(c.IDs, ledgerID(id)), append(c.Outcomes, o)
		if o.State == ledger.Applied {
			applied = append(applied, ledgerID(id))
		}
		c.Created, c.Consumed = append(c.Created, b.created[id]...), append(c.Consumed, b.consumed[id]...)
		n.recent = append(n.recent, id)
	}
	n.recent = n.recent[max(0, len(n.recent)-100):]
	m := &stardust.Milestone{
		Index: n.index, Timestamp: n.time(), Version: 2, Previous: n.previous, Parents: parents,
		Inclusion: stardust.InclusionRoot(c.IDs), Applied: stardust.InclusionRoot(applied),
		Metadata: fmtMetadata(n),
	}
	if n.index%n.opts.Receipts == 0 {
		m.Receipt = n.receipt()
	}
	if n.index == n.opts.Change {
		n.parameters.VByteCost = 150
		m.Parameters = &stardust.ParameterChange{
			Target: n.index + 5, Version: 2, Params: stardust.AppendParameters(nil, &n.parameters),
		}
	}
	c.Milestone, c.Head = m, n.Sign(m)
	var err error
	if c.Block, err = stardust.MilestoneBlock(c.Head); err != nil {
		panic(err) // the milestone is ours
	}
	if n.opts.History {
		n.history.add(n, c, b.applied)
	}
	if m.Receipt != nil {
		n.migrate(m, c)
	}
	n.previous, n.block = m.ID, c.Block
	n.wallet.confirm()
	return c
}

func fmtMetadata(n *Network) []byte {
	if n.index%5 != 0 {
		return nil
	}
	return binary.LittleEndian.AppendUint32([]byte("milestone "), n.index)
}

// order walks depth first from the milestone's parents, as TIP-2 says it: recursion in place of the
// stack of the code under test.
func (b *builder) order(parents []stardust.Hash) (out []stardust.Hash) {
	done := make(map[stardust.Hash]bool, len(b.raws))
	var visit func(id stardust.Hash)
	visit = func(id stardust.Hash) {
		if _, mine := b.raws[id]; !mine || done[id] {
			return
		}
		for _, p := range b.parents[id] {
			visit(p)
		}
		done[id] = true
		out = append(out, id)
	}
	for _, p := range parents {
		visit(p)
	}
	return out
}

// receipt migrates a few funds.
func (n *Network) receipt() *stardust.Receipt {
	r := &stardust.Receipt{MigratedAt: 1000 + n.index, Final: n.rng.IntN(2) == 0}
	left := n.treasury.Amount
	for range 1 + n.rng.IntN(5) {
		f := stardust.Fund{Address: n.accounts[n.rng.IntN(accounts)].address, Deposit: 1_000_000 + n.rng.Uint64N(1_000_000)}
		copy(f.Tail[:], n.bytes(49))
		left -= f.Deposit
		r.Funds = append(r.Funds, f)
	}
	slices.SortFunc(r.Funds, func(a, b stardust.Fund) int { return bytes.Compare(a.Tail[:], b.Tail[:]) })
	r.Treasury = stardust.TreasuryTx{Input: n.treasury.Input, Amount: left}
	return r
}

// migrate books what a receipt made.
func (n *Network) migrate(m *stardust.Milestone, c *Cone) {
	n.treasury = stardust.TreasuryTx{Input: m.ID, Amount: m.Receipt.Treasury.Amount}
	for i := range m.Receipt.Funds {
		f := &m.Receipt.Funds[i]
		id := outputID(m.ID, i)
		c.Created = append(c.Created, ledger.NewID(id[:]))
		owner := slices.IndexFunc(n.accounts, func(a account) bool { return a.address == f.Address })
		n.wallet.made = append(n.wallet.made, coin{id: id, out: plain(f.Deposit, f.Address), owner: owner})
	}
}
