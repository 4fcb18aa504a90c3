package rebased

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"permanode/ledger"
)

func TestParseSigners(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		size      int
		want      []int // nil: refused
	}{
		{"as nodes write it", "3a300000 01000000 0000 0200 10000000 0000 0100 0200", 4, []int{0, 1, 2}},
		{"empty", "3a300000 00000000", 4, []int{}},
		{"two containers", "3a300000 02000000 0000 0000 0100 0000 18000000 1a000000 0300 0500", 1 << 17, []int{3, 1<<16 + 5}},
		{"runs", "3b300000 01 0000 0300 0200 0100 0100 0700 0100", 9, []int{1, 2, 7, 8}},
		{"no run among containers with runs", "3b300000 00 0000 0000 0600", 7, []int{6}},
		{"index too large", "3a300000 01000000 0000 0000 10000000 0400", 4, nil},
		{"repeated", "3a300000 01000000 0000 0100 10000000 0100 0100", 4, nil},
		{"out of order", "3a300000 01000000 0000 0100 10000000 0200 0100", 4, nil},
		{"containers out of order", "3a300000 02000000 0100 0000 0000 0000 18000000 1a000000 0300 0500", 1 << 17, nil},
		{"container twice", "3a300000 02000000 0000 0000 0000 0000 18000000 1a000000 0300 0500", 1 << 17, nil},
		{"offset elsewhere", "3a300000 01000000 0000 0000 12000000 0000", 4, nil},
		{"more behind", "3a300000 01000000 0000 0000 10000000 0000 00", 4, nil},
		{"cut", "3a300000 01000000 0000 0100 10000000 0000", 4, nil},
		{"no containers there", "3a300000 ffffff7f", 4, nil},
		{"too many containers", "3a300000 01000100", 4, nil},
		{"another cookie", "39300000 00000000", 4, nil},
		{"cookie cut", "3a3000", 4, nil},
		{"nothing", "", 4, nil},
		{"run beyond its container", "3b300000 01 0000 0000 0100 ffff 0100", 1 << 20, nil},
		{"runs overlap", "3b300000 01 0000 0400 0200 0100 0200 0200 0100", 9, nil},
		{"runs of another count", "3b300000 01 0000 0500 0200 0100 0100 0700 0100", 9, nil},
		{"run too large", "3b300000 01 0000 ffff 0100 0000 ffff", 9, nil},
	} {
		raw, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.hex), []byte(" "), nil)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSigners(raw, c.size)
		switch {
		case c.want == nil && !errors.Is(err, ledger.ErrSyntax):
			t.Errorf("%s: %v, %v; want an error", c.name, got, err)
		case c.want != nil && (err != nil || !slices.Equal(got, c.want)):
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

// TestSignersRepeat: what is written reads back.
func TestSignersRepeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.IntRange(0, 9999), 0, 6000, rapid.ID[int]).Draw(t, "set")
		slices.Sort(set)
		raw := AppendSigners(nil, set)
		got, err := ParseSigners(raw, 10_000)
		if err != nil || !slices.Equal(got, set) {
			t.Fatalf("%d values read back as %d, %v", len(set), len(got), err)
		}
	})
}

// TestSignersBitset: more than 4,096 values stand in a bitset, whose count must be right.
func TestSignersBitset(t *testing.T) {
	var set []int
	for i := range 5000 {
		set = append(set, 2*i)
	}
	raw := AppendSigners(nil, set)
	if got, err := ParseSigners(raw, 10_000); err != nil || !slices.Equal(got, set) {
		t.Errorf("%d values read back as %d, %v", len(set), len(got), err)
	}
	if _, err := ParseSigners(raw, 9998); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("a value beyond the committee: %v", err)
	}
	if _, err := ParseSigners(raw[:len(raw)-1], 10_000); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("a bitset that is cut: %v", err)
	}
	binary.LittleEndian.PutUint16(raw[10:], uint16(len(set)))
	if _, err := ParseSigners(raw, 10_000); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("a bitset that claims one value more: %v", err)
	}
}

// FuzzParseSigners: whatever is read ascends, fits the committee, and costs no more than that.
func FuzzParseSigners(f *testing.F) {
	f.Add(AppendSigners(nil, []int{0, 2, 3}))
	f.Add(AppendSigners(nil, nil))
	f.Add([]byte{0x3b, 0x30, 0, 0, 1, 0, 0, 3, 0, 2, 0, 1, 0, 1, 0, 7, 0, 1, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ParseSigners(raw, 100)
		if err != nil {
			if !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		for i, v := range got {
			if v < 0 || v >= 100 || i > 0 && got[i-1] >= v {
				t.Fatalf("%x reads as %v", raw, got)
			}
		}
		back, err := ParseSigners(AppendSigners(nil, got), 100)
		if err != nil || !slices.Equal(back, got) {
			t.Fatalf("%v reads back as %v, %v", got, back, err)
		}
	})
}
