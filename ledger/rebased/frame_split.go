package rebased

import (
	"bytes"
	"errors"
	"fmt"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// SplitCheckpoint splits a checkpoint file, bare or with the byte 01 before it, into the head of its unit and the raws
// of its records, inputs included, in the order of the file. Nothing is proven by that. head and raws share no memory
// with chk.
//
// A file with variants that this version does not know is split by digests: the contents list names those of
// transactions and effects, and effects those of events and objects, so the end of an unknown value is where the
// digest of what was read so far is the one that is wanted. At most 4·len(chk) + 1 MiB lengths are tried in a file, each
// at the cost of one compression of BLAKE2b. Where effects of an unknown form do not help to find the end of events
// and objects, all bytes up to the next record are its PartRest.
//
// Errors wrap [ledger.ErrSyntax]: bytes that are missing or too many, and values whose end cannot be found, because
// they are not the true ones.
func SplitCheckpoint(chk []byte) (head []byte, raws [][]byte, err error) {
	// Epoch 1 begins with 01 too: the right reading is the one whose contents are those of its summary.
	readings := [...]*splitter{newSplitter(chk), nil}
	if len(chk) > 0 && chk[0] == 1 {
		readings[1] = newSplitter(chk[1:])
	}
	for _, s := range readings {
		if s != nil && s.headErr == nil && s.matches {
			return s.tolerant()
		}
	}
	// Contents that are not those of the summary are a lie, which whoever checks the unit reports.
	for _, s := range readings {
		if s != nil && s.headErr == nil {
			if head, raws, err := s.strict(); err == nil {
				return head, raws, nil
			}
		}
	}
	if err := readings[0].headErr; err != nil {
		return nil, nil, fmt.Errorf("checkpoint file: %w", err)
	}
	return nil, nil, fmt.Errorf("checkpoint file: %w: its contents are not those of its summary", ledger.ErrSyntax)
}

// splitter splits one reading of a checkpoint file.
type splitter struct {
	chk     []byte
	head    int // its length
	headErr error
	matches bool // the contents are those of the summary
	seq     uint64
	digests []ExecutionDigests

	r      *bcs.Reader // keeps nothing
	parts  []ledger.Part
	inputs []ledger.Part
	length int // of the TransactionData of the record, if this version cannot read it, else 0
	budget int // lengths that may still be tried
}

// newSplitter reads the head.
func newSplitter(chk []byte) *splitter {
	s := &splitter{chk: chk, r: bcs.NewSkimmer(chk), budget: 4*len(chk) + 1<<20}
	c := readCertified(s.r)
	s.seq = c.Summary.Seq
	at := s.r.Offset()
	s.r.Variant("CheckpointContents version", 1)
	n := s.r.Len(2 * sizeDigest)
	s.digests = make([]ExecutionDigests, 0, n)
	for i := 0; i < n && s.r.Err() == nil; i++ {
		s.digests = append(s.digests, readExecutionDigests(s.r))
	}
	readSignatureLists(s.r, n)
	s.head, s.headErr = s.r.Offset(), s.r.Err()
	if s.headErr == nil {
		s.matches = ContentsDigest(s.r.From(at)) == c.Summary.Content
	}
	return s
}

// records reads the number of records, which must be that of the contents.
func (s *splitter) records() error {
	s.r.Seek(s.head)
	n := s.r.Len(1)
	if err := s.r.Err(); err != nil {
		return err
	}
	if n != len(s.digests) {
		return &bcs.SyntaxError{Offset: s.head, Why: fmt.Sprintf("%d records, and contents of %d", n, len(s.digests))}
	}
	return nil
}

// strict splits a file all of which this version knows.
func (s *splitter) strict() (head []byte, raws [][]byte, err error) {
	if err := s.records(); err != nil {
		return nil, nil, s.fail(err)
	}
	raws = make([][]byte, 0, len(s.digests))
	for range s.digests {
		s.parts, s.inputs = s.parts[:0], s.inputs[:0]
		if n := s.r.ULEB(); n != 1 {
			s.r.Fail("a transaction is a list of one")
		}
		s.element(ledger.PartObject, skimSenderSigned)
		s.element(ledger.PartEffects, skimEffects)
		s.rest()
		if s.r.Err() != nil {
			break
		}
		raws = append(raws, s.raw())
	}
	if err := s.r.End(); err != nil {
		return nil, nil, s.fail(err)
	}
	return bytes.Clone(s.chk[:s.head]), raws, nil
}

func (s *splitter) fail(err error) error { return fmt.Errorf("file of checkpoint %d: %w", s.seq, err) }

func skimSenderSigned(r *bcs.Reader) { readSenderSigned(r) }
func skimEffects(r *bcs.Reader)      { readEffects(r) }
func skimEvents(r *bcs.Reader)       { readEvents(r) }
func skimObject(r *bcs.Reader)       { readObject(r) }

// element takes a value that is known.
func (s *splitter) element(kind ledger.PartKind, skim func(*bcs.Reader)) {
	at := s.r.Offset()
	skim(s.r)
	s.take(kind, at)
}

// take makes a part of what was read since at.
func (s *splitter) take(kind ledger.PartKind, at int) {
	if s.r.Err() != nil {
		return
	}
	p := ledger.Part{Kind: kind, Raw: s.r.From(at)}
	if kind == ledger.PartInput {
		s.inputs = append(s.inputs, p)
	} else {
		s.parts = append(s.parts, p)
	}
}

// rest takes events and objects that are known.
func (s *splitter) rest() {
	if s.r.Option() {
		s.element(ledger.PartEvents, skimEvents)
	}
	for _, kind := range [...]ledger.PartKind{ledger.PartInput, ledger.PartOutput} {
		n := s.r.Len(minObject)
		for i := 0; i < n && s.r.Err() == nil; i++ {
			s.element(kind, skimObject)
		}
	}
}

// minObject is the size of the smallest object: a length is checked against the bytes that are left.
const minObject = 2 + 8 + 1 + sizeAddress + 1 + sizeDigest + 8

// raw frames the parts of the record: in a raw outputs come before inputs.
func (s *splitter) raw() []byte {
	s.parts = append(s.parts, s.inputs...)
	return appendRaw(make([]byte, 0, rawSize(s.parts)), s.parts, s.length)
}

// tolerant splits a file with values that this version may not know. Its contents are those of its summary.
func (s *splitter) tolerant() (head []byte, raws [][]byte, err error) {
	head, raws, strictErr := s.strict()
	if strictErr == nil {
		return head, raws, nil
	}
	if err := s.records(); err != nil {
		return nil, nil, s.fail(err)
	}
	raws = make([][]byte, 0, len(s.digests))
	for i := range s.digests {
		s.parts, s.inputs = s.parts[:0], s.inputs[:0]
		if err := s.record(i); err != nil {
			return nil, nil, fmt.Errorf("%w; record %d: %w", strictErr, i, err)
		}
		raws = append(raws, s.raw())
	}
	if err := s.r.End(); err != nil {
		return nil, nil, s.fail(err)
	}
	return bytes.Clone(s.chk[:s.head]), raws, nil
}

// record takes the record i by its digests.
func (s *splitter) record(i int) error {
	want := s.digests[i]
	if err := s.transaction(want.Transaction); err != nil {
		return err
	}
	at := s.r.Offset()
	known, err := s.end(saltEffects, skimEffects, want.Effects.is)
	if err != nil {
		return fmt.Errorf("effects: %w", err)
	}
	s.take(ledger.PartEffects, at)
	after, parts := s.r.Offset(), len(s.parts)
	err = s.restByDigests(newDigestSet(s.r.From(at)))
	if err == nil && s.r.Remaining() > 0 && i+1 == len(s.digests) {
		err = errUnfinished
	}
	if err == nil || known {
		return err
	}
	// These effects do not say what follows them.
	s.parts, s.inputs = s.parts[:parts], s.inputs[:0]
	next, err := s.next(after, i+1)
	if err != nil {
		return err
	}
	s.r.Seek(next)
	s.take(ledger.PartRest, after)
	return nil
}

var (
	errUnfinished = fmt.Errorf("%w: bytes after the last record", ledger.ErrSyntax)
	errNoEnd      = fmt.Errorf("%w: no length of it has the digest that is wanted, so it is not the true one", ledger.ErrSyntax)
	errBudget     = fmt.Errorf("%w: too much of the file is unknown", ledger.ErrSyntax)
)

func (d Digest) is(other *Digest) bool { return d == *other }

// transaction takes a SenderSignedData by the digest of its TransactionData.
func (s *splitter) transaction(want Digest) error {
	at := s.r.Offset()
	if b := s.r.Fixed(4); b == nil || b[0] != 1 || b[1] != 0 || b[2] != 0 || b[3] != 0 {
		return &bcs.SyntaxError{Offset: at, Why: "a transaction begins with 01000000"}
	}
	known, err := s.end(saltTransaction, skimTransactionData, want.is)
	if err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if s.length = 0; !known {
		s.length = s.r.Offset() - at - 4
	}
	readSignatures(s.r)
	s.take(ledger.PartObject, at+1)
	return s.r.Err()
}

func skimTransactionData(r *bcs.Reader) { readTransactionData(r) }

// restByDigests takes events and objects whose digests stand in the effects' bytes.
func (s *splitter) restByDigests(committed *digestSet) error {
	if s.r.Option() {
		at := s.r.Offset()
		if _, err := s.end(saltEvents, skimEvents, committed.has); err != nil {
			return fmt.Errorf("events: %w", err)
		}
		s.take(ledger.PartEvents, at)
	}
	for _, kind := range [...]ledger.PartKind{ledger.PartInput, ledger.PartOutput} {
		n := s.r.Len(1)
		for i := 0; i < n && s.r.Err() == nil; i++ {
			at := s.r.Offset()
			if _, err := s.end(saltObject, skimObject, committed.has); err != nil {
				return fmt.Errorf("object: %w", err)
			}
			s.take(kind, at)
		}
	}
	return s.r.Err()
}

// splitRest splits a PartRest with the BCS of effects of a known form: into events, outputs and inputs. So what an older
// version could not split is split by a newer one.
func splitRest(rest, effects []byte) ([]ledger.Part, error) {
	s := &splitter{chk: rest, r: bcs.NewSkimmer(rest), budget: 4*len(rest) + 1<<20}
	err := s.restByDigests(newDigestSet(effects))
	if err == nil {
		err = s.r.End()
	}
	if err != nil {
		return nil, fmt.Errorf("rest of a record: %w", err)
	}
	return append(s.parts, s.inputs...), nil
}

// end moves to the end of a value whose digest satisfies wanted, and reports whether this version knows its form.
func (s *splitter) end(salt string, skim func(*bcs.Reader), wanted func(*Digest) bool) (known bool, err error) {
	if err := s.r.Err(); err != nil {
		return false, err
	}
	at := s.r.Offset()
	skim(s.r)
	if s.r.Err() == nil {
		if d := salted(salt, s.r.From(at)); wanted(&d) {
			return true, nil
		}
	}
	h := newHash()
	defer finish(h)
	h.Write([]byte(salt))
	var d Digest
	for end := at + 1; end <= len(s.chk); end++ {
		if s.budget--; s.budget < 0 {
			return false, errBudget
		}
		h.Write(s.chk[end-1 : end])
		if h.Sum(d[:0]); wanted(&d) {
			s.r.Seek(end)
			return false, nil
		}
	}
	return false, errNoEnd
}

// next returns where the record i begins, at or after from: where a transaction with its digest does. Behind the last
// record that is the end of the file.
func (s *splitter) next(from, i int) (int, error) {
	if i == len(s.digests) {
		return len(s.chk), nil
	}
	mark := []byte{1, 0, 0, 0}
	for _, known := range [...]bool{true, false} { // a known form costs no search
		for at := from; ; at++ {
			n := bytes.Index(s.chk[at:], mark)
			if n < 0 {
				break
			}
			at += n
			s.r.Seek(at + len(mark))
			if known {
				if skimTransactionData(s.r); s.r.Err() == nil && TransactionDigest(s.r.From(at+len(mark))) == s.digests[i].Transaction {
					return at, nil
				}
			} else if _, err := s.end(saltTransaction, skimTransactionData, s.digests[i].Transaction.is); err == nil {
				return at, nil
			} else if errors.Is(err, errBudget) {
				return 0, err
			}
		}
	}
	return 0, fmt.Errorf("%w: the next record cannot be found", ledger.ErrSyntax)
}
