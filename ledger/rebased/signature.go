package rebased

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1 "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/hdevalence/ed25519consensus"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// The flags of user signatures (spec 10).
const (
	FlagEd25519   byte = 0
	FlagSecp256k1 byte = 1
	FlagSecp256r1 byte = 2
	FlagMultisig  byte = 3
	FlagZkLogin   byte = 5
	FlagPasskey   byte = 6
	FlagMove      byte = 7
)

// ErrSignature is wrapped by the errors of a signature that is not good. ErrUnverified says that a signature cannot
// be checked from its bytes alone (zkLogin, Move authenticators, schemes of the future): it is kept, and proven to
// have been accepted by the committee, which signed it as part of the contents.
var (
	ErrSignature  = errors.New("signature is not good")
	ErrUnverified = errors.New("signature cannot be verified offline")
)

// schemes names the flags.
var schemes = map[byte]string{
	FlagEd25519: "ed25519", FlagSecp256k1: "secp256k1", FlagSecp256r1: "secp256r1", FlagMultisig: "multisig",
	FlagZkLogin: "zklogin", FlagPasskey: "passkey", FlagMove: "move",
}

// SchemeName returns the word for a signature's flag, "unknown" for one of the future.
func SchemeName(flag byte) string {
	if s, ok := schemes[flag]; ok {
		return s
	}
	return "unknown"
}

// verifier checks what one scheme signs: 32 bytes, the signing digest.
type verifier interface {
	address() Address
	verify(digest *[32]byte) error
}

// Signature is one user signature, parsed.
type Signature struct {
	Flag byte
	v    verifier // nil for a scheme whose form is not known
}

// ParseSignature reads a user signature: flag and what its scheme has after it. A flag or variant of the future is
// no error: such a signature is unverified. Errors wrap [ledger.ErrSyntax].
func ParseSignature(raw []byte) (*Signature, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("%w signature: it is empty", ledger.ErrSyntax)
	}
	s, body, err := &Signature{Flag: raw[0]}, raw[1:], error(nil)
	switch s.Flag {
	case FlagEd25519:
		s.v, err = oneKey(newEd25519, body, 64+32)
	case FlagSecp256k1:
		s.v, err = oneKey(newSecp256k1, body, 64+33)
	case FlagSecp256r1:
		s.v, err = oneKey(newSecp256r1, body, 64+33)
	case FlagMultisig:
		s.v, err = parseMultisig(body)
	case FlagPasskey:
		s.v, err = parsePasskey(body)
	case FlagMove:
		s.v, err = parseMoveAuthenticator(body)
	}
	var unknown *bcs.UnknownError
	if errors.As(err, &unknown) {
		return &Signature{Flag: s.Flag}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s signature: %w", SchemeName(s.Flag), err)
	}
	return s, nil
}

// Address returns the signer's address; false for schemes whose bytes do not give it.
func (s *Signature) Address() (Address, bool) {
	if s.v == nil {
		return Address{}, false
	}
	return s.v.address(), true
}

// Verify checks the signature of a signing digest. Errors wrap [ErrSignature] or [ErrUnverified].
func (s *Signature) Verify(digest [32]byte) error {
	if s.v == nil {
		return fmt.Errorf("scheme %s (flag %d): %w", SchemeName(s.Flag), s.Flag, ErrUnverified)
	}
	if err := s.v.verify(&digest); err != nil {
		return fmt.Errorf("scheme %s: %w", SchemeName(s.Flag), err)
	}
	return nil
}

// VerifySignature checks one signature of a transaction, given the BCS of its TransactionData, and returns the
// signer's address and the word for the scheme. Errors wrap [ledger.ErrSyntax], [ErrSignature] or [ErrUnverified];
// with the last one the address is zero where the bytes do not give it.
func VerifySignature(sig, data []byte) (Address, string, error) {
	s, err := ParseSignature(sig)
	if err != nil {
		return Address{}, "", err
	}
	addr, _ := s.Address()
	return addr, SchemeName(s.Flag), s.Verify(SigningDigest(data))
}

// pair is a signature of one key: both as they stand on the wire.
type pair struct{ sig, key []byte }

func oneKey[T verifier](make func(pair) T, body []byte, n int) (verifier, error) {
	if len(body) != n {
		return nil, fmt.Errorf("%w: %d bytes where %d must be", ledger.ErrSyntax, len(body), n)
	}
	return make(pair{body[:64], body[64:]}), nil
}

type ed25519Key struct{ pair }

func newEd25519(p pair) ed25519Key    { return ed25519Key{p} }
func (s ed25519Key) address() Address { return sum(s.key) } // without a flag: as in Stardust

// verify follows ZIP-215, as the nodes do.
func (s ed25519Key) verify(digest *[32]byte) error {
	if !ed25519consensus.Verify(s.key, digest[:], s.sig) {
		return ErrSignature
	}
	return nil
}

type secp256k1Key struct{ pair }

func newSecp256k1(p pair) secp256k1Key  { return secp256k1Key{p} }
func (s secp256k1Key) address() Address { return sum([]byte{FlagSecp256k1}, s.key) }

func (s secp256k1Key) verify(digest *[32]byte) error {
	key, err := secp256k1.ParsePubKey(s.key)
	if err != nil {
		return fmt.Errorf("%w: its key is no point: %w", ErrSignature, err)
	}
	var r, v secp256k1.ModNScalar
	if r.SetByteSlice(s.sig[:32]) || v.SetByteSlice(s.sig[32:]) {
		return fmt.Errorf("%w: a number is out of range", ErrSignature)
	}
	hash := sha256.Sum256(digest[:])
	if !k1.NewSignature(&r, &v).Verify(hash[:], key) {
		return ErrSignature
	}
	return nil
}

type secp256r1Key struct{ pair }

func newSecp256r1(p pair) secp256r1Key  { return secp256r1Key{p} }
func (s secp256r1Key) address() Address { return sum([]byte{FlagSecp256r1}, s.key) }

func (s secp256r1Key) verify(digest *[32]byte) error { return s.verifyMessage(digest[:]) }

// verifyMessage checks ECDSA with SHA-256 over msg.
func (s secp256r1Key) verifyMessage(msg []byte) error {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), s.key)
	if x == nil {
		return fmt.Errorf("%w: its key is no point", ErrSignature)
	}
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return fmt.Errorf("%w: its key is no point: %w", ErrSignature, err)
	}
	hash := sha256.Sum256(msg)
	r, v := new(big.Int).SetBytes(s.sig[:32]), new(big.Int).SetBytes(s.sig[32:])
	if !ecdsa.Verify(key, hash[:], r, v) {
		return ErrSignature
	}
	return nil
}
