package stardust

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"permanode/ledger"
	"permanode/ledger/idtext"
)

// didPrefix begins an IOTA DID, which names an alias.
const didPrefix = "did:iota:"

// Recognise reads ids as hex of either case, with 0x or without, output and foundry ids included;
// addresses in bech32 with the network's prefix; SHA-256 of payloads, also as CID; and IOTA DIDs. A hash of 32 bytes can
// be many things: the likeliest come first.
func (Codec) Recognise(text string, t ledger.Trust) []ledger.Key {
	text = strings.TrimSpace(text)
	if rules, ok := t.Rules.(*Rules); ok {
		hrp, a, err := ParseBech32(text)
		if err == nil && hrp == rules.genesis.HRP {
			return addressKeys(a)
		}
	}
	lower := strings.ToLower(text)
	if id, ok := strings.CutPrefix(lower, didPrefix); ok {
		lower = id[strings.LastIndexByte(id, ':')+1:] // the network's name may stand before the id
		if raw, err := hex.DecodeString(strings.TrimPrefix(lower, "0x")); err == nil && len(raw) == 32 {
			return addressKeys(chainAddress(AddressAlias, Hash(raw)))
		}
		return nil
	}
	if raw, err := hex.DecodeString(strings.TrimPrefix(lower, "0x")); err == nil {
		return idKeys(raw)
	}
	if sum, err := idtext.Payload(text); err == nil {
		return []ledger.Key{{Kind: ledger.KeyPayload, Val: string(sum[:])}}
	}
	return nil
}

// addressKeys returns an address, and the alias or nft that it may be.
func addressKeys(a Address) []ledger.Key {
	keys := []ledger.Key{{Kind: ledger.KeyAddress, Val: string(a[:])}}
	if a[0] != AddressEd25519 {
		keys = append(keys, ledger.Key{Kind: ledger.KeyObject, Val: string(a[:])})
	}
	return keys
}

// idKeys returns what bytes of that length can name.
func idKeys(raw []byte) []ledger.Key {
	val := string(raw)
	switch len(raw) {
	case 32:
		keys := []ledger.Key{
			{Kind: ledger.KeyRecord, Val: val}, {Kind: ledger.KeyTransaction, Val: val}, {Kind: ledger.KeyUnit, Val: val},
		}
		for _, kind := range [...]byte{AddressAlias, AddressNFT} {
			a := chainAddress(kind, Hash(raw))
			keys = append(keys, ledger.Key{Kind: ledger.KeyObject, Val: string(a[:])})
		}
		ed := chainAddress(AddressEd25519, Hash(raw))
		return append(keys, ledger.Key{Kind: ledger.KeyAddress, Val: string(ed[:])}, ledger.Key{Kind: ledger.KeyPayload, Val: val})
	case 33:
		switch raw[0] {
		case AddressEd25519, AddressAlias, AddressNFT:
			return addressKeys(Address(raw))
		}
	case 34:
		if binary.LittleEndian.Uint16(raw[32:]) < MaxOutputs {
			return []ledger.Key{{Kind: ledger.KeyOutput, Val: val}}
		}
	case 38:
		if raw[0] == AddressAlias {
			return []ledger.Key{{Kind: ledger.KeyObject, Val: val}}
		}
	}
	return nil
}
