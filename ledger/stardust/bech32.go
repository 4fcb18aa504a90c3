package stardust

import "strings"

// The classes of reasons why text is no address, beside [ReasonAddressType].
const (
	ReasonTextLength Reason = "length"
	ReasonChecksum   Reason = "checksum"
	ReasonCase       Reason = "mixed case"
	ReasonSeparator  Reason = "separator"
	ReasonCharacter  Reason = "character"
	ReasonPadding    Reason = "padding"
)

const (
	bech32Chars    = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Max      = 90 // characters, all of a text (BIP-173)
	bech32Checksum = 6
)

// bech32Values holds the value of each character, -1 where it has none.
var bech32Values = func() (v [256]int8) {
	for i := range v {
		v[i] = int8(strings.IndexByte(bech32Chars, byte(i)))
	}
	return v
}()

// bech32Folds holds what the five bits that leave the checksum state put into it (BIP-173).
var bech32Folds = func() (v [32]uint32) {
	for top := range v {
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				v[top] ^= g
			}
		}
	}
	return v
}()

// polymod folds one 5-bit group into the checksum state (BIP-173), which has 30 bits.
func polymod(c uint32, group byte) uint32 {
	return (c&0x1ffffff)<<5 ^ uint32(group) ^ bech32Folds[c>>25&31]
}

// expand folds a lower-case prefix into the checksum state.
func expand(hrp string) uint32 {
	c := uint32(1)
	for i := range len(hrp) {
		c = polymod(c, hrp[i]>>5)
	}
	c = polymod(c, 0)
	for i := range len(hrp) {
		c = polymod(c, hrp[i]&31)
	}
	return c
}

// Bech32 writes an address with the network's prefix, which must be lower case (TIP-31).
func (a Address) Bech32(hrp string) string {
	var room [bech32Max]byte
	out := append(append(room[:0], hrp...), '1')
	sum := expand(hrp)
	put := func(group byte) {
		sum = polymod(sum, group)
		out = append(out, bech32Chars[group])
	}
	acc, bits := uint32(0), 0
	for _, b := range a {
		acc, bits = acc<<8|uint32(b), bits+8
		for bits >= 5 {
			bits -= 5
			put(byte(acc>>bits) & 31)
		}
	}
	put(byte(acc<<(5-bits)) & 31) // 264 bits leave 4
	for range bech32Checksum {
		sum = polymod(sum, 0)
	}
	sum ^= 1
	for i := range bech32Checksum {
		out = append(out, bech32Chars[sum>>(5*(5-i))&31])
	}
	return string(out)
}

// ParseBech32 reads an address and its prefix, in lower case. It is strict: one case, a good checksum
// with the constant 1 (not that of bech32m), zero padding, a known type and its length. That the prefix
// is the network's own is for the caller to judge. Errors are *SyntaxError.
func ParseBech32(text string) (hrp string, a Address, err error) {
	r := reader{what: "address"}
	hrp, groups := r.bech32(text)
	raw := r.regroup(groups, len(hrp)+1)
	at := len(hrp) + 1
	if r.err == nil && len(raw) == 0 {
		r.fail(ReasonTextLength, at, "an address has a type byte and 32 bytes")
	}
	if r.err == nil {
		switch raw[0] {
		case AddressEd25519, AddressAlias, AddressNFT:
		default:
			r.fail(ReasonAddressType, at, "unknown address type %d", raw[0])
		}
		if len(raw) != len(a) {
			r.fail(ReasonTextLength, at, "%d bytes; an address has %d", len(raw), len(a))
		}
	}
	if r.err != nil {
		return "", Address{}, r.err
	}
	return hrp, Address(raw), nil
}

// bech32 splits text and checks all that does not depend on what it encodes.
func (r *reader) bech32(text string) (hrp string, groups []byte) {
	if len(text) > bech32Max {
		r.fail(ReasonTextLength, bech32Max, "%d characters; at most %d are allowed", len(text), bech32Max)
		return "", nil
	}
	lower := strings.ToLower(text)
	if lower != text && strings.ToUpper(text) != text {
		r.fail(ReasonCase, 0, "upper and lower case are mixed")
		return "", nil
	}
	for i := range len(text) {
		if text[i] < 33 || text[i] > 126 {
			r.fail(ReasonCharacter, i, "character %#x", text[i])
			return "", nil
		}
	}
	sep := strings.LastIndexByte(lower, '1')
	if sep < 1 || len(lower)-sep-1 < bech32Checksum {
		r.fail(ReasonSeparator, max(sep, 0), "a prefix, the digit 1, data and 6 characters of checksum are needed")
		return "", nil
	}
	hrp = lower[:sep]
	sum := expand(hrp)
	for i := sep + 1; i < len(lower); i++ {
		v := bech32Values[lower[i]]
		if v < 0 {
			r.fail(ReasonCharacter, i, "character %q", lower[i])
			return "", nil
		}
		sum = polymod(sum, byte(v))
		groups = append(groups, byte(v))
	}
	if sum != 1 {
		r.fail(ReasonChecksum, len(lower)-bech32Checksum, "it does not fit: a typing error, or another encoding")
	}
	return hrp, groups[:len(groups)-bech32Checksum]
}

// regroup joins 5-bit groups to bytes.
func (r *reader) regroup(groups []byte, at int) (raw []byte) {
	if r.err != nil {
		return nil
	}
	acc, bits := uint32(0), 0
	for _, g := range groups {
		acc, bits = acc<<5|uint32(g), bits+5
		if bits >= 8 {
			bits -= 8
			raw = append(raw, byte(acc>>bits))
		}
	}
	if bits >= 5 || acc&(1<<bits-1) != 0 {
		r.fail(ReasonPadding, at+len(groups)-1, "the last bits are not the least zero bits")
	}
	return raw
}
