package rebased

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"permanode/ledger"
	"permanode/ledger/idtext"
)

// didPrefix begins an IOTA DID, which names an object.
const didPrefix = "did:iota:"

// Recognise reads digests in base58; addresses and object ids in hex, with 0x in full or short; 64 hex digits without
// it; ids of Stardust outputs, for the object that such an output became; SHA-256 of payloads, also as CID; types,
// events and functions in any spelling; and IOTA DIDs. 32 bytes can be many things: the likeliest come first.
func (Codec) Recognise(text string, _ ledger.Trust) []ledger.Key {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "::") {
		return nameKeys(text)
	}
	if d, err := ParseDigest(text); err == nil {
		return keysOf(string(d[:]), ledger.KeyRecord, ledger.KeyUnit)
	}
	lower := strings.ToLower(text)
	if id, ok := strings.CutPrefix(lower, didPrefix); ok {
		id = id[strings.LastIndexByte(id, ':')+1:] // the network's name may stand before the id
		if raw, err := hex.DecodeString(strings.TrimPrefix(id, "0x")); err == nil && len(raw) == len(ObjectID{}) {
			return keysOf(string(raw), ledger.KeyObject)
		}
		return nil
	}
	if sum, err := idtext.Payload(text); err == nil {
		return keysOf(string(sum[:]), ledger.KeyPayload)
	}
	return hexKeys(lower)
}

// keysOf returns val as each of kinds.
func keysOf(val string, kinds ...ledger.KeyKind) (keys []ledger.Key) {
	for _, kind := range kinds {
		keys = append(keys, ledger.Key{Kind: kind, Val: val})
	}
	return keys
}

// hexKeys returns what hex digits can name. Without 0x only those of 32 bytes in full, or of an output id.
func hexKeys(lower string) []ledger.Key {
	digits, prefixed := strings.CutPrefix(lower, "0x")
	if len(digits) == 2*len(stardustOutput{}) {
		raw, err := hex.DecodeString(digits)
		if err != nil || binary.LittleEndian.Uint16(raw[32:]) >= stardustOutputs {
			return nil
		}
		id := MigratedID(stardustOutput(raw))
		return keysOf(string(id[:]), ledger.KeyObject)
	}
	if len(digits) != 64 && (!prefixed || !isShort(digits)) {
		return nil
	}
	a, err := ParseAddress("0x" + digits)
	if err != nil {
		return nil
	}
	keys := keysOf(string(a[:]), ledger.KeyAddress, ledger.KeyObject)
	if len(digits) == 64 {
		keys = append(keys, keysOf(string(a[:]), ledger.KeyPayload, ledger.KeyRecord, ledger.KeyUnit)...)
	}
	return keys
}

// shortDigits is how many digits behind the leading zeros a shortened address has at most. Only the network's own are
// written so; more digits that are not all 64 are a typing error, or an address of another chain.
const shortDigits = 16

func isShort(digits string) bool { return len(strings.TrimLeft(digits, "0")) <= shortDigits }

// nameKeys returns what a type's text can name: without type arguments it may be a function's too. A coin is found by
// its own type, and by that of what it holds.
func nameKeys(text string) []ledger.Key {
	t, err := ParseType(text)
	if err != nil {
		return nil
	}
	canonical := t.String()
	keys := keysOf(canonical, ledger.KeyType, ledger.KeyEvent)
	if t.Type != TypeStruct {
		return keys
	}
	if len(t.Struct.Args) == 0 {
		keys = append(keys, keysOf(canonical, ledger.KeyFunction)...)
	}
	return append(keys, keysOf(coinTag(t).String(), ledger.KeyType)...)
}

// stardustOutput is the id of an output of the era before: a transaction's id, and a place.
type stardustOutput [34]byte

// stardustOutputs is how many outputs a Stardust transaction can have.
const stardustOutputs = 128

// The type bytes that Stardust's addresses have before the 32 bytes that stayed (spec 18).
const (
	stardustEd25519 = "\x00"
	stardustAlias   = "\x08"
	stardustNFT     = "\x10"
)

// Links leads from objects to the outputs, aliases and NFTs that they were, and from addresses to those with the same
// key. No era follows this one.
func (Codec) Links(k ledger.Key, _ *ledger.Record) (later, earlier []ledger.Key) {
	if len(k.Val) != len(Address{}) {
		return nil, nil
	}
	switch k.Kind {
	case ledger.KeyObject:
		earlier = append(keysOf(k.Val, ledger.KeySuccessor), keysOf(stardustAlias+k.Val, ledger.KeyObject)...)
		earlier = append(earlier, keysOf(stardustNFT+k.Val, ledger.KeyObject)...)
	case ledger.KeyAddress:
		earlier = keysOf(stardustEd25519+k.Val, ledger.KeyAddress)
	}
	return nil, earlier
}

// FormatKey writes digests in base58, names as their canonical text, and other ids as hex, as the node's API does; an
// owner and a token with a space between. The record is not needed.
func (c Codec) FormatKey(k ledger.Key, _ *ledger.Record) string {
	switch k.Kind {
	case ledger.KeyRecord, ledger.KeyUnit:
		if len(k.Val) == len(Digest{}) {
			return c.FormatID(ledger.NewID([]byte(k.Val)))
		}
	case ledger.KeyType, ledger.KeyEvent, ledger.KeyFunction:
		return k.Val
	case ledger.KeyToken:
		if n := len(Address{}); len(k.Val) > n {
			return addressText(k.Val[:n]) + " " + k.Val[n:]
		}
	}
	return "0x" + hex.EncodeToString([]byte(k.Val))
}
