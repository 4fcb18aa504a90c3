package index

import (
	"errors"
	"fmt"
	"testing"

	"permanode/index/text"
	"permanode/internal/ranges"
)

// TestFilter: a filter holds all pairs of its words, and few others.
func TestFilter(t *testing.T) {
	words := text.Words("a 權利 b 權")
	for i := range 200 {
		words = append(words, fmt.Sprint("w", i*i%97))
	}
	f := newFilter(appendPairs(nil, words))
	for i := 1; i < len(words); i++ {
		if pair := words[i-1 : i+1]; !mayHold(f, appendPairs(nil, pair)) {
			t.Fatalf("%q is not in it", pair)
		}
	}
	if !mayHold(f, appendPairs(nil, words[20:60])) {
		t.Error("a long phrase is not in it")
	}
	chance := 0
	for i := range 10_000 {
		if mayHold(f, appendPairs(nil, []string{fmt.Sprint("x", i), "y"})) {
			chance++
		}
	}
	if chance > 1000 {
		t.Errorf("%d of 10,000 pairs that are not there are in it", chance)
	}
	if mayHold(nil, appendPairs(nil, []string{"a", "b"})) || !mayHold(nil, nil) {
		t.Error("an empty filter holds a pair, or not even none")
	}
}

func TestBehindAll(t *testing.T) {
	for start, want := range map[string]string{"a": "b", "a\xff": "b", "a\xfe": "a\xff", "=\x80": "=\x81", "\xff\xff": "", "": ""} {
		if got := string(behindAll(start)); got != want {
			t.Errorf("behind all that begin with %q is %q, want %q", start, got, want)
		}
	}
}

func FuzzAccount(f *testing.F) {
	a := account{identity: "fake-1", done: ranges.Of(ranges.Range{Lo: 1, Hi: 7}, ranges.Range{Lo: 9, Hi: 1 << 40}), begun: ranges.Of(ranges.Range{Lo: 8, Hi: 8})}
	f.Add(a.encode())
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := decodeAccount(raw)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		b, err := decodeAccount(a.encode())
		if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%v, again %v, %v", a, b, err)
		}
	})
}
