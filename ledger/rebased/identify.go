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
	parts, err := ParseRaw(raw)
	if err != nil {
		return nil, err
	}
	return identifyParts(parts)
}

// identifyParts reads transaction and effects, the two parts that every record has.
func identifyParts(parts []ledger.Part) (*identified, error) {
	if len(parts) < 2 || parts[0].Kind != ledger.PartObject || parts[1].Kind != ledger.PartEffects {
		return nil, fmt.Errorf("%w record: a transaction and its effects come first", ledger.ErrSyntax)
	}
	p := &identified{parts: parts}
	if p.tx, p.txErr = ParseSenderSigned(parts[0].Raw); p.txErr == nil {
		p.data, p.sigs = p.tx.Raw, p.tx.Signatures
	} else {
		p.tx = nil
		var err error
		if p.data, p.sigs, err = splitSigned(parts[0].Raw, parts[1].Raw); err != nil {
			return nil, fmt.Errorf("%w; %w", p.txErr, err)
		}
	}
	if p.effects, p.fxErr = ParseEffects(parts[1].Raw); p.fxErr != nil {
		p.effects = nil
	}
	p.digest, p.fxDigest = TransactionDigest(p.data), EffectsDigest(parts[1].Raw)
	return p, nil
}

// ID hashes a stored transaction.
func (Codec) ID(r *ledger.Record) (ledger.ID, error) {
	if len(r.Parts) < 2 || r.Parts[0].Kind != ledger.PartObject || r.Parts[1].Kind != ledger.PartEffects {
		return ledger.ID{}, fmt.Errorf("%w record: a transaction and its effects come first", ledger.ErrSyntax)
	}
	data, err := dataOf(r.Parts[0].Raw, r.Parts[1].Raw)
	if err != nil {
		return ledger.ID{}, err
	}
	d := TransactionDigest(data)
	return ledger.NewID(d[:]), nil
}

// dataOf returns the TransactionData in a SenderSignedTransaction, without decoding it if it can.
func dataOf(signed, effects []byte) ([]byte, error) {
	r := bcs.NewSkimmer(signed)
	r.Fixed(intentLen)
	readTransactionData(r)
	end := r.Offset()
	readSignatures(r)
	if r.End() == nil {
		return signed[intentLen:end:end], nil
	}
	data, _, err := splitSigned(signed, effects)
	return data, err
}

// intentLen is the length of the intent before a TransactionData.
const intentLen = 3

// maxSignatures is how many signatures a transaction of a form that is not known can have: today two.
const maxSignatures = 16

// splitSigned finds the end of a TransactionData that cannot be decoded: behind it stands the list of signatures, to
// the last byte, and its digest stands in the effects. Where no place fits both, a place fits that leaves signatures
// of a known form behind; whether it is the right one the contents list decides.
func splitSigned(signed, effects []byte) (data []byte, sigs [][]byte, err error) {
	if len(signed) < intentLen || !bytes.Equal(signed[:intentLen], make([]byte, intentLen)) {
		return nil, nil, fmt.Errorf("%w transaction: its intent is not 000000", ledger.ErrSyntax)
	}
	h := newHash()
	defer finish(h)
	h.Write([]byte(saltTransaction))
	hashed, guess := intentLen, -1
	for end := intentLen; end < len(signed); end++ {
		list, ok := signatureList(signed[end:])
		if !ok {
			continue
		}
		h.Write(signed[hashed:end])
		hashed = end
		var d Digest
		h.Sum(d[:0])
		if bytes.Contains(effects, AppendDigest(nil, d)) {
			return signed[intentLen:end:end], list, nil
		}
		if guess < 0 && formsKnown(list) {
			guess = end
		}
	}
	if guess < 0 {
		return nil, nil, fmt.Errorf("%w transaction: no signatures end it", ledger.ErrSyntax)
	}
	list, _ := signatureList(signed[guess:])
	return signed[intentLen:guess:guess], list, nil
}

// signatureList reads a list of signatures that is all of b. It allocates nothing for what is none.
func signatureList(b []byte) ([][]byte, bool) {
	if b[0] > maxSignatures { // so the count is one byte
		return nil, false
	}
	r := bcs.NewSkimmer(b)
	readSignatures(r)
	if r.End() != nil {
		return nil, false
	}
	return readSignatures(bcs.NewReader(b)), true
}

// formsKnown reports whether there are signatures, and each has a known form.
func formsKnown(list [][]byte) bool {
	for _, raw := range list {
		if s, err := ParseSignature(raw); err != nil || s.v == nil {
			return false
		}
	}
	return len(list) > 0
}
