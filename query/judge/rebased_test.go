package judge_test

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"permanode/ledger"
)

// chain is a Rebased network read from its bytes alone.
type chain struct{}

var chainKinds = []string{
	"ProgrammableTransaction", "Genesis", "ConsensusCommitPrologueV1", "AuthenticatorStateUpdateV1", "EndOfEpochTransaction",
	"RandomnessStateUpdate",
}

func (chain) kinds() []string { return chainKinds }

func (chain) states() []string { return []string{"executed-success", "executed-failure"} }

func (ch chain) unit(n *net, cone *ledger.Cone) (out []*doc) {
	for i := range cone.Records {
		d := fresh(n, cone, cone.Records[i].Ord.Pos)
		ch.record(d, cone.Records[i].Parts)
		out = append(out, d)
	}
	d := fresh(n, cone, ledger.UnitPos)
	id := hash([]byte("CheckpointSummary::"), cone.Unit.Header)
	d.id, d.kind, d.idle = base58(id), "unit", true
	d.is("unit", id)
	return append(out, d)
}

// bcs cuts BCS from the front.
type bcs struct{ cursor }

func (b *bcs) n() int {
	v := 0
	for shift := 0; ; shift += 7 {
		c := b.u8()
		v |= c & 127 << shift
		if c < 128 {
			return v
		}
	}
}

func (b *bcs) bytes() []byte { return b.take(b.n()) }

func (b *bcs) string() string { return string(b.bytes()) }

func (b *bcs) address() string { return string(b.take(32)) }

func (b *bcs) digest() []byte { return b.bytes() }

func (b *bcs) option(read func()) {
	if b.u8() == 1 {
		read()
	}
}

func (b *bcs) each(read func()) {
	for range b.n() {
		read()
	}
}

func (b *bcs) ref() { b.take(32 + 8 + 33) }

// typeText reads a type and writes its canonical text.
func (b *bcs) typeText() string {
	switch v := b.n(); v {
	case 6:
		return "vector<" + b.typeText() + ">"
	case 7:
		return b.structText()
	default:
		return []string{"bool", "u8", "u64", "u128", "address", "signer", "", "", "u16", "u32", "u256"}[v]
	}
}

func (b *bcs) structText() string {
	text := hexOf(b.address()) + "::" + b.string() + "::" + b.string()
	var args []string
	b.each(func() { args = append(args, b.typeText()) })
	if len(args) > 0 {
		text += "<" + strings.Join(args, ", ") + ">"
	}
	return text
}

func (ch chain) record(d *doc, parts []ledger.Part) {
	tx := &bcs{cursor{parts[0].Raw}}
	tx.take(3)
	from := tx.b
	quiet := ch.transaction(d, tx)
	if d.kind == chainKinds[0] { // of others the data is not read to its end
		d.id = base58(hash([]byte("TransactionData::"), from[:len(from)-len(tx.b)]))
	}
	effects := &bcs{cursor{parts[1].Raw}}
	digest := ch.effects(d, effects, quiet)
	d.id = base58(digest)
	d.is("record", digest)
	if quiet {
		return
	}
	for _, p := range parts[2:] {
		switch b := (&bcs{cursor{p.Raw}}); p.Kind {
		case ledger.PartEvents:
			b.each(func() {
				b.take(32)
				b.string()
				b.take(32)
				d.is("event", []byte(b.structText()))
				ch.scan(d, b.bytes())
			})
		case ledger.PartOutput:
			ch.object(d, b)
		}
	}
}

// transaction reads a TransactionData. It stops behind the kind where the network wrote it itself: sender and owner of
// the gas are zero then.
func (ch chain) transaction(d *doc, b *bcs) (quiet bool) {
	b.n()
	kind := b.n()
	d.kind = chainKinds[kind]
	zero := make([]byte, 32)
	switch kind {
	case 2, 3, 5:
		return true
	case 1, 4:
		d.is("addr", zero)
		return false
	}
	b.each(func() { ch.input(d, b) })
	b.each(func() { ch.command(d, b) })
	d.is("addr", b.take(32))
	b.each(b.ref)
	d.is("addr", b.take(32))
	b.take(8 + 8)
	if b.n() == 1 {
		b.take(8)
	}
	return false
}

func (ch chain) input(d *doc, b *bcs) {
	if b.n() == 0 {
		ch.pure(d, b.bytes())
		return
	}
	switch b.n() {
	case 0, 2:
		b.ref()
	case 1:
		b.take(32 + 8 + 1)
	}
}

func (ch chain) command(d *doc, b *bcs) {
	argument := func() {
		switch b.n() {
		case 1, 2:
			b.take(2)
		case 3:
			b.take(4)
		}
	}
	switch b.n() {
	case 0:
		d.is("function", []byte(hexOf(b.address())+"::"+b.string()+"::"+b.string()))
		b.each(func() { b.typeText() })
		b.each(argument)
	case 1:
		b.each(argument)
		argument()
	case 2, 3:
		argument()
		b.each(argument)
	case 4:
		b.each(func() { b.bytes() })
		b.each(func() { b.take(32) })
	case 5:
		b.option(func() { b.typeText() })
		b.each(argument)
	case 6:
		b.each(func() { b.bytes() })
		b.each(func() { b.take(32) })
		b.take(32)
		argument()
	}
}

// framed reads the length that b begins with, in its shortest form; used is 0 if there is none.
func framed(b []byte) (n, used int) {
	for i := 0; i < len(b) && i < 5; i++ {
		n |= int(b[i]&127) << (7 * i)
		if b[i] < 128 {
			if i > 0 && b[i] == 0 || n > 1<<32-1 {
				return 0, 0
			}
			return n, i + 1
		}
	}
	return 0, 0
}

func legible(b []byte) bool {
	return utf8.Valid(b) && strings.IndexFunc(string(b), func(r rune) bool { return unicode.Is(unicode.Cc, r) && !strings.ContainsRune("\t\n\r", r) }) < 0
}

// pure reads a pure argument by rule R1, and as a payload: what is in it behind its length, or all of it.
func (ch chain) pure(d *doc, b []byte) {
	body := b
	if n, used := framed(b); used > 0 && n == len(b)-used {
		body = b[used:]
	} else if len(b) > 1 && b[0] == 1 {
		if n, used := framed(b[1:]); used > 0 && n == len(b)-1-used {
			body = b[1+used:]
		}
	}
	before := len(d.texts)
	defer func() {
		if len(body) > 32 || len(d.texts) > before { // longer than any number or address, or text
			d.payload(body)
		}
	}()
	single := func(b []byte) bool {
		n, used := framed(b)
		if used == 0 || n != len(b)-used || n < 3 || !legible(b[used:]) {
			return false
		}
		d.text(string(b[used:]))
		return true
	}
	if single(b) || len(b) > 0 && b[0] == 1 && single(b[1:]) {
		return
	}
	count, used := framed(b)
	if used == 0 || count == 0 {
		return
	}
	rest := b[used:]
	var all []string
	for range count {
		n, used := framed(rest)
		if used == 0 || n == 0 || n > len(rest)-used || !legible(rest[used:used+n]) {
			return
		}
		all = append(all, string(rest[used:used+n]))
		rest = rest[used+n:]
	}
	if len(rest) == 0 {
		for _, s := range all {
			d.text(s)
		}
	}
}

// scan finds texts behind lengths of 6 and more.
func (ch chain) scan(d *doc, b []byte) {
	for at := 0; at < len(b); {
		n, used := framed(b[at:])
		if used > 0 && n >= 6 && n <= len(b)-at-used && legible(b[at+used:at+used+n]) {
			d.text(string(b[at+used : at+used+n]))
			at += used + n
			continue
		}
		at++
	}
}

// content of errors that a status can hold, by number: digits are bytes to skip, s a string, v a list of ids, l a place,
// o perhaps a place, and the rest as the specification names them.
var failures = map[int]string{
	4: "88", 5: "88", 6: "i", 11: "o", 12: "l8", 19: "2c", 20: "2t", 21: "22", 22: "2", 24: "88", 27: "p", 28: "88", 33: "v", 34: "is", 35: "s", 37: "v8",
}

func (b *bcs) failure() {
	place := func() {
		b.take(32)
		b.string()
		b.take(4)
		b.option(func() { b.string() })
	}
	for _, c := range failures[b.n()] {
		switch c {
		case '2':
			b.take(2)
		case '8':
			b.take(8)
		case 'i':
			b.take(32)
		case 's':
			b.string()
		case 'v':
			b.each(func() { b.take(32) })
		case 'l':
			place()
		case 'o':
			b.option(place)
		case 'c':
			switch b.n() {
			case 4, 6:
				b.take(2)
			case 5:
				b.take(4)
			}
		case 't':
			b.n()
		case 'p':
			switch b.n() {
			case 0, 1:
				b.take(32)
			case 3:
				b.bytes()
			case 4:
				b.u8()
			case 5:
				b.take(64)
			}
		}
	}
	b.option(func() { b.take(8) })
}

// effects reads effects into d, unless it is quiet, and returns the digest of the transaction.
func (ch chain) effects(d *doc, b *bcs, quiet bool) (digest []byte) {
	b.n()
	d.state = "executed-success"
	if b.n() == 1 {
		d.state = "executed-failure"
		b.failure()
	}
	b.take(8 + 5*8)
	digest = b.digest()
	if d.id != "" && d.id != base58(digest) {
		panic(fmt.Sprintf("the effects of %s are of another transaction", d.id))
	}
	b.option(func() { b.take(4) })
	b.option(func() { b.digest() })
	b.each(func() { b.digest() })
	b.take(8)
	b.each(func() {
		id := b.take(32)
		var owners []string
		owner := func() {
			switch b.n() {
			case 0:
				owners = append(owners, b.address())
			case 1:
				b.take(32)
			case 2:
				b.take(8)
			}
		}
		if b.n() == 1 {
			b.take(8)
			b.digest()
			owner()
		}
		switch b.n() {
		case 1:
			b.digest()
			owner()
		case 2:
			b.take(8)
			b.digest()
		}
		b.n()
		if quiet {
			return
		}
		d.is("object", id)
		for _, o := range owners {
			d.is("addr", []byte(o))
		}
	})
	return digest
}

const (
	short2     = "0x0000000000000000000000000000000000000000000000000000000000000002"
	short1     = "0x0000000000000000000000000000000000000000000000000000000000000001"
	migrated   = "0x000000000000000000000000000000000000000000000000000000000000107a"
	stringType = short1 + "::string::String"
)

// object reads a written object: its type, its tags and its texts.
func (ch chain) object(d *doc, b *bcs) {
	if b.n() != 0 {
		return // a package
	}
	var kind string
	switch b.n() {
	case 0:
		kind = b.structText()
	case 1:
		kind = short2 + "::coin::Coin<" + short2 + "::iota::IOTA>"
	case 2:
		kind = short2[:65] + "3::staking_pool::StakedIota"
	case 3:
		kind = short2 + "::coin::Coin<" + b.typeText() + ">"
	}
	b.take(8)
	contents := b.bytes()
	d.is("type", []byte(kind))
	if strings.HasPrefix(kind, short2+"::coin::Coin<") && len(contents) == 40 {
		return
	}
	probe := &doc{net: d.net, names: map[name]bool{}}
	if ch.layout(probe, kind, contents) {
		for n := range probe.names {
			d.names[n] = true
		}
		d.texts, d.words, d.leaves = append(d.texts, probe.texts...), append(d.words, probe.words...), append(d.leaves, probe.leaves...)
		return
	}
	ch.scan(d, contents[min(32, len(contents)):])
}

var (
	notarizationType = regexp.MustCompile(`^0x[0-9a-f]{64}::notarization::Notarization<(vector<u8>|` + stringType + `)>$`)
	recordType       = regexp.MustCompile(`^` + short2 + `::dynamic_field::Field<u64, ` + short2 + `::linked_table::Node<u64, 0x[0-9a-f]{64}::record::Record<(vector<u8>|` +
		stringType + `|0x[0-9a-f]{64}::record::Data(?:<.*>)?)>>>$`)
)

// layout reads contents of a known type field by field; false if the type is not known, or they do not fit to the last byte.
func (ch chain) layout(d *doc, kind string, contents []byte) (fits bool) {
	defer func() {
		if recover() != nil {
			fits = false // it ended too early, or was something else
		}
	}()
	b := &bcs{cursor{contents}}
	b.take(32)
	text := func() {
		if s := b.bytes(); len(s) > 0 && legible(s) {
			d.text(string(s))
		}
	}
	skip := func(n int) func() { return func() { b.take(n) } }
	tag := func() {
		s := b.bytes()
		d.is("tag", s)
		if len(s) > 0 && legible(s) {
			d.text(string(s))
		}
	}
	variant := func(of int) int {
		v := b.n()
		if v >= of {
			panic("no such variant")
		}
		return v
	}
	switch match := recordType.FindStringSubmatch(kind); {
	case notarizationType.MatchString(kind):
		text()
		b.strictly(text)
		b.take(8)
		b.strictly(text)
		b.strictly(func() {
			for range 3 {
				if variant(3) == 0 {
					b.take(4)
				}
			}
		})
		b.strictly(text)
		b.take(16)
		variant(2)
	case match != nil:
		b.take(8)
		b.strictly(skip(8))
		b.strictly(skip(8))
		if strings.HasPrefix(match[1], "0x") && match[1] != stringType {
			variant(2)
		}
		text()
		b.strictly(text)
		b.strictly(tag)
		b.take(8 + 32 + 8)
		b.each(skip(8))
		b.strictly(skip(8))
	case strings.HasPrefix(kind, migrated+"::basic_output::BasicOutput<") && !strings.Contains(kind, ", "):
		b.take(8 + 32 + 8)
		b.strictly(skip(32 + 8))
		b.strictly(skip(4))
		b.strictly(skip(32 + 32 + 4))
		b.strictly(text)
		b.strictly(tag)
		b.strictly(skip(32))
	case kind == migrated+"::alias::Alias":
		b.take(32 + 4)
		b.strictly(text)
		b.strictly(skip(32))
		b.strictly(text)
		b.strictly(skip(32))
		b.strictly(text)
	default:
		return false
	}
	return len(b.b) == 0
}

// strictly is option where other bytes than 0 and 1 do not fit.
func (b *bcs) strictly(read func()) {
	switch b.u8() {
	case 0:
	case 1:
		read()
	default:
		panic("no option")
	}
}

var shortHex = regexp.MustCompile(`^0[xX][0-9a-fA-F]{1,64}$`)

// full writes a short address in full, without 0x.
func full(short string) string {
	return strings.Repeat("0", 64-len(short)+2) + strings.ToLower(short[2:])
}

var (
	primitive = regexp.MustCompile(`^(bool|u8|u16|u32|u64|u128|u256|address|signer)$`)
	structure = regexp.MustCompile(`^(0[xX][0-9a-fA-F]{1,64}|[0-9a-fA-F]{64})\s*::\s*(_?[A-Za-z]\w*|_\w+)\s*::\s*(_?[A-Za-z]\w*|_\w+)\s*(<(.*)>)?$`)
)

// canonical reads a type in any spelling; "" if it is none.
func canonical(text string) string {
	text = strings.TrimSpace(text)
	if primitive.MatchString(text) {
		return text
	}
	if rest, ok := strings.CutPrefix(text, "vector"); ok {
		inside, ok := strings.CutPrefix(strings.TrimSpace(rest), "<")
		inside, closed := strings.CutSuffix(inside, ">")
		if of := canonical(inside); ok && closed && of != "" {
			return "vector<" + of + ">"
		}
		return ""
	}
	m := structure.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	if len(m[1]) == 64 && !strings.ContainsAny(m[1][:2], "xX") {
		m[1] = "0x" + m[1]
	}
	out := "0x" + full(m[1]) + "::" + m[2] + "::" + m[3]
	if m[4] == "" {
		return out
	}
	var args []string
	depth, from := 0, 0
	for i, c := range m[5] + "," {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth == 0:
			arg := canonical((m[5] + ",")[from:i])
			if arg == "" {
				return ""
			}
			args, from = append(args, arg), i+1
		}
	}
	if depth != 0 {
		return ""
	}
	return out + "<" + strings.Join(args, ", ") + ">"
}

func (chain) read(text string) []name {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "::") {
		s := canonical(text)
		if s == "" {
			return nil
		}
		names := []name{{"type", s}, {"event", s}}
		if !strings.Contains(s, "<") {
			names = append(names, name{"function", s})
		}
		return append(names, name{"type", short2 + "::coin::Coin<" + s + ">"})
	}
	if len(text) >= 32 && len(text) <= 44 {
		if raw, err := unbase58(text); err == nil && len(raw) == 32 {
			return []name{{"record", string(raw)}, {"unit", string(raw)}}
		}
	}
	lower := strings.ToLower(text)
	if strings.HasPrefix(lower, "did:iota:") {
		raw, ok := unhex(lower[strings.LastIndex(lower, ":")+1:])
		if !ok || len(raw) != 32 {
			return nil
		}
		return []name{{"object", string(raw)}}
	}
	if sum, ok := strings.CutPrefix(lower, "sha256:"); ok {
		raw, ok := unhex(sum)
		if !ok || len(raw) != 32 {
			return nil
		}
		return []name{{"payload", string(raw)}}
	}
	if sum, ok := uncid(text); ok {
		return []name{{"payload", sum}}
	}
	digits := strings.TrimPrefix(lower, "0x")
	if len(digits) == 68 {
		raw, ok := unhex(digits)
		if !ok || raw[33] != 0 || raw[32] >= 128 {
			return nil
		}
		return []name{{"object", string(hash(raw))}}
	}
	if len(digits) == 64 {
		lower = "0x" + digits
	}
	if !shortHex.MatchString(lower) || len(digits) != 64 && len(strings.TrimLeft(digits, "0")) > 16 {
		return nil // what is nearly an address is a typing error, not a short one
	}
	raw, err := hex.DecodeString(full(lower))
	if err != nil {
		return nil
	}
	s := string(raw)
	out := []name{{"addr", s}, {"object", s}}
	if len(digits) == 64 {
		out = append(out, name{"payload", s}, name{"record", s}, name{"unit", s})
	}
	return out
}

func (chain) write(_ *net, of name) string {
	switch of.sort {
	case "type", "event", "function":
		return of.val
	case "record", "unit":
		return base58([]byte(of.val))
	}
	return hexOf(of.val)
}
