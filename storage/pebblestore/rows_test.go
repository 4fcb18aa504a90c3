package pebblestore

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/storage"
)

func TestPostingKeys(t *testing.T) {
	vals := []string{"", "\x00", "\x00\x00", "\x00\xff", "\x00a", "a", "a\x00", "a\x00b", "a\x01", "ab", "\xff", "\xff\x00", "\xff\xff"}
	slices.Sort(vals)
	ords := []ledger.Ord{{}, {Pos: ledger.UnitPos}, {Seq: 1}, {Seq: 0xff}, {Seq: ledger.MaxSeq, Pos: ledger.UnitPos}}
	var keys [][]byte
	for _, v := range vals {
		for _, o := range ords {
			want := ledger.Key{Kind: ledger.KeyTag, Val: v}
			key := appendPostingKey(nil, 7, want, o)
			got, at, err := splitPosting(key[2:])
			if err != nil || got != want || at != o {
				t.Errorf("%q at %s reads back as %v at %s, %v", v, o, got, at, err)
			}
			for _, p := range vals {
				has := len(v) >= len(p) && v[:len(p)] == p
				if in := bytes.HasPrefix(key, appendPostingPrefix(nil, 7, ledger.KeyTag, p)); in != has {
					t.Errorf("key of %q in the range of prefix %q: %t, want %t", v, p, in, has)
				}
			}
			keys = append(keys, key)
		}
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		t.Error("keys do not sort by value, then place")
	}
}

func TestPostingKeyBytes(t *testing.T) {
	for val, want := range map[string]string{
		"\x00":         "P\x01\x04\x00\xff\x00",
		"\x00\x00":     "P\x01\x04\x00\xff\x00\xff\x00",
		"\x61\x00\x62": "P\x01\x04\x61\x00\xff\x62\x00",
	} {
		got := appendPostingKey(nil, 1, ledger.Key{Kind: ledger.KeyTag, Val: val}, ledger.Ord{Seq: 2, Pos: 3})
		if want += "\x00\x00\x00\x00\x02\x00\x00\x03"; string(got) != want {
			t.Errorf("%q: %q, want %q", val, got, want)
		}
	}
}

func TestTimeKeys(t *testing.T) {
	var keys [][]byte
	for _, ms := range []int64{-1 << 63, -1, 0, 1, 1<<63 - 1} {
		key := keyTime(3, ms, 9)
		if got, seq, err := splitTime(key); err != nil || got != ms || seq != 9 {
			t.Errorf("%d reads back as %d, %d, %v", ms, got, seq, err)
		}
		keys = append(keys, key)
	}
	if !slices.IsSortedFunc(keys, bytes.Compare) {
		t.Error("times do not sort")
	}
}

func TestAfter(t *testing.T) {
	for in, want := range map[string]string{"a": "b", "a\xff": "b", "\xff\xff": "", "": ""} {
		if got := after([]byte(in)); string(got) != want {
			t.Errorf("after %q: %q, want %q", in, got, want)
		}
	}
}

func TestAmounts(t *testing.T) {
	long := new(big.Int).Lsh(big.NewInt(1), 2000)
	for _, a := range []ledger.Amount{{}, ledger.Coins(1), ledger.Coins(1 << 63).Neg(), ledger.BigAmount(long), ledger.BigAmount(long).Neg()} {
		r := &reader{b: appendAmount(nil, a)}
		if got := r.amount(); r.end() != nil || !got.Equal(a) {
			t.Errorf("%s reads back as %s, %v", a, got, r.err)
		}
	}
}

var sample = ledger.Record{
	Ord: ledger.Ord{Seq: 5, Pos: 1}, ID: ledger.NewID(bytes.Repeat([]byte{7}, 32)), Kind: 6, State: ledger.Conflicting, Reason: 300, Basis: ledger.ByClaim, Self: true,
	Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: []byte("raw")}, {Kind: ledger.PartEffects, Raw: []byte{}}},
	Moves: []ledger.Move{{Owner: "o", Asset: "", Output: ledger.NewID([]byte("out")), Amount: ledger.Coins(9).Neg()}},
	Posts: []ledger.Posting{{Key: ledger.Key{Kind: ledger.KeyTag, Val: "t\x00"}, Role: ledger.RoleMention, Value: ledger.Coins(70000)}},
}

// tabPostingKey stands for the keys of postings among the tables.
const tabPostingKey = 'p'

// again decodes a row of a table and encodes it.
func again(tab byte, val []byte) ([]byte, error) {
	key := keySeq(tab, 1, 5)
	switch tab {
	case tabRecord:
		r, err := decodeRecord(sample.Ord, val)
		return appendRecord(nil, &r), err
	case tabUnit:
		u, err := decodeUnit(key, val)
		if err != nil || u.records > 1000 || u.bytes > 1000 || u.records == 0 && u.bytes > 0 {
			return val, err
		}
		// the encoder counts the records and their bytes itself
		c := &ledger.Cone{Unit: u.Unit, Moves: u.moves, Posts: u.posts, Records: make([]ledger.Record, u.records)}
		if u.bytes > 0 {
			c.Records[0].Parts = []ledger.Part{{Raw: make([]byte, u.bytes)}}
		}
		return encodeUnit(c), nil
	case tabManifest:
		m, err := decodeManifest(val)
		return encodeManifest(m), err
	case tabSpan:
		s, err := decodeSpan(key, val)
		return encodeSpan(s), err
	case tabNetwork:
		n, err := decodeNetwork(val)
		return encodeNetwork(n), err
	case tabGap:
		g, err := decodeGap(key, val)
		return encodeGap(g), err
	case tabNote:
		n, err := decodeNote(1, key, val)
		return encodeNote(n), err
	case tabPosting:
		role, value, err := decodePostingValue(val)
		return appendPostingValue(nil, &ledger.Posting{Role: role, Value: value}), err
	case tabPostingKey:
		k, o, err := splitPosting(val)
		if err != nil {
			return nil, err
		}
		return appendPostingKey(nil, 1, k, o)[2:], nil
	case tabBlock:
		b, err := decodeBlockRow(val)
		return appendBlockRow(nil, &b), err
	case tabBlockKey:
		k, level, o, err := splitBlock(val)
		if err != nil {
			return nil, err
		}
		return appendBlockKey(nil, 1, k, level, o)[2:], nil
	case tabBuilt:
		next, lay, err := decodeBuilt(builtKey, val)
		return encodeBuilt(builtKey, next, lay), err
	case tabStride:
		s, err := decodeStride(val)
		return encodeStride(s), err
	}
	return nil, errBadRow
}

// Rows that have no letter of their own.
const (
	tabBlockKey = 'b'
	tabBuilt    = 'd'
)

var builtKey = keyBuilt(1, 5)

// samples are good rows of all tables.
func samples() map[byte][]byte {
	c := &ledger.Cone{
		Unit:  ledger.Unit{Seq: 5, ID: sample.ID, Prev: sample.ID, TimeMs: -1, Header: []byte("h"), Auth: []byte("a"), List: []byte{}},
		Moves: sample.Moves, Posts: sample.Posts, Records: []ledger.Record{sample},
	}
	s := spanRow{Span: storage.Span{Lo: 3, Hi: 9, Held: true, Snapshot: []string{"ab"}, PrevID: sample.ID, PrevTime: 4}, rows: 5}
	n := storage.Note{Kind: storage.NoteRefused, To: 4, Unit: sample.ID, Source: "s", Code: "c", Text: "t", TimeMs: 8, Evidence: []byte{}}
	return map[byte][]byte{
		tabRecord: appendRecord(nil, &sample), tabUnit: encodeUnit(c), tabManifest: encodeManifest(storage.Manifest(c)),
		tabSpan: encodeSpan(s), tabNetwork: encodeNetwork(ledger.Network{Name: "n", Era: "e", Identity: "i", Trust: []byte("t"), Follows: "f"}),
		tabGap: encodeGap(storage.Gap{From: 1, To: 2, Reason: "r"}), tabNote: encodeNote(n),
		tabBlock:    appendBlockRow(nil, &blockRow{ledger.Ord{Seq: 3, Pos: 1}, 1024, ledger.Coins(7).Neg()}),
		tabBlockKey: appendBlockKey(nil, 1, ledger.Key{Kind: ledger.KeyTag, Val: "a\x00b"}, 2, sample.Ord)[2:],
		tabBuilt:    encodeBuilt(builtKey, 77, layout()), tabStride: encodeStride(strideRow{1, 2, -3, 4}),
		tabPosting: appendPostingValue(nil, &sample.Posts[0]), tabPostingKey: appendPostingKey(nil, 1, sample.Posts[0].Key, sample.Ord)[2:],
	}
}

func TestRows(t *testing.T) {
	for tab, val := range samples() {
		out, err := again(tab, val)
		if err != nil || !bytes.Equal(out, val) {
			t.Errorf("table %c: written again as %x, was %x: %v", tab, out, val, err)
		}
		for i := range val {
			if out, err := again(tab, val[:i]); err == nil && !bytes.Equal(out, val[:i]) || err != nil && !errors.Is(err, errBadRow) {
				t.Errorf("table %c cut at %d: %x, %v", tab, i, out, err)
			}
		}
	}
}

// FuzzRows checks that every decoder survives anything, fails with its own error, and that what it accepts
// is what the encoder writes.
func FuzzRows(f *testing.F) {
	for tab, val := range samples() {
		f.Add(tab, val)
		f.Add(tab, val[:len(val)/2])
	}
	f.Fuzz(func(t *testing.T, tab byte, val []byte) {
		out, err := again(tab, bytes.Clone(val))
		switch {
		case err != nil && !errors.Is(err, errBadRow):
			t.Fatalf("untyped error: %v", err)
		case err == nil && !bytes.Equal(out, val):
			t.Fatalf("written again as %x, was %x", out, val)
		}
	})
}

func FuzzSums(f *testing.F) {
	s := &sums{files: []fileSum{{"a b", 5, [32]byte{1}}}, units: []lastUnit{{"n", 7, sample.ID}}}
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeSums(raw)
		if err == nil && !bytes.Equal(s.encode(), raw) {
			t.Fatal("written again as something else")
		}
		if err != nil && !errors.Is(err, errSums) {
			t.Fatalf("untyped error: %v", err)
		}
	})
}

// A number of entries beyond what the bytes can hold must not be allocated.
func TestHostileLengths(t *testing.T) {
	huge := []byte{rowVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	n := testing.AllocsPerRun(10, func() {
		_, e1 := decodeManifest(huge)
		_, e2 := decodeRecord(ledger.Ord{}, huge)
		_, e3 := decodeNetwork(huge)
		if e1 == nil || e2 == nil || e3 == nil {
			t.Error("it was accepted")
		}
	})
	if n > 100 {
		t.Errorf("%v allocations", n)
	}
}
