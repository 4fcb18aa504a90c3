package rebased

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased/bcs"
)

// goodSignatures returns a good signature of each scheme of the vectors, and what it signs.
func goodSignatures(t testing.TB) (sigs map[byte][]byte, data map[byte][]byte) {
	t.Helper()
	sigs, data = map[byte][]byte{}, map[byte][]byte{}
	type vector struct {
		Data      []byte `json:"transaction_bcs_b64"`
		Signature []byte `json:"signature_b64"`
		Expect    string `json:"expect"`
	}
	for _, v := range ledgertest.Load[vector](t, "rebased/signatures.json", "vectors") {
		if v.Expect == "valid" {
			sigs[v.Signature[0]], data[v.Signature[0]] = v.Signature, v.Data
		}
	}
	return sigs, data
}

// appendMultisig writes a multisig signature.
func appendMultisig(m *multisig) []byte {
	number := map[byte]byte{FlagEd25519: 0, FlagSecp256k1: 1, FlagSecp256r1: 2, FlagZkLogin: 3, FlagPasskey: 4}
	out := bcs.AppendULEB([]byte{FlagMultisig}, uint32(len(m.sigs)))
	for _, s := range m.sigs {
		out = append(out, number[s.flag])
		if s.flag == FlagZkLogin || s.flag == FlagPasskey {
			out = bcs.AppendULEB(out, uint32(len(s.raw)))
		}
		out = append(out, s.raw...)
	}
	out = binary.LittleEndian.AppendUint16(out, m.bitmap)
	out = bcs.AppendULEB(out, uint32(len(m.members)))
	for _, k := range m.members {
		out = append(out, number[k.flag])
		if k.flag == FlagZkLogin {
			out = bcs.AppendULEB(out, uint32(len(k.key)))
		}
		out = append(append(out, k.key...), k.weight)
	}
	return binary.LittleEndian.AppendUint16(out, m.threshold)
}

// TestMultisigRules breaks each rule of a multisig signature that is good, and signs with members of all schemes.
func TestMultisigVector(t *testing.T) {
	sigs, data := goodSignatures(t)
	raw := sigs[FlagMultisig]
	if raw == nil {
		ledgertest.Missing(t, "multisig signature")
	}
	digest := SigningDigest(data[FlagMultisig])
	good := func() *multisig {
		v, err := parseMultisig(raw[1:])
		if err != nil {
			t.Fatal(err)
		}
		return v.(*multisig)
	}
	if !bytes.Equal(appendMultisig(good()), raw) {
		t.Fatal("a multisig signature is written as another one")
	}
	zk := member{flag: FlagZkLogin, key: []byte("issuer and seed"), weight: 1}
	for _, c := range []struct {
		name   string
		change func(m *multisig)
		want   error
	}{
		{"as it is", func(*multisig) {}, nil},
		{"no members", func(m *multisig) { m.members, m.sigs, m.bitmap = nil, nil, 0 }, ErrSignature},
		{"11 members", func(m *multisig) {
			for i := byte(0); len(m.members) < 11; i++ {
				m.members = append(m.members, member{flag: FlagEd25519, key: bytes.Repeat([]byte{i}, 32), weight: 1})
			}
		}, ErrSignature},
		{"10 members", func(m *multisig) {
			for i := byte(0); len(m.members) < 10; i++ {
				m.members = append(m.members, member{flag: FlagEd25519, key: bytes.Repeat([]byte{i}, 32), weight: 1})
			}
		}, nil},
		{"no weight", func(m *multisig) { m.members[0].weight = 0 }, ErrSignature},
		{"a member without weight", func(m *multisig) {
			m.members = append(m.members, member{flag: FlagEd25519, key: make([]byte, 32)})
		}, ErrSignature},
		{"key twice", func(m *multisig) { m.members = append(m.members, m.members[0]) }, ErrSignature},
		{"threshold 0", func(m *multisig) { m.threshold = 0 }, ErrSignature},
		{"threshold above all weights", func(m *multisig) { m.threshold = 10 * 255 }, ErrSignature},
		{"threshold above the signers", func(m *multisig) {
			for i := range m.members {
				m.threshold += uint16(m.members[i].weight)
			}
			m.members = append(m.members, member{flag: FlagEd25519, key: make([]byte, 32), weight: 255})
		}, ErrSignature},
		{"signature too many", func(m *multisig) { m.sigs = append(m.sigs, m.sigs[0]) }, ErrSignature},
		{"signature too few", func(m *multisig) { m.sigs = m.sigs[1:] }, ErrSignature},
		{"signatures swapped", func(m *multisig) { slices.Reverse(m.sigs) }, ErrSignature},
		{"a bit beyond the members", func(m *multisig) { m.bitmap = m.bitmap&(m.bitmap-1) | 1<<15 }, ErrSignature},
		{"signed by what nobody can check", func(m *multisig) {
			m.members = append(m.members, zk)
			m.bitmap |= 1 << (len(m.members) - 1)
			m.sigs = append(m.sigs, memberSignature{FlagZkLogin, []byte("proof")})
		}, ErrUnverified},
		{"a bad one beside what nobody can check", func(m *multisig) {
			m.members = append(m.members, zk)
			m.bitmap |= 1 << (len(m.members) - 1)
			m.sigs = append(m.sigs, memberSignature{FlagZkLogin, []byte("proof")})
			m.sigs[0].raw = make([]byte, 64)
		}, ErrSignature},
		{"a member of another scheme", func(m *multisig) { m.sigs[0].flag ^= 1 }, ErrSignature},
	} {
		m := good()
		c.change(m)
		s, err := ParseSignature(appendMultisig(m))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err := s.Verify(digest); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestMultisigPasskeyVector: a passkey as the only member of a multisig address.
func TestMultisigPasskeyVector(t *testing.T) {
	sigs, data := goodSignatures(t)
	raw := sigs[FlagPasskey]
	if raw == nil {
		ledgertest.Missing(t, "passkey signature")
	}
	s, err := ParseSignature(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := &multisig{
		sigs: []memberSignature{{FlagPasskey, raw}}, bitmap: 1, threshold: 1,
		members: []member{{FlagPasskey, s.v.(*passkey).key, 1}},
	}
	digest := SigningDigest(data[FlagPasskey])
	if err := m.verify(&digest); err != nil {
		t.Errorf("a passkey member: %v", err)
	}
	m.members[0].key = bytes.Clone(m.members[0].key)
	m.members[0].key[5] ^= 1
	if err := m.verify(&digest); !errors.Is(err, ErrSignature) {
		t.Errorf("a passkey of another member: %v", err)
	}
	m.sigs[0].raw = raw[1:]
	if err := m.verify(&digest); !errors.Is(err, ErrUnverified) {
		t.Errorf("a form that is not known: %v", err)
	}
}

// TestPasskeyRules breaks what the authenticator's client says: each makes the signature another one, or none.
func TestPasskeyVector(t *testing.T) {
	sigs, data := goodSignatures(t)
	raw := sigs[FlagPasskey]
	if raw == nil {
		ledgertest.Missing(t, "passkey signature")
	}
	for _, c := range []struct{ was, is string }{
		{"webauthn.get", "webauthn.new"},
		{`"type"`, `"Type"`},
		{`"challenge":"`, `"challenge":"A`},
		{`{`, `[`},
	} {
		s, err := ParseSignature(raw)
		if err != nil {
			t.Fatal(err)
		}
		p := *s.v.(*passkey)
		p.client = bytes.Replace(p.client, []byte(c.was), []byte(c.is), 1)
		digest := SigningDigest(data[FlagPasskey])
		if err := p.verify(&digest); !errors.Is(err, ErrSignature) {
			t.Errorf("%s for %s: %v", c.is, c.was, err)
		}
	}
}

func TestParseSignature(t *testing.T) {
	for _, c := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"nothing", nil, ledger.ErrSyntax},
		{"ed25519 too short", make([]byte, 96), ledger.ErrSyntax},
		{"ed25519 too long", make([]byte, 98), ledger.ErrSyntax},
		{"secp256k1 too short", append([]byte{FlagSecp256k1}, make([]byte, 96)...), ledger.ErrSyntax},
		{"secp256r1 too long", append([]byte{FlagSecp256r1}, make([]byte, 98)...), ledger.ErrSyntax},
		{"multisig cut", []byte{FlagMultisig, 1, 0}, ledger.ErrSyntax},
		{"multisig of a form of the future", []byte{FlagMultisig, 1, 5, 0}, ErrUnverified},
		{"passkey cut", []byte{FlagPasskey, 9}, ledger.ErrSyntax},
		{"passkey with a key of another scheme", append([]byte{FlagPasskey, 0, 0, 98, FlagSecp256k1}, make([]byte, 97)...), ledger.ErrSyntax},
		{"BLS", []byte{4, 1, 2}, ErrUnverified},
		{"zkLogin", []byte{FlagZkLogin, 1, 2}, ErrUnverified},
		{"Move authenticator cut", []byte{FlagMove, 0}, ledger.ErrSyntax},
		{"Move authenticator of no object", []byte{FlagMove, 0, 0, 0, 0, 0}, ledger.ErrSyntax},
		{"Move authenticator of the future", []byte{FlagMove, 1, 0}, ErrUnverified},
		{"of the future", []byte{77}, ErrUnverified},
		{"secp256k1 without a key", append([]byte{FlagSecp256k1}, make([]byte, 97)...), ErrSignature},
		{"secp256r1 without a key", append([]byte{FlagSecp256r1}, make([]byte, 97)...), ErrSignature},
	} {
		if addr, _, err := VerifySignature(c.raw, []byte("data")); !errors.Is(err, c.want) {
			t.Errorf("%s: %s, %v, want %v", c.name, addr, err, c.want)
		}
	}
}

// FuzzVerifySignature: no bytes do harm, errors are typed, and what cannot be checked is never good.
func FuzzVerifySignature(f *testing.F) {
	sigs, data := goodSignatures(f)
	for flag, sig := range sigs {
		f.Add(sig, data[flag])
	}
	f.Add([]byte{FlagMove, 0, 0, 0, 1, 1, 32}, []byte{})
	f.Fuzz(func(t *testing.T, sig, data []byte) {
		_, scheme, err := VerifySignature(sig, data)
		if err != nil && !errors.Is(err, ledger.ErrSyntax) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrUnverified) {
			t.Fatalf("untyped error: %v", err)
		}
		if err == nil && (scheme == "zklogin" || scheme == "move" || scheme == "unknown") {
			t.Fatalf("a signature of scheme %s is good", scheme)
		}
	})
}
