package stardust

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"permanode/ledger"
)

// Codec is this era's [ledger.Codec]. It holds nothing.
type Codec struct{}

var _ ledger.Codec = Codec{}

// Era returns "stardust".
func (Codec) Era() ledger.Era { return Era }

// FormatID writes an id as the nodes do: 0x and lower-case hex.
func (Codec) FormatID(id ledger.ID) string {
	var room [2 + 2*ledger.MaxIDLen]byte
	return string(hex.AppendEncode(append(room[:0], "0x"...), id.Bytes()))
}

// KindName returns the word for a payload type, as stored in [ledger.Record.Kind].
func (Codec) KindName(kind uint8) string {
	switch kind {
	case KindNone:
		return "no-payload"
	case KindTransaction:
		return "transaction"
	case KindTaggedData:
		return "tagged-data"
	case KindMilestone:
		return "milestone"
	}
	return ""
}

// Unit parses a milestone payload, type included.
func (Codec) Unit(head []byte) (ledger.Unit, error) {
	m, err := ParseMilestone(head)
	if err != nil {
		return ledger.Unit{}, err
	}
	return unitOf(m), nil
}

func unitOf(m *Milestone) ledger.Unit {
	return ledger.Unit{
		Seq: uint64(m.Index), ID: ledger.NewID(m.ID[:]), Prev: ledger.NewID(m.Previous[:]),
		TimeMs: int64(m.Timestamp) * 1000, Header: m.Header, Auth: m.Auth,
	}
}

// Head returns the milestone payload of a unit.
func (Codec) Head(u ledger.Unit) []byte { return MilestonePayload(u.Header, u.Auth) }

// ID hashes a stored block.
func (Codec) ID(r *ledger.Record) (ledger.ID, error) {
	if len(r.Parts) != 1 || r.Parts[0].Kind != ledger.PartObject {
		return ledger.ID{}, fmt.Errorf("%w: a block is one part", ledger.ErrSyntax)
	}
	h := H(r.Parts[0].Raw)
	return ledger.NewID(h[:]), nil
}

// Identify returns the id and parents of each block.
func (Codec) Identify(raws [][]byte) []ledger.Identified {
	out := make([]ledger.Identified, len(raws))
	for i, raw := range raws {
		out[i] = Identify(raw)
	}
	return out
}

// prepared is what Prepare knows of a block.
type prepared struct {
	block   *Block
	tx      *Transaction // nil for a block without transaction
	signers []Signer     // one for each of tx.Unlocks
}

// Prepare parses blocks strictly and checks the signatures of their unlocks, all together: that is
// faster than one by one. A bad signature is no error, since blocks with one can be confirmed.
func (Codec) Prepare(ids []ledger.Identified) []ledger.Prepared {
	out := make([]ledger.Prepared, len(ids))
	var todo []signature
	for i, id := range ids {
		out[i].Identified = id
		if id.Err != nil {
			out[i].Err = id.Err
			continue
		}
		b, err := ParseBlock(id.Raw)
		if err != nil {
			out[i].Err = err
			continue
		}
		p := &prepared{block: b}
		out[i].Data = p
		if tx, ok := b.Payload.(*Transaction); ok {
			p.tx, p.signers = tx, make([]Signer, len(tx.Unlocks))
			for k := range tx.Unlocks {
				if u := &tx.Unlocks[k]; u.Type == UnlockSignature {
					h := H(u.Key[:])
					p.signers[k].Address = chainAddress(AddressEd25519, h)
					todo = append(todo, signature{u.Key[:], tx.Signing[:], u.Sig[:], &p.signers[k].Good})
				}
			}
		}
	}
	verify(todo)
	return out
}

// Raw returns the block.
func (Codec) Raw(r *ledger.Record) []byte { return r.Parts[0].Raw }

// Begin checks a milestone's signatures and its link to the unit before. The codes of its *Forged:
//
//	unit.seq            the index does not follow the unit before, or is 0
//	unit.duplicate-key  two signatures by one key
//	unit.key            a signature by a key that does not apply at the index
//	unit.threshold      too few signatures
//	unit.signature      a signature that is not good
//	unit.prev           another predecessor than the unit before
//	unit.time           a time that does not rise
//	unit.parameters     announced parameters that cannot come into force
func (Codec) Begin(_ context.Context, head []byte, at ledger.Start) (ledger.Assembly, error) {
	rules, ok := at.Trust.Rules.(*Rules)
	if !ok {
		return nil, fmt.Errorf("begin a unit: the trust file of %s is not of this era", at.Trust.Identity)
	}
	m, err := ParseMilestone(head)
	if err != nil {
		return nil, repeatedKey(head, err)
	}
	u := unitOf(m)
	forged := func(code, format string, args ...any) error {
		return &ledger.Forged{Seq: u.Seq, Code: code, Why: fmt.Sprintf(format, args...)}
	}
	before := at.Prev
	if before == nil {
		before = at.Snapshot
	}
	if u.Seq == 0 || before != nil && u.Seq != before.Seq+1 {
		return nil, forged("unit.seq", "the index is %d", u.Seq)
	}
	if err := rules.attest(m, forged); err != nil {
		return nil, err
	}
	if before != nil {
		if err := linked(&u, before, forged); err != nil {
			return nil, err
		}
	}
	if c := m.Parameters; c != nil {
		if err := announced(m, c, forged); err != nil {
			return nil, err
		}
	}
	return newAssembly(m, u, at, rules), nil
}

type forge func(code, format string, args ...any) error

// linked checks that u continues before. A genesis has no id and no time that a milestone could follow.
func linked(u, before *ledger.Unit, forged forge) error {
	prev := before.ID
	if genesis(prev) {
		var none Hash
		prev = ledger.NewID(none[:])
	}
	if u.Prev != prev {
		return forged("unit.prev", "the unit before is %s, the milestone names %s", prev, u.Prev)
	}
	if !genesis(before.ID) && u.TimeMs <= before.TimeMs {
		return forged("unit.time", "its time %d ms does not lie behind %d ms, that of the unit before", u.TimeMs, before.TimeMs)
	}
	return nil
}

// genesis reports whether an id is that of no milestone.
func genesis(id ledger.ID) bool { return id.IsZero() || equalZero(id.Bytes()) }

// attest checks the signatures of m by the keys of the trust file.
func (r *Rules) attest(m *Milestone, forged forge) error {
	todo := make([]signature, len(m.Signatures))
	good := make([]bool, len(m.Signatures))
	for i := range m.Signatures {
		s := &m.Signatures[i]
		if i > 0 && s.Key == m.Signatures[i-1].Key {
			return forged("unit.duplicate-key", "two signatures by key %x", s.Key)
		}
		if !r.applies(s.Key, m.Index) {
			return forged("unit.key", "key %x does not apply at this index", s.Key)
		}
		todo[i] = signature{s.Key[:], m.ID[:], s.Sig[:], &good[i]}
	}
	if len(todo) < r.KeyCount {
		return forged("unit.threshold", "%d signatures where %d are needed", len(todo), r.KeyCount)
	}
	verify(todo)
	for i := range good {
		if !good[i] {
			return forged("unit.signature", "the signature by key %x is not good", m.Signatures[i].Key)
		}
	}
	return nil
}

// announced checks a change of the protocol parameters (TIP-29): it lies ahead, and can be read.
func announced(m *Milestone, c *ParameterChange, forged forge) error {
	if c.Target <= m.Index || c.Target-m.Index > MaxParameterLead {
		return forged("unit.parameters", "parameters announced for milestone %d; 1 to %d ahead are allowed", c.Target, MaxParameterLead)
	}
	p, err := ParseParameters(c.Params)
	if err != nil {
		return forged("unit.parameters", "%v", err)
	}
	if p.Version != c.Version {
		return forged("unit.parameters", "version %d announced, version %d inside", c.Version, p.Version)
	}
	return nil
}

// repeatedKey tells a milestone whose signatures repeat a key from other malformed ones: the parser
// refuses both, but the first is a lie that only a key holder can make.
func repeatedKey(head []byte, err error) error {
	var broken *SyntaxError
	if !errors.As(err, &broken) || broken.Reason != ReasonDuplicate {
		return err
	}
	m := withoutRepeatedKeys(head)
	if m == nil {
		return err
	}
	return &ledger.Forged{Seq: uint64(m.Index), Code: "unit.duplicate-key", Why: "two signatures by one key"}
}

// withoutRepeatedKeys parses head with each key's first signature only; nil if that does not help. The
// signature block is what remains when head is read backwards: n entries of equal size, before them n.
func withoutRepeatedKeys(head []byte) *Milestone {
	for n := 2; n <= 255 && n*minSigSize < len(head); n++ {
		at := len(head) - n*minSigSize
		if int(head[at-1]) != n {
			continue
		}
		out, kept, last := bytes.Clone(head[:at]), 0, []byte(nil)
		for s := head[at:]; len(s) > 0; s = s[minSigSize:] {
			if key := s[1:33]; kept == 0 || !bytes.Equal(key, last) {
				out, last, kept = append(out, s[:minSigSize]...), key, kept+1
			}
		}
		if kept == n {
			continue
		}
		out[at-1] = byte(kept)
		if m, err := ParseMilestone(out); err == nil {
			return m
		}
	}
	return nil
}
