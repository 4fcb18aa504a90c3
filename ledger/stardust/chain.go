package stardust

import (
	"bytes"
	"math/big"
)

// transitions is rule 8: what may become of an alias, nft or foundry (spec section 9.4).
func (j *judge) transitions() Conflict {
	for _, b := range j.before {
		if next := find(j.after, b.chain); !j.follows(b.chain, b.out, next) {
			return ConflictChain
		}
	}
	for _, a := range j.after {
		if find(j.before, a.chain) == nil && !j.begins(a.chain, a.out) {
			return ConflictChain
		}
	}
	return ConflictNone
}

// begins judges the output that starts a chain.
func (j *judge) begins(c chainID, o *Output) bool {
	if o.Type == OutputFoundry {
		return j.foundryBegins(c.id, o)
	}
	issuer := feature(o.Immutable, FeatureIssuer)
	return o.ChainID == (Hash{}) && (issuer == nil || j.opened(issuer.Address) != nil)
}

// follows judges the output that continues the chain of o; next is nil where the chain ends.
func (j *judge) follows(c chainID, o, next *Output) bool {
	if next != nil && !sameFeatures(o.Immutable, next.Immutable) {
		return false
	}
	switch {
	case o.Type == OutputFoundry && next == nil:
		left := new(big.Int).Add(o.Minted, j.gained(c.id))
		return left.Cmp(o.Melted) == 0
	case o.Type == OutputFoundry:
		return j.foundryFollows(c.id, o, next)
	case o.Type == OutputAlias && next != nil:
		if next.StateIndex == o.StateIndex {
			return governed(o, next)
		}
		return j.controlled(c, o, next)
	}
	return true
}

// governed judges an alias that its governor continued.
func governed(o, next *Output) bool {
	return o.Amount == next.Amount && sameTokens(o.Tokens, next.Tokens) &&
		bytes.Equal(o.StateData, next.StateData) && o.Foundries == next.Foundries
}

// controlled judges an alias that its state controller continued.
func (j *judge) controlled(c chainID, o, next *Output) bool {
	if next.StateIndex != o.StateIndex+1 || next.Foundries < o.Foundries {
		return false
	}
	for i := range o.Conditions { // controller and governor
		if o.Conditions[i].Address != next.Conditions[i].Address {
			return false
		}
	}
	was, is := feature(o.Features, FeatureMetadata), feature(next.Features, FeatureMetadata)
	if (was == nil) != (is == nil) || was != nil && !bytes.Equal(was.Data, is.Data) {
		return false
	}
	if next.Foundries == o.Foundries {
		return true // a new foundry fails by its own serial number
	}
	self, created := c.address(), uint32(0)
	for _, a := range j.after {
		if a.out.Type == OutputFoundry && a.out.Conditions[0].Address == self && find(j.before, a.chain) == nil {
			created++
		}
	}
	return created == next.Foundries-o.Foundries
}

// foundryBegins judges a new foundry: its alias gives it the next serial number.
func (j *judge) foundryBegins(id FoundryID, o *Output) bool {
	if o.Melted.Sign() != 0 || o.Minted.Cmp(sumOf(j.tokensOut, id)) != 0 {
		return false
	}
	alias := chainID{kind: OutputAlias}
	copy(alias.id[:], id[1:33])
	was, is := find(j.before, alias), find(j.after, alias)
	if was == nil || is == nil || o.Serial <= was.Foundries || o.Serial > is.Foundries {
		return false
	}
	for _, a := range j.after { // in output order: the new ones before this one have lower serials
		if a.out == o {
			break
		}
		if a.out.Type == OutputFoundry && a.out.Conditions[0].Address == o.Conditions[0].Address &&
			find(j.before, a.chain) == nil && a.out.Serial >= o.Serial {
			return false
		}
	}
	return true
}

// foundryFollows judges a continued foundry: tokens appear by minting, and vanish by melting or burning.
func (j *judge) foundryFollows(id FoundryID, o, next *Output) bool {
	minted := new(big.Int).Sub(next.Minted, o.Minted)
	melted := new(big.Int).Sub(next.Melted, o.Melted)
	if o.Maximum.Cmp(next.Maximum) != 0 || minted.Sign() < 0 || melted.Sign() < 0 {
		return false
	}
	gained := j.gained(id)
	switch gained.Sign() {
	case 1:
		return minted.Cmp(gained) == 0 && melted.Sign() == 0
	case -1:
		return minted.Sign() == 0 && melted.CmpAbs(gained) <= 0
	}
	return minted.Sign() == 0 && melted.Sign() == 0
}

// gained returns how many tokens more there are among the outputs than among the inputs.
func (j *judge) gained(id FoundryID) *big.Int {
	return new(big.Int).Sub(sumOf(j.tokensOut, id), sumOf(j.tokensIn, id))
}

func sameTokens(a, b []NativeToken) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].Amount.Cmp(b[i].Amount) != 0 {
			return false
		}
	}
	return true
}

func sameFeatures(a, b []Feature) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || a[i].Address != b[i].Address || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}
