package rebased

import "permanode/ledger/rebased/bcs"

// fieldText is a text and the place in an object where it stands: the names of a known layout's fields with dots,
// or "scan".
type fieldText struct{ Field, Text string }

// content is what a person can read in an object.
type content struct {
	texts []fieldText
	tags  [][]byte // of an audit trail's record, of a migrated output: also of no bytes, and bytes that are no text
}

const fieldScan = "scan"

// contentOf reads the contents of an object of type t by rule R2 (spec 16): a known layout that fits to the last byte
// field by field, everything else by a scan of what follows the object's id.
func contentOf(t *StructTag, contents []byte) content {
	if c, ok := fieldsOf(t, contents); ok {
		return c
	}
	var c content
	for _, text := range scanTexts(contents[min(len(contents), len(ObjectID{})):]) {
		c.texts = append(c.texts, fieldText{fieldScan, text})
	}
	return c
}

// fieldsOf reads the contents of an object of type t field by field; false if it has no known layout that fits.
func fieldsOf(t *StructTag, contents []byte) (content, bool) {
	read := layoutOf(t)
	if read == nil {
		return content{}, false
	}
	l := layout{r: bcs.NewReader(contents)}
	l.r.Fixed(len(ObjectID{}))
	read(&l)
	return l.content, l.r.End() == nil
}

// layoutOf returns how values of a type are read behind their id, nil for a type without a layout here (spec 17, 18).
// The packages of notarization and audit trails have other addresses on each network: their names and the whole form
// decide. A lock of vested rewards is found by the scan, and an audit trail too, whose roles have no short form.
func layoutOf(t *StructTag) func(*layout) {
	switch {
	case t.Module == "notarization" && t.Name == "Notarization" && len(t.Args) == 1 && isText(&t.Args[0]):
		return (*layout).notarization
	case is(t, 0x2, "dynamic_field", "Field", 2) && t.Args[0].Type == TypeU64:
		return recordLayout(&t.Args[1])
	case is(t, stardustPackage, "basic_output", "BasicOutput", 1):
		return (*layout).basicOutput
	case is(t, stardustPackage, "alias", "Alias", 0):
		return (*layout).alias
	}
	return nil
}

// stardustPackage is the package of objects that were Stardust outputs.
const stardustPackage = 0x107a

// is reports whether t is a struct of a package with a short address, with args type arguments.
func is(t *StructTag, pkg uint16, module, name string, args int) bool {
	return t.Address == Address{30: byte(pkg >> 8), 31: byte(pkg)} && t.Module == module && t.Name == name && len(t.Args) == args
}

// isText reports whether values of t are bytes behind their length: vector<u8> or String.
func isText(t *TypeTag) bool {
	return t.Type == TypeVector && t.Elem.Type == TypeU8 || t.Type == TypeStruct && is(t.Struct, 0x1, "string", "String", 0)
}

// recordLayout returns how the value of an audit trail's record is read, where t is linked_table::Node<u64, Record<D>>.
func recordLayout(t *TypeTag) func(*layout) {
	if t.Type != TypeStruct || !is(t.Struct, 0x2, "linked_table", "Node", 2) {
		return nil
	}
	key, value := &t.Struct.Args[0], &t.Struct.Args[1]
	if key.Type != TypeU64 || value.Type != TypeStruct {
		return nil
	}
	record := value.Struct
	if record.Module != "record" || record.Name != "Record" || len(record.Args) != 1 {
		return nil
	}
	switch data := &record.Args[0]; {
	case isText(data):
		return func(l *layout) { l.record(false) }
	case data.Type == TypeStruct && data.Struct.Module == "record" && data.Struct.Name == "Data":
		return func(l *layout) { l.record(true) }
	}
	return nil
}

// layout reads the fields of one object.
type layout struct {
	r *bcs.Reader
	content
}

// text takes what stands in a field, if a person can read it.
func (l *layout) text(field string, b []byte) {
	if len(b) > 0 && printable(b) {
		l.texts = append(l.texts, fieldText{field, string(b)})
	}
}

// bytes reads an optional value of bytes or text.
func (l *layout) bytes(field string) {
	if l.r.Option() {
		l.text(field, l.r.Bytes())
	}
}

// tag reads an optional tag.
func (l *layout) tag(field string) {
	if l.r.Option() {
		b := l.r.Bytes()
		l.tags = append(l.tags, b)
		l.text(field, b)
	}
}

// skip reads an optional value of n bytes.
func (l *layout) skip(n int) {
	if l.r.Option() {
		l.r.Fixed(n)
	}
}

func (l *layout) notarization() {
	l.text("state.data", l.r.Bytes())
	l.bytes("state.metadata")
	l.r.U64() // created_at
	l.bytes("immutable_metadata.description")
	if l.r.Option() {
		for range 3 { // update, delete and transfer lock
			if l.r.Variant("TimeLock", 3) == 0 {
				l.r.U32()
			}
		}
	}
	l.bytes("updatable_metadata")
	l.r.U64() // last_state_change_at
	l.r.U64() // state_version_count
	l.r.Variant("NotarizationMethod", 2)
}

// record reads a node of an audit trail's table. Its data is an enum of bytes and text, or of one of them.
func (l *layout) record(enum bool) {
	l.r.U64() // key
	l.skip(8) // previous
	l.skip(8) // next
	if enum {
		l.r.Variant("Data", 2)
	}
	l.text("record.data", l.r.Bytes())
	l.bytes("record.metadata")
	l.tag("record.tag")
	l.r.U64()                           // sequence_number
	l.r.Fixed(len(Address{}))           // added_by
	l.r.U64()                           // added_at
	bcs.List(l.r, 8, (*bcs.Reader).U64) // correction.replaces
	l.skip(8)                           // correction.is_replaced_by
}

func (l *layout) basicOutput() {
	l.r.U64()                      // balance
	l.r.Fixed(len(ObjectID{}) + 8) // native_tokens
	l.skip(len(Address{}) + 8)     // storage_deposit_return
	l.skip(4)                      // timelock
	l.skip(2*len(Address{}) + 4)   // expiration
	l.bytes("metadata")
	l.tag("tag")
	l.skip(len(Address{})) // sender
}

func (l *layout) alias() {
	l.r.Fixed(len(Address{})) // legacy_state_controller
	l.r.U32()                 // state_index
	l.bytes("state_metadata")
	l.skip(len(Address{})) // sender
	l.bytes("metadata")
	l.skip(len(Address{})) // immutable_issuer
	l.bytes("immutable_metadata")
}
