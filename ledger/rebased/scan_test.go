package rebased

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestPureTexts: rule R1, each reading and what just misses it.
func TestPureTexts(t *testing.T) {
	str := func(s string) string { return string([]byte{byte(len(s))}) + s }
	long := strings.Repeat("x", 200)
	cases := []struct {
		name, arg string
		want      []string
	}{
		{"nothing", "", nil},
		{"string", str("abc"), []string{"abc"}},
		{"string of two bytes", str("ab"), nil},
		{"string of 200 bytes", "\xc8\x01" + long, []string{long}},
		{"a length in a longer form", "\x83\x00abc", nil},
		{"a byte left", str("abc") + "d", nil},
		{"a byte short", "\x04abc", nil},
		{"optional string", "\x01" + str("abc"), []string{"abc"}},
		{"optional string of two bytes is a vector of one", "\x01" + str("ab"), []string{"ab"}},
		{"no string", "\x00", nil},
		{"vector", "\x03" + str("a") + str("bc") + str("Größe"), []string{"a", "bc", "Größe"}},
		{"vector with an empty string", "\x02" + str("abc") + str(""), nil},
		{"vector with a byte left", "\x01" + str("a") + "b", nil},
		{"vector cut short", "\x02" + str("a"), nil},
		{"vector of a huge count", "\xff\xff\xff\xff\x0f" + str("a"), nil},
		{"control character", str("a\x01b"), nil},
		{"delete", str("a\x7fb"), nil},
		{"C1 control character", str("a\u0085b"), nil},
		{"tab, line feed, carriage return", str("a\tb\r\n"), []string{"a\tb\r\n"}},
		{"not UTF-8", str("a\xffb"), nil},
		{"surrogate", str("a\xed\xa0\x80b"), nil},
		{"the replacement character itself", str("\ufffd"), []string{"\ufffd"}},
		{"number", "\x01\x00\x00\x00\x00\x00\x00\x00", nil},
		{"an argument that is a string before it is a vector", "\x04\x03abc", nil},
		{"four bytes of which the first fits", "\x03\x01ab", nil},
	}
	for _, c := range cases {
		if got := pureTexts([]byte(c.arg)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// plainScan is the rule of the scan word by word.
func plainScan(b []byte) (out []string) {
next:
	for at := 0; at < len(b); {
		n, length := 0, 0
		for i := 0; i < 5 && at+i < len(b); i++ {
			c := int(b[at+i])
			n |= c & 0x7f << (7 * i)
			if c < 0x80 {
				if i == 0 || c != 0 {
					length = i + 1
				}
				break
			}
		}
		if length > 0 && n >= 6 && n <= len(b)-at-length {
			text := b[at+length : at+length+n]
			if utf8.Valid(text) && !bytes.ContainsFunc(text, func(r rune) bool {
				return r < 32 && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0
			}) {
				out = append(out, string(text))
				at += length + n
				continue next
			}
		}
		at++
	}
	return out
}

// pieces are what contents are made of in the tests: lengths, text and what breaks either.
var pieces = []string{
	"\x06", "\x07abcdef", "\x06abcdef", "\x80\x01", "\x86\x00", "\xff\xff\xff\xff\x0f", "\xff\xff\xff\xff\x1f", "a", "é", "é\t", "計測",
	"\x00", "\x01", "\x7f", "\xff", "\u0085", "\ufffd", "\xed\xa0\x80", "\n", "abcdefgh", " 0123456789012345678901234567890123456789",
}

// TestScan: the scan that reads each byte a few times finds what the plain one finds.
func TestScan(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 60).Draw(t, "pieces"), ""))
		got, want := scanTexts(b), plainScan(b)
		if !slices.Equal(got, want) {
			t.Fatalf("scan of %q\n got %q\nwant %q", b, got, want)
		}
		found += len(got)
	})
	if found == 0 {
		t.Error("no text was ever found")
	}
}

// TestScanIsLinear: contents in which every third byte claims a long text cost no more than others. The plain
// scan takes hours.
func TestScanIsLinear(t *testing.T) {
	unit := "é\t" // also the length 152,771
	b := []byte(strings.Repeat(unit, 8<<20/len(unit)))
	for at := 140000; at < len(b); at += 140000 {
		b[at-at%3] = 0xff
	}
	start := time.Now()
	scanTexts(b)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("8 MiB took %v", took)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(strings.Join(pieces, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := scanTexts(b), plainScan(b); !slices.Equal(got, want) {
			t.Fatalf("scan of %q\n got %q\nwant %q", b, got, want)
		}
		pureTexts(b)
	})
}
