package stardust

import (
	"errors"
	"strings"
	"testing"

	"permanode/ledger"
)

func countingAddress() (a Address) {
	for i := range a[1:] {
		a[1+i] = byte(i)
	}
	return a
}

// Address text that looks right (field report FR-08).
func TestBech32Strict(t *testing.T) {
	const good = "smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p79v4tq5"
	for _, text := range []string{good, strings.ToUpper(good)} {
		if hrp, a, err := ParseBech32(text); err != nil || hrp != "smr" || a != countingAddress() {
			t.Errorf("%s: read as %s %x (%v)", text, hrp, a, err)
		}
	}
	if hrp, _, err := ParseBech32("iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7juvtk9"); err != nil || hrp != "iota" {
		t.Errorf("another network's address: prefix %q (%v)", hrp, err)
	}
	for text, reason := range map[string]Reason{
		"Smr1" + good[4:]:                      ReasonCase,
		good[:10] + "Q" + good[11:]:            ReasonCase,
		good[:len(good)-1] + "6":               ReasonChecksum,
		"iota1" + good[4:]:                     ReasonChecksum,
		good[:20] + good[21:]:                  ReasonChecksum,
		strings.Replace(good, "p79v4", "b", 1): ReasonCharacter,
		"smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7ss989k": ReasonChecksum, // bech32m
		"0x" + strings.Repeat("0a", 20):                                   ReasonSeparator,
		"":                                                                ReasonSeparator,
		"smr1":                                                            ReasonSeparator,
		"1" + good[4:]:                                                    ReasonSeparator,
		strings.Repeat("q", 90):                                           ReasonSeparator,
		strings.Repeat("q", 91):                                           ReasonTextLength,
		good + " ":                                                        ReasonCharacter,
		"ſmr1" + good[4:]:                                                 ReasonCharacter, // a long s, whose upper case is S
		"smr1" + "\x00" + good[5:]:                                        ReasonCharacter,
	} {
		hrp, a, err := ParseBech32(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !errors.Is(err, ledger.ErrSyntax) || syntax.Reason != reason {
			t.Errorf("%q: read as %s %x (%v), want the reason %q", text, hrp, a, err, reason)
		}
	}
}

// withGroups makes text with a good checksum over any groups.
func withGroups(hrp string, groups []byte) string {
	text, sum := hrp+"1", expand(hrp)
	for _, g := range groups {
		text, sum = text+bech32Chars[g:g+1], polymod(sum, g)
	}
	for range bech32Checksum {
		sum = polymod(sum, 0)
	}
	sum ^= 1
	for i := range bech32Checksum {
		g := sum >> (5 * (5 - i)) & 31
		text += bech32Chars[g : g+1]
	}
	return text
}

// The 265 bits of 53 groups hold 264: the last must be zero, and there is no group more.
func TestBech32Padding(t *testing.T) {
	groups := make([]byte, 53)
	if _, a, err := ParseBech32(withGroups("rms", groups)); err != nil || a != (Address{}) {
		t.Fatalf("zero address: %x (%v)", a, err)
	}
	groups[52] = 1
	for name, g := range map[string][]byte{"bit": groups, "group": make([]byte, 54), "no data": {}} {
		_, _, err := ParseBech32(withGroups("rms", g))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Reason != ReasonPadding && syntax.Reason != ReasonTextLength {
			t.Errorf("%s more: %v", name, err)
		}
	}
}
