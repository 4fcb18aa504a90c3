package rebased

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased/bcs"
)

// factsRecord is a stored record of a sponsored call by a signer of each given scheme.
func factsRecord(t testing.TB, call Programmable, sigs [][]byte, objects ...*Object) *ledger.Record {
	t.Helper()
	data := AppendTransactionData(nil, &TransactionData{Kind: &call, Sender: addr(1), Gas: GasData{Owner: addr(2)}})
	signed := bcs.AppendList(append([]byte{0, 0, 0}, data...), sigs, bcs.AppendBytes)
	effects := Effects{Transaction: TransactionDigest(data), Epoch: 7, Failure: &Failure{}}
	id := TransactionDigest(data)
	r := &ledger.Record{ID: ledger.NewID(id[:]), Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: signed}, {}}}
	for _, o := range objects {
		effects.Changed = append(effects.Changed, ObjectChange{ID: o.ID(), Out: ObjectOut{Type: OutObject, Owner: o.Owner}, Op: OpCreated})
		r.Parts = append(r.Parts, ledger.Part{Kind: ledger.PartOutput, Raw: AppendObject(nil, o)})
	}
	r.Parts[1] = ledger.Part{Kind: ledger.PartEffects, Raw: AppendEffects(nil, &effects)}
	return r
}

func factsText(t testing.TB, r *ledger.Record) map[string]string {
	t.Helper()
	f, err := (Codec{}).Facts(r, ledger.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	ledgertest.CheckOutline(t, Codec{}, r, ledger.Trust{}, f)
	got := map[string]string{"texts": strings.Join(f.Texts, "|"), "undecoded": f.Undecoded}
	add := func(name, value string) { got[name] = strings.TrimPrefix(got[name]+" "+value, " ") }
	for _, l := range f.Leaves {
		add("leaves", l.Path+"="+l.Value)
	}
	for _, x := range f.Tokens {
		add("tokens", strings.TrimLeft(x.ID, "0x")+":"+x.Amount.String())
	}
	for _, x := range f.Facets {
		add(x.Name, strings.ReplaceAll(x.Value, "0x"+strings.Repeat("0", 60), "~"))
	}
	for _, p := range f.Payloads {
		add("payloads", fmt.Sprintf("%d:%q", p.Len, r.Parts[0].Raw[p.Off:p.Off+2]))
	}
	for _, m := range f.Moves {
		add("moves", fmt.Sprintf("%s/%s:%s", m.Owner[64:], m.Asset, m.Amount))
	}
	return got
}

// TestFacts: what a person can search for in a record that was made for it.
func TestFacts(t *testing.T) {
	json := `p={"a":{"n":1e400},"b":["x y",null]}`
	call := Programmable{
		Inputs: []CallArg{
			{Pure: bcs.AppendU64(nil, 5)},                                       // a number: nothing
			{Pure: bcs.AppendString(nil, json[2:])},                             // text
			{Pure: bcs.AppendString([]byte{1}, "p: optional")},                  // optional text
			{Pure: append([]byte{2}, bcs.AppendString([]byte{1, 'q'}, "p")...)}, // texts
			{Pure: []byte("p" + strings.Repeat("\xff", 32))},                    // longer than any number
			{Pure: []byte("p" + strings.Repeat("\xff", 31))},                    // not longer than an address
		},
		Commands: []Command{
			{Type: CmdMoveCall, Package: Address{31: 1}, Module: "m", Function: "f", TypeArgs: []TypeTag{tagOf(t, "0x2::a::B"), tagOf(t, "u8")}},
			{Type: CmdMakeMoveVec, Elem: new(TypeTag)},
		},
	}
	sigs := [][]byte{make([]byte, 97), {FlagZkLogin, 1}, {0x77}}
	r := factsRecord(t, call, sigs,
		coinObject(t, MoveCoin, "0xab::tok::TOK", addr(10), owned(addr(3)), 5),
		coinObject(t, MoveGasCoin, iotaText, addr(11), owned(addr(3)), 6))
	amount := func(v uint64) ledger.Amount { return ledger.Coins(v) }
	move := func(owner byte, asset string, v ledger.Amount) ledger.Move {
		a := addr(owner)
		return ledger.Move{Owner: string(a[:]), Asset: asset, Amount: v}
	}
	r.Moves = []ledger.Move{
		move(4, "", amount(1)), move(3, "t", amount(2)), move(3, "", amount(5)), move(4, "", amount(7).Neg()),
		move(5, "", amount(2)), move(5, "", amount(2).Neg()),
	}
	got := factsText(t, r)
	for name, want := range map[string]string{
		"undecoded":     "",
		"texts":         json[2:] + "|p: optional|q|p",
		"leaves":        "a.n=1e400 b=x y b=null",
		"tokens":        "ab::tok::TOK:5",
		"sender":        addr(1).String(),
		"gas_owner":     addr(2).String(),
		"recipient":     addr(3).String(),
		"function":      "~0001::m::f",
		"type_argument": "~0002::a::B u8",
		"epoch":         "7",
		"status":        "failure",
		"scheme":        "ed25519 unknown zklogin",
		"unverified":    "unknown zklogin",
		"payloads":      fmt.Sprintf(`%d:"{\"" 11:"p:" 5:"\x02\x01" 33:"p\xff"`, len(json)-2),
		"moves":         "03/:5 03/t:2 04/:-6",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if _, ok := got["type"]; ok {
		t.Errorf("coins are found as objects of type %q", got["type"])
	}
}

// TestPayloads: the place of a payload in the record is that of its own bytes, without the length before it.
func TestPayloads(t *testing.T) {
	big := "p" + strings.Repeat("\xff", 300)
	var call Programmable
	last := bcs.AppendString([]byte{7}, big) // no option: the first byte belongs to it
	for _, pure := range [][]byte{bcs.AppendString(nil, big), bcs.AppendString([]byte{1}, big), []byte(big), last} {
		call.Inputs = append(call.Inputs, CallArg{Pure: pure})
	}
	if got := factsText(t, factsRecord(t, call, nil))["payloads"]; got != `301:"p\xff" 301:"p\xff" 301:"p\xff" 304:"\a\xad"` {
		t.Errorf("payloads %s", got)
	}
}

// TestFactsDamaged: a record that lacks what every record has is an error, not a record without facts.
func TestFactsDamaged(t *testing.T) {
	whole := factsRecord(t, Programmable{}, nil)
	for _, parts := range [][]ledger.Part{nil, whole.Parts[:1], slices.Concat(whole.Parts[1:], whole.Parts[:1])} {
		if _, err := (Codec{}).Facts(&ledger.Record{ID: whole.ID, Parts: parts}, ledger.Trust{}); err == nil {
			t.Errorf("%d parts are a record", len(parts))
		}
	}
}
