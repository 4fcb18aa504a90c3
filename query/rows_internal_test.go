package query

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"permanode/ledger"
)

// A row is written as encoding/json writes it, whatever stands in it.
func TestRowIsJSON(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a\"\\<>&\x00\x1f\x7f\u0080\u2028\u2029\ufffd\n🙂"))), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		r := Row{
			Network: text.Draw(t, "network"), Seq: rapid.Uint64().Draw(t, "seq"), Pos: Pos(rapid.OneOf(rapid.Uint32(), rapid.Just[uint32](ledger.UnitPos)).Draw(t, "pos")), ID: text.Draw(t, "id"),
			State: text.Draw(t, "state"), Basis: text.Draw(t, "basis"), Kind: text.Draw(t, "kind"), Time: text.Draw(t, "time"), SHA256: text.Draw(t, "sha256"),
			Reason: rapid.Ptr(rapid.Uint16(), true).Draw(t, "reason"), Tag: rapid.Ptr(text, true).Draw(t, "tag"), Addresses: append([]string{}, rapid.SliceOfN(text, 0, 3).Draw(t, "addresses")...),
			tag: []byte("t"), payload: []byte("p"), payloads: 1,
		}
		if rapid.Bool().Draw(t, "undecoded") {
			r.Undecoded = &Undecoded{Reason: text.Draw(t, "why"), Parts: []Part{{Kind: text.Draw(t, "part"), Raw: "0x"}}}
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(&r); err != nil {
			t.Fatal(err)
		}
		got, err := ndjsonRows{}.appendRow([]byte("before "), &r)
		if err != nil || string(got) != "before "+want.String() {
			t.Fatalf("%v\n got %s\nwant %s", err, got, want.Bytes())
		}
	})
}

// There are as many cells as columns in every row of an export.
func TestRowFillsTheTable(t *testing.T) {
	for _, r := range []Row{{}, {Pos: ledger.UnitPos, Tag: new(string), Reason: new(uint16), Undecoded: &Undecoded{}, payloads: 1}} {
		if _, err := (csvRows{}).appendRow(nil, &r); err != nil {
			t.Error(err)
		}
	}
}
