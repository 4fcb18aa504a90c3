package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"permanode/ledger"
)

// Era is the toy era's name.
const Era ledger.Era = "toy"

// Toy is the codec of the toy era. Ids are SHA-256.
//
//	unit    := 'U' seq u64 | timeMs u64 | prev 32 | tip 32 | n u32 | root 32 | auth 16
//	record  := 'R' nonce u64 | n u8, n parents 32 | n u8, tag | n u8, n inputs 34 | n u8, n outputs | n u16, payload
//	output  := owner 4 | amount u32
//	state   := output id 34 -> created ord 8 | spent ord 8, all ff if not | output 8
//	           'u' seq u64  -> n u32
//	           'o' owner 4  -> what it has in the opening, u64; 'o' alone marks a ledger that is held
//
// The unit's records are those that its tip reaches through parents, first parent first, each after what
// it builds on. The root hashes ids and states. A record spends its inputs if all of them are there, unspent
// and worth as much as its outputs; else it is conflicting: 1 unknown input, 2 spent input, 3 too little.
type Toy struct{}

const (
	headerLen = 1 + 8 + 8 + 32 + 32 + 4 + 32
	authLen   = 16
	outIDLen  = 34
	rowLen    = 24
	payMin    = 64 // payloads from here on have a key
)

var (
	_       ledger.Codec = Toy{}
	notOrd               = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	zeroRef [32]byte
)

// Codecs returns the toy codec for the toy era.
func Codecs(era ledger.Era) (ledger.Codec, bool) { return Toy{}, era == Era }

// Era returns "toy".
func (Toy) Era() ledger.Era { return Era }

// ParseTrust reads "toy " and the identity.
func (Toy) ParseTrust(raw []byte) (ledger.Trust, error) {
	id, ok := strings.CutPrefix(string(raw), "toy ")
	if !ok || id == "" {
		return ledger.Trust{}, fmt.Errorf("%w: not a toy's", ledger.ErrTrust)
	}
	return ledger.Trust{Era: Era, Identity: id, Name: id, First: 1, Raw: raw}, nil
}

// Snapshot reads seq, unit id, time, then rows of key and value.
func (Toy) Snapshot(_ ledger.Trust, files ...io.ReadSeeker) (s ledger.Snapshot, err error) {
	raw, err := io.ReadAll(files[0])
	if err != nil {
		return s, err
	}
	if len(raw) < 48 || (len(raw)-48)%(outIDLen+rowLen) != 0 {
		return s, fmt.Errorf("%w: snapshot of %d bytes", ledger.ErrSyntax, len(raw))
	}
	s.Seq, s.Unit = binary.BigEndian.Uint64(raw), ledger.NewID(raw[8:40])
	s.TimeMs = int64(binary.BigEndian.Uint64(raw[40:]))
	s.Changes = func(yield func(ledger.Change, error) bool) {
		var outputs []ledger.Change
		for b := raw[48:]; len(b) > 0; b = b[outIDLen+rowLen:] {
			outputs = append(outputs, ledger.Change{Key: b[:outIDLen], Val: b[outIDLen : outIDLen+rowLen]})
		}
		for _, c := range withHoldings(outputs) {
			if !yield(c, nil) {
				return
			}
		}
	}
	return s, nil
}

// Unit parses a head.
func (Toy) Unit(head []byte) (u ledger.Unit, err error) {
	if len(head) != headerLen+authLen || head[0] != 'U' {
		return u, fmt.Errorf("%w: head of %d bytes", ledger.ErrSyntax, len(head))
	}
	u.Header, u.Auth = head[:headerLen:headerLen], head[headerLen:]
	u.Seq = binary.BigEndian.Uint64(head[1:])
	u.TimeMs = int64(binary.BigEndian.Uint64(head[9:]))
	if !bytes.Equal(head[17:49], zeroRef[:]) {
		u.Prev = ledger.NewID(head[17:49])
	}
	sum := sha256.Sum256(u.Header)
	u.ID = ledger.NewID(sum[:])
	return u, nil
}

// Head joins header and auth.
func (Toy) Head(u ledger.Unit) []byte { return append(bytes.Clone(u.Header), u.Auth...) }

// ID hashes the record.
func (Toy) ID(r *ledger.Record) (ledger.ID, error) {
	if len(r.Parts) != 1 {
		return ledger.ID{}, fmt.Errorf("%w: %d parts", ledger.ErrSyntax, len(r.Parts))
	}
	return hashID(r.Parts[0].Raw), nil
}

func hashID(raw []byte) ledger.ID {
	sum := sha256.Sum256(raw)
	return ledger.NewID(sum[:])
}

// Identify hashes and reads parents.
func (Toy) Identify(raws [][]byte) []ledger.Identified {
	out := make([]ledger.Identified, len(raws))
	for i, raw := range raws {
		out[i] = ledger.Identified{Raw: raw, ID: hashID(raw)}
		r, err := parseRecord(raw)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Parents = r.parents
	}
	return out
}

// Raw returns the record's bytes.
func (Toy) Raw(r *ledger.Record) []byte { return r.Parts[0].Raw }

// Links knows no other era.
func (Toy) Links(ledger.Key, *ledger.Record) (later, earlier []ledger.Key) { return nil, nil }

// Prepare parses.
func (Toy) Prepare(ids []ledger.Identified) []ledger.Prepared {
	out := make([]ledger.Prepared, len(ids))
	for i, id := range ids {
		r, err := parseRecord(id.Raw)
		out[i] = ledger.Prepared{Identified: id, Data: r, Err: err}
	}
	return out
}

// Begin checks auth and link.
func (t Toy) Begin(_ context.Context, head []byte, at ledger.Start) (ledger.Assembly, error) {
	u, err := t.Unit(head)
	if err != nil {
		return nil, err
	}
	if auth(at.Trust.Identity, u.Header) != [authLen]byte(u.Auth) {
		return nil, &ledger.Forged{Seq: u.Seq, Code: "unit.signature", Why: "the auth is not of this network"}
	}
	prev := at.Prev
	if prev == nil {
		prev = at.Snapshot
	}
	if prev != nil && (u.Seq != prev.Seq+1 || u.Prev != prev.ID) {
		return nil, &ledger.Forged{Seq: u.Seq, Code: "unit.prev", Why: "it does not follow the unit before"}
	}
	return &assembly{at: at, u: u, have: map[ledger.ID]ledger.Identified{}, known: map[ledger.ID]bool{ledger.NewID(zeroRef[:]): true}}, nil
}

func auth(identity string, header []byte) [authLen]byte {
	sum := sha256.Sum256(append([]byte("auth "+identity), header...))
	return [authLen]byte(sum[:authLen])
}

// TrustAt returns t: nothing changes here.
func (Toy) TrustAt(_ context.Context, t ledger.Trust, _ uint64, _ func(context.Context, [][]byte) ([][]byte, error)) (ledger.Trust, error) {
	return t, nil
}

// Facts returns the tag.
func (Toy) Facts(r *ledger.Record, _ ledger.Trust) (f ledger.Facts, err error) {
	p, err := parseRecord(r.Parts[0].Raw)
	if err != nil {
		return f, err
	}
	if p.tag != nil {
		f.Tags = [][]byte{p.tag}
	}
	for _, o := range p.outs {
		f.Addresses = append(f.Addresses, hex.EncodeToString(o[:4]))
	}
	slices.Sort(f.Addresses)
	f.Addresses = slices.Compact(f.Addresses)
	return f, nil
}

// Outline returns the same.
func (t Toy) Outline(r *ledger.Record, trust ledger.Trust) (ledger.Facts, error) {
	return t.Facts(r, trust)
}

// JSON writes the raw bytes as hex.
func (Toy) JSON(r *ledger.Record) ([]byte, error) {
	return fmt.Appendf(nil, `{"raw":"%x"}`, r.Parts[0].Raw), nil
}

// UnitJSON writes the number.
func (Toy) UnitJSON(u ledger.Unit) ([]byte, error) {
	return fmt.Appendf(nil, `{"index":%d}`, u.Seq), nil
}

// Recognise reads 64 hex digits as the id of a record or unit.
func (Toy) Recognise(text string, _ ledger.Trust) []ledger.Key {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return nil
	}
	return []ledger.Key{{Kind: ledger.KeyRecord, Val: string(b)}, {Kind: ledger.KeyUnit, Val: string(b)}}
}

// Misread finds no form that resembles another.
func (Toy) Misread(string, ledger.Trust) error { return nil }

// Beside returns what the owner's outputs of the opening hold: nothing expires here.
func (Toy) Beside(ctx context.Context, _ ledger.Trust, owner string, seq uint64, _ int64, _ []ledger.Key,
	state func(context.Context, [][]byte) ([][]byte, error),
) ([]ledger.Holding, error) {
	rows, err := state(ctx, [][]byte{{'o'}, append([]byte{'o'}, owner...)})
	switch {
	case err != nil:
		return nil, err
	case rows[0] == nil:
		return nil, fmt.Errorf("balance of %x at unit %d: %w", owner, seq, ledger.ErrNoLedger)
	case rows[1] == nil:
		return nil, nil
	}
	return []ledger.Holding{{Amount: ledger.Coins(binary.BigEndian.Uint64(rows[1]))}}, nil
}

// Expiries yields nothing.
func (Toy) Expiries(context.Context, ledger.Trust, string, uint64, []ledger.Key, func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[ledger.Expiry, error] {
	return func(func(ledger.Expiry, error) bool) {}
}

// withHoldings adds to the outputs of an opening what each owner has of them, and a mark that it was done.
func withHoldings(outputs []ledger.Change) []ledger.Change {
	sums := map[string]uint64{}
	for _, c := range outputs {
		sums[string(c.Val[16:20])] += amountOf(c.Val)
	}
	out := append(slices.Clone(outputs), ledger.Change{Key: []byte{'o'}, Val: []byte{}})
	for _, owner := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, ledger.Change{Key: append([]byte{'o'}, owner...), Val: binary.BigEndian.AppendUint64(nil, sums[owner])})
	}
	return out
}

// FormatOwner writes hex.
func (Toy) FormatOwner(owner string, _ ledger.Trust) string { return hex.EncodeToString([]byte(owner)) }

// FormatAsset writes hex; a toy has the base coin only.
func (Toy) FormatAsset(asset string) string { return hex.EncodeToString([]byte(asset)) }

// ParseAsset reads hex.
func (Toy) ParseAsset(text string) (string, bool) {
	b, err := hex.DecodeString(text)
	return string(b), err == nil
}

// FormatKey writes hex.
func (Toy) FormatKey(k ledger.Key, _ *ledger.Record) string { return hex.EncodeToString([]byte(k.Val)) }

// FormatID writes hex.
func (Toy) FormatID(id ledger.ID) string { return id.String() }

// KindName returns "transfer" or "note".
func (Toy) KindName(kind uint8) string {
	if kind == 1 {
		return "transfer"
	}
	return "note"
}

// record is a parsed record.
type record struct {
	parents []ledger.ID
	tag     []byte
	inputs  [][]byte
	outs    [][8]byte
	payload []byte
}

func (r *record) append(nonce uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{'R'}, nonce)
	b = append(b, byte(len(r.parents)))
	for _, p := range r.parents {
		b = p.Append(b)
	}
	b = append(append(b, byte(len(r.tag))), r.tag...)
	b = append(b, byte(len(r.inputs)))
	for _, in := range r.inputs {
		b = append(b, in...)
	}
	b = append(b, byte(len(r.outs)))
	for _, o := range r.outs {
		b = append(b, o[:]...)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(r.payload))), r.payload...)
}

var errShort = fmt.Errorf("%w: record ends early", ledger.ErrSyntax)

func parseRecord(raw []byte) (*record, error) {
	if len(raw) < 9 || raw[0] != 'R' {
		return nil, errShort
	}
	b, r := raw[9:], &record{}
	list := func(size int, add func([]byte)) error {
		if len(b) == 0 || len(b) < 1+int(b[0])*size {
			return errShort
		}
		n := int(b[0])
		for b = b[1:]; n > 0; n-- {
			add(b[:size:size])
			b = b[size:]
		}
		return nil
	}
	err := errors.Join(
		list(32, func(p []byte) { r.parents = append(r.parents, ledger.NewID(p)) }),
		list(1, func(c []byte) { r.tag = append(r.tag, c[0]) }),
		list(outIDLen, func(in []byte) { r.inputs = append(r.inputs, in) }),
		list(8, func(o []byte) { r.outs = append(r.outs, [8]byte(o)) }))
	if err != nil || len(b) < 2 || len(b)-2 != int(binary.BigEndian.Uint16(b)) {
		return nil, errShort
	}
	r.payload = b[2:]
	return r, nil
}

func outputID(rec ledger.ID, i int) []byte { return append(rec.Bytes(), byte(i>>8), byte(i)) }
