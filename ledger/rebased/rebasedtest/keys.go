package rebasedtest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	k1 "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/blake2b"

	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// suite is the ciphersuite of certificates.
const suite = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

func seedOf(seed uint64, what string, i int) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "rebasedtest %d %s %d", seed, what, i))
}

// validator is a BLS key.
type validator struct {
	secret fr.Element
	public [96]byte
}

func newValidator(seed uint64, i int) (v validator) {
	s := seedOf(seed, "validator", i)
	v.secret.SetBytes(s[:])
	var secret big.Int
	v.secret.BigInt(&secret)
	var p bls.G2Affine
	v.public = p.ScalarMultiplicationBase(&secret).Bytes()
	return v
}

// committee is the validators of one epoch, ascending by key.
type committee struct {
	keys   []validator
	powers []uint64
}

func (c *committee) members() (out []rebased.Validator) {
	for i := range c.keys {
		out = append(out, rebased.Validator{Key: c.keys[i].public, Power: c.powers[i]})
	}
	return out
}

func (c *committee) power(signers []int) (sum uint64) {
	for _, i := range signers {
		sum += c.powers[i]
	}
	return sum
}

func (c *committee) quorum() uint64 {
	var total uint64
	for _, p := range c.powers {
		total += p
	}
	return (total-1)/3*2 + 1
}

// elect chooses the committee of the next epoch.
func (n *Network) elect() (c committee) {
	for _, i := range n.rng.Perm(len(n.validators))[:n.opts.Validators] {
		c.keys = append(c.keys, n.validators[i])
		c.powers = append(c.powers, 1000+n.rng.Uint64N(500))
	}
	slices.SortFunc(c.keys, func(a, b validator) int { return bytes.Compare(a.public[:], b.public[:]) })
	return c
}

// quorumOf returns signers, ascending, whose power suffices.
func (n *Network) quorumOf(c *committee) (signers []int) {
	for _, i := range n.rng.Perm(len(c.keys)) {
		if c.power(signers) >= c.quorum() && n.rng.IntN(2) == 0 {
			break
		}
		signers = append(signers, i)
	}
	slices.Sort(signers)
	return signers
}

// sign returns the sum of the signers' signatures: one by the sum of their keys.
func (c *committee) sign(signers []int, message []byte) [48]byte {
	var sum fr.Element
	for _, i := range signers {
		sum.Add(&sum, &c.keys[i].secret)
	}
	var secret big.Int
	sum.BigInt(&secret)
	point, err := bls.HashToG1(message, []byte(suite))
	if err != nil {
		panic(err) // the suite has a legal length
	}
	point.ScalarMultiplication(&point, &secret)
	return point.Bytes()
}

// account is a user, who owns coins and other objects.
type account struct {
	flag    byte
	address rebased.Address
	sign    func(digest [32]byte) []byte

	coins  []*object // of the base coin
	tokens []*object
	things []*object // notarizations
}

// flags are the schemes of the accounts, in turn.
var flags = [...]byte{
	rebased.FlagEd25519, rebased.FlagSecp256k1, rebased.FlagSecp256r1, rebased.FlagMultisig, rebased.FlagPasskey,
	rebased.FlagZkLogin, rebased.FlagMove,
}

func newAccount(seed uint64, i int) *account {
	a := &account{flag: flags[i%len(flags)]}
	key := func(what string) [32]byte { return seedOf(seed, what, i) }
	switch a.flag {
	case rebased.FlagEd25519:
		a.sign, a.address = ed25519Key(key("user"))
	case rebased.FlagSecp256k1:
		a.sign, a.address = secp256k1Key(key("user"))
	case rebased.FlagSecp256r1:
		sign, public := secp256r1Key(key("user"))
		a.address = hash([]byte{rebased.FlagSecp256r1}, public)
		a.sign = func(d [32]byte) []byte { return sign(d[:]) }
	case rebased.FlagPasskey:
		a.sign, a.address = passkey(key("user"))
	case rebased.FlagMultisig:
		a.sign, a.address = multisig(key("first"), key("second"), key("third"))
	case rebased.FlagMove:
		a.address = rebased.Address(key("user"))
		a.sign = func([32]byte) []byte {
			object := rebased.CallArg{Type: rebased.ArgShared, Ref: rebased.ObjectRef{ID: a.address, Version: 1}}
			return rebased.AppendCallArg([]byte{rebased.FlagMove, 0, 0, 0}, object)
		}
	case rebased.FlagZkLogin:
		a.address = rebased.Address(key("user"))
		a.sign = func(d [32]byte) []byte { return append([]byte{rebased.FlagZkLogin}, d[:20]...) }
	}
	return a
}

func hash(pieces ...[]byte) rebased.Address { return blake2b.Sum256(bytes.Join(pieces, nil)) }

func ed25519Key(seed [32]byte) (func([32]byte) []byte, rebased.Address) {
	key := ed25519.NewKeyFromSeed(seed[:])
	public := key.Public().(ed25519.PublicKey)
	return func(d [32]byte) []byte {
		return slices.Concat([]byte{rebased.FlagEd25519}, ed25519.Sign(key, d[:]), public)
	}, hash(public)
}

func secp256k1Key(seed [32]byte) (func([32]byte) []byte, rebased.Address) {
	key := secp256k1.PrivKeyFromBytes(seed[:])
	public := key.PubKey().SerializeCompressed()
	return func(d [32]byte) []byte {
		digest := sha256.Sum256(d[:])
		sig := k1.Sign(key, digest[:])
		r, s := sig.R(), sig.S()
		rb, sb := r.Bytes(), s.Bytes()
		return slices.Concat([]byte{rebased.FlagSecp256k1}, rb[:], sb[:], public)
	}, hash([]byte{rebased.FlagSecp256k1}, public)
}

// secp256r1Key signs messages, each in one way.
func secp256r1Key(seed [32]byte) (sign func(msg []byte) []byte, public []byte) {
	curve := elliptic.P256()
	secret := new(big.Int).SetBytes(seed[:])
	secret.Mod(secret, curve.Params().N)
	key, err := ecdsa.ParseRawPrivateKey(curve, secret.FillBytes(make([]byte, 32)))
	if err != nil {
		panic(err) // a hash is no multiple of the order
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err) // it is on its curve
	}
	public = append([]byte{2 + point[64]&1}, point[1:33]...)
	return func(msg []byte) []byte {
		digest := sha256.Sum256(msg)
		der, err := key.Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			panic(err) // deterministic signatures draw nothing
		}
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &sig); err != nil {
			panic(err) // the library's own
		}
		raw := make([]byte, 64)
		sig.R.FillBytes(raw[:32])
		sig.S.FillBytes(raw[32:])
		return slices.Concat([]byte{rebased.FlagSecp256r1}, raw, public)
	}, public
}

func passkey(seed [32]byte) (func([32]byte) []byte, rebased.Address) {
	sign, public := secp256r1Key(seed)
	return func(d [32]byte) []byte {
		challenge := base64.RawURLEncoding.EncodeToString(d[:])
		client := `{"type":"webauthn.get","challenge":"` + challenge + `","origin":"https://example.org","crossOrigin":false}`
		authenticator := slices.Concat(seed[:], []byte{29, 0, 0, 0, 0})
		sum := sha256.Sum256([]byte(client))
		out := bcs.AppendBytes([]byte{rebased.FlagPasskey}, authenticator)
		out = bcs.AppendString(out, client)
		return bcs.AppendBytes(out, sign(slices.Concat(authenticator, sum[:])))
	}, hash([]byte{rebased.FlagPasskey}, public)
}

// multisig is two of three keys of different schemes and weights.
func multisig(a, b, c [32]byte) (func([32]byte) []byte, rebased.Address) {
	signA, _ := ed25519Key(a)
	signB, _ := secp256k1Key(b)
	signR, publicR := secp256r1Key(c)
	signC := func(d [32]byte) []byte { return signR(d[:]) }
	var none [32]byte
	publicA, publicB := signA(none)[65:], signB(none)[65:]
	address := hash([]byte{rebased.FlagMultisig, 3, 0}, publicA, []byte{1, 1}, publicB, []byte{2, 2}, publicR, []byte{2})
	keys := slices.Concat([]byte{3, 0}, publicA, []byte{1, 1}, publicB, []byte{2, 2}, publicR, []byte{2}, []byte{3, 0})
	return func(d [32]byte) []byte {
		first, second, bitmap := signA(d), signB(d), byte(0b011)
		switch d[0] % 3 {
		case 1:
			second, bitmap = signC(d), 0b101
		case 2:
			first, second, bitmap = signB(d), signC(d), 0b110
		}
		out := []byte{rebased.FlagMultisig, 2}
		out = append(append(out, first[:65]...), second[:65]...) // a member's flag is its variant's number
		return append(append(out, bitmap, 0), keys...)
	}, address
}
