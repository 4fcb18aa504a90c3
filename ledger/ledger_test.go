package ledger

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOrd(t *testing.T) {
	o := Ord{Seq: 4711, Pos: 10}
	if got := o.String(); got != "000000126700000a" {
		t.Errorf("String() = %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Ord {
			return Ord{rapid.Uint64Range(0, MaxSeq).Draw(t, name+" seq"), rapid.Uint32Range(0, UnitPos).Draw(t, name+" pos")}
		}
		a, b := draw("a"), draw("b")
		ab, bb := a.Bytes(), b.Bytes()
		if bytes.Compare(ab[:], bb[:]) != a.Compare(b) {
			t.Fatalf("bytes of %v and %v do not sort as they do", a, b)
		}
		if ab[0] == 0xff {
			t.Fatalf("%v begins with ff: keys rely on that it does not", a)
		}
		if back := OrdFrom(ab[:]); back != a {
			t.Fatalf("%v reads back as %v", a, back)
		}
		if back, err := ParseOrd(a.String()); err != nil || back != a {
			t.Fatalf("%v reads back from text as %v, %v", a, back, err)
		}
	})
	for _, bad := range []string{"", "12", "00000012670000zz", "+000012670000000", "000000126700000a0"} {
		if o, err := ParseOrd(bad); err == nil {
			t.Errorf("ParseOrd(%q) = %v, want an error", bad, o)
		}
	}
}

// drawInt gives numbers on both sides of the 64-bit border.
func drawInt(t *rapid.T, name string) *big.Int {
	v := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 33).Draw(t, name))
	if rapid.Bool().Draw(t, name+" negative") {
		v.Neg(v)
	}
	return v
}

func TestAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawInt(t, "x"), drawInt(t, "y")
		a, b := BigAmount(x), BigAmount(y)
		check := func(what string, got Amount, want *big.Int) {
			if got.Big().Cmp(want) != 0 || got.Sign() != want.Sign() || got.String() != want.String() {
				t.Fatalf("%s of %v and %v = %v (sign %d), want %v", what, x, y, got, got.Sign(), want)
			}
			if !got.Equal(BigAmount(want)) {
				t.Fatalf("%s of %v and %v is not in its one form", what, x, y)
			}
		}
		check("sum", a.Add(b), new(big.Int).Add(x, y))
		check("opposite", a.Neg(), new(big.Int).Neg(x))
		check("sum with the opposite", a.Add(a.Neg()), new(big.Int))
		bin, _ := a.AppendBinary(nil)
		back, err := AmountFrom(bin)
		if err != nil || !back.Equal(a) {
			t.Fatalf("%v reads back from %x as %v, %v", x, bin, back, err)
		}
		if back, err := ParseAmount(a.String()); err != nil || !back.Equal(a) {
			t.Fatalf("%v reads back from text as %v, %v", x, back, err)
		}
	})
	for _, bad := range []string{"", "+1", "1.0", "1e3", "0x10", " 1", "1_000"} {
		if a, err := ParseAmount(bad); err == nil {
			t.Errorf("ParseAmount(%q) = %v, want an error", bad, a)
		}
	}
}

func FuzzAmountFrom(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 5})
	f.Add([]byte{2, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := AmountFrom(b)
		if err != nil {
			return
		}
		if back, _ := a.AppendBinary(nil); !bytes.Equal(back, b) {
			t.Errorf("%x reads as %v and writes as %x: two forms of one number", b, a, back)
		}
	})
}

func TestID(t *testing.T) {
	if NewID(nil) != (ID{}) || !NewID(nil).IsZero() {
		t.Error("an id of no bytes is not the zero ID")
	}
	if NewID(make([]byte, 32)).IsZero() {
		t.Error("32 zero bytes are an id of their own")
	}
	if NewID(make([]byte, 32)) == NewID(make([]byte, 34)) {
		t.Error("length is part of an id")
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"shimmer": true, "permanode-capture-1": true, "Testnet-17": true, "a.b_c-8": true, "7": true, strings.Repeat("x", 64): true,
		"": false, "-a": false, ".": false, "..": false, "_": false, "a/b": false, "a b": false, "ü": false, "a\x00": false, strings.Repeat("x", 65): false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}

// TestMergePostings: the order of what is gathered does not matter.
func TestMergePostings(t *testing.T) {
	post := func(kind KeyKind, val string, role Role, v int64) Posting {
		return Posting{Key: Key{Kind: kind, Val: val}, Role: role, Value: BigAmount(big.NewInt(v))}
	}
	list := []Posting{
		post(KeyAddress, "b", RoleReceive, 7),
		post(KeyTag, "a", RoleMention, 0),
		post(KeyAddress, "b", RoleSpend, -9),
		post(KeyAddress, "a", RoleSign, 0),
		post(KeyRecord, "z", RoleMention, 0),
	}
	want := []Posting{
		post(KeyRecord, "z", RoleMention, 0),
		post(KeyTag, "a", RoleMention, 0),
		post(KeyAddress, "a", RoleSign, 0),
		post(KeyAddress, "b", RoleSpend|RoleReceive, -2),
	}
	for range 5 {
		if got := MergePostings(slices.Clone(list)); !slices.EqualFunc(got, want, func(a, b Posting) bool {
			return a.Key == b.Key && a.Role == b.Role && a.Value.Equal(b.Value)
		}) {
			t.Fatalf("merged %v, want %v", got, want)
		}
		list = append(list[1:], list[0])
	}
}
