package stardusttest

import (
	"bytes"
	"maps"
	"slices"

	"permanode/ledger/stardust"
)

// history is what snapshot files need of the past.
type history struct {
	outputs     map[stardust.OutputID]stardust.SnapshotOutput // unspent now
	differences []*stardust.SnapshotDifference                // of milestone 1, 2, …
	entries     [][]stardust.Hash                             // behind milestone 0, 1, 2, …
	parameters  []stardust.ParameterChange                    // ascending
}

// add keeps a cone. The treasury is still that before it.
func (h *history) add(n *Network, c *Cone, applied map[stardust.Hash]*stardust.Transaction) {
	if h.outputs == nil {
		h.outputs = make(map[stardust.OutputID]stardust.SnapshotOutput)
		h.entries = [][]stardust.Hash{{{}}}
		for _, g := range n.genesis {
			h.outputs[g.id] = stardust.SnapshotOutput{ID: g.id, Time: genesisTime, Output: g.out}
		}
	}
	m := c.Milestone
	d := &stardust.SnapshotDifference{Payload: c.Head, Milestone: m, Treasury: n.treasury}
	book := func(o stardust.SnapshotOutput) {
		o.Booked, o.Time = m.Index, m.Timestamp
		h.outputs[o.ID], d.Created = o, append(d.Created, o)
	}
	for _, raw := range c.Raws {
		block := stardust.H(raw)
		t := applied[block]
		if t == nil {
			continue
		}
		for _, in := range t.Inputs {
			d.Consumed = append(d.Consumed, stardust.SnapshotSpent{SnapshotOutput: h.outputs[in], By: t.ID})
			delete(h.outputs, in)
		}
		for i := range t.Outputs {
			book(stardust.SnapshotOutput{ID: outputID(t.ID, i), Block: block, Output: &t.Outputs[i]})
		}
	}
	if m.Receipt != nil {
		for i, f := range m.Receipt.Funds {
			book(stardust.SnapshotOutput{ID: outputID(m.ID, i), Output: plain(f.Deposit, f.Address)})
		}
	}
	h.differences = append(h.differences, d)
	// As real files do: what later blocks may name, the milestone's own block among it.
	h.entries = append(h.entries, append(slices.Clone(n.recent), stardust.H(c.Block)))
	if m.Parameters != nil {
		h.parameters = append(h.parameters, *m.Parameters)
	}
}

// Full returns a full snapshot file that leads to milestone target: the ledger as it is now, and the
// differences back to it and a number of older ones (nodes write 30). It needs Options.History.
func (n *Network) Full(target uint32, older int) []byte {
	h := &n.history
	first := max(int(target)-older, 0) // place of the oldest difference
	head := &stardust.SnapshotHeader{
		Full: true, Target: target, TargetTime: genesisTime, Ledger: n.index, Treasury: n.treasury,
		Parameters: n.parametersAt(n.index), Outputs: uint64(len(h.outputs)),
		Differences: uint32(len(h.differences) - first), SEPs: uint16(len(h.entries[target])),
	}
	if target > 0 {
		m := h.differences[target-1].Milestone
		head.TargetTime, head.TargetID = m.Timestamp, m.ID
	}
	out := stardust.AppendSnapshotHeader(nil, head)
	for _, id := range slices.SortedFunc(maps.Keys(h.outputs), func(a, b stardust.OutputID) int { return bytes.Compare(a[:], b[:]) }) {
		o := h.outputs[id]
		out = stardust.AppendSnapshotOutput(out, &o)
	}
	for i := len(h.differences) - 1; i >= first; i-- {
		out = stardust.AppendSnapshotDifference(out, h.differences[i])
	}
	return appendEntries(out, h.entries[target])
}

// Delta returns a delta file that continues a full one from its target to another milestone.
func (n *Network) Delta(from, to uint32) []byte {
	h := &n.history
	var body []byte
	for _, d := range h.differences[from:to] {
		body = stardust.AppendSnapshotDifference(body, d)
	}
	m := h.differences[to-1].Milestone
	head := &stardust.SnapshotHeader{
		Target: to, TargetTime: m.Timestamp, Differences: to - from, SEPs: uint16(len(h.entries[to])),
	}
	if from > 0 {
		head.TargetID = h.differences[from-1].Milestone.ID
	}
	head.SEPOffset = uint64(len(stardust.AppendSnapshotHeader(nil, head)) + len(body))
	return appendEntries(append(stardust.AppendSnapshotHeader(nil, head), body...), h.entries[to])
}

func appendEntries(dst []byte, ids []stardust.Hash) []byte {
	for i := range ids {
		dst = append(dst, ids[i][:]...)
	}
	return dst
}

// parametersAt returns what was in force at a milestone, as the option that brought it.
func (n *Network) parametersAt(index uint32) *stardust.ParameterChange {
	p := stardust.ParameterChange{Version: 2, Params: stardust.AppendParameters(nil, n.first())}
	for _, c := range n.history.parameters {
		if c.Target <= index {
			p = c
		}
	}
	return &p
}
