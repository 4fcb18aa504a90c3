// Package storage is the contract of the store, the truth that everything else follows: what a
// reader may rely on, the only way in, and the errors that tell a caller what it can do. It knows
// no engine and no era.
//
// A cone is stored whole or not at all. It is visible when it lies inside coverage, and never
// before; whatever else lies on disk does not exist for a reader. All rows are pure functions of
// the cone, so storing one twice is harmless. There is no way to delete.
package storage

import (
	"context"
	"iter"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// Span is a range of units that are complete, proven and consecutive, and how it was opened.
type Span struct {
	Lo, Hi   uint64    // inclusive; Hi == Lo-1, which may wrap around, while nothing is committed
	Held     bool      // holds the whole ledger: states and values come from it. Else by claims, proven by root
	Snapshot []string  // SHA-256, hex, of the snapshot files that opened it; empty without
	PrevID   ledger.ID // id of the unit before Lo, where the snapshot names one
	PrevTime int64     // its signed time, POSIX ms
}

// Empty reports whether nothing is committed.
func (s Span) Empty() bool { return s.Hi+1 == s.Lo }

// Next is the number of the unit that continues the span.
func (s Span) Next() uint64 { return s.Hi + 1 }

// Has reports whether unit seq is committed in the span.
func (s Span) Has(seq uint64) bool { return s.Lo <= seq && seq <= s.Hi && !s.Empty() }

// Gap is a range of units that are wanted and not there, with a reason.
type Gap struct {
	From, To uint64 // inclusive
	Reason   string // one line for a person
}

// Coverage is what a network's archive holds: spans and gaps, oldest first.
type Coverage struct {
	Spans []Span
	Gaps  []Gap
}

// Set returns the units in coverage.
func (c Coverage) Set() (s ranges.Set) {
	for _, sp := range c.Spans {
		if !sp.Empty() && sp.Hi >= sp.Lo {
			s.Add(sp.Lo, sp.Hi)
		}
	}
	return s
}

// Has reports whether a committed unit has this number.
func (c Coverage) Has(seq uint64) bool {
	for _, sp := range c.Spans {
		if sp.Has(seq) {
			return true
		}
	}
	return false
}

// Digest describes one part of a record (or a unit's header or list) in a unit's manifest: enough
// for proofs and comparison with a peer, without raw bytes.
type Digest struct {
	ID      ledger.ID
	Part    ledger.PartKind
	Len     uint32
	SHA256  [32]byte
	Applied bool // the applied root covers it
	Self    bool // container of its own unit: no log record
}

// Scan selects a part of a key's postings.
type Scan struct {
	Lo, Hi  ledger.Ord // inclusive; a zero Hi means no upper end
	Reverse bool       // newest first
	Prefix  bool       // every key of this kind that begins with Key.Val, in key order, then ordinal
	After   *Place     // if set, only what comes behind this place in the order of the scan: the cursor of a prefix scan
}

// Place is the place of one posting among those of a kind.
type Place struct {
	Val string // Key.Val
	Ord ledger.Ord
}

// Found is one answer of Lookup.
type Found struct {
	Key   ledger.Key
	Ord   ledger.Ord
	Role  ledger.Role
	Value ledger.Amount
}

// NoteKind says what a note records.
type NoteKind string

// The kinds of notes.
const (
	NoteEquivocation NoteKind = "equivocation" // two unit ids for one seq
	NoteRewrapped    NoteKind = "rewrapped"    // another container or signature set of a committed unit
	NoteRefused      NoteKind = "refused"      // forged or malformed content; the bytes are in quarantine
	NoteClaim        NoteKind = "claim"        // a node's claim that the proof contradicts
	NoteDecision     NoteKind = "decision"     // an operator's word on an equivocation: Unit is the one that counts
	NoteUndecoded    NoteKind = "undecoded"    // records of the unit that this version could not read whole
	NoteGap          NoteKind = "gap"          // Gap: sets the gap From..To with Reason; closing is the store's own work
)

// Note is a fact about collecting that an operator may need: never truth about the ledger.
type Note struct {
	Net      ledger.NetID
	Kind     NoteKind
	Seq, To  uint64    // the unit, or range, it is about
	Unit     ledger.ID // unit id or zero
	Source   string
	Code     string
	Text     string
	TimeMs   int64  // when it was first made, by the local clock
	Evidence []byte // header and auth of an equivocating unit, so that both stand; else nil
}

// Reader shows committed cones only: no method returns anything of a unit outside Coverage. It is
// safe for concurrent use. Fails with ErrNotFound, ErrCorrupt, or the context's error.
type Reader interface {
	Networks(ctx context.Context) ([]ledger.Network, error)
	Coverage(ctx context.Context, net ledger.NetID) (Coverage, error)
	// Unit returns the unit and its manifest: header, list if any, then every part of every record in order.
	Unit(ctx context.Context, net ledger.NetID, seq uint64) (ledger.Unit, []Digest, error)
	// Record returns the record at ord, its bytes re-hashed.
	Record(ctx context.Context, net ledger.NetID, ord ledger.Ord) (ledger.Record, error)
	// Cones returns the committed cones of lo..hi in order, without Changes. A gap inside fails with ErrIncomplete.
	Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error]
	Lookup(ctx context.Context, net ledger.NetID, key ledger.Key, scan Scan) iter.Seq2[Found, error]
	// Count returns the exact number of postings of key in units lo..hi.
	Count(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (uint64, error)
	// Sum returns the exact sum of the postings' values. asset "" is the base coin; another needs a KeyToken key.
	Sum(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (ledger.Amount, error)
	// Keys returns the distinct keys of prefix.Kind whose Val begins with prefix.Val and is greater than after ("" = from
	// the beginning; the key "" itself comes then too), in order, each with at least one committed posting. Its cost is that of a seek a key.
	Keys(ctx context.Context, net ledger.NetID, prefix ledger.Key, after string) iter.Seq2[ledger.Key, error]
	// Totals returns the number of records in the committed units of lo..hi and the bytes of all their parts, exactly.
	Totals(ctx context.Context, net ledger.NetID, lo, hi uint64) (records, bytes uint64, err error)
	// State returns one value for each key: nil = absent; empty is not absent.
	State(ctx context.Context, net ledger.NetID, keys [][]byte) ([][]byte, error)
	Notes(ctx context.Context, net ledger.NetID) iter.Seq2[Note, error]
	// Changed returns a channel that is closed at the next commit or note of net.
	Changed(net ledger.NetID) <-chan struct{}
	// SeqAt returns the committed units whose signed time lies in [fromMs, toMs).
	SeqAt(ctx context.Context, net ledger.NetID, fromMs, toMs int64) (ranges.Set, error)
}

// Writer is the only way in: one a network, in one process. It has no Delete. Its methods belong to
// one goroutine; the Reader inside is safe for concurrent use.
type Writer interface {
	Reader
	// Net returns the network that this writer writes.
	Net() ledger.NetID
	// Open begins a span at span.Lo with its starting ledger. It is idempotent: the same span again does
	// nothing. A span that overlaps another is refused.
	Open(ctx context.Context, span Span, start iter.Seq2[ledger.Change, error]) error
	// Commit makes cones durable and visible, all or none. They are consecutive and continue a span. A cone
	// that is already stored with the same unit id is skipped; another id fails with ErrConflict. After any
	// other error nothing of them is visible, now or after a restart, unless they were durable: Commit again.
	Commit(ctx context.Context, cones []*ledger.Cone) error
	// Repair replaces what is stored of a committed unit by what the same bytes give now, since this version can
	// read records that an earlier one could not. Unit and records keep their ids and places. All or nothing.
	Repair(ctx context.Context, cone *ledger.Cone) error
	// Note records a fact. The same kind, unit and source again replaces nothing: the first stands.
	Note(ctx context.Context, n Note) error
	Close() error
}
