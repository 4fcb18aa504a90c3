package query

import (
	"errors"
	"slices"
	"testing"

	"permanode/ledger"
)

// A cursor that is taken says the same place when it is written again, and nothing else fails but what wraps ErrBadCursor.
func FuzzStreamCursor(f *testing.F) {
	networks := []Network{{Network: ledger.Network{Name: "a"}}, {Network: ledger.Network{Name: "network-b"}}}
	asked := streamQuestion("tag:x", "")
	f.Add(marks{{Seq: 1}, {Seq: ledger.MaxSeq, Pos: ledger.UnitPos}}.cursor(networks, asked))
	f.Add(marks{{Seq: 7, Pos: 3}}.cursor(networks[1:], asked))
	f.Add("AgMA")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMarks(text, networks, asked)
		if err != nil {
			if !errors.Is(err, ErrBadCursor) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		again, err := parseMarks(m.cursor(networks, asked), networks, asked)
		if err != nil || !slices.Equal(again, m) {
			t.Fatalf("%v is read again as %v, %v", m, again, err)
		}
	})
}

// The places behind and before another are each other's inverse.
func TestOrdsSideBySide(t *testing.T) {
	for _, ord := range []ledger.Ord{{}, {Seq: 1}, {Seq: 1, Pos: 7}, {Seq: 1, Pos: ledger.UnitPos}, {Seq: ledger.MaxSeq, Pos: 1}} {
		next := behindOrd(ord)
		if back := beforeOrd(next); back == nil || *back != ord || !ord.Less(next) {
			t.Errorf("behind %v lies %v, before that %v", ord, next, back)
		}
	}
	if beforeOrd(ledger.Ord{}) != nil {
		t.Error("something lies before the first place")
	}
}
