package rebased

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"permanode/ledger"
)

// dummySignature stands for the signature of a transaction that no user sent.
var dummySignature = make([]byte, 97)

// StateKeys returns the coins that the transactions found, where the ledger is held: it says what they were worth.
func (a *assembly) StateKeys(list []ledger.Prepared) (keys [][]byte) {
	if !a.held {
		return nil
	}
	for i := range list {
		p, ok := list[i].Data.(*prepared)
		if !ok || p.effects == nil || quietKind(p.kind) {
			continue
		}
		for k := range p.effects.Changed {
			if c := &p.effects.Changed[k]; c.In.Exist && c.In.Owner.Type == OwnerAddress {
				keys = append(keys, coinKey(c.ID, c.In.Version))
			}
		}
	}
	return keys
}

// Seal compares every record with the list and gives it its place. The codes of its *Forged:
//
//	record.transaction  not the transaction that the list names at its place
//	record.effects      not the effects that the list names, or effects of another transaction
//	record.epoch        effects of another epoch
//	record.events       other events than the effects name, none, or some too many
//	record.objects      an object that the effects do not name so, or one of theirs that is missing
//	record.signatures   other signatures than the contents list, a bad one, or none of a required signer
func (a *assembly) Seal(list []ledger.Prepared, view ledger.View, _ *ledger.NodeClaims) (*ledger.Cone, error) {
	if len(list) != len(a.records) {
		return nil, fmt.Errorf("seal checkpoint %d: %d records where %d are listed", a.unit.Seq, len(list), len(a.records))
	}
	c := &ledger.Cone{Unit: a.unit, Records: make([]ledger.Record, len(list)), Changes: a.HeadChanges()}
	if a.held && a.unit.Seq == 0 {
		c.Changes = append(c.Changes, ledger.Change{Key: []byte(heldKey), Val: []byte{}})
	}
	l := &ledgerView{view: view}
	for i := range list {
		p, err := a.check(i, &list[i])
		if err != nil {
			return nil, err
		}
		r := &c.Records[i]
		*r = ledger.Record{
			Ord: ledger.Ord{Seq: a.unit.Seq, Pos: uint32(i)}, ID: ledger.NewID(p.digest[:]), Kind: p.kind, State: stateOf(p.effects),
			Basis: ledger.ByRoot, Parts: p.stored, Undecoded: p.reason != "",
		}
		if !a.held {
			r.Posts, r.Moves = recordPosts(r, p.decoded, nil)
			continue
		}
		r.Posts, r.Moves = recordPosts(r, p.decoded, l.coin)
		l.write(p)
	}
	c.Changes = append(c.Changes, l.changes...)
	return c, nil
}

func stateOf(e *Effects) ledger.State {
	switch {
	case e == nil:
		return ledger.Executed
	case e.Failure != nil:
		return ledger.ExecutedFailure
	}
	return ledger.ExecutedSuccess
}

// check compares the record at place i of the list with it.
func (a *assembly) check(i int, r *ledger.Prepared) (*prepared, error) {
	id, forged := a.contents.Transactions[i], forging(a.unit.Seq)
	var broken *recordError
	if errors.As(r.Err, &broken) {
		return nil, forged(broken.code, "transaction %s: %v", id.Transaction, broken.err)
	}
	if r.Err != nil {
		return nil, fmt.Errorf("transaction %s of checkpoint %d: %w", id.Transaction, a.unit.Seq, r.Err)
	}
	p, ok := r.Data.(*prepared)
	if !ok {
		return nil, fmt.Errorf("seal checkpoint %d: transaction %s was not prepared by this era", a.unit.Seq, id.Transaction)
	}
	if p.digest != id.Transaction {
		return nil, forged("record.transaction", "%s stands where %s is listed", p.digest, id.Transaction)
	}
	if p.fxDigest != id.Effects {
		return nil, forged("record.effects", "transaction %s: effects %s, the list names %s", p.digest, p.fxDigest, id.Effects)
	}
	if p.effects != nil && p.effects.Epoch != a.Summary.Epoch {
		return nil, forged("record.epoch", "transaction %s was executed in epoch %d", p.digest, p.effects.Epoch)
	}
	if !p.signedAs(a.contents.Signatures[i]) {
		return nil, forged("record.signatures", "transaction %s: not the signatures that the contents list", p.digest)
	}
	return p, nil
}

// signedAs compares the envelope's signatures with those of the contents. What the network does itself bears one
// dummy, whatever the contents list; of a kind that is not known nobody can say which it is.
func (p *prepared) signedAs(listed [][]byte) bool {
	dummy := len(p.sigs) == 1 && bytes.Equal(p.sigs[0], dummySignature)
	switch p.kind {
	case KindProgrammable:
		return slices.EqualFunc(p.sigs, listed, bytes.Equal)
	case 0:
		return dummy || slices.EqualFunc(p.sigs, listed, bytes.Equal)
	}
	return dummy
}

// ledgerView is the coins of addresses: those of the state, and those that this cone has written so far.
type ledgerView struct {
	view    ledger.View
	written map[string]int // place in changes
	changes []ledger.Change
}

// coin is a [coinView].
func (l *ledgerView) coin(id ObjectID, version uint64) (coin, bool) {
	key := coinKey(id, version)
	if i, ok := l.written[string(key)]; ok {
		return decodeCoin(l.changes[i].Val)
	}
	return decodeCoin(l.view[string(key)])
}

// write notes the coins that a record wrote.
func (l *ledgerView) write(p *prepared) {
	if p.effects == nil || quietKind(p.kind) {
		return
	}
	for i := range p.outputs {
		o := &p.outputs[i]
		if o.object == nil {
			continue
		}
		c, ok := coinOf(o.object)
		if !ok {
			continue
		}
		key := coinKey(o.id, o.object.Version())
		if _, again := l.written[string(key)]; again {
			continue // no ledger writes one version twice
		}
		if l.written == nil {
			l.written = make(map[string]int)
		}
		l.written[string(key)] = len(l.changes)
		l.changes = append(l.changes, ledger.Change{Key: key, Val: c.encode()})
	}
}
