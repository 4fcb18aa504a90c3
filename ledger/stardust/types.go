package stardust

import (
	"math/big"

	"permanode/ledger"
)

// Hash is a BLAKE2b-256 digest: block, transaction, milestone id, root.
type Hash = [32]byte

// OutputID is a transaction (or milestone) id and a little-endian u16 index.
type OutputID [34]byte

// FoundryID names a foundry and its native token: alias address, serial number, token scheme type.
type FoundryID [38]byte

// The payload types.
const (
	TypeTransaction uint32 = 6
	TypeTaggedData  uint32 = 5
	TypeMilestone   uint32 = 7
	TypeTreasuryTx  uint32 = 4
)

// The types of addresses.
const (
	AddressEd25519 byte = 0x00
	AddressAlias   byte = 0x08
	AddressNFT     byte = 0x10
)

// Address is a type byte and 32 bytes.
type Address [33]byte

// Block is a block as TIP-24 frames it. Payload is nil, *TaggedData, *Transaction or *Milestone.
type Block struct {
	Version byte
	Parents []Hash
	Payload Payload
	Nonce   uint64
}

// Payload is one of the payload types.
type Payload interface{ Type() uint32 }

// TaggedData is payload type 5 (TIP-23). Both may be empty.
type TaggedData struct{ Tag, Data []byte }

// Transaction is payload type 6 (TIP-20).
type Transaction struct {
	NetworkID  uint64
	Inputs     []OutputID
	Commitment Hash
	Outputs    []Output
	Payload    *TaggedData // nil: none
	Unlocks    []Unlock

	ID      Hash // of the whole payload
	Signing Hash // of the essence: what unlocks sign
}

// The types of unlocks.
const (
	UnlockSignature byte = 0
	UnlockReference byte = 1
	UnlockAlias     byte = 2
	UnlockNFT       byte = 3
)

// Unlock unlocks the input of its place. Key and Sig belong to UnlockSignature, Ref to the others.
type Unlock struct {
	Type byte
	Key  [32]byte
	Sig  [64]byte
	Ref  uint16
}

// Milestone is payload type 7 (TIP-29).
type Milestone struct {
	Index      uint32
	Timestamp  uint32 // seconds
	Version    byte
	Previous   Hash
	Parents    []Hash
	Inclusion  Hash // root over all blocks of the cone
	Applied    Hash // root over the applied ones
	Metadata   []byte
	Receipt    *Receipt         // option 0
	Parameters *ParameterChange // option 1
	Signatures []Signature

	ID     Hash   // of the essence; also what the signatures sign
	Header []byte // the essence: the unit's header
	Auth   []byte // the signature block: u8 count, each u8 type 0, key, signature
}

// Signature is one Ed25519 signature of a milestone.
type Signature struct {
	Key [32]byte
	Sig [64]byte
}

// Receipt is milestone option 0 (TIP-34).
type Receipt struct {
	MigratedAt uint32
	Final      bool
	Funds      []Fund
	Treasury   TreasuryTx
}

// Fund is one migrated fund.
type Fund struct {
	Tail    [49]byte
	Address Address
	Deposit uint64
}

// TreasuryTx moves the treasury. It occurs in receipts only.
type TreasuryTx struct {
	Input  Hash // milestone id that made the treasury output consumed
	Amount uint64
}

// ParameterChange is milestone option 1. Params are the raw bytes of section 3.4.
type ParameterChange struct {
	Target  uint32
	Version byte
	Params  []byte
}

// Parameters are the protocol parameters (spec section 3.4).
type Parameters struct {
	Version       byte
	Network       string
	HRP           string
	MinPoWScore   uint32
	BelowMaxDepth byte
	VByteCost     uint32
	FactorData    byte
	FactorKey     byte
	Supply        uint64
}

// The types of outputs.
const (
	OutputTreasury byte = 2
	OutputBasic    byte = 3
	OutputAlias    byte = 4
	OutputFoundry  byte = 5
	OutputNFT      byte = 6
)

// NativeToken is an amount of a token.
type NativeToken struct {
	ID     FoundryID
	Amount *big.Int // u256, not 0
}

// The types of unlock conditions.
const (
	ConditionAddress         byte = 0
	ConditionStorageReturn   byte = 1
	ConditionTimelock        byte = 2
	ConditionExpiration      byte = 3
	ConditionStateController byte = 4
	ConditionGovernor        byte = 5
	ConditionImmutableAlias  byte = 6
)

// Condition is an unlock condition. Address: all but timelock; Amount: storage return; Time: timelock and expiration.
type Condition struct {
	Type    byte
	Address Address
	Amount  uint64
	Time    uint32
}

// The types of features.
const (
	FeatureSender   byte = 0
	FeatureIssuer   byte = 1
	FeatureMetadata byte = 2
	FeatureTag      byte = 3
)

// Feature is a feature. Address: sender and issuer; Data: metadata and tag.
type Feature struct {
	Type    byte
	Address Address
	Data    []byte
}

// Output is an output of any type (TIP-18). Fields that its type does not have are zero.
type Output struct {
	Type       byte
	Amount     uint64
	Tokens     []NativeToken
	ChainID    Hash // alias and NFT: zero in the output that creates it
	StateIndex uint32
	StateData  []byte
	Foundries  uint32 // alias: foundry counter
	Serial     uint32 // foundry
	Minted     *big.Int
	Melted     *big.Int
	Maximum    *big.Int
	Conditions []Condition // ascending by type
	Features   []Feature
	Immutable  []Feature

	Raw []byte // the exact bytes
}

// The kinds of stored blocks: the payload type, 0 for none.
const (
	KindNone        uint8 = 0
	KindTransaction uint8 = 6
	KindTaggedData  uint8 = 5
	KindMilestone   uint8 = 7
)

// Era is the name of this era.
const Era ledger.Era = "stardust"
