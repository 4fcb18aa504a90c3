package rebased

import (
	"bytes"
	"fmt"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// identified is what Identify reads of a record, the value of [ledger.Identified.Parsed]. Nothing of it is proven yet.
type identified struct {
	parts    []ledger.Part // of the raw: transaction, effects, …
	data     []byte        // BCS of the TransactionData
	sigs     [][]byte      // of the envelope
	tx       *SenderSigned // nil if the TransactionData cannot be decoded
	txErr    error
	effects  *Effects // nil if they cannot be decoded
	fxErr    error
	digest   Digest // of the transaction
	fxDigest Digest
}

// Identify returns the digest of each transaction. A transaction has no parents: the list of its checkpoint names it.
func (Codec) Identify(raws [][]byte) []ledger.Identified {
	out := make([]ledger.Identified, len(raws))
	for i, raw := range raws {
		out[i].Raw = raw
		p, err := identify(raw)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].ID, out[i].Parsed = ledger.NewID(p.digest[:]), p
	}
	return out
}

func identify(raw []byte) (*identified, error) {
	parts, end, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	return identifyParts(parts, end)
}

// identifyParts reads transaction and effects, the two parts that every record has. end is the length of a
// TransactionData of a form that is not known, else 0.
func identifyParts(parts []ledger.Part, end int) (*identified, error) {
	if err := transactionFirst(parts); err != nil {
		return nil, err
	}
	p := &identified{parts: parts}
	if p.tx, p.txErr = ParseSenderSigned(parts[0].Raw); p.txErr == nil && (end == 0 || end == len(p.tx.Raw)) {
		p.data, p.sigs = p.tx.Raw, p.tx.Signatures
	} else {
		if p.txErr == nil {
			p.txErr = fmt.Errorf("%w transaction: it seems to have %d bytes and has %d", ledger.ErrSyntax, len(p.tx.Raw), end)
		}
		p.tx = nil
		var err error
		if p.data, p.sigs, err = splitSigned(parts[0].Raw, end); err != nil {
			return nil, fmt.Errorf("%w; %w", p.txErr, err)
		}
	}
	if p.effects, p.fxErr = ParseEffects(parts[1].Raw); p.fxErr != nil {
		p.effects = nil
	}
	p.digest, p.fxDigest = TransactionDigest(p.data), EffectsDigest(parts[1].Raw)
	return p, nil
}

func transactionFirst(parts []ledger.Part) error {
	if len(parts) < 2 || parts[0].Kind != ledger.PartObject || parts[1].Kind != ledger.PartEffects {
		return fmt.Errorf("%w record: a transaction and its effects come first", ledger.ErrSyntax)
	}
	return nil
}

// intentLen is the length of the intent before a TransactionData.
const intentLen = 3

// splitSigned splits a SenderSignedTransaction whose TransactionData has a form that is not known, and end bytes.
func splitSigned(signed []byte, end int) (data []byte, sigs [][]byte, err error) {
	if end <= 0 || end > len(signed)-intentLen {
		return nil, nil, fmt.Errorf("%w transaction: where it ends is not said", ledger.ErrSyntax)
	}
	r := bcs.NewReader(signed)
	intent := r.Fixed(intentLen)
	data = r.Fixed(end)
	sigs = readSignatures(r)
	if err := r.End(); err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(intent, make([]byte, intentLen)) {
		return nil, nil, fmt.Errorf("%w transaction: its intent is not 000000", ledger.ErrSyntax)
	}
	return data, sigs, nil
}

// ID hashes a stored transaction.
func (Codec) ID(r *ledger.Record) (ledger.ID, error) {
	if err := transactionFirst(r.Parts); err != nil {
		return ledger.ID{}, err
	}
	signed := r.Parts[0].Raw
	s := bcs.NewSkimmer(signed)
	s.Fixed(intentLen)
	at := s.Offset()
	readTransactionData(s)
	data := s.From(at)
	readSignatures(s)
	err := s.End()
	if err == nil {
		if d := TransactionDigest(data); r.ID == ledger.NewID(d[:]) {
			return r.ID, nil
		}
	}
	if endByID(signed, r.ID) > 0 {
		return r.ID, nil
	}
	if err != nil {
		return ledger.ID{}, err
	}
	d := TransactionDigest(data)
	return ledger.NewID(d[:]), nil
}

// Raw returns the framed parts of a record.
func (Codec) Raw(r *ledger.Record) []byte {
	return appendRaw(make([]byte, 0, rawSize(r.Parts)), r.Parts, storedEnd(r))
}

// storedEnd returns the length of the TransactionData in a stored record if this version cannot read it, else 0.
func storedEnd(r *ledger.Record) int {
	if transactionFirst(r.Parts) != nil {
		return 0
	}
	s := bcs.NewSkimmer(r.Parts[0].Raw)
	readSenderSigned(s)
	if s.End() == nil {
		return 0
	}
	return endByID(r.Parts[0].Raw, r.ID)
}

// maxSignatures is how many signatures a transaction of a form that is not known can have: today two.
const maxSignatures = 127

// endByID finds the end of a TransactionData that cannot be decoded: behind it stands the list of signatures, to the
// last byte, and its digest is the record's id. It returns its length, 0 if no place fits both.
func endByID(signed []byte, id ledger.ID) int {
	h := newHash()
	defer finish(h)
	h.Write([]byte(saltTransaction))
	hashed := intentLen
	for end := intentLen + 1; end < len(signed); end++ {
		if !signatureList(signed[end:]) {
			continue
		}
		h.Write(signed[hashed:end])
		hashed = end
		var d Digest
		if h.Sum(d[:0]); ledger.NewID(d[:]) == id {
			return end - intentLen
		}
	}
	return 0
}

// signatureList reports whether b is a list of signatures, and nothing else.
func signatureList(b []byte) bool {
	if b[0] > maxSignatures { // so the count is one byte
		return false
	}
	r := bcs.NewSkimmer(b)
	readSignatures(r)
	return r.End() == nil
}
