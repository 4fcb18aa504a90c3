package stardust

import (
	"encoding/hex"
	"math/big"
	"strconv"
)

// jsonText builds the JSON form of the node's REST API (spec section 12): hex with 0x, u64 as decimal
// text, u256 as hex without leading zeros, empty optional fields absent.
type jsonText struct {
	b     []byte
	comma bool // the next key or element needs one before it
}

func (j *jsonText) open(c byte) {
	j.sep()
	j.b, j.comma = append(j.b, c), false
}

func (j *jsonText) close(c byte) { j.b, j.comma = append(j.b, c), true }

func (j *jsonText) sep() {
	if j.comma {
		j.b = append(j.b, ',')
	}
	j.comma = true
}

func (j *jsonText) key(k string) {
	j.sep()
	j.b, j.comma = append(append(append(j.b, '"'), k...), '"', ':'), false
}

func (j *jsonText) num(k string, v uint64) {
	j.key(k)
	j.b, j.comma = strconv.AppendUint(j.b, v, 10), true
}

func (j *jsonText) decimal(k string, v uint64) {
	j.key(k)
	j.b, j.comma = append(strconv.AppendUint(append(j.b, '"'), v, 10), '"'), true
}

// hexElement writes an array element.
func (j *jsonText) hexElement(v []byte) {
	j.sep()
	j.b = append(hex.AppendEncode(append(j.b, `"0x`...), v), '"')
}

func (j *jsonText) hex(k string, v []byte) {
	j.key(k)
	j.hexElement(v)
}

// optional writes bytes unless there are none.
func (j *jsonText) optional(k string, v []byte) {
	if len(v) > 0 {
		j.hex(k, v)
	}
}

func (j *jsonText) u256(k string, v *big.Int) {
	j.key(k)
	j.b, j.comma = append(v.Append(append(j.b, `"0x`...), 16), '"'), true
}

func (j *jsonText) hashes(k string, ids []Hash) {
	j.key(k)
	j.open('[')
	for i := range ids {
		j.hexElement(ids[i][:])
	}
	j.close(']')
}

// list writes an array of objects.
func list[T any](j *jsonText, k string, items []T, each func(*jsonText, *T)) {
	j.key(k)
	j.open('[')
	for i := range items {
		j.open('{')
		each(j, &items[i])
		j.close('}')
	}
	j.close(']')
}

// optionalList writes an array of objects unless it is empty.
func optionalList[T any](j *jsonText, k string, items []T, each func(*jsonText, *T)) {
	if len(items) > 0 {
		list(j, k, items, each)
	}
}

// BlockJSON returns a block as the node's REST API writes it.
func BlockJSON(b *Block) []byte {
	j := &jsonText{}
	j.open('{')
	j.num("protocolVersion", uint64(b.Version))
	j.hashes("parents", b.Parents)
	if b.Payload != nil {
		j.key("payload")
		j.payload(b.Payload)
	}
	j.decimal("nonce", b.Nonce)
	j.close('}')
	return j.b
}

// PayloadJSON returns a payload as the node's REST API writes it. That of a milestone is the answer to
// a request for the milestone.
func PayloadJSON(p Payload) []byte {
	j := &jsonText{}
	j.payload(p)
	return j.b
}

// OutputJSON returns an output as the node's REST API writes it.
func OutputJSON(o *Output) []byte {
	j := &jsonText{}
	j.open('{')
	j.output(o)
	j.close('}')
	return j.b
}

// ReceiptJSON returns a receipt as the node's REST API writes it.
func ReceiptJSON(v *Receipt) []byte {
	j := &jsonText{}
	j.receipt(v)
	return j.b
}

func (j *jsonText) payload(p Payload) {
	j.open('{')
	j.num("type", uint64(p.Type()))
	switch p := p.(type) {
	case *TaggedData:
		j.optional("tag", p.Tag)
		j.optional("data", p.Data)
	case *Transaction:
		j.transaction(p)
	case *Milestone:
		j.milestone(p)
	}
	j.close('}')
}

func (j *jsonText) transaction(t *Transaction) {
	j.key("essence")
	j.open('{')
	j.num("type", 1)
	j.decimal("networkId", t.NetworkID)
	list(j, "inputs", t.Inputs, func(j *jsonText, id *OutputID) {
		j.num("type", 0)
		j.hex("transactionId", id[:32])
		j.num("transactionOutputIndex", uint64(le.Uint16(id[32:])))
	})
	j.hex("inputsCommitment", t.Commitment[:])
	list(j, "outputs", t.Outputs, (*jsonText).output)
	if t.Payload != nil {
		j.key("payload")
		j.payload(t.Payload)
	}
	j.close('}')
	list(j, "unlocks", t.Unlocks, func(j *jsonText, u *Unlock) {
		j.num("type", uint64(u.Type))
		if u.Type != UnlockSignature {
			j.num("reference", uint64(u.Ref))
			return
		}
		j.key("signature")
		j.open('{')
		j.signature(&Signature{Key: u.Key, Sig: u.Sig})
		j.close('}')
	})
}

func (j *jsonText) signature(s *Signature) {
	j.num("type", 0)
	j.hex("publicKey", s.Key[:])
	j.hex("signature", s.Sig[:])
}

func (j *jsonText) milestone(m *Milestone) {
	j.num("index", uint64(m.Index))
	j.num("timestamp", uint64(m.Timestamp))
	j.num("protocolVersion", uint64(m.Version))
	j.hex("previousMilestoneId", m.Previous[:])
	j.hashes("parents", m.Parents)
	j.hex("inclusionMerkleRoot", m.Inclusion[:])
	j.hex("appliedMerkleRoot", m.Applied[:])
	j.optional("metadata", m.Metadata)
	if m.Receipt != nil || m.Parameters != nil {
		j.key("options")
		j.open('[')
		if m.Receipt != nil {
			j.receipt(m.Receipt)
		}
		if m.Parameters != nil {
			j.parameterChange(m.Parameters)
		}
		j.close(']')
	}
	list(j, "signatures", m.Signatures, (*jsonText).signature)
}

func (j *jsonText) receipt(v *Receipt) {
	j.open('{')
	j.num("type", 0)
	j.num("migratedAt", uint64(v.MigratedAt))
	list(j, "funds", v.Funds, func(j *jsonText, f *Fund) {
		j.hex("tailTransactionHash", f.Tail[:])
		j.address("address", &f.Address)
		j.decimal("deposit", f.Deposit)
	})
	j.key("transaction")
	j.open('{')
	j.num("type", uint64(TypeTreasuryTx))
	j.key("input")
	j.open('{')
	j.num("type", 1)
	j.hex("milestoneId", v.Treasury.Input[:])
	j.close('}')
	j.key("output")
	j.open('{')
	j.num("type", uint64(OutputTreasury))
	j.decimal("amount", v.Treasury.Amount)
	j.close('}')
	j.close('}')
	j.key("final")
	j.b, j.comma = strconv.AppendBool(j.b, v.Final), true
	j.close('}')
}

func (j *jsonText) parameterChange(c *ParameterChange) {
	j.open('{')
	j.num("type", 1)
	j.num("targetMilestoneIndex", uint64(c.Target))
	j.num("protocolVersion", uint64(c.Version))
	j.hex("params", c.Params)
	j.close('}')
}

// addressFields names the field that holds an address's 32 bytes.
var addressFields = map[byte]string{AddressEd25519: "pubKeyHash", AddressAlias: "aliasId", AddressNFT: "nftId"}

func (j *jsonText) address(k string, a *Address) {
	j.key(k)
	j.open('{')
	j.num("type", uint64(a[0]))
	j.hex(addressFields[a[0]], a[1:])
	j.close('}')
}

func (j *jsonText) output(o *Output) {
	j.num("type", uint64(o.Type))
	j.decimal("amount", o.Amount)
	optionalList(j, "nativeTokens", o.Tokens, func(j *jsonText, t *NativeToken) {
		j.hex("id", t.ID[:])
		j.u256("amount", t.Amount)
	})
	switch o.Type {
	case OutputAlias:
		j.hex("aliasId", o.ChainID[:])
		j.num("stateIndex", uint64(o.StateIndex))
		j.optional("stateMetadata", o.StateData)
		j.num("foundryCounter", uint64(o.Foundries))
	case OutputFoundry:
		j.num("serialNumber", uint64(o.Serial))
		j.key("tokenScheme")
		j.open('{')
		j.num("type", 0)
		j.u256("mintedTokens", o.Minted)
		j.u256("meltedTokens", o.Melted)
		j.u256("maximumSupply", o.Maximum)
		j.close('}')
	case OutputNFT:
		j.hex("nftId", o.ChainID[:])
	}
	list(j, "unlockConditions", o.Conditions, (*jsonText).condition)
	optionalList(j, "features", o.Features, (*jsonText).feature)
	optionalList(j, "immutableFeatures", o.Immutable, (*jsonText).feature)
}

func (j *jsonText) condition(c *Condition) {
	j.num("type", uint64(c.Type))
	switch c.Type {
	case ConditionStorageReturn:
		j.address("returnAddress", &c.Address)
		j.decimal("amount", c.Amount)
	case ConditionTimelock:
		j.num("unixTime", uint64(c.Time))
	case ConditionExpiration:
		j.address("returnAddress", &c.Address)
		j.num("unixTime", uint64(c.Time))
	default:
		j.address("address", &c.Address)
	}
}

func (j *jsonText) feature(f *Feature) {
	j.num("type", uint64(f.Type))
	switch f.Type {
	case FeatureMetadata:
		j.hex("data", f.Data)
	case FeatureTag:
		j.hex("tag", f.Data)
	default:
		j.address("address", &f.Address)
	}
}
