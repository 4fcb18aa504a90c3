package rebased

import "permanode/ledger/rebased/bcs"

// AppendSummary appends the BCS of s.
func AppendSummary(dst []byte, s *Summary) []byte {
	dst = bcs.AppendU64(dst, s.Epoch)
	dst = bcs.AppendU64(dst, s.Seq)
	dst = bcs.AppendU64(dst, s.Total)
	dst = AppendDigest(dst, s.Content)
	dst = bcs.AppendOpt(dst, s.Previous, AppendDigest)
	dst = appendGasCost(dst, s.Gas)
	dst = bcs.AppendU64(dst, s.TimeMs)
	dst = bcs.AppendList(dst, s.Commitments, appendCommitment)
	dst = bcs.AppendOpt(dst, s.EndOfEpoch, appendEndOfEpochData)
	return bcs.AppendBytes(dst, s.Specific)
}

// AppendCertificate appends the BCS of c.
func AppendCertificate(dst []byte, c *Certificate) []byte {
	dst = bcs.AppendU64(dst, c.Epoch)
	dst = append(dst, c.Signature[:]...)
	return bcs.AppendBytes(dst, c.Signers)
}

// AppendContents appends the BCS of c.
func AppendContents(dst []byte, c *Contents) []byte {
	dst = append(dst, 0)
	dst = bcs.AppendList(dst, c.Transactions, func(dst []byte, d ExecutionDigests) []byte {
		return AppendDigest(AppendDigest(dst, d.Transaction), d.Effects)
	})
	return bcs.AppendList(dst, c.Signatures, appendSignatures)
}

// AppendDigest appends the BCS of d.
func AppendDigest(dst []byte, d Digest) []byte { return append(append(dst, 32), d[:]...) }

// AppendAddress appends the BCS of a.
func AppendAddress(dst []byte, a Address) []byte { return append(dst, a[:]...) }

// AppendSenderSigned appends a SenderSignedTransaction: the intent of a transaction, the TransactionData's BCS as it
// is, and the signatures.
func AppendSenderSigned(dst, data []byte, signatures [][]byte) []byte {
	dst = append(dst, 0, 0, 0)
	dst = append(dst, data...)
	return appendSignatures(dst, signatures)
}

func appendSignatures(dst []byte, signatures [][]byte) []byte {
	return bcs.AppendList(dst, signatures, bcs.AppendBytes)
}

func appendGasCost(dst []byte, g GasCost) []byte {
	for _, v := range [...]uint64{g.Computation, g.ComputationBurned, g.Storage, g.StorageRebate, g.NonRefundable} {
		dst = bcs.AppendU64(dst, v)
	}
	return dst
}

func appendCommitment(dst []byte, c Commitment) []byte { return AppendDigest(append(dst, 0), c.Digest) }

func appendEndOfEpochData(dst []byte, e EndOfEpochData) []byte {
	dst = AppendValidators(dst, e.Committee)
	dst = bcs.AppendU64(dst, e.ProtocolVersion)
	dst = bcs.AppendList(dst, e.Commitments, appendCommitment)
	return bcs.AppendU64(dst, uint64(e.SupplyChange))
}

// AppendValidators appends the BCS of a committee as the closing checkpoint carries it.
func AppendValidators(dst []byte, committee []Validator) []byte {
	return bcs.AppendList(dst, committee, func(dst []byte, v Validator) []byte {
		return bcs.AppendU64(bcs.AppendBytes(dst, v.Key[:]), v.Power)
	})
}
