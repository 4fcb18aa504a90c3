package stardust_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// shimmer is the trust of a network with the prefix smr.
func shimmer(t *testing.T) ledger.Trust {
	t.Helper()
	raw, err := stardust.NewTrust(stardust.TrustSpec{
		Parameters: stardust.AppendParameters(nil, &stardust.Parameters{
			Version: 2, Network: "shimmer", HRP: "smr", MinPoWScore: 1500, BelowMaxDepth: 15, VByteCost: 100, FactorData: 1, FactorKey: 10, Supply: 1 << 60,
		}),
		KeyCount: 1, Keys: []stardust.KeyRange{{Key: stardust.Hash{1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := stardust.Codec{}.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// TestAddressText: text that looks like an address is read, or refused for the reason why it is none (FR-03, FR-08).
func TestAddressText(t *testing.T) {
	trust, c := shimmer(t), stardust.Codec{}
	const good = "smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p79v4tq5"
	var want stardust.Address
	for i := range 32 {
		want[1+i] = byte(i)
	}
	key := ledger.Key{Kind: ledger.KeyAddress, Val: string(want[:])}
	for _, text := range []string{good, strings.ToUpper(good), " " + good + "\n"} {
		if keys := c.Recognise(text, trust); !slices.Equal(keys, []ledger.Key{key}) || c.Misread(text, trust) != nil {
			t.Errorf("%q names %q, %v", text, keys, c.Misread(text, trust))
		}
	}
	if got := c.FormatOwner(key.Val, trust); got != good {
		t.Errorf("the owner is written %s", got)
	}
	for text, why := range map[string]string{
		"S" + good[1:]:           "mixed case",
		good[:len(good)-1] + "6": "checksum",
		"smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7ss989k":  "checksum", // bech32m
		"iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7juvtk9": "another network: its prefix is iota, that of this network is smr",
		"iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7juvtk8": "checksum",
		"iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29":                      "checksum", // cut
		want.Bech32("test"):                              "another network: its prefix is test",
		"smt" + good[3:]:                                 "checksum",
		"smr1" + strings.Repeat("q", 58):                 "checksum",
		good[:20] + "b" + good[21:]:                      "character",
		good + strings.Repeat("q", 40):                   "length",
		"smr1":                                           "separator",
		"SMR1":                                           "separator",
		"0x" + strings.Repeat("ab", 20):                  "another chain",
		"0x" + strings.Repeat("a", 63):                   "63 hex digits",
		"0x" + strings.Repeat("a", 65):                   "65 hex digits",
		strings.Repeat("a", 63):                          "63 hex digits; identifiers have 64, 66, 68 or 76",
		strings.Repeat("a", 63) + "g":                    "'g'",
		"sha256:" + strings.Repeat("a", 63):              "63",
		"sha256:" + strings.Repeat("a", 63) + "g":        "'g'",
		"did:iota:0x12":                                  "64 hex digits, not 2",
		"did:iota:" + strings.Repeat("g", 64):            "hex",
		"QmPb2vaCwaMGybz6Zsnp7G1KDQRVauXX4f3eTCkQobJW4z": "version 0",
		"bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu": "tree of blocks",
		"bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvq":  "base32",
	} {
		err := c.Misread(text, trust)
		if keys := c.Recognise(text, trust); len(keys) > 0 || err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q names %q, misread: %v, want %q", text, keys, err, why)
		}
	}
	for _, word := range []string{
		"", "INVOICE", "sensor-node", "net 30", "iota1", "iota1point0", "smr", "1", "11111", "a1b2", "decade", "0x", "0x4143", "word1" + strings.Repeat("b", 59),
		strings.Repeat("q", 90), "smr1-node", "權威事實", "für", strings.Repeat("a", 100), "x1" + strings.Repeat("qp", 30),
	} {
		if keys, err := c.Recognise(word, trust), c.Misread(word, trust); len(keys) > 0 || err != nil {
			t.Errorf("the word %q names %q, misread: %v", word, keys, err)
		}
	}
}

// TestPayloadText: a SHA-256 in every dress is the same key (FR-20).
func TestPayloadText(t *testing.T) {
	trust, c := shimmer(t), stardust.Codec{}
	const digits = "c69f6b57f784238f188080fe3f3d8d24b553769bc84dcc0f1c8d5456a1a5f580"
	want := ledger.Key{Kind: ledger.KeyPayload, Val: string(mustHex(digits))}
	for _, text := range []string{
		digits, strings.ToUpper(digits), "0x" + digits, "sha256:" + digits, "SHA256:0x" + strings.ToUpper(digits),
		"bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa", "zb2rhk1cuey3kpM8MnfziTokCUK2ytdDLAdqxiBsxbRRyoF99",
	} {
		if keys := c.Recognise(text, trust); !slices.Contains(keys, want) || c.Misread(text, trust) != nil {
			t.Errorf("%q names %q, misread: %v", text, keys, c.Misread(text, trust))
		}
	}
}

func TestFormatAsset(t *testing.T) {
	c := stardust.Codec{}
	id := string(bytes.Repeat([]byte{8}, 38))
	if got := c.FormatAsset(id); got != "0x"+strings.Repeat("08", 38) || c.FormatAsset("") != "" {
		t.Errorf("written %q and %q", got, c.FormatAsset(""))
	}
	if keys := c.Recognise(c.FormatAsset(id), shimmer(t)); len(keys) != 1 || keys[0].Val != id {
		t.Errorf("a token's id names %q", keys)
	}
}
