package stardusttest

import (
	"fmt"
	"math/big"

	"permanode/ledger/stardust"
)

// object is an alias with its foundry, or an nft, that goes through its life step by step.
type object struct {
	nft     bool
	burns   bool // tokens are burned: the foundry cannot be destroyed
	stage   int
	owner   int // state controller, or owner of the nft
	gov     int
	id      stardust.Hash
	chain   coin
	foundry coin
	tokens  coin
	money   coin // owned by the chain itself
}

func (n *Network) alias(controller, governor int) *stardust.Output {
	return finish(&stardust.Output{
		Type: stardust.OutputAlias, Amount: 2 * dust, StateData: []byte("state"),
		Conditions: []stardust.Condition{
			{Type: stardust.ConditionStateController, Address: n.accounts[controller].address},
			{Type: stardust.ConditionGovernor, Address: n.accounts[governor].address},
		},
	})
}

// chainOutput returns a copy of the object's output, to be changed and finished.
func (o *object) next() *stardust.Output {
	out := *o.chain.out
	out.ChainID = o.id
	return &out
}

func (o *object) address() (a stardust.Address) {
	a[0] = stardust.AddressAlias
	if o.nft {
		a[0] = stardust.AddressNFT
	}
	copy(a[1:], o.id[:])
	return a
}

func (o *object) token() (id stardust.FoundryID) {
	a := o.address()
	copy(id[:], a[:])
	id[33] = 1 // its first foundry
	return id
}

// objectStep moves one object on; a dozen live at a time.
func (n *Network) objectStep() *draft {
	w := &n.wallet
	if len(w.objects) < 12 {
		o := &object{nft: n.rng.IntN(2) == 0, burns: n.rng.IntN(2) == 0, owner: n.rng.IntN(accounts), gov: n.rng.IntN(accounts)}
		w.objects = append(w.objects, o)
		return n.create(o)
	}
	i := n.rng.IntN(len(w.objects))
	o := w.objects[i]
	o.stage++
	steps := n.aliasSteps(o)
	if o.nft {
		steps = n.nftSteps(o)
	}
	if o.stage == len(steps) {
		w.objects = append(w.objects[:i], w.objects[i+1:]...)
	}
	return steps[o.stage-1]()
}

// done books the coins of a step: change goes to the wallet.
func (n *Network) done(t *stardust.Transaction, change, owner int) *draft {
	n.wallet.here = append(n.wallet.here, coinOf(t, change, owner))
	return &draft{tx: t}
}

func (n *Network) create(o *object) *draft {
	in := n.wallet.rich(n)
	out := n.alias(o.owner, o.gov)
	out.Immutable = []stardust.Feature{{Type: stardust.FeatureMetadata, Data: []byte(`{"did":"0:0"}`)}}
	if o.nft {
		out = &stardust.Output{
			Type: stardust.OutputNFT, Amount: 2 * dust,
			Conditions: []stardust.Condition{{Type: stardust.ConditionAddress, Address: n.accounts[o.owner].address}},
			Immutable: []stardust.Feature{
				{Type: stardust.FeatureIssuer, Address: n.accounts[in.owner].address},
				{Type: stardust.FeatureMetadata, Data: fmt.Appendf(nil,
					`{"standard":"IRC27","version":"v1.0","type":"image/png","uri":"ipfs://x","name":"n%d"}`, n.rng.IntN(1000))},
			},
		}
	}
	t := n.sign([]coin{in}, []*stardust.Output{finish(out), plain(in.out.Amount-2*dust, n.accounts[in.owner].address)}, shape{})
	o.chain = coinOf(t, 0, o.owner)
	o.id = stardust.H(o.chain.id[:])
	return n.done(t, 1, in.owner)
}

func (n *Network) aliasSteps(o *object) []func() *draft {
	return []func() *draft{
		func() *draft { return n.mintTokens(o) },
		func() *draft { return n.passTokens(o) },
		func() *draft { return n.melt(o) },
		func() *draft { return n.payObject(o) },
		func() *draft { return n.spendThrough(o) },
		func() *draft { return n.govern(o) },
		func() *draft { return n.closeFoundry(o) },
		func() *draft { return n.destroy(o) },
	}
}

func (n *Network) nftSteps(o *object) []func() *draft {
	return []func() *draft{
		func() *draft { return n.moveNFT(o) },
		func() *draft { return n.payObject(o) },
		func() *draft { return n.spendThrough(o) },
		func() *draft { return n.destroy(o) },
	}
}

const minted = 1000

// mintTokens makes a foundry and its first tokens.
func (n *Network) mintTokens(o *object) *draft {
	in := n.wallet.rich(n)
	next := o.next()
	next.StateIndex, next.Foundries = next.StateIndex+1, 1
	foundry := finish(&stardust.Output{
		Type: stardust.OutputFoundry, Amount: dust, Serial: 1,
		Minted: big.NewInt(minted), Melted: new(big.Int), Maximum: new(big.Int).Lsh(big.NewInt(1), 255),
		Conditions: []stardust.Condition{{Type: stardust.ConditionImmutableAlias, Address: o.address()}},
		Immutable: []stardust.Feature{{
			Type: stardust.FeatureMetadata,
			Data: []byte(`{"standard":"IRC30","name":"X","symbol":"X","decimals":"6"}`),
		}},
	})
	t := n.sign([]coin{o.chain, in}, []*stardust.Output{
		finish(next), foundry, withTokens(plain(dust, n.accounts[o.owner].address), o.token(), minted),
		plain(in.out.Amount-2*dust, n.accounts[in.owner].address),
	}, shape{})
	o.chain, o.foundry, o.tokens = coinOf(t, 0, o.owner), coinOf(t, 1, o.owner), coinOf(t, 2, o.owner)
	return n.done(t, 3, in.owner)
}

// passTokens moves tokens without their foundry; some may be burned.
func (n *Network) passTokens(o *object) *draft {
	left := int64(minted)
	if o.burns {
		left -= 10
	}
	t := n.sign([]coin{o.tokens}, []*stardust.Output{withTokens(plain(dust, n.accounts[o.owner].address), o.token(), left)}, shape{})
	o.tokens = coinOf(t, 0, o.owner)
	return &draft{tx: t}
}

// throughFoundry returns the inputs and outputs of a state transition that moves the foundry, which the
// alias opens.
func (o *object) throughFoundry() (in []coin, next, foundry *stardust.Output) {
	next = o.next()
	next.StateIndex++
	f := *o.foundry.out
	opened := o.foundry
	opened.kind, opened.ref = stardust.UnlockAlias, 0
	return []coin{o.chain, opened, o.tokens}, finish(next), &f
}

func (n *Network) melt(o *object) *draft {
	in, next, foundry := o.throughFoundry()
	foundry.Melted = big.NewInt(5)
	left := o.tokens.out.Tokens[0].Amount.Int64() - 5
	t := n.sign(in, []*stardust.Output{next, finish(foundry), withTokens(plain(dust, n.accounts[o.owner].address), o.token(), left)}, shape{})
	o.chain, o.foundry, o.tokens = coinOf(t, 0, o.owner), coinOf(t, 1, o.owner), coinOf(t, 2, o.owner)
	return &draft{tx: t}
}

// payObject gives the chain's own address something.
func (n *Network) payObject(o *object) *draft {
	in := n.wallet.rich(n)
	t := n.sign([]coin{in}, []*stardust.Output{
		plain(dust, o.address()), plain(in.out.Amount-dust, n.accounts[in.owner].address),
	}, shape{})
	o.money = coinOf(t, 0, 0)
	return n.done(t, 1, in.owner)
}

// spendThrough opens what the chain owns by opening the chain. The chain is named as the sender.
func (n *Network) spendThrough(o *object) *draft {
	next := o.next()
	o.money.kind, o.money.ref = stardust.UnlockNFT, 0
	if !o.nft {
		o.money.kind = stardust.UnlockAlias
		next.StateIndex++
	}
	to := n.rng.IntN(accounts)
	t := n.sign([]coin{o.chain, o.money}, []*stardust.Output{
		finish(next),
		withFeatures(plain(dust, n.accounts[to].address), stardust.Feature{Type: stardust.FeatureSender, Address: o.address()}),
	}, shape{})
	o.chain = coinOf(t, 0, o.owner)
	return n.done(t, 1, to)
}

// govern gives an alias another controller.
func (n *Network) govern(o *object) *draft {
	next := o.next()
	o.owner = n.rng.IntN(accounts)
	next.Conditions = []stardust.Condition{
		{Type: stardust.ConditionStateController, Address: n.accounts[o.owner].address}, next.Conditions[1],
	}
	byGovernor := o.chain
	byGovernor.owner = o.gov
	t := n.sign([]coin{byGovernor}, []*stardust.Output{finish(next)}, shape{})
	o.chain = coinOf(t, 0, o.owner)
	return &draft{tx: t}
}

// closeFoundry destroys the foundry with its last tokens; where some were burned it only moves on.
func (n *Network) closeFoundry(o *object) *draft {
	in, next, foundry := o.throughFoundry()
	outs := []*stardust.Output{next, plain(2*dust, n.accounts[o.owner].address)}
	change := 1
	if o.burns {
		outs = []*stardust.Output{next, finish(foundry), plain(dust, n.accounts[o.owner].address)} // burns the rest
		change = 2
	}
	t := n.sign(in, outs, shape{})
	o.chain = coinOf(t, 0, o.owner)
	return n.done(t, change, o.owner)
}

func (n *Network) destroy(o *object) *draft {
	last := o.chain
	if !o.nft {
		last.owner = o.gov
	}
	t := n.sign([]coin{last}, []*stardust.Output{plain(last.out.Amount, n.accounts[last.owner].address)}, shape{})
	return n.done(t, 0, last.owner)
}

func (n *Network) moveNFT(o *object) *draft {
	next := o.next()
	to := n.rng.IntN(accounts)
	next.Conditions = []stardust.Condition{{Type: stardust.ConditionAddress, Address: n.accounts[to].address}}
	t := n.sign([]coin{o.chain}, []*stardust.Output{finish(next)}, shape{})
	o.owner = to
	o.chain = coinOf(t, 0, to)
	return &draft{tx: t}
}
