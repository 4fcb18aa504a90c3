// Package idtext reads identifiers in forms that eras share, and says why a text that is none resembles one: so that a
// typing error is never answered as if it were an identifier that nothing has. It does no I/O.
package idtext

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrNone says that a text has not the form of what was asked for.
	ErrNone = errors.New("no such form")
	// ErrTree says that a good CID is that of a tree, under which larger payloads stand.
	ErrTree = errors.New("a tree of blocks, not the bytes of a payload: ask by their SHA-256, or by the CID of one raw block (bafkrei…)")
)

// Payload returns the SHA-256 of the payload that text names: "sha256:" and 64 hex digits of either case, with 0x or
// without, or the CIDv1 of one raw block, which is the SHA-256 of the block's bytes in another dress. It fails with
// [ErrNone] if text has neither form, and else with the reason why it is damaged or names no payload.
func Payload(text string) (sum [32]byte, err error) {
	const scheme = "sha256:"
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return cidPayload(text)
	}
	digits := strings.TrimPrefix(strings.ToLower(text[len(scheme):]), "0x")
	if len(digits) != 2*len(sum) {
		return sum, fmt.Errorf("a SHA-256 has %d hex digits, this one %d", 2*len(sum), len(digits))
	}
	_, err = hex.Decode(sum[:], []byte(digits))
	if err != nil {
		return [32]byte{}, notHex(digits)
	}
	return sum, nil
}

// foreignDigits is how many hex digits an address of Ethereum has.
const foreignDigits = 40

// Hex says why text, which names nothing, resembles an identifier in hex: it has about as many digits as one of sizes,
// or a letter among them that is no digit. With 0x before it an even number of digits is as well the bytes of a tag:
// then only the form of another chain's address is told. nil if it resembles none.
func Hex(text string, sizes ...int) error {
	digits := strings.TrimPrefix(strings.ToLower(text), "0x")
	prefixed := len(digits) < len(text)
	wrong := 0
	for i := range len(digits) {
		switch c := digits[i]; {
		case isDigit(c):
		case c >= 'g' && c <= 'z':
			wrong++
		default:
			return nil
		}
	}
	near := slices.ContainsFunc(sizes, func(n int) bool { return len(digits) >= n-2 && len(digits) <= n+2 })
	switch {
	case wrong > 0 && wrong <= 2 && near:
		return notHex(digits)
	case wrong > 0:
		return nil
	case prefixed && len(digits) == foreignDigits:
		return fmt.Errorf("0x and %d hex digits are the form of another chain's addresses; nothing here has one, and it is not filled up", foreignDigits)
	case prefixed && len(digits)%2 == 0:
		return nil
	case prefixed && digits != "", near:
		return fmt.Errorf("it has %d hex digits; identifiers have %s", len(digits), numbers(sizes))
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// notHex names the first character of digits that is no hex digit.
func notHex(digits string) error {
	at := strings.IndexFunc(digits, func(r rune) bool { return r > 'f' || !isDigit(byte(r)) })
	return fmt.Errorf("character %d, %q, is no hex digit", at+1, []rune(digits[at:])[0])
}

// numbers joins numbers for a person.
func numbers(list []int) string {
	text := strings.Trim(fmt.Sprint(list), "[]")
	if at := strings.LastIndexByte(text, ' '); at > 0 {
		return strings.ReplaceAll(text[:at], " ", ", ") + " or" + text[at:]
	}
	return text
}
