package rebased

import (
	"reflect"
	"strings"
	"testing"

	"permanode/ledger/rebased/bcs"
)

const two = "0x0000000000000000000000000000000000000000000000000000000000000002"

func TestParseType(t *testing.T) {
	coin := two + "::coin::Coin<" + two + "::iota::IOTA>"
	tests := map[string]string{
		"bool":                                   "bool",
		" u256 ":                                 "u256",
		"vector<vector<u8>>":                     "vector<vector<u8>>",
		"vector < address >":                     "vector<address>",
		"0x2::coin::Coin<0x2::iota::IOTA>":       coin,
		"0x02::coin::Coin<0X2::iota::IOTA>":      coin,
		"0x2 :: coin :: Coin < 0x2::iota::IOTA>": coin,
		coin:                                     coin,
		strings.ReplaceAll(coin, "0x", ""):       coin,
		"0x2::table::Table<u64,bool>":            two + "::table::Table<u64, bool>",
		"0x2::table::Table< u64 ,\tbool >":       two + "::table::Table<u64, bool>",
		"0x000000000000000000000000000000000000000000000000000000000000ABCd::_m::T_1": "0x000000000000000000000000000000000000000000000000000000000000abcd::_m::T_1",
		"0x2::vector::vector": two + "::vector::vector",
	}
	for text, want := range tests {
		tag, err := ParseType(text)
		if err != nil || tag.String() != want {
			t.Errorf("%q reads as %v, %v; want %s", text, tag, err, want)
			continue
		}
		if again, err := ParseType(tag.String()); err != nil || !reflect.DeepEqual(again, tag) {
			t.Errorf("%s reads as %v, %v", tag, again, err)
		}
	}
	if a, b := mustType(t, "0x2::m::Name").String(), mustType(t, "0x2::m::name").String(); a == b {
		t.Error("names are case-sensitive")
	}
}

func mustType(t *testing.T, text string) TypeTag {
	tag, err := ParseType(text)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func TestParseTypeRefuses(t *testing.T) {
	deep := strings.Repeat("vector<", bcs.MaxDepth) + "u8" + strings.Repeat(">", bcs.MaxDepth)
	for _, text := range []string{
		"", " ", "u7", "U8", "Bool", "vector", "vector<>", "vector<u8", "vector<u8,u8>", "vector<u8>>", "u8>", "u8 u8",
		"0x2", "0x2::coin", "0x2::coin::", "0x2::coin::Coin<>", "0x2::coin::Coin<u8", "0x2::coin::Coin<u8,>", "0x2::coin::Coin<u8 u8>",
		"0x::coin::Coin", "0xg::coin::Coin", "2::coin::Coin", "coin::Coin", two[2:], two[3:] + "::coin::Coin", "0" + two[2:] + "::coin::Coin", strings.Repeat("g", 64) + "::coin::Coin", "0x2:coin::Coin", "0x2::1coin::Coin", "0x2::_::Coin",
		"0x" + strings.Repeat("0", 65) + "::coin::Coin", "0x2::coin::Coin::more", "0x2::münze::Coin", "vector<" + strings.Repeat("a", maxTypeText), deep,
		strings.Repeat("0x2::a::A<", 5000),
	} {
		if tag, err := ParseType(text); err == nil {
			t.Errorf("%.80q reads as %s", text, tag)
		}
	}
	if _, err := ParseType(strings.TrimSuffix(strings.TrimPrefix(deep, "vector<"), ">")); err != nil {
		t.Errorf("a type as deep as bytes may be: %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{"0x2": two, "0X02": two, two: two, "0x" + strings.Repeat("F", 64): "0x" + strings.Repeat("f", 64)} {
		if a, err := ParseAddress(text); err != nil || a.String() != want {
			t.Errorf("%s reads as %s, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "0x", "2", "x2", "0xg", "0x 2", "0x" + strings.Repeat("0", 65), "0x0x2"} {
		if a, err := ParseAddress(text); err == nil {
			t.Errorf("%q reads as %s", text, a)
		}
	}
}

func TestParseDigest(t *testing.T) {
	for _, text := range []string{
		"", "1", strings.Repeat("1", 31), strings.Repeat("1", 33), strings.Repeat("z", 44), strings.Repeat("z", 45), strings.Repeat("z", 1<<20),
		"0OIl" + strings.Repeat("2", 40), strings.Repeat("1", 31) + "0",
	} {
		if d, err := ParseDigest(text); err == nil {
			t.Errorf("%.80q reads as %s", text, d)
		}
	}
}
