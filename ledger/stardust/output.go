package stardust

import "math/big"

// Limits of outputs (TIP-18).
const (
	MaxNativeTokens = 64
	MaxMetadata     = 8192

	minOutputSize = 1 + 8 + 1 + 1 + 34 + 1 // basic, an address condition, nothing else
)

// shape says which unlock conditions and features a type of output may and must have, as bits.
type shape struct {
	may, must           uint8
	features, immutable uint8
	noImmutable         bool
}

var shapes = [...]shape{
	OutputBasic:   {may: 0b0001111, must: 0b0000001, features: 0b1101, noImmutable: true},
	OutputAlias:   {may: 0b0110000, must: 0b0110000, features: 0b0101, immutable: 0b0110},
	OutputFoundry: {may: 0b1000000, must: 0b1000000, features: 0b0100, immutable: 0b0100},
	OutputNFT:     {may: 0b0001111, must: 0b0000001, features: 0b1101, immutable: 0b0110},
}

// ParseOutput reads one output of type 3 to 6 (spec section 4). The rules for outputs that a
// transaction creates (amounts, token scheme, chain ids) are those of [ParseTransaction]. Errors are
// *SyntaxError.
func ParseOutput(raw []byte) (*Output, error) {
	r := reader{b: raw, what: "output"}
	o := new(Output)
	r.output(o)
	if err := r.end(); err != nil {
		return nil, err
	}
	return o, nil
}

func (r *reader) output(o *Output) {
	at := r.off
	o.Type = r.u8()
	var s shape
	if int(o.Type) < len(shapes) {
		s = shapes[o.Type]
	}
	if s.must == 0 {
		r.fail(ReasonOutputType, at, "output type %d is not allowed here", o.Type)
		return
	}
	o.Amount = r.u64()
	o.Tokens = r.nativeTokens()
	switch o.Type {
	case OutputAlias:
		o.ChainID = r.hash()
		o.StateIndex = r.u32()
		at := r.off
		n := int(r.u16())
		if n > MaxMetadata {
			r.fail(ReasonMetadata, at, "state metadata of %d bytes; at most %d are allowed", n, MaxMetadata)
		}
		o.StateData = r.take(n)
		o.Foundries = r.u32()
	case OutputFoundry:
		o.Serial = r.u32()
		at := r.off
		if t := r.u8(); t != 0 {
			r.fail(ReasonTokenScheme, at, "token scheme type %d; simple (0) is the only one", t)
		}
		o.Minted, o.Melted, o.Maximum = r.u256(), r.u256(), r.u256()
	case OutputNFT:
		o.ChainID = r.hash()
	}
	o.Conditions = r.unlockConditions(s)
	o.Features = r.featureList(s.features, "features")
	if !s.noImmutable {
		o.Immutable = r.featureList(s.immutable, "immutable features")
	}
	if r.err == nil {
		o.Raw = r.b[at:r.off:r.off]
	}
}

func (r *reader) nativeTokens() []NativeToken {
	at := r.off
	n := int(r.u8())
	if n > MaxNativeTokens {
		r.fail(ReasonTokensCount, at, "%d native tokens; at most %d are allowed", n, MaxNativeTokens)
	}
	start := len(r.tokens)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		var t NativeToken
		copy(t.ID[:], r.take(38))
		t.Amount = r.u256()
		if r.err != nil {
			return nil
		}
		if t.Amount.Sign() == 0 {
			r.fail(ReasonAmount, at+38, "an amount of 0 native tokens")
		}
		if i > 0 {
			r.ascending(r.tokens[len(r.tokens)-1].ID[:], t.ID[:], at, "native tokens")
		}
		r.tokens = append(r.tokens, t)
	}
	return cut(r.tokens, start)
}

// cut returns what was added to an arena since start, nil if nothing.
func cut[T any](arena []T, start int) []T {
	if len(arena) == start {
		return nil
	}
	return arena[start:len(arena):len(arena)]
}

func (r *reader) unlockConditions(s shape) []Condition {
	at := r.off
	n := int(r.u8())
	start, last, have := len(r.conditions), -1, uint8(0)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		c := Condition{Type: r.u8()}
		if r.err != nil {
			return nil
		}
		if c.Type > ConditionImmutableAlias || s.may>>c.Type&1 == 0 {
			r.fail(ReasonConditions, at, "an unlock condition of type %d is not allowed here", c.Type)
			return nil
		}
		r.types(last, c.Type, at, "unlock conditions")
		last, have = int(c.Type), have|1<<c.Type
		r.condition(&c, at)
		r.conditions = append(r.conditions, c)
	}
	if have&s.must != s.must {
		r.fail(ReasonConditions, at, "a necessary unlock condition is missing")
	}
	return cut(r.conditions, start)
}

func (r *reader) condition(c *Condition, at int) {
	if c.Type != ConditionTimelock {
		c.Address = r.address()
	}
	switch c.Type {
	case ConditionStorageReturn:
		c.Amount = r.u64()
	case ConditionTimelock, ConditionExpiration:
		if c.Time = r.u32(); c.Time == 0 {
			r.fail(ReasonConditions, at, "an unlock condition of type %d with time 0", c.Type)
		}
	case ConditionImmutableAlias:
		if c.Address[0] != AddressAlias {
			r.fail(ReasonConditions, at, "an immutable alias condition with an address of type %d", c.Address[0])
		}
	}
}

func (r *reader) featureList(may uint8, what string) []Feature {
	n := int(r.u8())
	start, last := len(r.features), -1
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		f := Feature{Type: r.u8()}
		if r.err != nil {
			return nil
		}
		if f.Type > FeatureTag || may>>f.Type&1 == 0 {
			r.fail(ReasonFeatures, at, "%s: type %d is not allowed here", what, f.Type)
			return nil
		}
		r.types(last, f.Type, at, what)
		last = int(f.Type)
		switch f.Type {
		case FeatureSender, FeatureIssuer:
			f.Address = r.address()
		case FeatureMetadata:
			f.Data = r.featureData(int(r.u16()), MaxMetadata, at, "metadata")
		case FeatureTag:
			f.Data = r.featureData(int(r.u8()), MaxTagLen, at, "tag")
		}
		r.features = append(r.features, f)
	}
	return cut(r.features, start)
}

func (r *reader) featureData(n, most, at int, what string) []byte {
	if r.err == nil && (n < 1 || n > most) {
		r.fail(ReasonFeatures, at, "a %s feature of %d bytes; 1 to %d are allowed", what, n, most)
	}
	return r.take(n)
}

// created judges one output that a transaction creates, as far as no parameters are needed.
func (r *reader) created(o *Output, at int) {
	if o.Amount == 0 {
		r.fail(ReasonAmount, at+1, "an output with amount 0")
	}
	switch o.Type {
	case OutputAlias:
		r.createdAlias(o, at)
	case OutputNFT:
		if !equalZero(o.ChainID[:]) && o.Conditions[0].Address == chainAddress(AddressNFT, o.ChainID) {
			r.fail(ReasonChain, at, "an nft owned by itself")
		}
	case OutputFoundry:
		switch {
		case o.Maximum.Sign() == 0:
			r.fail(ReasonTokenScheme, at, "a maximum supply of 0")
		case o.Melted.Cmp(o.Minted) > 0:
			r.fail(ReasonTokenScheme, at, "more tokens melted than minted")
		case new(big.Int).Sub(o.Minted, o.Melted).Cmp(o.Maximum) > 0:
			r.fail(ReasonTokenScheme, at, "more tokens than the maximum supply")
		}
	}
}

func (r *reader) createdAlias(o *Output, at int) {
	if equalZero(o.ChainID[:]) {
		if o.StateIndex != 0 || o.Foundries != 0 {
			r.fail(ReasonChain, at, "a new alias with state index %d and foundry counter %d; both must be 0", o.StateIndex, o.Foundries)
		}
		return
	}
	self := chainAddress(AddressAlias, o.ChainID)
	for _, c := range o.Conditions {
		if c.Address == self {
			r.fail(ReasonChain, at, "an alias controlled by itself")
		}
	}
}

// chainAddress returns the address of an alias or nft.
func chainAddress(t byte, id Hash) (a Address) {
	a[0] = t
	copy(a[1:], id[:])
	return a
}

// distinct judges the outputs of one transaction together: no chain twice, at most 64 tokens.
func (r *reader) distinct(outs []Output, at int) {
	var chains map[FoundryID]struct{}
	var tokens map[FoundryID]struct{}
	for i := range outs {
		o := &outs[i]
		for _, t := range o.Tokens {
			if tokens == nil {
				tokens = make(map[FoundryID]struct{})
			}
			tokens[t.ID] = struct{}{}
		}
		id, ok := chainKey(o)
		if !ok {
			continue
		}
		if chains == nil {
			chains = make(map[FoundryID]struct{})
		}
		if _, ok := chains[id]; ok {
			r.fail(ReasonDuplicate, at, "output %d continues a chain that another output continues", i)
		}
		chains[id] = struct{}{}
	}
	if len(tokens) > MaxNativeTokens {
		r.fail(ReasonTokensCount, at, "%d different native tokens; at most %d are allowed", len(tokens), MaxNativeTokens)
	}
}

// chainKey returns a key for the chain that o continues, false if it starts one or belongs to none.
func chainKey(o *Output) (k FoundryID, ok bool) {
	switch o.Type {
	case OutputFoundry:
		return o.Foundry(), true
	case OutputAlias, OutputNFT:
		k[0] = o.Type
		copy(k[1:], o.ChainID[:])
		k[37] = 0xff // no foundry id ends so
		return k, !equalZero(o.ChainID[:])
	}
	return k, false
}

// Foundry returns the id of a foundry output, which is that of its token: the address of its alias,
// its serial number and the type of its token scheme (spec section 5).
func (o *Output) Foundry() (id FoundryID) {
	copy(id[:], o.Conditions[0].Address[:])
	le.PutUint32(id[33:], o.Serial)
	return id
}
