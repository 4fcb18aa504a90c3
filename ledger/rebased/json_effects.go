package rebased

var (
	operationNames = [...]string{"None", "Created", "Deleted"}
	sharedNames    = [...]string{"ReadOnlyRoot", "MutateDeleted", "ReadDeleted", "Cancelled", "PerEpochConfig"}
)

func (j *jsonText) effects(e *Effects) {
	j.variant("V1", func() {
		j.open('{')
		if j.key("status"); e.Failure == nil {
			j.str("Success")
		} else {
			j.variant("Failure", func() { j.failure(e.Failure) })
		}
		j.key("executed_epoch").decimal(e.Epoch)
		j.key("gas_used").gasCost(e.Gas)
		j.key("transaction_digest").digest(e.Transaction)
		jsonOpt(j.key("gas_object_index"), e.GasObject, func(v uint32) { j.num(uint64(v)) })
		jsonOpt(j.key("events_digest"), e.Events, j.digest)
		jsonList(j.key("dependencies"), e.Dependencies, j.digest)
		j.key("lamport_version").decimal(e.Lamport)
		j.key("changed_objects").open('[')
		for i := range e.Changed {
			j.objectChange(&e.Changed[i])
		}
		j.close(']')
		jsonList(j.key("unchanged_shared_objects"), e.Unchanged, j.unchangedShared)
		jsonOpt(j.key("aux_data_digest"), e.AuxData, j.digest)
		j.close('}')
	})
}

func (j *jsonText) failure(f *Failure) {
	j.open('{')
	j.key("error").failureVariant(&failureStatus, f.Error)
	jsonOpt(j.key("command"), f.Command, j.decimal)
	j.close('}')
}

// failureVariant writes a value of an enum that a table describes: one value as it is, several as a tuple.
func (j *jsonText) failureVariant(e *enum, v Variant) {
	def := e.variants[v.Tag]
	if len(v.Args) == 0 {
		j.str(def.name)
		return
	}
	j.variant(def.name, func() {
		if len(v.Args) > 1 {
			j.open('[')
			defer j.close(']')
		}
		for i, arg := range v.Args {
			j.failureArg(arg, def.content[i])
		}
	})
}

func (j *jsonText) failureArg(arg any, letter byte) {
	switch a := arg.(type) {
	case uint8:
		j.num(uint64(a))
	case uint16:
		j.num(uint64(a))
	case uint64:
		j.decimal(a)
	case ObjectID:
		j.address(a)
	case string:
		j.str(a)
	case []byte:
		j.hex(a)
	case []ObjectID:
		jsonList(j, a, j.address)
	case MoveLocation:
		j.moveLocation(a)
	case *MoveLocation:
		jsonOpt(j, a, j.moveLocation)
	case Variant:
		j.failureVariant(inner[letter], a)
	}
}

func (j *jsonText) moveLocation(l MoveLocation) {
	j.open('{')
	j.key("package").address(l.Package)
	j.key("module").str(l.Module)
	j.key("function").num(uint64(l.Function))
	j.key("instruction").num(uint64(l.Instruction))
	jsonOpt(j.key("function_name"), l.FunctionName, j.str)
	j.close('}')
}

func (j *jsonText) objectChange(c *ObjectChange) {
	j.open('[')
	j.address(c.ID)
	j.open('{')
	if j.key("input_state"); c.In.Exist {
		j.variant("Exist", func() {
			j.open('[')
			j.open('[')
			j.decimal(c.In.Version)
			j.digest(c.In.Digest)
			j.close(']')
			j.owner(c.In.Owner)
			j.close(']')
		})
	} else {
		j.str("NotExist")
	}
	j.key("output_state").objectOut(&c.Out)
	j.key("id_operation").str(operationNames[c.Op])
	j.close('}')
	j.close(']')
}

func (j *jsonText) objectOut(o *ObjectOut) {
	switch o.Type {
	case OutObject:
		j.variant("ObjectWrite", func() {
			j.open('[')
			j.digest(o.Digest)
			j.owner(o.Owner)
			j.close(']')
		})
	case OutPackage:
		j.variant("PackageWrite", func() {
			j.open('[')
			j.decimal(o.Version)
			j.digest(o.Digest)
			j.close(']')
		})
	default:
		j.str("NotExist")
	}
}

func (j *jsonText) unchangedShared(u UnchangedShared) {
	j.open('[')
	j.address(u.ID)
	name := sharedNames[u.Type]
	switch u.Type {
	case SharedReadOnly:
		j.variant(name, func() {
			j.open('[')
			j.decimal(u.Version)
			j.digest(u.Digest)
			j.close(']')
		})
	case SharedPerEpochConfig:
		j.str(name)
	default:
		j.variant(name, func() { j.decimal(u.Version) })
	}
	j.close(']')
}

func (j *jsonText) owner(o Owner) {
	switch o.Type {
	case OwnerAddress:
		j.variant("AddressOwner", func() { j.address(o.Address) })
	case OwnerObject:
		j.variant("ObjectOwner", func() { j.address(o.Address) })
	case OwnerShared:
		j.variant("Shared", func() { j.variant("initial_shared_version", func() { j.decimal(o.Initial) }) })
	default:
		j.str("Immutable")
	}
}

func (j *jsonText) events(events []Event) {
	j.variant("data", func() { jsonList(j, events, j.event) })
}

func (j *jsonText) event(e Event) {
	j.open('{')
	j.key("package_id").address(e.Package)
	j.key("transaction_module").str(e.Module)
	j.key("sender").address(e.Sender)
	j.key("type_").structTag(e.Type)
	j.key("contents").hex(e.Contents)
	j.close('}')
}

func (j *jsonText) object(o *Object) {
	j.open('{')
	j.key("data").objectData(o.Data)
	j.key("owner").owner(o.Owner)
	j.key("previous_transaction").digest(o.Previous)
	j.key("storage_rebate").decimal(o.Rebate)
	j.close('}')
}

func (j *jsonText) objectData(d ObjectData) {
	if d.Package != nil {
		j.variant("Package", func() { j.movePackage(d.Package) })
		return
	}
	j.variant("Move", func() {
		j.open('{')
		j.key("type_").moveObjectType(d.Move.Type)
		j.key("version").decimal(d.Move.Version)
		j.key("contents").hex(d.Move.Contents)
		j.close('}')
	})
}

func (j *jsonText) moveObjectType(t MoveObjectType) {
	switch t.Type {
	case MoveGasCoin:
		j.str("GasCoin")
	case MoveStaked:
		j.str("StakedIota")
	case MoveCoin:
		j.variant("Coin", func() { j.typeTag(*t.Coin) })
	default:
		j.variant("Other", func() { j.structTag(*t.Other) })
	}
}

func (j *jsonText) movePackage(p *MovePackage) {
	j.open('{')
	j.key("id").address(p.ID)
	j.key("version").decimal(p.Version)
	j.key("module_map").open('{')
	for _, m := range p.Modules {
		j.key(m.Name).hex(m.Code)
	}
	j.close('}')
	jsonList(j.key("type_origin_table"), p.Origins, func(o TypeOrigin) {
		j.open('{')
		j.key("module_name").str(o.Module)
		j.key("datatype_name").str(o.Datatype)
		j.key("package").address(o.Package)
		j.close('}')
	})
	j.key("linkage_table").open('{')
	for _, l := range p.Linkage {
		j.key(l.ID.String()).open('{')
		j.key("upgraded_id").address(l.Upgraded)
		j.key("upgraded_version").decimal(l.Version)
		j.close('}')
	}
	j.close('}')
	j.close('}')
}
