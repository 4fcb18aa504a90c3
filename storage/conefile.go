package storage

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"permanode/ledger"
)

// The cone file, version 1 (docs/format/cone.md): one format for cones as bytes. Integers are big
// endian.
//
//	file  := "PNCONE1\n" frame(1, era u8+n | identity u16+n) cone* frame(5, cones u64)
//	cone  := frame(2, seq u64 | header u32+n | auth u32+n | list u32+n | records u32)
//	         frame(3, state u8 | reason u16 | basis u8 | self u8 | parts u8 | parts × (kind u8 | u32+n))*
//	         frame(4, SHA-256 of the cone's frames 2 and 3, 32 B)
//	frame := type u8 | length u32 | body | CRC-32C of type, length and body
const (
	coneMagic   = "PNCONE1\n"
	frameFile   = 1
	frameUnit   = 2
	frameRecord = 3
	frameSeal   = 4
	frameEnd    = 5

	// maxFrame bounds one record or unit: a Rebased genesis transaction is the largest thing known.
	maxFrame = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ConeWriter writes a cone file. It belongs to one goroutine. The file is whole after Close.
type ConeWriter struct {
	w    *bufio.Writer
	seal hash.Hash // of the cone being written
	buf  []byte
	n    uint64
}

// NewConeWriter begins a cone file of one network: its era and the protocol's own identity.
func NewConeWriter(w io.Writer, era ledger.Era, identity string) (*ConeWriter, error) {
	c := &ConeWriter{w: bufio.NewWriterSize(w, 1<<16), seal: sha256.New()}
	if _, err := c.w.WriteString(coneMagic); err != nil {
		return nil, err
	}
	body := append([]byte{byte(len(era))}, era...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(identity)))
	body = append(body, identity...)
	return c, c.frame(frameFile, body)
}

// Write appends a cone.
func (c *ConeWriter) Write(cone *ledger.Cone) error {
	c.seal.Reset()
	b := binary.BigEndian.AppendUint64(c.buf[:0], cone.Unit.Seq)
	for _, f := range [][]byte{cone.Unit.Header, cone.Unit.Auth, cone.Unit.List} {
		b = appendBytes(b, f)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(cone.Records)))
	if err := c.frame(frameUnit, b); err != nil {
		return err
	}
	for i := range cone.Records {
		r := &cone.Records[i]
		b = append(b[:0], byte(r.State))
		b = binary.BigEndian.AppendUint16(b, r.Reason)
		b = append(b, byte(r.Basis), flag(r.Self), byte(len(r.Parts)))
		for _, p := range r.Parts {
			b = appendBytes(append(b, byte(p.Kind)), p.Raw)
		}
		if err := c.frame(frameRecord, b); err != nil {
			return err
		}
	}
	c.buf = b
	c.n++
	return c.frame(frameSeal, c.seal.Sum(nil))
}

// Close ends the file. It does not close the writer below.
func (c *ConeWriter) Close() error {
	if err := c.frame(frameEnd, binary.BigEndian.AppendUint64(nil, c.n)); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *ConeWriter) frame(kind byte, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("cone file: a part of %d bytes is larger than the format allows (%d)", len(body), maxFrame)
	}
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(body)))
	crc := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body)
	if kind == frameUnit || kind == frameRecord {
		c.seal.Write(head[:])
		c.seal.Write(body)
	}
	for _, b := range [][]byte{head[:], body, binary.BigEndian.AppendUint32(nil, crc)} {
		if _, err := c.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(b))), b...)
}

// RawCone is a cone as a cone file holds it: bytes and what the writer's archive held of them. Nothing
// in it is proven.
type RawCone struct {
	Unit    ledger.Unit     // Seq, Header, Auth and List only
	Records []ledger.Record // State, Reason, Basis, Self and Parts only
}

// ConeReader reads a cone file from its begin. It belongs to one goroutine. Errors wrap
// [ledger.ErrSyntax] and name the byte offset; what was returned before them is whole.
type ConeReader struct {
	r        *bufio.Reader
	off      int64 // of the next frame
	n        uint64
	done     bool
	seal     hash.Hash
	Era      ledger.Era
	Identity string
}

// NewConeReader reads the head of a cone file.
func NewConeReader(r io.Reader) (*ConeReader, error) {
	c := &ConeReader{r: bufio.NewReaderSize(r, 1<<16), seal: sha256.New()}
	magic := make([]byte, len(coneMagic))
	if n, err := io.ReadFull(c.r, magic); err != nil && !isEnd(err) {
		return nil, err
	} else if string(magic[:n]) != coneMagic {
		return nil, fmt.Errorf("%w: not a cone file (it does not begin with %q)", ledger.ErrSyntax, coneMagic)
	}
	c.off = int64(len(coneMagic))
	at := c.off
	kind, body, err := c.frame()
	if err != nil {
		return nil, err
	}
	f := fields{b: body}
	era := f.take(int(f.u8()))
	identity := f.take(int(f.u16()))
	if kind != frameFile || !f.done() {
		return nil, c.bad(at, "the first frame does not name a network")
	}
	c.Era, c.Identity = ledger.Era(era), string(identity)
	return c, nil
}

// Offset returns the place of the next cone in the file, for ReadConeAt.
func (c *ConeReader) Offset() int64 { return c.off }

// Next returns the next cone, or io.EOF behind the last one of a whole file.
func (c *ConeReader) Next() (*RawCone, error) {
	if c.done {
		return nil, io.EOF
	}
	at := c.off
	c.seal.Reset()
	kind, body, err := c.frame()
	if err != nil {
		return nil, err
	}
	f := fields{b: body}
	if kind == frameEnd {
		if n := f.u64(); !f.done() || n != c.n {
			return nil, c.bad(at, fmt.Sprintf("the end counts %d cones, %d were read", n, c.n))
		}
		if _, err := c.r.ReadByte(); err == nil {
			return nil, c.bad(c.off, "bytes behind the end")
		} else if err != io.EOF {
			return nil, err
		}
		c.done = true
		return nil, io.EOF
	}
	var cone RawCone
	cone.Unit.Seq = f.u64()
	cone.Unit.Header, cone.Unit.Auth, cone.Unit.List = f.bytes(), f.bytes(), f.bytes()
	count := f.u32()
	if kind != frameUnit || !f.done() || cone.Unit.Seq > ledger.MaxSeq || count > ledger.UnitPos {
		return nil, c.bad(at, "a cone was expected here")
	}
	if len(cone.Unit.List) == 0 {
		cone.Unit.List = nil
	}
	for range count {
		r, err := c.record()
		if err != nil {
			return nil, err
		}
		cone.Records = append(cone.Records, r)
	}
	sum := c.seal.Sum(nil)
	at = c.off
	kind, body, err = c.frame()
	if err != nil {
		return nil, err
	}
	if kind != frameSeal || !bytes.Equal(body, sum) {
		return nil, c.bad(at, fmt.Sprintf("the SHA-256 of cone %d differs", cone.Unit.Seq))
	}
	c.n++
	return &cone, nil
}

func (c *ConeReader) record() (r ledger.Record, err error) {
	at := c.off
	kind, body, err := c.frame()
	if err != nil {
		return r, err
	}
	f := fields{b: body}
	r.State, r.Reason, r.Basis = ledger.State(f.u8()), f.u16(), ledger.Basis(f.u8())
	self := f.u8()
	r.Self = self == 1
	for range f.u8() {
		r.Parts = append(r.Parts, ledger.Part{Kind: ledger.PartKind(f.u8()), Raw: f.bytes()})
	}
	if kind != frameRecord || !f.done() || self > 1 || len(r.Parts) == 0 || r.State.String() == "" || r.Basis.String() == "" {
		return r, c.bad(at, "a record was expected here")
	}
	return r, nil
}

// frame reads one frame. What it allocates is bounded by what is there, not by what a length says.
func (c *ConeReader) frame() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c.r, head[:]); isEnd(err) {
		return 0, nil, c.bad(c.off, "the file ends here; it was cut or its writer did not finish")
	} else if err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[1:]))
	if n > maxFrame {
		return 0, nil, c.bad(c.off, fmt.Sprintf("a frame of %d bytes is larger than the format allows (%d)", n, maxFrame))
	}
	all, err := readFrame(c.r, n+4)
	if isEnd(err) {
		return 0, nil, c.bad(c.off, "the file ends inside this frame; it was cut or its writer did not finish")
	} else if err != nil {
		return 0, nil, err
	}
	body = all[:n:n]
	crc := crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body)
	if crc != binary.BigEndian.Uint32(all[n:]) {
		return 0, nil, c.bad(c.off, "the checksum of this frame differs: the file is damaged")
	}
	c.off += 5 + n + 4
	if head[0] == frameUnit || head[0] == frameRecord {
		c.seal.Write(head[:])
		c.seal.Write(body)
	}
	return head[0], body, nil
}

// readFrame reads n bytes: small frames, which nearly all are, into just as much memory.
func readFrame(r io.Reader, n int64) ([]byte, error) {
	if n <= 64<<10 {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var buf bytes.Buffer
	_, err := io.CopyN(&buf, r, n)
	return buf.Bytes(), err
}

func (c *ConeReader) bad(at int64, why string) error {
	return fmt.Errorf("%w: cone file, byte %d: %s", ledger.ErrSyntax, at, why)
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// ReadConeAt reads the cone at an offset that Offset gave, from a file that was read through once.
func ReadConeAt(r io.ReaderAt, off int64) (*RawCone, error) {
	c := &ConeReader{r: bufio.NewReaderSize(io.NewSectionReader(r, off, 1<<62), 1<<16), off: off, seal: sha256.New()}
	return c.Next()
}

// fields cuts a frame's body; once something is missing everything is empty and done reports false.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if n < 0 || n > len(f.b) {
		f.b, f.bad = nil, true
		return nil
	}
	out := f.b[:n:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) num(n int) (v uint64) {
	for _, b := range f.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (f *fields) u8() uint8     { return uint8(f.num(1)) }
func (f *fields) u16() uint16   { return uint16(f.num(2)) }
func (f *fields) u32() uint32   { return uint32(f.num(4)) }
func (f *fields) u64() uint64   { return f.num(8) }
func (f *fields) bytes() []byte { return f.take(int(f.u32())) }
func (f *fields) done() bool    { return !f.bad && len(f.b) == 0 }
