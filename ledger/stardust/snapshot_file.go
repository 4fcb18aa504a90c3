package stardust

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
)

const (
	snapshotVersion    = 2
	snapshotFull       = 0
	snapshotDelta      = 1
	snapshotOutputHead = 34 + 32 + 4 + 4 + 4
)

// SnapshotHeader is the head of a snapshot file (spec section 15, TIP-35).
type SnapshotHeader struct {
	Full        bool
	Genesis     uint32 // full: index of the network's genesis milestone
	Target      uint32 // milestone that the file leads to
	TargetTime  uint32 // its time, seconds
	TargetID    Hash   // full: id of the target; delta: id of the target of the full file that it continues
	Ledger      uint32 // full: milestone whose ledger the outputs are
	Treasury    TreasuryTx
	Parameters  *ParameterChange // full: in force at the ledger index
	SEPOffset   uint64           // delta: where the solid entry points begin
	Outputs     uint64           // full: number of outputs
	Differences uint32
	SEPs        uint16
}

// SnapshotOutput is an output with what the ledger keeps of its origin.
type SnapshotOutput struct {
	ID     OutputID
	Block  Hash   // zero at genesis and for migrated funds
	Booked uint32 // milestone that created it
	Time   uint32 // of that milestone, seconds
	Output *Output
}

// SnapshotSpent is an output that a difference consumes.
type SnapshotSpent struct {
	SnapshotOutput
	By Hash // transaction
}

// SnapshotDifference is what one milestone did to the ledger.
type SnapshotDifference struct {
	Payload   []byte // of the milestone, type included
	Milestone *Milestone
	Treasury  TreasuryTx // with a receipt: the treasury output consumed, milestone id and amount
	Created   []SnapshotOutput
	Consumed  []SnapshotSpent
}

// A SnapshotFile reads a full or delta snapshot file as a stream: outputs, then differences, then solid
// entry points. A part that is not ranged over is read and dropped when a later one is asked for; what
// is held at a time is one output or one difference. An error ends the part, and every later one with
// the same error: *SyntaxError with the offset in the file, or what reading returned.
type SnapshotFile struct {
	Header SnapshotHeader

	src         *bufio.Reader
	off         int64
	buf         [256]byte
	err         error
	outputs     uint64
	differences uint32
	seps        uint32
	ended       bool
}

// ReadSnapshot reads the header of a snapshot file.
func ReadSnapshot(r io.Reader) (*SnapshotFile, error) {
	s := &SnapshotFile{src: bufio.NewReaderSize(r, 1<<16)}
	s.Header = s.header()
	if s.err != nil {
		return nil, s.err
	}
	s.outputs, s.differences, s.seps = s.Header.Outputs, s.Header.Differences, uint32(s.Header.SEPs)
	return s, nil
}

func (s *SnapshotFile) fail(reason Reason, off int64, format string, args ...any) {
	if s.err == nil {
		s.err = &SyntaxError{What: "snapshot file", Reason: reason, Offset: off, Detail: fmt.Sprintf(format, args...)}
	}
}

// fill reads all of b.
func (s *SnapshotFile) fill(b []byte) []byte {
	if s.err != nil {
		return nil
	}
	n, err := io.ReadFull(s.src, b)
	s.off += int64(n)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		s.fail(ReasonTruncated, s.off, "%d bytes are needed, %d are left", len(b), n)
	case err != nil:
		s.err = fmt.Errorf("read snapshot file at byte %d: %w", s.off, err)
	}
	if s.err != nil {
		return nil
	}
	return b
}

// fixed returns a reader over the next n bytes, at most len(s.buf). They stay until the next call.
func (s *SnapshotFile) fixed(n int) *reader {
	b := s.fill(s.buf[:n])
	if b == nil {
		clear(s.buf[:n])
		b = s.buf[:n]
	}
	return &reader{b: b}
}

// sized reads an object of n bytes, which a block must be able to hold.
func (s *SnapshotFile) sized(n uint32, what string) []byte {
	if n > MaxBlockSize {
		s.fail(ReasonSize, s.off, "%s of %d bytes; at most %d are possible", what, n, MaxBlockSize)
		return nil
	}
	if s.err != nil {
		return nil
	}
	return s.fill(make([]byte, n))
}

// inner records the error of a parser that read an object which began at byte base.
func (s *SnapshotFile) inner(err error, base int64) {
	var syntax *SyntaxError
	if s.err == nil && errors.As(err, &syntax) {
		s.fail(syntax.Reason, base+syntax.Offset, "%s: %s", syntax.What, syntax.Detail)
	}
}

func (s *SnapshotFile) header() (h SnapshotHeader) {
	r := s.fixed(2)
	version, kind := r.u8(), r.u8()
	if version != snapshotVersion {
		s.fail(ReasonSnapshotField, 0, "format version %d; %d is known", version, snapshotVersion)
	}
	switch kind {
	case snapshotFull:
		s.fullHeader(&h)
	case snapshotDelta:
		r := s.fixed(4 + 4 + 32 + 8 + 4 + 2)
		h.Target, h.TargetTime, h.TargetID = r.u32(), r.u32(), r.hash()
		h.SEPOffset, h.Differences, h.SEPs = r.u64(), r.u32(), r.u16()
	default:
		s.fail(ReasonSnapshotField, 1, "kind %d; full (0) and delta (1) are known", kind)
	}
	return h
}

func (s *SnapshotFile) fullHeader(h *SnapshotHeader) {
	r := s.fixed(4 + 4 + 4 + 32 + 4 + 32 + 8 + 2)
	h.Full = true
	h.Genesis, h.Target, h.TargetTime, h.TargetID, h.Ledger = r.u32(), r.u32(), r.u32(), r.hash(), r.u32()
	h.Treasury = TreasuryTx{Input: r.hash(), Amount: r.u64()}
	n := uint32(r.u16())
	base := s.off
	if raw := s.sized(n, "protocol parameters"); raw != nil {
		var err error
		h.Parameters, err = ParseParameterChange(raw)
		s.inner(err, base)
	}
	r = s.fixed(8 + 4 + 2)
	h.Outputs, h.Differences, h.SEPs = r.u64(), r.u32(), r.u16()
}

// Outputs returns the outputs of a full file, in file order.
func (s *SnapshotFile) Outputs() iter.Seq2[*SnapshotOutput, error] {
	return func(yield func(*SnapshotOutput, error) bool) {
		for s.err == nil && s.outputs > 0 {
			s.outputs--
			o := s.output()
			if s.err == nil && !yield(&o, nil) {
				return
			}
		}
		if s.err != nil {
			yield(nil, s.err)
		}
	}
}

// Differences returns the differences in file order: backwards from the ledger index in a full file,
// forward from the full file's target in a delta file.
func (s *SnapshotFile) Differences() iter.Seq2[*SnapshotDifference, error] {
	return func(yield func(*SnapshotDifference, error) bool) {
		for range s.Outputs() {
		}
		for s.err == nil && s.differences > 0 {
			s.differences--
			d := s.difference()
			if s.err == nil && !yield(d, nil) {
				return
			}
		}
		if s.err != nil {
			yield(nil, s.err)
		}
	}
}

// SEPs returns the solid entry points. Behind the last one it checks that the file ends.
func (s *SnapshotFile) SEPs() iter.Seq2[Hash, error] {
	return func(yield func(Hash, error) bool) {
		for range s.Differences() {
		}
		if !s.Header.Full && s.seps == uint32(s.Header.SEPs) && uint64(s.off) != s.Header.SEPOffset {
			s.fail(ReasonLength, s.off, "solid entry points begin here and not at %d, as the header says", s.Header.SEPOffset)
		}
		for s.err == nil && s.seps > 0 {
			s.seps--
			if id := s.fixed(32).hash(); s.err == nil && !yield(id, nil) {
				return
			}
		}
		s.end()
		if s.err != nil {
			yield(Hash{}, s.err)
		}
	}
}

// end checks, once, that nothing follows.
func (s *SnapshotFile) end() {
	if s.err != nil || s.ended {
		return
	}
	s.ended = true
	switch _, err := s.src.ReadByte(); {
	case err == nil:
		s.fail(ReasonTrailing, s.off, "bytes follow the last solid entry point")
	case err != io.EOF:
		s.err = fmt.Errorf("read snapshot file at byte %d: %w", s.off, err)
	}
}

func (s *SnapshotFile) output() (o SnapshotOutput) {
	r := s.fixed(snapshotOutputHead)
	copy(o.ID[:], r.take(34))
	o.Block, o.Booked, o.Time = r.hash(), r.u32(), r.u32()
	n := r.u32()
	base := s.off
	if raw := s.sized(n, "an output"); raw != nil {
		var err error
		o.Output, err = ParseOutput(raw)
		s.inner(err, base)
	}
	return o
}

func (s *SnapshotFile) difference() *SnapshotDifference {
	start := s.off
	length := int64(s.fixed(4).u32())
	d := new(SnapshotDifference)
	n := s.fixed(4).u32()
	base := s.off
	if d.Payload = s.sized(n, "a milestone"); d.Payload != nil {
		var err error
		d.Milestone, err = ParseMilestone(d.Payload)
		s.inner(err, base)
	}
	if s.err == nil && d.Milestone.Receipt != nil {
		r := s.fixed(32 + 8)
		d.Treasury = TreasuryTx{Input: r.hash(), Amount: r.u64()}
	}
	for n := s.count(start + length); n > 0 && s.err == nil; n-- {
		d.Created = append(d.Created, s.output())
	}
	for n := s.count(start + length); n > 0 && s.err == nil; n-- {
		d.Consumed = append(d.Consumed, SnapshotSpent{SnapshotOutput: s.output(), By: s.fixed(32).hash()})
	}
	if s.err == nil && s.off-start != length {
		s.fail(ReasonLength, start, "a difference of %d bytes says that it has %d", s.off-start, length)
	}
	return d
}

// count reads a number of outputs, which must fit before the byte end.
func (s *SnapshotFile) count(end int64) uint32 {
	at := s.off
	n := s.fixed(4).u32()
	if int64(n)*(snapshotOutputHead+minOutputSize) > end-s.off {
		s.fail(ReasonLength, at, "%d outputs do not fit into the difference", n)
	}
	return n
}

// AppendSnapshotHeader appends the head of a snapshot file.
func AppendSnapshotHeader(dst []byte, h *SnapshotHeader) []byte {
	if !h.Full {
		dst = le.AppendUint32(append(dst, snapshotVersion, snapshotDelta), h.Target)
		dst = append(le.AppendUint32(dst, h.TargetTime), h.TargetID[:]...)
		dst = le.AppendUint64(dst, h.SEPOffset)
		return le.AppendUint16(le.AppendUint32(dst, h.Differences), h.SEPs)
	}
	dst = le.AppendUint32(append(dst, snapshotVersion, snapshotFull), h.Genesis)
	dst = le.AppendUint32(le.AppendUint32(dst, h.Target), h.TargetTime)
	dst = le.AppendUint32(append(dst, h.TargetID[:]...), h.Ledger)
	dst = le.AppendUint64(append(dst, h.Treasury.Input[:]...), h.Treasury.Amount)
	params := AppendParameterChange(nil, h.Parameters)
	dst = append(le.AppendUint16(dst, uint16(len(params))), params...)
	dst = le.AppendUint64(dst, h.Outputs)
	return le.AppendUint16(le.AppendUint32(dst, h.Differences), h.SEPs)
}

// AppendSnapshotOutput appends an output as snapshot files frame it.
func AppendSnapshotOutput(dst []byte, o *SnapshotOutput) []byte {
	dst = append(append(dst, o.ID[:]...), o.Block[:]...)
	dst = le.AppendUint32(le.AppendUint32(dst, o.Booked), o.Time)
	at := len(dst)
	dst = AppendOutput(le.AppendUint32(dst, 0), o.Output)
	le.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// AppendSnapshotDifference appends a difference.
func AppendSnapshotDifference(dst []byte, d *SnapshotDifference) []byte {
	at := len(dst)
	dst = le.AppendUint32(le.AppendUint32(dst, 0), uint32(len(d.Payload)))
	dst = append(dst, d.Payload...)
	if d.Milestone.Receipt != nil {
		dst = le.AppendUint64(append(dst, d.Treasury.Input[:]...), d.Treasury.Amount)
	}
	dst = le.AppendUint32(dst, uint32(len(d.Created)))
	for i := range d.Created {
		dst = AppendSnapshotOutput(dst, &d.Created[i])
	}
	dst = le.AppendUint32(dst, uint32(len(d.Consumed)))
	for i := range d.Consumed {
		dst = AppendSnapshotOutput(dst, &d.Consumed[i].SnapshotOutput)
		dst = append(dst, d.Consumed[i].By[:]...)
	}
	le.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}
