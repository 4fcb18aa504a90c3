package rebased

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// partHead is the size of what stands before each part of a raw: kind and length.
const partHead = 1 + 4

// partEnd is the kind of what may stand first in a raw: the length of the TransactionData, u32 big-endian. It is there
// if this version cannot read the TransactionData, and so cannot find its end.
const partEnd ledger.PartKind = 255

// AppendRaw appends the raw of a record all of whose TransactionData this version can read: its parts, each with kind
// and length before it. They must be in the order that [ParseRaw] wants.
func AppendRaw(dst []byte, parts []ledger.Part) []byte { return appendRaw(dst, parts, 0) }

// appendRaw appends the raw of a record whose TransactionData has the length end; 0 if whoever reads it can tell.
func appendRaw(dst []byte, parts []ledger.Part, end int) []byte {
	if end > 0 {
		dst = binary.BigEndian.AppendUint32(append(dst, byte(partEnd), 0, 0, 0, 4), uint32(end))
	}
	for _, p := range parts {
		dst = binary.BigEndian.AppendUint32(append(dst, byte(p.Kind)), uint32(len(p.Raw)))
		dst = append(dst, p.Raw...)
	}
	return dst
}

// rawSize is the most that appendRaw appends.
func rawSize(parts []ledger.Part) int {
	n := partHead + 4
	for _, p := range parts {
		n += partHead + len(p.Raw)
	}
	return n
}

// ParseRaw splits a raw: one PartObject, one PartEffects, then either one PartRest or at most one PartEvents and any
// number of PartOutput and of PartInput, in this order. It does not read the parts, which share the memory of raw.
func ParseRaw(raw []byte) ([]ledger.Part, error) {
	parts, _, err := parseRaw(raw)
	return parts, err
}

// parseRaw returns the length of the TransactionData too, 0 if the raw does not say it.
func parseRaw(raw []byte) (parts []ledger.Part, end int, err error) {
	off := 0
	if head := [...]byte{byte(partEnd), 0, 0, 0, 4}; bytes.HasPrefix(raw, head[:]) && len(raw) >= len(head)+4 {
		end, off = int(binary.BigEndian.Uint32(raw[len(head):])), len(head)+4
		if end == 0 {
			return nil, 0, &bcs.SyntaxError{Offset: len(head), Why: "a transaction is not empty"}
		}
	}
	parts, err = parseParts(raw, off)
	return parts, end, err
}

func parseParts(raw []byte, off int) ([]ledger.Part, error) {
	parts := make([]ledger.Part, 0, 8)
	last := ledger.PartKind(0)
	for off < len(raw) {
		at := off
		if len(raw)-off < partHead {
			return nil, &bcs.SyntaxError{Offset: at, Why: "a part has 5 bytes before it"}
		}
		kind := ledger.PartKind(raw[off])
		size := binary.BigEndian.Uint32(raw[off+1:])
		off += partHead
		if uint64(size) > uint64(len(raw)-off) {
			return nil, &bcs.SyntaxError{Offset: at, Why: fmt.Sprintf("a part of %d bytes, %d are left", size, len(raw)-off)}
		}
		many := kind == ledger.PartOutput || kind == ledger.PartInput
		if !partFollows(last, kind) || kind == last && !many {
			return nil, &bcs.SyntaxError{Offset: at, Why: fmt.Sprintf("a part of kind %d after one of kind %d", kind, last)}
		}
		end := off + int(size)
		parts = append(parts, ledger.Part{Kind: kind, Raw: raw[off:end:end]})
		off, last = end, kind
	}
	if len(parts) < 2 {
		return nil, &bcs.SyntaxError{Offset: len(raw), Why: "a record has a transaction and its effects"}
	}
	return parts, nil
}

// partFollows reports whether a part of kind may stand after one of kind last, 0 at the beginning.
func partFollows(last, kind ledger.PartKind) bool {
	switch kind {
	case ledger.PartObject:
		return last == 0
	case ledger.PartEffects:
		return last == ledger.PartObject
	case ledger.PartRest:
		return last == ledger.PartEffects
	case ledger.PartEvents, ledger.PartOutput, ledger.PartInput:
		return last >= ledger.PartEffects && last <= kind
	}
	return false
}

// Pieces are a record as a source that frames its elements gives them: each the BCS of one value.
type Pieces struct {
	Transaction []byte   // TransactionData
	Signatures  [][]byte // with their length before them, or without
	Effects     []byte
	Events      [][]byte
	Inputs      [][]byte
	Outputs     [][]byte
}

// Raw returns the raw of the record: the same that [SplitCheckpoint] finds in a file. So events and objects are one
// PartRest where effects of an unknown form do not name them all.
func (p Pieces) Raw() []byte {
	signatures := make([][]byte, len(p.Signatures))
	for i, s := range p.Signatures {
		signatures[i] = bareSignature(s)
	}
	parts := make([]ledger.Part, 0, 3+len(p.Outputs)+len(p.Inputs))
	parts = append(parts,
		ledger.Part{Kind: ledger.PartObject, Raw: AppendSenderSigned(nil, p.Transaction, signatures)},
		ledger.Part{Kind: ledger.PartEffects, Raw: p.Effects})
	if len(p.Events) > 0 {
		events := bcs.AppendULEB(nil, uint32(len(p.Events)))
		for _, e := range p.Events {
			events = append(events, e...)
		}
		parts = append(parts, ledger.Part{Kind: ledger.PartEvents, Raw: events})
	}
	for _, o := range p.Outputs {
		parts = append(parts, ledger.Part{Kind: ledger.PartOutput, Raw: o})
	}
	for _, o := range p.Inputs {
		parts = append(parts, ledger.Part{Kind: ledger.PartInput, Raw: o})
	}
	if !isKnown(p.Effects, skimEffects) && !named(p.Effects, parts[2:]) {
		rest := appendAfterEffects(nil, parts[2:])
		parts = append(parts[:2], ledger.Part{Kind: ledger.PartRest, Raw: rest})
	}
	end := 0
	if !isKnown(p.Transaction, skimTransactionData) {
		end = len(p.Transaction)
	}
	return appendRaw(make([]byte, 0, rawSize(parts)), parts, end)
}

// isKnown reports whether raw is a value that this version can read.
func isKnown(raw []byte, skim func(*bcs.Reader)) bool {
	r := bcs.NewSkimmer(raw)
	skim(r)
	return r.End() == nil
}

// named reports whether the digests of events and objects stand in the effects' bytes.
func named(effects []byte, parts []ledger.Part) bool {
	committed := newDigestSet(effects)
	for _, p := range parts {
		d := ObjectDigest(p.Raw)
		if p.Kind == ledger.PartEvents {
			d = EventsDigest(p.Raw)
		}
		if !committed.has(&d) {
			return false
		}
	}
	return true
}

// bareSignature takes the length from before a signature, if there is one: no signature is as long as its own flag
// says.
func bareSignature(s []byte) []byte {
	r := bcs.NewReader(s)
	if bare := r.Bytes(); r.End() == nil && len(bare) > 0 {
		return bare
	}
	return s
}

// JoinCheckpoint is the inverse of [SplitCheckpoint]: the BCS of the CheckpointData, without a byte before it. The
// raws must have their inputs.
func JoinCheckpoint(head []byte, raws [][]byte) ([]byte, error) {
	if len(raws) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d records", ledger.ErrSyntax, len(raws))
	}
	size := len(head) + 5
	for _, raw := range raws {
		size += len(raw)
	}
	out := append(make([]byte, 0, size), head...)
	out = bcs.AppendULEB(out, uint32(len(raws)))
	for i, raw := range raws {
		parts, err := ParseRaw(raw)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		out = appendCheckpointTransaction(out, parts)
	}
	return out, nil
}

// appendCheckpointTransaction appends the BCS of a CheckpointTransaction.
func appendCheckpointTransaction(out []byte, parts []ledger.Part) []byte {
	out = append(append(append(out, 1), parts[0].Raw...), parts[1].Raw...)
	if last := parts[len(parts)-1]; last.Kind == ledger.PartRest {
		return append(out, last.Raw...)
	}
	return appendAfterEffects(out, parts[2:])
}

// appendAfterEffects appends events, inputs and outputs as they stand in a CheckpointTransaction.
func appendAfterEffects(out []byte, parts []ledger.Part) []byte {
	if len(parts) > 0 && parts[0].Kind == ledger.PartEvents {
		out = append(append(out, 1), parts[0].Raw...)
	} else {
		out = append(out, 0)
	}
	for _, kind := range [...]ledger.PartKind{ledger.PartInput, ledger.PartOutput} {
		n := uint32(0)
		for _, p := range parts {
			if p.Kind == kind {
				n++
			}
		}
		out = bcs.AppendULEB(out, n)
		for _, p := range parts {
			if p.Kind == kind {
				out = append(out, p.Raw...)
			}
		}
	}
	return out
}
