package stardust_test

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"permanode/ledger/stardust"
)

// Addresses of a table: Ed25519 ones by letter, chains by the letter of their id.
func ed(c byte) stardust.Address    { return stardust.Address{0, c} }
func alias(c byte) stardust.Address { return stardust.Address{8, c} }
func nft(c byte) stardust.Address   { return stardust.Address{16, c} }

type out = stardust.Output

func basicOut(amount uint64, to stardust.Address, more ...stardust.Condition) out {
	return out{Type: stardust.OutputBasic, Amount: amount, Conditions: append([]stardust.Condition{{Address: to}}, more...)}
}

func aliasOut(id byte, index uint32, controller, governor stardust.Address) out {
	return out{Type: stardust.OutputAlias, Amount: 10, ChainID: stardust.Hash{id}, StateIndex: index, Conditions: []stardust.Condition{
		{Type: stardust.ConditionStateController, Address: controller}, {Type: stardust.ConditionGovernor, Address: governor},
	}}
}

func nftOut(id byte, to stardust.Address) out {
	return out{Type: stardust.OutputNFT, Amount: 10, ChainID: stardust.Hash{id}, Conditions: []stardust.Condition{{Address: to}}}
}

func foundryOut(id byte, serial uint32, minted, melted int64) out {
	return out{
		Type: stardust.OutputFoundry, Amount: 10, Serial: serial, Minted: big.NewInt(minted), Melted: big.NewInt(melted), Maximum: big.NewInt(1000),
		Conditions: []stardust.Condition{{Type: stardust.ConditionImmutableAlias, Address: alias(id)}},
	}
}

func tokenID(id byte, serial uint32) (f stardust.FoundryID) {
	a := alias(id)
	copy(f[:], a[:])
	f[33] = byte(serial)
	return f
}

func withToken(o out, id byte, amount int64) out {
	o.Tokens = []stardust.NativeToken{{ID: tokenID(id, 1), Amount: big.NewInt(amount)}}
	return o
}

func change(o out, f func(*out)) out {
	f(&o)
	return o
}

func sender(o out, a stardust.Address) out {
	o.Features = append(o.Features, stardust.Feature{Type: stardust.FeatureSender, Address: a})
	return o
}

// An unlock of a table: s and a letter for a signature by that owner, r a n and a place for references.
func unlock(s string) (stardust.Unlock, stardust.Signer) {
	switch s[0] {
	case 's':
		return stardust.Unlock{Type: stardust.UnlockSignature}, stardust.Signer{Address: ed(s[1]), Good: true}
	case 'b': // the right key, a bad signature
		return stardust.Unlock{Type: stardust.UnlockSignature}, stardust.Signer{Address: ed(s[1])}
	case 'r':
		return stardust.Unlock{Type: stardust.UnlockReference, Ref: uint16(s[1] - '0')}, stardust.Signer{}
	case 'a':
		return stardust.Unlock{Type: stardust.UnlockAlias, Ref: uint16(s[1] - '0')}, stardust.Signer{}
	}
	return stardust.Unlock{Type: stardust.UnlockNFT, Ref: uint16(s[1] - '0')}, stardust.Signer{}
}

type outs []out

// judge decides a transaction of a table, confirmed at time 1000.
func judge(in, after outs, unlocks []string) stardust.Conflict {
	t := &stardust.Transaction{ID: stardust.Hash{0xee}, Outputs: after}
	var consumed []stardust.Consumed
	var sums []byte
	for i := range in {
		o := &in[i]
		o.Raw = stardust.AppendOutput(nil, o)
		h := stardust.H(o.Raw)
		sums = append(sums, h[:]...)
		consumed = append(consumed, stardust.Consumed{ID: stardust.OutputID{0xcc, byte(i)}, Output: o})
	}
	t.Commitment = stardust.H(sums)
	var signers []stardust.Signer
	for _, s := range unlocks {
		u, signer := unlock(s)
		t.Unlocks, signers = append(t.Unlocks, u), append(signers, signer)
	}
	return stardust.Judge(t, consumed, signers, 1000)
}

const ok = stardust.ConflictNone

// TestJudge goes through the rules of spec section 9 one by one: for each what keeps it and what breaks
// it, at the limits.
func TestJudge(t *testing.T) {
	ret := func(a stardust.Address, amount uint64) stardust.Condition {
		return stardust.Condition{Type: stardust.ConditionStorageReturn, Address: a, Amount: amount}
	}
	lock := func(at uint32) stardust.Condition {
		return stardust.Condition{Type: stardust.ConditionTimelock, Time: at}
	}
	expire := func(a stardust.Address, at uint32) stardust.Condition {
		return stardust.Condition{Type: stardust.ConditionExpiration, Address: a, Time: at}
	}
	issuer := func(o out, a stardust.Address) out {
		o.Immutable = []stardust.Feature{{Type: stardust.FeatureIssuer, Address: a}}
		return o
	}
	pay := outs{basicOut(10, ed('Z'))}
	pay20 := outs{basicOut(20, ed('Z'))}
	for _, c := range []struct {
		name    string
		in      outs
		unlocks []string
		out     outs
		want    stardust.Conflict
	}{
		{"payment", outs{basicOut(10, ed('A'))}, []string{"sA"}, pay, ok},
		{"payment, other key", outs{basicOut(10, ed('A'))}, []string{"sB"}, pay, stardust.ConflictSignature},
		{"payment, bad signature", outs{basicOut(10, ed('A'))}, []string{"bA"}, pay, stardust.ConflictSignature},
		{"two of one owner", outs{basicOut(10, ed('A')), basicOut(10, ed('A'))}, []string{"sA", "r0"}, pay20, ok},
		{"two of one owner, two signatures", outs{basicOut(10, ed('A')), basicOut(10, ed('A'))}, []string{"sA", "sA"}, pay20, stardust.ConflictUnlock},
		{"two owners, one reference", outs{basicOut(10, ed('A')), basicOut(10, ed('B'))}, []string{"sA", "r0"}, pay20, stardust.ConflictUnlock},
		{"reference to a later signature of that owner", outs{basicOut(5, ed('B')), basicOut(5, ed('A')), basicOut(10, ed('A'))}, []string{"sB", "sA", "r1"}, pay20, ok},
		{"reference to another place", outs{basicOut(5, ed('B')), basicOut(5, ed('A')), basicOut(10, ed('A'))}, []string{"sB", "sA", "r0"}, pay20, stardust.ConflictUnlock},

		{"timelock reached", outs{basicOut(10, ed('A'), lock(1000))}, []string{"sA"}, pay, ok},
		{"timelock ahead", outs{basicOut(10, ed('A'), lock(1001))}, []string{"sA"}, pay, stardust.ConflictTimelock},
		{"timelock comes before signatures", outs{basicOut(10, ed('A')), basicOut(10, ed('A'), lock(1001))}, []string{"sB", "sB"}, pay, stardust.ConflictTimelock},
		{"not expired", outs{basicOut(10, ed('A'), expire(ed('B'), 1001))}, []string{"sA"}, pay, ok},
		{"not expired, return address", outs{basicOut(10, ed('A'), expire(ed('B'), 1001))}, []string{"sB"}, pay, stardust.ConflictSignature},
		{"expired", outs{basicOut(10, ed('A'), expire(ed('B'), 1000))}, []string{"sB"}, pay, ok},
		{"expired, old owner", outs{basicOut(10, ed('A'), expire(ed('B'), 1000))}, []string{"sA"}, pay, stardust.ConflictSignature},
		{"expired nft", outs{change(nftOut('N', ed('A')), func(o *out) { o.Conditions = append(o.Conditions, expire(ed('B'), 999)) })}, []string{"sB"}, pay, ok},

		{"sum too small", outs{basicOut(11, ed('A'))}, []string{"sA"}, pay, stardust.ConflictSum},
		{"sum too large", outs{basicOut(9, ed('A'))}, []string{"sA"}, pay, stardust.ConflictSum},
		{"sum that wraps", outs{basicOut(1<<63, ed('A')), basicOut(1<<63, ed('A')), basicOut(10, ed('A'))}, []string{"sA", "r0", "r0"}, pay, stardust.ConflictSum},

		{"returned", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, outs{basicOut(6, ed('A')), basicOut(4, ed('B'))}, ok},
		{"returned more", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, outs{basicOut(10, ed('B'))}, ok},
		{"returned too little", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, outs{basicOut(7, ed('A')), basicOut(3, ed('B'))}, stardust.ConflictReturn},
		{"not returned", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, pay, stardust.ConflictReturn},
		{"returned with a condition", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, outs{basicOut(6, ed('A')), basicOut(4, ed('B'), lock(1))}, stardust.ConflictReturn},
		{"returned with a feature", outs{basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, outs{basicOut(6, ed('A')), sender(basicOut(4, ed('B')), ed('A'))}, stardust.ConflictReturn},
		{"returned with an nft", outs{basicOut(10, ed('A'), ret(ed('B'), 10))}, []string{"sA"}, outs{nftOut(0, ed('B'))}, stardust.ConflictReturn},
		{"two returns add up", outs{basicOut(10, ed('A'), ret(ed('B'), 4)), basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA", "r0"}, outs{basicOut(13, ed('A')), basicOut(7, ed('B'))}, stardust.ConflictReturn},
		{"two returns in two outputs", outs{basicOut(10, ed('A'), ret(ed('B'), 4)), basicOut(10, ed('A'), ret(ed('B'), 4))}, []string{"sA", "r0"}, outs{basicOut(12, ed('A')), basicOut(4, ed('B')), basicOut(4, ed('B'))}, ok},
		{"a return of nothing needs an output", outs{basicOut(10, ed('A'), ret(ed('B'), 0))}, []string{"sA"}, pay, stardust.ConflictReturn}, // as nodes have it
		{"a return of nothing", outs{basicOut(10, ed('A'), ret(ed('Z'), 0))}, []string{"sA"}, pay, ok},
		{"an nft that lends to itself owes nothing", outs{change(nftOut('N', ed('A')), func(o *out) { o.Conditions = append(o.Conditions, ret(nft('N'), 4)) })}, []string{"sA"}, pay, ok},
		{"the lender takes it after it expired", outs{basicOut(10, ed('A'), ret(ed('B'), 4), expire(ed('B'), 1000))}, []string{"sB"}, pay, ok},
		{"another input of the lender is no excuse", outs{basicOut(10, ed('A'), ret(ed('B'), 4)), basicOut(10, ed('B'))}, []string{"sA", "sB"}, pay20, stardust.ConflictReturn},
		{"sums come before returns", outs{basicOut(11, ed('A'), ret(ed('B'), 4))}, []string{"sA"}, pay, stardust.ConflictSum},

		{"sender signed", outs{basicOut(10, ed('A'))}, []string{"sA"}, outs{sender(basicOut(10, ed('Z')), ed('A'))}, ok},
		{"sender did not sign", outs{basicOut(10, ed('A'))}, []string{"sA"}, outs{sender(basicOut(10, ed('Z')), ed('B'))}, stardust.ConflictSender},
		{"sender is an nft that moves", outs{nftOut('N', ed('A'))}, []string{"sA"}, outs{sender(nftOut('N', ed('B')), nft('N'))}, ok},
		{"sender is an nft that is destroyed", outs{nftOut('N', ed('A'))}, []string{"sA"}, outs{sender(basicOut(10, ed('Z')), nft('N'))}, ok},
		{"sender is an alias in transition", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{sender(aliasOut('L', 2, ed('A'), ed('B')), alias('L'))}, ok},
		{"sender is a governed alias", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{sender(aliasOut('L', 1, ed('A'), ed('B')), alias('L'))}, stardust.ConflictSender},
		{"senders come before sums", outs{basicOut(11, ed('A'))}, []string{"sA"}, outs{sender(basicOut(10, ed('Z')), ed('B'))}, stardust.ConflictSender},

		{"owned by an nft", outs{nftOut('N', ed('A')), basicOut(10, nft('N'))}, []string{"sA", "n0"}, outs{nftOut('N', ed('A')), basicOut(10, ed('Z'))}, ok},
		{"owned by an nft, opened before it", outs{basicOut(10, nft('N')), nftOut('N', ed('A'))}, []string{"n1", "sA"}, pay20, stardust.ConflictUnlock},
		{"owned by an nft, a signature", outs{nftOut('N', ed('A')), basicOut(10, nft('N'))}, []string{"sA", "sA"}, pay20, stardust.ConflictUnlock},
		{"owned by an nft, a reference", outs{nftOut('N', ed('A')), basicOut(10, nft('N'))}, []string{"sA", "r0"}, pay20, stardust.ConflictUnlock},
		{"owned by an nft, an alias unlock", outs{nftOut('N', ed('A')), basicOut(10, nft('N'))}, []string{"sA", "a0"}, pay20, stardust.ConflictUnlock},
		{"owned by a key, an nft unlock", outs{nftOut('N', ed('A')), basicOut(10, ed('A'))}, []string{"sA", "n0"}, pay20, stardust.ConflictUnlock},
		{"owned by a new nft, whose id follows", outs{nftOut(0, ed('A')), basicOut(10, firstNFT())}, []string{"sA", "n0"}, pay20, ok},
		{"nft owned by an alias owned by a key", outs{aliasOut('L', 1, ed('A'), ed('B')), nftOut('N', alias('L')), basicOut(10, nft('N'))}, []string{"sA", "a0", "n1"}, outs{aliasOut('L', 2, ed('A'), ed('B')), basicOut(20, ed('Z'))}, ok},
		{"owned by an alias that is governed", outs{aliasOut('L', 1, ed('A'), ed('B')), basicOut(10, alias('L'))}, []string{"sB", "a0"}, outs{aliasOut('L', 1, ed('A'), ed('B')), basicOut(10, ed('Z'))}, stardust.ConflictUnlock},
		{"owned by an alias that is destroyed", outs{aliasOut('L', 1, ed('A'), ed('B')), basicOut(10, alias('L'))}, []string{"sB", "a0"}, pay20, stardust.ConflictUnlock},

		{"alias transition by the governor", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{aliasOut('L', 2, ed('A'), ed('B'))}, stardust.ConflictSignature},
		{"alias governed by the controller", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{aliasOut('L', 1, ed('C'), ed('B'))}, stardust.ConflictSignature},
		{"alias governed", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{aliasOut('L', 1, ed('C'), ed('D'))}, ok},
		{"alias destroyed by its controller", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, pay, stardust.ConflictSignature},
		{"alias destroyed", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, pay, ok},
		{"state index jumps", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{aliasOut('L', 3, ed('A'), ed('B'))}, stardust.ConflictChain},
		{"state index falls", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{aliasOut('L', 0, ed('A'), ed('B'))}, stardust.ConflictChain},
		{"state index comes before signatures", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"bC"}, outs{aliasOut('L', 3, ed('A'), ed('B'))}, stardust.ConflictChain},
		{"controller changes the governor", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{aliasOut('L', 2, ed('A'), ed('C'))}, stardust.ConflictChain},
		{"controller changes the controller", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{aliasOut('L', 2, ed('C'), ed('B'))}, stardust.ConflictChain},
		{"controller changes the state", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{change(aliasOut('L', 2, ed('A'), ed('B')), func(o *out) { o.StateData = []byte("x") })}, ok},
		{"governor changes the state", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{change(aliasOut('L', 1, ed('A'), ed('B')), func(o *out) { o.StateData = []byte("x") })}, stardust.ConflictChain},
		{"governor changes the amount", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{change(aliasOut('L', 1, ed('A'), ed('B')), func(o *out) { o.Amount = 5 }), basicOut(5, ed('Z'))}, stardust.ConflictChain},
		{"governor changes the counter", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{change(aliasOut('L', 1, ed('A'), ed('B')), func(o *out) { o.Foundries = 1 })}, stardust.ConflictChain},
		{"controller changes metadata", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sA"}, outs{metadata(aliasOut('L', 2, ed('A'), ed('B')), "x")}, stardust.ConflictChain},
		{"governor changes metadata", outs{aliasOut('L', 1, ed('A'), ed('B'))}, []string{"sB"}, outs{metadata(aliasOut('L', 1, ed('A'), ed('B')), "x")}, ok},
		{"immutable features change", outs{issuer(nftOut('N', ed('A')), ed('A'))}, []string{"sA"}, outs{issuer(nftOut('N', ed('A')), ed('B'))}, stardust.ConflictChain},
		{"new nft of an issuer", outs{basicOut(10, ed('A'))}, []string{"sA"}, outs{issuer(nftOut(0, ed('Z')), ed('A'))}, ok},
		{"new nft of a stranger", outs{basicOut(10, ed('A'))}, []string{"sA"}, outs{issuer(nftOut(0, ed('Z')), ed('B'))}, stardust.ConflictChain},
		{"an nft from nowhere", outs{basicOut(10, ed('A'))}, []string{"sA"}, outs{nftOut('N', ed('Z'))}, stardust.ConflictChain},
		{"a moved nft needs no issuer", outs{issuer(nftOut('N', ed('A')), ed('B'))}, []string{"sA"}, outs{issuer(nftOut('N', ed('Z')), ed('B'))}, ok},
	} {
		if got := judge(c.in, c.out, c.unlocks); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func metadata(o out, text string) out {
	o.Features = append(o.Features, stardust.Feature{Type: stardust.FeatureMetadata, Data: []byte(text)})
	return o
}

// firstNFT is the address of the nft that the first input of a table creates.
func firstNFT() (a stardust.Address) {
	id := stardust.OutputID{0xcc, 0}
	h := stardust.H(id[:])
	a[0] = stardust.AddressNFT
	copy(a[1:], h[:])
	return a
}

// TestJudgeTokens: foundries and what they make. The alias L opens them.
func TestJudgeTokens(t *testing.T) {
	counted := func(index, foundries uint32) out {
		o := aliasOut('L', index, ed('A'), ed('B'))
		o.Foundries = foundries
		return o
	}
	held := func(amount int64) out { return withToken(basicOut(10, ed('A')), 'L', amount) }
	bare := basicOut(10, ed('A'))
	f := func(minted, melted int64) out { return foundryOut('L', 1, minted, melted) }
	grown := func(o out) out { o.Maximum = big.NewInt(1001); return o }
	through := []string{"sA", "a0", "r0"}
	for _, c := range []struct {
		name    string
		in      outs
		unlocks []string
		out     outs
		want    stardust.Conflict
	}{
		{"tokens move", outs{held(7)}, []string{"sA"}, outs{held(7)}, ok},
		{"tokens burn", outs{held(7)}, []string{"sA"}, outs{held(3)}, ok},
		{"all burn", outs{held(7)}, []string{"sA"}, outs{bare}, ok},
		{"tokens grow", outs{held(7)}, []string{"sA"}, outs{held(8)}, stardust.ConflictTokens},
		{"tokens from nowhere", outs{bare}, []string{"sA"}, outs{held(1)}, stardust.ConflictTokens},

		{"new foundry", outs{counted(1, 0), bare, bare}, []string{"sA", "r0", "r0"}, outs{counted(2, 1), f(5, 0), held(5)}, ok},
		{"new foundry mints other than appears", outs{counted(1, 0), bare, bare}, []string{"sA", "r0", "r0"}, outs{counted(2, 1), f(6, 0), held(5)}, stardust.ConflictChain},
		{"new foundry that melted", outs{counted(1, 0), bare, bare}, []string{"sA", "r0", "r0"}, outs{counted(2, 1), f(5, 1), held(5)}, stardust.ConflictChain},
		{"new foundry, counter stays", outs{counted(1, 0), bare}, []string{"sA", "r0"}, outs{counted(2, 0), f(0, 0)}, stardust.ConflictChain},
		{"new foundry, counter jumps", outs{counted(1, 0), bare}, []string{"sA", "r0"}, outs{counted(2, 2), f(0, 0)}, stardust.ConflictChain},
		{"counter rises alone", outs{counted(1, 0)}, []string{"sA"}, outs{counted(2, 1)}, stardust.ConflictChain},
		{"counter falls", outs{counted(1, 1)}, []string{"sA"}, outs{counted(2, 0)}, stardust.ConflictChain},
		{"new foundry of an old serial", outs{counted(1, 1), bare}, []string{"sA", "r0"}, outs{counted(2, 2), f(0, 0)}, stardust.ConflictChain},
		{"new foundry without its alias", outs{bare}, []string{"sA"}, outs{f(0, 0)}, stardust.ConflictChain},
		{"new foundry under governance", outs{counted(1, 0), bare}, []string{"sB", "sA"}, outs{counted(1, 0), f(0, 0)}, stardust.ConflictChain},
		{"two new foundries in order", outs{counted(1, 0), bare, bare}, []string{"sA", "r0", "r0"}, outs{counted(2, 2), f(0, 0), foundryOut('L', 2, 0, 0)}, ok},
		{"two new foundries out of order", outs{counted(1, 0), bare, bare}, []string{"sA", "r0", "r0"}, outs{counted(2, 2), foundryOut('L', 2, 0, 0), f(0, 0)}, stardust.ConflictChain},

		{"an old foundry stays while a new one begins", outs{counted(1, 1), f(5, 0), bare}, through, outs{counted(2, 2), f(5, 0), foundryOut('L', 2, 0, 0)}, ok},
		{"an old foundry is no new one", outs{counted(1, 1), f(5, 0), bare}, through, outs{counted(2, 2), f(5, 0), bare}, stardust.ConflictChain},
		{"mint", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(8, 0), held(8)}, ok},
		{"mint less than appears", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(7, 0), held(8)}, stardust.ConflictChain},
		{"mint and melt at once", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(8, 1), held(8)}, stardust.ConflictChain},
		{"mint what does not appear", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(6, 0), held(5)}, stardust.ConflictChain},
		{"melt", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(5, 2), held(3)}, ok},
		{"melt less than vanishes: the rest burns", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(5, 1), held(3)}, ok},
		{"melt more than vanishes", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(5, 3), held(3)}, stardust.ConflictChain},
		{"melt and mint at once", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(6, 2), held(3)}, stardust.ConflictChain},
		{"melt what stays", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(5, 1), held(5)}, stardust.ConflictChain},
		{"minted falls", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), f(4, 0), held(5)}, stardust.ConflictChain},
		{"melted falls", outs{counted(1, 1), f(5, 2), held(3)}, through, outs{counted(2, 1), f(5, 1), held(3)}, stardust.ConflictChain},
		{"maximum changes", outs{counted(1, 1), f(5, 0), held(5)}, through, outs{counted(2, 1), grown(f(5, 0)), held(5)}, stardust.ConflictChain},
		{"destroyed empty", outs{counted(1, 1), f(5, 2), held(3)}, through, outs{counted(2, 1), basicOut(20, ed('Z'))}, ok},
		{"destroyed with tokens left", outs{counted(1, 1), f(5, 1), held(3)}, through, outs{counted(2, 1), basicOut(20, ed('Z'))}, stardust.ConflictChain},
		{"destroyed with tokens kept", outs{counted(1, 1), f(5, 2), held(3)}, through, outs{counted(2, 1), withToken(basicOut(20, ed('Z')), 'L', 1)}, stardust.ConflictChain},
		{"foundry opened by a signature", outs{counted(1, 1), f(5, 0), held(5)}, []string{"sA", "sA", "r0"}, outs{counted(2, 1), f(5, 0), held(5)}, stardust.ConflictUnlock},
	} {
		if got := judge(c.in, c.out, c.unlocks); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestTooManyTokens: 64 kinds in all, those of inputs and outputs together.
func TestTooManyTokens(t *testing.T) {
	of := func(from, to int) out {
		o := basicOut(10, ed('A'))
		for i := from; i < to; i++ {
			o.Tokens = append(o.Tokens, stardust.NativeToken{ID: tokenID(byte(i), 1), Amount: big.NewInt(1)})
		}
		return o
	}
	if got := judge(outs{of(0, 60), of(60, 64)}, outs{of(0, 64), basicOut(10, ed('A'))}, []string{"sA", "r0"}); got != ok {
		t.Errorf("64 kinds: %d", got)
	}
	if got := judge(outs{of(0, 60), of(60, 65)}, outs{of(0, 1), basicOut(10, ed('A'))}, []string{"sA", "r0"}); got != stardust.ConflictTokens {
		t.Errorf("65 kinds, all but one burned: %d", got)
	}
}

// TestJudgeKeepsSums: whatever is accepted neither makes nor loses coins, and makes no tokens where no
// foundry is.
func TestJudgeKeepsSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) out {
			o := basicOut(rapid.Uint64Range(1, 4).Draw(t, "amount"), ed('A'))
			if n := rapid.Int64Range(0, 2).Draw(t, "tokens"); n > 0 {
				o = withToken(o, byte(rapid.IntRange(1, 2).Draw(t, "kind")), n)
			}
			return o
		}), 1, 4)
		in, after := outs(some.Draw(t, "in")), outs(some.Draw(t, "out"))
		unlocks := []string{"sA"}
		for range len(in) - 1 {
			unlocks = append(unlocks, "r0")
		}
		coins := func(os outs) (n uint64, tokens [3]int64) {
			for _, o := range os {
				n += o.Amount
				for _, tk := range o.Tokens {
					tokens[tk.ID[1]] += tk.Amount.Int64()
				}
			}
			return n, tokens
		}
		ci, ti := coins(in)
		co, to := coins(after)
		want := ok
		switch {
		case ci != co:
			want = stardust.ConflictSum
		case to[1] > ti[1] || to[2] > ti[2]:
			want = stardust.ConflictTokens
		}
		if got := judge(in, after, unlocks); got != want {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}
