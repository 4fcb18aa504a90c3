package rebasedtest

import (
	"bytes"
	"slices"

	"permanode/ledger"
	"permanode/ledger/rebased"
)

// Record is one transaction of a checkpoint, in pieces, and what is true of it.
type Record struct {
	Data       []byte   // BCS of the TransactionData
	Signatures [][]byte // of the envelope
	Listed     [][]byte // of the contents
	Effects    []byte   // BCS of the TransactionEffects
	Events     []byte   // BCS of the TransactionEvents, nil if there are none
	Inputs     [][]byte // BCS of the objects as they were
	Outputs    [][]byte // BCS of the objects as they are

	Kind   uint8
	State  ledger.State
	Sender rebased.Address
	Payer  rebased.Address
	Texts  []string // that a search must find
	Tag    string   // of an audit trail's record
	Opaque bool     // of a form that nobody knows
}

// Digest returns the transaction's digest.
func (r *Record) Digest() rebased.Digest { return rebased.TransactionDigest(r.Data) }

// Parts returns the record's parts in the order of a raw.
func (r *Record) Parts() []ledger.Part {
	parts := []ledger.Part{
		{Kind: ledger.PartObject, Raw: rebased.AppendSenderSigned(nil, r.Data, r.Signatures)},
		{Kind: ledger.PartEffects, Raw: r.Effects},
	}
	if r.Events != nil {
		parts = append(parts, ledger.Part{Kind: ledger.PartEvents, Raw: r.Events})
	}
	for _, o := range r.Outputs {
		parts = append(parts, ledger.Part{Kind: ledger.PartOutput, Raw: o})
	}
	for _, o := range r.Inputs {
		parts = append(parts, ledger.Part{Kind: ledger.PartInput, Raw: o})
	}
	return parts
}

// Raw returns the record as sources give it.
func (r *Record) Raw() []byte {
	d := r.Digest()
	return rebased.Codec{}.Raw(&ledger.Record{ID: ledger.NewID(d[:]), Parts: r.Parts()})
}

func (r *Record) clone() Record {
	c := *r
	for _, list := range []*[][]byte{&c.Signatures, &c.Listed, &c.Inputs, &c.Outputs} {
		*list = slices.Clone(*list)
	}
	return c
}

// touch is one object that a transaction changes: nil before if it creates or unwraps it, nil after if it deletes or
// wraps it.
type touch struct {
	before, after *object
	op            uint8
}

func (t *touch) id() rebased.ObjectID {
	if t.before != nil {
		return t.before.id
	}
	return t.after.id
}

// done is what a transaction did.
type done struct {
	digest  rebased.Digest
	touches []touch
	events  []rebased.Event
	failure *rebased.Failure
	gas     rebased.GasCost
	payment rebased.ObjectID // the coin that paid; zero: none
}

// effects gives written objects their versions, books what they are worth, and fills in what follows from d.
func (n *Network) effects(r *Record, d done) {
	slices.SortFunc(d.touches, func(a, b touch) int {
		x, y := a.id(), b.id()
		return bytes.Compare(x[:], y[:])
	})
	e := rebased.Effects{Failure: d.failure, Epoch: n.epoch, Gas: d.gas, Transaction: d.digest, Lamport: 1}
	for _, t := range d.touches {
		if t.before != nil {
			e.Lamport = max(e.Lamport, t.before.version+1)
			e.Dependencies = append(e.Dependencies, t.before.previous)
		}
	}
	for i, t := range d.touches {
		c := rebased.ObjectChange{ID: t.id(), Op: t.op}
		n.book(t.before, t.after)
		if t.before != nil {
			ref := t.before.ref()
			c.In = rebased.ObjectIn{Exist: true, Version: ref.Version, Digest: ref.Digest, Owner: t.before.owner}
			r.Inputs = append(r.Inputs, t.before.raw)
		}
		if o := t.after; o != nil {
			o.previous, o.version = d.digest, e.Lamport
			c.Out.Type = rebased.OutObject
			if o.pkg != nil {
				o.version = o.pkg.Version
				c.Out = rebased.ObjectOut{Type: rebased.OutPackage, Version: o.version}
			}
			o.encode()
			c.Out.Digest, c.Out.Owner = rebased.ObjectDigest(o.raw), o.owner
			r.Outputs = append(r.Outputs, o.raw)
		}
		if c.ID == d.payment {
			at := uint32(i)
			e.GasObject = &at
		}
		e.Changed = append(e.Changed, c)
	}
	r.State = ledger.ExecutedSuccess
	if d.failure != nil {
		r.State = ledger.ExecutedFailure
	}
	if len(d.events) > 0 {
		r.Events = rebased.AppendEvents(nil, d.events)
		digest := rebased.EventsDigest(r.Events)
		e.Events = &digest
	}
	r.Effects = rebased.AppendEffects(nil, &e)
}
