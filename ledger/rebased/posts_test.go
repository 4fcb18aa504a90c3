package rebased

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased/bcs"
)

func addr(n byte) Address { return Address{31: n, 0: 0xaa} }

func tagOf(t testing.TB, text string) TypeTag {
	t.Helper()
	tag, err := ParseType(text)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

// coinObject is a coin of a type, spelled in the way that form says.
func coinObject(t testing.TB, form uint8, of string, id ObjectID, owner Owner, balance uint64) *Object {
	t.Helper()
	typ := MoveObjectType{Type: form}
	tag := tagOf(t, of)
	switch form {
	case MoveCoin:
		typ.Coin = &tag
	case MoveOther:
		typ.Other = structOf(t, "0x02::coin::Coin<"+of+">")
	}
	return &Object{
		Data:  ObjectData{Move: &MoveObject{Type: typ, Version: 7, Contents: bcs.AppendU64(slices.Clone(id[:]), balance)}},
		Owner: owner,
	}
}

func owned(a Address) Owner { return Owner{Type: OwnerAddress, Address: a} }

const iotaText = "0x2::iota::IOTA"

// TestCoinSpellings: three forms of a coin's type are one type (FR-12).
func TestCoinSpellings(t *testing.T) {
	tok := "0x" + strings.Repeat("0", 62) + "aB::tok::TOK"
	canonical := tagOf(t, tok).String()
	for _, c := range []struct {
		form  uint8
		of    string
		asset string
	}{
		{MoveGasCoin, iotaText, ""},
		{MoveCoin, iotaText, ""},
		{MoveOther, iotaText, ""},
		{MoveCoin, tok, canonical},
		{MoveOther, "0xab::tok::TOK", canonical},
		{MoveCoin, "0x2::iota::Iota", tagOf(t, "0x2::iota::Iota").String()},
	} {
		o := coinObject(t, c.form, c.of, addr(1), owned(addr(2)), 77)
		got, ok := coinOf(o)
		if want := (coin{owner: addr(2), asset: c.asset, balance: 77}); !ok || got != want {
			t.Errorf("form %d of %s: %v %v, want %v", c.form, c.of, got, ok, want)
		}
		if text := o.Data.Move.Type.Tag().String(); text != coinTag(tagOf(t, c.of)).String() {
			t.Errorf("form %d of %s has the type %s", c.form, c.of, text)
		}
	}
	shared := coinObject(t, MoveGasCoin, iotaText, addr(1), Owner{Type: OwnerShared}, 1)
	long := coinObject(t, MoveGasCoin, iotaText, addr(1), owned(addr(2)), 1)
	long.Data.Move.Contents = append(long.Data.Move.Contents, 0)
	staked := coinObject(t, MoveStaked, iotaText, addr(1), owned(addr(2)), 1)
	like := coinObject(t, MoveOther, iotaText, addr(1), owned(addr(2)), 1)
	like.Data.Move.Type.Other.Address[31] = 3
	for i, o := range []*Object{shared, long, staked, like, {Data: ObjectData{Package: &MovePackage{}}, Owner: owned(addr(2))}} {
		if c, ok := coinOf(o); ok {
			t.Errorf("object %d is no coin of an address: %v", i, c)
		}
	}
}

// ledgerOf is a held ledger with some coins, each at version 3.
func ledgerOf(coins map[ObjectID]coin) coinView {
	return func(id ObjectID, version uint64) (coin, bool) {
		c, ok := coins[id]
		return c, ok && version == 3
	}
}

func in(a Address) ObjectIn { return ObjectIn{Exist: true, Version: 3, Owner: owned(a)} }

func out(a Address) ObjectOut { return ObjectOut{Type: OutObject, Owner: owned(a)} }

// record makes a record out of changes and the objects written.
func made(changed []ObjectChange, objects ...*Object) *decoded {
	d := &decoded{identified: &identified{effects: &Effects{Changed: changed}}, kind: KindProgrammable}
	for _, o := range objects {
		d.outputs = append(d.outputs, output{id: o.ID(), object: o})
	}
	slices.SortFunc(d.outputs, func(a, b output) int { return bytes.Compare(a.id[:], b.id[:]) })
	return d
}

// TestMoves: what addresses gained and lost, coin by coin.
func TestMoves(t *testing.T) {
	alice, bob := addr(1), addr(2)
	id, other := addr(10), addr(11)
	tok := tagOf(t, "0xab::tok::TOK").String()
	held := ledgerOf(map[ObjectID]coin{
		id: {owner: alice, balance: 100}, other: {owner: bob, asset: tok, balance: 5},
	})
	gas := func(owner Owner, n uint64) *Object { return coinObject(t, MoveGasCoin, iotaText, id, owner, n) }
	broken := made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}}, gas(owned(alice), 60))
	broken.outputs = append(broken.outputs, output{id: other})
	// Alice's coin id is known, her coin addr(20) is not: it is gone after the record.
	merge := func(tx *SenderSigned) *decoded {
		d := made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}, {ID: addr(20), In: in(alice), Op: OpDeleted}, {ID: addr(21), Out: out(bob), Op: OpCreated}},
			gas(owned(alice), 160), coinObject(t, MoveGasCoin, iotaText, addr(21), owned(bob), 7))
		d.tx = tx
		return d
	}
	signed := func(p Programmable, payment ...ObjectRef) *SenderSigned {
		return &SenderSigned{Data: TransactionData{Kind: &p, Sender: alice, Gas: GasData{Owner: alice, Payment: payment}}}
	}
	merged := signed(Programmable{
		Inputs:   []CallArg{{Type: ArgOwned, Ref: ObjectRef{ID: addr(20)}}},
		Commands: []Command{{Type: CmdMergeCoins, Arg: Argument{Type: ArgumentGasCoin}, Args: []Argument{{Type: ArgumentInput}}}},
	})
	for _, c := range []struct {
		name string
		d    *decoded
		view coinView
		want string // owner, asset and amount of each move
	}{
		{"spent in part", made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}}, gas(owned(alice), 60)), held, "1  -40"},
		{"unchanged", made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}}, gas(owned(alice), 100)), held, ""},
		{"handed on", made([]ObjectChange{{ID: id, In: in(alice), Out: out(bob)}}, gas(owned(bob), 100)), held, "1  -100, 2  100"},
		{"created", made([]ObjectChange{{ID: addr(12), Out: out(bob), Op: OpCreated}}, coinObject(t, MoveOther, iotaText, addr(12), owned(bob), 9)), held, "2  9"},
		{"merged into another", made([]ObjectChange{{ID: id, In: in(alice), Op: OpDeleted}}), held, "1  -100"},
		{"wrapped", made([]ObjectChange{{ID: id, In: in(alice)}}), held, "1  -100"},
		{"shared", made([]ObjectChange{{ID: id, In: in(alice), Out: ObjectOut{Type: OutObject, Owner: Owner{Type: OwnerShared}}}}, gas(Owner{Type: OwnerShared}, 100)), held, "1  -100"},
		{
			"out of an object's hands",
			made([]ObjectChange{{ID: id, In: ObjectIn{Exist: true, Version: 3, Owner: Owner{Type: OwnerObject, Address: alice}}, Out: out(bob)}}, gas(owned(bob), 70)), held, "2  70",
		},
		{
			"two assets", made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}, {ID: other, In: in(bob), Out: out(alice)}},
				gas(owned(alice), 99), coinObject(t, MoveOther, "0x00ab::tok::TOK", other, owned(alice), 5)), held,
			"1  -1, 2 " + tok + " -5, 1 " + tok + " 5",
		},
		{"a version that nobody saw", made([]ObjectChange{{ID: id, In: ObjectIn{Exist: true, Version: 4, Owner: owned(alice)}, Out: out(alice)}}, gas(owned(alice), 60)), held, ""},
		{"a coin that nobody could read, merged", merge(merged), held, "2  7"},
		{"a coin that nobody could read, paid with", merge(signed(Programmable{}, ObjectRef{ID: addr(20)})), held, "2  7"},
		{"an object that is no coin, deleted", merge(signed(Programmable{})), held, "1  60, 2  7"},
		{"an object deleted by a transaction that nobody can read", merge(nil), held, "2  7"},
		{"no ledger held", made([]ObjectChange{{ID: id, In: in(alice), Out: out(alice)}}, gas(owned(alice), 60)), nil, ""},
		{"an object that cannot be decoded", broken, held, ""},
	} {
		var got []string
		for _, m := range movesOf(c.d, c.view) {
			got = append(got, fmt.Sprintf("%d %s %s", m.Owner[31], m.Asset, m.Amount))
			if m.Output.Len() != 32 {
				t.Errorf("%s: the move names the object %s", c.name, m.Output)
			}
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}

func roleText(r ledger.Role) string {
	s := ""
	for i, name := range "m<>srSp" { // mention, spend, receive, sign, return, send, pay
		if r&(1<<i) != 0 {
			s += string(name)
		}
	}
	return s
}

// postText writes postings, short and sorted as they are: kind, value, roles and amount.
func postText(posts []ledger.Posting) string {
	var all []string
	for _, p := range posts {
		val := p.Key.Val
		switch p.Key.Kind {
		case ledger.KeyAddress, ledger.KeyObject:
			val = fmt.Sprint(val[31])
		case ledger.KeyToken:
			val = fmt.Sprint(val[31], " ", val[32:])
		case ledger.KeyPayload:
			val = fmt.Sprintf("%x", val[:2])
		case ledger.KeyRecord:
			continue
		}
		s := fmt.Sprintf("%d:%s:%s", p.Key.Kind, strings.ReplaceAll(val, strings.Repeat("0", 60), "~"), roleText(p.Role))
		if p.Value.Sign() != 0 {
			s += ":" + p.Value.String()
		}
		all = append(all, s)
	}
	return strings.Join(all, " ")
}

// TestPosts: who stands how to what.
func TestPosts(t *testing.T) {
	alice, bob, carl := addr(1), addr(2), addr(3)
	signedBy := func(sender, payer Address, call Programmable) *SenderSigned {
		return &SenderSigned{Data: TransactionData{Kind: &call, Sender: sender, Gas: GasData{Owner: payer}}}
	}
	big := bytes.Repeat([]byte{0xff}, len(Address{})+1) // as an address or number, or shorter, bytes are no payload
	sum := sha256.Sum256(big)
	note := sha256.Sum256([]byte("net 30"))
	object := func(typ string, id ObjectID, contents []byte) *Object {
		return &Object{Data: ObjectData{Move: &MoveObject{Type: MoveObjectType{Other: structOf(t, typ)}, Contents: append(id[:], contents...)}}}
	}
	gone := ObjectIn{Exist: true, Version: 3, Owner: Owner{Type: OwnerShared}}
	full := made([]ObjectChange{{ID: addr(10), In: in(alice), Out: out(alice)}}, coinObject(t, MoveGasCoin, iotaText, addr(10), owned(alice), 60))
	full.tx = signedBy(alice, alice, Programmable{})
	sponsored := made([]ObjectChange{
		{ID: addr(10), In: in(bob), Out: out(bob)},
		{ID: addr(11), In: in(alice), Out: out(carl)},
		{ID: addr(12), In: in(alice), Op: OpDeleted},
		{ID: addr(13), In: gone},
		{ID: addr(14), Out: out(carl), Op: OpCreated},
		{ID: addr(15), Out: ObjectOut{Type: OutObject, Owner: Owner{Type: OwnerShared}}},
		{ID: addr(16), Op: OpDeleted},
		{ID: addr(17), Op: OpCreated},
		{ID: addr(18), Out: ObjectOut{Type: OutPackage}, Op: OpCreated},
		{ID: addr(19), In: ObjectIn{Exist: true, Owner: Owner{Type: OwnerImmutable}}, Out: ObjectOut{Type: OutPackage}},
	})
	sponsored.tx = signedBy(alice, bob, Programmable{})
	things := made(nil,
		object("0xab::a::A<u8,0x2::b::B>", addr(20), nil),
		object("0xab::a::A<u8, 0x02::b::B>", addr(21), nil),
		object("0x107a::basic_output::BasicOutput<0x2::iota::IOTA>", addr(22), basicOutputValue("INVOICE")[32:]),
		coinObject(t, MoveCoin, "0xab::tok::TOK", addr(23), owned(bob), 5))
	things.events = []Event{{Type: *structOf(t, "0xab::a::E")}}
	call := made(nil)
	call.tx = signedBy(alice, alice, Programmable{
		Inputs: []CallArg{
			{Pure: big[1:]},
			{Pure: big},
			{Pure: bcs.AppendBytes(nil, big)},
			{Pure: bcs.AppendBytes([]byte{1}, big)},
			{Pure: bcs.AppendBytes(nil, big[1:])},
			{Pure: bcs.AppendBytes(nil, []byte("net 30"))},
		},
		Commands: []Command{{Type: CmdMoveCall, Package: Address{31: 1}, Module: "m", Function: "f"}, {Type: CmdSplitCoins}},
	})
	genesis := made([]ObjectChange{{ID: addr(10), Out: out(bob), Op: OpCreated}})
	genesis.kind, genesis.tx = 1+uint8(TagGenesis), &SenderSigned{Data: TransactionData{Kind: &Genesis{}}}
	prologue := made([]ObjectChange{{ID: ObjectID{31: 6}, In: gone, Out: out(alice)}})
	prologue.kind = 1 + uint8(TagPrologue)
	handed := made([]ObjectChange{{ID: addr(10), In: in(alice), Out: out(bob)}})
	tok := tagOf(t, "0xab::tok::TOK").String()
	token := made([]ObjectChange{{ID: addr(11), In: in(alice), Op: OpDeleted}})
	held := ledgerOf(map[ObjectID]coin{addr(10): {owner: alice, balance: 100}, addr(11): {owner: alice, asset: tok, balance: 7}})
	for _, c := range []struct {
		name string
		d    *decoded
		view coinView
		want string
	}{
		{"a payer's own coin, no ledger held", full, nil, "5:1:>sSp 8:10:m 12:0x~0002::coin::Coin<0x~0002::iota::IOTA>:m"},
		{"a payer's own coin", full, held, "5:1:>sSp:-40 8:10:m 12:0x~0002::coin::Coin<0x~0002::iota::IOTA>:m"},
		{
			"sponsored, and every way an object can go", sponsored, nil,
			"5:1:<sS 5:2:>sp 5:3:> 8:10:m 8:11:m 8:12:< 8:13:< 8:14:> 8:15:> 8:16:< 8:17:> 8:18:> 8:19:m",
		},
		{
			"types, events, tags and tokens", things, nil,
			"4:INVOICE:m 11:2 0x~00ab::tok::TOK:> 12:0x~0002::coin::Coin<0x~00ab::tok::TOK>:m " +
				"12:0x~00ab::a::A<u8, 0x~0002::b::B>:m 12:0x~107a::basic_output::BasicOutput<0x~0002::iota::IOTA>:m 13:0x~00ab::a::E:m",
		},
		{"calls and payloads", call, nil, fmt.Sprintf("5:1:sSp 9:%x:m 9:%x:m 14:0x~0001::m::f:m", note[:2], sum[:2])},
		{"an object handed on", handed, nil, "5:1:< 5:2:> 8:10:m"},
		{"a token spent", token, held, "5:1:< 8:11:< 11:1 0x~00ab::tok::TOK:<:-7"},
		{"genesis", genesis, held, "5:0:Sp 5:2:> 8:10:>"},
		{"prologue", prologue, held, ""},
	} {
		r := ledger.Record{ID: ledger.NewID(make([]byte, 32))}
		posts, _ := recordPosts(&r, c.d, c.view)
		if got := postText(posts); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if posts[0].Key != (ledger.Key{Kind: ledger.KeyRecord, Val: r.ID.Key()}) {
			t.Errorf("%s: the record's own id is not posted", c.name)
		}
	}
}

// TestSystem: which kinds are kept by their id alone, and which objects change too often to be kept (spec 9, 16).
func TestSystem(t *testing.T) {
	for kind, want := range []bool{false, false, false, true, true, false, true, false} {
		if got := quietKind(uint8(kind)); got != want {
			t.Errorf("kind %d (%s) is quiet: %v", kind, (Codec{}).KindName(uint8(kind)), got)
		}
	}
	for text, want := range map[string]bool{
		"0x5": true, "0x6": true, "0x7": true, "0x8": true, "0x403": true,
		"0x0": false, "0x2": false, "0x9": false, "0x107a": false, "0x10005": false, "0x5000000000000000000000000000000000000000000000000000000000000005": false,
	} {
		id, err := ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := isSystemObject(id); got != want {
			t.Errorf("%s is a system object: %v", text, got)
		}
	}
}
