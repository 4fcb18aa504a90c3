package idtext

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/mr-tron/base58"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// TestPayload: CIDs that other software made of known bytes. Byte i of an input is i mod 251.
func TestPayload(t *testing.T) {
	for n, text := range map[int]string{
		0:         "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
		1:         "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
		1_000:     "bafkreicojquuwmy7piqjti3zx3buxh47ya64i2vumxmzr5gwqpnfgsd6nu",
		262_144:   "bafkreibruh455iawsviqslif5c7uurdcfdemh22mtnytyzvnzn75kpejxy",
		262_145:   "bafkreidkcavdl3yt2jt36sd4cuqnqk2p6vaxq66iykemz6mk527hnbqbni",
		1_048_576: "bafkreidddocae7lltzjlkooe5a3tmiwsgazn7logjvqk7bzttsidpzhxne",
	} {
		sameSum(t, text, sha256.Sum256(pattern(n)))
	}
	sum := sha256.Sum256([]byte("permanode payload one\n"))
	raw := append([]byte("\x01\x55\x12\x20"), sum[:]...)
	for _, text := range []string{
		"bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa", // Kubo
		"zb2rhk1cuey3kpM8MnfziTokCUK2ytdDLAdqxiBsxbRRyoF99",           // another server
		strings.ToUpper("bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa"),
		"sha256:" + hex.EncodeToString(sum[:]), "SHA256:0X" + strings.ToUpper(hex.EncodeToString(sum[:])),
		"f" + hex.EncodeToString(raw), "F" + strings.ToUpper(hex.EncodeToString(raw)), "z" + base58.Encode(raw),
	} {
		sameSum(t, text, sum)
	}
}

func sameSum(t *testing.T, text string, want [32]byte) {
	t.Helper()
	got, err := Payload(text)
	if err != nil || got != want {
		t.Errorf("%s names %x (%v), want %x", text, got, err, want)
	}
}

// TestNoPayload: CIDs that name something else, and damaged ones, are refused with a reason; words are none.
func TestNoPayload(t *testing.T) {
	const good = "bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa"
	for text, why := range map[string]string{
		"QmPb2vaCwaMGybz6Zsnp7G1KDQRVauXX4f3eTCkQobJW4z":              "version 0",
		"QmPb2vaCwaMGybz6Zsnp7G1KDQRVauXX4f3eTCkQobJW4":               "bytes",
		"QmPb2vaCwaMGybz6Zsnp7G1KDQRVauXX4f3eTCkQobJW40":              "base58", // 0 is no digit there
		"bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu": "codec 0x70",
		good[:58]:                   "base32",
		good + "aaaaaaaa":           "41 bytes",
		good[:50] + "8" + good[51:]: "base32", // 8 is no digit there
		good[:58] + "b":             "last character",
		good[:50] + "A" + good[51:]: "base32", // mixed case
		"zb2rhk1cuey3kpM8MnfziTokCUK2ytdDLAdqxiBsxbRRyoF9": "bytes",
		"f01551220" + strings.Repeat("c6", 31):             "bytes",
		"f01551220" + strings.Repeat("c", 61):              "base16",
		"sha256:" + strings.Repeat("c", 63):                "63",
		"sha256:" + strings.Repeat("c", 65):                "65",
		"sha256:0x" + strings.Repeat("c", 62):              "62",
		"sha256:" + strings.Repeat("c", 63) + "g":          "'g'",
		"SHA256:" + strings.Repeat("c", 62) + "ü":          "'ü'",
		"bafk2bzacea" + strings.Repeat("a", 51):            "hash 0xa0",
	} {
		sum, err := Payload(text)
		if err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s names %x (%v), want an error with %q", text, sum, err, why)
		}
	}
	for _, word := range []string{"", "b", "bafk", "bafybeword", "Qm", "Qmail", "z", "f", "f0155122", "f01551220c69f", "sha256", "zebra", "invoice", strings.Repeat("bafk", 30), strings.Repeat("a", 1<<20)} {
		if sum, err := Payload(word); !errors.Is(err, ErrNone) {
			t.Errorf("%.20s names %x (%v)", word, sum, err)
		}
	}
}

// TestHex: what resembles an identifier in hex has a reason; words, and what can be the bytes of a tag, have none.
func TestHex(t *testing.T) {
	c := func(n int) string { return strings.Repeat("c", n) }
	for text, why := range map[string]string{
		c(63): "63 hex digits; identifiers have 64 or 68", c(65): "65", c(62): "62", c(66): "66", "0x" + c(63): "63", "0x" + c(65): "65",
		"0X" + c(67): "67", c(63) + "g": "64, 'g'", c(31) + "g" + c(31): "32, 'g'", "0x" + c(62) + "zz": "63, 'z'", strings.ToUpper(c(63)): "63",
		"0x" + c(40): "another chain",
		"":           "", "0x": "", c(40): "", "0x" + c(62): "", "0x" + c(66): "", "0x" + c(8): "", "0x" + c(7): "7", "0x" + c(39): "39", c(7): "", "decade": "",
		c(60) + "ggg": "", c(60) + "-" + c(3): "", c(100): "", "0x" + c(128): "", "für": "",
	} {
		err := Hex(text, 64, 68)
		if (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", text, err, why)
		}
	}
}

func FuzzHex(f *testing.F) {
	f.Add("0x" + strings.Repeat("c", 63))
	f.Add(strings.Repeat("c", 63) + "g")
	f.Fuzz(func(t *testing.T, text string) { _ = Hex(text, 64, 68) })
}

func FuzzPayload(f *testing.F) {
	f.Add("bafkreiggt5vvp54eeohrraea7y7t3djewvjxng6ijxga6henkrlkdjpvqa")
	f.Add("zb2rhk1cuey3kpM8MnfziTokCUK2ytdDLAdqxiBsxbRRyoF99")
	f.Add("f01551220c69f")
	f.Fuzz(func(t *testing.T, text string) {
		sum, err := Payload(text)
		if err != nil {
			return
		}
		again, err := Payload("f" + hex.EncodeToString([]byte(head)) + hex.EncodeToString(sum[:]))
		if err != nil || again != sum {
			t.Errorf("%q names %x, in base16 %x (%v)", text, sum, again, err)
		}
	})
}
