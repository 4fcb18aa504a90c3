package rebased

import (
	"strings"
	"testing"
)

// One type has many spellings, and names are case-sensitive (FR-12).
func TestParseAsset(t *testing.T) {
	zeros := "0x" + strings.Repeat("0", 63) + "2"
	for text, want := range map[string]string{
		"0x2::iota::IOTA": "", "0x02::iota::IOTA": "", zeros + "::iota::IOTA": "", "0X2::iota::IOTA": "",
		"0x2::IOTA::iota": zeros + "::IOTA::iota", "0xAB::m::T": "0x" + strings.Repeat("0", 62) + "ab::m::T", "0xab::m::T<u8>": "0x" + strings.Repeat("0", 62) + "ab::m::T<u8>",
		"": "none", "coins": "none", "u64": "none", "0x2": "none", "0x2::iota": "none", "0x" + strings.Repeat("0", 64) + "2::iota::IOTA": "none",
	} {
		asset, ok := Codec{}.ParseAsset(text)
		if ok != (want != "none") || ok && asset != want {
			t.Errorf("%q is %q, %v; want %q", text, asset, ok, want)
		}
	}
}
