package rebased

import (
	"encoding/binary"
	"slices"

	"permanode/ledger"
)

// coinType returns T where t is Coin<T>.
func coinType(t *StructTag) (*TypeTag, bool) {
	if !is(t, 0x2, "coin", "Coin", 1) {
		return nil, false
	}
	return &t.Args[0], true
}

// assetOf returns the text of a coin's type T, "" for the base coin.
func assetOf(t *TypeTag) string {
	if t.Type == TypeStruct && is(t.Struct, 0x2, "iota", "IOTA", 0) {
		return ""
	}
	return t.String()
}

// balanceOf returns the asset that a coin holds, and how much of it: its contents are the id and the balance.
func balanceOf(o *Object) (asset string, balance uint64, ok bool) {
	if o.Data.Move == nil || len(o.Data.Move.Contents) != len(ObjectID{})+8 {
		return "", 0, false
	}
	t := o.Data.Move.Type.Tag()
	if of, coin := coinType(&t); coin {
		return assetOf(of), binary.LittleEndian.Uint64(o.Data.Move.Contents[len(ObjectID{}):]), true
	}
	return "", 0, false
}

// coinOf returns the coin that o is, if it is one and an address owns it.
func coinOf(o *Object) (coin, bool) {
	asset, balance, ok := balanceOf(o)
	if !ok || o.Owner.Type != OwnerAddress {
		return coin{}, false
	}
	return coin{owner: o.Owner.Address, asset: asset, balance: balance}, true
}

// movesOf returns what a transaction changed of who owns which coins, in the order of changed_objects: of each coin
// what its owner lost and what its owner gained, in one number where that is the same address. What an address had
// in a coin that a record of an unknown form wrote is not known: then nothing is said of that address, since half
// of a sum would be wrong.
func movesOf(d *decoded, coins coinView) (out []ledger.Move) {
	if coins == nil || d.effects == nil || slices.ContainsFunc(d.outputs, func(o output) bool { return o.object == nil }) {
		return nil // half of a sum would be wrong
	}
	var unknown []string // owners
	for i := range d.effects.Changed {
		c := &d.effects.Changed[i]
		var before, after coin
		var had, has bool
		if o := d.output(c.ID); o != nil {
			after, has = coinOf(o)
		}
		if c.In.Exist && c.In.Owner.Type == OwnerAddress {
			if before, had = coins(c.ID, c.In.Version); !had && (has || d.spendsCoin(c.ID)) {
				unknown = append(unknown, string(c.In.Owner.Address[:]))
				if has {
					unknown = append(unknown, string(after.owner[:]))
				}
			}
			if !had {
				continue
			}
		}
		gain, loss := ledger.Coins(after.balance), ledger.Coins(before.balance).Neg()
		if had && has && before.owner == after.owner {
			gain, loss = gain.Add(loss), ledger.Amount{}
		}
		out = appendMove(out, c.ID, before, loss)
		out = appendMove(out, c.ID, after, gain)
	}
	return slices.DeleteFunc(out, func(m ledger.Move) bool { return slices.Contains(unknown, m.Owner) })
}

// spendsCoin reports whether the transaction says that the object id, which is gone after it, was a coin: it paid
// with it, or merged it into another one. Of a transaction that cannot be read it could be any.
func (d *decoded) spendsCoin(id ObjectID) bool {
	if d.tx == nil {
		return true
	}
	if slices.ContainsFunc(d.tx.Data.Gas.Payment, func(r ObjectRef) bool { return r.ID == id }) {
		return true
	}
	p, ok := d.tx.Data.Kind.(*Programmable)
	if !ok {
		return false
	}
	for i := range p.Commands {
		c := &p.Commands[i]
		if c.Type != CmdMergeCoins && c.Type != CmdSplitCoins {
			continue
		}
		for _, a := range append([]Argument{c.Arg}, c.Args...) {
			if a.Type == ArgumentInput && int(a.Index) < len(p.Inputs) && p.Inputs[a.Index].Type != ArgPure && p.Inputs[a.Index].Ref.ID == id {
				return true
			}
		}
	}
	return false
}

func appendMove(dst []ledger.Move, id ObjectID, c coin, amount ledger.Amount) []ledger.Move {
	if amount.Sign() == 0 {
		return dst
	}
	return append(dst, ledger.Move{Owner: string(c.owner[:]), Asset: c.asset, Output: ledger.NewID(id[:]), Amount: amount})
}
