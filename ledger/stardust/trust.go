package stardust

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"permanode/ledger"
	"permanode/ledger/canonical"
)

const trustFormat = "permanode-trust/v1"

// KeyRange says from which to which milestone a coordinator key applies, both included; End 0 is open.
type KeyRange struct {
	Key        [32]byte
	Start, End uint64
}

// Rules is what a trust file of this era says, the value of [ledger.Trust.Rules].
type Rules struct {
	KeyCount int        // least number of different keys that sign a milestone
	Keys     []KeyRange // ascending by start and key; ranges may overlap

	genesis parameterEntry
}

// Parameters returns the protocol parameters in force at the first unit.
func (r *Rules) Parameters() Parameters { return r.genesis.Parameters }

// applies reports whether key may sign milestone index.
func (r *Rules) applies(key [32]byte, index uint32) bool {
	for i := range r.Keys {
		k := &r.Keys[i]
		if k.Key == key && k.Start <= uint64(index) && (k.End == 0 || uint64(index) <= k.End) {
			return true
		}
	}
	return false
}

// TrustSpec is the content of a trust file.
type TrustSpec struct {
	Parameters []byte // binary protocol parameters in force at the first unit
	KeyCount   int
	Keys       []KeyRange // in any order
	Snapshot   []string   // SHA-256, hex, of the full snapshot file and, if used, of the delta file
}

// NewTrust returns the bytes of a trust file. Errors wrap [ledger.ErrTrust] and name the field.
func NewTrust(s TrustSpec) ([]byte, error) {
	p, err := ParseParameters(s.Parameters)
	if err != nil {
		return nil, trustError("genesis.parameters", "%v", err)
	}
	keys := slices.Clone(s.Keys)
	slices.SortFunc(keys, compareKeys)
	list := make(canonical.Array, len(keys))
	for i, k := range keys {
		list[i] = canonical.Object{
			"end": number(k.End), "key": canonical.String(hex.EncodeToString(k.Key[:])), "start": number(k.Start),
		}
	}
	o := canonical.Object{
		"era": canonical.String(Era), "format": canonical.String(trustFormat),
		"genesis":   canonical.Object{"parameters": canonical.String(hex.EncodeToString(s.Parameters))},
		"identity":  number(p.NetworkID()),
		"key_count": canonical.String(strconv.Itoa(s.KeyCount)),
		"keys":      list,
	}
	if len(s.Snapshot) > 0 {
		files := canonical.Object{"sha256": canonical.String(s.Snapshot[0])}
		if len(s.Snapshot) > 1 {
			files["delta"] = canonical.String(s.Snapshot[1])
		}
		o["snapshot"] = files
	}
	raw := canonical.Encode(o)
	if _, err := (Codec{}).ParseTrust(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func number(v uint64) canonical.String { return canonical.String(strconv.FormatUint(v, 10)) }

func compareKeys(a, b KeyRange) int {
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	return slices.Compare(a.Key[:], b.Key[:])
}

func trustError(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ledger.ErrTrust, field, fmt.Sprintf(format, args...))
}

// ParseTrust reads a trust file of this era.
func (Codec) ParseTrust(raw []byte) (ledger.Trust, error) {
	v, err := canonical.Parse(raw)
	if err != nil {
		return ledger.Trust{}, fmt.Errorf("%w: %w", ledger.ErrTrust, err)
	}
	f := fields{}
	o := f.object(v, "file", "era", "format", "genesis", "identity", "key_count", "keys", "?snapshot")
	f.is(o, "format", trustFormat)
	f.is(o, "era", string(Era))
	r := &Rules{genesis: f.genesis(o)}
	f.is(o, "identity", strconv.FormatUint(r.genesis.NetworkID(), 10))
	r.KeyCount = int(min(f.number(o, "key_count"), 256))
	r.Keys = f.keys(o)
	if f.err == nil && (r.KeyCount < 1 || r.KeyCount > 255) {
		f.fail("key_count", "1 to 255 keys can be asked for")
	}
	t := ledger.Trust{Era: Era, Identity: f.text(o, "identity"), Name: r.genesis.Network, First: 1, Raw: raw, Rules: r}
	t.Snapshot = f.snapshot(o)
	if f.err != nil {
		return ledger.Trust{}, f.err
	}
	return t, nil
}

// fields reads a canonical value; its first error stays.
type fields struct{ err error }

func (f *fields) fail(field, format string, args ...any) {
	if f.err == nil {
		f.err = trustError(field, format, args...)
	}
}

// object returns v as an object that has exactly those keys; those with a ? may be missing.
func (f *fields) object(v canonical.Value, name string, keys ...string) canonical.Object {
	o, ok := v.(canonical.Object)
	if !ok {
		f.fail(name, "is no object")
		return nil
	}
	prefix := name + "."
	if name == "file" {
		prefix = ""
	}
	for _, k := range keys {
		if _, ok := o[k]; !ok && k[0] != '?' {
			f.fail(prefix+k, "is missing")
		}
	}
	for k := range o {
		if !slices.Contains(keys, k) && !slices.Contains(keys, "?"+k) {
			f.fail(prefix+k, "is unknown")
		}
	}
	return o
}

func (f *fields) text(o canonical.Object, key string) string {
	s, ok := o[key].(canonical.String)
	if !ok {
		f.fail(key, "is no string")
	}
	return string(s)
}

func (f *fields) is(o canonical.Object, key, want string) {
	if got := f.text(o, key); got != want {
		f.fail(key, "is %q; %q is expected", got, want)
	}
}

func (f *fields) number(o canonical.Object, key string) uint64 {
	s := f.text(o, key)
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(v, 10) != s {
		f.fail(key, "%q is no decimal number below 2^64", s)
	}
	return v
}

// bytes reads lower-case hex; n 0 means any length.
func (f *fields) bytes(o canonical.Object, key string, n int) []byte {
	s := f.text(o, key)
	b, err := hex.DecodeString(s)
	if err != nil || strings.ToLower(s) != s || n > 0 && len(b) != n {
		f.fail(key, "is no lower-case hex of the right length")
	}
	return b
}

func (f *fields) genesis(o canonical.Object) parameterEntry {
	if f.err != nil {
		return parameterEntry{}
	}
	raw := f.bytes(f.object(o["genesis"], "genesis", "parameters"), "parameters", 0)
	e, err := newParameters(0, raw)
	if err != nil {
		f.fail("genesis.parameters", "%v", err)
	}
	return e
}

func (f *fields) keys(o canonical.Object) (out []KeyRange) {
	list, ok := o["keys"].(canonical.Array)
	if !ok || len(list) == 0 {
		f.fail("keys", "is no list of keys")
	}
	for i, v := range list {
		name := fmt.Sprintf("keys[%d]", i)
		k := f.object(v, name, "end", "key", "start")
		if f.err != nil {
			return nil
		}
		r := KeyRange{Start: f.number(k, "start"), End: f.number(k, "end")}
		copy(r.Key[:], f.bytes(k, "key", 32))
		if r.End != 0 && r.End < r.Start {
			f.fail(name+".end", "%d lies before start %d", r.End, r.Start)
		}
		if i > 0 && compareKeys(out[i-1], r) >= 0 {
			f.fail(name, "keys must ascend by start and key, each pair once")
		}
		out = append(out, r)
	}
	return out
}

func (f *fields) snapshot(o canonical.Object) (files []string) {
	v, ok := o["snapshot"]
	if !ok || f.err != nil {
		return nil
	}
	s := f.object(v, "snapshot", "sha256", "?delta")
	f.bytes(s, "sha256", 32)
	files = append(files, f.text(s, "sha256"))
	if _, ok := s["delta"]; ok {
		f.bytes(s, "delta", 32)
		files = append(files, f.text(s, "delta"))
	}
	return files
}

// protocolJSON is how recordings and nodes write protocol parameters. Names are compared without case:
// the two differ there.
type protocolJSON struct {
	Version       byte   `json:"version"`
	NetworkName   string `json:"networkName"`
	Bech32HRP     string `json:"bech32Hrp"`
	MinPowScore   uint32 `json:"minPowScore"`
	BelowMaxDepth byte   `json:"belowMaxDepth"`
	RentStructure struct {
		VByteCost       uint32 `json:"vByteCost"`
		VByteFactorData byte   `json:"vByteFactorData"`
		VByteFactorKey  byte   `json:"vByteFactorKey"`
	} `json:"rentStructure"`
	TokenSupply string `json:"tokenSupply"`
}

func (p *protocolJSON) binary() ([]byte, error) {
	supply, err := strconv.ParseUint(p.TokenSupply, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("token supply %q is no number", p.TokenSupply)
	}
	if len(p.NetworkName) > 255 || len(p.Bech32HRP) > 255 || p.NetworkName == "" {
		return nil, fmt.Errorf("network name %q or prefix %q cannot be", p.NetworkName, p.Bech32HRP)
	}
	return AppendParameters(nil, &Parameters{
		Version: p.Version, Network: p.NetworkName, HRP: p.Bech32HRP, MinPoWScore: p.MinPowScore,
		BelowMaxDepth: p.BelowMaxDepth, VByteCost: p.RentStructure.VByteCost,
		FactorData: p.RentStructure.VByteFactorData, FactorKey: p.RentStructure.VByteFactorKey, Supply: supply,
	}), nil
}

// TrustFromRecording makes a trust file from the network.json of a recording and the SHA-256, hex, of
// its snapshot files.
func TrustFromRecording(network []byte, snapshot ...string) ([]byte, error) {
	var n struct {
		Parameters protocolJSON `json:"protocolParameters"`
		Count      int          `json:"milestonePublicKeyCount"`
		Ranges     []struct {
			Key        string `json:"key"`
			Start, End uint64
		} `json:"publicKeyRanges"`
	}
	if err := json.Unmarshal(network, &n); err != nil {
		return nil, fmt.Errorf("read network.json: %w", err)
	}
	raw, err := n.Parameters.binary()
	if err != nil {
		return nil, fmt.Errorf("read network.json: %w", err)
	}
	spec := TrustSpec{Parameters: raw, KeyCount: n.Count, Snapshot: snapshot}
	for _, r := range n.Ranges {
		key, err := hex.DecodeString(strings.TrimPrefix(r.Key, "0x"))
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("read network.json: public key %q is no hex of 32 bytes", r.Key)
		}
		spec.Keys = addRange(spec.Keys, KeyRange{[32]byte(key), r.Start, r.End})
	}
	return NewTrust(spec)
}

// addRange adds a range to ranges. Two of one key from one start say together what the longer one says.
func addRange(ranges []KeyRange, r KeyRange) []KeyRange {
	for i := range ranges {
		if have := &ranges[i]; have.Key == r.Key && have.Start == r.Start {
			if have.End != 0 && (r.End == 0 || r.End > have.End) {
				have.End = r.End
			}
			return ranges
		}
	}
	return append(ranges, r)
}

// TrustFromNode makes a trust file from a node's answer to /info and milestone payloads that it served:
// its oldest and newest. A node names no keys over REST; so the signers of those are taken, for all
// indexes, and as many as signed the one with fewest. Whoever trusts it must compare the keys with the
// operator's: they are what the node says. Milestones whose own signatures are not good are refused.
func TrustFromNode(info []byte, snapshot []string, milestones ...[]byte) ([]byte, error) {
	var n struct {
		Protocol protocolJSON `json:"protocol"`
	}
	if err := json.Unmarshal(info, &n); err != nil {
		return nil, fmt.Errorf("read /info: %w", err)
	}
	raw, err := n.Protocol.binary()
	if err != nil {
		return nil, fmt.Errorf("read /info: %w", err)
	}
	if len(milestones) == 0 {
		return nil, errors.New("no milestone to take keys from")
	}
	spec := TrustSpec{Parameters: raw, Snapshot: snapshot, KeyCount: 255}
	for _, head := range milestones {
		m, err := ParseMilestone(head)
		if err != nil {
			return nil, fmt.Errorf("read the keys of a milestone: %w", err)
		}
		for _, s := range m.Signatures {
			spec.Keys = addRange(spec.Keys, KeyRange{Key: s.Key})
		}
		spec.KeyCount = min(spec.KeyCount, len(m.Signatures))
		forged := func(code, format string, args ...any) error {
			return &ledger.Forged{Seq: uint64(m.Index), Code: code, Why: fmt.Sprintf(format, args...)}
		}
		if err := (&Rules{KeyCount: 1, Keys: spec.Keys}).attest(m, forged); err != nil {
			return nil, fmt.Errorf("read the keys of a milestone: %w", err)
		}
	}
	return NewTrust(spec)
}

// TrustFromConfiguration makes a trust file from the keys and parameters that a node says it is configured with, and a
// milestone that it served, which must be signed accordingly. Ranges of one key from one start are joined. Whoever
// trusts it must compare the keys with the operator's: they are what the node says.
func TrustFromConfiguration(s TrustSpec, milestone []byte) ([]byte, error) {
	given := s.Keys
	s.Keys = nil
	for _, r := range given {
		s.Keys = addRange(s.Keys, r)
	}
	m, err := ParseMilestone(milestone)
	if err != nil {
		return nil, fmt.Errorf("read a milestone: %w", err)
	}
	forged := func(code, format string, args ...any) error {
		return &ledger.Forged{Seq: uint64(m.Index), Code: code, Why: fmt.Sprintf(format, args...)}
	}
	if err := (&Rules{KeyCount: s.KeyCount, Keys: s.Keys}).attest(m, forged); err != nil {
		return nil, fmt.Errorf("the configured keys did not sign: %w", err)
	}
	return NewTrust(s)
}
