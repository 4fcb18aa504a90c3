package rebasedtest

import (
	"slices"

	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// systemRecord makes a transaction of the network itself: a dummy signature, one gas payment of nothing.
func (n *Network) systemRecord(kind rebased.TransactionKind, act func(d *done)) Record {
	r := Record{Kind: 1 + uint8(kind.Tag()), Signatures: [][]byte{make([]byte, 97)}, Listed: [][]byte{make([]byte, 97)}}
	r.Data = rebased.AppendTransactionData(nil, &rebased.TransactionData{
		Kind: kind, Gas: rebased.GasData{Payment: []rebased.ObjectRef{{}}, Price: 1},
	})
	d := done{digest: r.Digest()}
	act(&d)
	n.effects(&r, d)
	return r
}

// turn writes a system object anew.
func (n *Network) turn(d *done, id rebased.ObjectID, contents []byte) {
	before := n.system[id]
	after := before.clone()
	after.contents = slices.Concat(id[:], contents)
	d.touches = append(d.touches, touch{before: before, after: after})
	n.system[id] = after
}

func (n *Network) prologue() Record {
	round := n.seq * 2
	return n.systemRecord(&rebased.Prologue{Epoch: n.epoch, Round: round, TimeMs: n.time, Commit: rebased.Digest(n.bytes(32))},
		func(d *done) { n.turn(d, small(6), bcs.AppendU64(nil, n.time)) })
}

func (n *Network) randomness() Record {
	b := n.bytes(48)
	return n.systemRecord(&rebased.Randomness{Epoch: n.epoch, Round: n.seq, Bytes: b, InitialVersion: 1},
		func(d *done) {
			n.turn(d, small(8), b)
			n.turn(d, randomInner, b) // what changes all the time has no short id here
		})
}

// randomInner is the object that holds the randomness: a dynamic field of 0x8.
var randomInner = rebased.DynamicFieldID(small(8), bcs.AppendU64(nil, 1), u64Tag)

func (n *Network) authenticator() Record {
	key := rebased.ActiveJwk{Iss: "https://id.example.org", Kid: "k1", Kty: "RSA", E: "AQAB", N: "not posted", Alg: "RS256", Epoch: n.epoch}
	return n.systemRecord(&rebased.AuthenticatorUpdate{Epoch: n.epoch, Round: n.seq, Keys: []rebased.ActiveJwk{key}, InitialVersion: 1},
		func(d *done) { n.turn(d, small(7), n.bytes(40)) })
}

// endOfEpoch closes an epoch. Each form of it is used in turn; a validator's reward is minted.
func (n *Network) endOfEpoch() Record {
	change := rebased.ChangeEpoch{
		Variant: uint8(n.closing % 4), Epoch: n.epoch + 1, ProtocolVersion: 30, StorageCharge: 10, ComputationCharge: 20,
		StorageRebate: 5, NonRefundable: 1, StartMs: n.time,
		Packages: []rebased.SystemPackage{{Version: 2, Modules: [][]byte{n.bytes(40)}, Dependencies: []rebased.ObjectID{small(1)}}},
	}
	if change.Variant > 0 {
		change.ComputationBurned = 20
	}
	if change.Variant > 1 {
		change.Eligible = []uint64{0, 2}
	}
	if change.Variant > 2 {
		change.Scores, change.AdjustRewards = []uint64{65536, 1}, true
	}
	n.closing++
	r := n.systemRecord(&rebased.EndOfEpoch{Kinds: []rebased.ChangeEpoch{change}}, func(d *done) {
		n.turn(d, small(5), bcs.AppendU64(nil, n.epoch+1))
		to := n.account()
		o := n.coin(rebased.CreatedID(d.digest, 0), to.address, false, 767_000)
		d.touches = append(d.touches, touch{after: o, op: rebased.OpCreated})
		to.coins = append(to.coins, o)
		event := structTag(small(3), "iota_system_state_inner", "SystemEpochInfoEventV1")
		d.events = append(d.events, rebased.Event{Package: small(3), Module: "iota_system_state_inner", Type: event, Contents: n.bytes(80)})
	})
	r.Listed = nil // the contents list no signature of it
	return r
}

// genesisRecords are the transactions of checkpoint 0: genesis, and a migration where outputs became objects.
func (n *Network) genesisRecords() []Record {
	var genesis rebased.Genesis
	var objects []*object
	system := func(id rebased.ObjectID, module, name string) {
		t := structTag(small(2), module, name)
		o := &object{
			id: id, owner: rebased.Owner{Type: rebased.OwnerShared, Initial: 1}, contents: slices.Concat(id[:], n.bytes(8)),
			typ: rebased.MoveObjectType{Type: rebased.MoveOther, Other: &t},
		}
		n.system[id] = o
		objects = append(objects, o)
	}
	system(small(5), "iota_system", "IotaSystemState")
	system(small(6), "clock", "Clock")
	system(small(7), "authenticator_state", "AuthenticatorState")
	system(small(8), "random", "Random")
	system(randomInner, "random", "RandomInner")
	for i, a := range n.accounts {
		for k := range 3 {
			id := rebased.ObjectID(n.bytes(32))
			o := n.coin(id, a.address, k == 2, genesisCoin+uint64(i))
			objects = append(objects, o)
			if k == 2 {
				a.tokens = append(a.tokens, o)
			} else {
				a.coins = append(a.coins, o)
			}
		}
	}
	first := n.genesisRecord(&genesis, objects)
	if len(n.opts.Migrated) == 0 {
		return []Record{first}
	}
	var migrated []*object
	for i, id := range n.opts.Migrated {
		o := n.coin(rebased.MigratedID(id), n.accounts[i%len(n.accounts)].address, false, 1000*uint64(i+1))
		migrated = append(migrated, o)
	}
	return []Record{first, n.genesisRecord(&rebased.Genesis{}, migrated)}
}

func (n *Network) genesisRecord(g *rebased.Genesis, objects []*object) Record {
	for _, o := range objects {
		v := rebased.MoveObject{Type: o.typ, Version: 1, Contents: o.contents}
		g.Objects = append(g.Objects, rebased.GenesisObject{Data: rebased.ObjectData{Move: &v}, Owner: o.owner})
	}
	return n.systemRecord(g, func(d *done) {
		for _, o := range objects {
			d.touches = append(d.touches, touch{after: o, op: rebased.OpCreated})
		}
	})
}
