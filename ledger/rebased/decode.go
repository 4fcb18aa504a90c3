package rebased

import (
	"bytes"
	"errors"
	"slices"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// errRest is why the events and objects of a record cannot be told apart.
var errRest = errors.New("effects of a known form would say where events and objects end")

// decoded is what can be read of a record: all of it, or what this version knows the form of.
type decoded struct {
	*identified
	kind    uint8    // of the record, 0 where it is not known
	events  []Event  // nil: there are none, or they cannot be decoded
	outputs []output // ascending by id
	reason  string   // "" if all can be read; else each part with type, tag and offset
}

// output is an object that the record wrote.
type output struct {
	id     ObjectID
	raw    []byte
	object *Object // nil if it cannot be decoded
}

// decodeParts reads a stored record. It fails for a damaged record only.
func decodeParts(rec *ledger.Record) (*decoded, error) {
	p, err := identifyParts(rec.Parts, storedEnd(rec))
	if err != nil {
		return nil, err
	}
	return decode(p), nil
}

// decode reads the parts behind transaction and effects. It never fails: what it cannot read it gives a reason for.
func decode(p *identified) *decoded {
	d := &decoded{identified: p, kind: kindOf(p.data)}
	d.missing("transaction", p.txErr)
	d.missing("effects", p.fxErr)
	for i := range p.parts {
		switch part := &p.parts[i]; part.Kind {
		case ledger.PartEvents:
			events, err := ParseEvents(part.Raw)
			d.missing("events", err)
			d.events = events
		case ledger.PartOutput:
			d.outputs = append(d.outputs, d.readOutput(part.Raw))
		case ledger.PartRest:
			d.missing("rest", errRest)
		}
	}
	slices.SortStableFunc(d.outputs, func(a, b output) int { return bytes.Compare(a.id[:], b.id[:]) })
	return d
}

// missing notes that a part cannot be read.
func (d *decoded) missing(what string, err error) {
	if err == nil {
		return
	}
	if d.reason != "" {
		d.reason += "; "
	}
	d.reason += what + ": " + err.Error()
}

// readOutput reads a written object. One that cannot be decoded still has the id under which the effects name its
// digest.
func (d *decoded) readOutput(raw []byte) output {
	o, err := ParseObject(raw)
	if err == nil {
		return output{o.ID(), raw, o}
	}
	d.missing("output object", err)
	if d.effects != nil {
		digest := ObjectDigest(raw)
		for i := range d.effects.Changed {
			if c := &d.effects.Changed[i]; c.Out.Type != OutNotExist && c.Out.Digest == digest {
				return output{c.ID, raw, nil}
			}
		}
	}
	return output{raw: raw}
}

// output returns the object that the record wrote under id; nil if there is none, or it cannot be decoded.
func (d *decoded) output(id ObjectID) *Object {
	i, ok := slices.BinarySearchFunc(d.outputs, id, func(o output, id ObjectID) int { return bytes.Compare(o.id[:], id[:]) })
	if !ok {
		return nil
	}
	return d.outputs[i].object
}

// kindOf returns a record's kind from the BCS of its TransactionData: one more than the variant of its
// TransactionKind. It is known also where only what follows it is not.
func kindOf(data []byte) uint8 {
	r := bcs.NewSkimmer(data)
	r.Variant("TransactionData version", 1)
	tag := r.Variant("TransactionKind", uint32(len(kindNames)-1))
	if r.Err() != nil {
		return 0
	}
	return uint8(tag) + 1
}
