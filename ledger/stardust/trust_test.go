package stardust_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// TestTrustNamesTheField: each field missing, unknown, of the wrong kind or out of range is an error
// that names it.
func TestTrustNamesTheField(t *testing.T) {
	good := string(readRecording(t, "stardust").trust)
	key := strings.Repeat("ab", 32)
	for _, c := range []struct{ old, new, field string }{
		{`"format":"permanode-trust/v1",`, ``, "format"},
		{`permanode-trust/v1`, `permanode-trust/v2`, "format"},
		{`"era":"stardust"`, `"era":"chrysalis"`, "era"},
		{`"identity":"`, `"identity":"0`, "identity"},
		{`"identity":"1`, `"identity":"2`, "identity"},
		{`"key_count":"2"`, `"key_count":"0"`, "key_count"},
		{`"key_count":"2"`, `"key_count":"02"`, "key_count"},
		{`"key_count":"2"`, `"key_count":"256"`, "key_count"},
		{`"key_count":"2"`, `"key_count":["2"]`, "key_count"},
		{`"key_count":"2"`, `"key_count":"-2"`, "key_count"},
		{`"key_count":"2",`, ``, "key_count"},
		{`"genesis":{"parameters":"02`, `"genesis":{"parameters":"0`, "parameters"},
		{`"genesis":{"parameters":"02`, `"genesis":{"parameters":"0202`, "parameters"},
		{`"genesis":{"parameters"`, `"genesis":{"params"`, "genesis"},
		{`"end":"39"`, `"end":"x"`, "end"},
		{`"end":"0","key":"153`, `"end":"39","key":"153`, "keys[2].end"},
		{`"key":"e0`, `"key":"E0`, "key"},
		{`"key":"e0`, `"key":"`, "key"},
		{`"end":"39",`, ``, "keys[0].end"},
		{`"end":"39","key"`, `"end":"39","kay":"","key"`, "keys[0].kay"},
		{`"keys":[`, `"keys":[{"end":"0","key":"` + key + `","start":"90"},`, "keys[1]"},
		{`"keys":[`, `"keys":["",`, "keys[0]"},
		{`"sha256":"7c`, `"sha256":"`, "sha256"},
		{`"snapshot":{`, `"snapshot":{"delta":"00",`, "delta"},
		{`"snapshot":{`, `"snapshot":{"file":"00",`, "snapshot.file"},
		{`,"snapshot":{`, `,"other":"","snapshot":{`, "other"},
		{`}]`, `}] `, ""},
		{`"era":"stardust"`, `"era":"stardust","era":"stardust"`, ""},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s does not occur", c.old)
		}
		_, err := stardust.Codec{}.ParseTrust([]byte(bad))
		if !errors.Is(err, ledger.ErrTrust) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s for %s: error %v does not name %s", c.new, c.old, err, c.field)
		}
	}
}

func TestTrustContent(t *testing.T) {
	r := readRecording(t, "stardust")
	trust, err := stardust.Codec{}.ParseTrust(r.trust)
	if err != nil {
		t.Fatal(err)
	}
	rules := trust.Rules.(*stardust.Rules)
	p := rules.Parameters()
	if trust.Era != stardust.Era || trust.Name != p.Network || len(trust.Snapshot) != 1 || rules.KeyCount < 1 || len(rules.Keys) < rules.KeyCount {
		t.Errorf("trust %+v", trust)
	}
	again, err := stardust.NewTrust(stardust.TrustSpec{
		Parameters: stardust.AppendParameters(nil, &p), KeyCount: rules.KeyCount, Keys: rules.Keys, Snapshot: trust.Snapshot,
	})
	if err != nil || !bytes.Equal(again, r.trust) {
		t.Errorf("built again: %s, %v", again, err)
	}
	two := append(trust.Snapshot, strings.Repeat("0", 64))
	raw, err := stardust.NewTrust(stardust.TrustSpec{Parameters: stardust.AppendParameters(nil, &p), KeyCount: 1, Keys: rules.Keys, Snapshot: two})
	if err != nil {
		t.Fatal(err)
	}
	if back, err := (stardust.Codec{}).ParseTrust(raw); err != nil || len(back.Snapshot) != 2 || back.Snapshot[1] != two[1] {
		t.Errorf("a delta file: %v, %v", back.Snapshot, err)
	}
}

// TestTrustFromNode takes what a node serves: its parameters, and the keys of its oldest and newest
// milestone. With that file its milestones verify.
func TestTrustFromNode(t *testing.T) {
	for _, name := range recordings {
		r := readRecording(t, name)
		var info []byte
		type call struct {
			Path string `json:"path"`
			Body string `json:"body"`
		}
		for _, c := range jsonLines[call](t, filepath.Join(r.dir, "rest.jsonl.gz")) {
			if strings.HasSuffix(c.Path, "/info") {
				info = []byte(c.Body)
				break
			}
		}
		first, last := r.truth[0].Milestone, r.truth[len(r.truth)-1].Milestone
		raw, err := stardust.TrustFromNode(info, nil, r.heads[first], r.heads[last])
		if err != nil {
			t.Fatal(err)
		}
		mine, err := stardust.Codec{}.ParseTrust(raw)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := stardust.Codec{}.ParseTrust(r.trust)
		if err != nil {
			t.Fatal(err)
		}
		if mine.Identity != theirs.Identity || mine.Rules.(*stardust.Rules).Parameters() != theirs.Rules.(*stardust.Rules).Parameters() {
			t.Errorf("%s: a node gives %s", name, raw)
		}
		for _, k := range mine.Rules.(*stardust.Rules).Keys {
			found := false
			for _, known := range theirs.Rules.(*stardust.Rules).Keys {
				found = found || known.Key == k.Key
			}
			if !found || k.Start != 0 || k.End != 0 {
				t.Errorf("%s: key %x of %d to %d", name, k.Key, k.Start, k.End)
			}
		}
		a := newArchive(t, raw)
		a.serve(r.blocks...)
		a.claims = r.claims
		for _, seq := range []uint64{first, last} {
			a.prev, a.edges = nil, true
			for _, m := range r.truth {
				for _, b := range m.Blocks {
					if m.Milestone < seq {
						delete(a.blocks, ledger.NewID(b.BlockID))
					}
				}
			}
			if _, err := a.add(r.heads[seq]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		bent := bytes.Clone(r.heads[first])
		bent[len(bent)-1] ^= 1
		var f *ledger.Forged
		if _, err := stardust.TrustFromNode(info, nil, bent); !errors.As(err, &f) || f.Code != "unit.signature" {
			t.Errorf("%s: a milestone that is not signed gives %v", name, err)
		}
	}
	for _, info := range []string{``, `{}`, `{"protocol":{"networkName":"","tokenSupply":"1"}}`, `{"protocol":{"networkName":"x","tokenSupply":"-1"}}`} {
		if _, err := stardust.TrustFromNode([]byte(info), nil); err == nil {
			t.Errorf("a trust file of %q", info)
		}
	}
}

// TestTrustOfRepeatedKeys: recordings may list a key twice; a trust file may not.
func TestTrustFromConfiguration(t *testing.T) {
	rec := readRecording(t, "stardust")
	known, err := stardust.Codec{}.ParseTrust(rec.trust)
	if err != nil {
		t.Fatal(err)
	}
	rules := known.Rules.(*stardust.Rules)
	inForce := rules.Parameters()
	parameters := stardust.AppendParameters(nil, &inForce)
	spec := func() stardust.TrustSpec {
		return stardust.TrustSpec{Parameters: parameters, KeyCount: rules.KeyCount, Keys: slices.Clone(rules.Keys), Snapshot: known.Snapshot}
	}
	for seq, head := range rec.heads {
		got, err := stardust.TrustFromConfiguration(spec(), head)
		if err != nil || !bytes.Equal(got, rec.trust) {
			t.Fatalf("unit %d: %v\n got %s\nwant %s", seq, err, got, rec.trust)
		}
	}
	head := rec.heads[rec.truth[0].Milestone]
	// A range that is given twice, once shorter, is one.
	s := spec()
	s.Keys = append(s.Keys, stardust.KeyRange{Key: s.Keys[0].Key, Start: s.Keys[0].Start, End: s.Keys[0].Start + 1})
	if got, err := stardust.TrustFromConfiguration(s, head); err != nil || !bytes.Equal(got, rec.trust) {
		t.Errorf("repeated range: %v, %s", err, got)
	}
	for what, edit := range map[string]func(s *stardust.TrustSpec){
		"did not sign":       func(s *stardust.TrustSpec) { s.KeyCount++ },
		"keys did not sign":  func(s *stardust.TrustSpec) { s.Keys = s.Keys[:1] },
		"genesis.parameters": func(s *stardust.TrustSpec) { s.Parameters = s.Parameters[1:] },
		"key_count":          func(s *stardust.TrustSpec) { s.KeyCount = 0 },
	} {
		s := spec()
		edit(&s)
		if _, err := stardust.TrustFromConfiguration(s, head); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := stardust.TrustFromConfiguration(spec(), head[1:]); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("cut milestone: %v", err)
	}
}

func TestTrustOfRepeatedKeys(t *testing.T) {
	network := func(ranges string) []byte {
		return []byte(`{"protocolParameters":{"version":2,"networkName":"n","bech32HRP":"h","tokenSupply":"1"},
			"milestonePublicKeyCount":1,"publicKeyRanges":[` + strings.ReplaceAll(ranges, "K", strings.Repeat("ab", 32)) + `]}`)
	}
	for ranges, want := range map[string][][2]uint64{
		`{"key":"K","start":1,"end":5},{"key":"K","start":1,"end":9}`:                               {{1, 9}},
		`{"key":"K","start":1,"end":9},{"key":"0xK","start":1,"end":5}`:                             {{1, 9}},
		`{"key":"K","start":1,"end":9},{"key":"K","start":1,"end":0}`:                               {{1, 0}},
		`{"key":"K","start":1,"end":0},{"key":"K","start":1,"end":9}`:                               {{1, 0}},
		`{"key":"K","start":1,"end":5},{"key":"K","start":3,"end":9},{"key":"K","start":1,"end":5}`: {{1, 5}, {3, 9}},
	} {
		raw, err := stardust.TrustFromRecording(network(ranges))
		if err != nil {
			t.Errorf("%s: %v", ranges, err)
			continue
		}
		trust, err := stardust.Codec{}.ParseTrust(raw)
		if err != nil {
			t.Fatal(err)
		}
		var got [][2]uint64
		for _, k := range trust.Rules.(*stardust.Rules).Keys {
			got = append(got, [2]uint64{k.Start, k.End})
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", ranges, got, want)
		}
	}
}

func FuzzParseTrust(f *testing.F) {
	files, err := filepath.Glob("../../testdata/trust/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no trust files: %v", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		trust, err := stardust.Codec{}.ParseTrust(raw)
		if err != nil {
			if !errors.Is(err, ledger.ErrTrust) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		r := trust.Rules.(*stardust.Rules)
		p := r.Parameters()
		again, err := stardust.NewTrust(stardust.TrustSpec{
			Parameters: stardust.AppendParameters(nil, &p), KeyCount: r.KeyCount, Keys: r.Keys, Snapshot: trust.Snapshot,
		})
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("built again: %v\n got %s\nwant %s", err, again, raw)
		}
	})
}

func TestRecognise(t *testing.T) {
	trust := testTrust(t)
	id := strings.Repeat("0123456789abcdef", 4)
	ed := stardust.Address{0}
	copy(ed[1:], mustHex(id))
	alias := ed
	alias[0] = stardust.AddressAlias
	first := func(text string) ledger.Key {
		keys := stardust.Codec{}.Recognise(text, trust)
		if len(keys) == 0 {
			return ledger.Key{}
		}
		return keys[0]
	}
	record := ledger.Key{Kind: ledger.KeyRecord, Val: string(mustHex(id))}
	for _, text := range []string{id, "0x" + id, strings.ToUpper(id), "0X" + strings.ToUpper(id), " 0x" + id + "\n"} {
		if got := first(text); got != record {
			t.Errorf("%q is %v", text, got)
		}
	}
	for text, want := range map[string]ledger.Key{
		"0x" + id + "0100":                   {Kind: ledger.KeyOutput, Val: string(mustHex(id + "0100"))},
		"0x08" + id + "0100000000":           {Kind: ledger.KeyObject, Val: string(mustHex("08" + id + "0100000000"))},
		ed.Bech32("tst"):                     {Kind: ledger.KeyAddress, Val: string(ed[:])},
		strings.ToUpper(alias.Bech32("tst")): {Kind: ledger.KeyAddress, Val: string(alias[:])},
		"0x08" + id:                          {Kind: ledger.KeyAddress, Val: string(alias[:])},
		"did:iota:0x" + id:                   {Kind: ledger.KeyAddress, Val: string(alias[:])},
		"did:iota:tst:0x" + id:               {Kind: ledger.KeyAddress, Val: string(alias[:])},
		"sha256:" + id:                       {Kind: ledger.KeyPayload, Val: string(mustHex(id))},
		"":                                   {},
		"INVOICE":                            {},
		id[:63]:                              {},
		id + "0":                             {},
		"g" + id[1:]:                         {},
		"0x" + id + "8000":                   {}, // no transaction has an output 128
		"0x" + id[:40]:                       {}, // never padded
		"did:iota:0x" + id[2:]:               {},
		"sha256:" + id[2:]:                   {},
		ed.Bech32("iota"):                    {}, // another network
		"Tst" + ed.Bech32("tst")[3:]:         {}, // mixed case
		"tst1" + strings.Repeat("q", 58):     {},
		strings.Replace(ed.Bech32("tst"), "q", "p", 1): {},
	} {
		if got := first(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	kinds := map[ledger.KeyKind]bool{}
	for _, k := range (stardust.Codec{}).Recognise(id, trust) {
		kinds[k.Kind] = true
	}
	for _, k := range []ledger.KeyKind{ledger.KeyRecord, ledger.KeyTransaction, ledger.KeyUnit, ledger.KeyObject, ledger.KeyAddress, ledger.KeyPayload} {
		if !kinds[k] {
			t.Errorf("a hash is never kind %d", k)
		}
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestCodecWords: what other rooms say about this era.
func TestCodecWords(t *testing.T) {
	c := stardust.Codec{}
	if got := c.FormatID(ledger.NewID([]byte{1, 0xab})); got != "0x01ab" {
		t.Errorf("id %s", got)
	}
	for kind, word := range map[uint8]string{0: "no-payload", 5: "tagged-data", 6: "transaction", 7: "milestone", 9: ""} {
		if got := c.KindName(kind); got != word {
			t.Errorf("kind %d is %q", kind, got)
		}
	}
}
