package stardusttest

import (
	"bytes"
	"crypto/ed25519"
	"slices"

	"permanode/ledger"
	"permanode/ledger/stardust"
)

// A Lie is something that only a key holder can say wrongly, or in two ways.
type Lie struct {
	Name string
	// Code is what Begin or Seal refuse it with; "" where the milestone is good in itself.
	Code string
	tell func(n *Network, m *stardust.Milestone) []byte
}

// Lies are all of them. Those that need a predecessor are not told of the first milestone.
var Lies = []Lie{
	{"unknown key", "unit.key", func(n *Network, m *stardust.Milestone) []byte {
		stranger := signer{key: n.key("stranger", 0)}
		return signBy(m, append(n.valid(m.Index)[1:n.opts.KeyCount], &stranger))
	}},
	{"wrong range", "unit.key", func(n *Network, m *stardust.Milestone) []byte {
		keys := n.valid(m.Index)[1:n.opts.KeyCount]
		for i := range n.signers {
			if !n.signers[i].applies(m.Index) {
				return signBy(m, append(keys, &n.signers[i]))
			}
		}
		return nil // while ranges overlap every key applies
	}},
	{"too few", "unit.threshold", func(n *Network, m *stardust.Milestone) []byte {
		return signBy(m, n.valid(m.Index)[1:n.opts.KeyCount])
	}},
	{"repeated key", "unit.duplicate-key", func(n *Network, m *stardust.Milestone) []byte {
		keys := n.valid(m.Index)[:n.opts.KeyCount]
		return signBy(m, append(slices.Clone(keys[:len(keys)-1]), keys[0]))
	}},
	{"bad signature", "unit.signature", func(n *Network, m *stardust.Milestone) []byte {
		head := n.Sign(m)
		head[len(head)-n.rng.IntN(64)-1] ^= 1 << n.rng.IntN(8)
		return head
	}},
	{"index", "unit.seq", func(n *Network, m *stardust.Milestone) []byte {
		m.Index++
		return n.Sign(m)
	}},
	{"previous", "unit.prev", func(n *Network, m *stardust.Milestone) []byte {
		copy(m.Previous[:], n.bytes(32))
		return n.Sign(m)
	}},
	{"time", "unit.time", func(n *Network, m *stardust.Milestone) []byte {
		m.Timestamp -= second
		return n.Sign(m)
	}},
	{"version", "unit.version", func(n *Network, m *stardust.Milestone) []byte {
		m.Version = 3
		return n.Sign(m)
	}},
	{"parameters", "unit.parameters", func(n *Network, m *stardust.Milestone) []byte {
		m.Parameters = &stardust.ParameterChange{Target: m.Index + 31, Version: 2, Params: stardust.AppendParameters(nil, n.first())}
		return n.Sign(m)
	}},
	{"parameters at once", "unit.parameters", func(n *Network, m *stardust.Milestone) []byte {
		m.Parameters = &stardust.ParameterChange{Target: m.Index, Version: 2, Params: stardust.AppendParameters(nil, n.first())}
		return n.Sign(m)
	}},
	{"parameters of another version", "unit.parameters", func(n *Network, m *stardust.Milestone) []byte {
		m.Parameters = &stardust.ParameterChange{Target: m.Index + 1, Version: 3, Params: stardust.AppendParameters(nil, n.first())}
		return n.Sign(m)
	}},
	{"unreadable parameters", "unit.parameters", func(n *Network, m *stardust.Milestone) []byte {
		m.Parameters = &stardust.ParameterChange{Target: m.Index + 1, Version: 2, Params: []byte{2}}
		return n.Sign(m)
	}},
	{"empty cone", "unit.previous-block", func(n *Network, m *stardust.Milestone) []byte {
		m.Parents = []stardust.Hash{{}}
		m.Inclusion, m.Applied = stardust.InclusionRoot(nil), stardust.InclusionRoot(nil)
		return n.Sign(m)
	}},
	{"inclusion root", "native.inclusion", func(n *Network, m *stardust.Milestone) []byte {
		copy(m.Inclusion[:], n.bytes(32))
		return n.Sign(m)
	}},
	{"receipt", "ledger.receipt", func(n *Network, m *stardust.Milestone) []byte {
		m.Receipt = n.receipt()
		m.Receipt.Treasury.Amount--
		return n.Sign(m)
	}},
	{"receipt of another treasury", "ledger.receipt", func(n *Network, m *stardust.Milestone) []byte {
		m.Receipt = n.receipt()
		copy(m.Receipt.Treasury.Input[:], n.bytes(32))
		return n.Sign(m)
	}},
	{"receipt above the treasury", "ledger.receipt", func(n *Network, m *stardust.Milestone) []byte {
		m.Receipt = n.receipt()
		f := &m.Receipt.Funds[0]
		f.Deposit += n.treasury.Amount
		m.Receipt.Treasury.Amount -= n.treasury.Amount // below zero, which wraps
		return n.Sign(m)
	}},
	{"applied root", "ledger.root", func(n *Network, m *stardust.Milestone) []byte {
		copy(m.Applied[:], n.bytes(32))
		return n.Sign(m)
	}},
	{"other content", "", func(n *Network, m *stardust.Milestone) []byte { // an equivocation
		m.Metadata = append(slices.Clone(m.Metadata), "the other one"...)
		return n.Sign(m)
	}},
	{"other signatures", "", func(n *Network, m *stardust.Milestone) []byte { // the same content
		return signBy(m, n.valid(m.Index))
	}},
}

// Tell returns the head of c with the lie in it; nil where the lie cannot be told of this milestone. The
// honest one stays as it is. The cone may have been made at any time before.
func (n *Network) Tell(l Lie, c *Cone) []byte {
	honest := n.rng // lies leave no trace in what follows
	n.rng = n.lies
	defer func() { n.rng = honest }()
	m := *c.Milestone
	return l.tell(n, &m)
}

// valid returns the keys that apply at an index, more than are needed.
func (n *Network) valid(index uint32) (keys []*signer) {
	for i := range n.signers {
		if n.signers[i].applies(index) {
			keys = append(keys, &n.signers[i])
		}
	}
	return keys
}

// Sign signs m by as many keys as are needed and returns its payload. It sets the id and signatures.
func (n *Network) Sign(m *stardust.Milestone) []byte {
	return signBy(m, n.valid(m.Index)[:n.opts.KeyCount])
}

func signBy(m *stardust.Milestone, keys []*signer) []byte {
	m.ID = stardust.H(stardust.AppendMilestoneEssence(nil, m))
	m.Signatures = nil
	for _, s := range keys {
		m.Signatures = append(m.Signatures, stardust.Signature{Key: s.public(), Sig: [64]byte(ed25519.Sign(s.key, m.ID[:]))})
	}
	slices.SortFunc(m.Signatures, func(a, b stardust.Signature) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return stardust.AppendPayload(nil, m)
}

// Huge returns a cone of count empty blocks, true in itself, in place of the next one. The network does
// not go on from it.
func (n *Network) Huge(count int) *Cone {
	c := &Cone{}
	var ids []stardust.Hash
	if n.block != nil {
		ids = append(ids, stardust.H(n.block))
		c.Raws = append(c.Raws, n.block)
	}
	for range count {
		parents := []stardust.Hash{{}}
		if len(ids) > 0 {
			parents = ascending(slices.Clone(ids[max(0, len(ids)-stardust.MaxParents):]))
		}
		raw := stardust.AppendBlock(nil, &stardust.Block{Version: 2, Parents: parents, Nonce: n.rng.Uint64()})
		ids, c.Raws = append(ids, stardust.H(raw)), append(c.Raws, raw)
	}
	for _, id := range ids { // each names the one before: no other order is possible
		c.IDs = append(c.IDs, ledgerID(id))
		c.Outcomes = append(c.Outcomes, Outcome{State: ledger.NoTransaction})
	}
	c.Milestone = &stardust.Milestone{
		Index: n.index + 1, Timestamp: n.time() + second, Version: 2, Previous: n.previous,
		Parents:   []stardust.Hash{ids[len(ids)-1]},
		Inclusion: stardust.InclusionRoot(c.IDs), Applied: stardust.InclusionRoot(nil),
	}
	c.Head = n.Sign(c.Milestone)
	return c
}
