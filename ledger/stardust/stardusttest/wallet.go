package stardusttest

import (
	"crypto/ed25519"
	"math/big"
	"slices"

	"permanode/ledger/stardust"
)

// coin is an unspent output that an account can open, or a chain that an input opens.
type coin struct {
	id    stardust.OutputID
	out   *stardust.Output
	owner int // account that signs for it
	// Where an alias or nft owns it: the unlock type, and the place of the input that holds the chain.
	kind byte
	ref  int
}

// wallet is what the network's accounts own.
type wallet struct {
	free   []coin // confirmed: the chain of a cone may spend one
	beside []coin // confirmed, for blocks beside the chain: nobody else names them, whatever the order
	here   []coin // made on the chain of this cone: later blocks of the chain may spend them
	made   []coin // made beside the chain: for the next cone
	locked []coin // cannot be spent yet
	lent   []coin // a part must be returned

	leases []*lease
	bank   *object // whose tokens the leases hold
	minted bool

	spentBefore, spentHere []coin
	objects                []*object
}

func (w *wallet) begin() {
	w.spentHere = nil
	keep := len(w.free) - len(w.free)/4
	w.beside = append(w.beside, w.free[keep:]...)
	w.free = w.free[:keep]
}

func (w *wallet) confirm() {
	w.free = append(append(append(w.free, w.beside...), w.here...), w.made...)
	w.beside, w.here, w.made = nil, nil, nil
	w.spentBefore = append(w.spentBefore, w.spentHere...)
	w.spentBefore = w.spentBefore[max(0, len(w.spentBefore)-64):]
}

// take removes a coin that the chain can spend.
func (w *wallet) take(n *Network) coin {
	from := &w.free
	if len(w.here) > 0 && (len(w.free) == 0 || n.rng.IntN(3) == 0) {
		from = &w.here
	}
	c := removeAt(from, n.rng.IntN(len(*from)))
	w.spent(c)
	return c
}

// rich takes a coin of which several outputs can be made.
func (w *wallet) rich(n *Network) coin {
	for _, from := range []*[]coin{&w.free, &w.here} {
		start := n.rng.IntN(len(*from) + 1)
		for i := range *from {
			if at := (start + i) % len(*from); (*from)[at].out.Amount > 4*dust {
				c := removeAt(from, at)
				w.spent(c)
				return c
			}
		}
	}
	panic("stardusttest: the wallet is empty") // of 10^15 coins
}

func (w *wallet) spent(c coin) {
	if len(w.spentHere) < 64 {
		w.spentHere = append(w.spentHere, c)
	}
}

// peek returns a coin without spending it.
func (w *wallet) peek(n *Network) coin {
	if len(w.free) == 0 {
		return w.here[n.rng.IntN(len(w.here))]
	}
	return w.free[n.rng.IntN(len(w.free))]
}

func removeAt[T any](list *[]T, i int) T {
	l := *list
	c := l[i]
	l[i] = l[len(l)-1]
	*list = l[:len(l)-1]
	return c
}

// draft is a transaction and what becomes of it.
type draft struct {
	tx     *stardust.Transaction
	reason stardust.Conflict
}

// shape bends a transaction while it is made.
type shape struct {
	before func(*stardust.Transaction) // it is signed
	after  func(*stardust.Transaction) // it is signed and before it is hashed
	note   *stardust.TaggedData
}

// sign makes a transaction: inputs of one account share a signature.
func (n *Network) sign(in []coin, outs []*stardust.Output, s shape) *stardust.Transaction {
	t := &stardust.Transaction{NetworkID: n.networkID, Payload: s.note}
	var sums []byte
	for _, c := range in {
		t.Inputs = append(t.Inputs, c.id)
		h := stardust.H(c.out.Raw)
		sums = append(sums, h[:]...)
	}
	t.Commitment = stardust.H(sums)
	for _, o := range outs {
		t.Outputs = append(t.Outputs, *o)
	}
	if s.before != nil {
		s.before(t)
	}
	t.Signing = stardust.H(stardust.AppendTransactionEssence(nil, t))
	at := map[int]int{} // account to the place of its signature
	for i, c := range in {
		first, again := at[c.owner]
		switch {
		case c.kind != 0:
			t.Unlocks = append(t.Unlocks, stardust.Unlock{Type: c.kind, Ref: uint16(c.ref)})
		case again:
			t.Unlocks = append(t.Unlocks, stardust.Unlock{Type: stardust.UnlockReference, Ref: uint16(first)})
		default:
			at[c.owner] = i
			a := &n.accounts[c.owner]
			t.Unlocks = append(t.Unlocks, stardust.Unlock{Key: a.public, Sig: [64]byte(ed25519.Sign(a.key, t.Signing[:]))})
		}
	}
	if s.after != nil {
		s.after(t)
	}
	t.ID = stardust.H(stardust.AppendPayload(nil, t))
	return t
}

// coinOf returns the i-th output of t as a coin of an account.
func coinOf(t *stardust.Transaction, i, owner int) coin {
	return coin{id: outputID(t.ID, i), out: &t.Outputs[i], owner: owner}
}

func outputID(tx stardust.Hash, i int) (id stardust.OutputID) {
	copy(id[:], tx[:])
	id[32] = byte(i)
	return id
}

// finish sets the bytes of an output.
func finish(o *stardust.Output) *stardust.Output {
	o.Raw = stardust.AppendOutput(nil, o)
	return o
}

// plain returns a basic output with an address and nothing else.
func plain(amount uint64, to stardust.Address) *stardust.Output {
	return basic(amount, to)
}

// basic returns a basic output with further conditions, which ascend.
func basic(amount uint64, to stardust.Address, more ...stardust.Condition) *stardust.Output {
	return finish(&stardust.Output{
		Type: stardust.OutputBasic, Amount: amount,
		Conditions: append([]stardust.Condition{{Type: stardust.ConditionAddress, Address: to}}, more...),
	})
}

func withTokens(o *stardust.Output, id stardust.FoundryID, amount int64) *stardust.Output {
	o.Tokens = []stardust.NativeToken{{ID: id, Amount: big.NewInt(amount)}}
	return finish(o)
}

func withFeatures(o *stardust.Output, fs ...stardust.Feature) *stardust.Output {
	o.Features = fs
	return finish(o)
}

func sum(in []coin) (total uint64) {
	for _, c := range in {
		total += c.out.Amount
	}
	return total
}

// dust is the least that an output of ours holds: enough for the deposit of the largest.
const dust = 10_000_000

// split cuts an amount into at most count parts.
func (n *Network) split(amount uint64, count int) (parts []uint64) {
	for len(parts) < count-1 && amount > 4*dust {
		p := dust + n.rng.Uint64N(amount/2-dust)
		parts, amount = append(parts, p), amount-p
	}
	return append(parts, amount)
}

// payment pays from one or two coins to some accounts; the wallet books it at list.
func (n *Network) payment(in []coin, list *[]coin) *draft {
	count := 1 + n.rng.IntN(3)
	if n.rng.IntN(400) == 0 {
		count = 100
	}
	var outs []*stardust.Output
	var owners []int
	for _, amount := range n.split(sum(in), count) {
		to := n.rng.IntN(accounts)
		o := plain(amount, n.accounts[to].address)
		switch n.rng.IntN(12) {
		case 0:
			o = withFeatures(o, stardust.Feature{Type: stardust.FeatureMetadata, Data: n.text()})
		case 1:
			o = withFeatures(o, stardust.Feature{Type: stardust.FeatureTag, Data: n.tag(1)})
		case 2:
			o = withFeatures(o, stardust.Feature{Type: stardust.FeatureSender, Address: n.accounts[in[0].owner].address})
		}
		outs, owners = append(outs, o), append(owners, to)
	}
	var note *stardust.TaggedData
	if n.rng.IntN(2) == 0 {
		note = &stardust.TaggedData{Tag: n.tag(0), Data: n.text()}
	}
	t := n.sign(in, outs, shape{note: note})
	for i, owner := range owners {
		*list = append(*list, coinOf(t, i, owner))
	}
	return &draft{tx: t}
}

// aside returns a payment whose outcome does not depend on order, nil if there is too little to spend.
func (w *wallet) aside(n *Network) *draft {
	if len(w.beside) == 0 {
		return nil
	}
	return n.payment([]coin{removeAt(&w.beside, n.rng.IntN(len(w.beside)))}, &w.made)
}

// traffic returns a transaction for the chain.
func (n *Network) traffic() *draft {
	w := &n.wallet
	if n.opts.Leases > 0 && n.rng.IntN(100) < n.opts.Leases {
		return n.leaseStep()
	}
	switch p := n.rng.IntN(100); {
	case p < 9:
		if d := n.conflict(); d != nil {
			return d
		}
	case p < 15:
		return n.condition()
	case p < 27:
		return n.objectStep()
	}
	in := []coin{w.take(n)}
	if len(w.free) > 2*genesisCoins || n.rng.IntN(2) == 0 && len(w.free) > 1 {
		in = append(in, w.take(n))
	}
	return n.payment(in, &w.here)
}

// condition makes outputs that are bound to a time or a return, or takes one that was lent.
func (n *Network) condition() *draft {
	w := &n.wallet
	next := n.time() + second
	if len(w.lent) > 8 {
		return n.giveBack()
	}
	in := w.rich(n)
	from, to := in.owner, n.rng.IntN(accounts)
	other := (to + 1 + n.rng.IntN(accounts-1)) % accounts
	a := n.accounts[other].address
	bound := []struct {
		owner int
		list  *[]coin
		more  []stardust.Condition
	}{
		{to, &w.made, []stardust.Condition{{Type: stardust.ConditionTimelock, Time: next}}},
		{to, &w.locked, []stardust.Condition{{Type: stardust.ConditionTimelock, Time: next + 1<<30}}},
		{to, &w.made, []stardust.Condition{{Type: stardust.ConditionExpiration, Address: a, Time: next + 1<<30}}},
		{other, &w.made, []stardust.Condition{{Type: stardust.ConditionExpiration, Address: a, Time: next}}},
		{to, &w.lent, []stardust.Condition{{Type: stardust.ConditionStorageReturn, Address: a, Amount: dust}}},
		{to, &w.lent, []stardust.Condition{{Type: stardust.ConditionStorageReturn, Address: a, Amount: dust}}},
	}[n.rng.IntN(6)]
	t := n.sign([]coin{in}, []*stardust.Output{
		basic(2*dust, n.accounts[to].address, bound.more...),
		plain(in.out.Amount-2*dust, n.accounts[from].address),
	}, shape{})
	*bound.list = append(*bound.list, coinOf(t, 0, bound.owner))
	w.here = append(w.here, coinOf(t, 1, from))
	return &draft{tx: t}
}

// giveBack takes a lent output and returns what was lent.
func (n *Network) giveBack() *draft {
	w := &n.wallet
	c := removeAt(&w.lent, 0)
	back := c.out.Conditions[1]
	t := n.sign([]coin{c}, []*stardust.Output{
		plain(back.Amount, back.Address), plain(c.out.Amount-back.Amount, n.accounts[c.owner].address),
	}, shape{})
	lender := slices.IndexFunc(n.accounts, func(a account) bool { return a.address == back.Address })
	w.here = append(w.here, coinOf(t, 0, lender), coinOf(t, 1, c.owner))
	return &draft{tx: t}
}
