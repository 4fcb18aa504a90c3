package stardust_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

var madeTrust = sync.OnceValues(func() (ledger.Trust, error) {
	return stardust.Codec{}.ParseTrust(stardusttest.New(stardusttest.Options{}).Trust())
})

func testTrust(t testing.TB) ledger.Trust {
	t.Helper()
	trust, err := madeTrust()
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func recordOf(p stardust.Payload) *ledger.Record {
	raw := stardust.AppendBlock(nil, &stardust.Block{Version: 2, Parents: []stardust.Hash{{1}, {2}}, Payload: p, Nonce: 7})
	h := stardust.H(raw)
	return &ledger.Record{ID: ledger.NewID(h[:]), Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}}}
}

func factsOf(t testing.TB, p stardust.Payload) (ledger.Facts, []byte) {
	t.Helper()
	r := recordOf(p)
	f, err := stardust.Codec{}.Facts(r, testTrust(t))
	if err != nil {
		t.Fatalf("facts: %v", err)
	}
	ledgertest.CheckOutline(t, stardust.Codec{}, r, testTrust(t), f)
	return f, r.Parts[0].Raw
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func nested(depth int) string { return strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth) }

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFactsOfContent: what is read of awkward payloads. In whatever place they stand, the record is
// read, its words can be found and its bytes are where the facts say.
func TestFactsOfContent(t *testing.T) {
	did := unhex(t, "44494401002200"+hex.EncodeToString([]byte(`{"doc":{"id":"did:0:0"},"meta":{}}`)))
	deep := strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
	type leaves = []string
	cases := []struct {
		name   string
		data   []byte
		text   string
		leaves leaves
	}{
		{"empty", nil, "", nil},
		{"zero byte inside", []byte("a\x00b end"), "a\x00b end", nil},
		{"only zero bytes", []byte{0, 0, 0}, "", nil},
		{"blank", []byte(" \t\n"), "", nil},
		{"Latin-1", []byte{0x66, 0xfc, 0x72}, "", nil},
		{"scripts without spaces", []byte("權利的事情很有威力"), "權利的事情很有威力", nil},
		{
			"dup", unhex(t, "7b22616d6f756e74223a312c22616d6f756e74223a322c22416d6f756e74223a337d"),
			`{"amount":1,"amount":2,"Amount":3}`,
			leaves{"amount=1", "amount=2", "Amount=3"},
		},
		{
			"big", unhex(t, "7b226964223a313332323134363834333033343931343831362c226e223a31383434363734343037333730393535313631352c2278223a31653430302c2279223a36303433363232353833353636383132377d"),
			`{"id":1322146843034914816,"n":18446744073709551615,"x":1e400,"y":60436225835668127}`,
			leaves{"id=1322146843034914816", "n=18446744073709551615", "x=1e400", "y=60436225835668127"},
		},
		{"bom", unhex(t, "efbbbf7b2261223a317d"), `{"a":1}`, leaves{"a=1"}},
		{
			"gzip", unhex(t, "1f8b0800000000000203ab564a492dcb4c4e55b20231740d0c0c0ccd9574944a94ac8c0cf54c6b016dac51c41f000000"),
			`{"device":"dev-00017","t":21.5}`,
			leaves{"device=dev-00017", "t=21.5"},
		},
		{"gzip that unpacks to 100 MiB", zipped(t, make([]byte, 100<<20))[:32000], "", nil},
		{"gzip of 8 MiB of letters", zipped(t, bytes.Repeat([]byte("a"), 8<<20)), "", nil},
		{"base64", []byte("eyJkZXZpY2UiOiJkZXYtMDAwMTcifQ=="), "eyJkZXZpY2UiOiJkZXYtMDAwMTcifQ==", nil},
		{
			"nested", []byte(`{"a":{"b":[1,{"c":"x y"},null,true,false]}}`), `{"a":{"b":[1,{"c":"x y"},null,true,false]}}`,
			leaves{"a.b=1", "a.b.c=x y", "a.b=null", "a.b=true", "a.b=false"},
		},
		{"array", []byte(`[1,2]`), `[1,2]`, leaves{"=1", "=2"}},
		{"string", []byte(`"text"`), `"text"`, nil},
		{"cut", []byte(`{"standard":"IRC27"`), `{"standard":"IRC27"`, nil},
		{"two texts", []byte(`{"a":1}{"b":2}`), `{"a":1}{"b":2}`, nil},
		{"empty object", []byte(`{}`), `{}`, nil},
		{
			"odd IRC-27", []byte(`{"standard":"IRC27","name":123,"uri":null}`), `{"standard":"IRC27","name":123,"uri":null}`,
			leaves{"standard=IRC27", "name=123", "uri=null"},
		},
		{
			"odd IRC-30", []byte(`{"standard":"IRC30","name":"X","symbol":"X","decimals":-1}`), `{"standard":"IRC30","name":"X","symbol":"X","decimals":-1}`,
			leaves{"standard=IRC30", "name=X", "symbol=X", "decimals=-1"},
		},
		{"depth 10,000", []byte(deep), deep, nil},
		{"64 levels", []byte(nested(64)), nested(64), leaves{"=1"}},
		{"65 levels", []byte(nested(65)), nested(65), nil},
		{"DID document", did, `{"doc":{"id":"did:0:0"},"meta":{}}`, leaves{"doc.id=did:0:0"}},
		{"DID document, version 2", append([]byte("DID\x02"), did[4:]...), string(append([]byte("DID\x02"), did[4:]...)), nil},
		{"DID document, cut", did[:len(did)-1], string(did[:len(did)-1]), nil},
		{"participation", unhex(t, "01"+strings.Repeat("11", 32)+"020100"), "", nil},
		{"a lone surrogate", []byte(`{"a":"\ud800"}`), `{"a":"\ud800"}`, leaves{"a=\ufffd"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, raw := factsOf(t, &stardust.TaggedData{Tag: []byte("t"), Data: c.data})
			checkContent(t, f, raw, c.data, c.text, c.leaves)
			if len(c.data) == 0 || len(c.data) > stardust.MaxMetadata {
				return
			}
			for _, tx := range carriers(c.data) {
				f, raw := factsOf(t, tx)
				checkContent(t, f, raw, c.data, c.text, c.leaves)
			}
		})
	}
}

func checkContent(t *testing.T, f ledger.Facts, raw, data []byte, text string, leaves []string) {
	t.Helper()
	want := []string{text}
	if text == "" {
		want = nil
	}
	if !slices.Equal(f.Texts, want) {
		t.Errorf("texts %.200q, want %.200q", f.Texts, want)
	}
	var got []string
	for _, l := range f.Leaves {
		got = append(got, l.Path+"="+l.Value)
	}
	if !slices.Equal(got, leaves) {
		t.Errorf("leaves %q, want %q", got, leaves)
	}
	if len(f.Payloads) != 1 || !bytes.Equal(raw[f.Payloads[0].Off:f.Payloads[0].Off+f.Payloads[0].Len], data) {
		t.Errorf("payload at %v of the block is not %.50x", f.Payloads, data)
	}
}

// carriers returns transactions that carry data in each place where metadata can stand.
func carriers(data []byte) (all []*stardust.Transaction) {
	meta := []stardust.Feature{{Type: stardust.FeatureMetadata, Data: data}}
	to := []stardust.Condition{{Type: stardust.ConditionAddress, Address: stardust.Address{0, 1}}}
	both := []stardust.Condition{{Type: stardust.ConditionStateController, Address: stardust.Address{0, 1}}, {Type: stardust.ConditionGovernor, Address: stardust.Address{0, 2}}}
	issuer := stardust.Feature{Type: stardust.FeatureIssuer, Address: stardust.Address{0, 3}}
	plain := stardust.Output{Type: stardust.OutputBasic, Amount: 1e6, Conditions: to}
	for _, o := range []stardust.Output{
		{Type: stardust.OutputBasic, Amount: 1e6, Conditions: to, Features: append(meta, stardust.Feature{Type: stardust.FeatureTag, Data: []byte("x")})},
		{Type: stardust.OutputNFT, Amount: 1e6, Conditions: to, Immutable: append([]stardust.Feature{issuer}, meta...)},
		{Type: stardust.OutputNFT, Amount: 1e6, Conditions: to, Features: meta, Immutable: []stardust.Feature{issuer}},
		{Type: stardust.OutputAlias, Amount: 1e6, Conditions: both, Features: meta},
		{
			Type: stardust.OutputFoundry, Amount: 1e6, Serial: 1, Minted: big.NewInt(1), Maximum: big.NewInt(1),
			Conditions: []stardust.Condition{{Type: stardust.ConditionImmutableAlias, Address: stardust.Address{8, 1}}}, Immutable: meta,
		},
	} {
		all = append(all, &stardust.Transaction{
			Inputs: []stardust.OutputID{{1}}, Outputs: []stardust.Output{plain, o, plain},
			Unlocks: []stardust.Unlock{{Type: stardust.UnlockSignature}},
		})
	}
	return append(all, &stardust.Transaction{
		Inputs: []stardust.OutputID{{1}}, Outputs: []stardust.Output{plain}, Payload: &stardust.TaggedData{Tag: []byte("tag"), Data: data},
		Unlocks: []stardust.Unlock{{Type: stardust.UnlockSignature}},
	})
}

// TestFactsOfTags: empty is not absent, and a zero byte is a byte.
func TestFactsOfTags(t *testing.T) {
	if f, _ := factsOf(t, nil); f.Tags != nil || f.Payloads != nil {
		t.Errorf("a block without payload has tags %q, payloads %v", f.Tags, f.Payloads)
	}
	for _, tag := range []string{"", "\x00", "\x00\x00", "a\x00b", "INVOICE", strings.Repeat("x", 64)} {
		f, _ := factsOf(t, &stardust.TaggedData{Tag: []byte(tag)})
		if len(f.Tags) != 1 || string(f.Tags[0]) != tag || len(f.Payloads) != 1 {
			t.Errorf("tag %q is read as %q", tag, f.Tags)
		}
	}
}

func TestFactsOfOutputs(t *testing.T) {
	alias := stardust.Address{stardust.AddressAlias, 9}
	max := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	token := stardust.FoundryID{8, 9}
	tx := &stardust.Transaction{
		Inputs: []stardust.OutputID{{1}}, Unlocks: []stardust.Unlock{{Type: stardust.UnlockSignature, Key: [32]byte{77}}},
		Outputs: []stardust.Output{
			{Type: stardust.OutputBasic, Amount: 5, Tokens: []stardust.NativeToken{{ID: token, Amount: max}}, Conditions: []stardust.Condition{
				{Type: stardust.ConditionAddress, Address: stardust.Address{0, 1}},
				{Type: stardust.ConditionStorageReturn, Address: stardust.Address{0, 2}, Amount: 1},
				{Type: stardust.ConditionTimelock, Time: 4294967295},
				{Type: stardust.ConditionExpiration, Address: stardust.Address{0, 3}, Time: 1658208585},
			}, Features: []stardust.Feature{{Type: stardust.FeatureSender, Address: stardust.Address{0, 4}}}},
			{
				Type: stardust.OutputFoundry, Amount: 5, Serial: 3, Minted: big.NewInt(1), Maximum: big.NewInt(1),
				Conditions: []stardust.Condition{{Type: stardust.ConditionImmutableAlias, Address: alias}},
			},
			{Type: stardust.OutputNFT, Amount: 5, ChainID: stardust.Hash{6}, Conditions: []stardust.Condition{{Type: stardust.ConditionAddress, Address: alias}}},
			{Type: stardust.OutputAlias, Amount: 5, Conditions: []stardust.Condition{
				{Type: stardust.ConditionStateController, Address: stardust.Address{0, 1}}, {Type: stardust.ConditionGovernor, Address: stardust.Address{16, 6}},
			}},
		},
	}
	f, raw := factsOf(t, tx)
	b, err := stardust.ParseBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	id := b.Payload.(*stardust.Transaction).ID
	created := stardust.H(append(id[:], 3, 0)) // the alias that the fourth output makes
	var addresses []string
	for _, a := range []stardust.Address{{0, 1}, {0, 2}, {0, 3}, {0, 4}, alias, {16, 6}} {
		addresses = append(addresses, a.Bech32("tst"))
	}
	slices.Sort(addresses)
	if !slices.Equal(f.Addresses, addresses) {
		t.Errorf("addresses %v, want %v", f.Addresses, addresses)
	}
	foundry := append(alias[:], 3, 0, 0, 0, 0)
	objects := []string{fmt.Sprintf("0x%x", foundry), fmt.Sprintf("0x%x", created), fmt.Sprintf("0x%x", stardust.Hash{6})}
	slices.Sort(objects)
	if !slices.Equal(f.Objects, objects) {
		t.Errorf("objects %v, want %v", f.Objects, objects)
	}
	if len(f.Tokens) != 1 || f.Tokens[0].ID != fmt.Sprintf("0x%x", token) || f.Tokens[0].Amount.String() != max.String() {
		t.Errorf("tokens %v", f.Tokens)
	}
}

// TestFactsOfReceipts: the addresses of migrated funds are named in the milestone's block.
func TestFactsOfReceipts(t *testing.T) {
	n := stardusttest.New(stardusttest.Options{Receipts: 1})
	c := n.Next()
	f, err := stardust.Codec{}.Facts(&ledger.Record{Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: c.Block}}}, testTrust(t))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, fund := range c.Milestone.Receipt.Funds {
		want = append(want, fund.Address.Bech32("tst"))
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(f.Addresses, want) {
		t.Errorf("addresses %v, want %v", f.Addresses, want)
	}
}

// TestLeavesAreBounded: a payload whose paths repeat each other costs bounded memory, and is text.
func TestLeavesAreBounded(t *testing.T) {
	key := strings.Repeat("k", 15000)
	data := []byte(`{"` + key + `":{` + strings.Repeat(`"x":0,`, 2000) + `"y":1}}`)
	if !json.Valid(data) {
		t.Fatal("the payload is no JSON")
	}
	f, _ := factsOf(t, &stardust.TaggedData{Data: data})
	if f.Leaves != nil || len(f.Texts) != 1 {
		t.Errorf("%d leaves, %d texts", len(f.Leaves), len(f.Texts))
	}
}

// TestFactsOfVector: no block of any vector or recording lacks facts, and addresses are those that the
// node's own JSON names.
func TestFactsOfVector(t *testing.T) {
	trust := testTrust(t)
	for _, f := range ledgertest.Files[networkVector](t, "stardust/private-net-*.json") {
		for _, m := range f.Data.Milestones {
			for _, b := range m.Cone {
				r := &ledger.Record{Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: b.Raw}}}
				facts, err := stardust.Codec{}.Facts(r, trust)
				if err != nil {
					t.Fatalf("%s: %v", b.Name, err)
				}
				ledgertest.CheckOutline(t, stardust.Codec{}, r, trust, facts)
				text, err := stardust.Codec{}.JSON(r)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := facts.Addresses, addressesInJSON(t, text); !slices.Equal(got, want) {
					t.Errorf("%s: addresses %v, JSON names %v", b.Name, got, want)
				}
			}
		}
	}
}

// addressesInJSON finds every object of a node's JSON that is an address.
func addressesInJSON(t *testing.T, text []byte) (out []string) {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]byte{"pubKeyHash": 0, "aliasId": 8, "nftId": 16}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if kind, ok := v["type"].(float64); ok && len(v) == 2 {
				for name, k := range kinds {
					if s, ok := v[name].(string); ok && byte(kind) == k {
						a := stardust.Address{k}
						copy(a[1:], unhex(t, s[2:]))
						out = append(out, a.Bech32("tst"))
					}
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	slices.Sort(out)
	return slices.Compact(out)
}
