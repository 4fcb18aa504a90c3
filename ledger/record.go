package ledger

import "iter"

// Era names one protocol generation.
type Era string

// NetID is a local number of a network in one store, given at first open. It appears in no
// format, cursor or answer.
type NetID uint8

// Network is one ledger in one era, as a store knows it.
type Network struct {
	ID       NetID
	Name     string // the operator's label, unique in a store; see ValidName
	Era      Era
	Identity string // the protocol's own name for the network, as in the trust file
	Trust    []byte // the trust file in force, canonical bytes
	Follows  string // name of the network that this one continues on the same ledger; "" none
}

// ValidName reports whether s can be a network's label: 1 to 64 of letters, digits, '.', '_' and '-', a letter or
// digit first. Labels stand in answers, URLs and file names.
func ValidName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// State is what became of a record.
type State uint8

// The states. Applied changed the ledger; Conflicting was confirmed and changed nothing;
// NoTransaction carries no transaction. Executed* are Rebased's; plain Executed is of a record whose effects
// this version cannot read.
const (
	Applied State = iota + 1
	Conflicting
	NoTransaction
	ExecutedSuccess
	ExecutedFailure
	Executed
)

var stateNames = [...]string{"", "applied", "conflicting", "no-transaction", "executed-success", "executed-failure", "executed"}

// String returns the word used in every answer, "" for an unknown state.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return ""
}

// Basis says why what a record row states is held: the weakest of its reasons.
type Basis uint8

// ByRoot: a signed root, list or digest commits to it, or replay of a held ledger that the root
// confirms. ByPath: a chain of hashes from the signed header. ByClaim: a node's word for the
// conflict reason, while place and state are proven by root.
const (
	ByRoot Basis = iota + 1
	ByPath
	ByClaim
)

var basisNames = [...]string{"", "root", "path", "claim"}

// String returns the word used in every answer, "" for an unknown basis.
func (b Basis) String() string {
	if int(b) < len(basisNames) {
		return basisNames[b]
	}
	return ""
}

// PartKind says what a part of a record is. The numbers are those of the log's records.
type PartKind uint8

// The kinds of parts.
const (
	PartHeader  PartKind = 1 // a unit's signed bytes; in manifests only
	PartObject  PartKind = 2 // block, message or transaction
	PartList    PartKind = 3 // a unit's contents list; in manifests only
	PartEffects PartKind = 4
	PartEvents  PartKind = 5
	PartOutput  PartKind = 6 // an object written by a Rebased transaction
	PartInput   PartKind = 7 // an object as a Rebased transaction found it; in raws only, never stored
	PartRest    PartKind = 8 // bytes of a record that this version cannot split into parts
)

// Part is one piece of a record's exact received bytes.
type Part struct {
	Kind PartKind
	Raw  []byte
}

// KeyKind is the sort of an exact question. Numbers are stored: never reuse one.
type KeyKind uint8

// The kinds of keys, with the form of [Key.Val].
const (
	KeyRecord      KeyKind = 1  // record id bytes
	KeyTransaction KeyKind = 2  // transaction id bytes; several records may carry one
	KeyBundle      KeyKind = 3  // legacy bundle hash
	KeyTag         KeyKind = 4  // tag bytes, may be empty
	KeyAddress     KeyKind = 5  // address bytes with the era's type byte
	KeyParent      KeyKind = 6  // id bytes of a parent: who approves it
	KeyOutput      KeyKind = 7  // output id bytes
	KeyObject      KeyKind = 8  // chain object (alias, NFT, foundry; Rebased object) id bytes with the era's type byte
	KeyPayload     KeyKind = 9  // SHA-256 of a payload
	KeyUnit        KeyKind = 10 // unit id bytes; written by the store for every unit, at UnitPos
	KeyToken       KeyKind = 11 // the owner's KeyAddress Val, followed by the token; Value is in that token
	KeyType        KeyKind = 12 // type of an object written, canonical text
	KeyEvent       KeyKind = 13 // type of an event, canonical text
	KeyFunction    KeyKind = 14 // function called, canonical text: package::module::function
	KeySuccessor   KeyKind = 15 // id that the later era's object has which the output created here became
	// KeyExpiry is an owner's KeyAddress Val, followed by an output id: an output whose owner time alone can change.
	// It is posted for the address that owns it at first and for the one that it goes to, by the record that makes it
	// (RoleReceive) and the one that consumes it (RoleSpend).
	KeyExpiry KeyKind = 16
)

// Key is an exact question.
type Key struct {
	Kind KeyKind
	Val  string
}

// Role is a set of bits: how a record stands to a key.
type Role uint8

// The roles.
const (
	RoleMention Role = 1 << iota // named in the record's bytes
	RoleSpend                    // owner of something consumed; output consumed
	RoleReceive                  // owner of something created; output created
	RoleSign                     // its key signed
	RoleReturn                   // gets it back: storage deposit return or expiration
	RoleSend                     // sender of the transaction
	RolePay                      // paid for its execution
)

// Posting answers a Key with the record it stands in. A record has one posting a key: roles are
// joined and values added. Value is in the base coin (KeyToken: in that token), signed, and only of
// applied changes.
type Posting struct {
	Key   Key
	Role  Role
	Value Amount
}

// Move is one change of ownership that an applied record, or a unit itself, made.
type Move struct {
	Owner  string // Key.Val of a KeyAddress
	Asset  string // "" is the base coin, else the era's token id bytes
	Output ID
	Amount Amount // negative when consumed
}

// Holding is an amount of an asset that an owner has, or lacks where negative.
type Holding struct {
	Asset  string // as in [Move]
	Amount Amount
}

// Expiry is what time alone did to an output, or will: it takes what the output holds from one owner and gives it to
// another one.
type Expiry struct {
	Output   string // Val of its KeyOutput
	From, To string // owners: Vals of KeyAddress
	TimeMs   int64  // from when on it is To's; not before it was made
	Made     Ord    // where; UnitPos of what a unit itself or the opening made
	AtOnce   bool   // it was To's as soon as it was made: its time had passed by then
	Spent    Ord    // where it was consumed
	IsSpent  bool
	Holds    []Holding // by asset; none is 0
}

// Unit is what confirms: a milestone, or a checkpoint.
type Unit struct {
	Seq    uint64
	ID     ID     // hash of Header
	Prev   ID     // predecessor named in Header; zero where the era has none
	TimeMs int64  // as signed, POSIX milliseconds; not monotonic in legacy and Chrysalis
	Header []byte // the signed bytes
	Auth   []byte // signatures or certificate: may differ between honest nodes; never in the log
	List   []byte // contents list (Rebased), else nil

	AttestedBy ID // the later unit whose signatures prove this one; zero if its own were checked
}

// Record is one stored thing: a transaction (legacy, Rebased), message (Chrysalis) or block
// (Stardust), with its exact received bytes. Its ID is the hash of Parts[0].
type Record struct {
	Ord    Ord
	ID     ID
	Kind   uint8 // the era's number; [Codec.KindName] gives the word
	State  State
	Reason uint16 // the era's conflict reason; 0 unless State is Conflicting
	Basis  Basis
	Self   bool // container of its own unit (Chrysalis, legacy): served, last in order, never a log record

	// Undecoded says that this version could not read all of the record: id and bytes are proven, but state,
	// postings and facts may lack what a version that knows the form would find. [Codec.Facts] says why.
	Undecoded bool

	Parts []Part
	Moves []Move
	Posts []Posting
}

// Change is one step of an era's state: after the unit, Key has the value Val. Both are opaque to
// everybody but the era. Old is the value that Val replaces, nil if Key was absent: so a checker can
// account for every row of the state. Nothing is ever removed.
type Change struct{ Key, Old, Val []byte }

// Cone is a unit and every record that it confirmed, in the era's order. It is the only thing that
// travels from collect to store.
type Cone struct {
	Net     NetID
	Unit    Unit
	Records []Record
	Moves   []Move    // made by the unit itself (receipts), at UnitPos
	Posts   []Posting // of the unit itself, at UnitPos, without KeyUnit
	Changes []Change  // nil in cones read back
}

// Bytes returns the sum of the raw bytes of a cone's records, header, auth and list.
func (c *Cone) Bytes() (n int) {
	n = len(c.Unit.Header) + len(c.Unit.Auth) + len(c.Unit.List)
	for i := range c.Records {
		for _, p := range c.Records[i].Parts {
			n += len(p.Raw)
		}
	}
	return n
}

// Snapshot is the ledger before the first unit of a span.
type Snapshot struct {
	Seq     uint64 // the unit whose end it shows; the span begins at Seq+1
	Unit    ID     // that unit's id; zero at genesis where there is none
	TimeMs  int64
	Changes iter.Seq2[Change, error] // may be ranged over once; an error ends it
}
