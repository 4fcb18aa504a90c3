package rebasedtest

import (
	"bytes"
	"encoding/binary"
	"slices"

	"permanode/ledger/rebased"
	"permanode/ledger/rebased/bcs"
)

// object is a live object.
type object struct {
	id       rebased.ObjectID
	version  uint64
	owner    rebased.Owner
	typ      rebased.MoveObjectType
	contents []byte               // with the id
	pkg      *rebased.MovePackage // instead of type and contents
	previous rebased.Digest
	rebate   uint64
	raw      []byte // as it was written
	alien    bool   // in a form that nobody knows
}

// encode sets raw.
func (o *object) encode() {
	v := rebased.Object{Owner: o.owner, Previous: o.previous, Rebate: o.rebate}
	if o.pkg != nil {
		v.Data.Package = o.pkg
	} else {
		v.Data.Move = &rebased.MoveObject{Type: o.typ, Version: o.version, Contents: o.contents}
	}
	o.raw = rebased.AppendObject(nil, &v)
	if o.alien {
		o.raw[0] = 2 // ObjectData
	}
}

func (o *object) ref() rebased.ObjectRef {
	return rebased.ObjectRef{ID: o.id, Version: o.version, Digest: rebased.ObjectDigest(o.raw)}
}

// clone returns a copy that can be changed.
func (o *object) clone() *object {
	c := *o
	c.contents = bytes.Clone(o.contents)
	return &c
}

func ownedBy(a rebased.Address) rebased.Owner {
	return rebased.Owner{Type: rebased.OwnerAddress, Address: a}
}

// small returns a short address.
func small(v uint16) rebased.Address { return rebased.Address{30: byte(v >> 8), 31: byte(v)} }

func structTag(a rebased.Address, module, name string, args ...rebased.TypeTag) rebased.StructTag {
	return rebased.StructTag{Address: a, Module: module, Name: name, Args: args}
}

func tagOf(s rebased.StructTag) rebased.TypeTag {
	return rebased.TypeTag{Type: rebased.TypeStruct, Struct: &s}
}

// what the network's objects are
var (
	iotaTag   = tagOf(structTag(small(2), "iota", "IOTA"))
	tokenTag  = tagOf(structTag(rebased.Address{0: 0x70, 31: 7}, "usdx", "USDX"))
	stringTag = tagOf(structTag(small(1), "string", "String"))
	u64Tag    = rebased.TypeTag{Type: rebased.TypeU64}

	notaryPackage = rebased.Address{0: 0x90, 31: 1}
	trailPackage  = rebased.Address{0: 0x96, 31: 2}
	notarization  = structTag(notaryPackage, "notarization", "Notarization", stringTag)
	trailRecord   = structTag(small(2), "dynamic_field", "Field", u64Tag,
		tagOf(structTag(small(2), "linked_table", "Node", u64Tag, tagOf(structTag(trailPackage, "record", "Record",
			tagOf(structTag(trailPackage, "record", "Data")))))))
)

// coinTypes are the forms in which the type of a coin is written: the base coin has three.
func (n *Network) coinType(token bool) rebased.MoveObjectType {
	of := iotaTag
	if token {
		of = tokenTag
	}
	spelled := structTag(small(2), "coin", "Coin", of)
	switch n.rng.IntN(4) {
	case 0:
		return rebased.MoveObjectType{Type: rebased.MoveOther, Other: &spelled}
	case 1:
		return rebased.MoveObjectType{Type: rebased.MoveCoin, Coin: &of}
	}
	if token {
		return rebased.MoveObjectType{Type: rebased.MoveCoin, Coin: &of}
	}
	return rebased.MoveObjectType{Type: rebased.MoveGasCoin}
}

// coin returns a coin that is not yet written.
func (n *Network) coin(id rebased.ObjectID, owner rebased.Address, token bool, balance uint64) *object {
	return &object{
		id: id, owner: ownedBy(owner), typ: n.coinType(token), rebate: 988_000,
		contents: binary.LittleEndian.AppendUint64(slices.Clone(id[:]), balance),
	}
}

func (o *object) balance() uint64 { return binary.LittleEndian.Uint64(o.contents[32:]) }

func (o *object) setBalance(v uint64) { binary.LittleEndian.PutUint64(o.contents[32:], v) }

// holding tells whose coin o is; false for what is no coin of an address.
func (o *object) holding() (holding, bool) {
	if o.pkg != nil || o.owner.Type != rebased.OwnerAddress || len(o.contents) != 40 {
		return holding{}, false
	}
	t := o.typ.Tag()
	if t.Module != "coin" {
		return holding{}, false
	}
	h := holding{Owner: o.owner.Address}
	if t.Args[0].Struct.Module != "iota" {
		h.Asset = t.Args[0].String()
	}
	return h, true
}

// book follows who owns what.
func (n *Network) book(before, after *object) {
	if before != nil {
		if h, ok := before.holding(); ok {
			n.balances[h] -= before.balance()
		}
	}
	if after != nil {
		if h, ok := after.holding(); ok {
			n.balances[h] += after.balance()
		}
	}
}

func optString(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, 0)
	}
	return bcs.AppendString(append(dst, 1), s)
}

// notarizationContents are a locked notarization of a text.
func (n *Network) notarizationContents(id rebased.ObjectID, text string) []byte {
	b := bcs.AppendString(slices.Clone(id[:]), text)
	b = optString(b, "metadata of "+text[:min(8, len(text))])
	b = bcs.AppendU64(b, n.time)
	b = optString(b, "description")
	b = append(b, 1, 1, 0, 0, 0, 0, 1, 2) // locks: update until destroyed, delete from second 2^24 on, transfer none
	b = optString(b, "")
	b = bcs.AppendU64(b, n.time)
	b = bcs.AppendU64(b, 0)
	return append(b, 1)
}

// recordContents are one record of an audit trail.
func (n *Network) recordContents(id rebased.ObjectID, key uint64, by rebased.Address, text, tag string) []byte {
	b := bcs.AppendU64(slices.Clone(id[:]), key)
	b = append(b, 0, 0) // previous, next
	b = bcs.AppendString(append(b, 1), text)
	b = optString(b, "unit=kWh")
	b = optString(b, tag)
	b = bcs.AppendU64(b, key)
	b = append(b, by[:]...)
	b = bcs.AppendU64(b, n.time)
	return append(b, 0, 0) // correction
}
