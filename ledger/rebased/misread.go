package rebased

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"

	"permanode/ledger"
	"permanode/ledger/idtext"
)

// Misread says why text, which names nothing, resembles an address, an id, a digest, a type, a DID, a CID or a SHA-256,
// or is an address of an era before this one.
func (c Codec) Misread(text string, t ledger.Trust) error {
	if len(c.Recognise(text, t)) > 0 {
		return nil
	}
	text = strings.TrimSpace(text)
	if strings.Contains(text, "::") {
		_, err := ParseType(text)
		return err
	}
	if _, err := idtext.Payload(text); !errors.Is(err, idtext.ErrNone) {
		return err
	}
	for _, why := range [...]func(string) error{misreadDID, misreadBech32, misreadAddress, misreadDigest} {
		if err := why(text); err != nil {
			return err
		}
	}
	return idtext.Hex(text, 2*len(Address{}), 2*len(stardustOutput{}))
}

func misreadDID(text string) error {
	id, ok := strings.CutPrefix(strings.ToLower(text), didPrefix)
	if !ok {
		return nil
	}
	id = id[strings.LastIndexByte(id, ':')+1:]
	if digits := strings.TrimPrefix(id, "0x"); len(digits) != 2*len(ObjectID{}) {
		return fmt.Errorf("a DID ends with the id of its object, %d hex digits, not %d", 2*len(ObjectID{}), len(digits))
	}
	return fmt.Errorf("a DID ends with the id of its object in hex, not %s", id)
}

const (
	bech32Chars   = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bech32Address = 59 // characters of a Stardust address behind the digit 1
)

// misreadBech32 knows the form of addresses of the eras before.
func misreadBech32(text string) error {
	lower := strings.ToLower(text)
	prefix, data, ok := strings.Cut(lower, "1")
	if ok && prefix != "" && strings.Trim(prefix, letters) == "" && len(data) == bech32Address && strings.Trim(data, bech32Chars) == "" {
		return errors.New("an address in bech32 is of an era before this one: ask its network, or by the address in 64 hex digits")
	}
	return nil
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// misreadAddress says why text that begins with 0x is no address; of few digits too, since zeros may be left out.
func misreadAddress(text string) error {
	rest, ok := strings.CutPrefix(strings.ToLower(text), "0x")
	if !ok || rest == "" || len(rest) > 2*len(Address{}) || strings.Trim(rest, letters+digits) != "" {
		return nil
	}
	const slips = 2 // more letters that are no digits make a word
	if wrong := strings.Map(onlyWrong, rest); len(wrong) > slips {
		return nil
	}
	_, err := ParseAddress(text)
	return err
}

func onlyWrong(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'a' && r <= 'f' {
		return -1
	}
	return r
}

// Digests have 43 or 44 base58 characters, seldom fewer.
const (
	digestChars = 44
	digestSlips = 2
)

// misreadDigest says why text is no digest, where it has about the length of one, and upper and lower case as they all
// have.
func misreadDigest(text string) error {
	if len(text) < digestChars-1-digestSlips || len(text) > digestChars+digestSlips ||
		strings.Trim(strings.ToLower(text), letters+digits) != "" || strings.ToLower(text) == text || strings.ToUpper(text) == text {
		return nil
	}
	b, err := base58.Decode(text)
	if err != nil {
		return fmt.Errorf("no digest: %w", err)
	}
	return fmt.Errorf("no digest: it has %d bytes, not %d", len(b), len(Digest{}))
}
