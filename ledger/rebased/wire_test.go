package rebased

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

// id returns an id that ends with n.
func id(n byte) ObjectID { return ObjectID{31: n} }

func pointer[T any](v T) *T { return &v }

// sampleTypes has every variant of TypeTag.
func sampleTypes() []TypeTag {
	var types []TypeTag
	for n := range TypeU256 + 1 {
		switch n {
		case TypeVector:
			types = append(types, TypeTag{Type: n, Elem: &TypeTag{Type: TypeVector, Elem: &TypeTag{Type: TypeU8}}})
		case TypeStruct:
			types = append(types, TypeTag{Type: n, Struct: &StructTag{id(2), "m_1", "Name", []TypeTag{{Type: TypeBool}, {Type: TypeU256}}}})
		default:
			types = append(types, TypeTag{Type: n})
		}
	}
	return types
}

// sampleTransactions has every variant below TransactionKind.
func sampleTransactions() []*TransactionData {
	ref := ObjectRef{id(1), 1<<64 - 1, Digest{1, 2}}
	arg := Argument{Type: ArgumentNested, Index: 65535, Place: 2}
	args := []Argument{{}, {Type: ArgumentInput, Index: 1}, {Type: ArgumentResult, Index: 258}, arg}
	types := sampleTypes()
	event := Event{id(7), "module", id(8), *types[TypeStruct].Struct, []byte("contents")}
	objects := sampleObjects()
	change := func(variant uint8) ChangeEpoch {
		c := ChangeEpoch{
			Variant: variant, Epoch: 1, ProtocolVersion: 2, StorageCharge: 3, ComputationCharge: 4, StorageRebate: 6,
			NonRefundable: 7, StartMs: 8, Packages: []SystemPackage{{9, [][]byte{{1}, {}}, []ObjectID{id(1)}}, {}},
		}
		if variant >= 1 {
			c.ComputationBurned = 5
		}
		if variant >= 2 {
			c.Eligible = []uint64{10, 11}
		}
		if variant >= 3 {
			c.Scores, c.AdjustRewards = []uint64{12}, true
		}
		return c
	}
	kinds := []TransactionKind{
		&Programmable{
			[]CallArg{
				{Type: ArgPure, Pure: []byte{}},
				{Type: ArgPure, Pure: bytes.Repeat([]byte{5}, 300)},
				{Type: ArgOwned, Ref: ref},
				{Type: ArgShared, Ref: ObjectRef{ID: id(6), Version: 1}, Mutable: true},
				{Type: ArgReceiving, Ref: ref},
			},
			[]Command{
				{Type: CmdMoveCall, Package: id(2), Module: "coin", Function: "zero", TypeArgs: types, Args: args},
				{Type: CmdTransferObjects, Args: args, Arg: arg},
				{Type: CmdSplitCoins, Args: args, Arg: arg},
				{Type: CmdMergeCoins, Args: args, Arg: arg},
				{Type: CmdPublish, Modules: [][]byte{{1, 2}, {}}, Dependencies: []ObjectID{id(1), id(2)}},
				{Type: CmdMakeMoveVec, Elem: &types[TypeVector], Args: args},
				{Type: CmdMakeMoveVec},
				{Type: CmdUpgrade, Modules: [][]byte{{3}}, Dependencies: []ObjectID{id(3)}, Package: id(9), Arg: arg},
			},
		},
		&Genesis{[]GenesisObject{{objects[0].Data, objects[0].Owner}, {objects[len(objects)-1].Data, Owner{Type: OwnerImmutable}}}, []Event{event}},
		&Prologue{1, 2, pointer(uint64(3)), 4, Digest{5}, []CancelledTransaction{{Digest{6}, []ObjectVersion{{id(6), 7}}}}},
		&AuthenticatorUpdate{1, 2, []ActiveJwk{{"iss", "kid", "kty", "e", "n", "alg", 3}}, 4},
		&EndOfEpoch{[]ChangeEpoch{change(0), change(1), change(2), change(3)}},
		&Randomness{1, 2, []byte{3}, 4},
	}
	var all []*TransactionData
	for i, kind := range kinds {
		d := &TransactionData{kind, id(byte(i)), GasData{[]ObjectRef{ref}, id(4), 1000, 1 << 40}, nil}
		if i%2 == 0 {
			d.Expiration = pointer(uint64(i))
		}
		all = append(all, d)
	}
	return all
}

// sampleObjects has every variant below Object.
func sampleObjects() []*Object {
	contents := append(bytes.Clone(id5[:]), 1, 2, 3)
	types := sampleTypes()
	moves := []MoveObjectType{{Type: MoveOther, Other: types[TypeStruct].Struct}, {Type: MoveGasCoin}, {Type: MoveStaked}, {Type: MoveCoin, Coin: &types[TypeStruct]}}
	var all []*Object
	for i, typ := range moves {
		owner := Owner{Type: uint8(i)}
		switch owner.Type {
		case OwnerAddress, OwnerObject:
			owner.Address = id(9)
		case OwnerShared:
			owner.Initial = 77
		}
		all = append(all, &Object{ObjectData{Move: &MoveObject{typ, 3, contents}}, owner, Digest{9}, 5})
	}
	return append(all, &Object{ObjectData{Package: &MovePackage{
		id(5), 2,
		[]NamedModule{{"b", []byte{1}}, {"aa", []byte{}}},
		[]TypeOrigin{{"b", "T", id(1)}},
		[]Linkage{{id(1), id(2), 3}, {id(2), id(2), 1}},
	}}, Owner{Type: OwnerImmutable}, Digest{1}, 0})
}

var id5 = id(5)

// sampleEffects has every variant below TransactionEffects.
func sampleEffects() []*Effects {
	location := MoveLocation{id(2), "coin", 1, 2, pointer("split")}
	values := map[byte][]any{
		'1': {uint8(255)}, '2': {uint16(65535)}, '8': {uint64(1 << 63)}, 'i': {id(3)}, 's': {"0x2::iota::IOTA"}, 'b': {[]byte{1, 2}},
		'v': {[]ObjectID{id(1), id(2)}}, 'l': {location, MoveLocation{}}, 'o': {&location, (*MoveLocation)(nil)},
	}
	for c, e := range inner {
		for _, v := range sampleVariants(e, values) {
			values[c] = append(values[c], v)
		}
	}
	digest := Digest{4}
	var all []*Effects
	for i, v := range sampleVariants(&failureStatus, values) {
		e := &Effects{Failure: &Failure{Error: v}, Epoch: 1, Gas: GasCost{1, 2, 3, 4, 5}, Transaction: Digest{3}, Lamport: 9}
		if i%2 == 0 {
			e.Failure.Command = pointer(uint64(i))
		}
		all = append(all, e)
	}
	owner := Owner{Type: OwnerShared, Initial: 3}
	return append(all, &Effects{
		GasObject: pointer(uint32(2)), Events: &digest, AuxData: &digest, Dependencies: []Digest{{1}, {2}},
		Changed: []ObjectChange{
			{id(1), ObjectIn{}, ObjectOut{Type: OutObject, Digest: digest, Owner: owner}, OpCreated},
			{id(2), ObjectIn{true, 4, digest, owner}, ObjectOut{}, OpDeleted},
			{id(3), ObjectIn{true, 4, digest, Owner{Type: OwnerAddress, Address: id(8)}}, ObjectOut{Type: OutPackage, Version: 5, Digest: digest}, OpNone},
		},
		Unchanged: []UnchangedShared{
			{id(1), SharedReadOnly, 1, digest},
			{ID: id(2), Type: SharedMutateDeleted, Version: 2},
			{ID: id(3), Type: SharedReadDeleted, Version: 3},
			{ID: id(4), Type: SharedCancelled, Version: 4},
			{ID: id(5), Type: SharedPerEpochConfig},
		},
	})
}

// sampleVariants returns a value of each variant, and one for each value of its content.
func sampleVariants(e *enum, values map[byte][]any) (all []Variant) {
	for tag, def := range e.variants {
		most := 1
		for _, c := range []byte(def.content) {
			most = max(most, len(values[c]))
		}
		for n := range most {
			v := Variant{Tag: uint32(tag)}
			for _, c := range []byte(def.content) {
				v.Args = append(v.Args, values[c][n%len(values[c])])
			}
			all = append(all, v)
		}
	}
	return all
}

func sampleSummary() *Summary {
	return &Summary{
		Epoch: 1, Seq: 2, Total: 3, Content: Digest{4}, Previous: &Digest{5}, Gas: GasCost{6, 7, 8, 9, 10}, TimeMs: 11,
		Commitments: []Commitment{{Digest{12}}}, Specific: []byte{0, 0},
		EndOfEpoch: &EndOfEpochData{[]Validator{{[96]byte{1}, 5000}, {[96]byte{2}, 5000}}, 13, []Commitment{{Digest{14}}}, -15},
	}
}

// again checks that a value is read from what was appended of it, and that its JSON form is JSON.
func again[T any](t *testing.T, v *T, appendTo func([]byte, *T) []byte, parse func([]byte) (*T, error), asJSON func(*T) []byte) {
	t.Helper()
	raw := appendTo(nil, v)
	got, err := parse(raw)
	if err != nil {
		t.Errorf("%+v: %v", v, err)
		return
	}
	if twice := appendTo(nil, got); !bytes.Equal(twice, raw) {
		t.Errorf("%+v is read as %+v", v, got)
	}
	if text := asJSON(got); !json.Valid(text) {
		t.Errorf("not JSON: %s", text)
	}
	if _, err := parse(append(bytes.Clone(raw), 0)); !errors.Is(err, ledger.ErrSyntax) {
		t.Errorf("%+v with a byte too many: %v", v, err)
	}
	for n := range raw {
		if _, err := parse(raw[:n]); !errors.Is(err, ledger.ErrSyntax) {
			t.Fatalf("%+v: the first %d bytes: %v", v, n, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, v := range sampleTransactions() {
		again(t, v, AppendTransactionData, ParseTransactionData, TransactionJSON)
	}
	for _, v := range sampleObjects() {
		again(t, v, AppendObject, ParseObject, ObjectJSON)
	}
	for _, v := range sampleEffects() {
		again(t, v, AppendEffects, ParseEffects, EffectsJSON)
	}
	again(t, sampleSummary(), AppendSummary, ParseSummary, SummaryJSON)
	got, err := ParseSummary(AppendSummary(nil, sampleSummary()))
	if err != nil || !reflect.DeepEqual(got, sampleSummary()) {
		t.Errorf("summary is read as %+v, %v", got, err)
	}
}

// TestFailureJSON fixes the form of contents: one value as it is, several as a tuple, none as the name.
func TestFailureJSON(t *testing.T) {
	tests := []struct {
		error Variant
		want  string
	}{
		{Variant{Tag: 0}, `"InsufficientGas"`},
		{Variant{11, []any{(*MoveLocation)(nil)}}, `{"MovePrimitiveRuntimeError":null}`},
		{
			Variant{12, []any{MoveLocation{id(2), "coin", 1, 2, pointer("split")}, uint64(7)}},
			`{"MoveAbort":[{"package":"0x` + strings.Repeat("0", 63) + `2","module":"coin","function":1,"instruction":2,"function_name":"split"},"7"]}`,
		},
		{Variant{19, []any{uint16(3), Variant{5, []any{uint16(1), uint16(2)}}}}, `{"CommandArgumentError":[3,{"SecondaryIndexOutOfBounds":[1,2]}]}`},
		{Variant{20, []any{uint16(3), Variant{Tag: 1}}}, `{"TypeArgumentError":[3,"ConstraintNotSatisfied"]}`},
		{Variant{27, []any{Variant{3, []any{[]byte{1}}}}}, `{"PackageUpgradeError":{"DigestDoesNotMatch":"0x01"}}`},
		{Variant{37, []any{[]ObjectID(nil), uint64(5)}}, `{"ExecutionCancelledDueToSharedObjectCongestionV2":[[],"5"]}`},
		{Variant{Tag: 38}, `"InvalidLinkage"`},
	}
	for _, tt := range tests {
		raw := AppendEffects(nil, &Effects{Failure: &Failure{Error: tt.error, Command: pointer(uint64(4))}})
		e, err := ParseEffects(raw)
		if err != nil {
			t.Errorf("%s: %v", tt.want, err)
			continue
		}
		want := `"status":{"Failure":{"error":` + tt.want + `,"command":"4"}}`
		if got := string(EffectsJSON(e)); !strings.Contains(got, want) {
			t.Errorf("%s\nis not in %s", want, got)
		}
	}
}

func TestUnknownVariants(t *testing.T) {
	data := AppendTransactionData(nil, sampleTransactions()[5])
	effects := AppendEffects(nil, &Effects{})
	gas := AppendObject(nil, sampleObjects()[1])
	at := func(raw []byte, off int, v byte) []byte {
		raw = bytes.Clone(raw)
		raw[off] = v
		return raw
	}
	tests := []struct {
		name string
		tag  uint32
		off  int
		err  error
	}{
		{"TransactionData version", 3, 0, second(ParseTransactionData(at(data, 0, 3)))},
		{"TransactionKind", 6, 1, second(ParseTransactionData(at(data, 1, 6)))},
		{"TransactionExpiration", 2, len(data) - 1, second(ParseTransactionData(at(data, len(data)-1, 2)))},
		{"TransactionEffects version", 1, 0, second(ParseEffects(at(effects, 0, 1)))},
		{"ExecutionStatus", 2, 1, second(ParseEffects(at(effects, 1, 2)))},
		{"ExecutionFailureStatus", 39, 2, second(ParseEffects(append([]byte{0, 1, 39}, effects...)))},
		{"ObjectData", 2, 0, second(ParseObject(at(gas, 0, 2)))},
		{"MoveObjectType", 4, 1, second(ParseObject(at(gas, 1, 4)))},
		{"Owner", 4, len(gas) - 8 - 33 - 33, second(ParseObject(at(gas, len(gas)-8-33-33, 4)))},
		{"CheckpointContents version", 1, 0, second(ParseContents([]byte{1, 0, 0}))},
		{"TypeTag", 11, 1, second(ParseTypeTag([]byte{6, 11}))},
		{"TypeTag", 300, 1, second(ParseTypeTag([]byte{6, 0xac, 2}))},
	}
	for _, tt := range tests {
		var unknown *UnknownError
		if !errors.As(tt.err, &unknown) || *unknown != (UnknownError{Type: tt.name, Tag: tt.tag, Offset: tt.off}) || !errors.Is(tt.err, ledger.ErrSyntax) {
			t.Errorf("%s %d: %v", tt.name, tt.tag, tt.err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestParseRefuses(t *testing.T) {
	object := sampleObjects()[4]
	pkg := *object.Data.Package
	pkg.Modules = []NamedModule{{"aa", nil}, {"b", nil}} // the length comes first on the wire
	swapped := AppendObject(nil, &Object{Data: ObjectData{Package: &pkg}})
	pkg.Modules, pkg.Linkage = nil, []Linkage{{ID: id(1)}, {ID: id(1)}}
	twice := AppendObject(nil, &Object{Data: ObjectData{Package: &pkg}})
	short := AppendObject(nil, &Object{Data: ObjectData{Move: &MoveObject{MoveObjectType{Type: MoveGasCoin}, 1, make([]byte, 31)}}})
	signed := AppendSenderSigned(nil, AppendTransactionData(nil, sampleTransactions()[0]), nil)
	signed[1] = 1
	deep := bytes.Repeat([]byte{6}, 1000)
	tests := map[string]error{
		"modules out of order":  second(ParseObject(swapped)),
		"a dependency twice":    second(ParseObject(twice)),
		"contents without id":   second(ParseObject(short)),
		"another intent":        second(ParseSenderSigned(signed)),
		"a deep type":           second(ParseTypeTag(append(deep, 1))),
		"lists of other length": second(ParseContents([]byte{0, 0, 1, 0})),
		"key of 95 bytes":       second(ParseValidators(append([]byte{1, 95}, make([]byte, 104)...))),
	}
	for name, err := range tests {
		var unknown *UnknownError
		if !errors.Is(err, ledger.ErrSyntax) || errors.As(err, &unknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseTypeTag(append(bytes.Repeat([]byte{6}, bcs.MaxDepth-1), 1)); err != nil {
		t.Errorf("a type %d levels deep: %v", bcs.MaxDepth, err)
	}
}

func TestParseRaw(t *testing.T) {
	part := func(kind ledger.PartKind, text string) ledger.Part { return ledger.Part{Kind: kind, Raw: []byte(text)} }
	tx, fx := part(ledger.PartObject, "tx"), part(ledger.PartEffects, "")
	ev, out, in, rest := part(ledger.PartEvents, "ev"), part(ledger.PartOutput, "out"), part(ledger.PartInput, "in"), part(ledger.PartRest, "r")
	for _, parts := range [][]ledger.Part{{tx, fx}, {tx, fx, ev}, {tx, fx, ev, out, out, in, in}, {tx, fx, rest}, {tx, fx, out}, {tx, fx, in}} {
		raw := AppendRaw(nil, parts)
		got, err := ParseRaw(raw)
		if err != nil || !bytes.Equal(AppendRaw(nil, got), raw) || len(got) != len(parts) {
			t.Errorf("%v: %v, %v", parts, got, err)
		}
		for n := range raw {
			if got, err := ParseRaw(raw[:n]); err == nil && !bytes.Equal(AppendRaw(nil, got), raw[:n]) || err != nil && !errors.Is(err, ledger.ErrSyntax) {
				t.Errorf("the first %d bytes of %x: %v, %v", n, raw, got, err)
			}
		}
	}
	for _, parts := range [][]ledger.Part{
		{},
		{tx},
		{fx},
		{fx, tx},
		{tx, tx, fx},
		{tx, fx, fx},
		{tx, fx, ev, ev},
		{tx, fx, in, out},
		{tx, fx, out, ev},
		{tx, fx, rest, rest},
		{tx, fx, ev, rest},
		{tx, fx, out, rest},
		{tx, fx, rest, out},
		{tx, ev},
		{tx, fx, part(ledger.PartHeader, "")},
		{tx, fx, part(9, "")},
		{part(0, ""), fx},
		{tx, fx, part(ledger.PartList, "")},
	} {
		if got, err := ParseRaw(AppendRaw(nil, parts)); !errors.Is(err, ledger.ErrSyntax) {
			t.Errorf("%v is taken: %v, %v", parts, got, err)
		}
	}
}

func TestRecordJSONUndecoded(t *testing.T) {
	data := AppendTransactionData(nil, sampleTransactions()[5])
	data[1] = 9
	got := RecordJSON([]ledger.Part{
		{Kind: ledger.PartObject, Raw: AppendSenderSigned(nil, data, nil)},
		{Kind: ledger.PartEffects, Raw: []byte{7}},
		{Kind: ledger.PartRest, Raw: []byte{1, 2}},
	})
	var v struct {
		Transaction, Effects, Rest struct{ Undecoded, BCS string }
		Events                     any
		Outputs                    []any           `json:"output_objects"`
		Inputs                     json.RawMessage `json:"input_objects"`
	}
	if err := json.Unmarshal(got, &v); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if !strings.Contains(v.Transaction.Undecoded, "TransactionKind tag 9 at byte 4") || !strings.HasPrefix(v.Transaction.BCS, "0x0000000009") {
		t.Errorf("transaction = %+v", v.Transaction)
	}
	if !strings.Contains(v.Effects.Undecoded, "TransactionEffects version tag 7") || v.Effects.BCS != "0x07" {
		t.Errorf("effects = %+v", v.Effects)
	}
	if v.Rest.BCS != "0x0102" || v.Rest.Undecoded == "" || v.Events != nil || v.Outputs == nil || v.Inputs != nil {
		t.Errorf("%s", got)
	}
}
