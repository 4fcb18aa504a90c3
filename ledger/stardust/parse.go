package stardust

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"permanode/ledger"
)

// Reason is the class of a syntax error. It is stable: tests, metrics and quarantine files use it.
type Reason string

// The reasons. Those of [CheckBlock] are marked: they depend on the protocol parameters.
const (
	ReasonTruncated     Reason = "truncated"
	ReasonTrailing      Reason = "trailing bytes"
	ReasonSize          Reason = "size"
	ReasonLength        Reason = "length mismatch"
	ReasonOrder         Reason = "order"
	ReasonDuplicate     Reason = "duplicate"
	ReasonParentsCount  Reason = "parents count"
	ReasonPayload       Reason = "payload"
	ReasonPayloadType   Reason = "payload type"
	ReasonTagLength     Reason = "tag length"
	ReasonEssenceType   Reason = "essence type"
	ReasonNetworkID     Reason = "network id" // CheckBlock
	ReasonInputsCount   Reason = "inputs count"
	ReasonInputType     Reason = "input type"
	ReasonInputIndex    Reason = "input index"
	ReasonOutputsCount  Reason = "outputs count"
	ReasonOutputType    Reason = "output type"
	ReasonAmount        Reason = "amount" // supply and deposits: CheckBlock
	ReasonTokensCount   Reason = "native tokens count"
	ReasonTokenScheme   Reason = "token scheme"
	ReasonAddressType   Reason = "address type"
	ReasonConditions    Reason = "unlock conditions"
	ReasonFeatures      Reason = "features"
	ReasonChain         Reason = "chain"
	ReasonUnlockCount   Reason = "unlock count"
	ReasonUnlockType    Reason = "unlock type"
	ReasonUnlockRef     Reason = "unlock reference"
	ReasonSigType       Reason = "signature type"
	ReasonSigCount      Reason = "signatures count"
	ReasonMetadata      Reason = "metadata length"
	ReasonOptionType    Reason = "option type"
	ReasonFundsCount    Reason = "funds count"
	ReasonFlag          Reason = "flag"
	ReasonText          Reason = "text"
	ReasonVersion       Reason = "protocol version"    // CheckBlock
	ReasonMsParents     Reason = "milestone parents"   // CheckBlock
	ReasonMsNonce       Reason = "milestone nonce"     // CheckBlock
	ReasonParameters    Reason = "protocol parameters" // CheckBlock
	ReasonSnapshotField Reason = "snapshot field"
)

// A SyntaxError says which rule of the wire format the bytes break. It wraps [ledger.ErrSyntax].
type SyntaxError struct {
	What   string // what was parsed: "block", "output", …
	Reason Reason
	Offset int64 // of the field that breaks the rule, from the start of what was parsed
	Detail string
}

func (e *SyntaxError) Unwrap() error { return ledger.ErrSyntax }

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("malformed %s: %s at byte %d: %s", e.What, e.Reason, e.Offset, e.Detail)
}

// le is the byte order of this era.
var le = binary.LittleEndian

// reader walks over untrusted bytes. Its first error stays; what is read after it is zero, so that
// callers check err only where a loop or an allocation depends on it.
type reader struct {
	b    []byte
	off  int
	what string
	err  *SyntaxError

	bare bool // transactions get no ID and no Signing: two hashes that not everybody needs

	// Arenas: lists of one parse share them, which saves an allocation for each.
	conditions []Condition
	features   []Feature
	tokens     []NativeToken
}

// fail records the first error.
func (r *reader) fail(reason Reason, off int, format string, args ...any) {
	if r.err == nil {
		r.err = &SyntaxError{What: r.what, Reason: reason, Offset: int64(off), Detail: fmt.Sprintf(format, args...)}
	}
}

// end fails if bytes are left.
func (r *reader) end() error {
	if r.err == nil && r.off != len(r.b) {
		r.fail(ReasonTrailing, r.off, "%d bytes are left", len(r.b)-r.off)
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// left returns the number of unread bytes.
func (r *reader) left() int { return len(r.b) - r.off }

// take returns the next n bytes without copying them, nil after an error.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > r.left() {
		r.fail(ReasonTruncated, r.off, "%d bytes are needed, %d are left", n, r.left())
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return le.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

func (r *reader) u256() *big.Int {
	b := r.take(32)
	if b == nil {
		return new(big.Int)
	}
	be := [32]byte(b)
	slices.Reverse(be[:])
	return new(big.Int).SetBytes(be[:])
}

func (r *reader) hash() (h Hash) {
	copy(h[:], r.take(32))
	return h
}

// address reads a type byte and 32 bytes.
func (r *reader) address() (a Address) {
	at := r.off
	copy(a[:], r.take(33))
	switch a[0] {
	case AddressEd25519, AddressAlias, AddressNFT:
	default:
		r.fail(ReasonAddressType, at, "unknown address type %d", a[0])
	}
	return a
}

// parents reads 1 to 8 ids, ascending and unique.
func (r *reader) parents() []Hash {
	at := r.off
	n := int(r.u8())
	if r.err == nil && (n < 1 || n > MaxParents) {
		r.fail(ReasonParentsCount, at, "%d parents; 1 to %d are allowed", n, MaxParents)
	}
	first := r.off
	raw := r.take(32 * n)
	if raw == nil {
		return nil
	}
	ids := make([]Hash, n)
	for i := range ids {
		ids[i] = Hash(raw[32*i:])
		if i > 0 {
			r.ascending(ids[i-1][:], ids[i][:], first+32*i, "parents")
		}
	}
	return ids
}

// ascending fails unless a < b.
func (r *reader) ascending(a, b []byte, at int, what string) {
	switch bytes.Compare(a, b) {
	case 0:
		r.fail(ReasonDuplicate, at, "%s: the same one twice", what)
	case 1:
		r.fail(ReasonOrder, at, "%s are not in ascending order", what)
	}
}

// types tells whether a list's next element type may follow the last one (-1 before the first).
func (r *reader) types(last int, next byte, at int, what string) {
	switch {
	case int(next) == last:
		r.fail(ReasonDuplicate, at, "%s: type %d twice", what, next)
	case int(next) < last:
		r.fail(ReasonOrder, at, "%s are not in ascending order", what)
	}
}
