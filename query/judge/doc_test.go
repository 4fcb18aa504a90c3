package judge_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"

	"permanode/ledger"
	"permanode/storage"
)

// A doc is what can be selected: a record, or what a unit did itself.
type doc struct {
	net         *net
	seq         uint64
	pos         uint32
	id          string // as the era writes it
	time        int64  // of its unit, ms
	kind, state string
	// idle is a unit that did nothing itself: only who names it by id: finds it.
	idle bool

	names  map[name]bool
	texts  []string   // readable ones
	words  [][]string // of each text
	leaves []leaf
}

// name is what a record can be asked by: sort is "tag", "addr", "object", "type", "event", "function", or one of what
// id: finds beside them: "record", "transaction", "unit", "output", "payload".
type name struct{ sort, val string }

func (d *doc) is(sort string, val []byte) { d.names[name{sort, string(val)}] = true }

func (d *doc) text(s string) {
	d.texts, d.words = append(d.texts, s), append(d.words, split(s))
	d.leaves = append(d.leaves, leavesOf(s)...)
}

// payload is known by its SHA-256, if there is anything of it.
func (d *doc) payload(b []byte) {
	if len(b) > 0 {
		sum := sha256.Sum256(b)
		d.is("payload", sum[:])
	}
}

func (d *doc) String() string {
	if d == nil {
		return "none"
	}
	return fmt.Sprintf("%s %d/%d %s", d.net.name, d.seq, d.pos, d.id)
}

// explain tells all that is known of d, for a person who looks at a difference.
func (d *doc) explain() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: kind %s, state %s, time %d\n", d, d.kind, d.state, d.time)
	for n := range d.names {
		fmt.Fprintf(&b, "  %s %s\n", n.sort, d.net.era.write(d.net, n))
	}
	for _, t := range d.texts {
		fmt.Fprintf(&b, "  text %.300q\n", t)
	}
	for _, l := range d.leaves {
		fmt.Fprintf(&b, "  leaf %.300q = %.300q\n", l.path, l.value)
	}
	return b.String()
}

// era is what the judge knows of one.
type era interface {
	// unit reads a unit that continues what was read, and gives its records in order, then itself if it did something.
	unit(n *net, c *ledger.Cone) []*doc
	// read gives all that a text can name.
	read(text string) []name
	// write gives a text for a name, as the era's own tools do.
	write(n *net, of name) string
	kinds() []string
	states() []string
}

// net is a network as the judge knows it.
type net struct {
	name, follows string
	id            ledger.NetID
	row           ledger.Network
	era           era
	docs          []*doc // in order
	next          uint64 // the unit to be read next
}

// world is all networks, in the order of answers.
type world struct{ nets []*net }

// catchUp reads what was committed behind what n has.
func (n *net) catchUp(ctx context.Context, store storage.Reader) error {
	coverage, err := store.Coverage(ctx, n.id)
	if err != nil {
		return err
	}
	for _, s := range coverage.Spans {
		lo := max(s.Lo, n.next)
		if s.Empty() || lo > s.Hi {
			continue
		}
		for c, err := range store.Cones(ctx, n.id, lo, s.Hi) {
			if err != nil {
				return err
			}
			n.docs, n.next = append(n.docs, n.era.unit(n, c)...), c.Unit.Seq+1
		}
	}
	return nil
}

// fresh begins a doc of a stored record.
func fresh(n *net, c *ledger.Cone, pos uint32) *doc {
	return &doc{net: n, seq: c.Unit.Seq, pos: pos, time: c.Unit.TimeMs, names: map[name]bool{}}
}

// hash is BLAKE2b-256.
func hash(parts ...[]byte) []byte {
	h, err := blake2b.New256(nil)
	if err != nil {
		panic(err) // no key: cannot be
	}
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// cursor cuts little-endian bytes from the front. Stored records were proven: what does not fit is a panic.
type cursor struct{ b []byte }

func (c *cursor) take(n int) []byte {
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() int { return int(c.take(1)[0]) }

func (c *cursor) u16() int { return int(binary.LittleEndian.Uint16(c.take(2))) }

func (c *cursor) u32() int { return int(binary.LittleEndian.Uint32(c.take(4))) }

func (c *cursor) u64() uint64 { return binary.LittleEndian.Uint64(c.take(8)) }

// hexOf writes bytes as hex with 0x.
func hexOf(b string) string { return "0x" + hex.EncodeToString([]byte(b)) }

// unhex reads hex digits, with 0x or without.
func unhex(s string) ([]byte, bool) {
	s = strings.ToLower(s)
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	return b, err == nil
}

// cidOf is the CIDv1 of one raw block with that SHA-256, in base32.
func cidOf(sum string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	raw := "\x01\x55\x12\x20" + sum
	out := "b"
	for bit := 0; bit < 8*len(raw); bit += 5 {
		v := 0
		for i := bit; i < bit+5; i++ {
			v <<= 1
			if i < 8*len(raw) {
				v |= int(raw[i/8] >> (7 - i%8) & 1)
			}
		}
		out += letters[v : v+1]
	}
	return out
}

// uncid reads a CIDv1 of one raw block, in base32 or base58.
func uncid(s string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, "z"); ok {
		raw, err := unbase58(rest)
		if err != nil || len(raw) != 36 || string(raw[:4]) != "\x01\x55\x12\x20" {
			return "", false
		}
		return string(raw[4:]), true
	}
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	if len(s) != 59 || s[0] != 'b' {
		return "", false
	}
	var raw []byte
	acc, bits := uint32(0), 0
	for i := 1; i < len(s); i++ {
		v := strings.IndexByte(letters, s[i])
		if v < 0 {
			return "", false
		}
		acc, bits = acc<<5|uint32(v), bits+5
		if bits >= 8 {
			bits -= 8
			raw = append(raw, byte(acc>>bits))
		}
	}
	if len(raw) != 36 || acc&(1<<bits-1) != 0 || string(raw[:4]) != "\x01\x55\x12\x20" {
		return "", false
	}
	return string(raw[4:]), true
}
