package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"permanode/ledger"
	"permanode/storage"
)

// errBadRow is wrapped by every error of a decoder: the row is not one that this version writes.
var errBadRow = errors.New("malformed row")

func errRow(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBadRow}, args...)...)
}

// rowVersion begins every value with fields.
const rowVersion = 1

// Values are a version byte and fields in order: integers as uvarint, byte strings as length and
// bytes, ids as one byte of length and bytes.

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendID(dst []byte, id ledger.ID) []byte { return id.Append(append(dst, byte(id.Len()))) }

func appendAmount(dst []byte, a ledger.Amount) []byte {
	at := len(dst)
	dst, _ = a.AppendBinary(append(dst, 0))
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	long, _ := a.AppendBinary(nil)
	return appendBytes(dst[:at], long)
}

// A reader takes fields from a value. After an error it yields zeros; err tells the first.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = errRow(format, args...)
	}
	r.b = nil
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != rowVersion {
		r.fail("version %d, this program knows %d", v, rowVersion)
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("ends early")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// take returns the next n bytes as a part of the value; nil at an error.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("ends early")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) id() ledger.ID {
	n := r.byte()
	if n > ledger.MaxIDLen {
		r.fail("id of %d bytes", n)
		return ledger.ID{}
	}
	return ledger.NewID(r.take(uint64(n)))
}

func (r *reader) amount() ledger.Amount {
	a, err := ledger.AmountFrom(r.bytes())
	if err != nil {
		r.fail("%v", err)
	}
	return a
}

// count reads the number of entries that follow, each of at least size bytes: so memory stays bounded by
// the value.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail("%d entries in %d bytes", n, len(r.b))
		return 0
	}
	return int(n)
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

func encodeNetwork(n ledger.Network) []byte {
	b := appendString([]byte{rowVersion}, n.Name)
	b = appendString(b, string(n.Era))
	b = appendString(b, n.Identity)
	b = appendBytes(b, n.Trust)
	return appendString(b, n.Follows)
}

func decodeNetwork(b []byte) (n ledger.Network, err error) {
	r := &reader{b: b}
	r.version()
	n.Name, n.Era, n.Identity, n.Trust, n.Follows = r.string(), ledger.Era(r.string()), r.string(), r.bytes(), r.string()
	return n, r.end()
}

// spanRow is a span with what check needs to know of its opening.
type spanRow struct {
	storage.Span
	rows uint64           // number of rows in the opening state
	sum  storage.StateSum // over these rows
}

func encodeSpan(s spanRow) []byte {
	b := binary.BigEndian.AppendUint64([]byte{rowVersion}, s.Hi)
	b = append(b, flag(s.Held, 1))
	b = binary.AppendUvarint(b, uint64(len(s.Snapshot)))
	for _, h := range s.Snapshot {
		b = appendString(b, h)
	}
	b = appendID(b, s.PrevID)
	b = binary.BigEndian.AppendUint64(b, uint64(s.PrevTime))
	b = binary.AppendUvarint(b, s.rows)
	return append(b, s.sum[:]...)
}

func decodeSpan(key, val []byte) (s spanRow, err error) {
	if s.Lo, err = seqOf(key); err != nil {
		return s, err
	}
	r := &reader{b: val}
	r.version()
	s.Hi = r.uint64()
	s.Held = r.flags(1)&1 != 0
	for range r.count(1) {
		s.Snapshot = append(s.Snapshot, r.string())
	}
	s.PrevID = r.id()
	s.PrevTime = int64(r.uint64())
	s.rows = r.uvarint()
	copy(s.sum[:], r.take(uint64(len(s.sum))))
	return s, r.end()
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

func (r *reader) flags(all byte) byte {
	v := r.byte()
	if v&^all != 0 {
		r.fail("unknown flags %02x", v)
	}
	return v
}

func encodeGap(g storage.Gap) []byte {
	return appendString(binary.BigEndian.AppendUint64([]byte{rowVersion}, g.To), g.Reason)
}

func decodeGap(key, val []byte) (g storage.Gap, err error) {
	if g.From, err = seqOf(key); err != nil {
		return g, err
	}
	r := &reader{b: val}
	r.version()
	g.To, g.Reason = r.uint64(), r.string()
	return g, r.end()
}

// unitRow is a unit and what it did by itself.
type unitRow struct {
	ledger.Unit
	records uint64
	bytes   uint64 // of all parts of its records
	moves   []ledger.Move
	posts   []ledger.Posting
}

func encodeUnit(c *ledger.Cone) []byte {
	u := &c.Unit
	b := make([]byte, 0, 192+len(u.Header)+len(u.Auth)+len(u.List))
	b = appendID(append(b, rowVersion), u.ID)
	b = appendID(b, u.Prev)
	b = binary.BigEndian.AppendUint64(b, uint64(u.TimeMs))
	b = appendBytes(b, u.Header)
	b = appendBytes(b, u.Auth)
	b = append(b, flag(u.List != nil, 1)|flag(!u.AttestedBy.IsZero(), 2))
	b = appendBytes(b, u.List)
	if !u.AttestedBy.IsZero() {
		b = appendID(b, u.AttestedBy)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Records)))
	b = binary.AppendUvarint(b, recordBytes(c))
	b = appendMoves(b, c.Moves)
	return appendPosts(b, c.Posts)
}

func decodeUnit(key, val []byte) (u unitRow, err error) {
	if u.Seq, err = seqOf(key); err != nil {
		return u, err
	}
	r := &reader{b: val}
	r.version()
	u.ID, u.Prev = r.id(), r.id()
	u.TimeMs = int64(r.uint64())
	u.Header, u.Auth = r.bytes(), r.bytes()
	flags := r.flags(3)
	if list := r.bytes(); flags&1 != 0 {
		u.List = list
	} else if len(list) > 0 {
		r.fail("a list where there is none")
	}
	if flags&2 != 0 {
		if u.AttestedBy = r.id(); u.AttestedBy.IsZero() {
			r.fail("attested by nothing")
		}
	}
	u.records, u.bytes = r.uvarint(), r.uvarint()
	u.moves, u.posts = r.moves(), r.posts()
	return u, r.end()
}

func appendMoves(b []byte, moves []ledger.Move) []byte {
	b = binary.AppendUvarint(b, uint64(len(moves)))
	for i := range moves {
		m := &moves[i]
		b = appendString(b, m.Owner)
		b = appendString(b, m.Asset)
		b = appendID(b, m.Output)
		b = appendAmount(b, m.Amount)
	}
	return b
}

func (r *reader) moves() (out []ledger.Move) {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	out = make([]ledger.Move, 0, min(n, 1024))
	for range n {
		out = append(out, ledger.Move{Owner: r.string(), Asset: r.string(), Output: r.id(), Amount: r.amount()})
	}
	return out
}

func appendPosts(b []byte, posts []ledger.Posting) []byte {
	b = binary.AppendUvarint(b, uint64(len(posts)))
	for i := range posts {
		p := &posts[i]
		b = append(b, byte(p.Key.Kind), byte(p.Role))
		b = appendString(b, p.Key.Val)
		b = appendAmount(b, p.Value)
	}
	return b
}

func (r *reader) posts() (out []ledger.Posting) {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	out = make([]ledger.Posting, 0, min(n, 1024))
	all, size := string(r.b), len(r.b) // one string for all keys
	for range n {
		var p ledger.Posting
		p.Key.Kind, p.Role = ledger.KeyKind(r.byte()), ledger.Role(r.byte())
		key := r.bytes()
		if r.err != nil {
			return nil
		}
		end := size - len(r.b)
		p.Key.Val, p.Value = all[end-len(key):end], r.amount()
		out = append(out, p)
	}
	return out
}

func appendRecord(b []byte, rec *ledger.Record) []byte {
	b = appendID(append(b, rowVersion), rec.ID)
	b = append(b, rec.Kind, byte(rec.State), byte(rec.Basis), flag(rec.Self, 1)|flag(rec.Undecoded, 2))
	b = binary.AppendUvarint(b, uint64(rec.Reason))
	b = binary.AppendUvarint(b, uint64(len(rec.Parts)))
	for _, p := range rec.Parts {
		b = appendBytes(append(b, byte(p.Kind)), p.Raw)
	}
	b = appendMoves(b, rec.Moves)
	return appendPosts(b, rec.Posts)
}

// decodeRecord returns a record whose parts are slices of val.
func decodeRecord(o ledger.Ord, val []byte) (rec ledger.Record, err error) {
	r := &reader{b: val}
	r.version()
	rec.Ord, rec.ID = o, r.id()
	rec.Kind, rec.State, rec.Basis = r.byte(), ledger.State(r.byte()), ledger.Basis(r.byte())
	flags := r.flags(3)
	rec.Self, rec.Undecoded = flags&1 != 0, flags&2 != 0
	reason := r.uvarint()
	if reason > 0xffff {
		r.fail("reason %d", reason)
	}
	rec.Reason = uint16(reason)
	if n := r.count(2); n > 0 {
		rec.Parts = make([]ledger.Part, 0, min(n, 64))
		for range n {
			rec.Parts = append(rec.Parts, ledger.Part{Kind: ledger.PartKind(r.byte()), Raw: r.bytes()})
		}
	}
	rec.Moves, rec.Posts = r.moves(), r.posts()
	return rec, r.end()
}

func encodeManifest(ds []storage.Digest) []byte {
	b := make([]byte, 0, 4+72*len(ds))
	b = binary.AppendUvarint(append(b, rowVersion), uint64(len(ds)))
	for i := range ds {
		d := &ds[i]
		b = appendID(b, d.ID)
		b = append(b, byte(d.Part), flag(d.Applied, 1)|flag(d.Self, 2))
		b = binary.AppendUvarint(b, uint64(d.Len))
		b = append(b, d.SHA256[:]...)
	}
	return b
}

func decodeManifest(val []byte) ([]storage.Digest, error) {
	r := &reader{b: val}
	r.version()
	n := r.count(36)
	ds := make([]storage.Digest, 0, n)
	for range n {
		var d storage.Digest
		d.ID, d.Part = r.id(), ledger.PartKind(r.byte())
		f := r.flags(3)
		d.Applied, d.Self = f&1 != 0, f&2 != 0
		size := r.uvarint()
		if size > 1<<32-1 {
			r.fail("part of %d bytes", size)
		}
		d.Len = uint32(size)
		copy(d.SHA256[:], r.take(32))
		ds = append(ds, d)
	}
	return ds, r.end()
}

// appendPostingValue writes nothing for the commonest posting: mentioned, without value.
func appendPostingValue(b []byte, p *ledger.Posting) []byte {
	if p.Role == ledger.RoleMention && p.Value.Sign() == 0 {
		return b
	}
	b, _ = p.Value.AppendBinary(append(b, byte(p.Role)))
	return b
}

func decodePostingValue(b []byte) (ledger.Role, ledger.Amount, error) {
	if len(b) == 0 {
		return ledger.RoleMention, ledger.Amount{}, nil
	}
	a, err := ledger.AmountFrom(b[1:])
	if err != nil {
		return 0, a, errRow("posting: %v", err)
	}
	if len(b) == 1 && ledger.Role(b[0]) == ledger.RoleMention {
		return 0, a, errRow("posting: a value that is written as nothing")
	}
	return ledger.Role(b[0]), a, nil
}

// blockRow is the value of a block: its postings are those of its key from lo to the place in its key.
type blockRow struct {
	lo    ledger.Ord
	count uint64
	sum   ledger.Amount
}

func appendBlockRow(b []byte, r *blockRow) []byte {
	b, _ = r.lo.AppendBinary(append(b, rowVersion))
	return appendAmount(binary.AppendUvarint(b, r.count), r.sum)
}

func decodeBlockRow(val []byte) (b blockRow, err error) {
	r := &reader{b: val}
	r.version()
	if o := r.take(ledger.OrdLen); o != nil {
		b.lo = ledger.OrdFrom(o)
	}
	b.count, b.sum = r.uvarint(), r.amount()
	return b, r.end()
}

func encodeStride(s strideRow) []byte {
	b := binary.AppendUvarint([]byte{rowVersion}, s.records)
	b = binary.AppendUvarint(b, s.bytes)
	b = binary.BigEndian.AppendUint64(b, uint64(s.min))
	return binary.BigEndian.AppendUint64(b, uint64(s.max))
}

func decodeStride(val []byte) (s strideRow, err error) {
	r := &reader{b: val}
	r.version()
	s.records, s.bytes = r.uvarint(), r.uvarint()
	s.min, s.max = int64(r.uint64()), int64(r.uint64())
	return s, r.end()
}

// encodeBuilt says that the blocks that end in the units of a span before next are there, and which postings end one. It
// ends in a hash of its key and itself: nothing else in the store says what it must be.
func encodeBuilt(key []byte, next uint64, layout []byte) []byte {
	b := appendBytes(binary.BigEndian.AppendUint64([]byte{rowVersion}, next), layout)
	return binary.BigEndian.AppendUint64(b, builtHash(key, b))
}

func builtHash(key, val []byte) uint64 { return xxhash.Sum64(append(bytes.Clone(key), val...)) }

func decodeBuilt(key, val []byte) (next uint64, layout []byte, err error) {
	r := &reader{b: val}
	r.version()
	next, layout = r.uint64(), r.bytes()
	if sum := r.uint64(); r.err == nil && sum != builtHash(key, val[:len(val)-8]) {
		r.fail("its hash differs")
	}
	return next, layout, r.end()
}

func encodeNote(n storage.Note) []byte {
	b := appendString([]byte{rowVersion}, string(n.Kind))
	b = binary.BigEndian.AppendUint64(b, n.To)
	b = appendID(b, n.Unit)
	b = appendString(b, n.Source)
	b = appendString(b, n.Code)
	b = appendString(b, n.Text)
	b = binary.BigEndian.AppendUint64(b, uint64(n.TimeMs))
	b = append(b, flag(n.Evidence != nil, 1))
	return appendBytes(b, n.Evidence)
}

func decodeNote(net ledger.NetID, key, val []byte) (n storage.Note, err error) {
	n.Net = net
	if n.Seq, err = seqOf(key); err != nil {
		return n, err
	}
	r := &reader{b: val}
	r.version()
	n.Kind, n.To, n.Unit = storage.NoteKind(r.string()), r.uint64(), r.id()
	n.Source, n.Code, n.Text = r.string(), r.string(), r.string()
	n.TimeMs = int64(r.uint64())
	has := r.flags(1) != 0
	if ev := r.bytes(); has {
		n.Evidence = ev
	} else if len(ev) > 0 {
		r.fail("evidence where there is none")
	}
	return n, r.end()
}
