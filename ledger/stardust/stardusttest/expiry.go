package stardusttest

import (
	"math/big"

	"permanode/ledger/stardust"
)

// lease is an output that time moves from one account to another.
type lease struct {
	coin        coin
	first, last int
	until       uint32
	back        bool // a part must be returned while the first one has it
}

// owner returns which account can open the lease in the cone being made.
func (l *lease) owner(n *Network) int {
	if l.until <= n.time() {
		return l.last
	}
	return l.first
}

// bind gives o the conditions of a lease: some end within the next milestones, a few ended long ago, or never will.
func (n *Network) bind(o *stardust.Output) *lease {
	l := &lease{first: n.rng.IntN(accounts), last: n.rng.IntN(accounts), until: n.time() + n.opts.Interval*uint32(n.rng.IntN(6))}
	if n.opts.Uneven {
		l.until += n.rng.Uint32N(n.opts.Interval)
	}
	switch n.rng.IntN(12) {
	case 0:
		l.until = 1
	case 1:
		l.until = 1<<32 - 1
	case 2:
		l.last = l.first
	}
	a := n.accounts[l.last].address
	o.Conditions = []stardust.Condition{{Type: stardust.ConditionAddress, Address: n.accounts[l.first].address}}
	if l.back = n.rng.IntN(3) == 0; l.back {
		o.Conditions = append(o.Conditions, stardust.Condition{Type: stardust.ConditionStorageReturn, Address: a, Amount: dust})
	}
	o.Conditions = append(o.Conditions, stardust.Condition{Type: stardust.ConditionExpiration, Address: a, Time: l.until})
	finish(o)
	return l
}

// leaseStep makes a lease, or takes one: whoever has it by then.
func (n *Network) leaseStep() *draft {
	w := &n.wallet
	switch {
	case w.bank == nil:
		w.bank = &object{owner: n.rng.IntN(accounts), gov: n.rng.IntN(accounts)}
		return n.create(w.bank)
	case !w.minted:
		w.minted = true
		return n.mintAll(w.bank)
	case len(w.leases) > 30 || len(w.leases) > 0 && n.rng.IntN(2) == 0:
		return n.takeLease(removeAt(&w.leases, n.rng.IntN(len(w.leases))))
	}
	in := w.rich(n)
	o := &stardust.Output{Type: stardust.OutputBasic, Amount: 2 * dust}
	if n.rng.IntN(4) == 0 {
		o.Type = stardust.OutputNFT
	}
	l := n.bind(o)
	t := n.sign([]coin{in}, []*stardust.Output{o, plain(in.out.Amount-2*dust, n.accounts[in.owner].address)}, shape{})
	n.keep(l, coinOf(t, 0, 0))
	return n.done(t, 1, in.owner)
}

func (n *Network) keep(l *lease, c coin) {
	l.coin = c
	n.wallet.leases = append(n.wallet.leases, l)
}

// mintAll makes as many tokens as there can be, 2^256-1, in one lease.
func (n *Network) mintAll(o *object) *draft {
	in := n.wallet.rich(n)
	next := o.next()
	next.StateIndex, next.Foundries = next.StateIndex+1, 1
	all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	foundry := finish(&stardust.Output{
		Type: stardust.OutputFoundry, Amount: dust, Serial: 1, Minted: all, Melted: new(big.Int), Maximum: all,
		Conditions: []stardust.Condition{{Type: stardust.ConditionImmutableAlias, Address: o.address()}},
	})
	held := &stardust.Output{Type: stardust.OutputBasic, Amount: 2 * dust, Tokens: []stardust.NativeToken{{ID: o.token(), Amount: all}}}
	l := n.bind(held)
	t := n.sign([]coin{o.chain, in}, []*stardust.Output{
		finish(next), foundry, held, plain(in.out.Amount-3*dust, n.accounts[in.owner].address),
	}, shape{})
	o.chain = coinOf(t, 0, o.owner)
	n.keep(l, coinOf(t, 2, 0))
	return n.done(t, 3, in.owner)
}

// takeLease consumes a lease. Tokens go on in two others, an nft in one or in none.
func (n *Network) takeLease(l *lease) *draft {
	c, in := l.coin, n.wallet.rich(n)
	c.owner = l.owner(n)
	left := c.out.Amount + in.out.Amount
	var outs []*stardust.Output
	if l.back && c.owner != l.last {
		outs, left = append(outs, plain(dust, n.accounts[l.last].address)), left-dust
	}
	var next []*lease
	for _, o := range n.goOn(c) {
		next, outs, left = append(next, n.bind(o)), append(outs, o), left-o.Amount
	}
	t := n.sign([]coin{c, in}, append(outs, plain(left, n.accounts[in.owner].address)), shape{})
	for i, l := range next {
		n.keep(l, coinOf(t, len(outs)-len(next)+i, 0))
	}
	return n.done(t, len(outs), in.owner)
}

// goOn returns what follows the output of a lease, without conditions.
func (n *Network) goOn(c coin) (outs []*stardust.Output) {
	switch {
	case c.out.Type == stardust.OutputNFT && n.rng.IntN(2) == 0:
		id := c.out.ChainID
		if id == (stardust.Hash{}) {
			id = stardust.H(c.id[:])
		}
		return []*stardust.Output{{Type: stardust.OutputNFT, Amount: 2 * dust, ChainID: id}}
	case len(c.out.Tokens) > 0:
		rest := new(big.Int).Set(c.out.Tokens[0].Amount)
		part := new(big.Int).Rsh(rest, uint(1+n.rng.IntN(100)))
		if rest.Sub(rest, part); part.Sign() == 0 {
			part, rest = rest, part
		}
		for _, amount := range []*big.Int{part, rest} {
			if amount.Sign() > 0 {
				outs = append(outs, &stardust.Output{
					Type: stardust.OutputBasic, Amount: 2 * dust,
					Tokens: []stardust.NativeToken{{ID: c.out.Tokens[0].ID, Amount: amount}},
				})
			}
		}
	}
	return outs
}
