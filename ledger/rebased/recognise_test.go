package rebased

import (
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
)

// TestRecognise: what people type, and what it may name.
func TestRecognise(t *testing.T) {
	two := string(make([]byte, 31)) + "\x02"
	full := "0x" + strings.Repeat("0", 63) + "2"
	all := strings.Repeat("\xff", 32)
	all63 := strings.Repeat("a", 63)
	output := strings.Repeat("00", 32) + "0100"
	became := MigratedID([34]byte{32: 1})
	iota := full + "::iota::IOTA"
	coinOf := func(s string) string { return full + "::coin::Coin<" + s + ">" }
	address := keysOf(two, ledger.KeyAddress, ledger.KeyObject)
	hash := append(slices.Clone(address), keysOf(two, ledger.KeyPayload, ledger.KeyRecord, ledger.KeyUnit)...)
	name := append(keysOf(iota, ledger.KeyType, ledger.KeyEvent, ledger.KeyFunction), keysOf(coinOf(iota), ledger.KeyType)...)
	cases := []struct {
		name, text string
		want       []ledger.Key
	}{
		{"digest", Digest([]byte(all)).String(), keysOf(all, ledger.KeyRecord, ledger.KeyUnit)},
		{"digest of zeros", strings.Repeat("1", 32), keysOf(string(make([]byte, 32)), ledger.KeyRecord, ledger.KeyUnit)},
		{"digest of 31 bytes", strings.Repeat("1", 31), nil},
		{"base58 with a letter that it has not", strings.Repeat("1", 31) + "l", nil},
		{"short address", "0x2", address},
		{"short address that is none, a digit is missing", "0x" + all63, nil},
		{"address of another chain", "0x" + strings.Repeat("ab", 20), nil},
		{"short address with a zero", " 0x02\n", address},
		{"upper-case prefix", "0X2", address},
		{"full address", full, hash},
		{"upper-case digits", "0x" + strings.Repeat("F", 64), slices.Concat(
			keysOf(all, ledger.KeyAddress, ledger.KeyObject, ledger.KeyPayload, ledger.KeyRecord, ledger.KeyUnit))},
		{"64 digits", full[2:], hash},
		{"63 digits without 0x", full[3:], nil},
		{"65 digits", "0x0" + full[2:], nil},
		{"no digit", "0x", nil},
		{"not hex", "0x2g", nil},
		{"not hex in full", full[:65] + "g", nil},
		{"output", "0x" + output, keysOf(string(became[:]), ledger.KeyObject)},
		{"output without 0x", output, keysOf(string(became[:]), ledger.KeyObject)},
		{"output 128", strings.Repeat("00", 32) + "8000", nil},
		{"payload", "sha256:" + full[2:], keysOf(two, ledger.KeyPayload)},
		{"payload of 31 bytes", "sha256:" + full[4:], nil},
		{"CID", "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai", keysOf(two, ledger.KeyPayload)},
		{"CID with a bit too many", "bafkreiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaj", nil},
		{"CID of another codec", "bafybeiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai", nil},
		{"DID", "did:iota:" + full, keysOf(two, ledger.KeyObject)},
		{"DID of a network", "did:iota:2304aa97:" + full, keysOf(two, ledger.KeyObject)},
		{"DID cut", "did:iota:0x2", nil},
		{"type", iota, name},
		{"type, short", "0x2::iota::IOTA", name},
		{"type with a zero", "0x02::iota::IOTA", name},
		{"type with spaces", " 0x2 :: iota :: IOTA ", name},
		{"type with arguments", "0x2::coin::Coin<0x02::iota::IOTA>", append(
			keysOf(coinOf(iota), ledger.KeyType, ledger.KeyEvent), keysOf(coinOf(coinOf(iota)), ledger.KeyType)...)},
		{"vector", "vector<0x2::iota::IOTA>", keysOf("vector<"+iota+">", ledger.KeyType, ledger.KeyEvent)},
		{"type with 65 digits", "0x0" + full[2:] + "::iota::IOTA", nil},
		{"type that is not hex", "0x2g::iota::IOTA", nil},
		{"type without a name", "0x2::iota", nil},
		{"nothing", "", nil},
		{"words", "net 30 days", nil},
	}
	for _, c := range cases {
		if got := (Codec{}).Recognise(c.text, ledger.Trust{}); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q names\n got %q\nwant %q", c.name, c.text, got, c.want)
		}
	}
}

// TestSpellings: one type has many spellings and one text; names are case-sensitive (FR-12).
func TestSpellings(t *testing.T) {
	const digits = "0xABCDEF0000000000000000000000000000000000000000000000000000000001"
	same := [][]string{
		{"0x2::iota::IOTA", "0x02::iota::IOTA", "0x" + strings.Repeat("0", 63) + "2::iota::IOTA", "0X2::iota::IOTA"},
		{digits + "::tok::TOK", strings.ToLower(digits) + "::tok::TOK", "0xabcdef" + digits[8:] + "::tok::TOK"},
		{"0x2::coin::Coin<0x2::iota::IOTA>", "0x02::coin::Coin< 0x0002::iota::IOTA >"},
		{"0x2::a::B<u8,vector<0x2::a::C>>", "0x2::a::B<u8, vector<0x02::a::C>>", "0x2::a::B< u8 ,vector< 0x2::a::C > >"},
		{"0x2", "0x02", "0x" + strings.Repeat("0", 60) + "2"},
	}
	var seen [][]ledger.Key
	for _, spellings := range same {
		want := (Codec{}).Recognise(spellings[0], ledger.Trust{})
		if len(want) == 0 {
			t.Errorf("%s names nothing", spellings[0])
		}
		for _, s := range spellings {
			if got := (Codec{}).Recognise(s, ledger.Trust{}); !slices.Equal(got, want) {
				t.Errorf("%s and %s name\n%q\n%q", spellings[0], s, want, got)
			}
		}
		seen = append(seen, want)
	}
	for _, other := range []string{"0x2::IOTA::iota", "0x2::iota::Iota", "0x3::iota::IOTA", "0x2::coin::coin<0x2::iota::IOTA>"} {
		got := (Codec{}).Recognise(other, ledger.Trust{})
		for _, want := range seen {
			if slices.ContainsFunc(got, func(k ledger.Key) bool { return slices.Contains(want, k) }) {
				t.Errorf("%s names what another type does: %q", other, got)
			}
		}
	}
}

// TestLinks: objects and addresses lead to the era before, and to none behind.
func TestLinks(t *testing.T) {
	id := strings.Repeat("\x2a", 32)
	for _, c := range []struct {
		key  ledger.Key
		want []ledger.Key
	}{
		{ledger.Key{Kind: ledger.KeyObject, Val: id}, []ledger.Key{
			{Kind: ledger.KeySuccessor, Val: id}, {Kind: ledger.KeyObject, Val: "\x08" + id}, {Kind: ledger.KeyObject, Val: "\x10" + id},
		}},
		{ledger.Key{Kind: ledger.KeyAddress, Val: id}, []ledger.Key{{Kind: ledger.KeyAddress, Val: "\x00" + id}}},
		{ledger.Key{Kind: ledger.KeyObject, Val: id[1:]}, nil},
		{ledger.Key{Kind: ledger.KeyRecord, Val: id}, nil},
		{ledger.Key{Kind: ledger.KeyTag, Val: "INVOICE"}, nil},
	} {
		later, earlier := (Codec{}).Links(c.key, nil)
		if later != nil || !slices.Equal(earlier, c.want) {
			t.Errorf("%q leads to %q and %q, want none and %q", c.key, later, earlier, c.want)
		}
	}
}

// TestFormatKey: what is written is recognised again as what it was.
func TestFormatKey(t *testing.T) {
	id := strings.Repeat("\x2a", 32)
	for _, k := range []ledger.Key{
		{Kind: ledger.KeyRecord, Val: id},
		{Kind: ledger.KeyUnit, Val: id},
		{Kind: ledger.KeyObject, Val: id},
		{Kind: ledger.KeyAddress, Val: id},
		{Kind: ledger.KeyFunction, Val: "0x" + strings.Repeat("2a", 32) + "::m::f"},
		{Kind: ledger.KeyPayload, Val: id},
	} {
		text := (Codec{}).FormatKey(k, nil)
		if !slices.Contains((Codec{}).Recognise(text, ledger.Trust{}), k) {
			t.Errorf("%q is written %s, which does not name it", k, text)
		}
	}
	token := ledger.Key{Kind: ledger.KeyToken, Val: id + "0x2::t::T"}
	if got, want := (Codec{}).FormatKey(token, nil), "0x"+strings.Repeat("2a", 32)+" 0x2::t::T"; got != want {
		t.Errorf("token %s, want %s", got, want)
	}
}

func FuzzRecognise(f *testing.F) {
	for _, s := range []string{"0x2", "0x2::coin::Coin<0x2::iota::IOTA>", "did:iota:x:0x00", strings.Repeat("1", 44), "sha256:00", "b" + strings.Repeat("a", 58)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys := (Codec{}).Recognise(text, ledger.Trust{})
		if err := (Codec{}).Misread(text, ledger.Trust{}); err != nil && len(keys) > 0 {
			t.Errorf("%q names %q and is misread: %v", text, keys, err)
		}
		for i, k := range keys {
			if slices.Contains(keys[:i], k) {
				t.Errorf("%q names %q twice", text, k)
			}
			if strings.Contains(text, "::") { // one canonical text: it names the same again
				if again := (Codec{}).Recognise(k.Val, ledger.Trust{}); i == 0 && !slices.Equal(again, keys) {
					t.Errorf("%q names %q, its canonical text %q", text, keys, again)
				}
			}
			(Codec{}).Links(k, nil)
		}
	})
}
