package rebased

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// maxMembers is how many keys a multisig address has at most.
const maxMembers = 10

// The variants of PublicKey and CompressedSignature, and the flag of each.
var memberFlags = [...]byte{FlagEd25519, FlagSecp256k1, FlagSecp256r1, FlagZkLogin, FlagPasskey}

// member is one key of a multisig address.
type member struct {
	flag   byte
	key    []byte
	weight uint8
}

// multisig is signed by some of its members.
type multisig struct {
	sigs      []memberSignature // of the members in bitmap, in their order
	bitmap    uint16
	members   []member
	threshold uint16
}

type memberSignature struct {
	flag byte
	raw  []byte
}

func parseMultisig(body []byte) (verifier, error) {
	r := bcs.NewReader(body)
	m := &multisig{
		sigs:    bcs.List(r, 1+1, readMemberSignature),
		bitmap:  r.U16(),
		members: bcs.List(r, 1+1+1, readMember),
	}
	m.threshold = r.U16()
	if err := r.End(); err != nil {
		return nil, err
	}
	return m, nil
}

func readMemberSignature(r *bcs.Reader) memberSignature {
	flag := memberFlags[r.Variant("CompressedSignature", uint32(len(memberFlags)))]
	if flag == FlagZkLogin || flag == FlagPasskey {
		return memberSignature{flag, r.Bytes()}
	}
	return memberSignature{flag, r.Fixed(64)}
}

func readMember(r *bcs.Reader) member {
	m := member{flag: memberFlags[r.Variant("PublicKey", uint32(len(memberFlags)))]}
	switch m.flag {
	case FlagEd25519:
		m.key = r.Fixed(32)
	case FlagZkLogin:
		m.key = r.Bytes()
	default:
		m.key = r.Fixed(33)
	}
	m.weight = r.U8()
	return m
}

// address hashes threshold and members: the flag of a member stands before its key, but for ed25519.
func (m *multisig) address() Address {
	b := binary.LittleEndian.AppendUint16([]byte{FlagMultisig}, m.threshold)
	for i := range m.members {
		if m.members[i].flag != FlagEd25519 {
			b = append(b, m.members[i].flag)
		}
		b = append(append(b, m.members[i].key...), m.members[i].weight)
	}
	return sum(b)
}

// form checks the rules of the address itself.
func (m *multisig) form() error {
	if len(m.members) == 0 || len(m.members) > maxMembers {
		return fmt.Errorf("%w: %d members", ErrSignature, len(m.members))
	}
	total := 0
	for i := range m.members {
		if m.members[i].weight == 0 {
			return fmt.Errorf("%w: member %d has no weight", ErrSignature, i)
		}
		for j := range i {
			if m.members[i].flag == m.members[j].flag && bytes.Equal(m.members[i].key, m.members[j].key) {
				return fmt.Errorf("%w: members %d and %d have the same key", ErrSignature, j, i)
			}
		}
		total += int(m.members[i].weight)
	}
	if m.threshold == 0 || int(m.threshold) > total {
		return fmt.Errorf("%w: threshold %d, all weights together are %d", ErrSignature, m.threshold, total)
	}
	if n := bits.OnesCount16(m.bitmap); n != len(m.sigs) || bits.Len16(m.bitmap) > len(m.members) {
		return fmt.Errorf("%w: %d signatures for the members %b of %d", ErrSignature, len(m.sigs), m.bitmap, len(m.members))
	}
	return nil
}

// verify checks every signature. One that cannot be checked makes the whole unverified, unless another one is bad.
func (m *multisig) verify(digest *[32]byte) error {
	if err := m.form(); err != nil {
		return err
	}
	weight, next, unverified := 0, 0, error(nil)
	for i := range m.members {
		if m.bitmap>>i&1 == 0 {
			continue
		}
		weight += int(m.members[i].weight)
		err := m.members[i].verify(m.sigs[next], digest)
		if next++; errors.Is(err, ErrUnverified) {
			unverified = err
			continue
		}
		if err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
	}
	if weight < int(m.threshold) {
		return fmt.Errorf("%w: weight %d of the signers, %d is needed", ErrSignature, weight, m.threshold)
	}
	return unverified
}

func (m *member) verify(s memberSignature, digest *[32]byte) error {
	if s.flag != m.flag {
		return fmt.Errorf("%w: a signature of scheme %s for a key of scheme %s", ErrSignature, SchemeName(s.flag), SchemeName(m.flag))
	}
	switch p := (pair{s.raw, m.key}); m.flag {
	case FlagEd25519:
		return newEd25519(p).verify(digest)
	case FlagSecp256k1:
		return newSecp256k1(p).verify(digest)
	case FlagSecp256r1:
		return newSecp256r1(p).verify(digest)
	case FlagPasskey:
		return m.verifyPasskey(s.raw, digest)
	}
	return ErrUnverified
}

// verifyPasskey checks a passkey member. How nodes write its signature was seen in their source only: a form that
// cannot be read is unverified, not bad.
func (m *member) verifyPasskey(raw []byte, digest *[32]byte) error {
	if len(raw) == 0 || raw[0] != FlagPasskey {
		return ErrUnverified
	}
	v, err := parsePasskey(raw[1:])
	if err != nil {
		return ErrUnverified
	}
	if p := v.(*passkey); !bytes.Equal(p.key, m.key) {
		return fmt.Errorf("%w: it is one of another key", ErrSignature)
	}
	return v.verify(digest)
}

// passkey is a WebAuthn assertion: its P-256 key signs what the authenticator saw, and that names the digest.
type passkey struct {
	secp256r1Key
	authenticator []byte
	client        []byte // client_data_json
}

func parsePasskey(body []byte) (verifier, error) {
	r := bcs.NewReader(body)
	p := &passkey{authenticator: r.Bytes()}
	p.client = []byte(r.String())
	sig := r.Bytes()
	if err := r.End(); err != nil {
		return nil, err
	}
	if len(sig) != 1+64+33 || sig[0] != FlagSecp256r1 {
		return nil, fmt.Errorf("%w: its inner signature is none of scheme %s", ledger.ErrSyntax, SchemeName(FlagSecp256r1))
	}
	p.secp256r1Key = newSecp256r1(pair{sig[1:65], sig[65:]})
	return p, nil
}

func (p *passkey) address() Address { return sum([]byte{FlagPasskey}, p.key) }

func (p *passkey) verify(digest *[32]byte) error {
	var client map[string]json.RawMessage // exact names: a struct would match them without case
	if err := json.Unmarshal(p.client, &client); err != nil {
		return fmt.Errorf("%w: client data: %w", ErrSignature, err)
	}
	text := func(name string) (s string) {
		if json.Unmarshal(client[name], &s) != nil {
			return ""
		}
		return s
	}
	if text("type") != "webauthn.get" {
		return fmt.Errorf("%w: client data of type %q", ErrSignature, text("type"))
	}
	challenge, err := base64.RawURLEncoding.Strict().DecodeString(text("challenge"))
	if err != nil || !bytes.Equal(challenge, digest[:]) {
		return fmt.Errorf("%w: its challenge is not the signing digest", ErrSignature)
	}
	hash := sha256.Sum256(p.client)
	return p.verifyMessage(append(bytes.Clone(p.authenticator), hash[:]...))
}

// moveAuthenticator is checked by Move code of the account, so not here.
type moveAuthenticator struct{ account Address }

func parseMoveAuthenticator(body []byte) (verifier, error) {
	r := bcs.NewReader(body)
	r.Variant("MoveAuthenticator", 1)
	bcs.List(r, 1, readCallArg)
	bcs.List(r, 1, readTypeTag)
	object := readCallArg(r)
	if err := r.End(); err != nil {
		return nil, err
	}
	if object.Type == ArgPure {
		return nil, fmt.Errorf("%w: its account is no object", ledger.ErrSyntax)
	}
	return moveAuthenticator{object.Ref.ID}, nil
}

func (m moveAuthenticator) address() Address       { return m.account }
func (m moveAuthenticator) verify(*[32]byte) error { return ErrUnverified }
