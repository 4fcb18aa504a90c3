package stardust

import (
	"math/big"
	"strings"
	"testing"
)

// Empty is not absent (field report FR-07): a payload without content is there, no payload is not.
func TestJSONEmptyAndAbsent(t *testing.T) {
	b := &Block{Version: 2, Parents: []Hash{{}}}
	ids := map[Hash]bool{}
	for want, p := range map[string]Payload{
		`,"nonce"`:                 nil,
		`,"payload":{"type":5},`:   &TaggedData{},
		`{"type":5,"tag":"0x61"}`:  &TaggedData{Tag: []byte("a")},
		`{"type":5,"data":"0x61"}`: &TaggedData{Data: []byte("a")},
	} {
		b.Payload = p
		raw := AppendBlock(nil, b)
		ids[H(raw)] = true
		got, err := ParseBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		text := string(BlockJSON(got))
		if !strings.Contains(text, want) || strings.Contains(text, "payload") != (p != nil) {
			t.Errorf("JSON %s, want %s in it", text, want)
		}
		again, err := blockFromJSON([]byte(text))
		if err != nil || H(AppendBlock(nil, again)) != H(raw) {
			t.Errorf("%s: read back as another block (%v)", text, err)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids for four blocks", len(ids))
	}
}

// Big amounts (field report FR-10) keep all digits.
func TestJSONBigAmounts(t *testing.T) {
	most := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for want, v := range map[string]*big.Int{
		"0x" + strings.Repeat("f", 64): most,
		"0x10000000000000000":          new(big.Int).Lsh(big.NewInt(1), 64),
		"0x1":                          big.NewInt(1),
	} {
		o := Output{Type: OutputBasic, Amount: 1<<64 - 1, Conditions: []Condition{{}}, Tokens: []NativeToken{{Amount: v}}}
		got, err := ParseOutput(AppendOutput(nil, &o))
		if err != nil {
			t.Fatal(err)
		}
		if text := string(OutputJSON(got)); !strings.Contains(text, `"amount":"`+want+`"`) ||
			!strings.Contains(text, `"amount":"18446744073709551615"`) {
			t.Errorf("JSON %s, want %s in it", text, want)
		}
		if got.Tokens[0].Amount.Cmp(v) != 0 {
			t.Errorf("amount %s, want %s", got.Tokens[0].Amount, v)
		}
	}
}

// A milestone from JSON can repeat a signature; its bytes cannot.
func TestMilestoneFromJSONRepeats(t *testing.T) {
	m := &Milestone{Index: 7, Version: 2, Parents: []Hash{{}}, Signatures: []Signature{{}, {}}}
	got, err := milestoneFromJSON(PayloadJSON(m))
	if err != nil || len(got.Signatures) != 2 || got.ID != H(AppendMilestoneEssence(nil, m)) {
		t.Fatalf("from JSON: %+v (%v)", got, err)
	}
	if _, err := ParseMilestone(AppendPayload(nil, got)); err == nil || !strings.Contains(err.Error(), string(ReasonDuplicate)) {
		t.Errorf("from bytes: %v", err)
	}
}
