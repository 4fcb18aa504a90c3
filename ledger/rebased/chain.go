package rebased

import (
	"context"
	"encoding/hex"
	"fmt"

	"permanode/ledger"
)

// forge makes a [ledger.Forged] of a unit.
type forge func(code, format string, args ...any) error

func forging(seq uint64) forge {
	return func(code, format string, args ...any) error {
		return &ledger.Forged{Seq: seq, Code: code, Why: fmt.Sprintf(format, args...)}
	}
}

// links checks what a head's bytes and the summary before it tell (spec 12, chain level). before is nil where that one
// is not here.
func (h *head) links(r *Rules, before *Summary, beforeID ledger.ID) error {
	s, forged := &h.Summary, forging(h.unit.Seq)
	if before != nil && s.Seq != before.Seq+1 {
		return forged("unit.seq", "its number is %d, the one before has %d", s.Seq, before.Seq)
	}
	if (s.Previous == nil) != (s.Seq == 0) {
		return forged("unit.prev", "all but checkpoint 0 name the one before, and that names none")
	}
	if d := ContentsDigest(h.unit.List); d != s.Content {
		return forged("unit.list", "the digest of its contents is %s, the summary names %s", d, s.Content)
	}
	if s.Seq == 0 && h.unit.ID.String() != hex.EncodeToString(r.genesis[:]) {
		return forged("unit.genesis", "its digest is %s, the network's is %s", Digest(h.unit.ID.Bytes()), r.genesis)
	}
	if before == nil && s.Seq == 1 && h.unit.Prev.String() != hex.EncodeToString(r.genesis[:]) {
		return forged("unit.genesis", "it follows checkpoint 0 with the digest %s, the network's is %s", Digest(h.unit.Prev.Bytes()), r.genesis)
	}
	var total uint64
	if before != nil {
		if h.unit.Prev != beforeID {
			return forged("unit.prev", "the one before is %s, it names %s", Digest(beforeID.Bytes()), *s.Previous)
		}
		if s.TimeMs < before.TimeMs {
			return forged("unit.time", "its time is %d ms, that of the one before %d", s.TimeMs, before.TimeMs)
		}
		epoch := before.Epoch
		if before.EndOfEpoch != nil {
			epoch++
		}
		if s.Epoch != epoch {
			return forged("unit.epoch", "it is of epoch %d; after the one before epoch %d goes on", s.Epoch, epoch)
		}
		total = before.Total
	}
	n := uint64(len(h.contents.Transactions))
	switch {
	case (before != nil || s.Seq == 0) && s.Total != total+n, s.Total < n:
		return forged("unit.total", "%d transactions in all; %d and the %d of before are not that", s.Total, n, total)
	}
	return nil
}

// committee returns the committee of an epoch: that of the trust file, that which the summary before elected, or
// that which an earlier closing summary left in the state. A *ledger.Unjudged tells that none is known.
func (r *Rules) committee(ctx context.Context, h *head, before *Summary, at *ledger.Start) (*Committee, error) {
	epoch := h.Summary.Epoch
	unjudged := func(format string, args ...any) error {
		return &ledger.Unjudged{Seq: h.unit.Seq, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case epoch == r.Committee.Epoch:
		return r.Committee, nil
	case epoch < r.Committee.Epoch:
		return nil, &ledger.Unjudged{Seq: h.unit.Seq, Early: true, Why: fmt.Sprintf("it is of epoch %d, the trust file's committee of epoch %d", epoch, r.Committee.Epoch)}
	case before != nil && before.EndOfEpoch != nil && before.Epoch+1 == epoch:
		return r.checked.get(epoch, before.EndOfEpoch.Committee)
	}
	rows, err := at.State(ctx, [][]byte{committeeKey(epoch)})
	if err != nil {
		return nil, fmt.Errorf("read the committee of epoch %d: %w", epoch, err)
	}
	if len(rows) != 1 || rows[0] == nil {
		return nil, unjudged("the committee of epoch %d is not known: the closing checkpoint of epoch %d comes first", epoch, epoch-1)
	}
	members, err := ParseValidators(rows[0])
	if err != nil {
		return nil, fmt.Errorf("committee of epoch %d as stored: %w", epoch, err)
	}
	return r.checked.get(epoch, members)
}

// next checks the committee that a closing summary elects.
func (r *Rules) next(h *head) error {
	e := h.Summary.EndOfEpoch
	if e == nil {
		return nil
	}
	if h.Summary.Epoch+1 == 0 {
		return forging(h.unit.Seq)("unit.epoch", "no epoch comes after %d", h.Summary.Epoch)
	}
	if _, err := r.checked.get(h.Summary.Epoch+1, e.Committee); err != nil {
		return forging(h.unit.Seq)("committee.bad", "%v", err)
	}
	return nil
}

// summaryOf reads the summary of a unit that was proven before; nil for none.
func summaryOf(u *ledger.Unit) (*Summary, error) {
	if u == nil {
		return nil, nil
	}
	s, err := ParseSummary(u.Header)
	if err != nil {
		return nil, fmt.Errorf("summary of unit %d before: %w", u.Seq, err)
	}
	return s, nil
}

func rulesOf(t *ledger.Trust) (*Rules, error) {
	r, ok := t.Rules.(*Rules)
	if !ok {
		return nil, fmt.Errorf("begin a unit: the trust file of %s is not of this era", t.Identity)
	}
	return r, nil
}

// Begin checks a checkpoint (spec 12): its contents, its link to the one before, and its certificate, of which only
// the form where at.Attested says that a later one proves it. The codes of its *Forged:
//
//	unit.seq        its number does not follow the unit before
//	unit.list       the contents are not those that the summary names
//	unit.genesis    checkpoint 0, or the one that checkpoint 1 names, is not the network's
//	unit.prev       another predecessor than the unit before, or none
//	unit.time       a time that falls
//	unit.epoch      an epoch that does not follow, or a certificate of another one
//	unit.total      network_total_transactions does not rise by the number of transactions
//	unit.signers    a signer bitmap that is malformed, names nobody or somebody who is no member
//	unit.threshold  too little voting power
//	unit.signature  a signature that is not good
//	committee.bad   the committee that it elects cannot be one
//
// A *ledger.Unjudged says that the committee of its epoch is not known.
func (Codec) Begin(ctx context.Context, raw []byte, at ledger.Start) (ledger.Assembly, error) {
	r, err := rulesOf(&at.Trust)
	if err != nil {
		return nil, err
	}
	h, err := parseHead(raw)
	if err != nil {
		return nil, err
	}
	before, err := summaryOf(at.Prev)
	if err != nil {
		return nil, err
	}
	var beforeID ledger.ID
	if at.Prev != nil {
		beforeID = at.Prev.ID
	}
	if err := h.links(r, before, beforeID); err != nil {
		return nil, err
	}
	c, err := r.committee(ctx, h, before, &at)
	if err != nil {
		return nil, err
	}
	if err := h.certified(c, at.Attested); err != nil {
		return nil, err
	}
	if err := r.next(h); err != nil {
		return nil, err
	}
	return newAssembly(h, at.Held)
}

// certified checks the certificate, of which only the form if another unit attests this one.
func (h *head) certified(c *Committee, by ledger.Attestation) error {
	b, err := c.form(h.Certified)
	if err != nil {
		return forgedUnit(h.unit.Seq, err)
	}
	if by.Unit == h.unit.ID && !by.Unit.IsZero() {
		if by.By != by.Unit {
			h.unit.AttestedBy = by.By
		}
		return nil
	}
	return forgedUnit(h.unit.Seq, c.signed(h.Certified, b))
}
