package rebased

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"permanode/ledger"
)

// prepared is the value of [ledger.Prepared.Data].
type prepared struct {
	*decoded
	stored []ledger.Part // what the archive keeps: no input objects, no system objects
}

// A recordError is a rule that a record's bytes break; Seal makes a [ledger.Forged] of it.
type recordError struct {
	code string
	err  error
}

func (e *recordError) Error() string { return e.code + ": " + e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

func recordErrorf(code, format string, args ...any) error {
	return &recordError{code, fmt.Errorf(format, args...)}
}

// Prepare decodes each record, compares its parts with its effects, and checks the signatures of its senders. What
// this version has no form for is no error: digests prove it all the same, wherever the effects' bytes hold them. A
// PartRest, behind effects that hold none, is kept as it came and proven only by a version that can split it.
func (Codec) Prepare(ids []ledger.Identified) []ledger.Prepared {
	out := make([]ledger.Prepared, len(ids))
	for i, id := range ids {
		out[i].Identified = id
		p, err := parsedOf(&id)
		if err != nil {
			out[i].Err = err
			continue
		}
		v, err := prepare(p)
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Data = v
	}
	return out
}

// parsedOf returns what Identify read of a record; it reads again what somebody kept as bytes only.
func parsedOf(id *ledger.Identified) (*identified, error) {
	if p, ok := id.Parsed.(*identified); ok || id.Err != nil {
		return p, id.Err
	}
	return identify(id.Raw)
}

func prepare(p *identified) (*prepared, error) {
	p, err := p.split()
	if err != nil {
		return nil, err
	}
	v := &prepared{decoded: decode(p)}
	if p.effects != nil && p.effects.Transaction != p.digest {
		return nil, recordErrorf("record.effects", "effects of transaction %s", p.effects.Transaction)
	}
	for _, check := range []func() error{v.checkEvents, v.checkOutputs, v.checkInputs, v.authorised} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	v.keep()
	return v, nil
}

// split divides a rest that another version, with fewer forms, could not split.
func (p *identified) split() (*identified, error) {
	last := p.parts[len(p.parts)-1]
	if last.Kind != ledger.PartRest || p.effects == nil {
		return p, nil
	}
	more, err := splitRest(last.Raw, p.parts[1].Raw)
	if err != nil {
		return nil, &recordError{"record.objects", err}
	}
	whole := *p
	whole.parts = slices.Concat(p.parts[:len(p.parts)-1], more)
	return &whole, nil
}

// committed reports whether effects of a form that is not known name a digest. They are proven by the list, and nobody
// finds other bytes with that digest.
func (v *prepared) committed(d Digest) bool {
	return bytes.Contains(v.parts[1].Raw, AppendDigest(nil, d))
}

// checkEvents: there are events exactly where the effects name some.
func (v *prepared) checkEvents() error {
	i := slices.IndexFunc(v.parts, func(p ledger.Part) bool { return p.Kind == ledger.PartEvents })
	if i < 0 {
		if v.effects != nil && v.effects.Events != nil {
			return recordErrorf("record.events", "there are none, the effects name some with digest %s", *v.effects.Events)
		}
		return nil
	}
	d := EventsDigest(v.parts[i].Raw)
	switch {
	case v.effects == nil && !v.committed(d), v.effects != nil && (v.effects.Events == nil || *v.effects.Events != d):
		return recordErrorf("record.events", "their digest %s is not in the effects", d)
	}
	return nil
}

// checkOutputs compares the written objects, which ascend by id, with the effects: none altered, none twice, and each
// there that the archive keeps.
func (v *prepared) checkOutputs() error {
	for i := range v.outputs {
		o := &v.outputs[i]
		d := ObjectDigest(o.raw)
		if v.effects == nil {
			if !v.committed(d) {
				return recordErrorf("record.objects", "object %s: its digest %s is not in the effects", o.id, d)
			}
			continue
		}
		c := v.changed(o.id, func(c *ObjectChange) bool { return c.Out.Type != OutNotExist && c.Out.Digest == d })
		if c == nil || o.object != nil && !v.fits(o.object, c) {
			return recordErrorf("record.objects", "object %s is not what the effects say", o.id)
		}
		if i > 0 && v.outputs[i-1].id == o.id {
			return recordErrorf("record.objects", "object %s is there twice", o.id)
		}
	}
	if v.effects == nil || quietKind(v.kind) {
		return nil
	}
	for i := range v.effects.Changed {
		c := &v.effects.Changed[i]
		if c.Out.Type != OutNotExist && !isSystemObject(c.ID) && !v.has(c.ID) {
			return recordErrorf("record.objects", "object %s, which the transaction wrote, is missing", c.ID)
		}
	}
	return nil
}

// changed returns the change of an object that fits; nil if there is none. Changes ascend by id where nodes are
// honest, so the first look finds it.
func (v *prepared) changed(id ObjectID, fits func(*ObjectChange) bool) *ObjectChange {
	list := v.effects.Changed
	i, ok := slices.BinarySearchFunc(list, id, func(c ObjectChange, id ObjectID) int { return bytes.Compare(c.ID[:], id[:]) })
	if ok && fits(&list[i]) {
		return &list[i]
	}
	for i := range list {
		if list[i].ID == id && fits(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

func (v *prepared) has(id ObjectID) bool {
	_, ok := slices.BinarySearchFunc(v.outputs, id, func(o output, id ObjectID) int { return bytes.Compare(o.id[:], id[:]) })
	return ok
}

// fits reports whether an object has the id, owner and version that the effects give it.
func (v *prepared) fits(o *Object, c *ObjectChange) bool {
	if o.ID() != c.ID {
		return false
	}
	if c.Out.Type == OutPackage {
		return o.Data.Package != nil && o.Data.Package.Version == c.Out.Version
	}
	return o.Data.Move != nil && o.Owner == c.Out.Owner && o.Data.Move.Version == v.effects.Lamport
}

// checkInputs compares objects as the transaction found them with the effects. They are outputs of earlier ones, so
// they are not kept; one of a form that is not known has a digest all the same.
func (v *prepared) checkInputs() error {
	for i := range v.parts {
		if v.parts[i].Kind != ledger.PartInput {
			continue
		}
		raw := v.parts[i].Raw
		d := ObjectDigest(raw)
		if v.effects == nil {
			if !v.committed(d) {
				return recordErrorf("record.objects", "the digest %s of an input object is not in the effects", d)
			}
			continue
		}
		was := func(c *ObjectChange) bool { return c.In.Exist && c.In.Digest == d }
		o, err := ParseObject(raw)
		if err != nil {
			if !slices.ContainsFunc(v.effects.Changed, func(c ObjectChange) bool { return was(&c) }) {
				return recordErrorf("record.objects", "the digest %s of an input object is not in the effects", d)
			}
			continue
		}
		if c := v.changed(o.ID(), was); c == nil || o.Version() != c.In.Version || o.Owner != c.In.Owner {
			return recordErrorf("record.objects", "input object %s is not what the effects say", o.ID())
		}
	}
	return nil
}

// keep decides what is stored: transaction, effects, events, then a rest or the objects, ascending by id, but for
// those that change all the time.
func (v *prepared) keep() {
	v.outputs = slices.DeleteFunc(v.outputs, func(o output) bool { return quietKind(v.kind) || isSystemObject(o.id) })
	v.stored = make([]ledger.Part, 0, len(v.parts))
	for _, p := range v.parts {
		if p.Kind != ledger.PartOutput && p.Kind != ledger.PartInput {
			v.stored = append(v.stored, p)
		}
	}
	for i := range v.outputs {
		v.stored = append(v.stored, ledger.Part{Kind: ledger.PartOutput, Raw: v.outputs[i].raw})
	}
}

// authorised checks the signatures of a user's transaction: none is bad, and each required signer, sender and gas
// owner, has one. Signatures that cannot be checked from bytes stand in for signers that have no other.
func (v *prepared) authorised() error {
	if v.tx == nil || v.kind != KindProgrammable {
		return nil
	}
	missing := []Address{v.tx.Data.Sender}
	if o := v.tx.Data.Gas.Owner; o != v.tx.Data.Sender {
		missing = append(missing, o)
	}
	signed, unknown := make([]Address, 0, len(v.sigs)), 0
	for i, raw := range v.sigs {
		addr, scheme, err := VerifySignature(raw, v.data)
		switch {
		case err == nil:
			signed = append(signed, addr)
		case errors.Is(err, ErrUnverified) && addr != (Address{}):
			signed = append(signed, addr)
		case errors.Is(err, ErrUnverified):
			unknown++
		default:
			return recordErrorf("record.signatures", "signature %d (%s): %w", i, scheme, err)
		}
	}
	for _, a := range missing {
		if slices.Contains(signed, a) {
			continue
		}
		if unknown--; unknown < 0 {
			return recordErrorf("record.signatures", "%s did not sign", a)
		}
	}
	return nil
}
