package stardust

import (
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
	"permanode/ledger/merkle"
)

func newBLAKE2b() hash.Hash {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // only a key can be wrong, and there is none
	}
	return h
}

// InclusionRoot returns the Merkle root over block ids: all of a cone for the inclusion root, those of
// applied transactions for the applied root, both in white-flag order. Source: TIP-4, TIP-29.
func InclusionRoot(ids []ledger.ID) Hash { return Hash(merkle.Root(newBLAKE2b, ids)) }

// StateKeys returns the keys of the totals and, where a ledger is held, of every output that a
// transaction of the cone consumes.
func (a *assembly) StateKeys(p []ledger.Prepared) [][]byte {
	keys := [][]byte{totalsKey(a.unit.Seq - 1)}
	if !a.at.Held {
		return keys
	}
	seen := make(map[OutputID]struct{})
	for i := range p {
		b, ok := p[i].Data.(*prepared)
		if !ok || b.tx == nil {
			continue
		}
		for _, id := range b.tx.Inputs {
			if _, again := seen[id]; !again {
				seen[id] = struct{}{}
				keys = append(keys, outputKey(id))
			}
		}
	}
	return keys
}

// Seal decides the cone. The codes of its *Forged, in the order of the checks:
//
//	native.inclusion     the blocks are not those whose root is signed
//	unit.previous-block  the block of the milestone before is not among them
//	unit.version         a protocol version that is not in force
//	claims.missing       no word on a transaction, or none that can be (by claims)
//	native.applied       the blocks claimed to be applied are not those whose root is signed (by claims)
//	ledger.root          replay applied others than those whose root is signed
//	ledger.receipt       a receipt that does not fit the treasury
//	ledger.supply        unspent outputs and treasury are not the supply
func (a *assembly) Seal(p []ledger.Prepared, v ledger.View, c *ledger.NodeClaims) (*ledger.Cone, error) {
	if err := a.matches(p, c); err != nil {
		return nil, fmt.Errorf("seal milestone %d: %w", a.m.Index, err)
	}
	before, err := a.totalsBefore(v)
	if err != nil {
		return nil, fmt.Errorf("seal milestone %d: %w", a.m.Index, err)
	}
	if err := a.checkBlocks(p, before.parameters); err != nil {
		return nil, err
	}
	s := newSealing(a, p, v, before)
	if a.at.Held {
		err = s.replay()
	} else {
		err = s.byClaims(c)
	}
	if err != nil {
		return nil, err
	}
	return s.cone()
}

func (a *assembly) forged(code, format string, args ...any) error {
	return &ledger.Forged{Seq: a.unit.Seq, Code: code, Why: fmt.Sprintf(format, args...)}
}

// matches checks what the caller hands over.
func (a *assembly) matches(p []ledger.Prepared, c *ledger.NodeClaims) error {
	switch {
	case !a.closed:
		return errors.New("the cone is not closed")
	case len(p) != len(a.order):
		return fmt.Errorf("%d prepared blocks for a cone of %d", len(p), len(a.order))
	case a.at.Held && c != nil:
		return errors.New("claims where a ledger is held")
	}
	for i, n := range a.order {
		if p[i].ID != a.nodes[n].ID {
			return fmt.Errorf("prepared block %d is %s, the cone has %s there", i, p[i].ID, a.nodes[n].ID)
		}
	}
	return nil
}

// totalsBefore reads the totals at the end of the unit before. At the first unit of a span without a
// ledger there are none: the trust file says which parameters were in force.
func (a *assembly) totalsBefore(v ledger.View) (totals, error) {
	key := totalsKey(a.unit.Seq - 1)
	row, read := v[string(key)]
	switch {
	case !read:
		return totals{}, errors.New("the state was not read")
	case row != nil:
		t, err := decodeTotals(row)
		if err == nil && a.at.Held && !t.held {
			err = errors.New("no ledger is held at the unit before")
		}
		return t, err
	case a.at.Held || a.at.Prev != nil:
		return totals{}, errors.New("no state stands at the unit before")
	}
	return totals{parameters: parameterTable{a.rules.genesis}}, nil
}

// checkBlocks checks all that needs no ledger: the inclusion root, each block's own rules, and the
// block of the milestone before.
func (a *assembly) checkBlocks(p []ledger.Prepared, table parameterTable) error {
	ids := make([]ledger.ID, len(p))
	for i := range p {
		ids[i] = p[i].ID
	}
	if root := InclusionRoot(ids); root != a.m.Inclusion {
		return a.forged("native.inclusion", "the root over %d blocks is %x, the signed one %x", len(ids), root, a.m.Inclusion)
	}
	if a.m.Previous != (Hash{}) && !a.hasPrevious() {
		return a.forged("unit.previous-block", "no block of the cone carries milestone %x", a.m.Previous)
	}
	accepted := table.accepted(a.m.Index)
	known := false
	for i := range accepted {
		known = known || accepted[i].Version == a.m.Version
	}
	if !known {
		return a.forged("unit.version", "protocol version %d; %d is in force", a.m.Version, accepted[0].Version)
	}
	for i := range p {
		if err := checkPrepared(&p[i], accepted); err != nil {
			return fmt.Errorf("block %s in the cone of milestone %d: %w", p[i].ID, a.m.Index, err)
		}
	}
	return nil
}

// checkPrepared judges a block by the parameters in force or lately in force; the error is by those in
// force.
func checkPrepared(p *ledger.Prepared, accepted []parameterEntry) error {
	if p.Err != nil {
		return p.Err
	}
	d, ok := p.Data.(*prepared)
	if !ok {
		return errors.New("the block was not prepared")
	}
	var first error
	for i := range accepted {
		err := CheckBlock(d.block, &accepted[i].Parameters)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// sealing is one run of the ledger over a closed cone.
type sealing struct {
	*assembly
	p       []ledger.Prepared
	view    ledger.View
	after   totals
	outputs map[OutputID]*entry // all that the cone touches, as of now
	touched []OutputID          // created or consumed, in that order
	records []ledger.Record
	applied []ledger.ID
	moves   []ledger.Move // of the receipt
	posts   []ledger.Posting
}

// entry is an output during a seal.
type entry struct {
	outputRow
	out   *Output
	id    OutputID
	fresh bool // created by this unit
	known bool // stands in the ledger before this unit, or fresh
}

func newSealing(a *assembly, p []ledger.Prepared, v ledger.View, before totals) *sealing {
	s := &sealing{
		assembly: a, p: p, view: v, after: before,
		outputs: make(map[OutputID]*entry),
		records: make([]ledger.Record, len(p)),
	}
	s.after.held = a.at.Held
	if c := a.m.Parameters; c != nil {
		e, err := newParameters(c.Target, c.Params)
		if err == nil { // Begin refused all others
			s.after.parameters = s.after.parameters.with(e)
		}
	}
	s.after.parameters = s.after.parameters.trim(a.m.Index)
	for i := range p {
		d := p[i].Data.(*prepared)
		r := &s.records[i]
		*r = ledger.Record{
			Ord: ledger.Ord{Seq: a.unit.Seq, Pos: uint32(i)}, ID: p[i].ID,
			State: ledger.NoTransaction, Basis: ledger.ByRoot,
			Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: p[i].Raw}},
		}
		if d.block.Payload != nil {
			r.Kind = uint8(d.block.Payload.Type())
		}
	}
	return s
}

// replay decides every transaction by the ledger.
func (s *sealing) replay() error {
	for i := range s.p {
		d := s.p[i].Data.(*prepared)
		r := &s.records[i]
		if d.tx == nil {
			r.Posts = posts(r, d, nil, false, s.m.Timestamp)
			continue
		}
		in, conflict, err := s.inputs(d.tx)
		if err != nil {
			return fmt.Errorf("seal milestone %d: %w", s.m.Index, err)
		}
		if conflict == ConflictNone {
			conflict = Judge(d.tx, consumed(in), d.signers, s.m.Timestamp)
		}
		if conflict != ConflictNone {
			r.State, r.Reason = ledger.Conflicting, uint16(conflict)
			r.Posts = posts(r, d, nil, false, s.m.Timestamp)
			continue
		}
		r.State = ledger.Applied
		s.applied = append(s.applied, r.ID)
		s.apply(r, d.tx, in)
		r.Moves = moves(d.tx, in, s.m.Timestamp)
		r.Posts = posts(r, d, in, true, s.m.Timestamp)
	}
	if root := InclusionRoot(s.applied); root != s.m.Applied {
		return s.forged("ledger.root", "replay applied %d of %d transactions, with root %x; the signed root is %x",
			len(s.applied), s.transactions(), root, s.m.Applied)
	}
	if err := s.receipt(); err != nil {
		return err
	}
	now := &s.after.parameters[s.after.parameters.at(s.m.Index)]
	if sum := s.after.unspent + s.after.amount; sum != now.Supply || sum < s.after.amount {
		return s.forged("ledger.supply", "unspent outputs hold %d and the treasury %d; the supply is %d",
			s.after.unspent, s.after.amount, now.Supply)
	}
	return nil
}

func (s *sealing) transactions() (n int) {
	for i := range s.p {
		if s.p[i].Data.(*prepared).tx != nil {
			n++
		}
	}
	return n
}

func consumed(in []*entry) []Consumed {
	out := make([]Consumed, len(in))
	for i, e := range in {
		out[i] = Consumed{ID: e.id, Output: e.out}
	}
	return out
}

// inputs looks up what t consumes; the conflict is that of the first input which cannot be consumed.
func (s *sealing) inputs(t *Transaction) ([]*entry, Conflict, error) {
	in := make([]*entry, len(t.Inputs))
	for i, id := range t.Inputs {
		e, err := s.output(id)
		switch {
		case err != nil:
			return nil, 0, err
		case !e.known:
			return nil, ConflictUnknownInput, nil
		case e.spent.Seq == s.unit.Seq:
			return nil, ConflictSpentHere, nil
		case e.spent != unspent:
			return nil, ConflictSpent, nil
		}
		in[i] = e
	}
	for _, e := range in {
		if e.out == nil {
			o, err := ParseOutput(e.raw)
			if err != nil {
				return nil, 0, fmt.Errorf("%w: output %x: %w", errState, e.id, err)
			}
			e.out = o
		}
	}
	return in, ConflictNone, nil
}

// output returns the output with that id as it stands now.
func (s *sealing) output(id OutputID) (*entry, error) {
	if e := s.outputs[id]; e != nil {
		return e, nil
	}
	var key [35]byte
	key[0] = stateOutput
	copy(key[1:], id[:])
	row, read := s.view[string(key[:])]
	if !read {
		return nil, fmt.Errorf("the state of output %x was not read", id)
	}
	e := &entry{id: id}
	if row != nil {
		r, err := decodeOutputRow(row)
		if err != nil {
			return nil, fmt.Errorf("output %x: %w", id, err)
		}
		e.outputRow, e.known = r.asOf(s.unit.Seq)
	}
	s.outputs[id] = e
	return e, nil
}

// apply spends what t consumes and books what it creates.
func (s *sealing) apply(r *ledger.Record, t *Transaction, in []*entry) {
	for _, e := range in {
		e.spent = r.Ord
		s.after.unspent -= e.out.Amount
		if !e.fresh {
			s.touched = append(s.touched, e.id)
		}
	}
	for i := range t.Outputs {
		s.book(t.output(i), &t.Outputs[i], r.Ord, hashOf(r.ID))
	}
}

// book adds an output to the ledger.
func (s *sealing) book(id OutputID, o *Output, at ledger.Ord, block Hash) {
	s.outputs[id] = &entry{
		outputRow: outputRow{created: at, booked: s.m.Timestamp, block: block, spent: unspent, raw: o.Raw},
		out:       o, id: id, fresh: true, known: true,
	}
	s.touched = append(s.touched, id)
	s.after.unspent += o.Amount
}

// byClaims takes the states from a node's word, which the applied root proves or refutes.
func (s *sealing) byClaims(c *ledger.NodeClaims) error {
	for i := range s.p {
		d := s.p[i].Data.(*prepared)
		r := &s.records[i]
		if d.tx != nil {
			var word ledger.Claimed
			if c != nil {
				word = c.Records[r.ID]
			}
			switch word.State {
			case ledger.Applied:
				s.applied = append(s.applied, r.ID)
				r.State = ledger.Applied
			case ledger.Conflicting:
				r.State, r.Reason, r.Basis = ledger.Conflicting, word.Reason, ledger.ByClaim
			default:
				return s.forged("claims.missing", "the source says %q of transaction block %s", word.State, r.ID)
			}
		}
		r.Posts = posts(r, d, nil, r.State == ledger.Applied, s.m.Timestamp)
	}
	if root := InclusionRoot(s.applied); root != s.m.Applied {
		return s.forged("native.applied", "the root over the %d blocks claimed to be applied is %x, the signed one %x",
			len(s.applied), root, s.m.Applied)
	}
	if r := s.m.Receipt; r != nil {
		s.posts = receiptPosts(s.m, false)
	}
	return nil
}

// receipt books migrated funds against the treasury (spec section 11).
func (s *sealing) receipt() error {
	r := s.m.Receipt
	if r == nil {
		return nil
	}
	left := s.after.amount
	for i := range r.Funds {
		f := &r.Funds[i]
		if f.Deposit > left {
			return s.forged("ledger.receipt", "migrated funds exceed the treasury of %d", s.after.amount)
		}
		left -= f.Deposit
		s.book(s.m.migrated(i), f.output(), ledger.Ord{Seq: s.unit.Seq, Pos: ledger.UnitPos}, Hash{})
	}
	if r.Treasury.Input != s.after.treasury || r.Treasury.Amount != left {
		return s.forged("ledger.receipt", "the receipt moves treasury %x to leave %d; treasury %x holds %d, which leaves %d",
			r.Treasury.Input, r.Treasury.Amount, s.after.treasury, s.after.amount, left)
	}
	s.after.treasury, s.after.amount = s.m.ID, left
	s.moves = receiptMoves(s.m)
	s.posts = receiptPosts(s.m, true)
	return nil
}

// migrated returns the id of the output made of the i-th fund of a receipt.
func (m *Milestone) migrated(i int) (id OutputID) {
	copy(id[:], m.ID[:])
	le.PutUint16(id[32:], uint16(i))
	return id
}

// output returns the output made of a fund.
func (f *Fund) output() *Output {
	o := &Output{Type: OutputBasic, Amount: f.Deposit, Conditions: []Condition{{Type: ConditionAddress, Address: f.Address}}}
	o.Raw = AppendOutput(nil, o)
	return o
}

// cone hands over what was decided.
func (s *sealing) cone() (*ledger.Cone, error) {
	c := &ledger.Cone{Unit: s.unit, Records: s.records, Moves: s.moves, Posts: s.posts}
	c.Changes = make([]ledger.Change, 0, len(s.touched)+1)
	c.Changes = append(c.Changes, ledger.Change{Key: totalsKey(s.unit.Seq), Val: s.after.encode()})
	for _, id := range s.touched {
		e := s.outputs[id]
		change := ledger.Change{Key: outputKey(id), Val: e.encode()}
		if !e.fresh {
			was := e.outputRow
			was.spent = unspent
			change.Old = was.encode()
		}
		c.Changes = append(c.Changes, change)
	}
	return c, nil
}
