package rebased

import "permanode/ledger/rebased/bcs"

// AppendEffects appends the BCS of e.
func AppendEffects(dst []byte, e *Effects) []byte {
	dst = append(dst, 0)
	dst = bcs.AppendOpt(dst, e.Failure, func(dst []byte, f Failure) []byte {
		return bcs.AppendOpt(appendVariant(dst, f.Error), f.Command, bcs.AppendU64)
	})
	dst = bcs.AppendU64(dst, e.Epoch)
	dst = appendGasCost(dst, e.Gas)
	dst = AppendDigest(dst, e.Transaction)
	dst = bcs.AppendOpt(dst, e.GasObject, bcs.AppendU32)
	dst = bcs.AppendOpt(dst, e.Events, AppendDigest)
	dst = bcs.AppendList(dst, e.Dependencies, AppendDigest)
	dst = bcs.AppendU64(dst, e.Lamport)
	dst = bcs.AppendList(dst, e.Changed, appendObjectChange)
	dst = bcs.AppendList(dst, e.Unchanged, appendUnchangedShared)
	return bcs.AppendOpt(dst, e.AuxData, AppendDigest)
}

func appendVariant(dst []byte, v Variant) []byte {
	dst = bcs.AppendULEB(dst, v.Tag)
	for _, arg := range v.Args {
		switch a := arg.(type) {
		case uint8:
			dst = append(dst, a)
		case uint16:
			dst = bcs.AppendU16(dst, a)
		case uint64:
			dst = bcs.AppendU64(dst, a)
		case ObjectID:
			dst = append(dst, a[:]...)
		case string:
			dst = bcs.AppendString(dst, a)
		case []byte:
			dst = bcs.AppendBytes(dst, a)
		case []ObjectID:
			dst = bcs.AppendList(dst, a, AppendAddress)
		case MoveLocation:
			dst = appendMoveLocation(dst, a)
		case *MoveLocation:
			dst = bcs.AppendOpt(dst, a, appendMoveLocation)
		case Variant:
			dst = appendVariant(dst, a)
		}
	}
	return dst
}

func appendMoveLocation(dst []byte, l MoveLocation) []byte {
	dst = append(dst, l.Package[:]...)
	dst = bcs.AppendString(dst, l.Module)
	dst = bcs.AppendU16(bcs.AppendU16(dst, l.Function), l.Instruction)
	return bcs.AppendOpt(dst, l.FunctionName, bcs.AppendString)
}

func appendObjectChange(dst []byte, c ObjectChange) []byte {
	dst = append(dst, c.ID[:]...)
	dst = bcs.AppendBool(dst, c.In.Exist)
	if c.In.Exist {
		dst = bcs.AppendU64(dst, c.In.Version)
		dst = AppendDigest(dst, c.In.Digest)
		dst = appendOwner(dst, c.In.Owner)
	}
	dst = append(dst, c.Out.Type)
	switch c.Out.Type {
	case OutObject:
		dst = appendOwner(AppendDigest(dst, c.Out.Digest), c.Out.Owner)
	case OutPackage:
		dst = AppendDigest(bcs.AppendU64(dst, c.Out.Version), c.Out.Digest)
	}
	return append(dst, c.Op)
}

func appendUnchangedShared(dst []byte, u UnchangedShared) []byte {
	dst = append(append(dst, u.ID[:]...), u.Type)
	if u.Type != SharedPerEpochConfig {
		dst = bcs.AppendU64(dst, u.Version)
	}
	if u.Type == SharedReadOnly {
		dst = AppendDigest(dst, u.Digest)
	}
	return dst
}

func appendOwner(dst []byte, o Owner) []byte {
	dst = append(dst, o.Type)
	switch o.Type {
	case OwnerAddress, OwnerObject:
		dst = append(dst, o.Address[:]...)
	case OwnerShared:
		dst = bcs.AppendU64(dst, o.Initial)
	}
	return dst
}

// AppendEvents appends the BCS of a TransactionEvents.
func AppendEvents(dst []byte, events []Event) []byte { return bcs.AppendList(dst, events, AppendEvent) }

// AppendEvent appends the BCS of e.
func AppendEvent(dst []byte, e Event) []byte {
	dst = append(dst, e.Package[:]...)
	dst = bcs.AppendString(dst, e.Module)
	dst = append(dst, e.Sender[:]...)
	dst = AppendStructTag(dst, e.Type)
	return bcs.AppendBytes(dst, e.Contents)
}

// AppendObject appends the BCS of o.
func AppendObject(dst []byte, o *Object) []byte {
	dst = appendOwner(appendObjectData(dst, o.Data), o.Owner)
	return bcs.AppendU64(AppendDigest(dst, o.Previous), o.Rebate)
}

func appendObjectData(dst []byte, d ObjectData) []byte {
	if d.Package != nil {
		return appendMovePackage(append(dst, 1), d.Package)
	}
	m := d.Move
	dst = append(dst, 0, m.Type.Type)
	switch m.Type.Type {
	case MoveOther:
		dst = AppendStructTag(dst, *m.Type.Other)
	case MoveCoin:
		dst = AppendTypeTag(dst, *m.Type.Coin)
	}
	return bcs.AppendBytes(bcs.AppendU64(dst, m.Version), m.Contents)
}

func appendMovePackage(dst []byte, p *MovePackage) []byte {
	dst = bcs.AppendU64(append(dst, p.ID[:]...), p.Version)
	dst = bcs.AppendList(dst, p.Modules, func(dst []byte, m NamedModule) []byte {
		return bcs.AppendBytes(bcs.AppendString(dst, m.Name), m.Code)
	})
	dst = bcs.AppendList(dst, p.Origins, func(dst []byte, o TypeOrigin) []byte {
		return append(bcs.AppendString(bcs.AppendString(dst, o.Module), o.Datatype), o.Package[:]...)
	})
	return bcs.AppendList(dst, p.Linkage, func(dst []byte, l Linkage) []byte {
		return bcs.AppendU64(append(append(dst, l.ID[:]...), l.Upgraded[:]...), l.Version)
	})
}
