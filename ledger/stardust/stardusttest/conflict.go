package stardusttest

import (
	"permanode/ledger/stardust"
)

// conflict returns a transaction that is confirmed and not applied, for one of the reasons 1 to 12; nil
// if what it needs is not there yet.
func (n *Network) conflict() *draft {
	reason := stardust.Conflict(1 + n.rng.IntN(12))
	in, outs, s := n.broken(reason)
	if in == nil {
		return nil
	}
	return &draft{tx: n.sign(in, outs, s), reason: reason}
}

// broken returns the parts of a transaction that breaks exactly one rule. Nothing of it is spent.
func (n *Network) broken(reason stardust.Conflict) (in []coin, outs []*stardust.Output, s shape) {
	w := &n.wallet
	c := w.peek(n)
	list := map[stardust.Conflict][]coin{
		stardust.ConflictSpent: w.spentBefore, stardust.ConflictSpentHere: w.spentHere,
		stardust.ConflictTimelock: w.locked, stardust.ConflictReturn: w.lent,
	}
	if from, listed := list[reason]; listed {
		if len(from) == 0 {
			return nil, nil, s
		}
		c = from[n.rng.IntN(len(from))]
	}
	in, outs = []coin{c}, []*stardust.Output{plain(c.out.Amount, n.accounts[n.rng.IntN(accounts)].address)}
	o := outs[0]
	switch reason {
	case stardust.ConflictReturn:
		outs[0] = plain(c.out.Amount, n.accounts[c.owner].address) // and not, by chance, to the lender
	case stardust.ConflictUnknownInput:
		copy(in[0].id[:32], n.bytes(32))
	case stardust.ConflictSum:
		o.Amount--
		finish(o)
	case stardust.ConflictSignature:
		s.after = func(t *stardust.Transaction) { t.Unlocks[0].Sig[n.rng.IntN(64)] ^= 1 << n.rng.IntN(8) }
		if n.rng.IntN(2) == 0 { // a good signature by a stranger
			in[0].owner = (c.owner + 1) % accounts
			s.after = nil
		}
	case stardust.ConflictTokens:
		var id stardust.FoundryID
		copy(id[:], n.bytes(38))
		id[0] = stardust.AddressAlias
		withTokens(o, id, 1)
	case stardust.ConflictUnlock:
		other := w.peek(n)
		for try := 0; other.owner == c.owner; try++ {
			if other = w.peek(n); try > 100 {
				return nil, nil, s
			}
		}
		in = append(in, coin{id: other.id, out: other.out, kind: stardust.UnlockReference})
		o.Amount += other.out.Amount
		finish(o)
	case stardust.ConflictCommitment:
		s.before = func(t *stardust.Transaction) { t.Commitment[0] ^= 1 }
	case stardust.ConflictSender:
		withFeatures(o, stardust.Feature{Type: stardust.FeatureSender, Address: n.accounts[(c.owner+1)%accounts].address})
	case stardust.ConflictChain:
		a := n.alias(c.owner, c.owner)
		copy(a.ChainID[:], n.bytes(32))
		a.Amount = c.out.Amount
		outs[0] = finish(a)
	}
	return in, outs, s
}
