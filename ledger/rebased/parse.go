package rebased

import (
	"fmt"

	"permanode/ledger/rebased/bcs"
)

// An UnknownError reports a variant that this version has no form for. It wraps [ledger.ErrSyntax].
type UnknownError = bcs.UnknownError

// minimal sizes on the wire, by which a claimed length is checked against the bytes that are left
const (
	sizeDigest    = 33
	sizeAddress   = 32
	sizeObjectRef = sizeAddress + 8 + sizeDigest
)

// all reads one value that must be all of raw.
func all[T any](raw []byte, read func(*bcs.Reader) T) (*T, error) {
	r := bcs.NewReader(raw)
	v := read(r)
	if err := r.End(); err != nil {
		return nil, err
	}
	return &v, nil
}

// ParseSummary reads the BCS of a CheckpointSummary.
func ParseSummary(raw []byte) (*Summary, error) { return all(raw, readSummary) }

// ParseCertificate reads the BCS of an AuthorityQuorumSignInfo.
func ParseCertificate(raw []byte) (*Certificate, error) { return all(raw, readCertificate) }

// ParseCertified reads the BCS of a CertifiedCheckpointSummary.
func ParseCertified(raw []byte) (*Certified, error) { return all(raw, readCertified) }

// ParseContents reads the BCS of a CheckpointContents.
func ParseContents(raw []byte) (*Contents, error) { return all(raw, readContents) }

// ParseHead reads a unit's head: the certified summary, and the contents' bytes, which it parses too.
func ParseHead(raw []byte) (c *Certified, contents *Contents, list []byte, err error) {
	r := bcs.NewReader(raw)
	certified := readCertified(r)
	at := r.Offset()
	found := readContents(r)
	if err := r.End(); err != nil {
		return nil, nil, nil, err
	}
	return &certified, &found, r.From(at), nil
}

// ParseTransactionData reads the BCS of a TransactionData.
func ParseTransactionData(raw []byte) (*TransactionData, error) { return all(raw, readTransactionData) }

// ParseSenderSigned reads Parts[0] of a record: intent, TransactionData, signatures. Places in it (CallArg.Off) count
// from the beginning of raw.
func ParseSenderSigned(raw []byte) (*SenderSigned, error) { return all(raw, readSenderSigned) }

// ParseEffects reads the BCS of a TransactionEffects.
func ParseEffects(raw []byte) (*Effects, error) { return all(raw, readEffects) }

// ParseEvents reads the BCS of a TransactionEvents.
func ParseEvents(raw []byte) ([]Event, error) {
	events, err := all(raw, readEvents)
	if err != nil {
		return nil, err
	}
	return *events, nil
}

// ParseEvent reads the BCS of an Event.
func ParseEvent(raw []byte) (*Event, error) { return all(raw, readEvent) }

// ParseObject reads the BCS of an Object.
func ParseObject(raw []byte) (*Object, error) { return all(raw, readObject) }

// ParseTypeTag reads the BCS of a TypeTag.
func ParseTypeTag(raw []byte) (*TypeTag, error) { return all(raw, readTypeTag) }

// ParseValidators reads a committee as the closing checkpoint carries it: BCS of vec<(key, power)>.
func ParseValidators(raw []byte) ([]Validator, error) {
	list, err := all(raw, readValidators)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

func readDigest(r *bcs.Reader) (d Digest) {
	at := r.Offset()
	if n := r.ULEB(); n != 32 && r.Err() == nil {
		r.FailAt(at, "a digest has 32 bytes")
	}
	r.Copy(d[:])
	return d
}

func readAddress(r *bcs.Reader) (a Address) {
	r.Copy(a[:])
	return a
}

func readU64(r *bcs.Reader) uint64   { return r.U64() }
func readBytes(r *bcs.Reader) []byte { return r.Bytes() }

func readGasCost(r *bcs.Reader) GasCost {
	return GasCost{r.U64(), r.U64(), r.U64(), r.U64(), r.U64()}
}

func readSummary(r *bcs.Reader) (s Summary) {
	s.Epoch, s.Seq, s.Total = r.U64(), r.U64(), r.U64()
	s.Content = readDigest(r)
	s.Previous = bcs.Opt(r, readDigest)
	s.Gas = readGasCost(r)
	s.TimeMs = r.U64()
	s.Commitments = bcs.List(r, 1+sizeDigest, readCommitment)
	s.EndOfEpoch = bcs.Opt(r, readEndOfEpochData)
	s.Specific = r.Bytes()
	return s
}

func readCommitment(r *bcs.Reader) Commitment {
	r.Variant("CheckpointCommitment", 1)
	return Commitment{readDigest(r)}
}

func readEndOfEpochData(r *bcs.Reader) (e EndOfEpochData) {
	e.Committee = readValidators(r)
	e.ProtocolVersion = r.U64()
	e.Commitments = bcs.List(r, 1+sizeDigest, readCommitment)
	e.SupplyChange = r.I64()
	return e
}

func readValidators(r *bcs.Reader) []Validator { return bcs.List(r, 1+96+8, readValidator) }

func readValidator(r *bcs.Reader) (v Validator) {
	at := r.Offset()
	if n := r.ULEB(); int(n) != len(v.Key) && r.Err() == nil {
		r.FailAt(at, "a validator's key has 96 bytes")
	}
	r.Copy(v.Key[:])
	v.Power = r.U64()
	return v
}

func readCertificate(r *bcs.Reader) (c Certificate) {
	c.Epoch = r.U64()
	r.Copy(c.Signature[:])
	c.Signers = r.Bytes()
	return c
}

func readCertified(r *bcs.Reader) (c Certified) {
	begin := r.Offset()
	c.Summary = readSummary(r)
	middle := r.Offset()
	c.Header = r.From(begin)
	c.Certificate = readCertificate(r)
	c.Auth = r.From(middle)
	return c
}

func readContents(r *bcs.Reader) (c Contents) {
	r.Variant("CheckpointContents version", 1)
	c.Transactions = bcs.List(r, 2*sizeDigest, readExecutionDigests)
	c.Signatures = readSignatureLists(r, len(c.Transactions))
	return c
}

// readSignatureLists reads one list of signatures for each of n transactions.
func readSignatureLists(r *bcs.Reader, n int) [][][]byte {
	at := r.Offset()
	if got := r.Len(1); got != n {
		r.FailAt(at, fmt.Sprintf("%d lists of signatures for %d transactions", got, n))
		return nil
	}
	return bcs.Elements(r, n, readSignatures)
}

func readExecutionDigests(r *bcs.Reader) ExecutionDigests {
	return ExecutionDigests{readDigest(r), readDigest(r)}
}

func readSignatures(r *bcs.Reader) [][]byte { return bcs.List(r, 1, readBytes) }

func readSenderSigned(r *bcs.Reader) (s SenderSigned) {
	at := r.Offset()
	r.Copy(s.Intent[:])
	if s.Intent != [3]byte{} {
		r.FailAt(at, "the intent of a transaction is 000000")
	}
	at = r.Offset()
	s.Data = readTransactionData(r)
	s.Raw = r.From(at)
	s.Signatures = readSignatures(r)
	return s
}
