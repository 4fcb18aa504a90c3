package rebased

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"

	"permanode/ledger/rebased/bcs"
)

// String returns the digest in base58.
func (d Digest) String() string { return base58.Encode(d[:]) }

// String returns 0x and 64 lower-case hex digits.
func (a Address) String() string { return "0x" + hex.EncodeToString(a[:]) }

// ParseDigest reads a digest in base58: 32 bytes.
func ParseDigest(s string) (d Digest, err error) {
	if len(s) < 32 || len(s) > 44 {
		return d, fmt.Errorf("a digest has 32 to 44 base58 characters, not %d", len(s))
	}
	b, err := base58.Decode(s)
	if err != nil {
		return d, fmt.Errorf("digest %q: %w", s, err)
	}
	if len(b) != len(d) {
		return d, fmt.Errorf("digest %q has %d bytes, not 32", s, len(b))
	}
	return Digest(b), nil
}

// ParseAddress reads an address or object id: 0x and 1 to 64 hex digits of either case; missing ones are zeros on
// the left.
func ParseAddress(s string) (a Address, err error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		digits, ok = strings.CutPrefix(s, "0X")
	}
	if !ok || len(digits) < 1 || len(digits) > 64 {
		return a, fmt.Errorf("%.80q is no address: 0x and 1 to 64 hex digits are needed", s)
	}
	digits = strings.Repeat("0", 64-len(digits)) + digits
	if _, err := hex.Decode(a[:], []byte(digits)); err != nil {
		return Address{}, fmt.Errorf("%.80q is no address: %w", s, err)
	}
	return a, nil
}

// primitives are the names of the types without content, by number.
var primitives = [...]string{
	TypeBool: "bool", TypeU8: "u8", TypeU64: "u64", TypeU128: "u128", TypeAddress: "address", TypeSigner: "signer",
	TypeU16: "u16", TypeU32: "u32", TypeU256: "u256",
}

// String returns the one canonical text of the type: addresses in full, a comma and a space between arguments.
func (t TypeTag) String() string { return string(t.appendText(nil)) }

// String returns the one canonical text of the type.
func (t StructTag) String() string { return string(t.appendText(nil)) }

func (t TypeTag) appendText(dst []byte) []byte {
	switch t.Type {
	case TypeVector:
		return append(t.Elem.appendText(append(dst, "vector<"...)), '>')
	case TypeStruct:
		return t.Struct.appendText(dst)
	}
	return append(dst, primitives[t.Type]...)
}

func (t StructTag) appendText(dst []byte) []byte {
	dst = hex.AppendEncode(append(dst, "0x"...), t.Address[:])
	dst = append(append(dst, "::"...), t.Module...)
	dst = append(append(dst, "::"...), t.Name...)
	for i, arg := range t.Args {
		dst = append(dst, [...]string{"<", ", "}[min(i, 1)]...)
		dst = arg.appendText(dst)
	}
	if len(t.Args) > 0 {
		dst = append(dst, '>')
	}
	return dst
}

var errType = errors.New("not the text of a type")

// maxTypeText bounds what is taken for the text of a type: longer than any on the network.
const maxTypeText = 64 << 10

// ParseType reads the text of a type in any spelling: addresses of 1 to 64 hex digits of either case, or all 64 without
// 0x as Move code itself writes them, with spaces or none around commas and brackets. Names are case-sensitive. [TypeTag.String] gives the canonical text.
func ParseType(s string) (TypeTag, error) {
	if len(s) > maxTypeText {
		return TypeTag{}, fmt.Errorf("%d bytes are too many for a type: %w", len(s), errType)
	}
	p := typeParser{rest: s}
	t := p.tag(0)
	p.space()
	if p.err == nil && p.rest != "" {
		p.fail("the end")
	}
	if p.err != nil {
		return TypeTag{}, fmt.Errorf("%.200q: %w", s, p.err)
	}
	return t, nil
}

// typeParser walks over the text of a type. Its first error stays.
type typeParser struct {
	rest string
	err  error
}

func (p *typeParser) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s is expected before %.20q", errType, want, p.rest)
		p.rest = ""
	}
}

func (p *typeParser) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take removes tok from the beginning, spaces before it too.
func (p *typeParser) take(tok string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, tok)
	if ok {
		p.rest = rest
	}
	return ok
}

// word takes letters, digits and underscores.
func (p *typeParser) word() string {
	p.space()
	n := 0
	for n < len(p.rest) && isWord(p.rest[n]) {
		n++
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isName reports whether s is a Move identifier.
func isName(s string) bool { return s != "" && s != "_" && (s[0] < '0' || s[0] > '9') }

func (p *typeParser) tag(depth int) (t TypeTag) {
	w := p.word()
	switch {
	case depth > maxTypeDepth:
		p.fail(fmt.Sprintf("a type at most %d levels deep", maxTypeDepth))
	case w == "vector":
		if !p.take("<") {
			p.fail("<")
			return t
		}
		elem := p.tag(depth + 1)
		if !p.take(">") {
			p.fail(">")
		}
		return TypeTag{Type: TypeVector, Elem: &elem}
	case strings.HasPrefix(w, "0x"), strings.HasPrefix(w, "0X"):
		s := p.structure(w, depth)
		return TypeTag{Type: TypeStruct, Struct: &s}
	case len(w) == 64:
		s := p.structure("0x"+w, depth)
		return TypeTag{Type: TypeStruct, Struct: &s}
	}
	for n, name := range primitives {
		if w != "" && w == name {
			return TypeTag{Type: uint8(n)}
		}
	}
	p.rest = w + p.rest
	p.fail("a type")
	return t
}

// maxTypeDepth is how deep a type may nest: as deep as its bytes may.
const maxTypeDepth = bcs.MaxDepth - 1

func (p *typeParser) structure(address string, depth int) (t StructTag) {
	a, err := ParseAddress(address)
	if err != nil && p.err == nil {
		p.err = err
		return t
	}
	t.Address = a
	for _, name := range [...]*string{&t.Module, &t.Name} {
		if !p.take("::") {
			p.fail("::")
		}
		if *name = p.word(); !isName(*name) {
			p.fail("a name")
		}
	}
	if p.err != nil || !p.take("<") {
		return t
	}
	for p.err == nil {
		t.Args = append(t.Args, p.tag(depth+1))
		if p.take(">") {
			break
		}
		if !p.take(",") {
			p.fail(", or >")
		}
	}
	return t
}
