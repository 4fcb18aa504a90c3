package rebased

import (
	"bytes"

	"permanode/ledger/rebased/bcs"
)

func readEvents(r *bcs.Reader) []Event {
	return bcs.List(r, sizeAddress+1+sizeAddress+sizeAddress+3+1, readEvent)
}

func readEvent(r *bcs.Reader) Event {
	return Event{readAddress(r), r.String(), readAddress(r), readStructTag(r), r.Bytes()}
}

func readObject(r *bcs.Reader) Object {
	return Object{readObjectData(r), readOwner(r), readDigest(r), r.U64()}
}

func readObjectData(r *bcs.Reader) (d ObjectData) {
	if r.Variant("ObjectData", 2) == 0 {
		d.Move = bcs.Ptr(r, readMoveObject(r))
	} else {
		d.Package = bcs.Ptr(r, readMovePackage(r))
	}
	return d
}

func readMoveObject(r *bcs.Reader) (m MoveObject) {
	m.Type = readMoveObjectType(r)
	m.Version = r.U64()
	at := r.Offset()
	m.Contents = r.Bytes()
	if r.Err() == nil && len(m.Contents) < sizeAddress {
		r.FailAt(at, "the contents of an object begin with its id")
	}
	return m
}

func readMoveObjectType(r *bcs.Reader) (t MoveObjectType) {
	switch t.Type = uint8(r.Variant("MoveObjectType", 4)); t.Type {
	case MoveOther:
		t.Other = bcs.Ptr(r, readStructTag(r))
	case MoveCoin:
		t.Coin = bcs.Ptr(r, readTypeTag(r))
	}
	return t
}

func readMovePackage(r *bcs.Reader) (p MovePackage) {
	p.ID = readAddress(r)
	p.Version = r.U64()
	p.Modules = readMap(r, 2, readNamedModule)
	p.Origins = bcs.List(r, 2+sizeAddress, readTypeOrigin)
	p.Linkage = readMap(r, 2*sizeAddress+8, readLinkage)
	return p
}

// readMap reads the entries of a map: keys ascend by their bytes on the wire. read returns an entry and the place
// where its key ends.
func readMap[T any](r *bcs.Reader, size int, read func(*bcs.Reader) (T, int)) []T {
	var last []byte
	return bcs.List(r, size, func(r *bcs.Reader) T {
		at := r.Offset()
		v, end := read(r)
		if whole := r.From(at); whole != nil {
			if key := whole[:end-at]; last != nil && bytes.Compare(last, key) >= 0 {
				r.FailAt(at, "the keys of a map do not ascend")
			} else {
				last = key
			}
		}
		return v
	})
}

func readNamedModule(r *bcs.Reader) (m NamedModule, end int) {
	m.Name = r.String()
	end = r.Offset()
	m.Code = r.Bytes()
	return m, end
}

func readTypeOrigin(r *bcs.Reader) TypeOrigin {
	return TypeOrigin{r.String(), r.String(), readAddress(r)}
}

func readLinkage(r *bcs.Reader) (l Linkage, end int) {
	l.ID = readAddress(r)
	end = r.Offset()
	l.Upgraded, l.Version = readAddress(r), r.U64()
	return l, end
}

// ID returns the object's id.
func (o *Object) ID() ObjectID { return o.Data.ID() }

// Version returns the object's version.
func (o *Object) Version() uint64 {
	if o.Data.Package != nil {
		return o.Data.Package.Version
	}
	return o.Data.Move.Version
}

// ID returns the id of the object with these data.
func (d ObjectData) ID() ObjectID {
	if d.Package != nil {
		return d.Package.ID
	}
	return ObjectID(d.Move.Contents)
}

// Tag returns the type in full.
func (t MoveObjectType) Tag() StructTag {
	switch t.Type {
	case MoveGasCoin:
		return coinTag(TypeTag{Type: TypeStruct, Struct: &iotaTag})
	case MoveStaked:
		return StructTag{Address: Address{31: 3}, Module: "staking_pool", Name: "StakedIota"}
	case MoveCoin:
		return coinTag(*t.Coin)
	}
	return *t.Other
}

// iotaTag is the type of the base coin.
var iotaTag = StructTag{Address: Address{31: 2}, Module: "iota", Name: "IOTA"}

func coinTag(of TypeTag) StructTag {
	return StructTag{Address: Address{31: 2}, Module: "coin", Name: "Coin", Args: []TypeTag{of}}
}
