package stardust

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"permanode/ledger"
)

// Facts reads a block once more and draws from it what a person can search for. It fails only where
// the block does not parse.
func (Codec) Facts(r *ledger.Record, t ledger.Trust) (ledger.Facts, error) {
	return draw(r, t, drawer{})
}

// Outline is the tags, addresses and payloads of Facts.
func (Codec) Outline(r *ledger.Record, t ledger.Trust) (ledger.Facts, error) {
	return draw(r, t, drawer{outline: true})
}

func draw(r *ledger.Record, t ledger.Trust, d drawer) (ledger.Facts, error) {
	rules, ok := t.Rules.(*Rules)
	if !ok || len(r.Parts) != 1 {
		return ledger.Facts{}, fmt.Errorf("facts of record %s: no trust file of this era, or no block", r.ID)
	}
	raw := r.Parts[0].Raw
	b, err := (&reader{b: raw, what: "block", bare: d.outline}).block()
	if err != nil {
		return ledger.Facts{}, fmt.Errorf("facts of record %s: %w", r.ID, err)
	}
	d.hrp = rules.genesis.HRP
	at := 2 + 32*len(b.Parents) + 4
	switch p := b.Payload.(type) {
	case *TaggedData:
		d.tagged(p, len(raw)-8)
	case *Transaction:
		d.transaction(p, at)
	case *Milestone:
		d.content(p.Metadata)
		if p.Receipt != nil {
			for i := range p.Receipt.Funds {
				d.address(p.Receipt.Funds[i].Address)
			}
		}
	}
	return d.done(), nil
}

// TrustAt returns t with the protocol parameters in force at milestone seq (spec section 11).
func (Codec) TrustAt(ctx context.Context, t ledger.Trust, seq uint64, state func(context.Context, [][]byte) ([][]byte, error)) (ledger.Trust, error) {
	rules, ok := t.Rules.(*Rules)
	if !ok {
		return t, fmt.Errorf("parameters at unit %d: no trust file of this era", seq)
	}
	vals, err := state(ctx, [][]byte{totalsKey(seq)})
	if err != nil || vals[0] == nil {
		return t, err
	}
	row, err := decodeTotals(vals[0])
	if err != nil {
		return t, fmt.Errorf("parameters at unit %d: %w", seq, err)
	}
	now := *rules
	now.genesis = row.parameters[row.parameters.at(uint32(seq))]
	t.Rules = &now
	return t, nil
}

// JSON returns a block as the node's REST API writes it.
func (Codec) JSON(r *ledger.Record) ([]byte, error) {
	if len(r.Parts) != 1 {
		return nil, fmt.Errorf("JSON of record %s: a block is one part", r.ID)
	}
	b, err := ParseBlock(r.Parts[0].Raw)
	if err != nil {
		return nil, fmt.Errorf("JSON of record %s: %w", r.ID, err)
	}
	return BlockJSON(b), nil
}

// UnitJSON returns a milestone as the node's REST API writes it.
func (c Codec) UnitJSON(u ledger.Unit) ([]byte, error) {
	m, err := ParseMilestone(c.Head(u))
	if err != nil {
		return nil, fmt.Errorf("JSON of unit %d: %w", u.Seq, err)
	}
	return PayloadJSON(m), nil
}

// drawer gathers facts.
type drawer struct {
	hrp     string
	outline bool      // tags, addresses and payloads alone
	seen    []Address // as often as they are named
	f       ledger.Facts
}

func (d *drawer) done() ledger.Facts {
	slices.SortFunc(d.seen, func(a, b Address) int { return bytes.Compare(a[:], b[:]) })
	d.seen = slices.Compact(d.seen)
	if len(d.seen) > 0 {
		d.f.Addresses = make([]string, len(d.seen))
	}
	for i, a := range d.seen {
		d.f.Addresses[i] = a.Bech32(d.hrp)
	}
	slices.Sort(d.f.Addresses)
	slices.Sort(d.f.Objects)
	d.f.Objects = slices.Compact(d.f.Objects)
	return d.f
}

func (d *drawer) address(a Address) { d.seen = append(d.seen, a) }

// content draws text and leaves from bytes that somebody wrote.
func (d *drawer) content(data []byte) {
	if d.outline {
		return
	}
	text, leaves := readText(data)
	if text != "" {
		d.f.Texts = append(d.f.Texts, text)
	}
	d.f.Leaves = append(d.f.Leaves, leaves...)
}

// payload is content that ends at byte end of the block.
func (d *drawer) payload(data []byte, end int) {
	d.content(data)
	d.f.Payloads = append(d.f.Payloads, ledger.Span{Off: end - len(data), Len: len(data)})
}

// tagged draws from tagged data that ends at byte end of the block.
func (d *drawer) tagged(t *TaggedData, end int) {
	d.f.Tags = append(d.f.Tags, bytes.Clone(t.Tag)) // of no bytes is a tag too
	d.payload(t.Data, end)
}

// transaction draws from a transaction whose payload begins at byte at of the block.
func (d *drawer) transaction(t *Transaction, at int) {
	at += 4 + 1 + 8 + 2 + 35*len(t.Inputs) + 32 + 2
	for i := range t.Outputs {
		o := &t.Outputs[i]
		at += len(o.Raw)
		d.output(o, t.output(i), at)
	}
	if p := t.Payload; p != nil {
		d.tagged(p, at+4+4+1+len(p.Tag)+4+len(p.Data))
	}
}

// output draws from an output that ends at byte end of the block.
func (d *drawer) output(o *Output, id OutputID, end int) {
	for i := range o.Conditions {
		if c := &o.Conditions[i]; c.Type != ConditionTimelock {
			d.address(c.Address)
		}
	}
	if !d.outline {
		d.held(o, id)
	}
	immutable := end - featuresSize(o.Immutable)
	if o.Type != OutputBasic {
		immutable-- // the count
	}
	d.features(o.Features, immutable)
	d.features(o.Immutable, end)
}

// held draws what an output holds beside coins.
func (d *drawer) held(o *Output, id OutputID) {
	for i := range o.Tokens {
		t := &o.Tokens[i]
		d.f.Tokens = append(d.f.Tokens, ledger.Token{ID: hexText(t.ID[:]), Amount: ledger.BigAmount(t.Amount)})
	}
	if c, ok := o.chain(id); ok {
		n := 32
		if o.Type == OutputFoundry {
			n = len(c.id)
		}
		d.f.Objects = append(d.f.Objects, hexText(c.id[:n]))
	}
	if len(o.StateData) > 0 {
		d.content(o.StateData)
	}
}

// features draws from features whose list ends at byte end of the block.
func (d *drawer) features(fs []Feature, end int) {
	at := end - featuresSize(fs)
	for i := range fs {
		f := &fs[i]
		at += featuresSize(fs[i : i+1])
		switch f.Type {
		case FeatureSender, FeatureIssuer:
			d.address(f.Address)
		case FeatureMetadata:
			d.payload(f.Data, at)
		}
	}
}

// featuresSize returns the serialised length of features, without their count.
func featuresSize(fs []Feature) (n int) {
	for i := range fs {
		switch fs[i].Type {
		case FeatureSender, FeatureIssuer:
			n += 1 + len(fs[i].Address)
		case FeatureMetadata:
			n += 1 + 2 + len(fs[i].Data)
		case FeatureTag:
			n += 1 + 1 + len(fs[i].Data)
		}
	}
	return n
}

func hexText(b []byte) string { return "0x" + hex.EncodeToString(b) }
