package rebased

import "permanode/ledger/rebased/bcs"

func readTransactionData(r *bcs.Reader) (d TransactionData) {
	r.Variant("TransactionData version", 1)
	d.Kind = readTransactionKind(r)
	d.Sender = readAddress(r)
	d.Gas.Payment = bcs.List(r, sizeObjectRef, readObjectRef)
	d.Gas.Owner = readAddress(r)
	d.Gas.Price, d.Gas.Budget = r.U64(), r.U64()
	if r.Variant("TransactionExpiration", 2) == 1 {
		d.Expiration = bcs.Ptr(r, r.U64())
	}
	return d
}

func readObjectRef(r *bcs.Reader) ObjectRef {
	return ObjectRef{readAddress(r), r.U64(), readDigest(r)}
}

// readTransactionKind returns nil where r keeps nothing.
func readTransactionKind(r *bcs.Reader) TransactionKind {
	switch r.Variant("TransactionKind", 6) {
	case TagProgrammable:
		return kind(r, readProgrammable)
	case TagGenesis:
		return kind(r, readGenesis)
	case TagPrologue:
		return kind(r, readPrologue)
	case TagAuthenticator:
		return kind(r, readAuthenticatorUpdate)
	case TagEndOfEpoch:
		return kind(r, readEndOfEpoch)
	default:
		return kind(r, readRandomness)
	}
}

// kind keeps v as an interface without a nil pointer inside.
func kind[T any, P interface {
	*T
	TransactionKind
}](r *bcs.Reader, read func(*bcs.Reader) T) TransactionKind {
	if p := bcs.Ptr(r, read(r)); p != nil {
		return P(p)
	}
	return nil
}

func readProgrammable(r *bcs.Reader) Programmable {
	return Programmable{bcs.List(r, 2, readCallArg), bcs.List(r, 2, readCommand)}
}

func readCallArg(r *bcs.Reader) (a CallArg) {
	if r.Variant("CallArg", 2) == 0 {
		a.Pure = r.Bytes()
		a.Off = r.Offset() - len(a.Pure)
		return a
	}
	switch a.Type = ArgOwned + uint8(r.Variant("ObjectArg", 3)); a.Type {
	case ArgShared:
		a.Ref.ID, a.Ref.Version, a.Mutable = readAddress(r), r.U64(), r.Bool()
	default:
		a.Ref = readObjectRef(r)
	}
	return a
}

func readCommand(r *bcs.Reader) (c Command) {
	switch c.Type = uint8(r.Variant("Command", 7)); c.Type {
	case CmdMoveCall:
		c.Package = readAddress(r)
		c.Module, c.Function = r.String(), r.String()
		c.TypeArgs = bcs.List(r, 1, readTypeTag)
		c.Args = readArguments(r)
	case CmdTransferObjects:
		c.Args, c.Arg = readArguments(r), readArgument(r)
	case CmdSplitCoins, CmdMergeCoins:
		c.Arg, c.Args = readArgument(r), readArguments(r)
	case CmdPublish:
		c.Modules, c.Dependencies = readModules(r), bcs.List(r, sizeAddress, readAddress)
	case CmdMakeMoveVec:
		c.Elem, c.Args = bcs.Opt(r, readTypeTag), readArguments(r)
	case CmdUpgrade:
		c.Modules, c.Dependencies = readModules(r), bcs.List(r, sizeAddress, readAddress)
		c.Package, c.Arg = readAddress(r), readArgument(r)
	}
	return c
}

func readModules(r *bcs.Reader) [][]byte { return bcs.List(r, 1, readBytes) }

func readArguments(r *bcs.Reader) []Argument { return bcs.List(r, 1, readArgument) }

func readArgument(r *bcs.Reader) (a Argument) {
	switch a.Type = uint8(r.Variant("Argument", 4)); a.Type {
	case ArgumentInput, ArgumentResult:
		a.Index = r.U16()
	case ArgumentNested:
		a.Index, a.Place = r.U16(), r.U16()
	}
	return a
}

func readTypeTag(r *bcs.Reader) (t TypeTag) {
	if !r.Enter() {
		return t
	}
	defer r.Leave()
	switch t.Type = uint8(r.Variant("TypeTag", 11)); t.Type {
	case TypeVector:
		t.Elem = bcs.Ptr(r, readTypeTag(r))
	case TypeStruct:
		t.Struct = bcs.Ptr(r, readStructTag(r))
	}
	return t
}

func readStructTag(r *bcs.Reader) StructTag {
	return StructTag{readAddress(r), r.String(), r.String(), bcs.List(r, 1, readTypeTag)}
}

func readGenesis(r *bcs.Reader) Genesis {
	return Genesis{bcs.List(r, 3, readGenesisObject), readEvents(r)}
}

func readGenesisObject(r *bcs.Reader) GenesisObject {
	r.Variant("GenesisObject", 1)
	return GenesisObject{readObjectData(r), readOwner(r)}
}

func readPrologue(r *bcs.Reader) (p Prologue) {
	p.Epoch, p.Round = r.U64(), r.U64()
	p.SubDag = bcs.Opt(r, readU64)
	p.TimeMs = r.U64()
	p.Commit = readDigest(r)
	r.Variant("ConsensusDeterminedVersionAssignments", 1)
	p.Cancelled = bcs.List(r, sizeDigest+1, readCancelled)
	return p
}

func readCancelled(r *bcs.Reader) CancelledTransaction {
	return CancelledTransaction{readDigest(r), bcs.List(r, sizeAddress+8, readObjectVersion)}
}

func readObjectVersion(r *bcs.Reader) ObjectVersion { return ObjectVersion{readAddress(r), r.U64()} }

func readAuthenticatorUpdate(r *bcs.Reader) AuthenticatorUpdate {
	return AuthenticatorUpdate{r.U64(), r.U64(), bcs.List(r, 6+8, readActiveJwk), r.U64()}
}

func readActiveJwk(r *bcs.Reader) ActiveJwk {
	return ActiveJwk{r.String(), r.String(), r.String(), r.String(), r.String(), r.String(), r.U64()}
}

func readEndOfEpoch(r *bcs.Reader) EndOfEpoch { return EndOfEpoch{bcs.List(r, 1, readChangeEpoch)} }

// readChangeEpoch reads the variants whose form never changed. Others mean different things in different versions of
// the node.
func readChangeEpoch(r *bcs.Reader) (c ChangeEpoch) {
	c.Variant = uint8(r.Variant("EndOfEpochTransactionKind", 4))
	c.Epoch, c.ProtocolVersion, c.StorageCharge, c.ComputationCharge = r.U64(), r.U64(), r.U64(), r.U64()
	if c.Variant >= 1 {
		c.ComputationBurned = r.U64()
	}
	c.StorageRebate, c.NonRefundable, c.StartMs = r.U64(), r.U64(), r.U64()
	c.Packages = bcs.List(r, 8+1+1, readSystemPackage)
	if c.Variant >= 2 {
		c.Eligible = bcs.List(r, 8, readU64)
	}
	if c.Variant >= 3 {
		c.Scores, c.AdjustRewards = bcs.List(r, 8, readU64), r.Bool()
	}
	return c
}

func readSystemPackage(r *bcs.Reader) SystemPackage {
	return SystemPackage{r.U64(), readModules(r), bcs.List(r, sizeAddress, readAddress)}
}

func readRandomness(r *bcs.Reader) Randomness {
	return Randomness{r.U64(), r.U64(), r.Bytes(), r.U64()}
}
