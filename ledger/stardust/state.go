package stardust

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"permanode/ledger"
)

// The state of this era, opaque to everybody else. Nothing is ever removed from it, so that it shows
// the ledger at the end of any unit. Integers in keys and rows are big-endian.
//
//	'O' output id 34         -> created ord 8 | booked s u32 | block id 32 | spent ord 8, or ff… | output
//	'E' block id 32          -> nothing: a solid entry point of the snapshot
//	'L' seq u64              -> the ledger's totals and parameters at the end of that unit
//	'A'                      -> nothing: the span was opened by a snapshot, and what addresses held there is noted
//	'A' address 33           -> amount u64 | n u32, each token 38, length u8, amount | ids of outputs that expire 34
const (
	stateOutput  = 'O'
	stateEntry   = 'E'
	stateTotals  = 'L'
	stateOpening = 'A'

	outputRowHead = 8 + 4 + 32 + 8
)

var errState = errors.New("malformed state")

func outputKey(id OutputID) []byte { return append([]byte{stateOutput}, id[:]...) }

func entryKey(id []byte) []byte { return append([]byte{stateEntry}, id...) }

func totalsKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{stateTotals}, seq)
}

// unspent is the spent ord of what is not spent. No ordinal begins with ff.
var unspent = ledger.Ord{Seq: math.MaxUint64 >> 24, Pos: ledger.UnitPos}

// outputRow is one output of the ledger.
type outputRow struct {
	created ledger.Ord // pos is UnitPos for what a receipt or snapshot made
	booked  uint32     // seconds
	block   Hash       // zero for genesis and migrated outputs
	spent   ledger.Ord // unspent if it is not
	raw     []byte     // serialised output
}

func (r *outputRow) encode() []byte {
	b := make([]byte, 0, outputRowHead+len(r.raw))
	b, _ = r.created.AppendBinary(b)
	b = binary.BigEndian.AppendUint32(b, r.booked)
	b = append(b, r.block[:]...)
	b, _ = r.spent.AppendBinary(b)
	return append(b, r.raw...)
}

func decodeOutputRow(b []byte) (r outputRow, err error) {
	if len(b) < outputRowHead {
		return r, fmt.Errorf("%w: output of %d bytes", errState, len(b))
	}
	r.created = ledger.OrdFrom(b)
	r.booked = binary.BigEndian.Uint32(b[8:])
	r.block = Hash(b[12:])
	r.spent = ledger.OrdFrom(b[44:])
	r.raw = b[outputRowHead:]
	return r, nil
}

// asOf returns the row as it stood before unit seq, false if the output did not exist then. What seq
// itself or a later unit did is undone: so a unit can be proven again over any later state.
func (r outputRow) asOf(seq uint64) (outputRow, bool) {
	if r.created.Seq >= seq {
		return outputRow{}, false
	}
	if r.spent.Seq >= seq {
		r.spent = unspent
	}
	return r, true
}

// totals is the ledger as a whole at the end of one unit.
type totals struct {
	held       bool
	treasury   Hash   // milestone that made the treasury output; held only
	amount     uint64 // of the treasury; held only
	unspent    uint64 // sum of all unspent outputs; held only
	parameters parameterTable
}

// A parameterTable lists protocol parameters by the first milestone at which they are in force,
// ascending: past ones that still matter, the present ones, and announced ones.
type parameterTable []parameterEntry

type parameterEntry struct {
	from uint32
	raw  []byte
	Parameters
}

func (t *totals) encode() []byte {
	b := append(make([]byte, 0, 128), 1, 0)
	if t.held {
		b[1] = 1
	}
	b = append(b, t.treasury[:]...)
	b = binary.BigEndian.AppendUint64(b, t.amount)
	b = binary.BigEndian.AppendUint64(b, t.unspent)
	for _, p := range t.parameters {
		b = binary.BigEndian.AppendUint32(b, p.from)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.raw)))
		b = append(b, p.raw...)
	}
	return b
}

func decodeTotals(b []byte) (t totals, err error) {
	const head = 2 + 32 + 8 + 8
	if len(b) < head || b[0] != 1 || b[1] > 1 {
		return t, fmt.Errorf("%w: totals of %d bytes", errState, len(b))
	}
	t.held = b[1] == 1
	t.treasury = Hash(b[2:])
	t.amount = binary.BigEndian.Uint64(b[34:])
	t.unspent = binary.BigEndian.Uint64(b[42:])
	for b = b[head:]; len(b) > 0; {
		if len(b) < 6 || len(b) < 6+int(binary.BigEndian.Uint16(b[4:])) {
			return t, fmt.Errorf("%w: cut parameters", errState)
		}
		n := 6 + int(binary.BigEndian.Uint16(b[4:]))
		e, err := newParameters(binary.BigEndian.Uint32(b), b[6:n])
		if err != nil {
			return t, fmt.Errorf("%w: %w", errState, err)
		}
		t.parameters = append(t.parameters, e)
		b = b[n:]
	}
	if len(t.parameters) == 0 {
		return t, fmt.Errorf("%w: no parameters", errState)
	}
	return t, nil
}

func newParameters(from uint32, raw []byte) (parameterEntry, error) {
	p, err := ParseParameters(raw)
	if err != nil {
		return parameterEntry{}, err
	}
	return parameterEntry{from, raw, *p}, nil
}

// at returns the place of the parameters in force at milestone seq.
func (t parameterTable) at(seq uint32) int {
	i := len(t) - 1
	for i > 0 && t[i].from > seq {
		i--
	}
	return i
}

// accepted returns the parameters by which a block that milestone seq confirms may have been made:
// those in force at one of the milestones down to which its parents may lie, newest first.
func (t parameterTable) accepted(seq uint32) []parameterEntry {
	now := t.at(seq)
	first := now
	for first > 0 && uint64(t[first].from)+uint64(t[now].BelowMaxDepth) > uint64(seq) {
		first--
	}
	out := make([]parameterEntry, 0, now-first+1)
	for i := now; i >= first; i-- {
		out = append(out, t[i])
	}
	return out
}

// with returns t with parameters that come into force at e.from, in place of others announced for then.
func (t parameterTable) with(e parameterEntry) parameterTable {
	out := make(parameterTable, 0, len(t)+1)
	for _, p := range t {
		if p.from < e.from {
			out = append(out, p)
		}
	}
	out = append(out, e)
	for _, p := range t {
		if p.from > e.from {
			out = append(out, p)
		}
	}
	return out
}

// trim drops what cannot matter any more after milestone seq.
func (t parameterTable) trim(seq uint32) parameterTable {
	for len(t) > 1 && uint64(t[1].from)+math.MaxUint8 < uint64(seq) {
		t = t[1:]
	}
	return t
}
