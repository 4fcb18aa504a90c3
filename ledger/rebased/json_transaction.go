package rebased

var (
	commandNames    = [...]string{"MoveCall", "TransferObjects", "SplitCoins", "MergeCoins", "Publish", "MakeMoveVec", "Upgrade"}
	argumentNames   = [...]string{"GasCoin", "Input", "Result", "NestedResult"}
	endOfEpochNames = [...]string{"ChangeEpoch", "ChangeEpochV2", "ChangeEpochV3", "ChangeEpochV4"}
)

func (j *jsonText) transactionData(d *TransactionData) {
	j.variant("V1", func() {
		j.open('{')
		j.key("kind").variant(kindNames[1+d.Kind.Tag()], func() { j.kind(d.Kind) })
		j.key("sender").address(d.Sender)
		j.key("gas_data").open('{')
		jsonList(j.key("payment"), d.Gas.Payment, j.objectRef)
		j.key("owner").address(d.Gas.Owner)
		j.key("price").decimal(d.Gas.Price)
		j.key("budget").decimal(d.Gas.Budget)
		j.close('}')
		if j.key("expiration"); d.Expiration == nil {
			j.str("None")
		} else {
			j.variant("Epoch", func() { j.decimal(*d.Expiration) })
		}
		j.close('}')
	})
}

func (j *jsonText) kind(kind TransactionKind) {
	if k, ok := kind.(*EndOfEpoch); ok {
		jsonList(j, k.Kinds, func(c ChangeEpoch) {
			j.variant(endOfEpochNames[c.Variant], func() { j.changeEpoch(&c) })
		})
		return
	}
	j.open('{')
	defer j.close('}')
	switch k := kind.(type) {
	case *Programmable:
		jsonList(j.key("inputs"), k.Inputs, j.callArg)
		jsonList(j.key("commands"), k.Commands, func(c Command) {
			j.variant(commandNames[c.Type], func() { j.command(&c) })
		})
	case *Genesis:
		jsonList(j.key("objects"), k.Objects, func(o GenesisObject) {
			j.variant("RawObject", func() {
				j.open('{')
				j.key("data").objectData(o.Data)
				j.key("owner").owner(o.Owner)
				j.close('}')
			})
		})
		jsonList(j.key("events"), k.Events, j.event)
	case *Prologue:
		j.prologue(k)
	case *AuthenticatorUpdate:
		j.key("epoch").decimal(k.Epoch)
		j.key("round").decimal(k.Round)
		jsonList(j.key("new_active_jwks"), k.Keys, j.activeJwk)
		j.key("authenticator_obj_initial_shared_version").decimal(k.InitialVersion)
	case *Randomness:
		j.key("epoch").decimal(k.Epoch)
		j.key("randomness_round").decimal(k.Round)
		j.key("random_bytes").hex(k.Bytes)
		j.key("randomness_obj_initial_shared_version").decimal(k.InitialVersion)
	}
}

func (j *jsonText) objectRef(o ObjectRef) {
	j.open('[')
	j.address(o.ID)
	j.decimal(o.Version)
	j.digest(o.Digest)
	j.close(']')
}

func (j *jsonText) callArg(a CallArg) {
	if a.Type == ArgPure {
		j.variant("Pure", func() { j.hex(a.Pure) })
		return
	}
	j.variant("Object", func() {
		switch a.Type {
		case ArgShared:
			j.variant("SharedObject", func() {
				j.open('{')
				j.key("id").address(a.Ref.ID)
				j.key("initial_shared_version").decimal(a.Ref.Version)
				j.key("mutable").bool(a.Mutable)
				j.close('}')
			})
		case ArgReceiving:
			j.variant("Receiving", func() { j.objectRef(a.Ref) })
		default:
			j.variant("ImmOrOwnedObject", func() { j.objectRef(a.Ref) })
		}
	})
}

// command writes the content of a command: an object for calls, a tuple for all others.
func (j *jsonText) command(c *Command) {
	if c.Type == CmdMoveCall {
		j.open('{')
		j.key("package").address(c.Package)
		j.key("module").str(c.Module)
		j.key("function").str(c.Function)
		jsonList(j.key("type_arguments"), c.TypeArgs, j.typeTag)
		jsonList(j.key("arguments"), c.Args, j.argument)
		j.close('}')
		return
	}
	j.open('[')
	switch c.Type {
	case CmdTransferObjects:
		jsonList(j, c.Args, j.argument)
		j.argument(c.Arg)
	case CmdSplitCoins, CmdMergeCoins:
		j.argument(c.Arg)
		jsonList(j, c.Args, j.argument)
	case CmdMakeMoveVec:
		jsonOpt(j, c.Elem, j.typeTag)
		jsonList(j, c.Args, j.argument)
	default:
		jsonList(j, c.Modules, j.hex)
		jsonList(j, c.Dependencies, j.address)
		if c.Type == CmdUpgrade {
			j.address(c.Package)
			j.argument(c.Arg)
		}
	}
	j.close(']')
}

func (j *jsonText) argument(a Argument) {
	switch a.Type {
	case ArgumentGasCoin:
		j.str(argumentNames[a.Type])
	case ArgumentNested:
		j.variant(argumentNames[a.Type], func() {
			j.open('[')
			j.num(uint64(a.Index))
			j.num(uint64(a.Place))
			j.close(']')
		})
	default:
		j.variant(argumentNames[a.Type], func() { j.num(uint64(a.Index)) })
	}
}

func (j *jsonText) typeTag(t TypeTag) {
	switch t.Type {
	case TypeVector:
		j.variant("vector", func() { j.typeTag(*t.Elem) })
	case TypeStruct:
		j.variant("struct", func() { j.structTag(*t.Struct) })
	default:
		j.str(primitives[t.Type])
	}
}

func (j *jsonText) structTag(t StructTag) {
	j.open('{')
	j.key("address").address(t.Address)
	j.key("module").str(t.Module)
	j.key("name").str(t.Name)
	jsonList(j.key("type_args"), t.Args, j.typeTag)
	j.close('}')
}

func (j *jsonText) prologue(p *Prologue) {
	j.key("epoch").decimal(p.Epoch)
	j.key("round").decimal(p.Round)
	jsonOpt(j.key("sub_dag_index"), p.SubDag, j.decimal)
	j.key("commit_timestamp_ms").decimal(p.TimeMs)
	j.key("consensus_commit_digest").digest(p.Commit)
	j.key("consensus_determined_version_assignments").variant("CancelledTransactions", func() {
		jsonList(j, p.Cancelled, func(c CancelledTransaction) {
			j.open('[')
			j.digest(c.Digest)
			jsonList(j, c.Versions, func(v ObjectVersion) {
				j.open('[')
				j.address(v.ID)
				j.decimal(v.Version)
				j.close(']')
			})
			j.close(']')
		})
	})
}

func (j *jsonText) activeJwk(k ActiveJwk) {
	j.open('{')
	j.key("jwk_id").open('{')
	j.key("iss").str(k.Iss)
	j.key("kid").str(k.Kid)
	j.close('}')
	j.key("jwk").open('{')
	j.key("kty").str(k.Kty)
	j.key("e").str(k.E)
	j.key("n").str(k.N)
	j.key("alg").str(k.Alg)
	j.close('}')
	j.key("epoch").decimal(k.Epoch)
	j.close('}')
}

func (j *jsonText) changeEpoch(c *ChangeEpoch) {
	j.open('{')
	j.key("epoch").decimal(c.Epoch)
	j.key("protocol_version").decimal(c.ProtocolVersion)
	j.key("storage_charge").decimal(c.StorageCharge)
	j.key("computation_charge").decimal(c.ComputationCharge)
	if c.Variant >= 1 {
		j.key("computation_charge_burned").decimal(c.ComputationBurned)
	}
	j.key("storage_rebate").decimal(c.StorageRebate)
	j.key("non_refundable_storage_fee").decimal(c.NonRefundable)
	j.key("epoch_start_timestamp_ms").decimal(c.StartMs)
	jsonList(j.key("system_packages"), c.Packages, func(p SystemPackage) {
		j.open('[')
		j.decimal(p.Version)
		jsonList(j, p.Modules, j.hex)
		jsonList(j, p.Dependencies, j.address)
		j.close(']')
	})
	if c.Variant >= 2 {
		jsonList(j.key("eligible_active_validators"), c.Eligible, j.decimal)
	}
	if c.Variant >= 3 {
		jsonList(j.key("scores"), c.Scores, j.decimal)
		j.key("adjust_rewards_by_score").bool(c.AdjustRewards)
	}
	j.close('}')
}
