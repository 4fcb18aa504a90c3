package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"permanode/ledger"
)

// assembly gathers a toy cone.
type assembly struct {
	at    ledger.Start
	u     ledger.Unit
	have  map[ledger.ID]ledger.Identified
	known map[ledger.ID]bool // asked: true lies below the cone
	want  map[ledger.ID]bool
	order []ledger.Identified
}

func (a *assembly) Unit() ledger.Unit { return a.u }

func (a *assembly) HeadChanges() []ledger.Change { return nil }

func (a *assembly) tip() ledger.ID { return ledger.NewID(a.u.Header[49:81]) }

// Want walks from the tip.
func (a *assembly) Want(ctx context.Context, most int) ([]ledger.ID, error) {
	for {
		missing, unasked := a.walk()
		if len(unasked) == 0 {
			a.want = map[ledger.ID]bool{}
			for _, id := range missing {
				a.want[id] = true
			}
			return missing[:min(len(missing), most)], nil
		}
		known, err := a.at.Known(ctx, unasked)
		if err != nil {
			return nil, err
		}
		for i, id := range unasked {
			a.known[id] = known[i]
		}
	}
}

// walk visits what is there, each record after its parents.
func (a *assembly) walk() (missing, unasked []ledger.ID) {
	a.order = a.order[:0]
	type step struct {
		id  ledger.ID
		end bool
	}
	seen := map[ledger.ID]bool{}
	for stack := []step{{id: a.tip()}}; len(stack) > 0; {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		rec, have := a.have[s.id]
		if s.end {
			a.order = append(a.order, rec)
			continue
		}
		below, asked := a.known[s.id]
		if seen[s.id] || below {
			continue
		}
		seen[s.id] = true
		switch {
		case have:
			stack = append(stack, step{s.id, true})
			for _, p := range slices.Backward(rec.Parents) {
				stack = append(stack, step{id: p})
			}
		case asked:
			missing = append(missing, s.id)
		default:
			unasked = append(unasked, s.id)
		}
	}
	return missing, unasked
}

func (a *assembly) Put(ids ...ledger.Identified) (err error) {
	for _, id := range ids {
		if id.Err != nil || a.want != nil && !a.want[id.ID] && a.have[id.ID].Raw == nil {
			err = &ledger.Mismatch{Got: id.ID}
			continue
		}
		a.have[id.ID] = id
	}
	return err
}

func (a *assembly) Edge(ids ...ledger.ID) {
	for _, id := range ids {
		a.known[id] = true
	}
}

func (a *assembly) Members() []ledger.Identified { return slices.Clone(a.order) }

func (a *assembly) StateKeys(ps []ledger.Prepared) (keys [][]byte) {
	if !a.at.Held {
		return nil
	}
	for _, p := range ps {
		if r, ok := p.Data.(*record); ok {
			keys = append(keys, r.inputs...)
		}
	}
	return keys
}

// Seal applies and compares the root.
func (a *assembly) Seal(ps []ledger.Prepared, v ledger.View, c *ledger.NodeClaims) (*ledger.Cone, error) {
	b := &builder{seq: a.u.Seq, held: a.at.Held, read: func(k []byte) []byte { return v[string(k)] }, claims: c}
	for _, p := range ps {
		if p.Err != nil {
			return nil, p.Err
		}
		if err := b.add(p.ID, p.Raw, p.Data.(*record)); err != nil {
			return nil, err
		}
	}
	cone := b.cone(a.u)
	if int(binary.BigEndian.Uint32(a.u.Header[81:])) != len(ps) || !bytes.Equal(b.root(), a.u.Header[85:117]) {
		return nil, &ledger.Forged{Seq: a.u.Seq, Code: "native.root", Why: "records and states do not give the root"}
	}
	return cone, nil
}

// builder applies records in order. The generator and Seal share it.
type builder struct {
	seq     uint64
	held    bool
	read    func(key []byte) []byte
	claims  *ledger.NodeClaims
	records []ledger.Record
	rows    map[string][]byte // written in this unit
	keys    []string          // their order
}

// row returns an output as of before this unit, or as this unit left it. What later units wrote is undone:
// so a unit can be proven again over a state that has gone on.
func (b *builder) row(key []byte) []byte {
	if r, ok := b.rows[string(key)]; ok {
		return r
	}
	return b.before(key)
}

func (b *builder) before(key []byte) []byte {
	r := b.read(key)
	if r == nil || ledger.OrdFrom(r).Seq >= b.seq {
		return nil
	}
	if spent := ledger.OrdFrom(r[8:]); [8]byte(r[8:16]) != notOrd && spent.Seq >= b.seq {
		r = bytes.Clone(r)
		copy(r[8:], notOrd[:])
	}
	return r
}

func (b *builder) set(key, val []byte) {
	if b.rows == nil {
		b.rows = map[string][]byte{}
	}
	if _, ok := b.rows[string(key)]; !ok {
		b.keys = append(b.keys, string(key))
	}
	b.rows[string(key)] = val
}

func amountOf(o []byte) uint64 { return uint64(binary.BigEndian.Uint32(o[len(o)-4:])) }

// judge decides a record's state.
func (b *builder) judge(id ledger.ID, r *record) (ledger.State, uint16, error) {
	if len(r.inputs) == 0 && len(r.outs) == 0 {
		return ledger.NoTransaction, 0, nil
	}
	if !b.held {
		c, ok := b.claims.Records[id]
		if !ok {
			return 0, 0, &ledger.Forged{Seq: b.seq, Code: "claims", Why: fmt.Sprintf("nothing is claimed of %s", id)}
		}
		return c.State, c.Reason, nil
	}
	var in, out uint64
	for _, key := range r.inputs {
		row := b.row(key)
		if row == nil {
			return ledger.Conflicting, 1, nil
		}
		if [8]byte(row[8:16]) != notOrd {
			return ledger.Conflicting, 2, nil
		}
		in += amountOf(row)
	}
	for _, o := range r.outs {
		out += amountOf(o[:])
	}
	if in != out {
		return ledger.Conflicting, 3, nil
	}
	return ledger.Applied, 0, nil
}

func (b *builder) add(id ledger.ID, raw []byte, r *record) error {
	state, reason, err := b.judge(id, r)
	if err != nil {
		return err
	}
	rec := ledger.Record{
		Ord: ledger.Ord{Seq: b.seq, Pos: uint32(len(b.records))}, ID: id, State: state, Reason: reason, Basis: ledger.ByRoot,
		Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
	}
	if state != ledger.NoTransaction {
		rec.Kind = 1
	}
	if state == ledger.Conflicting && !b.held {
		rec.Basis = ledger.ByClaim
	}
	posts := poster{}
	posts.add(ledger.KeyRecord, id.Key(), ledger.RoleMention, ledger.Amount{})
	posts.add(ledger.KeyTag, string(r.tag), ledger.RoleMention, ledger.Amount{})
	for _, p := range r.parents {
		posts.add(ledger.KeyParent, p.Key(), ledger.RoleMention, ledger.Amount{})
	}
	if len(r.payload) >= payMin {
		sum := sha256.Sum256(r.payload)
		posts.add(ledger.KeyPayload, string(sum[:]), ledger.RoleMention, ledger.Amount{})
	}
	b.outputs(&rec, r, &posts)
	rec.Posts = posts.list
	b.records = append(b.records, rec)
	return nil
}

// outputs posts inputs and outputs and, where the record is applied and a ledger is held, moves them.
func (b *builder) outputs(rec *ledger.Record, r *record, posts *poster) {
	moves := rec.State == ledger.Applied && b.held
	for _, key := range r.inputs {
		posts.add(ledger.KeyOutput, string(key), ledger.RoleSpend, ledger.Amount{})
		if !moves {
			continue
		}
		row := bytes.Clone(b.row(key))
		o := rec.Ord.Bytes()
		copy(row[8:], o[:])
		b.set(key, row)
		m := ledger.Move{Owner: string(row[16:20]), Output: ledger.NewID(key), Amount: ledger.Coins(amountOf(row)).Neg()}
		rec.Moves = append(rec.Moves, m)
		posts.add(ledger.KeyAddress, m.Owner, ledger.RoleSpend|ledger.RoleSign, m.Amount)
	}
	for i, o := range r.outs {
		key := outputID(rec.ID, i)
		posts.add(ledger.KeyOutput, string(key), ledger.RoleReceive, ledger.Amount{})
		if !moves {
			posts.add(ledger.KeyAddress, string(o[:4]), ledger.RoleMention, ledger.Amount{})
			continue
		}
		at := rec.Ord.Bytes()
		b.set(key, slices.Concat(at[:], notOrd[:], o[:]))
		m := ledger.Move{Owner: string(o[:4]), Output: ledger.NewID(key), Amount: ledger.Coins(amountOf(o[:]))}
		rec.Moves = append(rec.Moves, m)
		posts.add(ledger.KeyAddress, m.Owner, ledger.RoleReceive, m.Amount)
	}
}

func (b *builder) root() []byte {
	h := sha256.New()
	for i := range b.records {
		h.Write(b.records[i].ID.Bytes())
		h.Write([]byte{byte(b.records[i].State)})
	}
	return h.Sum(nil)
}

// cone joins what was built. Every seventh unit pays something by itself.
func (b *builder) cone(u ledger.Unit) *ledger.Cone {
	c := &ledger.Cone{Unit: u, Records: b.records}
	for _, k := range b.keys {
		c.Changes = append(c.Changes, ledger.Change{Key: []byte(k), Old: b.before([]byte(k)), Val: b.rows[k]})
	}
	c.Changes = append(c.Changes, ledger.Change{
		Key: binary.BigEndian.AppendUint64([]byte{'u'}, u.Seq),
		Val: binary.BigEndian.AppendUint32(nil, uint32(len(b.records))),
	})
	if u.Seq%7 == 0 {
		c.Moves = []ledger.Move{{Owner: "unit", Output: ledger.NewID(outputID(u.ID, 0)), Amount: ledger.Coins(u.Seq)}}
		posts := poster{}
		posts.add(ledger.KeyAddress, "unit", ledger.RoleReceive, ledger.Coins(u.Seq))
		posts.add(ledger.KeyOutput, string(outputID(u.ID, 0)), ledger.RoleReceive, ledger.Amount{})
		c.Posts = posts.list
	}
	return c
}

// poster joins postings of one key.
type poster struct{ list []ledger.Posting }

func (p *poster) add(kind ledger.KeyKind, val string, role ledger.Role, v ledger.Amount) {
	k := ledger.Key{Kind: kind, Val: val}
	for i := range p.list {
		if p.list[i].Key == k {
			p.list[i].Role |= role
			p.list[i].Value = p.list[i].Value.Add(v)
			return
		}
	}
	p.list = append(p.list, ledger.Posting{Key: k, Role: role, Value: v})
}
