package stardust

import (
	"math/big"
	"slices"
)

// AppendBlock appends the bytes of b to dst. The encoders of this file judge nothing: what a parser
// accepted comes out byte for byte, anything else as it is.
func AppendBlock(dst []byte, b *Block) []byte {
	dst = append(dst, b.Version)
	dst = appendHashes(dst, b.Parents)
	dst = appendFramed(dst, b.Payload)
	return le.AppendUint64(dst, b.Nonce)
}

func appendHashes(dst []byte, ids []Hash) []byte {
	dst = append(dst, byte(len(ids)))
	for i := range ids {
		dst = append(dst, ids[i][:]...)
	}
	return dst
}

// appendFramed appends a payload with its length before it; a nil one is the length 0.
func appendFramed(dst []byte, p Payload) []byte {
	at := len(dst)
	dst = le.AppendUint32(dst, 0)
	if p != nil {
		dst = AppendPayload(dst, p)
		le.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}

// AppendPayload appends a payload, type included.
func AppendPayload(dst []byte, p Payload) []byte {
	dst = le.AppendUint32(dst, p.Type())
	switch p := p.(type) {
	case *TaggedData:
		dst = append(append(dst, byte(len(p.Tag))), p.Tag...)
		return append(le.AppendUint32(dst, uint32(len(p.Data))), p.Data...)
	case *Transaction:
		return AppendUnlocks(AppendTransactionEssence(dst, p), p.Unlocks)
	case *Milestone:
		return AppendSignatures(AppendMilestoneEssence(dst, p), p.Signatures)
	}
	return dst
}

// AppendTransactionEssence appends what the unlocks of t sign (hashed).
func AppendTransactionEssence(dst []byte, t *Transaction) []byte {
	dst = append(dst, 1)
	dst = le.AppendUint64(dst, t.NetworkID)
	dst = le.AppendUint16(dst, uint16(len(t.Inputs)))
	for i := range t.Inputs {
		dst = append(append(dst, 0), t.Inputs[i][:]...)
	}
	dst = append(dst, t.Commitment[:]...)
	dst = le.AppendUint16(dst, uint16(len(t.Outputs)))
	for i := range t.Outputs {
		dst = AppendOutput(dst, &t.Outputs[i])
	}
	if t.Payload == nil {
		return le.AppendUint32(dst, 0)
	}
	return appendFramed(dst, t.Payload)
}

// AppendUnlocks appends a transaction's unlocks with their count.
func AppendUnlocks(dst []byte, us []Unlock) []byte {
	dst = le.AppendUint16(dst, uint16(len(us)))
	for i := range us {
		u := &us[i]
		dst = append(dst, u.Type)
		if u.Type == UnlockSignature {
			dst = appendSignature(dst, &u.Key, &u.Sig)
		} else {
			dst = le.AppendUint16(dst, u.Ref)
		}
	}
	return dst
}

func appendSignature(dst []byte, key *[32]byte, sig *[64]byte) []byte {
	return append(append(append(dst, 0), key[:]...), sig[:]...)
}

// AppendMilestoneEssence appends what a milestone's signatures sign (hashed): its header.
func AppendMilestoneEssence(dst []byte, m *Milestone) []byte {
	dst = le.AppendUint32(dst, m.Index)
	dst = le.AppendUint32(dst, m.Timestamp)
	dst = append(dst, m.Version)
	dst = append(dst, m.Previous[:]...)
	dst = appendHashes(dst, m.Parents)
	dst = append(append(dst, m.Inclusion[:]...), m.Applied[:]...)
	dst = append(le.AppendUint16(dst, uint16(len(m.Metadata))), m.Metadata...)
	at := len(dst)
	dst = append(dst, 0)
	if m.Receipt != nil {
		dst = AppendReceipt(dst, m.Receipt)
		dst[at]++
	}
	if m.Parameters != nil {
		dst = AppendParameterChange(dst, m.Parameters)
		dst[at]++
	}
	return dst
}

// AppendSignatures appends a milestone's signature block: its auth.
func AppendSignatures(dst []byte, ss []Signature) []byte {
	dst = append(dst, byte(len(ss)))
	for i := range ss {
		dst = appendSignature(dst, &ss[i].Key, &ss[i].Sig)
	}
	return dst
}

// AppendReceipt appends the receipt option, option type included.
func AppendReceipt(dst []byte, v *Receipt) []byte {
	dst = le.AppendUint32(append(dst, 0), v.MigratedAt)
	final := byte(0)
	if v.Final {
		final = 1
	}
	dst = le.AppendUint16(append(dst, final), uint16(len(v.Funds)))
	for i := range v.Funds {
		f := &v.Funds[i]
		dst = append(append(dst, f.Tail[:]...), f.Address[:]...)
		dst = le.AppendUint64(dst, f.Deposit)
	}
	dst = le.AppendUint32(dst, treasuryTxSize)
	dst = le.AppendUint32(dst, TypeTreasuryTx)
	dst = append(append(dst, 1), v.Treasury.Input[:]...)
	return le.AppendUint64(append(dst, OutputTreasury), v.Treasury.Amount)
}

// AppendParameterChange appends the protocol parameters option, option type included.
func AppendParameterChange(dst []byte, c *ParameterChange) []byte {
	dst = le.AppendUint32(append(dst, 1), c.Target)
	dst = append(dst, c.Version)
	return append(le.AppendUint16(dst, uint16(len(c.Params))), c.Params...)
}

// AppendParameters appends binary protocol parameters.
func AppendParameters(dst []byte, p *Parameters) []byte {
	dst = append(dst, p.Version)
	dst = append(append(dst, byte(len(p.Network))), p.Network...)
	dst = append(append(dst, byte(len(p.HRP))), p.HRP...)
	dst = le.AppendUint32(dst, p.MinPoWScore)
	dst = append(dst, p.BelowMaxDepth)
	dst = le.AppendUint32(dst, p.VByteCost)
	dst = append(dst, p.FactorData, p.FactorKey)
	return le.AppendUint64(dst, p.Supply)
}

// AppendOutput appends an output, from its fields and not from Raw.
func AppendOutput(dst []byte, o *Output) []byte {
	dst = le.AppendUint64(append(dst, o.Type), o.Amount)
	dst = append(dst, byte(len(o.Tokens)))
	for i := range o.Tokens {
		dst = append(dst, o.Tokens[i].ID[:]...)
		dst = appendU256(dst, o.Tokens[i].Amount)
	}
	switch o.Type {
	case OutputAlias:
		dst = le.AppendUint32(append(dst, o.ChainID[:]...), o.StateIndex)
		dst = append(le.AppendUint16(dst, uint16(len(o.StateData))), o.StateData...)
		dst = le.AppendUint32(dst, o.Foundries)
	case OutputFoundry:
		dst = append(le.AppendUint32(dst, o.Serial), 0)
		dst = appendU256(appendU256(appendU256(dst, o.Minted), o.Melted), o.Maximum)
	case OutputNFT:
		dst = append(dst, o.ChainID[:]...)
	}
	dst = append(dst, byte(len(o.Conditions)))
	for i := range o.Conditions {
		dst = appendCondition(dst, &o.Conditions[i])
	}
	dst = appendFeatures(dst, o.Features)
	if o.Type != OutputBasic {
		dst = appendFeatures(dst, o.Immutable)
	}
	return dst
}

// appendU256 appends 32 little-endian bytes; nil is 0. The value must fit.
func appendU256(dst []byte, v *big.Int) []byte {
	var b [32]byte
	if v != nil {
		v.FillBytes(b[:])
		slices.Reverse(b[:])
	}
	return append(dst, b[:]...)
}

func appendCondition(dst []byte, c *Condition) []byte {
	dst = append(dst, c.Type)
	if c.Type != ConditionTimelock {
		dst = append(dst, c.Address[:]...)
	}
	switch c.Type {
	case ConditionStorageReturn:
		dst = le.AppendUint64(dst, c.Amount)
	case ConditionTimelock, ConditionExpiration:
		dst = le.AppendUint32(dst, c.Time)
	}
	return dst
}

func appendFeatures(dst []byte, fs []Feature) []byte {
	dst = append(dst, byte(len(fs)))
	for i := range fs {
		f := &fs[i]
		dst = append(dst, f.Type)
		switch f.Type {
		case FeatureSender, FeatureIssuer:
			dst = append(dst, f.Address[:]...)
		case FeatureMetadata:
			dst = append(le.AppendUint16(dst, uint16(len(f.Data))), f.Data...)
		case FeatureTag:
			dst = append(append(dst, byte(len(f.Data))), f.Data...)
		}
	}
	return dst
}
