package stardust

import (
	"crypto/sha256"
	"encoding/hex"

	"permanode/ledger"
)

// poster gathers the postings of one record or unit.
type poster struct {
	list []ledger.Posting
	time int64 // seconds: whose an output is that is consumed
}

func (p *poster) add(kind ledger.KeyKind, val string, role ledger.Role, value ledger.Amount) {
	p.list = append(p.list, ledger.Posting{Key: ledger.Key{Kind: kind, Val: val}, Role: role, Value: value})
}

func (p *poster) mention(kind ledger.KeyKind, val []byte, role ledger.Role) {
	p.add(kind, string(val), role, ledger.Amount{})
}

// posts returns the postings of a block that a milestone of that time, in seconds, confirmed. in holds the consumed
// outputs where a ledger is held and the transaction was applied; only then do values count. Of what was not applied
// everything is a mention.
func posts(r *ledger.Record, d *prepared, in []*entry, applied bool, time uint32) []ledger.Posting {
	p := poster{list: make([]ledger.Posting, 0, 16), time: int64(time)}
	p.add(ledger.KeyRecord, r.ID.Key(), ledger.RoleMention, ledger.Amount{})
	for i := range d.block.Parents {
		p.mention(ledger.KeyParent, d.block.Parents[i][:], ledger.RoleMention)
	}
	switch payload := d.block.Payload.(type) {
	case *TaggedData:
		p.tagged(payload)
	case *Transaction:
		p.transaction(payload, d.signers, in, applied)
	case *Milestone:
		if payload.Receipt != nil {
			for i := range payload.Receipt.Funds {
				p.mention(ledger.KeyAddress, payload.Receipt.Funds[i].Address[:], ledger.RoleMention)
			}
		}
	}
	return ledger.MergePostings(p.list)
}

func (p *poster) tagged(t *TaggedData) {
	p.mention(ledger.KeyTag, t.Tag, ledger.RoleMention)
	p.payload(t.Data)
}

// payload posts the SHA-256 of what somebody wrote, if it is anything.
func (p *poster) payload(data []byte) {
	if len(data) > 0 {
		sum := sha256.Sum256(data)
		p.mention(ledger.KeyPayload, sum[:], ledger.RoleMention)
	}
}

func (p *poster) transaction(t *Transaction, signers []Signer, in []*entry, applied bool) {
	p.mention(ledger.KeyTransaction, t.ID[:], ledger.RoleMention)
	spend, receive := ledger.RoleMention, ledger.RoleMention
	if applied {
		spend, receive = ledger.RoleSpend, ledger.RoleReceive
	}
	for i := range t.Inputs {
		p.mention(ledger.KeyOutput, t.Inputs[i][:], spend)
	}
	for _, e := range in {
		p.consumed(e.out, e.id)
	}
	for i := range t.Unlocks {
		if t.Unlocks[i].Type == UnlockSignature && signers[i].Good {
			role := ledger.RoleSign
			if applied {
				role |= ledger.RoleSpend // who signs an applied transaction opened an input of it
			}
			p.mention(ledger.KeyAddress, signers[i].Address[:], role)
		}
	}
	valued := 0
	if len(in) > 0 {
		valued = 1
	}
	for i := range t.Outputs {
		id := t.output(i)
		p.mention(ledger.KeyOutput, id[:], receive)
		p.output(&t.Outputs[i], id, receive, valued)
	}
	if t.Payload != nil {
		p.tagged(t.Payload)
	}
}

// output posts all that a created output names. sign is what its amounts count: 1, or 0 for nothing.
func (p *poster) output(o *Output, id OutputID, role ledger.Role, sign int) {
	p.amounts(o.owner(), o, role, sign)
	if c, ok := o.chain(id); ok {
		p.add(ledger.KeyObject, c.object(), role, ledger.Amount{})
	}
	if o.Type == OutputBasic || o.Type == OutputFoundry {
		p.mention(ledger.KeySuccessor, successor(id), role) // an alias or nft keeps its own id
	}
	if role == ledger.RoleReceive {
		p.expiry(o, id, role)
	}
	for i := range o.Conditions {
		c := &o.Conditions[i]
		switch c.Type {
		case ConditionTimelock:
		case ConditionStorageReturn, ConditionExpiration:
			p.mention(ledger.KeyAddress, c.Address[:], ledger.RoleMention|ledger.RoleReturn)
		default:
			p.mention(ledger.KeyAddress, c.Address[:], ledger.RoleMention)
		}
	}
	p.features(o.Features)
	p.features(o.Immutable)
}

// consumed posts an output that an applied transaction consumes; what else it names was said when it was created. The
// values go from the address that they were counted to, so that sums need no correction once the output is spent; who
// consumed it is the address that it had gone to, if it was expired.
func (p *poster) consumed(o *Output, id OutputID) {
	first, now := o.owner(), o.ownerAt(p.time)
	if first == now {
		p.amounts(first, o, ledger.RoleSpend, -1)
	} else {
		p.amounts(first, o, ledger.RoleMention, -1)
		p.amounts(now, o, ledger.RoleSpend, 0)
	}
	if c, ok := o.chain(id); ok {
		p.add(ledger.KeyObject, c.object(), ledger.RoleSpend, ledger.Amount{})
	}
	p.expiry(o, id, ledger.RoleSpend)
}

// amounts posts what an output holds to an address.
func (p *poster) amounts(owner Address, o *Output, role ledger.Role, sign int) {
	p.add(ledger.KeyAddress, string(owner[:]), role, signed(ledger.Coins(o.Amount), sign))
	for i := range o.Tokens {
		t := &o.Tokens[i]
		p.add(ledger.KeyToken, string(owner[:])+string(t.ID[:]), role, signed(ledger.BigAmount(t.Amount), sign))
	}
}

// expiry posts an output that time moves to the addresses between which it does.
func (p *poster) expiry(o *Output, id OutputID, role ledger.Role) {
	for _, a := range o.expiresBetween() {
		p.mention(ledger.KeyExpiry, append(a[:], id[:]...), role)
	}
}

func (p *poster) features(fs []Feature) {
	for i := range fs {
		f := &fs[i]
		switch f.Type {
		case FeatureSender, FeatureIssuer:
			p.mention(ledger.KeyAddress, f.Address[:], ledger.RoleMention)
		case FeatureTag:
			p.mention(ledger.KeyTag, f.Data, ledger.RoleMention)
		case FeatureMetadata:
			p.payload(f.Data)
		}
	}
}

// successor returns the id of the object that an output which nobody spends becomes in the next era: BLAKE2b-256 of
// its own id (Rebased spec 18).
func successor(id OutputID) []byte {
	h := H(id[:])
	return h[:]
}

// Links leads from outputs to the objects that they became, and from aliases and nfts, whose ids stay. Of the
// records that an output is found with only the one that made it tells what it was.
func (Codec) Links(k ledger.Key, in *ledger.Record) (later, earlier []ledger.Key) {
	switch {
	case k.Kind == ledger.KeyOutput && len(k.Val) == len(OutputID{}):
		if in != nil {
			return linksOfOutput(k.Val, in), nil
		}
		return []ledger.Key{{Kind: ledger.KeyObject, Val: string(successor(OutputID([]byte(k.Val))))}}, nil
	case k.Kind == ledger.KeyObject && len(k.Val) == len(Address{}):
		return []ledger.Key{{Kind: ledger.KeyObject, Val: k.Val[1:]}}, nil
	}
	return nil, nil
}

// linksOfOutput returns the id under which the output that in made, if it did, went on.
func linksOfOutput(output string, in *ledger.Record) []ledger.Key {
	b, err := ParseBlock(in.Parts[0].Raw)
	if err != nil {
		return nil
	}
	tx, ok := b.Payload.(*Transaction)
	for i := 0; ok && i < len(tx.Outputs); i++ {
		id := tx.output(i)
		if string(id[:]) != output {
			continue
		}
		if c, chained := tx.Outputs[i].chain(id); chained && c.kind != OutputFoundry {
			a := c.address()
			return []ledger.Key{{Kind: ledger.KeyObject, Val: string(a[1:])}}
		}
		return []ledger.Key{{Kind: ledger.KeyObject, Val: string(successor(id))}}
	}
	return nil
}

// FormatKey writes ids as hex, as the REST API does, and a successor's as the id of the output that it came from,
// which only the record tells. An alias or nft is written without its type.
func (c Codec) FormatKey(k ledger.Key, in *ledger.Record) string {
	val := k.Val
	switch {
	case k.Kind == ledger.KeySuccessor && in != nil && len(in.Parts) == 1:
		if b, err := ParseBlock(in.Parts[0].Raw); err == nil {
			val = b.created(val)
		}
	case k.Kind == ledger.KeyObject && len(val) == len(Address{}):
		val = val[1:]
	}
	return "0x" + hex.EncodeToString([]byte(val))
}

// created returns the id of the output of b whose successor has the id h, else h.
func (b *Block) created(h string) string {
	if tx, ok := b.Payload.(*Transaction); ok {
		for i := range tx.Outputs {
			if id := tx.output(i); string(successor(id)) == h {
				return string(id[:])
			}
		}
	}
	return h
}

// owner returns whose an output is at first: its address, state controller or alias. The values of postings count to
// it for as long as the output is not spent, whoever it goes to when it expires.
func (o *Output) owner() Address { return o.Conditions[0].Address }

// ownerAt returns whose an output is at that time, in seconds: once it has expired that of the address to which it
// returns.
func (o *Output) ownerAt(time int64) Address {
	if c := o.condition(ConditionExpiration); c != nil && int64(c.Time) <= time {
		return c.Address
	}
	return o.owner()
}

// expiresBetween returns the two addresses between which time alone moves an output, nil if it moves none.
func (o *Output) expiresBetween() []Address {
	c := o.condition(ConditionExpiration)
	if c == nil || c.Address == o.owner() {
		return nil
	}
	return []Address{o.owner(), c.Address}
}

// object returns the form of a chain's id in a key: its address, for a foundry its own id.
func (c chainID) object() string {
	if c.kind == OutputFoundry {
		return string(c.id[:])
	}
	a := c.address()
	return string(a[:])
}

func signed(a ledger.Amount, sign int) ledger.Amount {
	switch {
	case sign == 0:
		return ledger.Amount{}
	case sign < 0:
		return a.Neg()
	}
	return a
}

// moves returns the changes of ownership of a transaction that a milestone of that time applied: what it consumed, of
// whom it was by then, and what it made, of whom it is at first.
func moves(t *Transaction, in []*entry, time uint32) []ledger.Move {
	out := make([]ledger.Move, 0, len(in)+len(t.Outputs))
	for _, e := range in {
		out = outputMoves(out, e.out.ownerAt(int64(time)), e.out, e.id, -1)
	}
	for i := range t.Outputs {
		o := &t.Outputs[i]
		out = outputMoves(out, o.owner(), o, t.output(i), 1)
	}
	return out
}

func outputMoves(dst []ledger.Move, owner Address, o *Output, id OutputID, sign int) []ledger.Move {
	m := ledger.Move{Owner: string(owner[:]), Output: ledger.NewID(id[:]), Amount: signed(ledger.Coins(o.Amount), sign)}
	dst = append(dst, m)
	for i := range o.Tokens {
		m.Asset = string(o.Tokens[i].ID[:])
		m.Amount = signed(ledger.BigAmount(o.Tokens[i].Amount), sign)
		dst = append(dst, m)
	}
	return dst
}

// receiptMoves returns what a receipt created.
func receiptMoves(m *Milestone) []ledger.Move {
	var out []ledger.Move
	for i := range m.Receipt.Funds {
		o := m.Receipt.Funds[i].output()
		out = outputMoves(out, o.owner(), o, m.migrated(i), 1)
	}
	return out
}

// receiptPosts returns the postings of what a receipt created.
func receiptPosts(m *Milestone, held bool) []ledger.Posting {
	var p poster
	sign := 0
	if held {
		sign = 1
	}
	for i := range m.Receipt.Funds {
		id := m.migrated(i)
		p.mention(ledger.KeyOutput, id[:], ledger.RoleReceive)
		p.output(m.Receipt.Funds[i].output(), id, ledger.RoleReceive, sign)
	}
	return ledger.MergePostings(p.list)
}
