package rebased

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"permanode/ledger"
)

// Codec is this era's [ledger.Codec], [ledger.Attester] and [ledger.Lister]. It holds nothing.
type Codec struct{}

var (
	_ ledger.Codec    = Codec{}
	_ ledger.Attester = Codec{}
	_ ledger.Lister   = Codec{}
)

// maxTimeMs is the end of the year 9999: later times have no text.
const maxTimeMs = 253402300799999

// Era returns "rebased".
func (Codec) Era() ledger.Era { return Era }

// FormatID writes a digest as the nodes do: base58.
func (Codec) FormatID(id ledger.ID) string {
	var d Digest
	if id.Len() != len(d) {
		return id.String()
	}
	copy(d[:], id.Bytes())
	return d.String()
}

// kindNames are the words for [ledger.Record.Kind], as nodes write them.
var kindNames = [...]string{
	"unknown", "ProgrammableTransaction", "Genesis", "ConsensusCommitPrologueV1", "AuthenticatorStateUpdateV1",
	"EndOfEpochTransaction", "RandomnessStateUpdate",
}

// KindProgrammable is the kind of what users send: one more than the variant of its TransactionKind, as for all.
const KindProgrammable = 1 + uint8(TagProgrammable)

// KindName returns the word for a transaction's kind, "" for a number that is none.
func (Codec) KindName(kind uint8) string {
	if int(kind) < len(kindNames) {
		return kindNames[kind]
	}
	return ""
}

// head is a parsed unit.
type head struct {
	*Certified
	contents *Contents
	unit     ledger.Unit
}

// parseHead reads a head and identifies the unit.
func parseHead(raw []byte) (*head, error) {
	c, contents, list, err := ParseHead(raw)
	if err != nil {
		return nil, err
	}
	s := &c.Summary
	switch {
	case s.Seq > ledger.MaxSeq:
		err = fmt.Errorf("%w checkpoint: number %d is beyond %d", ledger.ErrSyntax, s.Seq, uint64(ledger.MaxSeq))
	case s.TimeMs > maxTimeMs:
		err = fmt.Errorf("%w checkpoint %d: time %d ms is beyond the year 9999", ledger.ErrSyntax, s.Seq, s.TimeMs)
	case len(contents.Transactions) >= ledger.UnitPos:
		err = fmt.Errorf("%w checkpoint %d: %d transactions", ledger.ErrSyntax, s.Seq, len(contents.Transactions))
	}
	if err != nil {
		return nil, err
	}
	id := CheckpointDigest(c.Header)
	u := ledger.Unit{
		Seq: s.Seq, ID: ledger.NewID(id[:]), TimeMs: int64(s.TimeMs), Header: c.Header, Auth: c.Auth, List: list,
	}
	if s.Previous != nil {
		u.Prev = ledger.NewID(s.Previous[:])
	}
	return &head{c, contents, u}, nil
}

// Unit parses a certified summary and the contents behind it.
func (Codec) Unit(raw []byte) (ledger.Unit, error) {
	h, err := parseHead(raw)
	if err != nil {
		return ledger.Unit{}, err
	}
	return h.unit, nil
}

// Listed returns the digests of the transactions in a checkpoint's contents.
func (Codec) Listed(u ledger.Unit) ([]ledger.ID, error) {
	c, err := ParseContents(u.List)
	if err != nil {
		return nil, fmt.Errorf("contents of checkpoint %d: %w", u.Seq, err)
	}
	ids := make([]ledger.ID, len(c.Transactions))
	for i := range ids {
		ids[i] = ledger.NewID(c.Transactions[i].Transaction[:])
	}
	return ids, nil
}

// Head returns the certified summary of a unit and its contents.
func (Codec) Head(u ledger.Unit) []byte { return slices.Concat(u.Header, u.Auth, u.List) }

// Snapshot fails: the ledger before checkpoint 0 is empty.
func (Codec) Snapshot(ledger.Trust, ...io.ReadSeeker) (ledger.Snapshot, error) {
	return ledger.Snapshot{}, errors.New("this era needs no snapshot: its ledger begins empty, with checkpoint 0")
}

// TrustAt returns t: facts depend on nothing that the ledger changes.
func (Codec) TrustAt(_ context.Context, t ledger.Trust, _ uint64,
	_ func(context.Context, [][]byte) ([][]byte, error),
) (ledger.Trust, error) {
	return t, nil
}

// JSON returns a transaction in the form of the nodes' own checkpoint JSON: the element of "transactions", without
// input objects, which are not kept.
func (Codec) JSON(r *ledger.Record) ([]byte, error) { return RecordJSON(r.Parts), nil }

// UnitJSON returns a checkpoint's certified summary and contents in the form of the nodes' own checkpoint JSON.
func (Codec) UnitJSON(u ledger.Unit) ([]byte, error) {
	return UnitJSON(u.Header, u.Auth, u.List), nil
}
