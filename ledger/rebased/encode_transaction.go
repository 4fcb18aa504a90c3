package rebased

import "permanode/ledger/rebased/bcs"

// AppendTransactionData appends the BCS of d.
func AppendTransactionData(dst []byte, d *TransactionData) []byte {
	dst = append(dst, 0)
	dst = append(dst, byte(d.Kind.Tag()))
	dst = appendKind(dst, d.Kind)
	dst = append(dst, d.Sender[:]...)
	dst = bcs.AppendList(dst, d.Gas.Payment, AppendObjectRef)
	dst = append(dst, d.Gas.Owner[:]...)
	dst = bcs.AppendU64(dst, d.Gas.Price)
	dst = bcs.AppendU64(dst, d.Gas.Budget)
	return bcs.AppendOpt(dst, d.Expiration, bcs.AppendU64)
}

// AppendObjectRef appends the BCS of o.
func AppendObjectRef(dst []byte, o ObjectRef) []byte {
	dst = append(dst, o.ID[:]...)
	return AppendDigest(bcs.AppendU64(dst, o.Version), o.Digest)
}

func appendKind(dst []byte, kind TransactionKind) []byte {
	switch k := kind.(type) {
	case *Programmable:
		dst = bcs.AppendList(dst, k.Inputs, AppendCallArg)
		dst = bcs.AppendList(dst, k.Commands, appendCommand)
	case *Genesis:
		dst = bcs.AppendList(dst, k.Objects, func(dst []byte, o GenesisObject) []byte {
			return appendOwner(appendObjectData(append(dst, 0), o.Data), o.Owner)
		})
		dst = AppendEvents(dst, k.Events)
	case *Prologue:
		dst = appendPrologue(dst, k)
	case *AuthenticatorUpdate:
		dst = bcs.AppendU64(bcs.AppendU64(dst, k.Epoch), k.Round)
		dst = bcs.AppendList(dst, k.Keys, appendActiveJwk)
		dst = bcs.AppendU64(dst, k.InitialVersion)
	case *EndOfEpoch:
		dst = bcs.AppendList(dst, k.Kinds, appendChangeEpoch)
	case *Randomness:
		dst = bcs.AppendU64(bcs.AppendU64(dst, k.Epoch), k.Round)
		dst = bcs.AppendBytes(dst, k.Bytes)
		dst = bcs.AppendU64(dst, k.InitialVersion)
	}
	return dst
}

// AppendCallArg appends the BCS of a.
func AppendCallArg(dst []byte, a CallArg) []byte {
	if a.Type == ArgPure {
		return bcs.AppendBytes(append(dst, 0), a.Pure)
	}
	dst = append(dst, 1, a.Type-ArgOwned)
	if a.Type == ArgShared {
		dst = append(dst, a.Ref.ID[:]...)
		return bcs.AppendBool(bcs.AppendU64(dst, a.Ref.Version), a.Mutable)
	}
	return AppendObjectRef(dst, a.Ref)
}

func appendCommand(dst []byte, c Command) []byte {
	dst = append(dst, c.Type)
	switch c.Type {
	case CmdMoveCall:
		dst = append(dst, c.Package[:]...)
		dst = bcs.AppendString(dst, c.Module)
		dst = bcs.AppendString(dst, c.Function)
		dst = bcs.AppendList(dst, c.TypeArgs, AppendTypeTag)
		dst = bcs.AppendList(dst, c.Args, appendArgument)
	case CmdTransferObjects:
		dst = bcs.AppendList(dst, c.Args, appendArgument)
		dst = appendArgument(dst, c.Arg)
	case CmdSplitCoins, CmdMergeCoins:
		dst = appendArgument(dst, c.Arg)
		dst = bcs.AppendList(dst, c.Args, appendArgument)
	case CmdMakeMoveVec:
		dst = bcs.AppendOpt(dst, c.Elem, AppendTypeTag)
		dst = bcs.AppendList(dst, c.Args, appendArgument)
	case CmdPublish, CmdUpgrade:
		dst = bcs.AppendList(dst, c.Modules, bcs.AppendBytes)
		dst = bcs.AppendList(dst, c.Dependencies, AppendAddress)
		if c.Type == CmdUpgrade {
			dst = appendArgument(append(dst, c.Package[:]...), c.Arg)
		}
	}
	return dst
}

func appendArgument(dst []byte, a Argument) []byte {
	dst = append(dst, a.Type)
	if a.Type != ArgumentGasCoin {
		dst = bcs.AppendU16(dst, a.Index)
	}
	if a.Type == ArgumentNested {
		dst = bcs.AppendU16(dst, a.Place)
	}
	return dst
}

func appendPrologue(dst []byte, p *Prologue) []byte {
	dst = bcs.AppendU64(bcs.AppendU64(dst, p.Epoch), p.Round)
	dst = bcs.AppendOpt(dst, p.SubDag, bcs.AppendU64)
	dst = bcs.AppendU64(dst, p.TimeMs)
	dst = AppendDigest(dst, p.Commit)
	return bcs.AppendList(append(dst, 0), p.Cancelled, func(dst []byte, c CancelledTransaction) []byte {
		return bcs.AppendList(AppendDigest(dst, c.Digest), c.Versions, func(dst []byte, v ObjectVersion) []byte {
			return bcs.AppendU64(append(dst, v.ID[:]...), v.Version)
		})
	})
}

func appendActiveJwk(dst []byte, k ActiveJwk) []byte {
	for _, s := range [...]string{k.Iss, k.Kid, k.Kty, k.E, k.N, k.Alg} {
		dst = bcs.AppendString(dst, s)
	}
	return bcs.AppendU64(dst, k.Epoch)
}

func appendChangeEpoch(dst []byte, c ChangeEpoch) []byte {
	dst = append(dst, c.Variant)
	for _, v := range [...]uint64{c.Epoch, c.ProtocolVersion, c.StorageCharge, c.ComputationCharge} {
		dst = bcs.AppendU64(dst, v)
	}
	if c.Variant >= 1 {
		dst = bcs.AppendU64(dst, c.ComputationBurned)
	}
	for _, v := range [...]uint64{c.StorageRebate, c.NonRefundable, c.StartMs} {
		dst = bcs.AppendU64(dst, v)
	}
	dst = bcs.AppendList(dst, c.Packages, func(dst []byte, p SystemPackage) []byte {
		dst = bcs.AppendU64(dst, p.Version)
		dst = bcs.AppendList(dst, p.Modules, bcs.AppendBytes)
		return bcs.AppendList(dst, p.Dependencies, AppendAddress)
	})
	if c.Variant >= 2 {
		dst = bcs.AppendList(dst, c.Eligible, bcs.AppendU64)
	}
	if c.Variant >= 3 {
		dst = bcs.AppendList(dst, c.Scores, bcs.AppendU64)
		dst = bcs.AppendBool(dst, c.AdjustRewards)
	}
	return dst
}

// AppendTypeTag appends the BCS of t.
func AppendTypeTag(dst []byte, t TypeTag) []byte {
	dst = append(dst, t.Type)
	switch t.Type {
	case TypeVector:
		dst = AppendTypeTag(dst, *t.Elem)
	case TypeStruct:
		dst = AppendStructTag(dst, *t.Struct)
	}
	return dst
}

// AppendStructTag appends the BCS of t.
func AppendStructTag(dst []byte, t StructTag) []byte {
	dst = append(dst, t.Address[:]...)
	dst = bcs.AppendString(dst, t.Module)
	dst = bcs.AppendString(dst, t.Name)
	return bcs.AppendList(dst, t.Args, AppendTypeTag)
}
