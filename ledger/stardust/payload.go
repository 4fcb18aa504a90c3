package stardust

import "bytes"

// Limits of payloads (TIP-20, TIP-23).
const (
	MaxTagLen  = 64
	MaxInputs  = 128
	MaxOutputs = 128
)

// Type returns 5.
func (*TaggedData) Type() uint32 { return TypeTaggedData }

// Type returns 6.
func (*Transaction) Type() uint32 { return TypeTransaction }

// Type returns 7.
func (*Milestone) Type() uint32 { return TypeMilestone }

// ParsePayload reads a whole payload of type 5, 6 or 7, type included. Errors are *SyntaxError.
func ParsePayload(raw []byte) (Payload, error) {
	r := reader{b: raw, what: "payload"}
	p := r.payload(func(t uint32) bool {
		return t == TypeTaggedData || t == TypeTransaction || t == TypeMilestone
	})
	if err := r.end(); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseTransaction reads a whole transaction payload, type included (TIP-20), with all syntactic
// rules that need no protocol parameters. Errors are *SyntaxError.
func ParseTransaction(raw []byte) (*Transaction, error) {
	r := reader{b: raw, what: "transaction"}
	p := r.payload(func(t uint32) bool { return t == TypeTransaction })
	if err := r.end(); err != nil {
		return nil, err
	}
	return p.(*Transaction), nil
}

// payload reads a type and the payload of that type.
func (r *reader) payload(allowed func(uint32) bool) Payload {
	at := r.off
	t := r.u32()
	if r.err != nil {
		return nil
	}
	if !allowed(t) {
		r.fail(ReasonPayloadType, at, "a payload of type %d is not allowed here", t)
		return nil
	}
	switch t {
	case TypeTaggedData:
		return r.taggedData()
	case TypeTransaction:
		return r.transaction(at)
	}
	return r.milestone()
}

func (r *reader) taggedData() *TaggedData {
	at := r.off
	n := int(r.u8())
	if n > MaxTagLen {
		r.fail(ReasonTagLength, at, "a tag of %d bytes; at most %d are allowed", n, MaxTagLen)
	}
	t := &TaggedData{Tag: r.take(n)}
	t.Data = r.take(int(r.u32()))
	return t
}

// transaction reads what follows the type at byte start.
func (r *reader) transaction(start int) *Transaction {
	essence := r.off
	if t := r.u8(); t != 1 {
		r.fail(ReasonEssenceType, essence, "essence type %d; 1 is the only one", t)
	}
	t := &Transaction{NetworkID: r.u64(), Inputs: r.inputs()}
	t.Commitment = r.hash()
	t.Outputs = r.outputs()
	if p := r.framedPayload(func(t uint32) bool { return t == TypeTaggedData }); p != nil {
		t.Payload = p.(*TaggedData)
	}
	end := r.off
	t.Unlocks = r.unlocks(len(t.Inputs))
	if r.err == nil && !r.bare {
		t.Signing, t.ID = H(r.b[essence:end]), H(r.b[start:r.off])
	}
	return t
}

// inputs reads 1 to 128 references to outputs, unique, in any order.
func (r *reader) inputs() []OutputID {
	at := r.off
	n := int(r.u16())
	if r.err == nil && (n < 1 || n > MaxInputs) {
		r.fail(ReasonInputsCount, at, "%d inputs; 1 to %d are allowed", n, MaxInputs)
	}
	var ids []OutputID
	if r.err == nil {
		ids = make([]OutputID, 0, min(n, r.left()/35))
	}
	seen := newSeen[OutputID](n)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		if t := r.u8(); t != 0 {
			r.fail(ReasonInputType, at, "input %d has type %d; 0 is the only one", i, t)
		}
		var id OutputID
		copy(id[:], r.take(34))
		if x := le.Uint16(id[32:]); x >= MaxOutputs {
			r.fail(ReasonInputIndex, at+33, "input %d names output %d; a transaction has at most %d", i, x, MaxOutputs)
		}
		if seen.again(ids, id) {
			r.fail(ReasonDuplicate, at, "inputs: the same one twice")
		}
		ids = append(ids, id)
	}
	return ids
}

// seen finds repetitions in a list: by comparing where it is short, by a map where it is long.
type seen[T comparable] map[T]struct{}

func newSeen[T comparable](n int) seen[T] {
	if n <= 16 {
		return nil
	}
	return seen[T]{}
}

// again reports whether v is one of list, and remembers it.
func (s seen[T]) again(list []T, v T) bool {
	if s == nil {
		for _, x := range list {
			if x == v {
				return true
			}
		}
		return false
	}
	_, ok := s[v]
	s[v] = struct{}{}
	return ok
}

// outputs reads 1 to 128 outputs in any order and judges what they are to each other.
func (r *reader) outputs() []Output {
	at := r.off
	n := int(r.u16())
	if r.err == nil && (n < 1 || n > MaxOutputs) {
		r.fail(ReasonOutputsCount, at, "%d outputs; 1 to %d are allowed", n, MaxOutputs)
	}
	if r.err != nil {
		return nil
	}
	room := min(n, r.left()/minOutputSize+1)
	outs := make([]Output, 0, room)
	r.conditions = make([]Condition, 0, room)
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		outs = append(outs, Output{})
		r.output(&outs[i])
		if r.err == nil {
			r.created(&outs[i], at)
		}
	}
	if r.err == nil {
		r.distinct(outs, at)
	}
	return outs
}

// unlocks reads exactly n unlocks. Signatures are unique, references lead back to one.
func (r *reader) unlocks(n int) []Unlock {
	at := r.off
	if got := int(r.u16()); r.err == nil && got != n {
		r.fail(ReasonUnlockCount, at, "%d unlocks for %d inputs", got, n)
	}
	if r.err != nil {
		return nil
	}
	us := make([]Unlock, 0, min(n, r.left()/3+1))
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		us = append(us, Unlock{})
		u := &us[i]
		switch u.Type = r.u8(); u.Type {
		case UnlockSignature:
			r.signature(&u.Key, &u.Sig)
		case UnlockReference, UnlockAlias, UnlockNFT:
			u.Ref = r.u16()
			r.reference(us, i, at)
		default:
			r.fail(ReasonUnlockType, at, "unlock %d has unknown type %d", i, u.Type)
		}
	}
	r.uniqueSignatures(us, at)
	return us
}

// uniqueSignatures fails if two signature unlocks are equal.
func (r *reader) uniqueSignatures(us []Unlock, at int) {
	seen := newSeen[Unlock](len(us))
	for i := 0; i < len(us) && r.err == nil; i++ {
		if us[i].Type == UnlockSignature && seen.again(us[:i], us[i]) {
			r.fail(ReasonDuplicate, at, "unlock %d repeats an earlier signature", i)
		}
	}
}

// signature reads type 0, a key and a signature.
func (r *reader) signature(key *[32]byte, sig *[64]byte) {
	at := r.off
	if t := r.u8(); t != 0 {
		r.fail(ReasonSigType, at, "signature type %d; Ed25519 (0) is the only one", t)
	}
	copy(key[:], r.take(32))
	copy(sig[:], r.take(64))
}

// reference judges unlock i, which names another one: a reference unlock names an earlier signature,
// alias and nft unlocks an earlier unlock of any kind.
func (r *reader) reference(us []Unlock, i, at int) {
	if r.err != nil {
		return
	}
	ref := int(us[i].Ref)
	switch {
	case ref >= i:
		r.fail(ReasonUnlockRef, at, "unlock %d names unlock %d, which is no earlier one", i, ref)
	case us[i].Type == UnlockReference && us[ref].Type != UnlockSignature:
		r.fail(ReasonUnlockRef, at, "unlock %d names unlock %d, which is no signature", i, ref)
	}
}

// equalZero reports whether all bytes of h are zero.
func equalZero(h []byte) bool { return len(bytes.Trim(h, "\x00")) == 0 }
