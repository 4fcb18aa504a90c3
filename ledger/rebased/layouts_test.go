package rebased

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"permanode/ledger/rebased/bcs"
)

const pkg = "0x909ce9dcd9a5e97b7b8884fac8e018fad9dece348bf73837379b8694ff684cf3"

func structOf(t testing.TB, text string) *StructTag {
	t.Helper()
	tag, err := ParseType(text)
	if err != nil || tag.Struct == nil {
		t.Fatalf("%s: %v", text, err)
	}
	return tag.Struct
}

// moveValue joins the fields of a Move value: integers in full, strings and []byte with their length, moveRaw ones as they are.
func moveValue(fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch v := f.(type) {
		case string:
			b = bcs.AppendString(b, v)
		case []byte:
			b = bcs.AppendBytes(b, v)
		case moveRaw:
			b = append(b, v...)
		case uint8:
			b = append(b, v)
		case uint32:
			b = bcs.AppendU32(b, v)
		case uint64:
			b = bcs.AppendU64(b, v)
		case Address:
			b = append(b, v[:]...)
		default:
			panic(f)
		}
	}
	return b
}

type moveRaw string

const (
	optNone = moveRaw("\x00")
	optSome = moveRaw("\x01")
)

func notarizationValue(data any) []byte {
	return moveValue(Address{1}, data, optSome, "application/json", uint64(1), optSome, "Annual statement", optSome, // locks
		moveRaw("\x00"), uint32(7), moveRaw("\x01"), moveRaw("\x02"), optSome, "https://example.test", uint64(2), uint64(3), moveRaw("\x01"))
}

func recordValue(data ...any) []byte {
	head := moveValue(Address{1}, uint64(4), optSome, uint64(3), optNone)
	tail := moveValue(optSome, "unit=kWh", optSome, "energy", uint64(4), Address{9}, uint64(5), moveRaw("\x02"), uint64(1), uint64(2), optSome, uint64(8))
	return slices.Concat(head, moveValue(data...), tail)
}

const recordNode = "0x2::dynamic_field::Field<u64, 0x2::linked_table::Node<u64, 0x960d::record::Record<"

func basicOutputValue(tag any) []byte {
	return moveValue(Address{1}, uint64(5), Address{2}, uint64(0), optSome, Address{3}, uint64(1), optSome, uint32(4),
		optSome, Address{4}, Address{5}, uint32(6), optSome, "Rechnung", optSome, tag, optSome, Address{6})
}

// TestLayouts: known layouts field by field, and a scan of whatever is not exactly one.
func TestLayouts(t *testing.T) {
	notarization := []fieldText{
		{"state.data", "hello"},
		{"state.metadata", "application/json"},
		{"immutable_metadata.description", "Annual statement"},
		{"updatable_metadata", "https://example.test"},
	}
	scanned := []fieldText{{"scan", "application/json"}, {"scan", "Annual statement"}, {"scan", "https://example.test"}}
	record := []fieldText{{"record.data", "on"}, {"record.metadata", "unit=kWh"}, {"record.tag", "energy"}}
	cut := notarizationValue("hello")
	cut = cut[:len(cut)-1]
	energy := [][]byte{[]byte("energy")}
	cases := []struct {
		name, typ string
		contents  []byte
		texts     []fieldText
		tags      [][]byte
	}{
		{"notarization of text", pkg + "::notarization::Notarization<0x1::string::String>", notarizationValue("hello"), notarization, nil},
		{"notarization of bytes", pkg + "::notarization::Notarization<vector<u8>>", notarizationValue("hello"), notarization, nil},
		{"notarization of bytes that are no text", pkg + "::notarization::Notarization<vector<u8>>", notarizationValue([]byte{0xff}), notarization[1:], nil},
		{"notarization of another package", "0x41::notarization::Notarization<vector<u8>>", notarizationValue("hello"), notarization, nil},
		{
			"notarization without options", pkg + "::notarization::Notarization<vector<u8>>",
			moveValue(Address{1}, "hi", optNone, uint64(1), optNone, optNone, optNone, uint64(2), uint64(3), moveRaw("\x00")),
			[]fieldText{{"state.data", "hi"}},
			nil,
		},
		{"notarization of another type", pkg + "::notarization::Notarization<u64>", notarizationValue("hello"), scanned, nil},
		{"notarization with a byte left", pkg + "::notarization::Notarization<vector<u8>>", append(notarizationValue("hello"), 0), scanned, nil},
		{"notarization of an unknown method", pkg + "::notarization::Notarization<vector<u8>>", append(cut, 2), scanned, nil},
		{"another struct of the module", pkg + "::notarization::State<vector<u8>>", notarizationValue("hello"), scanned, nil},
		{"record of data, text", recordNode + "0x960d::record::Data>>>", recordValue(moveRaw("\x01"), "on"), record, energy},
		{"record of data, bytes", recordNode + "0x960d::record::Data>>>", recordValue(moveRaw("\x00"), "on"), record, energy},
		{"record of text", recordNode + "0x1::string::String>>>", recordValue("on"), record, energy},
		{"record of bytes", recordNode + "vector<u8>>>>", recordValue("on"), record, energy},
		{
			"record of another type", recordNode + "u8>>>", recordValue(uint8(7)),
			[]fieldText{{"scan", "unit=kWh"}, {"scan", "energy"}},
			nil,
		},
		{
			"node with another key", "0x2::dynamic_field::Field<u64, 0x2::linked_table::Node<u32, 0x960d::record::Record<vector<u8>>>>",
			recordValue("on"),
			[]fieldText{{"scan", "unit=kWh"}, {"scan", "energy"}},
			nil,
		},
		{
			"basic output", "0x107a::basic_output::BasicOutput<0x2::iota::IOTA>", basicOutputValue("INVOICE"),
			[]fieldText{{"metadata", "Rechnung"}, {"tag", "INVOICE"}},
			[][]byte{[]byte("INVOICE")},
		},
		{
			"basic output with a tag of bytes", "0x107a::basic_output::BasicOutput<0x2::iota::IOTA>", basicOutputValue([]byte{0xff, 0}),
			[]fieldText{{"metadata", "Rechnung"}},
			[][]byte{{0xff, 0}},
		},
		{
			"basic output with an empty tag", "0x107a::basic_output::BasicOutput<0x2::iota::IOTA>", basicOutputValue([]byte{}),
			[]fieldText{{"metadata", "Rechnung"}},
			[][]byte{{}},
		},
		{
			"basic output of another package", "0x107b::basic_output::BasicOutput<0x2::iota::IOTA>", basicOutputValue("INVOICE"),
			[]fieldText{{"scan", "Rechnung"}, {"scan", "INVOICE"}},
			nil,
		},
		{
			"alias", "0x107a::alias::Alias",
			moveValue(Address{1}, Address{2}, uint32(3), optSome, "state", optSome, Address{4}, optSome, "meta", optSome, Address{5}, optSome, "fixed"),
			[]fieldText{{"state_metadata", "state"}, {"metadata", "meta"}, {"immutable_metadata", "fixed"}},
			nil,
		},
		{
			"lock of a vested reward", "0x2::timelock::TimeLock<0x2::balance::Balance<0x2::iota::IOTA>>",
			moveValue(Address{1}, uint64(1), uint64(2), optSome, "a::stardust_upgrade_label"),
			[]fieldText{{"scan", "a::stardust_upgrade_label"}},
			nil,
		},
		{"the id is no text", "0x41::a::A", []byte("\x1fabcdefghijklmnopqrstuvwxyz01234"), nil, nil},
		{"shorter than an id", "0x41::a::A", []byte("\x06abcdef"), nil, nil},
	}
	for _, c := range cases {
		got := contentOf(structOf(t, c.typ), c.contents)
		if !slices.Equal(got.texts, c.texts) || !reflect.DeepEqual(got.tags, c.tags) {
			t.Errorf("%s:\n got %q, tags %q\nwant %q, tags %q", c.name, got.texts, got.tags, c.texts, c.tags)
		}
	}
}

// layoutTypes is a type of each layout, and one without.
var layoutTypes = []string{
	pkg + "::notarization::Notarization<vector<u8>>", recordNode + "0x960d::record::Data>>>", recordNode + "vector<u8>>>>",
	"0x107a::basic_output::BasicOutput<0x2::iota::IOTA>", "0x107a::alias::Alias", "0x41::a::A",
}

// FuzzLayouts: whatever contents a type comes with, what is found is readable and stands in them.
func FuzzLayouts(f *testing.F) {
	f.Add(uint8(0), notarizationValue("hello"))
	f.Add(uint8(1), recordValue(moveRaw("\x01"), "on"))
	f.Add(uint8(2), recordValue("on"))
	f.Add(uint8(3), basicOutputValue("INVOICE"))
	f.Fuzz(func(t *testing.T, n uint8, contents []byte) {
		got := contentOf(structOf(t, layoutTypes[int(n)%len(layoutTypes)]), contents)
		for _, text := range got.texts {
			if text.Text == "" || !printable([]byte(text.Text)) || !strings.Contains(string(contents), text.Text) {
				t.Errorf("%s: %q", text.Field, text.Text)
			}
		}
		for _, tag := range got.tags {
			if !strings.Contains(string(contents), string(tag)) {
				t.Errorf("tag %x", tag)
			}
		}
	})
}
