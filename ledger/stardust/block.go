package stardust

import (
	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
)

// Limits of blocks (TIP-24).
const (
	MaxBlockSize = 32768
	MaxParents   = 8
)

// H is BLAKE2b-256, the one hash of this era.
func H(b []byte) Hash { return blake2b.Sum256(b) }

// ParseBlock reads a block strictly: all rules of spec sections 2 to 4 and 6 that need no protocol
// parameters; for the others see [CheckBlock]. Byte slices in the block point into raw. Errors are
// *SyntaxError.
func ParseBlock(raw []byte) (*Block, error) {
	return (&reader{b: raw, what: "block"}).block()
}

func (r *reader) block() (*Block, error) {
	raw := r.b
	if len(raw) > MaxBlockSize {
		r.fail(ReasonSize, MaxBlockSize, "%d bytes; at most %d are allowed", len(raw), MaxBlockSize)
	}
	b := &Block{Version: r.u8(), Parents: r.parents()}
	b.Payload = r.framedPayload(func(t uint32) bool {
		return t == TypeTaggedData || t == TypeTransaction || t == TypeMilestone
	})
	b.Nonce = r.u64()
	if err := r.end(); err != nil {
		return nil, err
	}
	return b, nil
}

// framedPayload reads a length and the payload that it announces; nil if the length is 0. A payload
// ends by itself: so where it does not end as announced, the length is wrong, and where the bytes
// end before it, they are truncated.
func (r *reader) framedPayload(allowed func(uint32) bool) Payload {
	at := r.off
	n := r.u32()
	if n == 0 || r.err != nil {
		return nil
	}
	start := r.off
	p := r.payload(allowed)
	if r.err == nil && uint64(r.off-start) != uint64(n) {
		r.fail(ReasonLength, at, "the length is %d, the payload has %d bytes", n, r.off-start)
	}
	if r.err != nil {
		return nil
	}
	return p
}

// Identify returns a block's id and parents: all that a walk needs. It checks the size and the number
// of parents and no more; raw is kept, not copied.
func Identify(raw []byte) ledger.Identified {
	r := reader{b: raw, what: "block"}
	if len(raw) > MaxBlockSize {
		r.fail(ReasonSize, MaxBlockSize, "%d bytes; at most %d are allowed", len(raw), MaxBlockSize)
	}
	r.u8()
	n := int(r.u8())
	if r.err == nil && (n < 1 || n > MaxParents) {
		r.fail(ReasonParentsCount, 1, "%d parents; 1 to %d are allowed", n, MaxParents)
	}
	ids := r.take(32 * n)
	if r.err != nil {
		return ledger.Identified{Raw: raw, Err: r.err}
	}
	id := H(raw)
	out := ledger.Identified{Raw: raw, ID: ledger.NewID(id[:]), Parents: make([]ledger.ID, n)}
	for i := range out.Parents {
		out.Parents[i] = ledger.NewID(ids[32*i : 32*i+32])
	}
	return out
}
