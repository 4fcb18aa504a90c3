package judge_test

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// singles are the scripts in which each character is a word.
var singles = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Thai, unicode.Lao, unicode.Khmer,
	unicode.Myanmar, unicode.Tibetan, unicode.Yi,
}

// split says of which words a text is made (docs/query.md, "Words").
func split(text string) (out []string) {
	run := ""
	flush := func() {
		if run != "" {
			out = append(out, run)
		}
		run = ""
	}
	for _, r := range norm.NFKC.String(text) {
		c := unicode.ToLower(r)
		if c == 'ς' { // the end of a word is no other letter
			c = 'σ'
		}
		switch {
		case !unicode.IsLetter(c) && !unicode.IsMark(c) && !unicode.IsNumber(c):
			flush()
		case c == 'ー' || unicode.In(c, singles...):
			flush()
			out = append(out, string(c))
		default:
			run += string(c)
		}
	}
	flush()
	return out
}

// says reports whether want stands in text, word by word; the last of want may be the beginning of one.
func says(text, want []string, begins bool) bool {
	for at := 0; at+len(want) <= len(text); at++ {
		fits := true
		for i, w := range want {
			got := text[at+i]
			if got != w && !(begins && i == len(want)-1 && strings.HasPrefix(got, w)) {
				fits = false
				break
			}
		}
		if fits {
			return true
		}
	}
	return false
}

// leaf is a scalar of a JSON text.
type leaf struct{ path, value string }

// jsonText reads JSON by RFC 8259, as one text; scalars come out with their paths.
type jsonText struct {
	s      string
	at     int
	out    []leaf
	paths  int
	level  int // of nesting, now
	nested int // the deepest
}

// leavesOf returns the scalars of a JSON object or array; none if s is no such text, nested deeper than 64 levels, or
// with paths beyond a mebibyte.
func leavesOf(s string) (out []leaf) {
	defer func() {
		if why := recover(); why != nil {
			if _, ok := why.(notJSON); !ok {
				panic(why)
			}
			out = nil
		}
	}()
	j := &jsonText{s: s}
	j.space()
	if j.peek() != '{' && j.peek() != '[' {
		return nil
	}
	j.value("")
	j.space()
	if j.at != len(s) {
		j.no()
	}
	if j.nested > 64 || j.paths > 1<<20 {
		return nil
	}
	return j.out
}

type notJSON struct{}

func (j *jsonText) no() { panic(notJSON{}) }

func (j *jsonText) peek() byte {
	if j.at >= len(j.s) {
		return 0
	}
	return j.s[j.at]
}

func (j *jsonText) space() {
	for j.at < len(j.s) && strings.IndexByte(" \t\r\n", j.s[j.at]) >= 0 {
		j.at++
	}
}

func (j *jsonText) want(c byte) {
	if j.peek() != c || j.at >= len(j.s) {
		j.no()
	}
	j.at++
}

func (j *jsonText) value(path string) {
	j.paths += len(path)
	j.nested = max(j.nested, j.level)
	j.level++
	defer func() { j.level-- }()
	switch c := j.peek(); {
	case c == '{':
		j.members(path)
	case c == '[':
		j.elements(path)
	case c == '"':
		j.out = append(j.out, leaf{path, j.str()})
	case c == '-' || c >= '0' && c <= '9':
		j.out = append(j.out, leaf{path, j.number()})
	default:
		for _, word := range []string{"true", "false", "null"} {
			if strings.HasPrefix(j.s[j.at:], word) {
				j.at += len(word)
				j.out = append(j.out, leaf{path, word})
				return
			}
		}
		j.no()
	}
}

func (j *jsonText) members(path string) {
	j.want('{')
	j.space()
	if j.peek() == '}' {
		j.at++
		return
	}
	for {
		j.space()
		if j.peek() != '"' {
			j.no()
		}
		at := j.str()
		if path != "" {
			at = path + "." + at
		}
		j.space()
		j.want(':')
		j.space()
		j.value(at)
		j.space()
		if j.peek() == '}' {
			j.at++
			return
		}
		j.want(',')
	}
}

func (j *jsonText) elements(path string) {
	j.want('[')
	j.space()
	if j.peek() == ']' {
		j.at++
		return
	}
	for {
		j.space()
		j.value(path)
		j.space()
		if j.peek() == ']' {
			j.at++
			return
		}
		j.want(',')
	}
}

func (j *jsonText) digits() {
	if c := j.peek(); c < '0' || c > '9' {
		j.no()
	}
	for j.peek() >= '0' && j.peek() <= '9' {
		j.at++
	}
}

func (j *jsonText) number() string {
	from := j.at
	if j.peek() == '-' {
		j.at++
	}
	if j.peek() == '0' {
		j.at++
	} else {
		j.digits()
	}
	if j.peek() == '.' {
		j.at++
		j.digits()
	}
	if c := j.peek(); c == 'e' || c == 'E' {
		j.at++
		if c := j.peek(); c == '+' || c == '-' {
			j.at++
		}
		j.digits()
	}
	return j.s[from:j.at]
}

func (j *jsonText) str() string {
	j.want('"')
	var b strings.Builder
	for {
		c := j.peek()
		if c < ' ' || j.at >= len(j.s) {
			j.no()
		}
		j.at++
		switch c {
		case '"':
			return b.String()
		case '\\':
			b.WriteString(j.escape())
		default:
			b.WriteByte(c)
		}
	}
}

func (j *jsonText) escape() string {
	c := j.peek()
	j.at++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
		return "\"\\/\b\f\n\r\t"[i : i+1]
	}
	if c != 'u' {
		j.no()
	}
	first := j.hex4()
	if first >= 0xd800 && first < 0xdc00 && strings.HasPrefix(j.s[j.at:], `\u`) {
		mark := j.at
		j.at += 2
		if second := j.hex4(); second >= 0xdc00 && second < 0xe000 {
			return string(0x10000 + (first-0xd800)<<10 + (second - 0xdc00))
		}
		j.at = mark
	}
	if first >= 0xd800 && first < 0xe000 {
		return string(utf8.RuneError) // half of a pair
	}
	return string(first)
}

func (j *jsonText) hex4() rune {
	if j.at+4 > len(j.s) {
		j.no()
	}
	v, err := strconv.ParseUint(j.s[j.at:j.at+4], 16, 32)
	if err != nil || strings.ContainsAny(j.s[j.at:j.at+4], "+-_") {
		j.no()
	}
	j.at += 4
	return rune(v)
}

// base58 writes bytes in the alphabet of Bitcoin.
func base58(b []byte) string {
	const letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	zeros, out := 0, ""
	for zeros < len(b) && b[zeros] == 0 {
		zeros++
	}
	for rest := append([]byte(nil), b[zeros:]...); len(rest) > 0; {
		carry := 0
		for i := range rest {
			carry = carry<<8 | int(rest[i])
			rest[i], carry = byte(carry/58), carry%58
		}
		out = letters[carry:carry+1] + out
		for len(rest) > 0 && rest[0] == 0 {
			rest = rest[1:]
		}
	}
	return strings.Repeat("1", zeros) + out
}

func unbase58(s string) ([]byte, error) {
	const letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	var out []byte
	for i := range len(s) {
		carry := strings.IndexByte(letters, s[i])
		if carry < 0 {
			return nil, fmt.Errorf("%q is no letter of base58", s[i])
		}
		for k := len(out) - 1; k >= 0; k-- {
			carry += int(out[k]) * 58
			out[k], carry = byte(carry), carry>>8
		}
		if carry > 0 {
			out = append([]byte{byte(carry)}, out...)
		}
	}
	for i := 0; i < len(s) && s[i] == '1'; i++ {
		out = append([]byte{0}, out...)
	}
	return out, nil
}

const bechLetters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

func bechSum(hrp string, groups []byte) uint32 {
	var all []byte
	for i := range len(hrp) {
		all = append(all, hrp[i]>>5)
	}
	all = append(all, 0)
	for i := range len(hrp) {
		all = append(all, hrp[i]&31)
	}
	sum := uint32(1)
	for _, g := range append(all, groups...) {
		top := sum >> 25
		sum = sum&0x1ffffff<<5 ^ uint32(g)
		for i, gen := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 != 0 {
				sum ^= gen
			}
		}
	}
	return sum
}

// bech32 writes 33 bytes of an address.
func bech32(hrp string, b []byte) string {
	var groups []byte
	for bit := 0; bit < 8*len(b); bit += 5 {
		g := byte(0)
		for i := range 5 {
			g <<= 1
			if at := bit + i; at < 8*len(b) {
				g |= b[at/8] >> (7 - at%8) & 1
			}
		}
		groups = append(groups, g)
	}
	sum := bechSum(hrp, append(append([]byte(nil), groups...), 0, 0, 0, 0, 0, 0)) ^ 1
	for i := range 6 {
		groups = append(groups, byte(sum>>(5*(5-i)))&31)
	}
	out := hrp + "1"
	for _, g := range groups {
		out += bechLetters[g : g+1]
	}
	return out
}

// unbech32 reads an address of that prefix: 33 bytes with a known type.
func unbech32(hrp, s string) ([]byte, bool) {
	if s == strings.ToUpper(s) {
		s = strings.ToLower(s)
	}
	rest, ok := strings.CutPrefix(s, hrp+"1")
	if !ok || s != strings.ToLower(s) || len(rest) != 53+6 {
		return nil, false
	}
	var groups []byte
	for i := range len(rest) {
		v := strings.IndexByte(bechLetters, rest[i])
		if v < 0 {
			return nil, false
		}
		groups = append(groups, byte(v))
	}
	if bechSum(hrp, groups) != 1 {
		return nil, false
	}
	var out []byte
	acc, bits := uint32(0), 0
	for _, g := range groups[:53] {
		acc, bits = acc<<5|uint32(g), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	if acc&(1<<bits-1) != 0 || len(out) != 33 || out[0] != 0 && out[0] != 8 && out[0] != 16 {
		return nil, false
	}
	return out, true
}
