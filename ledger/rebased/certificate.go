package rebased

import (
	"encoding/binary"
	"errors"
	"fmt"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ledger"
)

// certificateSuite is the domain separation tag of hashing to the curve (spec 11).
const certificateSuite = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

// checkpointIntent stands before a summary in what validators sign: scope 2, version 0, app 0.
var checkpointIntent = [3]byte{2, 0, 0}

// minusG2 is the negative generator of G2: the other side of the pairing check.
var minusG2 = func() (p bls.G2Affine) {
	_, _, _, g := bls.Generators()
	p.Neg(&g)
	return p
}()

// A CertificateError says why a certificate does not prove a summary.
type CertificateError struct {
	Code string // "unit.epoch", "unit.signers", "unit.threshold" or "unit.signature", as in [ledger.Forged]
	Why  string
}

func (e *CertificateError) Error() string { return e.Code + ": " + e.Why }

func certificateError(code, format string, args ...any) error {
	return &CertificateError{Code: code, Why: fmt.Sprintf(format, args...)}
}

// SigningMessage returns what validators sign for a checkpoint: intent, summary, and the epoch once more.
func SigningMessage(header []byte, epoch uint64) []byte {
	msg := make([]byte, 0, len(checkpointIntent)+len(header)+8)
	msg = append(append(msg, checkpointIntent[:]...), header...)
	return binary.LittleEndian.AppendUint64(msg, epoch)
}

// Verify checks a certified summary against the committee (spec 11): epochs, signers, quorum, signature. Errors are
// [*CertificateError].
func (c *Committee) Verify(s *Certified) error {
	b, err := c.form(s)
	if err != nil {
		return err
	}
	return c.signed(s, b)
}

// ballot is what a certificate says: who signed, by places in the committee, and how.
type ballot struct {
	signers   []int
	signature bls.G1Affine
}

// form checks all that needs no pairing: epochs, signers, quorum, and that the signature is a point of the group.
func (c *Committee) form(s *Certified) (*ballot, error) {
	if s.Summary.Epoch != c.Epoch || s.Certificate.Epoch != c.Epoch {
		return nil, certificateError("unit.epoch", "summary of epoch %d, certificate of epoch %d, committee of epoch %d",
			s.Summary.Epoch, s.Certificate.Epoch, c.Epoch)
	}
	signers, err := ParseSigners(s.Certificate.Signers, len(c.Members))
	if err != nil {
		return nil, certificateError("unit.signers", "%v", err)
	}
	if len(signers) == 0 {
		return nil, certificateError("unit.signers", "nobody signed")
	}
	var power uint64 // no overflow: the sum over all members has none
	for _, i := range signers {
		power += c.Members[i].Power
	}
	if power < c.Quorum {
		return nil, certificateError("unit.threshold", "the signers' power is %d, %d is needed", power, c.Quorum)
	}
	sig, err := decodeSignature(&s.Certificate.Signature)
	if err != nil {
		return nil, certificateError("unit.signature", "%v", err)
	}
	return &ballot{signers, sig}, nil
}

// signed does the pairing check: e(H(m), sum of keys) = e(signature, g2).
func (c *Committee) signed(s *Certified, b *ballot) error {
	key := c.key(b.signers)
	if key.IsInfinity() {
		return certificateError("unit.signature", "the signers' keys add up to the identity")
	}
	point, err := bls.HashToG1(SigningMessage(s.Header, c.Epoch), []byte(certificateSuite))
	if err != nil {
		return fmt.Errorf("hash a summary to the curve: %w", err)
	}
	ok, err := bls.PairingCheck([]bls.G1Affine{point, b.signature}, []bls.G2Affine{key, minusG2})
	if err != nil {
		return fmt.Errorf("pairing check of a certificate: %w", err)
	}
	if !ok {
		return certificateError("unit.signature", "the signature of %d members is not good", len(b.signers))
	}
	return nil
}

// decodeSignature reads a compressed point of the right subgroup that is not the identity.
func decodeSignature(raw *[48]byte) (p bls.G1Affine, err error) {
	if _, err := p.SetBytes(raw[:]); err != nil {
		return p, fmt.Errorf("the signature is no point of the group: %w", err)
	}
	if p.IsInfinity() {
		return p, errors.New("the signature is the identity")
	}
	return p, nil
}

// forgedUnit turns what is wrong with a certificate into what it means for a unit.
func forgedUnit(seq uint64, err error) error {
	var c *CertificateError
	if errors.As(err, &c) {
		return &ledger.Forged{Seq: seq, Code: c.Code, Why: c.Why}
	}
	return err
}
