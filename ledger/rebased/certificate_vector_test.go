package rebased

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
)

// vectorMember is a committee member as the vectors write it: [base64 key, power].
type vectorMember Validator

func (m *vectorMember) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	var key []byte
	if err := json.Unmarshal(pair[0], &key); err != nil {
		return err
	}
	copy(m.Key[:], key)
	power, err := strconv.ParseUint(strings.Trim(string(pair[1]), `"`), 10, 64)
	m.Power = power
	return err
}

func validators(list []vectorMember) (out []Validator) {
	for _, m := range list {
		out = append(out, Validator(m))
	}
	return out
}

// certificateCodes are the codes that fit what a vector expects.
func certificateCodes(expect string) []string {
	var codes []string
	for _, c := range []struct{ word, code string }{
		{"auth_signature.epoch", "unit.epoch"},
		{"out of range", "unit.signers"},
		{"no signer", "unit.signers"},
		{"weight", "unit.threshold"},
		{"(or", "unit.threshold"}, // another committee: whichever rule it breaks first
		{": signature", "unit.signature"},
	} {
		if strings.Contains(expect, c.word) {
			codes = append(codes, c.code)
		}
	}
	return codes
}

func TestCertificateVector(t *testing.T) {
	type vector struct {
		Name      string         `json:"name"`
		Certified []byte         `json:"certified_bcs_b64"`
		Committee []vectorMember `json:"committee"`
		Epoch     uint64         `json:"committee_epoch"`
		Expect    string         `json:"expect"`
	}
	for _, v := range ledgertest.Load[vector](t, "rebased/certificates.json", "vectors") {
		t.Run(v.Name, func(t *testing.T) {
			s, err := ParseCertified(v.Certified)
			if err != nil {
				t.Fatal(err)
			}
			c, err := NewCommittee(v.Epoch, validators(v.Committee))
			if err != nil {
				t.Fatal(err)
			}
			err = c.Verify(s)
			if v.Expect == "valid" {
				if err != nil {
					t.Errorf("a valid certificate: %v", err)
				}
				return
			}
			var broken *CertificateError
			if !errors.As(err, &broken) {
				t.Fatalf("error %v, want one of a certificate: %s", err, v.Expect)
			}
			want := certificateCodes(v.Expect)
			for _, code := range want {
				if code == broken.Code {
					return
				}
			}
			t.Errorf("%v, want one of %v: %s", err, want, v.Expect)
		})
	}
}

// TestSumOfKeysVector: the key of any signers is the sum of theirs, whichever way it is found.
func TestSumOfKeysVector(t *testing.T) {
	for _, v := range ledgertest.Load[struct {
		Committee []vectorMember `json:"committee"`
	}](t, "rebased/certificates.json", "vectors")[:1] {
		c, err := NewCommittee(0, validators(v.Committee))
		if err != nil {
			t.Fatal(err)
		}
		for set := range 1 << len(c.Members) {
			var signers []int
			var sum bls.G2Jac
			for i := range c.Members {
				if set>>i&1 == 1 {
					signers = append(signers, i)
					sum.AddMixed(&c.points[i])
				}
			}
			var want bls.G2Affine
			want.FromJacobian(&sum)
			if got := c.key(signers); !got.Equal(&want) {
				t.Errorf("signers %v: another key", signers)
			}
		}
	}
}

// TestQuorum: the least power that certifies, and one less.
func TestQuorum(t *testing.T) {
	_, _, generator, _ := bls.Generators()
	for _, c := range []struct {
		powers  []uint64
		signers []int
		code    string
	}{
		{[]uint64{3333, 3333, 3334}, []int{0, 2}, ""},
		{[]uint64{3333, 3333, 3334}, []int{0, 1}, "unit.threshold"},
		{[]uint64{1, 1, 1}, []int{1}, ""},
		{[]uint64{1, 1, 1, 1}, []int{1, 2}, "unit.threshold"},
		{[]uint64{1, 1, 1, 1}, []int{1, 2, 3}, ""},
		{[]uint64{0, 5}, []int{0}, "unit.threshold"},
		{[]uint64{5}, nil, "unit.signers"},
	} {
		committee := &Committee{Members: make([]Validator, len(c.powers))}
		var total uint64
		for i, p := range c.powers {
			committee.Members[i].Power = p
			total += p
		}
		committee.Quorum = quorum(total)
		_, err := committee.form(&Certified{Certificate: Certificate{Signature: generator.Bytes(), Signers: AppendSigners(nil, c.signers)}})
		var broken *CertificateError
		if errors.As(err, &broken); (err == nil) != (c.code == "") || err != nil && broken.Code != c.code {
			t.Errorf("signers %v of %v: %v, want %q", c.signers, c.powers, err, c.code)
		}
	}
}

func TestRealCertificateVector(t *testing.T) {
	type vector struct {
		Source    string         `json:"source"`
		Certified []byte         `json:"certified_bcs_b64"`
		Message   ledgertest.Hex `json:"signing_message_hex"`
		Committee []vectorMember `json:"committee"`
		Expect    string         `json:"expect"`
	}
	for _, v := range ledgertest.Load[vector](t, "rebased/checkpoint_summaries_real.json", "vectors") {
		s, err := ParseCertified(v.Certified)
		if err != nil {
			t.Errorf("%s: %v", v.Source, err)
			continue
		}
		if got := SigningMessage(s.Header, s.Summary.Epoch); string(got) != string(v.Message) {
			t.Errorf("%s: signing message %x, want %s", v.Source, got, v.Message)
		}
		c, err := NewCommittee(s.Summary.Epoch, validators(v.Committee))
		if err != nil {
			t.Errorf("%s: %v", v.Source, err)
			continue
		}
		if err := c.Verify(s); (err == nil) != strings.HasPrefix(v.Expect, "valid") {
			t.Errorf("%s: %v, want %s", v.Source, err, v.Expect)
		}
	}
}

func TestTrustVector(t *testing.T) {
	for _, f := range ledgertest.Files[json.RawMessage](t, "rebased/checkpoints/*/committee_epoch0.json") {
		spec, err := ParseCommitteeFile(f.Data)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		raw, err := NewTrust(spec)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		trust, err := Codec{}.ParseTrust(raw)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if !trust.States || trust.First != 0 || trust.Name != "" || trust.Era != Era || trust.Identity != ledger.NewID(spec.Genesis[:]).String() {
			t.Errorf("%s: trust %+v", f.Name, trust)
		}
	}
}

func TestPersonalMessageVector(t *testing.T) {
	type vector struct {
		Scheme    string         `json:"scheme"`
		Message   string         `json:"message_utf8"`
		Signature []byte         `json:"signature_b64"`
		Digest    ledgertest.Hex `json:"signing_digest_hex"`
	}
	keys := map[string]string{}
	for _, k := range ledgertest.Load[struct{ Scheme, Address string }](t, "rebased/signatures.json", "keys") {
		keys[k.Scheme] = k.Address
	}
	for _, v := range ledgertest.Load[vector](t, "rebased/signatures.json", "personal_messages") {
		s, err := ParseSignature(v.Signature)
		if err != nil {
			t.Errorf("%s: %v", v.Scheme, err)
			continue
		}
		if got := SchemeName(s.Flag); got != v.Scheme {
			t.Errorf("scheme %s, want %s", got, v.Scheme)
		}
		if a, ok := s.Address(); !ok || a.String() != keys[v.Scheme] {
			t.Errorf("%s: address %s, want %s", v.Scheme, a, keys[v.Scheme])
		}
		digest := [32]byte(v.Digest)
		if err := s.Verify(digest); err != nil {
			t.Errorf("%s: %v", v.Scheme, err)
		}
		digest[7] ^= 1
		if err := s.Verify(digest); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: verifies another message: %v", v.Scheme, err)
		}
	}
}

func TestSignatureVector(t *testing.T) {
	type vector struct {
		Name      string          `json:"name"`
		Data      []byte          `json:"transaction_bcs_b64"`
		Digest    *ledgertest.Hex `json:"signing_digest_hex"`
		Signature []byte          `json:"signature_b64"`
		Address   string          `json:"address"`
		Expect    string          `json:"expect"`
	}
	for _, v := range ledgertest.Load[vector](t, "rebased/signatures.json", "vectors") {
		t.Run(v.Name, func(t *testing.T) {
			if v.Digest != nil {
				if got := SigningDigest(v.Data); string(got[:]) != string(*v.Digest) {
					t.Errorf("signing digest %x, want %s", got, v.Digest)
				}
			}
			addr, scheme, err := VerifySignature(v.Signature, v.Data)
			if v.Expect == "invalid" {
				if !errors.Is(err, ErrSignature) && !errors.Is(err, ledger.ErrSyntax) {
					t.Errorf("an invalid %s signature: %v", scheme, err)
				}
				return
			}
			if addr.String() != v.Address {
				t.Errorf("address of %s is %s, want %s", scheme, addr, v.Address)
			}
			if v.Expect == "valid" && err != nil {
				t.Errorf("a valid %s signature: %v", scheme, err)
			}
		})
	}
}

// TestSignatureBitVector: every byte of a good signature counts.
func TestSignatureBitVector(t *testing.T) {
	type vector struct {
		Name      string `json:"name"`
		Data      []byte `json:"transaction_bcs_b64"`
		Signature []byte `json:"signature_b64"`
		Address   string `json:"address"`
		Expect    string `json:"expect"`
	}
	seen := map[byte]bool{}
	for _, v := range ledgertest.Load[vector](t, "rebased/signatures.json", "vectors") {
		if v.Expect != "valid" || seen[v.Signature[0]] {
			continue
		}
		seen[v.Signature[0]] = true
		for i := range v.Signature {
			sig := append([]byte(nil), v.Signature...)
			sig[i] ^= 1 << (i % 8)
			addr, scheme, err := VerifySignature(sig, v.Data)
			if err == nil && addr.String() == v.Address {
				t.Errorf("%s (%s): good with bit %d of byte %d turned", v.Name, scheme, i%8, i)
			}
		}
	}
}
