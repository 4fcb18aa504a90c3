package rebased

import "permanode/ledger/rebased/bcs"

func readEffects(r *bcs.Reader) (e Effects) {
	r.Variant("TransactionEffects version", 1)
	if r.Variant("ExecutionStatus", 2) == 1 {
		e.Failure = bcs.Ptr(r, readFailure(r))
	}
	e.Epoch = r.U64()
	e.Gas = readGasCost(r)
	e.Transaction = readDigest(r)
	if r.Option() {
		e.GasObject = bcs.Ptr(r, r.U32())
	}
	e.Events = bcs.Opt(r, readDigest)
	e.Dependencies = bcs.List(r, sizeDigest, readDigest)
	e.Lamport = r.U64()
	e.Changed = bcs.List(r, sizeAddress+3, readObjectChange)
	e.Unchanged = bcs.List(r, sizeAddress+1, readUnchangedShared)
	e.AuxData = bcs.Opt(r, readDigest)
	return e
}

func readFailure(r *bcs.Reader) Failure {
	return Failure{readVariant(r, &failureStatus), bcs.Opt(r, readU64)}
}

func readObjectChange(r *bcs.Reader) (c ObjectChange) {
	c.ID = readAddress(r)
	if r.Variant("ObjectIn", 2) == 1 {
		c.In = ObjectIn{true, r.U64(), readDigest(r), readOwner(r)}
	}
	switch c.Out.Type = uint8(r.Variant("ObjectOut", 3)); c.Out.Type {
	case OutObject:
		c.Out.Digest, c.Out.Owner = readDigest(r), readOwner(r)
	case OutPackage:
		c.Out.Version, c.Out.Digest = r.U64(), readDigest(r)
	}
	c.Op = uint8(r.Variant("IDOperation", 3))
	return c
}

func readUnchangedShared(r *bcs.Reader) (u UnchangedShared) {
	u.ID = readAddress(r)
	switch u.Type = uint8(r.Variant("UnchangedSharedKind", 5)); u.Type {
	case SharedReadOnly:
		u.Version, u.Digest = r.U64(), readDigest(r)
	case SharedPerEpochConfig:
	default:
		u.Version = r.U64()
	}
	return u
}

func readOwner(r *bcs.Reader) (o Owner) {
	switch o.Type = uint8(r.Variant("Owner", 4)); o.Type {
	case OwnerAddress, OwnerObject:
		o.Address = readAddress(r)
	case OwnerShared:
		o.Initial = r.U64()
	}
	return o
}

// An enum is the table of an enum's variants. Of each: its name and its content, one letter a value.
//
//	1 u8 · 2 u16 · 8 u64 · i ObjectID · s string · b bytes · v vec<ObjectID> · l MoveLocation ·
//	o opt<MoveLocation> · c CommandArgumentError · t TypeArgumentError · p PackageUpgradeError
type enum struct {
	name     string
	variants []struct{ name, content string }
}

type variants = []struct{ name, content string }

var failureStatus = enum{"ExecutionFailureStatus", variants{
	{"InsufficientGas", ""},
	{"InvalidGasObject", ""},
	{"InvariantViolation", ""},
	{"FeatureNotYetSupported", ""},
	{"MoveObjectTooBig", "88"},
	{"MovePackageTooBig", "88"},
	{"CircularObjectOwnership", "i"},
	{"InsufficientCoinBalance", ""},
	{"CoinBalanceOverflow", ""},
	{"PublishErrorNonZeroAddress", ""},
	{"IotaMoveVerificationError", ""},
	{"MovePrimitiveRuntimeError", "o"},
	{"MoveAbort", "l8"},
	{"VMVerificationOrDeserializationError", ""},
	{"VMInvariantViolation", ""},
	{"FunctionNotFound", ""},
	{"ArityMismatch", ""},
	{"TypeArityMismatch", ""},
	{"NonEntryFunctionInvoked", ""},
	{"CommandArgumentError", "2c"},
	{"TypeArgumentError", "2t"},
	{"UnusedValueWithoutDrop", "22"},
	{"InvalidPublicFunctionReturnType", "2"},
	{"InvalidTransferObject", ""},
	{"EffectsTooLarge", "88"},
	{"PublishUpgradeMissingDependency", ""},
	{"PublishUpgradeDependencyDowngrade", ""},
	{"PackageUpgradeError", "p"},
	{"WrittenObjectsTooLarge", "88"},
	{"CertificateDenied", ""},
	{"IotaMoveVerificationTimeout", ""},
	{"SharedObjectOperationNotAllowed", ""},
	{"InputObjectDeleted", ""},
	{"ExecutionCancelledDueToSharedObjectCongestion", "v"},
	{"AddressDeniedForCoin", "is"},
	{"CoinTypeGlobalPause", "s"},
	{"ExecutionCancelledDueToRandomnessUnavailable", ""},
	{"ExecutionCancelledDueToSharedObjectCongestionV2", "v8"},
	{"InvalidLinkage", ""},
}}

var commandArgumentError = enum{"CommandArgumentError", variants{
	{"TypeMismatch", ""},
	{"InvalidBCSBytes", ""},
	{"InvalidUsageOfPureArgument", ""},
	{"InvalidArgumentToPrivateEntryFunction", ""},
	{"IndexOutOfBounds", "2"},
	{"SecondaryIndexOutOfBounds", "22"},
	{"InvalidResultArity", "2"},
	{"InvalidGasCoinUsage", ""},
	{"InvalidValueUsage", ""},
	{"InvalidObjectByValue", ""},
	{"InvalidObjectByMutRef", ""},
	{"SharedObjectOperationNotAllowed", ""},
	{"InvalidArgumentArity", ""},
}}

var typeArgumentError = enum{"TypeArgumentError", variants{
	{"TypeNotFound", ""},
	{"ConstraintNotSatisfied", ""},
}}

var packageUpgradeError = enum{"PackageUpgradeError", variants{
	{"UnableToFetchPackage", "i"},
	{"NotAPackage", "i"},
	{"IncompatibleUpgrade", ""},
	{"DigestDoesNotMatch", "b"},
	{"UnknownUpgradePolicy", "1"},
	{"PackageIDDoesNotMatch", "ii"},
}}

// inner is the enum that a letter of a content stands for.
var inner = map[byte]*enum{'c': &commandArgumentError, 't': &typeArgumentError, 'p': &packageUpgradeError}

func readVariant(r *bcs.Reader, e *enum) (v Variant) {
	v.Tag = r.Variant(e.name, uint32(len(e.variants)))
	if r.Err() != nil {
		return v
	}
	for _, c := range []byte(e.variants[v.Tag].content) {
		v.Args = append(v.Args, readArg(r, c))
	}
	return v
}

func readArg(r *bcs.Reader, c byte) any {
	switch c {
	case '1':
		return r.U8()
	case '2':
		return r.U16()
	case '8':
		return r.U64()
	case 'i':
		return readAddress(r)
	case 's':
		return r.String()
	case 'b':
		return r.Bytes()
	case 'v':
		return bcs.List(r, sizeAddress, readAddress)
	case 'l':
		return readMoveLocation(r)
	case 'o':
		return bcs.Opt(r, readMoveLocation)
	default:
		return readVariant(r, inner[c])
	}
}

func readMoveLocation(r *bcs.Reader) (l MoveLocation) {
	l.Package = readAddress(r)
	l.Module = r.String()
	l.Function, l.Instruction = r.U16(), r.U16()
	if r.Option() {
		l.FunctionName = bcs.Ptr(r, r.String())
	}
	return l
}

// Name returns the variant's name as the name of an ExecutionFailureStatus.
func (f *Failure) Name() string {
	if int(f.Error.Tag) < len(failureStatus.variants) {
		return failureStatus.variants[f.Error.Tag].name
	}
	return ""
}
