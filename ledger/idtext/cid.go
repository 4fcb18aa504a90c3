package idtext

import (
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"
)

const (
	size    = 36 // bytes of a CIDv1 with a SHA-256
	sizeV0  = 34
	maxText = 80 // characters of the longest text that is read: base16 takes 73
)

// head is what a CID of one raw block begins with.
const head = "\x01\x55\x12\x20"

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// cidPayload returns the SHA-256 of the payload that a CID names. It fails with [ErrNone] if text has no form of one, and
// else with the reason why it is a damaged one or names no payload.
//
//	CIDv1 := 01 | codec | hash 12 | length 20 | SHA-256 32      codec 55: raw; 70: a node of a DAG
//	CIDv0 := 12 20 | SHA-256 32, of a node of a DAG
//
// Source: multiformats, CID and multibase. The text forms are base32 (b, in upper case B), base58btc (z) and base16
// (f, F), and base58btc without a letter for CIDv0.
func cidPayload(text string) (sum [32]byte, err error) {
	if len(text) > maxText {
		return sum, ErrNone
	}
	raw, err := decode(text)
	if err != nil {
		return sum, err
	}
	switch {
	case len(raw) == size && string(raw[:len(head)]) == head:
		return [32]byte(raw[len(head):]), nil
	case len(raw) == sizeV0 && string(raw[:2]) == head[2:]:
		return sum, fmt.Errorf("%s is a CID of version 0, which names %w", text, ErrTree)
	case len(raw) < len(head) || raw[0] != head[0]:
		return sum, fmt.Errorf("%s has the form of a CID and is none: it has %d bytes, not %d or %d", text, len(raw), size, sizeV0)
	case raw[1] != head[1]:
		return sum, fmt.Errorf("%s is a CID with the codec %#x, which names %w", text, raw[1], ErrTree)
	case string(raw[2:len(head)]) != head[2:]:
		return sum, fmt.Errorf("%s is a CID with the hash %#x: payloads are named by SHA-256 (0x12, 32 bytes)", text, raw[2])
	}
	return sum, fmt.Errorf("%s has the form of a CID and is none: it has %d bytes, not %d", text, len(raw), size)
}

// decode returns the bytes of what has the form of a CID.
func decode(text string) ([]byte, error) {
	switch {
	case strings.HasPrefix(text, "bafk"), strings.HasPrefix(text, "bafy"), strings.HasPrefix(text, "bafz"):
		return decodeBase32(text, text[1:])
	case strings.HasPrefix(text, "BAFK"), strings.HasPrefix(text, "BAFY"), strings.HasPrefix(text, "BAFZ"):
		return decodeBase32(text, strings.ToLower(text[1:]))
	case strings.HasPrefix(text, "zb2rh"), strings.HasPrefix(text, "zdj7W"), strings.HasPrefix(text, "zdpu"):
		return decodeBase58(text, text[1:])
	case strings.HasPrefix(text, "Qm"):
		return decodeBase58(text, text)
	case strings.HasPrefix(strings.ToLower(text), "f01551220"), strings.HasPrefix(strings.ToLower(text), "f01701220"):
		raw, err := hex.DecodeString(text[1:])
		return damaged(text, "base16", raw, err)
	}
	return nil, ErrNone
}

// leastText is from how many characters on a text that begins like a CID is taken for a damaged one, not for a word.
const leastText = 40

// decodeBase32 is strict: the bits behind the last byte are zero, so that a CID has one text in lower case.
func decodeBase32(text, digits string) ([]byte, error) {
	raw, err := base32Lower.DecodeString(digits)
	if err == nil && base32Lower.EncodeToString(raw) != digits {
		err = errors.New("the last character is not one that a CID ends with")
	}
	return damaged(text, "base32", raw, err)
}

func decodeBase58(text, digits string) ([]byte, error) {
	raw, err := base58.Decode(digits)
	return damaged(text, "base58", raw, err)
}

func damaged(text, base string, raw []byte, err error) ([]byte, error) {
	switch {
	case len(text) < leastText:
		return nil, ErrNone
	case err != nil:
		return nil, fmt.Errorf("%q has the form of a CID in %s: %w", text, base, err)
	}
	return raw, nil
}
