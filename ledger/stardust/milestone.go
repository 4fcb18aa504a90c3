package stardust

// Limits of milestones (TIP-29, TIP-34).
const (
	MaxFunds   = 127
	MinDeposit = 1_000_000 // of a migrated fund

	minFundSize    = 49 + 33 + 8
	minSigSize     = 1 + 32 + 64
	treasuryTxSize = 4 + 1 + 32 + 1 + 8
)

// ParseMilestone reads a whole milestone payload, type included (TIP-29). Errors are *SyntaxError.
func ParseMilestone(raw []byte) (*Milestone, error) {
	r := reader{b: raw, what: "milestone"}
	p := r.payload(func(t uint32) bool { return t == TypeMilestone })
	if err := r.end(); err != nil {
		return nil, err
	}
	return p.(*Milestone), nil
}

// milestone reads what follows the type.
func (r *reader) milestone() *Milestone {
	m := new(Milestone)
	start := r.off
	r.essence(m)
	end := r.off
	m.Signatures = r.signatures()
	if r.err == nil {
		m.Header, m.Auth = r.b[start:end:end], r.b[end:r.off:r.off]
		m.ID = H(m.Header)
	}
	return m
}

// essence reads from the index to the options.
func (r *reader) essence(m *Milestone) {
	m.Index, m.Timestamp, m.Version, m.Previous = r.u32(), r.u32(), r.u8(), r.hash()
	m.Parents = r.parents()
	m.Inclusion, m.Applied = r.hash(), r.hash()
	at := r.off
	n := int(r.u16())
	if n > MaxMetadata {
		r.fail(ReasonMetadata, at, "metadata of %d bytes; at most %d are allowed", n, MaxMetadata)
	}
	m.Metadata = r.take(n)
	r.options(m)
}

func (r *reader) options(m *Milestone) {
	n, last := int(r.u8()), -1
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		t := r.u8()
		if r.err == nil && t > 1 {
			r.fail(ReasonOptionType, at, "unknown milestone option %d", t)
			return
		}
		r.types(last, t, at, "milestone options")
		last = int(t)
		if t == 0 {
			m.Receipt = r.receipt()
		} else {
			m.Parameters = r.parameterChange()
		}
	}
}

// parameterChange reads what follows the option type.
func (r *reader) parameterChange() *ParameterChange {
	c := &ParameterChange{Target: r.u32(), Version: r.u8()}
	at := r.off
	n := int(r.u16())
	if n > MaxMetadata {
		r.fail(ReasonMetadata, at, "protocol parameters of %d bytes; at most %d are allowed", n, MaxMetadata)
	}
	c.Params = r.take(n)
	return c
}

// ParseReceipt reads a receipt as the milestone option frames it, option type 0 included (TIP-34 as
// Hornet writes it: with the length of the treasury transaction). Errors are *SyntaxError.
func ParseReceipt(raw []byte) (*Receipt, error) {
	r := reader{b: raw, what: "receipt"}
	if t := r.u8(); t != 0 {
		r.fail(ReasonOptionType, 0, "milestone option %d is no receipt", t)
	}
	v := r.receipt()
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// ParseParameterChange reads the protocol parameters option, option type 1 included, as milestones
// and snapshot files frame it. Errors are *SyntaxError.
func ParseParameterChange(raw []byte) (*ParameterChange, error) {
	r := reader{b: raw, what: "parameter option"}
	if t := r.u8(); t != 1 {
		r.fail(ReasonOptionType, 0, "milestone option %d holds no parameters", t)
	}
	v := r.parameterChange()
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// receipt reads what follows the option type.
func (r *reader) receipt() *Receipt {
	v := &Receipt{MigratedAt: r.u32()}
	at := r.off
	final := r.u8()
	if final > 1 {
		r.fail(ReasonFlag, at, "final is %d; 0 and 1 are allowed", final)
	}
	v.Final = final == 1
	v.Funds = r.funds()
	at = r.off
	if n := r.u32(); r.err == nil && n != treasuryTxSize {
		r.fail(ReasonPayload, at, "a treasury transaction of %d bytes; it has %d", n, treasuryTxSize)
	}
	at = r.off
	if t := r.u32(); r.err == nil && t != TypeTreasuryTx {
		r.fail(ReasonPayloadType, at, "a payload of type %d is not allowed here", t)
	}
	at = r.off
	if t := r.u8(); r.err == nil && t != 1 {
		r.fail(ReasonInputType, at, "a treasury transaction with an input of type %d", t)
	}
	v.Treasury.Input = r.hash()
	at = r.off
	if t := r.u8(); r.err == nil && t != OutputTreasury {
		r.fail(ReasonOutputType, at, "a treasury transaction with an output of type %d", t)
	}
	v.Treasury.Amount = r.u64()
	return v
}

// funds reads 1 to 127 migrated funds, ascending and unique.
func (r *reader) funds() []Fund {
	at := r.off
	n := int(r.u16())
	if r.err == nil && (n < 1 || n > MaxFunds) {
		r.fail(ReasonFundsCount, at, "%d funds; 1 to %d are allowed", n, MaxFunds)
	}
	if r.err != nil {
		return nil
	}
	fs := make([]Fund, 0, min(n, r.left()/minFundSize+1))
	last := -1
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		var f Fund
		copy(f.Tail[:], r.take(49))
		f.Address = r.address()
		f.Deposit = r.u64()
		if r.err != nil {
			return nil
		}
		switch {
		case f.Address[0] != AddressEd25519:
			r.fail(ReasonAddressType, at+49, "a fund migrated to an address of type %d; only Ed25519 is allowed", f.Address[0])
		case f.Deposit < MinDeposit:
			r.fail(ReasonAmount, at+82, "a fund of %d; at least %d are needed", f.Deposit, MinDeposit)
		}
		if last >= 0 {
			r.ascending(r.b[last:at], r.b[at:r.off], at, "funds")
		}
		last = at
		fs = append(fs, f)
	}
	return fs
}

// signatures reads 1 to 255 signatures, ascending by key and unique.
func (r *reader) signatures() []Signature {
	at := r.off
	n := int(r.u8())
	if r.err == nil && n < 1 {
		r.fail(ReasonSigCount, at, "no signatures; at least one is needed")
	}
	if r.err != nil {
		return nil
	}
	ss := make([]Signature, 0, min(n, r.left()/minSigSize+1))
	for i := 0; i < n && r.err == nil; i++ {
		at := r.off
		ss = append(ss, Signature{})
		r.signature(&ss[i].Key, &ss[i].Sig)
		if i > 0 && r.err == nil {
			r.ascending(ss[i-1].Key[:], ss[i].Key[:], at, "signatures")
		}
	}
	return ss
}

// MilestonePayload joins header and auth to the payload that they were split from.
func MilestonePayload(header, auth []byte) []byte {
	p := make([]byte, 0, 4+len(header)+len(auth))
	p = le.AppendUint32(p, TypeMilestone)
	return append(append(p, header...), auth...)
}

// MilestoneBlock rebuilds the block that carries a milestone payload: nonce 0 and the payload's own
// version and parents (spec section 2). The payload must parse.
func MilestoneBlock(payload []byte) ([]byte, error) {
	m, err := ParseMilestone(payload)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 1+1+32*len(m.Parents)+4+len(payload)+8)
	b = append(b, m.Version)
	b = appendHashes(b, m.Parents)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return append(b, make([]byte, 8)...), nil
}
