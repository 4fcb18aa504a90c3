package query

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"permanode/ledger"
	"permanode/storage"
)

// Row is one record as an export lists it. The order of the fields is the format.
type Row struct {
	Network   string   `json:"network"`
	Seq       uint64   `json:"seq"`
	Pos       Pos      `json:"pos"` // null: the unit itself, in answers to a query
	ID        string   `json:"id"`
	State     string   `json:"state"`
	Reason    *uint16  `json:"reason"` // null unless conflicting
	Basis     string   `json:"basis"`
	Kind      string   `json:"kind"`
	Time      string   `json:"time"`      // signed time of the unit
	Tag       *string  `json:"tag"`       // 0x hex; null: no tag; "0x": a tag of no bytes
	Addresses []string `json:"addresses"` // named in the record's own bytes; sorted, unique, never null
	SHA256    string   `json:"sha256"`    // of the exact received bytes

	Undecoded *Undecoded `json:"undecoded,omitempty"` // this version could not read all of the record

	tag, payload []byte // the bytes of Tag and of the first payload: an export as a table has both
	payloads     int
}

// Undecoded is a record that this version could not read whole: its bytes, and why.
type Undecoded struct {
	Reason string `json:"reason"`
	Parts  []Part `json:"parts"`
}

// Part is one piece of a record's exact received bytes.
type Part struct {
	Kind string `json:"kind"` // "object", "effects", "events", "output", "rest"
	Raw  string `json:"raw"`  // 0x hex
}

var partNames = map[ledger.PartKind]string{
	ledger.PartObject: "object", ledger.PartEffects: "effects", ledger.PartEvents: "events", ledger.PartOutput: "output", ledger.PartRest: "rest",
}

func undecoded(r *ledger.Record, f *ledger.Facts) *Undecoded {
	if f.Undecoded == "" {
		return nil
	}
	u := &Undecoded{Reason: f.Undecoded}
	for _, p := range r.Parts {
		u.Parts = append(u.Parts, Part{partNames[p.Kind], "0x" + hex.EncodeToString(p.Raw)})
	}
	return u
}

// Record is one record with all that can be read of it: the object of GET /v1/networks/{net}/records/{id} and of
// `get --json`.
type Record struct {
	Row
	UnitID    string    `json:"unit_id"`
	SizeBytes int       `json:"size_bytes"`
	Objects   []string  `json:"objects"`
	Tokens    []Token   `json:"tokens"`
	Texts     []string  `json:"texts"`
	Leaves    []Leaf    `json:"leaves"`
	Payloads  []Payload `json:"payloads"`
	Tags      []string  `json:"tags"` // all of them; tag is the first
	Facets    []Facet   `json:"facets"`
	Moves     []Move    `json:"moves"`
}

// Facet is one named property of a record: a sender, a function that it calls, the type of an event.
type Facet struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Move is what an owner gained, or lost where negative, of an asset; an empty asset is the base coin.
type Move struct {
	Owner  string `json:"owner"`
	Asset  string `json:"asset"`
	Amount string `json:"amount"`
}

// Token is an amount of a native token.
type Token struct {
	ID     string `json:"id"`
	Amount string `json:"amount"`
}

// Leaf is one scalar of a JSON text inside the record; numbers keep their digits.
type Leaf struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// Payload is a place of payload bytes in the record's bytes.
type Payload struct {
	OffsetBytes int    `json:"offset_bytes"`
	SizeBytes   int    `json:"size_bytes"`
	SHA256      string `json:"sha256"`
}

// Unit is what confirms records: the object of GET /v1/networks/{net}/units/{seq}.
type Unit struct {
	Network    string  `json:"network"`
	Seq        uint64  `json:"seq"`
	ID         string  `json:"id"`
	PreviousID *string `json:"previous_id"` // null where the unit names none
	Time       string  `json:"time"`
	Records    uint64  `json:"records"`
	Bytes      uint64  `json:"bytes"`       // exact received bytes of those records
	LedgerHeld bool    `json:"ledger_held"` // the archive holds the whole ledger here
	States     string  `json:"states"`      // "replay" of the ledger, "claims" that the root proves, or "stated" by the records
	AttestedBy *string `json:"attested_by"` // the later unit whose signatures prove this one; null: its own were checked
}

// Object returns the exact received bytes of r.
func Object(r *ledger.Record) []byte {
	if len(r.Parts) == 0 {
		return nil
	}
	return r.Parts[0].Raw
}

// row describes r, which the unit confirmed.
func row(n Network, unit *ledger.Unit, r *ledger.Record, f *ledger.Facts) Row {
	return rowAt(n, timeText(unit.TimeMs), r, f)
}

// rowAt is row with the signed time of the unit as it is written, which many records share.
func rowAt(n Network, at string, r *ledger.Record, f *ledger.Facts) Row {
	sum := sha256.Sum256(Object(r))
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	out := Row{
		Network: n.Name, Seq: r.Ord.Seq, Pos: Pos(r.Ord.Pos), ID: n.Codec.FormatID(r.ID),
		State: r.State.String(), Basis: r.Basis.String(), Kind: n.Codec.KindName(r.Kind),
		Time: at, Addresses: f.Addresses, SHA256: string(digits[:]),
	}
	if r.State == ledger.Conflicting {
		out.Reason = &r.Reason
	}
	if len(f.Tags) > 0 {
		tag := "0x" + hex.EncodeToString(f.Tags[0])
		out.Tag, out.tag = &tag, f.Tags[0]
	}
	if out.payloads = len(f.Payloads); out.payloads > 0 {
		out.payload = cutOut(Object(r), f.Payloads[0])
	}
	out.Undecoded = undecoded(r, f)
	if out.Addresses == nil {
		out.Addresses = []string{}
	}
	return out
}

// cutOut returns a piece of raw, nil for one that lies outside.
func cutOut(raw []byte, p ledger.Span) []byte {
	if p.Off < 0 || p.Len < 0 || p.Off > len(raw) || p.Len > len(raw)-p.Off {
		return nil
	}
	return raw[p.Off : p.Off+p.Len]
}

// facts reads what a person can read of r. Content of no bytes is no payload: there is nothing to look up or to give.
func facts(n Network, r *ledger.Record) (*ledger.Facts, error) {
	return drawn(n, r, n.Codec.Facts)
}

// outline reads what a row shows of r.
func outline(n Network, r *ledger.Record) (*ledger.Facts, error) {
	return drawn(n, r, n.Codec.Outline)
}

func drawn(n Network, r *ledger.Record, draw func(*ledger.Record, ledger.Trust) (ledger.Facts, error)) (*ledger.Facts, error) {
	f, err := draw(r, n.Rules)
	if err != nil {
		return nil, fmt.Errorf("read record %s of %s (unit %d, pos %d): %w", n.Codec.FormatID(r.ID), n.Name, r.Ord.Seq, r.Ord.Pos, err)
	}
	f.Payloads = slices.DeleteFunc(f.Payloads, func(p ledger.Span) bool { return p.Len == 0 })
	return &f, nil
}

// Describe returns all that can be read of a record.
func (a *Archive) Describe(ctx context.Context, n Network, r *ledger.Record) (Record, error) {
	unit, _, err := a.store.Unit(ctx, n.ID, r.Ord.Seq)
	if err != nil {
		return Record{}, fmt.Errorf("unit %d of %s: %w", r.Ord.Seq, n.Name, err)
	}
	if n, err = a.at(ctx, n, r.Ord.Seq); err != nil {
		return Record{}, err
	}
	f, err := facts(n, r)
	if err != nil {
		return Record{}, err
	}
	raw := Object(r)
	out := Record{
		Row: row(n, &unit, r, f), UnitID: n.Codec.FormatID(unit.ID), SizeBytes: len(raw),
		Objects: orEmpty(f.Objects), Texts: orEmpty(f.Texts), Tokens: []Token{}, Leaves: []Leaf{}, Payloads: []Payload{},
		Tags: []string{}, Facets: []Facet{}, Moves: []Move{},
	}
	for _, t := range f.Tags {
		out.Tags = append(out.Tags, "0x"+hex.EncodeToString(t))
	}
	for _, x := range f.Facets {
		out.Facets = append(out.Facets, Facet(x))
	}
	for _, m := range f.Moves {
		out.Moves = append(out.Moves, Move{m.Owner, m.Asset, m.Amount.String()})
	}
	for _, t := range f.Tokens {
		out.Tokens = append(out.Tokens, Token{t.ID, t.Amount.String()})
	}
	for _, l := range f.Leaves {
		out.Leaves = append(out.Leaves, Leaf{l.Path, l.Value})
	}
	for _, p := range f.Payloads {
		if p.Off < 0 || p.Len < 0 || p.Off > len(raw) || p.Len > len(raw)-p.Off {
			return Record{}, fmt.Errorf("record %s: payload %d+%d lies outside its %d bytes", out.ID, p.Off, p.Len, len(raw))
		}
		sum := sha256.Sum256(raw[p.Off : p.Off+p.Len])
		out.Payloads = append(out.Payloads, Payload{p.Off, p.Len, hex.EncodeToString(sum[:])})
	}
	return out, nil
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// Record returns the record at ord, its bytes re-hashed. It fails with storage.ErrNotFound or storage.ErrCorrupt.
func (a *Archive) Record(ctx context.Context, n Network, ord ledger.Ord) (ledger.Record, error) {
	r, err := a.store.Record(ctx, n.ID, ord)
	if err != nil {
		return r, fmt.Errorf("record %d/%d of %s: %w", ord.Seq, ord.Pos, n.Name, err)
	}
	return r, nil
}

// Unit returns the unit seq of n and what its manifest lists. It fails with *AbsentError.
func (a *Archive) Unit(ctx context.Context, n Network, seq uint64) (Unit, ledger.Unit, []storage.Digest, error) {
	e, cov, err := a.extent(ctx, n)
	if err != nil {
		return Unit{}, ledger.Unit{}, nil, err
	}
	if !cov.Has(seq) {
		return Unit{}, ledger.Unit{}, nil, absentUnit(n, seq, e)
	}
	u, manifest, err := a.store.Unit(ctx, n.ID, seq)
	if err != nil {
		return Unit{}, ledger.Unit{}, nil, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
	}
	records, bytes := countRecords(manifest)
	out := Unit{
		Network: n.Name, Seq: u.Seq, ID: n.Codec.FormatID(u.ID), Time: timeText(u.TimeMs),
		Records: records, Bytes: bytes, LedgerHeld: held(cov, seq),
	}
	switch {
	case n.Rules.States:
		out.States = "stated"
	case out.LedgerHeld:
		out.States = "replay"
	default:
		out.States = "claims"
	}
	if !u.AttestedBy.IsZero() {
		by := n.Codec.FormatID(u.AttestedBy)
		out.AttestedBy = &by
	}
	if !u.Prev.IsZero() {
		prev := n.Codec.FormatID(u.Prev)
		out.PreviousID = &prev
	}
	return out, u, manifest, nil
}

func held(cov storage.Coverage, seq uint64) bool {
	for _, s := range cov.Spans {
		if s.Has(seq) {
			return s.Held
		}
	}
	return false
}
