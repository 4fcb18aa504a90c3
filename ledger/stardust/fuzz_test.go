package stardust

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// seed adds the bytes that the vectors hold under any of these keys.
func seed(f *testing.F, keys ...string) {
	f.Helper()
	for _, pattern := range []string{"stardust/*.json", "stardust-shimmer/*.json"} {
		for _, file := range ledgertest.Files[any](f, pattern) {
			seedValue(f, file.Data, keys)
		}
	}
}

func seedValue(f *testing.F, v any, keys []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			seedValue(f, x, keys)
		}
	case map[string]any:
		for _, k := range keys {
			var raw ledgertest.Hex
			if text, ok := v[k].(string); ok && json.Unmarshal([]byte(`"`+text+`"`), &raw) == nil {
				f.Add([]byte(raw))
			}
		}
		for _, x := range v {
			seedValue(f, x, keys)
		}
	}
}

// roundTrip fuzzes a parser: what parses re-encodes to the same bytes, what does not has a typed error.
func roundTrip[T any](f *testing.F, parse func([]byte) (T, error), encode func(T) []byte) {
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := parse(raw)
		if err == nil {
			if got := encode(v); !bytes.Equal(got, raw) {
				t.Fatalf("re-encoding differs\n got %x\nwant %x", got, raw)
			}
			return
		}
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !errors.Is(err, ledger.ErrSyntax) || syntax.Offset < 0 || syntax.Offset > int64(len(raw)) {
			t.Fatalf("error without a type or place: %v", err)
		}
	})
}

func FuzzParseBlock(f *testing.F) {
	f.Add(make([]byte, 46))
	seed(f, "raw", "milestoneBlockRaw", "block")
	p := Parameters{Version: 2, Network: "shimmer", FactorData: 1, FactorKey: 10, VByteCost: 100, Supply: 1813620509061365}
	roundTrip(f, func(raw []byte) (*Block, error) {
		b, err := ParseBlock(raw)
		if id := Identify(raw); err == nil && (id.Err != nil || len(id.Parents) != len(b.Parents)) {
			f.Errorf("parsed and not identified: %v", id.Err)
		}
		if err == nil {
			_ = CheckBlock(b, &p)
		}
		return b, err
	}, func(b *Block) []byte {
		again, err := blockFromJSON(BlockJSON(b))
		if err != nil {
			return []byte(err.Error())
		}
		if got, want := AppendBlock(nil, again), AppendBlock(nil, b); !bytes.Equal(got, want) {
			return got // JSON must keep all
		}
		return AppendBlock(nil, b)
	})
}

func FuzzParsePayload(f *testing.F) {
	seed(f, "milestonePayloadRaw", "payloadRaw")
	f.Add([]byte{5, 0, 0, 0, 0, 0, 0, 0, 0})
	for _, v := range ledgertest.Load[blockVector](f, "stardust/malformed*.json", "accepted") {
		if n := 2 + 32*int(v.Raw[1]) + 4; len(v.Raw) > n+8 {
			f.Add([]byte(v.Raw[n : len(v.Raw)-8]))
		}
	}
	roundTrip(f, ParsePayload, func(p Payload) []byte { return AppendPayload(nil, p) })
}

func FuzzParseTransaction(f *testing.F) {
	for _, v := range ledgertest.Load[blockVector](f, "stardust-shimmer/blocks-*.json", "blocks") {
		if n := 2 + 32*int(v.Raw[1]) + 4; len(v.Raw) > n+8 && v.Raw[n] == byte(TypeTransaction) {
			f.Add([]byte(v.Raw[n : len(v.Raw)-8]))
		}
	}
	roundTrip(f, ParseTransaction, func(t *Transaction) []byte { return AppendPayload(nil, t) })
}

func FuzzParseMilestone(f *testing.F) {
	seed(f, "milestonePayloadRaw", "payloadRaw")
	roundTrip(f, ParseMilestone, func(m *Milestone) []byte {
		block, err := MilestoneBlock(MilestonePayload(m.Header, m.Auth))
		if b, parsed := ParseBlock(block); err != nil || len(block) <= MaxBlockSize && (parsed != nil || b.Payload.(*Milestone).ID != m.ID) {
			return nil
		}
		return AppendPayload(nil, m)
	})
}

func FuzzParseReceipt(f *testing.F) {
	r := Receipt{MigratedAt: 1, Final: true, Funds: []Fund{{Deposit: MinDeposit}}}
	f.Add(AppendReceipt(nil, &r))
	roundTrip(f, ParseReceipt, func(v *Receipt) []byte { return AppendReceipt(nil, v) })
}

func FuzzParseParameterChange(f *testing.F) {
	f.Add(AppendParameterChange(nil, &ParameterChange{Target: 6, Version: 2, Params: []byte{2}}))
	roundTrip(f, ParseParameterChange, func(c *ParameterChange) []byte { return AppendParameterChange(nil, c) })
}

func FuzzParseOutput(f *testing.F) {
	for _, v := range ledgertest.Load[outputVector](f, "stardust/outputs*.json", "vectors") {
		f.Add([]byte(v.Raw))
	}
	roundTrip(f, ParseOutput, func(o *Output) []byte { return AppendOutput(nil, o) })
}

func FuzzParseParameters(f *testing.F) {
	seed(f, "genesisProtocolParameters", "protocolParameters")
	roundTrip(f, ParseParameters, func(p *Parameters) []byte { return AppendParameters(nil, p) })
}

func FuzzReadSnapshot(f *testing.F) {
	for _, v := range ledgertest.Load[blockVector](f, "stardust/snapshots-*.json", "snapshots") {
		f.Add([]byte(v.Raw))
	}
	err := filepath.WalkDir(filepath.Dir(ledgertest.Recording(f, "stardust")), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".bin") {
			return err
		}
		raw, err := os.ReadFile(name)
		f.Add(raw)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	roundTrip(f, func(raw []byte) ([]byte, error) {
		_, again, err := readSnapshot(raw)
		return again, err
	}, func(again []byte) []byte { return again })
}

func FuzzParseBech32(f *testing.F) {
	for _, v := range ledgertest.Load[struct{ Bech32 string }](f, "stardust/bech32*.json", "valid") {
		f.Add(v.Bech32)
	}
	for _, v := range ledgertest.Load[struct{ Text string }](f, "stardust/bech32*.json", "invalid") {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hrp, a, err := ParseBech32(text)
		if err != nil {
			if !errors.Is(err, ledger.ErrSyntax) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if got := a.Bech32(hrp); got != strings.ToLower(text) {
			t.Fatalf("written as %q, read from %q", got, text)
		}
	})
}

// FuzzDecodeHolding: a row that is read is written as one that reads the same.
func FuzzDecodeHolding(f *testing.F) {
	h := holding{amount: 7, tokens: map[FoundryID]*big.Int{{8}: big.NewInt(5), {8, 1}: new(big.Int).Lsh(big.NewInt(1), 255)}, expiring: []OutputID{{1}, {2}}}
	f.Add(h.encode())
	f.Add((&holding{}).encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := decodeHolding(raw)
		if err != nil {
			if !errors.Is(err, errState) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		again, err := decodeHolding(h.encode())
		if err != nil || again.amount != h.amount || len(again.tokens) != len(h.tokens) || !slices.Equal(again.expiring, h.expiring) {
			t.Fatalf("%+v is read again as %+v (%v)", h, again, err)
		}
		for id, sum := range h.tokens {
			if again.tokens[id] == nil || again.tokens[id].Cmp(sum) != 0 {
				t.Fatalf("token %x: %s is read again as %s", id, sum, again.tokens[id])
			}
		}
	})
}

// FuzzMisread: what is recognised resembles nothing else, and what is neither is quick and quiet.
func FuzzMisread(f *testing.F) {
	for _, s := range []string{"tst1", "iota1qqqq", "0x" + strings.Repeat("ab", 20), strings.Repeat("a", 63) + "g", "did:iota:0x", "sha256:00", "bafkrei"} {
		f.Add(s)
	}
	trust := ledger.Trust{Rules: &Rules{genesis: parameterEntry{Parameters: Parameters{HRP: "tst"}}}}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := Codec{}.Recognise(text, trust), Codec{}.Misread(text, trust)
		if len(keys) > 0 && err != nil {
			t.Errorf("%q names %q and is misread: %v", text, keys, err)
		}
	})
}
