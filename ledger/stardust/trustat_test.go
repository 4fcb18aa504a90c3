package stardust

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// TestTrustAt: addresses are written with the prefix in force at their own milestone.
func TestTrustAt(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, "stardust"), "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c Codec
	trust, err := c.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	old := trust.Rules.(*Rules).genesis
	renamed := old.Parameters
	renamed.HRP = "new"
	changed, err := newParameters(10, AppendParameters(nil, &renamed))
	if err != nil {
		t.Fatal(err)
	}
	row := (&totals{parameters: parameterTable{old, changed}}).encode()
	state := func(_ context.Context, keys [][]byte) ([][]byte, error) {
		out := make([][]byte, len(keys))
		for i, k := range keys {
			if bytes.Equal(k, totalsKey(9)) || bytes.Equal(k, totalsKey(10)) {
				out[i] = row
			}
		}
		return out, nil
	}
	block := AppendBlock(nil, &Block{Version: 2, Parents: []Hash{{1}}, Payload: &Transaction{
		Inputs: []OutputID{{1}}, Unlocks: []Unlock{{Key: [32]byte{1}}},
		Outputs: []Output{{Type: OutputBasic, Amount: 1, Conditions: []Condition{{Type: ConditionAddress, Address: Address{0, 1}}}}},
	}})
	for seq, prefix := range map[uint64]string{8: old.HRP, 9: old.HRP, 10: "new"} {
		now, err := c.TrustAt(t.Context(), trust, seq, state)
		if err != nil {
			t.Fatal(err)
		}
		f, err := c.Facts(&ledger.Record{Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: block}}}, now)
		if err != nil || len(f.Addresses) != 1 || !strings.HasPrefix(f.Addresses[0], prefix+"1") {
			t.Errorf("milestone %d: addresses %v, %v, want the prefix %s", seq, f.Addresses, err, prefix)
			continue
		}
		if keys := c.Recognise(f.Addresses[0], now); len(keys) == 0 {
			t.Errorf("milestone %d: its own address is not recognised", seq)
		}
	}
	if trust.Rules.(*Rules).genesis.HRP != old.HRP {
		t.Error("the trust file itself was changed")
	}
}
