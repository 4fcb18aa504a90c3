package judge_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hdevalence/ed25519consensus"

	"permanode/ledger"
)

// tangle is a Stardust network read from its bytes alone: blocks, and the ledger that applied ones made.
type tangle struct {
	hrp    string
	ledger map[string]owned // by output id; nothing is ever taken out
}

// owned is what is left of an output once it is spent: whom and what it names then.
type owned struct {
	address, back []byte // nominal owner; who gets it back once it expired, nil if it never does
	expires       int64  // seconds
	chain         string // object, "" if it is none
}

// newTangle begins with the outputs of a full snapshot file.
func newTangle(snapshot []byte) *tangle {
	t := &tangle{ledger: map[string]owned{}}
	c := &cursor{snapshot}
	c.take(1 + 1 + 4 + 4 + 4 + 32 + 4 + 32 + 8)
	option := &cursor{c.take(c.u16())}
	option.take(1 + 4 + 1)
	parameters := &cursor{option.take(option.u16())}
	parameters.u8()
	parameters.take(parameters.u8())
	t.hrp = string(parameters.take(parameters.u8()))
	outputs := c.u64()
	c.take(4 + 2)
	for range outputs {
		id := c.take(34)
		c.take(32 + 4 + 4)
		o := t.output(&cursor{c.take(c.u32())}, id, &doc{names: map[name]bool{}})
		t.ledger[string(id)] = o
	}
	return t
}

func (t *tangle) kinds() []string {
	return []string{"no-payload", "transaction", "tagged-data", "milestone"}
}

func (t *tangle) states() []string { return []string{"applied", "conflicting", "no-transaction"} }

func (t *tangle) unit(n *net, cone *ledger.Cone) (out []*doc) {
	for i := range cone.Records {
		r := &cone.Records[i]
		d := fresh(n, cone, r.Ord.Pos)
		d.state = r.State.String()
		t.block(d, r.Parts[0].Raw)
		out = append(out, d)
	}
	d := fresh(n, cone, ledger.UnitPos)
	id := hash(cone.Unit.Header)
	d.id, d.kind = hexOf(string(id)), "unit"
	d.is("unit", id)
	d.idle = !t.receipt(d, cone.Unit.Header, id)
	return append(out, d)
}

func (t *tangle) block(d *doc, raw []byte) {
	id := hash(raw)
	d.id = hexOf(string(id))
	d.is("record", id)
	c := &cursor{raw}
	c.u8()
	c.take(32 * c.u8())
	payload := c.take(c.u32())
	if len(payload) == 0 {
		d.kind = "no-payload"
		return
	}
	p := &cursor{payload}
	switch p.u32() {
	case 5:
		d.kind = "tagged-data"
		t.tagged(d, p)
	case 6:
		d.kind = "transaction"
		t.transaction(d, payload)
	case 7:
		d.kind = "milestone"
		t.milestone(d, p, nil)
	}
}

func (t *tangle) tagged(d *doc, c *cursor) {
	d.is("tag", c.take(c.u8()))
	t.content(d, c.take(c.u32()))
}

// content is bytes that somebody wrote: found by their hash, and by the text in them.
func (t *tangle) content(d *doc, b []byte) {
	d.payload(b)
	t.readable(d, b)
}

func (t *tangle) readable(d *doc, b []byte) {
	if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil && len(b) >= 18 {
		if inside, err := io.ReadAll(io.LimitReader(z, 256<<10+1)); err == nil && len(inside) <= 256<<10 {
			b = inside
		}
	}
	if bytes.HasPrefix(b, []byte("DID\x01\x00")) && len(b) >= 7 && int(binary.LittleEndian.Uint16(b[5:])) == len(b)-7 {
		b = b[7:]
	}
	s := strings.TrimPrefix(string(b), "\ufeff")
	if utf8.ValidString(s) && len(strings.Fields(s)) > 0 {
		d.text(s)
	}
}

func (t *tangle) transaction(d *doc, payload []byte) {
	id := hash(payload)
	d.is("transaction", id)
	applied := d.state == "applied"
	c := &cursor{payload}
	c.u32()
	essence := c.b
	c.take(1 + 8)
	for range c.u16() {
		in := c.take(35)[1:]
		d.is("output", in)
		if !applied {
			continue
		}
		was, known := t.ledger[string(in)]
		if !known {
			panic("an applied transaction consumes what nobody made")
		}
		d.is("addr", was.address)
		if was.back != nil && was.expires*1000 <= d.time {
			d.is("addr", was.back)
		}
		if was.chain != "" {
			d.is("object", []byte(was.chain))
		}
	}
	c.take(32)
	for i := range c.u16() {
		out := binary.LittleEndian.AppendUint16(bytes.Clone(id), uint16(i))
		d.is("output", out)
		o := t.output(c, out, d)
		if applied {
			t.ledger[string(out)] = o
		}
	}
	if n := c.u32(); n > 0 {
		c.u32()
		t.tagged(d, c)
	}
	signed := hash(essence[:len(essence)-len(c.b)])
	for range c.u16() {
		if c.u8() != 0 {
			c.u16()
			continue
		}
		c.u8()
		key, sig := c.take(32), c.take(64)
		if ed25519consensus.Verify(key, signed, sig) {
			d.is("addr", append([]byte{0}, hash(key)...))
		}
	}
}

// output reads an output at the front of c into d.
func (t *tangle) output(c *cursor, id []byte, d *doc) (o owned) {
	kind := c.u8()
	c.u64()
	c.take(c.u8() * (38 + 32))
	zero := make([]byte, 32)
	switch kind {
	case 4:
		o.chain = t.chain("\x08", c.take(32), id, zero)
		c.u32()
		if state := c.take(c.u16()); len(state) > 0 {
			t.readable(d, state)
		}
		c.u32()
	case 5:
		o.chain = string(c.take(4)) // the alias comes before it
		o.chain += string(c.take(1))
		c.take(3 * 32)
	case 6:
		o.chain = t.chain("\x10", c.take(32), id, zero)
	}
	for i := range c.u8() {
		switch c.u8() {
		case 1:
			d.is("addr", c.take(33))
			c.u64()
		case 2:
			c.u32()
		case 3:
			o.back = c.take(33)
			d.is("addr", o.back)
			o.expires = int64(c.u32())
		default: // address, state controller, governor, immutable alias
			a := c.take(33)
			d.is("addr", a)
			if i == 0 {
				o.address = a
			}
		}
	}
	if kind == 5 {
		o.chain = string(o.address) + o.chain
	}
	if o.chain != "" {
		d.is("object", []byte(o.chain))
	}
	t.features(c, d)
	if kind != 3 {
		t.features(c, d)
	}
	return o
}

// chain is the object that an alias or NFT is.
func (t *tangle) chain(kind string, id, output, zero []byte) string {
	if bytes.Equal(id, zero) {
		id = hash(output)
	}
	return kind + string(id)
}

func (t *tangle) features(c *cursor, d *doc) {
	for range c.u8() {
		switch c.u8() {
		case 0, 1:
			d.is("addr", c.take(33))
		case 2:
			t.content(d, c.take(c.u16()))
		case 3:
			d.is("tag", c.take(c.u8()))
		}
	}
}

// milestone reads the essence of a milestone behind its type; funds gets what a receipt gives, if it is not nil.
func (t *tangle) milestone(d *doc, c *cursor, funds func(i int, address []byte)) (receipt bool) {
	c.take(4 + 4 + 1 + 32)
	c.take(32 * c.u8())
	c.take(32 + 32)
	metadata := c.take(c.u16())
	if funds == nil {
		if len(metadata) > 0 {
			t.readable(d, metadata)
		}
		funds = func(_ int, address []byte) { d.is("addr", address) }
	}
	for range c.u8() {
		if c.u8() != 0 {
			c.take(4 + 1)
			c.take(c.u16())
			continue
		}
		receipt = true
		c.take(4 + 1)
		for i := range c.u16() {
			c.take(49)
			funds(i, c.take(33))
			c.u64()
		}
		c.take(c.u32())
	}
	return receipt
}

// receipt reads what a unit did itself: each fund becomes an output.
func (t *tangle) receipt(d *doc, essence, id []byte) bool {
	return t.milestone(d, &cursor{essence}, func(i int, address []byte) {
		out := binary.LittleEndian.AppendUint16(bytes.Clone(id), uint16(i))
		d.is("output", out)
		d.is("addr", address)
		t.ledger[string(out)] = owned{address: address}
	})
}

func (t *tangle) read(text string) []name {
	text = strings.TrimSpace(text)
	if a, ok := unbech32(t.hrp, text); ok {
		return t.address(string(a))
	}
	lower := strings.ToLower(text)
	if strings.HasPrefix(lower, "did:iota:") {
		raw, ok := unhex(lower[strings.LastIndex(lower, ":")+1:])
		if !ok || len(raw) != 32 {
			return nil
		}
		return t.address("\x08" + string(raw))
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
	raw, ok := unhex(lower)
	if !ok {
		return nil
	}
	s := string(raw)
	switch {
	case len(s) == 32:
		return []name{
			{"record", s}, {"transaction", s}, {"unit", s}, {"object", "\x08" + s}, {"object", "\x10" + s}, {"addr", "\x00" + s}, {"payload", s},
		}
	case len(s) == 33 && strings.Contains("\x00\x08\x10", s[:1]):
		return t.address(s)
	case len(s) == 34 && raw[33] == 0 && raw[32] < 128:
		return []name{{"output", s}}
	case len(s) == 38 && s[0] == 8:
		return []name{{"object", s}}
	}
	return nil
}

func (t *tangle) address(a string) []name {
	if a[0] == 0 {
		return []name{{"addr", a}}
	}
	return []name{{"addr", a}, {"object", a}}
}

func (t *tangle) write(_ *net, of name) string {
	switch {
	case of.sort == "addr":
		return bech32(t.hrp, []byte(of.val))
	case of.sort == "object" && len(of.val) == 33:
		return hexOf(of.val[1:])
	}
	return hexOf(of.val)
}
