package rebased

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mr-tron/base58"

	"permanode/ledger"
	"permanode/ledger/canonical"
)

const trustFormat = "permanode-trust/v1"

// Rules is what a trust file of this era says, the value of [ledger.Trust.Rules]: the committee of one epoch.
// Committees of later epochs come out of the ledger.
type Rules struct {
	Committee *Committee

	genesis Digest
	checked committees // of later epochs
}

// TrustSpec is the content of a trust file.
type TrustSpec struct {
	Genesis Digest      // digest of checkpoint 0: the network's identity
	Epoch   uint64      // of the committee
	Members []Validator // in any order
}

// NewTrust returns the bytes of a trust file. Errors wrap [ledger.ErrTrust] and name the field.
func NewTrust(s TrustSpec) ([]byte, error) {
	members := slices.Clone(s.Members)
	slices.SortFunc(members, func(a, b Validator) int { return slices.Compare(a.Key[:], b.Key[:]) })
	list := make(canonical.Array, len(members))
	for i := range members {
		list[i] = canonical.Object{"key": hexText(members[i].Key[:]), "power": number(members[i].Power)}
	}
	raw := canonical.Encode(canonical.Object{
		"committee": canonical.Object{"epoch": number(s.Epoch), "members": list},
		"era":       canonical.String(Era),
		"format":    canonical.String(trustFormat),
		"identity":  hexText(s.Genesis[:]),
	})
	if _, err := (Codec{}).ParseTrust(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

func hexText(b []byte) canonical.String { return canonical.String(hex.EncodeToString(b)) }
func number(v uint64) canonical.String  { return canonical.String(strconv.FormatUint(v, 10)) }

func trustError(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ledger.ErrTrust, field, fmt.Sprintf(format, args...))
}

// ParseTrust reads a trust file of this era:
//
//	{"committee":{"epoch":N,"members":[{"key":HEX,"power":N}…]},"era":"rebased","format":…,"identity":HEX}
//
// Members ascend by key, and form a committee ([NewCommittee]); the identity is the digest of checkpoint 0.
func (Codec) ParseTrust(raw []byte) (ledger.Trust, error) {
	v, err := canonical.Parse(raw)
	if err != nil {
		return ledger.Trust{}, fmt.Errorf("%w: %w", ledger.ErrTrust, err)
	}
	f := fields{}
	o := f.object(v, "", "committee", "era", "format", "identity")
	f.is(o, "format", trustFormat)
	f.is(o, "era", string(Era))
	r := &Rules{}
	copy(r.genesis[:], f.bytes(o, "", "identity", len(r.genesis)))
	epoch, members := f.committee(o)
	if f.err != nil {
		return ledger.Trust{}, f.err
	}
	if r.Committee, err = NewCommittee(epoch, members); err != nil {
		return ledger.Trust{}, trustError("committee.members", "%v", err)
	}
	return ledger.Trust{Era: Era, Identity: hex.EncodeToString(r.genesis[:]), States: true, Raw: raw, Rules: r}, nil
}

// fields reads a canonical value; its first error stays.
type fields struct{ err error }

func (f *fields) fail(field, format string, args ...any) {
	if f.err == nil {
		f.err = trustError(field, format, args...)
	}
}

// object returns v as an object that has exactly those keys. name is its own, with a point behind it.
func (f *fields) object(v canonical.Value, name string, keys ...string) canonical.Object {
	o, ok := v.(canonical.Object)
	if !ok {
		f.fail(strings.TrimSuffix(name, "."), "is no object")
		return nil
	}
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			f.fail(name+k, "is missing")
		}
	}
	for k := range o {
		if !slices.Contains(keys, k) {
			f.fail(name+k, "is unknown")
		}
	}
	return o
}

func (f *fields) text(o canonical.Object, name, key string) string {
	s, ok := o[key].(canonical.String)
	if !ok {
		f.fail(name+key, "is no string")
	}
	return string(s)
}

func (f *fields) is(o canonical.Object, key, want string) {
	if got := f.text(o, "", key); got != want {
		f.fail(key, "is %q; %q is expected", got, want)
	}
}

func (f *fields) number(o canonical.Object, name, key string) uint64 {
	s := f.text(o, name, key)
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(v, 10) != s {
		f.fail(name+key, "%q is no decimal number below 2^64", s)
	}
	return v
}

// bytes reads lower-case hex of n bytes.
func (f *fields) bytes(o canonical.Object, name, key string, n int) []byte {
	s := f.text(o, name, key)
	b, err := hex.DecodeString(s)
	if err != nil || strings.ToLower(s) != s || len(b) != n {
		f.fail(name+key, "is no lower-case hex of %d bytes", n)
	}
	return b
}

func (f *fields) committee(o canonical.Object) (epoch uint64, members []Validator) {
	if f.err != nil {
		return 0, nil
	}
	c := f.object(o["committee"], "committee.", "epoch", "members")
	epoch = f.number(c, "committee.", "epoch")
	list, ok := c["members"].(canonical.Array)
	if !ok || len(list) == 0 {
		f.fail("committee.members", "is no list of members")
	}
	for i, v := range list {
		name := fmt.Sprintf("committee.members[%d].", i)
		e := f.object(v, name, "key", "power")
		m := Validator{Power: f.number(e, name, "power")}
		copy(m.Key[:], f.bytes(e, name, "key", len(m.Key)))
		if f.err != nil {
			return 0, nil
		}
		members = append(members, m)
	}
	return epoch, members
}

// ParseCommitteeFile reads a committee as JSON, together with the digest of checkpoint 0: the file
// committee_epoch0.json that lies beside checkpoint files.
//
//	{"epoch": "0", "genesis_checkpoint_digest": BASE58, "validators": [[BASE64 KEY, "POWER"], …]}
func ParseCommitteeFile(raw []byte) (TrustSpec, error) {
	var file struct {
		Epoch      string      `json:"epoch"`
		Genesis    string      `json:"genesis_checkpoint_digest"`
		Validators [][2]string `json:"validators"`
	}
	bad := func(format string, args ...any) (TrustSpec, error) {
		return TrustSpec{}, fmt.Errorf("read a committee file: %s", fmt.Sprintf(format, args...))
	}
	err := json.Unmarshal(raw, &file)
	if err != nil {
		return bad("%v", err)
	}
	var s TrustSpec
	if s.Epoch, err = strconv.ParseUint(file.Epoch, 10, 64); err != nil {
		return bad("epoch %q is no number", file.Epoch)
	}
	genesis, err := base58.Decode(file.Genesis)
	if err != nil || len(genesis) != len(s.Genesis) {
		return bad("genesis_checkpoint_digest %q is no digest in base58", file.Genesis)
	}
	copy(s.Genesis[:], genesis)
	for i, v := range file.Validators {
		var m Validator
		key, err := base64.StdEncoding.DecodeString(v[0])
		if err != nil || len(key) != len(m.Key) {
			return bad("validators[%d]: its key is no base64 of %d bytes", i, len(m.Key))
		}
		copy(m.Key[:], key)
		if m.Power, err = strconv.ParseUint(v[1], 10, 64); err != nil {
			return bad("validators[%d]: power %q is no number", i, v[1])
		}
		s.Members = append(s.Members, m)
	}
	return s, nil
}
