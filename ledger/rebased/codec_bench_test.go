package rebased_test

import (
	"fmt"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

// BenchmarkCertificate is the check of a certificate beside its floor: hashing the same message to the curve, and the
// raw pairing check of points that are there already.
func BenchmarkCertificate(b *testing.B) {
	for _, members := range []int{4, 54} {
		n, c := network(b, rebasedtest.Options{Validators: members})
		s, _, _, err := rebased.ParseHead(n.Next().Head())
		if err != nil {
			b.Fatal(err)
		}
		committee := c.trust.Rules.(*rebased.Rules).Committee
		b.Run(fmt.Sprintf("ours/members=%d", members), func(b *testing.B) {
			for b.Loop() {
				if err := committee.Verify(s); err != nil {
					b.Fatal(err)
				}
			}
		})
		key, sig, minus, msg := floorOf(b, committee, s)
		b.Run(fmt.Sprintf("floor/members=%d", members), func(b *testing.B) {
			for b.Loop() {
				point, err := bls.HashToG1(msg, []byte("BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"))
				if err != nil {
					b.Fatal(err)
				}
				if ok, err := bls.PairingCheck([]bls.G1Affine{point, sig}, []bls.G2Affine{key, minus}); err != nil || !ok {
					b.Fatal("the floor does not verify", err)
				}
			}
		})
	}
}

func floorOf(b *testing.B, c *rebased.Committee, s *rebased.Certified) (key bls.G2Affine, sig bls.G1Affine, minus bls.G2Affine, msg []byte) {
	b.Helper()
	signers, err := rebased.ParseSigners(s.Certificate.Signers, len(c.Members))
	if err != nil {
		b.Fatal(err)
	}
	var sum bls.G2Jac
	for _, i := range signers {
		var p bls.G2Affine
		if _, err := p.SetBytes(c.Members[i].Key[:]); err != nil {
			b.Fatal(err)
		}
		sum.AddMixed(&p)
	}
	key.FromJacobian(&sum)
	if _, err := sig.SetBytes(s.Certificate.Signature[:]); err != nil {
		b.Fatal(err)
	}
	_, _, _, g := bls.Generators()
	minus.Neg(&g)
	return key, sig, minus, rebased.SigningMessage(s.Header, s.Certificate.Epoch)
}

// BenchmarkRecords is what a checkpoint costs beside its certificate: from framed bytes to the sealed cone.
func BenchmarkRecords(b *testing.B) {
	n, c := network(b, rebasedtest.Options{Transactions: 40})
	first := n.Next()
	c.seal(first.Head(), first.Raws())
	cp := n.Next()
	head, raws := cp.Head(), cp.Raws()
	u, err := rebased.Codec{}.Unit(head)
	if err != nil {
		b.Fatal(err)
	}
	at := c.start()
	at.Attested = ledger.Attestation{Unit: u.ID, By: u.ID}
	size := 0
	for _, raw := range raws {
		size += len(raw)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.proveAt(at, head, raws); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(raws))/b.Elapsed().Seconds(), "records/s")
}
