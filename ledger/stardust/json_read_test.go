package stardust

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
)

// The node's JSON form, read: the other direction of json.go, for vectors that exist as JSON only
// (proofs of inclusion) and as a second way from JSON to bytes.

// reasonJSON is the class of text that is no JSON of the node's form.
const reasonJSON Reason = "json"

// blockFromJSON reads a block in the node's JSON form. What it says must be a block that [ParseBlock]
// accepts; its bytes are those of [AppendBlock]. Errors are *SyntaxError.
func blockFromJSON(text []byte) (*Block, error) {
	var j blockJSON
	if err := fromJSON("block", text, &j); err != nil {
		return nil, err
	}
	b := &Block{Version: j.Version, Parents: plain(j.Parents), Nonce: uint64(j.Nonce)}
	if j.Payload != nil {
		p, err := j.Payload.payload()
		if err != nil {
			return nil, jsonError("block", err)
		}
		b.Payload = p
	}
	return ParseBlock(AppendBlock(nil, b))
}

// milestoneFromJSON reads a milestone in the node's JSON form. Its essence is as strict as in
// [ParseMilestone]. Its signatures are given back as they stand: JSON can repeat one, or give them in
// another order than the bytes must have, so a threshold counts different keys. Errors are
// *SyntaxError.
func milestoneFromJSON(text []byte) (*Milestone, error) {
	var j payloadJSON
	if err := fromJSON("milestone", text, &j); err != nil {
		return nil, err
	}
	if j.Type != TypeMilestone {
		return nil, jsonError("milestone", fmt.Errorf("payload type %d", j.Type))
	}
	m, err := j.milestone()
	if err != nil {
		return nil, jsonError("milestone", err)
	}
	if len(m.Signatures) > 255 {
		return nil, jsonError("milestone", errors.New("more than 255 signatures"))
	}
	r := reader{b: AppendMilestoneEssence(nil, m), what: "milestone essence"}
	parsed := new(Milestone)
	r.essence(parsed)
	if err := r.end(); err != nil {
		return nil, err
	}
	parsed.Signatures = m.Signatures
	parsed.Header, parsed.Auth, parsed.ID = r.b, AppendSignatures(nil, m.Signatures), H(r.b)
	return parsed, nil
}

func jsonError(what string, err error) error {
	return &SyntaxError{What: what, Reason: reasonJSON, Detail: err.Error()}
}

// fromJSON decodes all of text into v, which must know every field.
func fromJSON(what string, text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("text behind the value")
		}
	}
	if err != nil {
		return jsonError(what, err)
	}
	return nil
}

type (
	hexBytes []byte
	hash32   Hash
	decimal  uint64
	hugeHex  struct{ v big.Int }
)

func (h *hexBytes) UnmarshalText(t []byte) error {
	digits, ok := strings.CutPrefix(string(t), "0x")
	if !ok {
		return errors.New("hex text begins with 0x")
	}
	b, err := hex.DecodeString(digits)
	*h = b
	return err
}

func (h *hash32) UnmarshalText(t []byte) error { return fixedHex(h[:], t) }

// fixedHex reads hex of exactly the length of dst.
func fixedHex(dst, t []byte) error {
	var b hexBytes
	if err := b.UnmarshalText(t); err != nil {
		return err
	}
	if len(b) != len(dst) {
		return fmt.Errorf("%d bytes instead of %d", len(b), len(dst))
	}
	copy(dst, b)
	return nil
}

func (d *decimal) UnmarshalText(t []byte) error {
	v, err := strconv.ParseUint(string(t), 10, 64)
	*d = decimal(v)
	return err
}

func (h *hugeHex) UnmarshalText(t []byte) error {
	digits, ok := strings.CutPrefix(string(t), "0x")
	if _, good := h.v.SetString(digits, 16); !ok || !good || h.v.Sign() < 0 || h.v.BitLen() > 256 {
		return errors.New("an amount is 0x and at most 64 hex digits")
	}
	return nil
}

func plain(ids []hash32) []Hash {
	out := make([]Hash, len(ids))
	for i := range ids {
		out[i] = Hash(ids[i])
	}
	return out
}

type blockJSON struct {
	Version byte         `json:"protocolVersion"`
	Parents []hash32     `json:"parents"`
	Payload *payloadJSON `json:"payload"`
	Nonce   decimal      `json:"nonce"`
}

// payloadJSON has the fields of all payloads: Type tells which count.
type payloadJSON struct {
	Type uint32 `json:"type"`

	Tag  hexBytes `json:"tag"`
	Data hexBytes `json:"data"`

	Essence *essenceJSON `json:"essence"`
	Unlocks []unlockJSON `json:"unlocks"`

	Index      uint32          `json:"index"`
	Timestamp  uint32          `json:"timestamp"`
	Version    byte            `json:"protocolVersion"`
	Previous   hash32          `json:"previousMilestoneId"`
	Parents    []hash32        `json:"parents"`
	Inclusion  hash32          `json:"inclusionMerkleRoot"`
	Applied    hash32          `json:"appliedMerkleRoot"`
	Metadata   hexBytes        `json:"metadata"`
	Options    []optionJSON    `json:"options"`
	Signatures []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	Type byte     `json:"type"`
	Key  hexBytes `json:"publicKey"`
	Sig  hexBytes `json:"signature"`
}

func (s *signatureJSON) signature() (out Signature, err error) {
	if s.Type != 0 || len(s.Key) != 32 || len(s.Sig) != 64 {
		return out, errors.New("a signature has type 0, a key of 32 bytes and 64 bytes")
	}
	return Signature{Key: [32]byte(s.Key), Sig: [64]byte(s.Sig)}, nil
}

type unlockJSON struct {
	Type      byte           `json:"type"`
	Signature *signatureJSON `json:"signature"`
	Reference uint16         `json:"reference"`
}

type inputJSON struct {
	Type        byte   `json:"type"`
	Transaction hash32 `json:"transactionId"`
	Index       uint16 `json:"transactionOutputIndex"`
}

type essenceJSON struct {
	Type       byte         `json:"type"`
	NetworkID  decimal      `json:"networkId"`
	Inputs     []inputJSON  `json:"inputs"`
	Commitment hash32       `json:"inputsCommitment"`
	Outputs    []outputJSON `json:"outputs"`
	Payload    *payloadJSON `json:"payload"`
}

type optionJSON struct {
	Type byte `json:"type"`

	MigratedAt uint32 `json:"migratedAt"`
	Funds      []struct {
		Tail    hexBytes    `json:"tailTransactionHash"`
		Address addressJSON `json:"address"`
		Deposit decimal     `json:"deposit"`
	} `json:"funds"`
	Transaction *struct {
		Type  uint32 `json:"type"`
		Input struct {
			Type byte   `json:"type"`
			ID   hash32 `json:"milestoneId"`
		} `json:"input"`
		Output struct {
			Type   byte    `json:"type"`
			Amount decimal `json:"amount"`
		} `json:"output"`
	} `json:"transaction"`
	Final bool `json:"final"`

	Target  uint32   `json:"targetMilestoneIndex"`
	Version byte     `json:"protocolVersion"`
	Params  hexBytes `json:"params"`
}

type addressJSON struct {
	Type byte     `json:"type"`
	Key  hexBytes `json:"pubKeyHash"`
	ID   hexBytes `json:"aliasId"`
	NFT  hexBytes `json:"nftId"`
}

func (a *addressJSON) address() (out Address, err error) {
	id := map[byte]hexBytes{AddressEd25519: a.Key, AddressAlias: a.ID, AddressNFT: a.NFT}[a.Type]
	if len(id) != 32 {
		return out, fmt.Errorf("an address of type %d without its 32 bytes", a.Type)
	}
	return chainAddress(a.Type, Hash(id)), nil
}

type conditionJSON struct {
	Type    byte         `json:"type"`
	Address *addressJSON `json:"address"`
	Return  *addressJSON `json:"returnAddress"`
	Amount  decimal      `json:"amount"`
	Time    uint32       `json:"unixTime"`
}

type featureJSON struct {
	Type    byte         `json:"type"`
	Address *addressJSON `json:"address"`
	Data    hexBytes     `json:"data"`
	Tag     hexBytes     `json:"tag"`
}

type outputJSON struct {
	Type   byte    `json:"type"`
	Amount decimal `json:"amount"`
	Tokens []struct {
		ID     hexBytes `json:"id"`
		Amount hugeHex  `json:"amount"`
	} `json:"nativeTokens"`
	AliasID    *hash32  `json:"aliasId"`
	NFTID      *hash32  `json:"nftId"`
	StateIndex uint32   `json:"stateIndex"`
	StateData  hexBytes `json:"stateMetadata"`
	Foundries  uint32   `json:"foundryCounter"`
	Serial     uint32   `json:"serialNumber"`
	Scheme     *struct {
		Type    byte    `json:"type"`
		Minted  hugeHex `json:"mintedTokens"`
		Melted  hugeHex `json:"meltedTokens"`
		Maximum hugeHex `json:"maximumSupply"`
	} `json:"tokenScheme"`
	Conditions []conditionJSON `json:"unlockConditions"`
	Features   []featureJSON   `json:"features"`
	Immutable  []featureJSON   `json:"immutableFeatures"`
}

// payload converts. It sees to it that nothing is lost on the way to bytes: lists and texts that do not
// fit their length fields, and types that imply constants there. All other rules are the parser's.
func (j *payloadJSON) payload() (Payload, error) {
	switch j.Type {
	case TypeTaggedData:
		return j.taggedData()
	case TypeTransaction:
		return j.transaction()
	case TypeMilestone:
		return j.milestone()
	}
	return nil, fmt.Errorf("payload type %d", j.Type)
}

func (j *payloadJSON) taggedData() (*TaggedData, error) {
	if j.Type != TypeTaggedData || len(j.Tag) > MaxTagLen {
		return nil, errors.New("a tagged data payload has type 5 and a tag of at most 64 bytes")
	}
	return &TaggedData{Tag: j.Tag, Data: j.Data}, nil
}

func (j *payloadJSON) transaction() (*Transaction, error) {
	e := j.Essence
	if e == nil || e.Type != 1 || len(e.Inputs) > MaxInputs || len(e.Outputs) > MaxOutputs || len(j.Unlocks) > MaxInputs {
		return nil, errors.New("a transaction has an essence of type 1 and at most 128 inputs, outputs and unlocks")
	}
	t := &Transaction{NetworkID: uint64(e.NetworkID), Commitment: Hash(e.Commitment)}
	for _, in := range e.Inputs {
		if in.Type != 0 {
			return nil, fmt.Errorf("input type %d", in.Type)
		}
		t.Inputs = append(t.Inputs, OutputID(le.AppendUint16(in.Transaction[:], in.Index)))
	}
	for i := range e.Outputs {
		o, err := e.Outputs[i].output()
		if err != nil {
			return nil, fmt.Errorf("output %d: %w", i, err)
		}
		t.Outputs = append(t.Outputs, *o)
	}
	for i, u := range j.Unlocks {
		out := Unlock{Type: u.Type, Ref: u.Reference}
		if u.Type == UnlockSignature {
			if u.Signature == nil {
				return nil, fmt.Errorf("unlock %d: no signature", i)
			}
			s, err := u.Signature.signature()
			if err != nil {
				return nil, fmt.Errorf("unlock %d: %w", i, err)
			}
			out = Unlock{Key: s.Key, Sig: s.Sig}
		}
		t.Unlocks = append(t.Unlocks, out)
	}
	if e.Payload == nil {
		return t, nil
	}
	var err error
	t.Payload, err = e.Payload.taggedData()
	return t, err
}

func (j *payloadJSON) milestone() (*Milestone, error) {
	m := &Milestone{
		Index: j.Index, Timestamp: j.Timestamp, Version: j.Version, Previous: Hash(j.Previous),
		Parents: plain(j.Parents), Inclusion: Hash(j.Inclusion), Applied: Hash(j.Applied), Metadata: j.Metadata,
	}
	if len(m.Parents) > MaxParents || len(m.Metadata) > MaxMetadata || len(j.Signatures) > 255 {
		return nil, errors.New("too many parents, signatures or bytes of metadata")
	}
	for i := range j.Options {
		if err := j.Options[i].into(m); err != nil {
			return nil, fmt.Errorf("option %d: %w", i, err)
		}
	}
	for i := range j.Signatures {
		s, err := j.Signatures[i].signature()
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		m.Signatures = append(m.Signatures, s)
	}
	return m, nil
}

// into adds the option to m.
func (j *optionJSON) into(m *Milestone) error {
	switch {
	case j.Type == 1 && m.Parameters == nil && len(j.Params) <= MaxMetadata:
		m.Parameters = &ParameterChange{Target: j.Target, Version: j.Version, Params: j.Params}
		return nil
	case j.Type != 0 || m.Receipt != nil || m.Parameters != nil || len(j.Funds) > MaxFunds:
		return errors.New("unknown, repeated, too long or behind a later one")
	case j.Transaction == nil || j.Transaction.Type != TypeTreasuryTx ||
		j.Transaction.Input.Type != 1 || j.Transaction.Output.Type != OutputTreasury:
		return errors.New("no treasury transaction")
	}
	v := &Receipt{MigratedAt: j.MigratedAt, Final: j.Final}
	v.Treasury = TreasuryTx{Input: Hash(j.Transaction.Input.ID), Amount: uint64(j.Transaction.Output.Amount)}
	for i, f := range j.Funds {
		a, err := f.Address.address()
		if err != nil || len(f.Tail) != 49 {
			return fmt.Errorf("fund %d: a tail of 49 bytes and an address are needed", i)
		}
		v.Funds = append(v.Funds, Fund{Tail: [49]byte(f.Tail), Address: a, Deposit: uint64(f.Deposit)})
	}
	m.Receipt = v
	return nil
}

func (j *outputJSON) output() (*Output, error) {
	o := &Output{
		Type: j.Type, Amount: uint64(j.Amount), StateIndex: j.StateIndex, StateData: j.StateData,
		Foundries: j.Foundries, Serial: j.Serial,
	}
	if len(j.Tokens) > MaxNativeTokens || len(j.StateData) > MaxMetadata ||
		max(len(j.Conditions), len(j.Features), len(j.Immutable)) > 8 {
		return nil, errors.New("too many native tokens, bytes of state metadata, conditions or features")
	}
	for i := range j.Tokens {
		if len(j.Tokens[i].ID) != len(FoundryID{}) {
			return nil, errors.New("a token id has 38 bytes")
		}
		o.Tokens = append(o.Tokens, NativeToken{ID: FoundryID(j.Tokens[i].ID), Amount: &j.Tokens[i].Amount.v})
	}
	switch {
	case j.Type == OutputAlias && j.AliasID != nil:
		o.ChainID = Hash(*j.AliasID)
	case j.Type == OutputNFT && j.NFTID != nil:
		o.ChainID = Hash(*j.NFTID)
	case j.Type == OutputFoundry && j.Scheme != nil && j.Scheme.Type == 0:
		o.Minted, o.Melted, o.Maximum = &j.Scheme.Minted.v, &j.Scheme.Melted.v, &j.Scheme.Maximum.v
	case j.Type != OutputBasic:
		return nil, fmt.Errorf("an output of type %d without what its type needs", j.Type)
	}
	for _, c := range j.Conditions {
		out, err := c.condition()
		if err != nil {
			return nil, err
		}
		o.Conditions = append(o.Conditions, out)
	}
	var err error
	if o.Features, err = features(j.Features); err == nil {
		o.Immutable, err = features(j.Immutable)
	}
	return o, err
}

func (j *conditionJSON) condition() (Condition, error) {
	c := Condition{Type: j.Type, Amount: uint64(j.Amount), Time: j.Time}
	a := j.Address
	switch j.Type {
	case ConditionTimelock:
		return c, nil
	case ConditionStorageReturn, ConditionExpiration:
		a = j.Return
	}
	if a == nil {
		return c, fmt.Errorf("an unlock condition of type %d without address", j.Type)
	}
	var err error
	c.Address, err = a.address()
	return c, err
}

func features(js []featureJSON) (fs []Feature, err error) {
	for _, j := range js {
		f := Feature{Type: j.Type, Data: j.Data}
		switch {
		case j.Type == FeatureTag:
			f.Data = j.Tag
		case j.Type == FeatureMetadata:
		case j.Address == nil:
			return nil, fmt.Errorf("a feature of type %d without address", j.Type)
		default:
			if f.Address, err = j.Address.address(); err != nil {
				return nil, err
			}
		}
		if len(f.Data) > MaxMetadata || f.Type == FeatureTag && len(f.Data) > MaxTagLen {
			return nil, fmt.Errorf("a feature of type %d with %d bytes", f.Type, len(f.Data))
		}
		fs = append(fs, f)
	}
	return fs, nil
}
