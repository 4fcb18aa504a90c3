package stardust

import (
	"bytes"
	"errors"
	"math/big"
	"runtime"
	"testing"

	"permanode/ledger/ledgertest"
)

// reasonOf returns the class of a syntax error, "" for none.
func reasonOf(t *testing.T, err error) Reason {
	t.Helper()
	var syntax *SyntaxError
	if err != nil && !errors.As(err, &syntax) {
		t.Fatalf("untyped error: %v", err)
	}
	if syntax == nil {
		return ""
	}
	return syntax.Reason
}

// Each constant inside a receipt is demanded.
func TestReceiptConstants(t *testing.T) {
	v := Receipt{MigratedAt: 1, Funds: []Fund{{Deposit: MinDeposit}}}
	good := AppendReceipt(nil, &v)
	treasury := len(good) - treasuryTxSize
	for at, want := range map[int]Reason{
		0:                         ReasonOptionType,
		5:                         ReasonFlag,
		treasury - 4:              ReasonPayload,
		treasury:                  ReasonPayloadType,
		treasury + 4:              ReasonInputType,
		treasury + 4 + 1 + 32:     ReasonOutputType,
		8 + 49:                    ReasonAddressType,
		treasury + treasuryTxSize: "",
	} {
		raw := append(bytes.Clone(good), 0)[:len(good)]
		if at < len(raw) {
			raw[at] = 9
		}
		if _, err := ParseReceipt(raw); reasonOf(t, err) != want {
			t.Errorf("byte %d changed: %v, want %q", at, err, want)
		}
	}
	v.Final = true
	raw := AppendReceipt(nil, &v)
	if got, err := ParseReceipt(raw); err != nil || !got.Final {
		t.Errorf("final: %+v (%v)", got, err)
	}
	raw[5] = 2
	if _, err := ParseReceipt(raw); reasonOf(t, err) != ReasonFlag {
		t.Errorf("final is 2: %v", err)
	}
}

// Names inside protocol parameters are text.
func TestParametersText(t *testing.T) {
	for name, want := range map[string]Reason{"": "", "ä": "", "\xff": ReasonText} {
		for _, p := range []Parameters{{Network: name}, {HRP: name}} {
			if _, err := ParseParameters(AppendParameters(nil, &p)); reasonOf(t, err) != want {
				t.Errorf("%q: %v, want %q", name, err, want)
			}
		}
	}
}

// bytesAllocated returns how many bytes f allocates, about.
func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Counts that announce more than follows must not be believed: what a parser allocates is bounded by
// what it was given.
func TestParseAllocations(t *testing.T) {
	transaction := func(inputs, outputs int) []byte {
		b := []byte{2, 1}
		b = append(b, make([]byte, 32)...)
		b = le.AppendUint32(b, 1<<31)
		b = le.AppendUint32(b, TypeTransaction)
		b = le.AppendUint64(append(b, 1), 0)
		b = le.AppendUint16(b, uint16(inputs))
		for i := range min(inputs, 2) {
			b = append(b, make([]byte, 33)...)
			b = le.AppendUint16(b, uint16(i))
		}
		if outputs > 0 {
			b = append(b, make([]byte, 32)...)
			b = le.AppendUint16(b, uint16(outputs))
			b = append(b, OutputBasic, 1, 0, 0, 0, 0, 0, 0, 0, 64)
		}
		return b
	}
	for name, raw := range map[string][]byte{
		"inputs":  transaction(MaxInputs, 0),
		"outputs": transaction(2, MaxOutputs),
		"data":    append(append([]byte{2, 1}, make([]byte, 32)...), 0xff, 0xff, 0, 0, 5, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff),
	} {
		used := bytesAllocated(func() {
			if _, err := ParseBlock(raw); err == nil {
				t.Errorf("%s: parsed", name)
			}
		})
		if used > 64*uint64(len(raw))+4096 {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(raw))
		}
	}
}

// One output holds at most 64 native tokens, whatever a transaction may hold.
func TestOutputTokens(t *testing.T) {
	o := plainOutput(1)
	for i := range MaxNativeTokens + 1 {
		o.Tokens = append(o.Tokens, NativeToken{ID: FoundryID{byte(i)}, Amount: big.NewInt(1)})
		want := Reason("")
		if i == MaxNativeTokens {
			want = ReasonTokensCount
		}
		if _, err := ParseOutput(AppendOutput(nil, &o)); reasonOf(t, err) != want {
			t.Errorf("%d tokens: %v, want %q", i+1, err, want)
		}
	}
}

// Every cut is truncated, wherever it falls, and a byte more is trailing.
func TestCutVector(t *testing.T) {
	cut := func(name string, raw []byte, parse func([]byte) error) {
		for n := range raw {
			if err := parse(raw[:n]); reasonOf(t, err) != ReasonTruncated {
				t.Fatalf("%s cut to %d of %d bytes: %v", name, n, len(raw), err)
			}
		}
		if err := parse(append(bytes.Clone(raw), 0)); reasonOf(t, err) != ReasonTrailing {
			t.Errorf("%s with a byte more: %v", name, err)
		}
	}
	type file struct {
		Accepted []blockVector `json:"accepted"`
	}
	for _, f := range ledgertest.Files[file](t, "stardust/malformed*.json") {
		for _, v := range f.Data.Accepted {
			if len(v.Raw) > 6000 {
				continue
			}
			cut(v.Name, v.Raw, func(b []byte) error { _, err := ParseBlock(b); return err })
			for n := range v.Raw[:2+32*int(v.Raw[1])] {
				if id := Identify(v.Raw[:n]); reasonOf(t, id.Err) != ReasonTruncated {
					t.Fatalf("%s cut to %d bytes: identified (%v)", v.Name, n, id.Err)
				}
			}
		}
	}
	m := &Milestone{Parents: []Hash{{}}, Signatures: []Signature{{}}, Metadata: []byte("m")}
	m.Receipt = &Receipt{Funds: []Fund{{Deposit: MinDeposit}}}
	m.Parameters = &ParameterChange{Target: 1, Params: AppendParameters(nil, &testParameters)}
	tx := blockWith(plainOutput(1), aliasOutput(1), foundryOutput(1, 0, 1), nftOutput(1)).Payload
	cut("milestone", AppendPayload(nil, m), func(b []byte) error { _, err := ParseMilestone(b); return err })
	cut("transaction", AppendPayload(nil, tx), func(b []byte) error { _, err := ParseTransaction(b); return err })
	cut("payload", AppendPayload(nil, tx), func(b []byte) error { _, err := ParsePayload(b); return err })
	cut("receipt", AppendReceipt(nil, m.Receipt), func(b []byte) error { _, err := ParseReceipt(b); return err })
	cut("option", AppendParameterChange(nil, m.Parameters), func(b []byte) error { _, err := ParseParameterChange(b); return err })
	cut("parameters", m.Parameters.Params, func(b []byte) error { _, err := ParseParameters(b); return err })
	for _, o := range tx.(*Transaction).Outputs {
		cut("output", AppendOutput(nil, &o), func(b []byte) error { _, err := ParseOutput(b); return err })
	}
}

// Types that exist only once are demanded.
func TestConstantTypes(t *testing.T) {
	b := blockWith(foundryOutput(1, 0, 1))
	raw := AppendBlock(nil, b)
	scheme := bytes.Index(raw, append([]byte{0}, appendU256(nil, big.NewInt(1))...))
	signature := len(raw) - 8 - 64 - 32 - 1
	option := AppendParameterChange(nil, &ParameterChange{Params: []byte{1}})
	for at, want := range map[int]Reason{scheme: ReasonTokenScheme, signature: ReasonSigType, signature - 1: ReasonUnlockType} {
		bad := bytes.Clone(raw)
		bad[at] = 7
		if _, err := ParseBlock(bad); reasonOf(t, err) != want {
			t.Errorf("byte %d changed: %v, want %q", at, err, want)
		}
	}
	option[0] = 0
	if _, err := ParseParameterChange(option); reasonOf(t, err) != ReasonOptionType {
		t.Errorf("a receipt as parameters: %v", err)
	}
	option = AppendParameterChange(nil, &ParameterChange{Params: make([]byte, MaxMetadata+1)})
	if _, err := ParseParameterChange(option); reasonOf(t, err) != ReasonMetadata {
		t.Errorf("parameters of %d bytes: %v", MaxMetadata+1, err)
	}
	if _, err := MilestoneBlock(raw); reasonOf(t, err) == "" {
		t.Error("a block was taken for a milestone payload")
	}
}
