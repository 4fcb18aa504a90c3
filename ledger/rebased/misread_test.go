package rebased

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// TestMisread: what resembles an identifier has a reason, words have none (FR-12, FR-20).
func TestMisread(t *testing.T) {
	c := Codec{}
	digest := Digest([]byte(strings.Repeat("\x2a", 32))).String()
	full := strings.Repeat("a", 64)
	for text, why := range map[string]string{
		"0x0" + full:                    "65",
		"0x" + full[1:] + "g":           "address",
		"0x2g":                          "address",
		"0x" + full[1:]:                 "63 hex digits; identifiers have 64 or 68",
		"0x" + full[:40]:                "another chain",
		full[1:]:                        "63 hex digits; identifiers have 64 or 68",
		full[1:] + "g":                  "'g'",
		"0x2::iota":                     "::",
		"0x2g::iota::IOTA":              "address",
		"0x2::coin::Coin<0x2>":          "::",
		digest[2:]:                      "bytes, not 32",
		digest + "2":                    "bytes, not 32",
		digest[:20] + "0" + digest[21:]: "base58",
		"sha256:" + full[1:]:            "63",
		"did:iota:0x2":                  "64 hex digits, not 1",
		"did:iota:" + full[1:] + "g":    "hex",
		"smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p79v4tq5":  "era before",
		"IOTA1QQQQZQSRQSZSVPCGPY9QKRQDPC83QYGJZV2P29SHRQV35XCUR50P7JUVTK9": "era before",
		"QmPb2vaCwaMGybz6Zsnp7G1KDQRVauXX4f3eTCkQobJW4z":                   "version 0",
		"bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu":      "tree of blocks",
		strings.Repeat("0", 64) + "8000":                                   "68", // no transaction had an output 128
	} {
		err := c.Misread(text, ledger.Trust{})
		if keys := c.Recognise(text, ledger.Trust{}); len(keys) > 0 || err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q names %q, misread: %v, want %q", text, keys, err, why)
		}
	}
	for _, word := range []string{
		"", "INVOICE", "net 30", "0x", "0xproject", "0x" + full + "aa", "decade", "iota1", strings.Repeat("q", 45), "權威事實", "sensor-node",
	} {
		if keys, err := c.Recognise(word, ledger.Trust{}), c.Misread(word, ledger.Trust{}); len(keys) > 0 || err != nil {
			t.Errorf("the word %q names %q, misread: %v", word, keys, err)
		}
	}
}

// TestRecognisePayload: a SHA-256 in every dress is the same key.
func TestRecognisePayload(t *testing.T) {
	const digits = "c69f6b57f784238f188080fe3f3d8d24b553769bc84dcc0f1c8d5456a1a5f580"
	var want []ledger.Key
	for _, k := range (Codec{}).Recognise(digits, ledger.Trust{}) {
		if k.Kind == ledger.KeyPayload {
			want = append(want, k)
		}
	}
	for _, text := range []string{
		"SHA256:0x" + strings.ToUpper(digits), "bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa",
		"BAFKREIGGT5VVP54EEOHRRAEA7Y7T3DJEWVJXNG6IJXGA6HENKRLKDJPVQA", "zb2rhk1cuey3kpM8MnfziTokCUK2ytdDLAdqxiBsxbRRyoF99",
	} {
		if got := (Codec{}).Recognise(text, ledger.Trust{}); len(want) != 1 || len(got) != 1 || got[0] != want[0] {
			t.Errorf("%q names %q, want %q", text, got, want)
		}
	}
}

// TestBesideVector: where the ledger is held postings tell all; where it is not nobody knows.
func TestBesideVector(t *testing.T) {
	owner := strings.Repeat("\x2a", 32)
	for _, name := range ledgertest.Paths(t, "rebased/checkpoints/*/index.json") {
		dir := filepath.Dir(name)
		l := openLedger(t, filepath.Join(dir, "committee_epoch0.json"))
		read := func(_ context.Context, keys [][]byte) ([][]byte, error) {
			out := make([][]byte, len(keys))
			for i, k := range keys {
				out[i] = l.state[string(k)]
			}
			return out, nil
		}
		if _, err := (Codec{}).Beside(context.Background(), ledger.Trust{}, owner, 7, 0, nil, read); !errors.Is(err, ledger.ErrNoLedger) {
			t.Errorf("%s without a ledger: %v", dir, err)
		}
		first, err := os.ReadFile(filepath.Join(dir, readJSON[networkIndex](t, name).Checkpoints[0].Seq.String()+".chk"))
		if err != nil {
			t.Fatal(err)
		}
		l.seal(t, first)
		if h, err := (Codec{}).Beside(context.Background(), ledger.Trust{}, owner, 7, 0, nil, read); err != nil || h != nil {
			t.Errorf("%s: %v, %v", dir, h, err)
		}
	}
	if got := (Codec{}).FormatOwner(owner, ledger.Trust{}); got != "0x"+strings.Repeat("2a", 32) {
		t.Errorf("the owner is written %s", got)
	}
}
