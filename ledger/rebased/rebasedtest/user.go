package rebasedtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// plan is a user's transaction that is being made.
type plan struct {
	n      *Network
	sender *account
	payer  *account
	coin   *object // that pays
	call   rebased.Programmable
	record Record
	done   done
}

// user returns a transaction of a user.
func (n *Network) user() Record {
	p := &plan{n: n, sender: n.account()}
	p.payer = p.sender
	if n.rng.IntN(5) == 0 {
		p.payer = n.account()
	}
	p.coin = p.payer.coins[n.rng.IntN(2)] // one of genesis: it will always suffice
	kinds := []func(*plan) func(){
		(*plan).pay, (*plan).pay, (*plan).send, (*plan).merge, (*plan).fail, (*plan).notarize, (*plan).destroy,
		(*plan).audit, (*plan).large, (*plan).publish, (*plan).wrap,
	}
	act := kinds[n.rng.IntN(len(kinds))](p)
	p.sign(&p.call)
	act()
	p.charge()
	n.effects(&p.record, p.done)
	return p.record
}

// sign encodes the transaction and has sender and payer sign it.
func (p *plan) sign(kind rebased.TransactionKind) {
	d := rebased.TransactionData{Kind: kind, Sender: p.sender.address, Gas: rebased.GasData{
		Payment: []rebased.ObjectRef{p.coin.ref()}, Owner: p.payer.address, Price: 1000, Budget: 50_000_000,
	}}
	if p.n.rng.IntN(4) == 0 {
		epoch := p.n.epoch + 1
		d.Expiration = &epoch
	}
	p.seal(rebased.AppendTransactionData(nil, &d))
}

func (p *plan) seal(data []byte) {
	r := &p.record
	r.Data, r.Kind, r.Sender, r.Payer = data, rebased.KindProgrammable, p.sender.address, p.payer.address
	digest := rebased.SigningDigest(data)
	r.Signatures = [][]byte{p.sender.sign(digest)}
	if p.payer != p.sender {
		r.Signatures = append(r.Signatures, p.payer.sign(digest))
	}
	r.Listed = r.Signatures
	p.done.digest = r.Digest()
}

// charge takes the costs from the coin that pays.
func (p *plan) charge() {
	rng := p.n.rng
	p.done.gas = rebased.GasCost{
		Computation: 1_000_000 + rng.Uint64N(9)*1000, Storage: 3_000_000 + rng.Uint64N(5)*988_000,
		StorageRebate: 1_976_000, NonRefundable: 0,
	}
	p.done.gas.ComputationBurned = p.done.gas.Computation
	coin := p.coinAfter()
	coin.setBalance(coin.balance() - p.done.gas.Computation - p.done.gas.Storage + p.done.gas.StorageRebate)
	p.done.payment = coin.id
	replace(p.payer.coins, p.coin, coin)
}

// coinAfter is the paying coin as it will be.
func (p *plan) coinAfter() *object {
	for _, t := range p.done.touches {
		if t.before == p.coin {
			return t.after
		}
	}
	c := p.coin.clone()
	p.done.touches = append(p.done.touches, touch{before: p.coin, after: c})
	return c
}

func replace(list []*object, was, is *object) {
	if i := slices.Index(list, was); i >= 0 {
		list[i] = is
	}
}

func remove(list []*object, o *object) []*object {
	return slices.DeleteFunc(list, func(x *object) bool { return x == o })
}

func (p *plan) create(o *object) {
	p.done.touches = append(p.done.touches, touch{after: o, op: rebased.OpCreated})
}

func (p *plan) created(index uint64) rebased.ObjectID { return rebased.CreatedID(p.done.digest, index) }

func (p *plan) pure(b []byte) rebased.Argument {
	p.call.Inputs = append(p.call.Inputs, rebased.CallArg{Type: rebased.ArgPure, Pure: b})
	return rebased.Argument{Type: rebased.ArgumentInput, Index: uint16(len(p.call.Inputs) - 1)}
}

func (p *plan) text(s string) rebased.Argument {
	p.record.Texts = append(p.record.Texts, s)
	return p.pure(bcs.AppendString(nil, s))
}

func (p *plan) object(o *object) rebased.Argument {
	p.call.Inputs = append(p.call.Inputs, rebased.CallArg{Type: rebased.ArgOwned, Ref: o.ref()})
	return rebased.Argument{Type: rebased.ArgumentInput, Index: uint16(len(p.call.Inputs) - 1)}
}

func (p *plan) command(c rebased.Command) rebased.Argument {
	p.call.Commands = append(p.call.Commands, c)
	return rebased.Argument{Type: rebased.ArgumentResult, Index: uint16(len(p.call.Commands) - 1)}
}

func (p *plan) move(pkg rebased.Address, module, function string, types []rebased.TypeTag, args ...rebased.Argument) rebased.Argument {
	return p.command(rebased.Command{Type: rebased.CmdMoveCall, Package: pkg, Module: module, Function: function, TypeArgs: types, Args: args})
}

var gasCoin = rebased.Argument{Type: rebased.ArgumentGasCoin}

// memo names what happens, so that it can be found.
func (p *plan) memo(what string) string {
	if p.n.opts.Text != nil {
		if text := p.n.opts.Text(p.n.rng); text != "" {
			return text
		}
	}
	return fmt.Sprintf("%s no. %d of checkpoint %d", what, p.n.rng.IntN(1e6), p.n.seq)
}

// pay splits a coin off for somebody.
func (p *plan) pay() func() {
	to, amount := p.n.account(), 1+p.n.rng.Uint64N(1_000_000)
	n := p.pure(bcs.AppendU64(nil, amount))
	a := p.pure(to.address[:])
	split := p.command(rebased.Command{Type: rebased.CmdSplitCoins, Arg: gasCoin, Args: []rebased.Argument{n}})
	p.command(rebased.Command{Type: rebased.CmdTransferObjects, Args: []rebased.Argument{split}, Arg: a})
	p.move(small(1), "string", "length", nil, p.text(p.memo("Zahlung für Rechnung")))
	return func() {
		coin := p.coinAfter()
		coin.setBalance(coin.balance() - amount)
		o := p.n.coin(p.created(0), to.address, false, amount)
		p.create(o)
		if len(to.coins) < 16 {
			to.coins = append(to.coins, o)
		}
	}
}

// send gives a whole coin of another type to somebody.
func (p *plan) send() func() {
	if len(p.sender.tokens) == 0 {
		return p.pay()
	}
	o, to := p.sender.tokens[p.n.rng.IntN(len(p.sender.tokens))], p.n.account()
	p.command(rebased.Command{Type: rebased.CmdTransferObjects, Args: []rebased.Argument{p.object(o)}, Arg: p.pure(to.address[:])})
	return func() {
		after := o.clone()
		after.owner = ownedBy(to.address)
		p.done.touches = append(p.done.touches, touch{before: o, after: after})
		p.sender.tokens = remove(p.sender.tokens, o)
		to.tokens = append(to.tokens, after)
	}
}

// merge joins two coins, one of which is gone then.
func (p *plan) merge() func() {
	if len(p.sender.tokens) < 2 {
		return p.send()
	}
	into, from := p.sender.tokens[0], p.sender.tokens[1]
	p.command(rebased.Command{Type: rebased.CmdMergeCoins, Arg: p.object(into), Args: []rebased.Argument{p.object(from)}})
	return func() {
		after := into.clone()
		after.setBalance(into.balance() + from.balance())
		p.done.touches = append(p.done.touches, touch{before: into, after: after}, touch{before: from, op: rebased.OpDeleted})
		p.sender.tokens = remove(p.sender.tokens, from)
		replace(p.sender.tokens, into, after)
	}
}

// fail calls what aborts.
func (p *plan) fail() func() {
	p.move(notaryPackage, "notarization", "destroy", nil, p.text(p.memo("will fail")))
	return func() {
		at, name := uint64(0), "destroy"
		where := rebased.MoveLocation{Package: notaryPackage, Module: "notarization", Function: 3, Instruction: 17, FunctionName: &name}
		errors := []rebased.Variant{
			{Tag: 0}, {Tag: 12, Args: []any{where, uint64(42)}}, {Tag: 4, Args: []any{uint64(300_000), uint64(256_000)}}, {Tag: 32},
		}
		p.done.failure = &rebased.Failure{Error: errors[p.n.rng.IntN(len(errors))], Command: &at}
	}
}

// event emits an event.
func (p *plan) event(pkg rebased.Address, module, name string, contents []byte) {
	p.done.events = append(p.done.events, rebased.Event{
		Package: pkg, Module: module, Sender: p.sender.address, Type: structTag(pkg, module, name), Contents: contents,
	})
}

// notarize makes a notarization of a text.
func (p *plan) notarize() func() {
	text := p.memo("Prüfbericht 公証")
	p.move(notaryPackage, "locked_notarization", "create", []rebased.TypeTag{stringTag}, p.text(text))
	return func() {
		id := p.created(0)
		o := &object{
			id: id, owner: ownedBy(p.sender.address), rebate: 2_000_000, contents: p.n.notarizationContents(id, text),
			typ: rebased.MoveObjectType{Type: rebased.MoveOther, Other: &notarization},
		}
		p.create(o)
		p.sender.things = append(p.sender.things, o)
		p.event(notaryPackage, "locked_notarization", "LockedNotarizationCreated", id[:])
	}
}

// destroy deletes a notarization.
func (p *plan) destroy() func() {
	if len(p.sender.things) == 0 {
		return p.notarize()
	}
	o := p.sender.things[0]
	p.move(notaryPackage, "notarization", "destroy", []rebased.TypeTag{stringTag}, p.object(o))
	return func() {
		p.done.touches = append(p.done.touches, touch{before: o, op: rebased.OpDeleted})
		p.sender.things = remove(p.sender.things, o)
		p.event(notaryPackage, "notarization", "NotarizationDestroyed", o.id[:])
	}
}

// audit appends a record with a tag to an audit trail.
func (p *plan) audit() func() {
	text, key := p.memo("Meter reading"), p.n.rng.Uint64N(1000)
	p.record.Tag = []string{"energy", "INVOICE", "süß"}[p.n.rng.IntN(3)]
	if p.n.opts.Tag != nil {
		p.record.Tag = cmp.Or(p.n.opts.Tag(p.n.rng), p.record.Tag)
	}
	p.move(trailPackage, "main", "add_record", nil, p.text(text), p.text(p.record.Tag))
	return func() {
		id := p.created(0)
		p.create(&object{
			id: id, owner: rebased.Owner{Type: rebased.OwnerObject, Address: trailPackage}, rebate: 3_000_000,
			contents: p.n.recordContents(id, key, p.sender.address, text, p.record.Tag),
			typ:      rebased.MoveObjectType{Type: rebased.MoveOther, Other: &trailRecord},
		})
		contents := bcs.AppendU64(slices.Concat(trailPackage[:], bcs.AppendU64(nil, key), p.sender.address[:]), p.n.time)
		p.event(trailPackage, "main", "RecordAdded", contents)
	}
}

// large carries a payload as one argument.
func (p *plan) large() func() {
	p.move(small(1), "string", "length", nil, p.text(strings.Repeat(p.memo("payload")+"; ", 300)))
	return func() {}
}

// publish writes a package.
func (p *plan) publish() func() {
	code := p.n.bytes(200)
	p.command(rebased.Command{Type: rebased.CmdPublish, Modules: [][]byte{code}, Dependencies: []rebased.ObjectID{small(1), small(2)}})
	return func() {
		id := p.created(0)
		p.create(&object{id: id, owner: rebased.Owner{Type: rebased.OwnerImmutable}, rebate: 9_000_000, pkg: &rebased.MovePackage{
			ID: id, Version: 1, Modules: []rebased.NamedModule{{Name: "app", Code: code}},
			Origins: []rebased.TypeOrigin{{Module: "app", Datatype: "Thing", Package: id}},
			Linkage: []rebased.Linkage{{ID: small(1), Upgraded: small(1), Version: 7}},
		}})
	}
}

// wrap puts a coin into another object, which an object owns.
func (p *plan) wrap() func() {
	if len(p.sender.tokens) == 0 {
		return p.audit()
	}
	o := p.sender.tokens[0]
	p.move(trailPackage, "vault", "lock", []rebased.TypeTag{tokenTag}, p.object(o))
	return func() {
		p.done.touches = append(p.done.touches, touch{before: o})
		p.sender.tokens = remove(p.sender.tokens, o)
	}
}

// unknown returns a record of a form that nobody knows yet: its transaction, its effects, the status in them, or an
// object that it writes.
func (n *Network) unknown() Record {
	p := &plan{n: n, sender: n.accounts[n.rng.IntN(5)]}
	p.payer, p.coin = p.sender, p.sender.coins[0]
	act := p.notarize()
	which := n.rng.IntN(5)
	p.sign(&p.call)
	switch data := slices.Clone(p.record.Data); which {
	case 0:
		data[1] = 9 // TransactionKind
		p.seal(data)
		p.record.Kind = 0
	case 1:
		data[0] = 1 // TransactionData
		p.seal(data)
		p.record.Kind = 0
	}
	act()
	p.done.touches[0].after.alien = which == 4
	p.charge()
	n.effects(&p.record, p.done)
	r := &p.record
	switch which {
	case 2:
		r.Effects[0] = 1 // TransactionEffects
		r.State = 0
	case 3:
		r.Effects = append([]byte{0, 1, 120, 0}, r.Effects[2:]...) // ExecutionFailureStatus
		r.State = 0
	}
	r.Opaque = true
	return *r
}
