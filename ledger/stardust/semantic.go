package stardust

import (
	"math/big"
	"math/bits"

	"golang.org/x/crypto/blake2b"
)

// Conflict is the reason why a confirmed transaction was not applied (spec section 9.2), 0 if it was.
type Conflict uint16

// The conflict reasons, with the numbers that nodes use.
const (
	ConflictNone         Conflict = 0
	ConflictSpent        Conflict = 1 // input spent by an earlier milestone
	ConflictSpentHere    Conflict = 2 // input spent earlier in this milestone
	ConflictUnknownInput Conflict = 3
	ConflictSum          Conflict = 4
	ConflictSignature    Conflict = 5
	ConflictTimelock     Conflict = 6
	ConflictTokens       Conflict = 7
	ConflictReturn       Conflict = 8
	ConflictUnlock       Conflict = 9
	ConflictCommitment   Conflict = 10
	ConflictSender       Conflict = 11
	ConflictChain        Conflict = 12
)

// A Consumed is an output that a transaction consumes, with the id under which the ledger holds it.
type Consumed struct {
	ID     OutputID
	Output *Output
}

// A Signer is what [Codec.Prepare] found about one unlock: the address of its key, and whether its
// signature is good for the transaction. Both are zero for unlocks of other types.
type Signer struct {
	Address Address
	Good    bool
}

// Judge decides whether t, confirmed at that time (seconds), may consume those outputs, and returns
// the first rule that it breaks in the order of nodes: rules 2 to 8 of spec section 9.2. in holds the
// outputs of t.Inputs and signers an entry for each of t.Unlocks, both in order.
func Judge(t *Transaction, in []Consumed, signers []Signer, time uint32) Conflict {
	for i := range in {
		if c := in[i].Output.condition(ConditionTimelock); c != nil && time < c.Time {
			return ConflictTimelock
		}
	}
	if commitment(in) != t.Commitment {
		return ConflictCommitment
	}
	j := judge{t: t, in: in, signers: signers, time: time}
	j.chains()
	for _, rule := range [...]func() Conflict{j.unlocks, j.senders, j.deposits, j.nativeTokens, j.transitions} {
		if c := rule(); c != ConflictNone {
			return c
		}
	}
	return ConflictNone
}

// commitment returns what the essence must commit to: the hash of the hashes of the consumed outputs.
func commitment(in []Consumed) Hash {
	var buf [8 * 32]byte
	sum := buf[:0]
	for i := range in {
		h := H(in[i].Output.Raw)
		sum = append(sum, h[:]...)
	}
	return H(sum)
}

// condition returns the unlock condition of that type, nil if o has none.
func (o *Output) condition(t byte) *Condition {
	for i := range o.Conditions {
		if o.Conditions[i].Type == t {
			return &o.Conditions[i]
		}
	}
	return nil
}

// feature returns the feature of that type in fs, nil if there is none.
func feature(fs []Feature, t byte) *Feature {
	for i := range fs {
		if fs[i].Type == t {
			return &fs[i]
		}
	}
	return nil
}

// A chainID names an alias, nft or foundry: its output type and its id.
type chainID struct {
	kind byte
	id   FoundryID // alias and nft: the first 32 bytes
}

// chain returns the chain of an output that stands under id, false for basic outputs. A zero id is
// that of the output which creates the chain: its own output id, hashed.
func (o *Output) chain(id OutputID) (c chainID, ok bool) {
	c.kind = o.Type
	switch o.Type {
	case OutputAlias, OutputNFT:
		h := o.chainHash(id)
		copy(c.id[:], h[:])
	case OutputFoundry:
		c.id = o.Foundry()
	default:
		return c, false
	}
	return c, true
}

// address returns the address that an alias or nft is.
func (c chainID) address() Address {
	if c.kind == OutputAlias {
		return chainAddress(AddressAlias, Hash(c.id[:32]))
	}
	return chainAddress(AddressNFT, Hash(c.id[:32]))
}

// chainHash returns the resolved alias or nft id of an output that stands under id.
func (o *Output) chainHash(id OutputID) Hash {
	if o.ChainID == (Hash{}) {
		return blake2b.Sum256(id[:])
	}
	return o.ChainID
}

// link is one chain on one side of a transaction.
type link struct {
	chain chainID
	out   *Output
}

func find(links []link, c chainID) *Output {
	for i := range links {
		if links[i].chain == c {
			return links[i].out
		}
	}
	return nil
}

// unlocked is an address that opened an input, with all inputs that it opened. An alias or nft is
// opened by its own input, which counts among them, as in the nodes.
type unlocked struct {
	address Address
	at      int
	inputs  [2]uint64 // bits, one for each of at most 128 inputs
}

// judge is one run of the rules.
type judge struct {
	t       *Transaction
	in      []Consumed
	signers []Signer
	time    uint32

	before, after []link // the chains among inputs and outputs
	open          []unlocked
	tokensIn      map[FoundryID]*big.Int
	tokensOut     map[FoundryID]*big.Int
}

func (j *judge) chains() {
	for i := range j.in {
		if c, ok := j.in[i].Output.chain(j.in[i].ID); ok {
			j.before = append(j.before, link{c, j.in[i].Output})
		}
	}
	for i := range j.t.Outputs {
		if c, ok := j.t.Outputs[i].chain(j.t.output(i)); ok {
			j.after = append(j.after, link{c, &j.t.Outputs[i]})
		}
	}
}

// output returns the id of the i-th output.
func (t *Transaction) output(i int) (id OutputID) {
	copy(id[:], t.ID[:])
	le.PutUint16(id[32:], uint16(i))
	return id
}

// unlocks is rule 4: each input is opened by its owner.
func (j *judge) unlocks() Conflict {
	for i := range j.in {
		owner, c := j.owner(i)
		if c == ConflictNone {
			c = j.unlock(i, owner)
		}
		if c != ConflictNone {
			return c
		}
		j.openChain(i)
	}
	return ConflictNone
}

// owner returns who must open input i at this time.
func (j *judge) owner(i int) (Address, Conflict) {
	o := j.in[i].Output
	if o.Type != OutputAlias {
		if c := o.condition(ConditionExpiration); c != nil && c.Time <= j.time {
			return c.Address, ConflictNone
		}
		return o.Conditions[0].Address, ConflictNone
	}
	controller, governor := o.Conditions[0].Address, o.Conditions[1].Address
	c, _ := o.chain(j.in[i].ID)
	switch next := find(j.after, c); {
	case next == nil, next.StateIndex == o.StateIndex:
		return governor, ConflictNone
	case next.StateIndex == o.StateIndex+1:
		return controller, ConflictNone
	}
	return Address{}, ConflictChain
}

// unlock judges the unlock of input i, which belongs to owner.
func (j *judge) unlock(i int, owner Address) Conflict {
	u, was := &j.t.Unlocks[i], j.opened(owner)
	if u.Type == UnlockSignature {
		switch {
		case owner[0] != AddressEd25519, was != nil:
			return ConflictUnlock
		case j.signers[i].Address != owner, !j.signers[i].Good:
			return ConflictSignature
		}
		j.open = append(j.open, unlocked{address: owner, at: i})
		was = &j.open[len(j.open)-1]
	} else {
		want := UnlockReference
		switch owner[0] {
		case AddressAlias:
			want = UnlockAlias
		case AddressNFT:
			want = UnlockNFT
		}
		if u.Type != want || was == nil || was.at != int(u.Ref) {
			return ConflictUnlock
		}
	}
	was.inputs[i/64] |= 1 << (i % 64)
	return ConflictNone
}

// openChain opens the address of the alias or nft that input i holds. An alias speaks only through a
// state transition.
func (j *judge) openChain(i int) {
	o := j.in[i].Output
	if o.Type != OutputAlias && o.Type != OutputNFT {
		return
	}
	c, _ := o.chain(j.in[i].ID)
	if o.Type == OutputAlias {
		if next := find(j.after, c); next == nil || next.StateIndex != o.StateIndex+1 {
			return
		}
	}
	u := unlocked{address: c.address(), at: i}
	u.inputs[i/64] |= 1 << (i % 64)
	j.open = append(j.open, u)
}

func (j *judge) opened(a Address) *unlocked {
	for i := range j.open {
		if j.open[i].address == a {
			return &j.open[i]
		}
	}
	return nil
}

// senders is rule 5: who an output names as its sender has opened an input.
func (j *judge) senders() Conflict {
	for i := range j.t.Outputs {
		f := feature(j.t.Outputs[i].Features, FeatureSender)
		if f != nil && j.opened(f.Address) == nil {
			return ConflictSender
		}
	}
	return ConflictNone
}

// deposits is rule 6: nothing is lost or made, and what was lent comes back.
func (j *judge) deposits() Conflict {
	var in, out, carry, overflow uint64
	var owed map[Address]uint64
	for i := range j.in {
		o := j.in[i].Output
		in, carry = bits.Add64(in, o.Amount, 0)
		overflow |= carry
		r := o.condition(ConditionStorageReturn)
		if r == nil {
			continue
		}
		if u := j.opened(r.Address); u != nil && u.inputs[i/64]>>(i%64)&1 == 1 {
			continue // the lender took the output itself
		}
		if owed == nil {
			owed = make(map[Address]uint64)
		}
		owed[r.Address] += r.Amount
	}
	var paid map[Address]uint64
	if owed != nil {
		paid = make(map[Address]uint64)
	}
	for i := range j.t.Outputs {
		o := &j.t.Outputs[i]
		out, carry = bits.Add64(out, o.Amount, 0)
		overflow |= carry
		plain := o.Type == OutputBasic && len(o.Conditions) == 1 && len(o.Features) == 0 && len(o.Tokens) == 0
		if owed != nil && plain {
			paid[o.Conditions[0].Address] += o.Amount
		}
	}
	if in != out || overflow != 0 {
		return ConflictSum
	}
	for a, amount := range owed {
		if back, any := paid[a]; !any || back < amount { // nodes want an output even where nothing is owed
			return ConflictReturn
		}
	}
	return ConflictNone
}

// nativeTokens is rule 7: tokens come from inputs, or from their foundry.
func (j *judge) nativeTokens() Conflict {
	for i := range j.in {
		j.tokensIn = addTokens(j.tokensIn, j.in[i].Output.Tokens)
	}
	for i := range j.t.Outputs {
		j.tokensOut = addTokens(j.tokensOut, j.t.Outputs[i].Tokens)
	}
	kinds := len(j.tokensIn)
	for id := range j.tokensOut {
		if j.tokensIn[id] == nil {
			kinds++
		}
	}
	if kinds > MaxNativeTokens {
		return ConflictTokens
	}
	for id, out := range j.tokensOut {
		if out.BitLen() > 256 {
			return ConflictTokens
		}
		in := sumOf(j.tokensIn, id)
		if in.Cmp(out) < 0 && find(j.after, chainID{OutputFoundry, id}) == nil {
			return ConflictTokens
		}
	}
	return ConflictNone
}

func addTokens(sums map[FoundryID]*big.Int, tokens []NativeToken) map[FoundryID]*big.Int {
	for _, t := range tokens {
		if sums == nil {
			sums = make(map[FoundryID]*big.Int)
		}
		if sum := sums[t.ID]; sum != nil {
			sum.Add(sum, t.Amount)
		} else {
			sums[t.ID] = new(big.Int).Set(t.Amount)
		}
	}
	return sums
}

var zero = new(big.Int)

// sumOf returns the sum of a token, 0 if there is none. Nobody changes it.
func sumOf(sums map[FoundryID]*big.Int, id FoundryID) *big.Int {
	if sum := sums[id]; sum != nil {
		return sum
	}
	return zero
}
