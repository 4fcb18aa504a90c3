package ledger

import (
	"context"
	"io"
	"iter"
)

// Trust is what an operator trusts of a network: a parsed trust file.
type Trust struct {
	Era      Era
	Identity string   // the network's own name for itself
	Name     string   // the network's own readable name, "" where it has none
	Snapshot []string // SHA-256, hex, of the snapshot files that may open a span, full file first; may be empty
	First    uint64   // number of the network's first unit
	// States says that every record states what became of it and its unit's signature covers that: neither a
	// ledger nor claims decide it, and the ledger is empty before the unit First.
	States bool
	Raw    []byte // canonical bytes
	Rules  any    // keys and parameters; the era's own
}

// Start is where a cone begins: all that the proof of a unit needs of its past.
type Start struct {
	Trust    Trust
	Prev     *Unit       // the unit before, or nil before the first of a span
	Snapshot *Unit       // at the first unit of a span that opens at a snapshot: Seq, ID and TimeMs of the snapshot's unit
	Held     bool        // the span holds the whole ledger: states and values come from it, not from claims
	Attested Attestation // zero if the unit's own signatures must be checked

	// Known reports which ids are records of a smaller seq, stored or sealed. len(out) == len(ids).
	Known func(ctx context.Context, ids []ID) (out []bool, err error)
	// State reads era state as sealed so far: nil = absent; empty is not absent.
	State func(ctx context.Context, keys [][]byte) ([][]byte, error)
}

// Attestation says that the unit By, a later one whose own signatures were checked, attests the unit Unit: a
// chain of predecessor links leads from By to it.
type Attestation struct{ Unit, By ID }

// Identified is a record whose id and parents are known: all that a walk needs.
type Identified struct {
	Raw     []byte
	ID      ID
	Parents []ID
	Parsed  any   // the era's own; nil where Prepare parses anyway
	Err     error // bytes that cannot be identified; wraps ErrSyntax
}

// Prepared is a record that was strictly parsed and whose unlock signatures were checked.
type Prepared struct {
	Identified
	Data any   // the era's own
	Err  error // a rule that the bytes alone break; Seal refuses the cone
}

// View is state as read for one cone: keys that were not read are missing, absent values are nil.
type View map[string][]byte

// NodeClaims is what a node says of records. Nothing in it is believed; a root proves the states.
type NodeClaims struct {
	Source  string
	Records map[ID]Claimed
}

// Claimed is a node's word on one record.
type Claimed struct {
	Referenced uint64 // unit that confirmed it; 0 if none is known
	State      State
	Reason     uint16
	Place      uint64 // its place in the unit's order, counted from 1; 0 if not said
}

// Codec is all that the house knows of an era. It is pure and safe for concurrent use.
type Codec interface {
	Era() Era

	// ParseTrust reads a trust file of this era: canonical JSON, nothing unknown, nothing missing.
	// Errors wrap ErrTrust and name the field.
	ParseTrust(raw []byte) (Trust, error)
	// Snapshot reads the ledger before a span's first unit: a full file, then at most one delta file.
	// Files are read more than once. The checks that need all of it (supply, signatures of the milestones
	// inside) end Changes with an error.
	Snapshot(t Trust, files ...io.ReadSeeker) (Snapshot, error)

	// Unit parses and identifies a unit's head as sources give it. It checks nothing more.
	Unit(head []byte) (Unit, error)
	// Head is the inverse of Unit: the head that Begin takes, from a stored unit.
	Head(u Unit) []byte
	// ID re-hashes a record's stored bytes.
	ID(r *Record) (ID, error)
	// Identify returns one entry for each of raws, in order. A raw is a record as sources give it: its bytes, or
	// its framed parts in an era whose records have several.
	Identify(raws [][]byte) []Identified
	// Raw is the inverse of Identify: the raw that it takes, from a stored record.
	Raw(r *Record) []byte
	// Prepare returns one entry for each of ids, in order. It may run at any time before Seal.
	Prepare(ids []Identified) []Prepared
	// Begin checks the unit's signatures and its link to at.Prev, and starts its cone. Errors are
	// ErrSyntax, *Forged, or what at.State returned.
	Begin(ctx context.Context, head []byte, at Start) (Assembly, error)

	// TrustAt returns t with what the ledger itself has changed of it by unit seq: protocol parameters and the
	// prefix of addresses. Facts of that unit's records take it. state reads era state; without any, t comes back.
	TrustAt(ctx context.Context, t Trust, seq uint64, state func(context.Context, [][]byte) ([][]byte, error)) (Trust, error)
	// Facts is versioned by FactsVersion and never fails on odd content, only on a damaged record.
	Facts(r *Record, t Trust) (Facts, error)
	// Outline is what a row of a list needs of Facts, and nothing else: Undecoded, Tags, Addresses and Payloads.
	Outline(r *Record, t Trust) (Facts, error)
	// JSON is the node's own JSON form: compat APIs, exports and pages use this one encoder.
	JSON(r *Record) ([]byte, error)
	// UnitJSON is the node's own JSON form of a unit.
	UnitJSON(u Unit) ([]byte, error)
	// Recognise returns every reading of what a person typed, likeliest first; none if there is none.
	Recognise(text string, t Trust) []Key
	// Misread says why a text that Recognise does not read as an address or identifier resembles one all the same: a
	// wrong checksum or length, the prefix of another network, a letter that does not belong there. nil if it
	// resembles none, or is read.
	Misread(text string, t Trust) error
	// Beside returns what owner, the Val of a KeyAddress, holds at the end of unit seq and at the time timeMs beside
	// the sums of its KeyAddress and KeyToken postings' values up to there: what it had when the span was opened, and
	// what the expiry of outputs gave and took. One entry an asset, by asset; none is 0. expiring are the distinct
	// KeyExpiry keys of owner with a posting up to seq; more do not harm. state reads era state. It fails with
	// ErrNoLedger where the archive cannot know.
	Beside(ctx context.Context, t Trust, owner string, seq uint64, timeMs int64, expiring []Key,
		state func(context.Context, [][]byte) ([][]byte, error)) ([]Holding, error)
	// Expiries yields what time alone moves to owner or from it: of the outputs of the opening and of those that expiring
	// names, the distinct KeyExpiry keys of owner with a posting; each output once, by id, whether it was spent before
	// its time or not. seq is a committed unit. It fails with ErrNoLedger where the archive cannot know.
	Expiries(ctx context.Context, t Trust, owner string, seq uint64, expiring []Key,
		state func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[Expiry, error]
	// Links returns the keys under which what k names stands in a network of a later era, and of an earlier one,
	// that has the same ledger. None for most keys. in is a record that k was found with, or nil: what a key alone
	// does not tell is read from it.
	Links(k Key, in *Record) (later, earlier []Key)
	// FormatKey writes what k names as the era's own API does. in is a record that k was found with, or nil: what a
	// hash alone does not tell is read from it.
	FormatKey(k Key, in *Record) string
	// FormatID writes an id as the era's own API does.
	FormatID(id ID) string
	// FormatOwner writes an owner, the Val of a KeyAddress, as the era writes addresses at the place that t is of.
	FormatOwner(owner string, t Trust) string
	// FormatAsset writes an asset of a [Move] as the era writes token ids; "" is the base coin and stays.
	FormatAsset(asset string) string
	// ParseAsset is the inverse of FormatAsset for every spelling of a token id or type; that of the base coin's own
	// type gives "". false: text is none.
	ParseAsset(text string) (asset string, ok bool)
	// KindName returns the word for a record's kind.
	KindName(kind uint8) string
}

// Lister is a Codec whose units list their records.
type Lister interface {
	// Listed returns the ids of a unit's records, in the era's order, as the unit's own bytes list them.
	Listed(u Unit) ([]ID, error)
}

// Attester is a Codec whose units can be attested in batches: one certificate and a walk back over predecessor
// links prove a whole segment.
type Attester interface {
	// Segment is the number of units of a segment: the units k·Segment to k·Segment + Segment−1.
	Segment() uint64
	// Attest checks the links of consecutive heads, the first of which continues at.Prev, and as few of their
	// signatures as prove them all. It returns one entry for each head; an entry whose By is its own Unit had its
	// signatures checked. It fails as Begin does; then nothing is attested.
	Attest(ctx context.Context, heads [][]byte, at Start) ([]Attestation, error)
}

// Assembly gathers one cone. It belongs to one goroutine.
type Assembly interface {
	Unit() Unit
	// HeadChanges returns the state that the unit's head alone gives, of what Seal will return as changes: the heads
	// of later units are checked with it before this cone is sealed.
	HeadChanges() []Change
	// Want returns at most max ids whose bytes are still missing; none means closed.
	Want(ctx context.Context, max int) ([]ID, error)
	// Put hands over records; order does not matter, repetitions do not harm. A *Mismatch names the first
	// that was not wanted; the others are taken.
	Put(ids ...Identified) error
	// Edge declares ids to be confirmed by earlier units: where no ledger is held nobody but a source knows the
	// lower edge of a span's first cones. The root proves or refutes it at Seal.
	Edge(ids ...ID)
	// Members returns the records of the closed cone in the era's order.
	Members() []Identified
	// StateKeys returns the state that Seal will need. The caller reads it in one go.
	StateKeys(p []Prepared) [][]byte
	// Seal decides order and states and compares all roots. p are the members, prepared, in order. c is nil where a
	// ledger is held. Errors are *Forged, or ErrSyntax for a record that breaks a rule of its own.
	Seal(p []Prepared, v View, c *NodeClaims) (*Cone, error)
}
