package stardust

import "slices"

// MaxParameterLead is how far ahead of its milestone a change of protocol parameters may lie (TIP-29).
const MaxParameterLead = 30

// VirtualBytes returns the size that an output of n bytes is charged for (TIP-19): the 34 stand for the
// output's id, the 40 for block id, milestone index and timestamp, which a node stores with it.
func (p *Parameters) VirtualBytes(n int) uint64 {
	return uint64(p.FactorKey)*34 + uint64(p.FactorData)*(40+uint64(n))
}

// MinDeposit returns the least amount that an output of n bytes must hold.
func (p *Parameters) MinDeposit(n int) uint64 { return p.VirtualBytes(n) * uint64(p.VByteCost) }

// CheckBlock judges what a parsed block owes to the protocol parameters in force at the milestone that
// confirms it: version, network, amounts and storage deposits, and the rules between a milestone and its
// block (spec sections 6 and 7). Errors are *SyntaxError with offsets into the block.
func CheckBlock(b *Block, p *Parameters) error {
	r := reader{what: "block"}
	if b.Version != p.Version {
		r.fail(ReasonVersion, 0, "protocol version %d; %d is in force", b.Version, p.Version)
	}
	payload := 1 + 1 + 32*len(b.Parents) + 4
	switch m := b.Payload.(type) {
	case *Transaction:
		r.checkTransaction(m, p, payload)
	case *Milestone:
		r.checkMilestone(b, m, payload)
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// checkTransaction judges a transaction that begins at byte at.
func (r *reader) checkTransaction(t *Transaction, p *Parameters, at int) {
	at += 4 + 1
	if id := p.NetworkID(); t.NetworkID != id {
		r.fail(ReasonNetworkID, at, "network id %d; that of %s is %d", t.NetworkID, p.Network, id)
	}
	at += 8 + 2 + 35*len(t.Inputs) + 32 + 2
	var sum uint64
	for i := range t.Outputs {
		o := &t.Outputs[i]
		if o.Amount > p.Supply || sum > p.Supply-o.Amount {
			r.fail(ReasonAmount, at+1, "output %d: %d is more than the supply of %d allows", i, o.Amount, p.Supply)
			return
		}
		sum += o.Amount
		r.checkDeposit(i, o, p, at)
		at += len(o.Raw)
	}
}

func (r *reader) checkDeposit(i int, o *Output, p *Parameters, at int) {
	if least := p.MinDeposit(len(o.Raw)); o.Amount < least {
		r.fail(ReasonAmount, at+1, "output %d: %d is less than its storage deposit of %d", i, o.Amount, least)
	}
	for _, c := range o.Conditions {
		if c.Type != ConditionStorageReturn {
			continue
		}
		switch least := p.MinDeposit(minOutputSize); {
		case c.Amount > o.Amount:
			r.fail(ReasonAmount, at, "output %d: returns %d of %d", i, c.Amount, o.Amount)
		case c.Amount < least:
			r.fail(ReasonAmount, at, "output %d: returns %d; the output that takes it needs a deposit of %d", i, c.Amount, least)
		}
	}
}

// checkMilestone judges a milestone that begins at byte at of its block.
func (r *reader) checkMilestone(b *Block, m *Milestone, at int) {
	if b.Nonce != 0 {
		r.fail(ReasonMsNonce, at, "a milestone block has nonce %d; it must be 0", b.Nonce)
	}
	if !slices.Equal(b.Parents, m.Parents) {
		r.fail(ReasonMsParents, at, "a milestone has other parents than its block")
	}
	if c := m.Parameters; c != nil && (c.Target <= m.Index || c.Target-m.Index > MaxParameterLead) {
		r.fail(ReasonParameters, at, "milestone %d sets parameters from %d on; 1 to %d ahead are allowed", m.Index, c.Target, MaxParameterLead)
	}
}
