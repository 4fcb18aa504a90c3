package stardust

import (
	"errors"
	"math/big"
	"testing"
)

var testParameters = Parameters{
	Version: 2, Network: "permanode-check", HRP: "tst", VByteCost: 100, FactorData: 1, FactorKey: 10, Supply: 1_000_000,
}

// plainOutput returns a basic output with an address condition.
func plainOutput(amount uint64) Output {
	return Output{Type: OutputBasic, Amount: amount, Conditions: []Condition{{}}}
}

// returning returns a basic output that owes a deposit return.
func returning(amount, back uint64) Output {
	o := plainOutput(amount)
	o.Conditions = append(o.Conditions, Condition{Type: ConditionStorageReturn, Amount: back})
	return o
}

func aliasOutput(id byte) Output {
	o := Output{Type: OutputAlias, Amount: 100_000, ChainID: Hash{id}}
	o.Conditions = []Condition{{Type: ConditionStateController}, {Type: ConditionGovernor}}
	return o
}

func nftOutput(id byte) Output {
	o := plainOutput(100_000)
	o.Type, o.ChainID = OutputNFT, Hash{id}
	return o
}

func foundryOutput(minted, melted, most int64) Output {
	o := Output{Type: OutputFoundry, Amount: 100_000, Serial: 1, Minted: big.NewInt(minted), Melted: big.NewInt(melted), Maximum: big.NewInt(most)}
	o.Conditions = []Condition{{Type: ConditionImmutableAlias, Address: Address{AddressAlias, 1}}}
	return o
}

// blockWith returns a block with one input and these outputs.
func blockWith(outs ...Output) *Block {
	return &Block{Version: 2, Parents: []Hash{{}}, Payload: &Transaction{
		NetworkID: testParameters.NetworkID(), Inputs: []OutputID{{}}, Outputs: outs, Unlocks: []Unlock{{}},
	}}
}

// refusal parses and checks the bytes of b and returns the class of what is wrong, "" if nothing.
func refusal(t *testing.T, b *Block) Reason {
	t.Helper()
	raw := AppendBlock(nil, b)
	parsed, err := ParseBlock(raw)
	if err == nil {
		err = CheckBlock(parsed, &testParameters)
	}
	var syntax *SyntaxError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > int64(len(raw)):
		t.Fatalf("error without a type or place: %v", err)
	}
	return syntax.Reason
}

// Each limit from both sides.
func TestCheckLimits(t *testing.T) {
	const (
		plain = (340 + 40 + 46) * 100 // least deposit of a plain output
		owing = plain + (1+33+8)*100  // of one with a deposit return
		most  = 1_000_000             // the supply
		half  = most / 2
	)
	with := func(o Output, change func(*Output)) Output {
		change(&o)
		return o
	}
	many := func(n int) (outs []Output) {
		for i := range n {
			o := plainOutput(most / 2)
			o.Tokens = []NativeToken{{ID: FoundryID{byte(i)}, Amount: big.NewInt(1)}}
			outs = append(outs, o)
		}
		return outs
	}
	for name, c := range map[string]struct {
		want Reason
		b    *Block
	}{
		"deposit met":             {"", blockWith(plainOutput(plain))},
		"deposit missed":          {ReasonAmount, blockWith(plainOutput(plain - 1))},
		"all of the supply":       {"", blockWith(plainOutput(most))},
		"more than the supply":    {ReasonAmount, blockWith(plainOutput(most + 1))},
		"sum is the supply":       {"", blockWith(plainOutput(half), plainOutput(most-half))},
		"sum above the supply":    {ReasonAmount, blockWith(plainOutput(half), plainOutput(most-half+1))},
		"sum beyond 64 bits":      {ReasonAmount, blockWith(plainOutput(half), plainOutput(1<<64-1))},
		"returns the least":       {"", blockWith(returning(owing, plain))},
		"returns too little":      {ReasonAmount, blockWith(returning(owing, plain-1))},
		"returns all":             {"", blockWith(returning(owing, owing))},
		"returns more than it is": {ReasonAmount, blockWith(returning(owing, owing+1))},
		"amount 0":                {ReasonAmount, blockWith(plainOutput(0))},
		"new alias":               {"", blockWith(aliasOutput(0))},
		"new alias with state":    {ReasonChain, blockWith(with(aliasOutput(0), func(o *Output) { o.StateIndex = 1 }))},
		"new alias with foundry":  {ReasonChain, blockWith(with(aliasOutput(0), func(o *Output) { o.Foundries = 1 }))},
		"old alias with both":     {"", blockWith(with(aliasOutput(1), func(o *Output) { o.StateIndex, o.Foundries = 1, 1 }))},
		"alias governs itself": {ReasonChain, blockWith(with(aliasOutput(1), func(o *Output) {
			o.Conditions[1].Address = Address{AddressAlias, 1}
		}))},
		"alias governs another": {"", blockWith(with(aliasOutput(1), func(o *Output) {
			o.Conditions[1].Address = Address{AddressAlias, 2}
		}))},
		"two new aliases":         {"", blockWith(aliasOutput(0), aliasOutput(0))},
		"one alias twice":         {ReasonDuplicate, blockWith(aliasOutput(1), aliasOutput(1))},
		"alias and nft of one id": {"", blockWith(aliasOutput(1), nftOutput(1))},
		"one nft twice":           {ReasonDuplicate, blockWith(nftOutput(1), nftOutput(1))},
		"nft owned by itself": {ReasonChain, blockWith(with(nftOutput(1), func(o *Output) {
			o.Conditions[0].Address = Address{AddressNFT, 1}
		}))},
		"foundry of an nft": {ReasonConditions, blockWith(with(foundryOutput(1, 0, 1), func(o *Output) {
			o.Conditions[0].Address[0] = AddressNFT
		}))},
		"state metadata at the limit": {"", blockWith(with(aliasOutput(1), func(o *Output) {
			o.Amount, o.StateData = most, make([]byte, MaxMetadata)
		}))},
		"state metadata above it": {ReasonMetadata, blockWith(with(aliasOutput(1), func(o *Output) {
			o.Amount, o.StateData = most, make([]byte, MaxMetadata+1)
		}))},
		"65 tokens in one output": {ReasonTokensCount, blockWith(with(plainOutput(most), func(o *Output) {
			for i := range MaxNativeTokens + 1 {
				o.Tokens = append(o.Tokens, NativeToken{ID: FoundryID{byte(i)}, Amount: big.NewInt(1)})
			}
		}))},
		"unknown address type": {ReasonAddressType, blockWith(with(plainOutput(most), func(o *Output) {
			o.Conditions[0].Address[0] = 1
		}))},
		"one foundry twice":       {ReasonDuplicate, blockWith(foundryOutput(1, 0, 1), foundryOutput(1, 0, 1))},
		"all minted":              {"", blockWith(foundryOutput(5, 5, 1))},
		"maximum reached":         {"", blockWith(foundryOutput(6, 5, 1))},
		"maximum exceeded":        {ReasonTokenScheme, blockWith(foundryOutput(7, 5, 1))},
		"melted more than minted": {ReasonTokenScheme, blockWith(foundryOutput(5, 6, 1))},
		"maximum 0":               {ReasonTokenScheme, blockWith(foundryOutput(0, 0, 0))},
		"another network": {ReasonNetworkID, func() *Block {
			b := blockWith(plainOutput(plain))
			b.Payload.(*Transaction).NetworkID++
			return b
		}()},
		"another version": {ReasonVersion, func() *Block {
			b := blockWith(plainOutput(plain))
			b.Version = 3
			return b
		}()},
	} {
		if got := refusal(t, c.b); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
	tokens := testParameters
	tokens.Supply = 1 << 60
	for n, want := range map[int]bool{MaxNativeTokens: true, MaxNativeTokens + 1: false} {
		b, err := ParseBlock(AppendBlock(nil, blockWith(many(n)...)))
		if err == nil {
			err = CheckBlock(b, &tokens)
		}
		if (err == nil) != want {
			t.Errorf("%d different tokens: %v", n, err)
		}
	}
}

func TestCheckMilestoneLimits(t *testing.T) {
	for name, c := range map[string]struct {
		want   Reason
		change func(*Block, *Milestone)
	}{
		"good":              {"", func(*Block, *Milestone) {}},
		"nonce":             {ReasonMsNonce, func(b *Block, _ *Milestone) { b.Nonce = 1 }},
		"parents":           {ReasonMsParents, func(_ *Block, m *Milestone) { m.Parents = []Hash{{1}} }},
		"one parent less":   {ReasonMsParents, func(b *Block, _ *Milestone) { b.Parents = []Hash{{}, {1}} }},
		"parameters now":    {ReasonParameters, func(_ *Block, m *Milestone) { m.Parameters = &ParameterChange{Target: m.Index} }},
		"parameters next":   {"", func(_ *Block, m *Milestone) { m.Parameters = &ParameterChange{Target: m.Index + 1} }},
		"parameters at 30":  {"", func(_ *Block, m *Milestone) { m.Parameters = &ParameterChange{Target: m.Index + 30} }},
		"parameters at 31":  {ReasonParameters, func(_ *Block, m *Milestone) { m.Parameters = &ParameterChange{Target: m.Index + 31} }},
		"parameters before": {ReasonParameters, func(_ *Block, m *Milestone) { m.Parameters = &ParameterChange{Target: 1} }},
		"fund too small": {ReasonAmount, func(_ *Block, m *Milestone) {
			m.Receipt = &Receipt{Funds: []Fund{{Deposit: MinDeposit - 1}}}
		}},
		"fund to an alias": {ReasonAddressType, func(_ *Block, m *Milestone) {
			m.Receipt = &Receipt{Funds: []Fund{{Deposit: MinDeposit, Address: Address{AddressAlias}}}}
		}},
		"fund twice": {ReasonDuplicate, func(_ *Block, m *Milestone) {
			m.Receipt = &Receipt{Funds: []Fund{{Deposit: MinDeposit}, {Deposit: MinDeposit}}}
		}},
	} {
		m := &Milestone{Index: 1 << 31, Version: 2, Parents: []Hash{{}}, Signatures: []Signature{{}}}
		b := &Block{Version: 2, Parents: []Hash{{}}, Payload: m}
		c.change(b, m)
		if got := refusal(t, b); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
}

// Unlocks name earlier ones: a reference a signature, alias and nft unlocks any.
func TestUnlockReferences(t *testing.T) {
	sig := func(n byte) Unlock { return Unlock{Key: [32]byte{n}} }
	ref := func(kind byte, to uint16) Unlock { return Unlock{Type: kind, Ref: to} }
	for name, c := range map[string]struct {
		want    Reason
		unlocks []Unlock
	}{
		"signatures":              {"", []Unlock{sig(1), sig(2)}},
		"same signature":          {ReasonDuplicate, []Unlock{sig(1), sig(2), sig(1)}},
		"reference to signature":  {"", []Unlock{sig(1), ref(UnlockReference, 0)}},
		"reference to itself":     {ReasonUnlockRef, []Unlock{sig(1), ref(UnlockReference, 1)}},
		"reference forward":       {ReasonUnlockRef, []Unlock{sig(1), ref(UnlockReference, 2), sig(2)}},
		"reference to reference":  {ReasonUnlockRef, []Unlock{sig(1), ref(UnlockReference, 0), ref(UnlockReference, 1)}},
		"alias to signature":      {"", []Unlock{sig(1), ref(UnlockAlias, 0)}},
		"alias to reference":      {"", []Unlock{sig(1), ref(UnlockReference, 0), ref(UnlockAlias, 1)}},
		"nft to alias":            {"", []Unlock{sig(1), ref(UnlockAlias, 0), ref(UnlockNFT, 1)}},
		"alias to itself":         {ReasonUnlockRef, []Unlock{sig(1), ref(UnlockAlias, 1)}},
		"nft first":               {ReasonUnlockRef, []Unlock{ref(UnlockNFT, 0)}},
		"unknown kind":            {ReasonUnlockType, []Unlock{ref(4, 0)}},
		"same signature, 20 long": {ReasonDuplicate, repeated(20, sig)},
	} {
		b := blockWith(plainOutput(1_000_000))
		tx := b.Payload.(*Transaction)
		tx.Unlocks, tx.Inputs = c.unlocks, nil
		for i := range c.unlocks {
			tx.Inputs = append(tx.Inputs, OutputID{byte(i)})
		}
		if got := refusal(t, b); got != c.want {
			t.Errorf("%s: reason %q, want %q", name, got, c.want)
		}
	}
}

// repeated returns n unlocks, the last like the first.
func repeated(n int, sig func(byte) Unlock) (us []Unlock) {
	for i := range n {
		us = append(us, sig(byte(i%(n-1))))
	}
	return us
}

// Inputs are unique, whether the list is short or long.
func TestInputsUnique(t *testing.T) {
	for _, n := range []int{2, 16, 17, MaxInputs} {
		for last, want := range map[int]Reason{0: ReasonDuplicate, n - 1: ""} {
			b := blockWith(plainOutput(1_000_000))
			tx := b.Payload.(*Transaction)
			tx.Inputs, tx.Unlocks = nil, nil
			for i := range n {
				if i == n-1 {
					i = last
				}
				tx.Inputs = append(tx.Inputs, OutputID{byte(i)})
				tx.Unlocks = append(tx.Unlocks, Unlock{Key: [32]byte{byte(len(tx.Unlocks))}})
			}
			if got := refusal(t, b); got != want {
				t.Errorf("%d inputs, the last like %d: reason %q, want %q", n, last, got, want)
			}
		}
	}
}
