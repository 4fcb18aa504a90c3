package rebased

import (
	"bytes"
	"crypto/sha256"

	"permanode/ledger"
)

// quietKind reports whether of a record of that kind only its id is posted and nothing is read: consensus writes
// them all the time, and no person any of them (spec 16).
func quietKind(kind uint8) bool {
	switch uint32(kind) - 1 {
	case TagPrologue, TagAuthenticator, TagRandomness:
		return true
	}
	return false
}

// isSystemObject reports whether id is that of the system state, the clock, the authenticator state, the randomness
// or the deny list (spec 9): they change all the time and are not kept.
func isSystemObject(id ObjectID) bool {
	for _, b := range id[:len(id)-2] {
		if b != 0 {
			return false
		}
	}
	switch uint16(id[30])<<8 | uint16(id[31]) {
	case 0x5, 0x6, 0x7, 0x8, 0x403:
		return true
	}
	return false
}

// poster gathers the postings of one record.
type poster struct{ list []ledger.Posting }

func (p *poster) add(kind ledger.KeyKind, val string, role ledger.Role, value ledger.Amount) {
	p.list = append(p.list, ledger.Posting{Key: ledger.Key{Kind: kind, Val: val}, Role: role, Value: value})
}

func (p *poster) mention(kind ledger.KeyKind, val string) {
	p.add(kind, val, ledger.RoleMention, ledger.Amount{})
}

func (p *poster) address(a *Address, role ledger.Role) {
	p.add(ledger.KeyAddress, string(a[:]), role, ledger.Amount{})
}

// recordPosts returns the postings of a record, one a key, and what it moved. coins is nil where no ledger is held;
// then nothing has a value. Of a record of which only a part could be read that part is posted: nothing that a
// version which reads all of it would not post.
func recordPosts(r *ledger.Record, d *decoded, coins coinView) ([]ledger.Posting, []ledger.Move) {
	p := poster{list: make([]ledger.Posting, 0, 16)}
	p.mention(ledger.KeyRecord, r.ID.Key())
	if quietKind(d.kind) {
		return p.list, nil
	}
	if d.tx != nil {
		p.transaction(d.tx)
	} else {
		p.signers(d)
	}
	if d.effects != nil {
		p.effects(d.effects)
	}
	for i := range d.events {
		p.mention(ledger.KeyEvent, d.events[i].Type.String())
	}
	for i := range d.outputs {
		if o := &d.outputs[i]; o.object != nil {
			p.object(o.object)
		}
	}
	moves := movesOf(d, coins)
	for i := range moves {
		p.move(&moves[i])
	}
	return ledger.MergePostings(p.list), moves
}

func (p *poster) transaction(tx *SenderSigned) {
	data := &tx.Data
	call, ok := data.Kind.(*Programmable)
	if !ok { // what the network does itself bears the address zero, and nobody's signature
		p.address(&data.Sender, ledger.RoleSend)
		p.address(&data.Gas.Owner, ledger.RolePay)
		return
	}
	p.address(&data.Sender, ledger.RoleSend|ledger.RoleSign)
	pay := ledger.RolePay
	if data.Gas.Owner != data.Sender {
		pay |= ledger.RoleSign
	}
	p.address(&data.Gas.Owner, pay)
	for i := range call.Inputs {
		if b, ok := payloadIn(call.Inputs[i].Pure, nil); ok {
			sum := sha256.Sum256(b)
			p.mention(ledger.KeyPayload, string(sum[:]))
		}
	}
	for i := range call.Commands {
		if c := &call.Commands[i]; c.Type == CmdMoveCall {
			p.mention(ledger.KeyFunction, functionText(c))
		}
	}
}

// payloadIn returns the payload in a pure argument. One that is text, or longer than any number or address, is one.
// texts are those of the argument, if they are known.
func payloadIn(b []byte, texts []string) ([]byte, bool) {
	payload := b[payloadOff(b):]
	return payload, len(payload) > len(Address{}) || len(texts) > 0 || len(pureTexts(b)) > 0
}

// payloadOff returns where the payload begins in a pure argument: behind the length of bytes or a string that is all
// of it, an optional one too. Other arguments are payload as a whole.
func payloadOff(b []byte) int {
	for off := range min(2, len(b)) {
		if n, used := uleb(b[off:]); used > 0 && uint64(n) == uint64(len(b)-off-used) {
			return off + used
		}
		if b[0] != 1 {
			break
		}
	}
	return 0
}

// functionText returns the canonical text of the function that a Move call names.
func functionText(c *Command) string { return c.Package.String() + "::" + c.Module + "::" + c.Function }

// signers posts what a record whose transaction cannot be read tells all the same: whose signatures it bears, and who
// paid.
func (p *poster) signers(d *decoded) {
	for _, a := range signersOf(d) {
		p.address(&a, ledger.RoleSign)
	}
	if a, ok := payer(d.effects); ok {
		p.address(&a, ledger.RolePay)
	}
}

// signersOf returns the addresses whose good signatures a record bears. The bytes that stand for a signature in the
// network's own transactions are 97 zeros, and good for the key of 32 zeros by the letter of ZIP-215.
func signersOf(d *decoded) (out []Address) {
	for _, sig := range d.sigs {
		if len(bytes.Trim(sig, "\x00")) == 0 {
			continue
		}
		if a, _, err := VerifySignature(sig, d.data); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// payer returns who owned the coin that paid.
func payer(e *Effects) (Address, bool) {
	if e == nil || e.GasObject == nil || int64(*e.GasObject) >= int64(len(e.Changed)) {
		return Address{}, false
	}
	in := &e.Changed[*e.GasObject].In
	return in.Owner.Address, in.Exist && in.Owner.Type == OwnerAddress
}

// effects posts the objects that were touched, by id and by owner.
func (p *poster) effects(e *Effects) {
	for i := range e.Changed {
		c := &e.Changed[i]
		written := c.Out.Type != OutNotExist
		role := ledger.RoleMention
		switch {
		case !written && c.Op != OpCreated:
			role = ledger.RoleSpend // deleted, or wrapped into another object
		case !c.In.Exist:
			role = ledger.RoleReceive // created or unwrapped
		}
		p.add(ledger.KeyObject, string(c.ID[:]), role, ledger.Amount{})
		after := c.Out.Type == OutObject && c.Out.Owner.Type == OwnerAddress
		if after {
			p.address(&c.Out.Owner.Address, ledger.RoleReceive)
		}
		if c.In.Exist && c.In.Owner.Type == OwnerAddress && !(after && c.In.Owner.Address == c.Out.Owner.Address) {
			p.address(&c.In.Owner.Address, ledger.RoleSpend)
		}
	}
}

// object posts the type of a written object, a coin's owner with its type, and its tags.
func (p *poster) object(o *Object) {
	if o.Data.Move == nil {
		return
	}
	t := o.Data.Move.Type.Tag()
	p.mention(ledger.KeyType, t.String())
	if c, ok := coinOf(o); ok && c.asset != "" {
		p.add(ledger.KeyToken, string(c.owner[:])+c.asset, ledger.RoleReceive, ledger.Amount{})
	}
	if c, ok := fieldsOf(&t, o.Data.Move.Contents); ok {
		for _, tag := range c.tags {
			p.mention(ledger.KeyTag, string(tag))
		}
	}
}

// move posts the value of a change.
func (p *poster) move(m *ledger.Move) {
	role := ledger.RoleReceive
	if m.Amount.Sign() < 0 {
		role = ledger.RoleSpend
	}
	if m.Asset == "" {
		p.add(ledger.KeyAddress, m.Owner, 0, m.Amount) // the effects said in which role
		return
	}
	p.add(ledger.KeyToken, m.Owner+m.Asset, role, m.Amount)
}
