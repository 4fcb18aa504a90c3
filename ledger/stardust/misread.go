package stardust

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"permanode/ledger"
	"permanode/ledger/idtext"
)

// Misread says why text, which names nothing, resembles an address of this or another network, an id in hex, a DID, a
// CID or a SHA-256.
func (c Codec) Misread(text string, t ledger.Trust) error {
	rules, ok := t.Rules.(*Rules)
	if !ok || len(c.Recognise(text, t)) > 0 {
		return nil
	}
	text = strings.TrimSpace(text)
	if err := misreadDID(text); err != nil {
		return err
	}
	if _, err := idtext.Payload(text); !errors.Is(err, idtext.ErrNone) {
		return err
	}
	if err := misreadAddress(text, rules.genesis.HRP); err != nil {
		return err
	}
	return idtext.Hex(text, 2*len(Hash{}), 2*len(Address{}), 2*len(OutputID{}), 2*len(FoundryID{}))
}

func misreadDID(text string) error {
	id, ok := strings.CutPrefix(strings.ToLower(text), didPrefix)
	if !ok {
		return nil
	}
	id = strings.TrimPrefix(id[strings.LastIndexByte(id, ':')+1:], "0x")
	if _, err := hex.DecodeString(id); err != nil && len(id) == 2*len(Hash{}) {
		return fmt.Errorf("a DID ends with the id of its alias in hex: %w", err)
	}
	return fmt.Errorf("a DID ends with the id of its alias, %d hex digits, not %d", 2*len(Hash{}), len(id))
}

// prefixes are those of networks that many people have addresses of. What begins with another one is taken for an
// address only if it has the length of one.
var prefixes = [...]string{"iota", "atoi", "smr", "rms"}

const (
	addressChars = 53 + bech32Checksum // characters of an address behind the digit 1
	cutChars     = 20                  // so many behind a known prefix are an address that was cut, fewer a word
)

// misreadAddress says why text is no address of the network whose prefix is hrp, where it resembles one of any.
func misreadAddress(text, hrp string) error {
	lower := strings.ToLower(text)
	sep := strings.LastIndexByte(lower, '1')
	if strings.HasPrefix(lower, hrp+"1") {
		sep = len(hrp) // else a digit 1 in the data would make another prefix of it
	}
	if sep < 1 {
		return nil
	}
	prefix, data := lower[:sep], lower[sep+1:]
	foreign, _, err := ParseBech32(text)
	if err == nil {
		return fmt.Errorf("an address of another network: its prefix is %s, that of this network is %s", foreign, hrp)
	}
	resembles := isWord(data) && (prefix == hrp || known(prefix) && len(data) >= cutChars) || isAddressData(prefix, data)
	var why *SyntaxError
	if !resembles || !errors.As(err, &why) {
		return nil
	}
	return fmt.Errorf("no address: %s: %s", why.Reason, why.Detail)
}

func known(prefix string) bool {
	for _, p := range prefixes {
		if p == prefix {
			return true
		}
	}
	return false
}

// isWord reports whether s holds lower-case letters and digits only.
func isWord(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// isAddressData reports whether prefix is one that a network could have, and data what stands behind it in an address.
func isAddressData(prefix, data string) bool {
	return len(data) == addressChars && strings.Trim(data, bech32Chars) == "" && strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz") == ""
}
