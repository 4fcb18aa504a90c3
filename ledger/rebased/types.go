package rebased

import "permanode/ledger"

// Era is the name of this era.
const Era ledger.Era = "rebased"

// Digest is a BLAKE2b-256 digest. On the wire it has a length byte before it; its text is base58.
type Digest [32]byte

// Address is an account's address or an object's id: 32 bytes, no length. Its text is 0x and 64 hex digits.
type Address [32]byte

// ObjectID names an object.
type ObjectID = Address

// Summary is a CheckpointSummary: what a certificate signs.
type Summary struct {
	Epoch       uint64
	Seq         uint64
	Total       uint64  // network_total_transactions: including this checkpoint's
	Content     Digest  // of the CheckpointContents
	Previous    *Digest // nil only in checkpoint 0
	Gas         GasCost // epoch_rolling_gas_cost_summary
	TimeMs      uint64
	Commitments []Commitment
	EndOfEpoch  *EndOfEpochData // the closing checkpoint of an epoch has it
	Specific    []byte          // version_specific_data, as it is
}

// GasCost is a GasCostSummary, in base units.
type GasCost struct{ Computation, ComputationBurned, Storage, StorageRebate, NonRefundable uint64 }

// Commitment is a CheckpointCommitment, variant 0: digest of the set of live objects.
type Commitment struct{ Digest Digest }

// EndOfEpochData carries the committee of the next epoch.
type EndOfEpochData struct {
	Committee       []Validator // ascending by key, if the network is honest
	ProtocolVersion uint64
	Commitments     []Commitment
	SupplyChange    int64 // base units minted, or burnt where negative
}

// Validator is one member of a committee: compressed BLS12-381 G2 key and voting power.
type Validator struct {
	Key   [96]byte
	Power uint64
}

// Certificate is an AuthorityQuorumSignInfo.
type Certificate struct {
	Epoch     uint64
	Signature [48]byte // compressed BLS12-381 G1
	Signers   []byte   // Roaring bitmap of places in the committee, as it is
}

// Certified is a CertifiedCheckpointSummary with its two pieces as they were received.
type Certified struct {
	Summary     Summary
	Certificate Certificate
	Header      []byte // BCS of the summary
	Auth        []byte // BCS of the certificate
}

// Contents is a CheckpointContents V1. Both lists have the same length.
type Contents struct {
	Transactions []ExecutionDigests
	Signatures   [][][]byte // of each transaction: flag and more, without length
}

// ExecutionDigests names a transaction and its effects.
type ExecutionDigests struct{ Transaction, Effects Digest }

// SenderSigned is a SenderSignedTransaction: Parts[0] of a record.
type SenderSigned struct {
	Intent     [3]byte
	Data       TransactionData
	Raw        []byte   // BCS of the TransactionData
	Signatures [][]byte // flag and more, without length
}

// TransactionData is a TransactionData V1.
type TransactionData struct {
	Kind       TransactionKind
	Sender     Address
	Gas        GasData
	Expiration *uint64 // epoch; nil: none
}

// GasData says who pays, and with what.
type GasData struct {
	Payment []ObjectRef
	Owner   Address // differs from the sender in a sponsored transaction
	Price   uint64
	Budget  uint64
}

// ObjectRef names one version of an object.
type ObjectRef struct {
	ID      ObjectID
	Version uint64
	Digest  Digest
}

// The variants of TransactionKind.
const (
	TagProgrammable  uint32 = 0
	TagGenesis       uint32 = 1
	TagPrologue      uint32 = 2
	TagAuthenticator uint32 = 3
	TagEndOfEpoch    uint32 = 4
	TagRandomness    uint32 = 5
)

// TransactionKind is *Programmable, *Genesis, *Prologue, *AuthenticatorUpdate, *EndOfEpoch or *Randomness.
type TransactionKind interface{ Tag() uint32 }

// Programmable is a ProgrammableTransaction.
type Programmable struct {
	Inputs   []CallArg
	Commands []Command
}

// The variants of CallArg and the ObjectArg in it, in one row.
const (
	ArgPure      uint8 = iota // CallArg 0
	ArgOwned                  // CallArg 1, ObjectArg 0: ImmOrOwnedObject
	ArgShared                 // CallArg 1, ObjectArg 1
	ArgReceiving              // CallArg 1, ObjectArg 2
)

// CallArg is one input of a programmable transaction.
type CallArg struct {
	Type    uint8
	Pure    []byte    // ArgPure
	Off     int       // ArgPure: where Pure begins in the bytes that were parsed
	Ref     ObjectRef // ArgOwned, ArgReceiving; of ArgShared the id, and the initial shared version as Version
	Mutable bool      // ArgShared
}

// The variants of Command.
const (
	CmdMoveCall uint8 = iota
	CmdTransferObjects
	CmdSplitCoins
	CmdMergeCoins
	CmdPublish
	CmdMakeMoveVec
	CmdUpgrade
)

// Command is one step of a programmable transaction. Fields that its type does not have are zero.
type Command struct {
	Type         uint8
	Package      ObjectID   // MoveCall, Upgrade
	Module       string     // MoveCall
	Function     string     // MoveCall
	TypeArgs     []TypeTag  // MoveCall
	Elem         *TypeTag   // MakeMoveVec: nil if not said
	Args         []Argument // arguments, objects, amounts, coins_to_merge, elements
	Arg          Argument   // address, coin, ticket
	Modules      [][]byte   // Publish, Upgrade
	Dependencies []ObjectID // Publish, Upgrade
}

// The variants of Argument.
const (
	ArgumentGasCoin uint8 = iota
	ArgumentInput
	ArgumentResult
	ArgumentNested
)

// Argument points at an input or at the result of an earlier command.
type Argument struct {
	Type  uint8
	Index uint16 // all but the gas coin
	Place uint16 // ArgumentNested
}

// The variants of TypeTag.
const (
	TypeBool uint8 = iota
	TypeU8
	TypeU64
	TypeU128
	TypeAddress
	TypeSigner
	TypeVector
	TypeStruct
	TypeU16
	TypeU32
	TypeU256
)

// TypeTag is a Move type.
type TypeTag struct {
	Type   uint8
	Elem   *TypeTag   // TypeVector
	Struct *StructTag // TypeStruct
}

// StructTag names a Move struct by the package that first defined it.
type StructTag struct {
	Address Address
	Module  string
	Name    string
	Args    []TypeTag
}

// Genesis is a GenesisTransaction: also each migration transaction of checkpoint 0.
type Genesis struct {
	Objects []GenesisObject
	Events  []Event
}

// GenesisObject is an object that needs no transaction before it.
type GenesisObject struct {
	Data  ObjectData
	Owner Owner
}

// Prologue is a ConsensusCommitPrologueV1.
type Prologue struct {
	Epoch     uint64
	Round     uint64
	SubDag    *uint64
	TimeMs    uint64
	Commit    Digest
	Cancelled []CancelledTransaction
}

// CancelledTransaction is a transaction that consensus cancelled, and the versions that it gave its objects.
type CancelledTransaction struct {
	Digest   Digest
	Versions []ObjectVersion
}

// ObjectVersion is an object's id and version.
type ObjectVersion struct {
	ID      ObjectID
	Version uint64
}

// AuthenticatorUpdate is an AuthenticatorStateUpdateV1.
type AuthenticatorUpdate struct {
	Epoch          uint64
	Round          uint64
	Keys           []ActiveJwk
	InitialVersion uint64
}

// ActiveJwk is a key of an OpenID provider.
type ActiveJwk struct {
	Iss, Kid, Kty, E, N, Alg string
	Epoch                    uint64
}

// EndOfEpoch is an EndOfEpochTransaction: a list of its kinds.
type EndOfEpoch struct{ Kinds []ChangeEpoch }

// ChangeEpoch is an EndOfEpochTransactionKind of the variants 0 to 3: ChangeEpoch, V2, V3 and V4. Fields that its
// variant does not have are zero.
type ChangeEpoch struct {
	Variant           uint8
	Epoch             uint64 // the one that starts
	ProtocolVersion   uint64
	StorageCharge     uint64
	ComputationCharge uint64
	ComputationBurned uint64 // V2
	StorageRebate     uint64
	NonRefundable     uint64
	StartMs           uint64
	Packages          []SystemPackage
	Eligible          []uint64 // V3: eligible_active_validators
	Scores            []uint64 // V4
	AdjustRewards     bool     // V4
}

// SystemPackage is a package that an epoch change writes.
type SystemPackage struct {
	Version      uint64
	Modules      [][]byte
	Dependencies []ObjectID
}

// Randomness is a RandomnessStateUpdate.
type Randomness struct {
	Epoch          uint64
	Round          uint64
	Bytes          []byte
	InitialVersion uint64
}

// Tag returns the variant's number.
func (*Programmable) Tag() uint32        { return TagProgrammable }
func (*Genesis) Tag() uint32             { return TagGenesis }       // Tag returns the variant's number.
func (*Prologue) Tag() uint32            { return TagPrologue }      // Tag returns the variant's number.
func (*AuthenticatorUpdate) Tag() uint32 { return TagAuthenticator } // Tag returns the variant's number.
func (*EndOfEpoch) Tag() uint32          { return TagEndOfEpoch }    // Tag returns the variant's number.
func (*Randomness) Tag() uint32          { return TagRandomness }    // Tag returns the variant's number.

// Effects is a TransactionEffects V1.
type Effects struct {
	Failure      *Failure // nil: success
	Epoch        uint64   // executed_epoch
	Gas          GasCost
	Transaction  Digest
	GasObject    *uint32 // place in Changed
	Events       *Digest // nil exactly where none were emitted
	Dependencies []Digest
	Lamport      uint64 // version of every Move object written here
	Changed      []ObjectChange
	Unchanged    []UnchangedShared
	AuxData      *Digest
}

// Failure is why a transaction changed nothing but its gas coin.
type Failure struct {
	Error   Variant // ExecutionFailureStatus
	Command *uint64 // the one that failed
}

// Variant is a value of an enum that a table describes (ExecutionFailureStatus and the enums in it). Args are
// uint8, uint16, uint64, ObjectID, string, []byte, []ObjectID, MoveLocation, *MoveLocation (nil: none) or Variant.
type Variant struct {
	Tag  uint32
	Args []any
}

// MoveLocation is a place in Move code.
type MoveLocation struct {
	Package      Address
	Module       string
	Function     uint16
	Instruction  uint16
	FunctionName *string
}

// The variants of IDOperation.
const (
	OpNone uint8 = iota
	OpCreated
	OpDeleted
)

// ObjectChange is one entry of changed_objects.
type ObjectChange struct {
	ID  ObjectID
	In  ObjectIn
	Out ObjectOut
	Op  uint8 // OpNone, OpCreated, OpDeleted
}

// ObjectIn is an object before the transaction.
type ObjectIn struct {
	Exist   bool
	Version uint64
	Digest  Digest
	Owner   Owner
}

// The variants of ObjectOut.
const (
	OutNotExist uint8 = iota
	OutObject         // ObjectWrite
	OutPackage        // PackageWrite
)

// ObjectOut is an object after the transaction.
type ObjectOut struct {
	Type    uint8
	Digest  Digest // OutObject, OutPackage
	Owner   Owner  // OutObject
	Version uint64 // OutPackage; that of an object is the effects' Lamport
}

// The variants of Owner.
const (
	OwnerAddress uint8 = iota
	OwnerObject
	OwnerShared
	OwnerImmutable
)

// Owner says who may use an object.
type Owner struct {
	Type    uint8
	Address Address // OwnerAddress, OwnerObject
	Initial uint64  // OwnerShared: initial_shared_version
}

// The variants of UnchangedSharedKind.
const (
	SharedReadOnly uint8 = iota
	SharedMutateDeleted
	SharedReadDeleted
	SharedCancelled
	SharedPerEpochConfig
)

// UnchangedShared is a shared object that was used and not changed.
type UnchangedShared struct {
	ID      ObjectID
	Type    uint8
	Version uint64 // all but SharedPerEpochConfig
	Digest  Digest // SharedReadOnly
}

// Event is what Move code emitted. Type names the package that first defined it, Package the one that ran.
type Event struct {
	Package  ObjectID
	Module   string
	Sender   Address
	Type     StructTag
	Contents []byte // BCS of the Move value
}

// Object is one version of an object.
type Object struct {
	Data     ObjectData
	Owner    Owner
	Previous Digest // the transaction that wrote it
	Rebate   uint64 // storage_rebate
}

// ObjectData is a Move object or a package: exactly one is set.
type ObjectData struct {
	Move    *MoveObject
	Package *MovePackage
}

// The variants of MoveObjectType.
const (
	MoveOther uint8 = iota
	MoveGasCoin
	MoveStaked
	MoveCoin
)

// MoveObject is a value of a Move type with the key ability.
type MoveObject struct {
	Type     MoveObjectType
	Version  uint64
	Contents []byte // BCS of the Move value; the first 32 bytes are the object's id
}

// MoveObjectType is the type of a Move object, short for the frequent ones. [MoveObjectType.Tag] gives it in full.
type MoveObjectType struct {
	Type  uint8
	Other *StructTag // MoveOther
	Coin  *TypeTag   // MoveCoin: T of Coin<T>
}

// MovePackage is published code.
type MovePackage struct {
	ID      ObjectID
	Version uint64
	Modules []NamedModule // ascending by the bytes of the name's encoding
	Origins []TypeOrigin
	Linkage []Linkage // ascending by id
}

// NamedModule is one module of a package.
type NamedModule struct {
	Name string
	Code []byte
}

// TypeOrigin says which package first defined a type.
type TypeOrigin struct {
	Module, Datatype string
	Package          ObjectID
}

// Linkage says which version of a dependency a package uses.
type Linkage struct {
	ID       ObjectID
	Upgraded ObjectID
	Version  uint64
}
