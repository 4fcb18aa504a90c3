package stardust

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"permanode/ledger/ledgertest"
)

// TestBatchVector: signatures checked together come out as each alone does, whoever stands beside them.
func TestBatchVector(t *testing.T) {
	type vector struct {
		Key     ledgertest.Hex `json:"publicKey"`
		Message ledgertest.Hex `json:"message"`
		Sig     ledgertest.Hex `json:"signature"`
		Valid   bool           `json:"signatureValid"`
	}
	vs := ledgertest.Load[vector](t, "chrysalis/ed25519.json", "vectors")
	for times := range 3 * batchSize / len(vs) {
		var todo []signature
		var want []bool
		good := make([]bool, (times+1)*len(vs))
		for i := range good {
			v := vs[i%len(vs)]
			if !v.Valid && i/len(vs) != times/2 {
				v = vs[0] // the bad ones once only, in the middle
			}
			todo = append(todo, signature{v.Key, v.Message, v.Sig, &good[i]})
			want = append(want, v.Valid)
		}
		verify(todo)
		for i := range good {
			if good[i] != want[i] {
				t.Fatalf("signature %d of %d: %t, want %t", i, len(good), good[i], want[i])
			}
		}
	}
}

func FuzzReadText(f *testing.F) {
	for _, s := range []string{"", "text", `{"a":[1,{"b":"c"}],"a":2}`, "\x1f\x8b\x08\x00", "DID\x01\x00\x02\x00{}", "\xef\xbb\xbf[1e400]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, leaves := readText(data)
		if !utf8.ValidString(text) || text == "" && leaves != nil {
			t.Fatalf("text %q, leaves %q", text, leaves)
		}
		for _, l := range leaves {
			if !utf8.ValidString(l.Path) || !utf8.ValidString(l.Value) {
				t.Fatalf("leaf %q", l)
			}
		}
	})
}

func FuzzState(f *testing.F) {
	p := parameterEntry{from: 3, raw: AppendParameters(nil, &Parameters{Version: 2, Network: "n", HRP: "h"})}
	f.Add((&totals{held: true, amount: 1, unspent: 2, parameters: parameterTable{p, p}}).encode())
	f.Add((&outputRow{spent: unspent, raw: []byte{3}}).encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if v, err := decodeTotals(raw); err == nil && !bytes.Equal(v.encode(), raw) || err != nil && !errors.Is(err, errState) {
			t.Fatalf("totals %x: %v", raw, err)
		}
		if r, err := decodeOutputRow(raw); err == nil && !bytes.Equal(r.encode(), raw) || err != nil && !errors.Is(err, errState) {
			t.Fatalf("output %x: %v", raw, err)
		}
	})
}
