package judge_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"permanode/ledger"
)

// A test says whether a doc is selected.
type test func(*doc) bool

// understand reads a query by docs/query.md for the networks asked, of all that there are. An error says that there must
// be no answer.
func understand(query string, asked []*net, w *world) (t test, err error) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case error:
			if !errors.Is(why, errSyntax) {
				panic(why)
			}
			t, err = nil, why
		default:
			panic(why)
		}
	}()
	u := &reader{rest: []rune(query), asked: asked, world: w, idle: map[name]bool{}}
	defer func() { t = u.awake(t) }()
	if !utf8.ValidString(query) {
		u.bad("bytes that are no text")
	}
	if word, ok := boxed(query); ok {
		return u.box(word), u.lacks
	}
	u.skip()
	if len(u.rest) == 0 {
		return func(*doc) bool { return true }, nil
	}
	t = u.either()
	if len(u.rest) > 0 {
		u.bad("a ) too many")
	}
	return t, u.lacks
}

// What is wrong with a query: its form, or that no network asked can hold what it names.
var (
	errSyntax  = errors.New("not in the language")
	errMeaning = errors.New("without meaning here")
)

// reader eats a query from the front.
type reader struct {
	rest  []rune
	asked []*net
	world *world
	lacks error         // errMeaning
	idle  map[name]bool // units that id: names
}

// awake leaves out units that did nothing themselves and that the query does not name.
func (u *reader) awake(t test) test {
	return func(d *doc) bool {
		if d.idle && !slices.ContainsFunc(slices.Collect(maps.Keys(d.names)), func(of name) bool { return u.idle[of] }) {
			return false
		}
		return t(d)
	}
}

func (u *reader) bad(format string, args ...any) {
	panic(fmt.Errorf("%w: "+format, append([]any{errSyntax}, args...)...))
}

// none is for what could be asked elsewhere; what is wrong with the form of the rest comes first.
func (u *reader) none(format string, args ...any) {
	if u.lacks == nil {
		u.lacks = fmt.Errorf("%w: "+format, append([]any{errMeaning}, args...)...)
	}
}

func (u *reader) skip() {
	for len(u.rest) > 0 && unicode.IsSpace(u.rest[0]) {
		u.rest = u.rest[1:]
	}
}

// next is what comes up to a space, parenthesis or quote.
func (u *reader) next() string {
	end := slices.IndexFunc(u.rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`()"`, r) })
	if end < 0 {
		end = len(u.rest)
	}
	return string(u.rest[:end])
}

func (u *reader) drop(s string) { u.rest = u.rest[len([]rune(s)):] }

func (u *reader) either() test {
	t := u.both()
	for u.next() == "OR" {
		u.drop("OR")
		u.skip()
		left, right := t, u.both()
		t = func(d *doc) bool { return left(d) || right(d) }
	}
	return t
}

func (u *reader) both() test {
	t := u.one()
	for len(u.rest) > 0 && u.rest[0] != ')' && u.next() != "OR" {
		if u.next() == "AND" {
			u.drop("AND")
			u.skip()
		}
		left, right := t, u.one()
		t = func(d *doc) bool { return left(d) && right(d) }
	}
	return t
}

func (u *reader) one() test {
	switch next := u.next(); {
	case next == "NOT":
		u.drop("NOT")
		u.skip()
		of := u.one()
		return func(d *doc) bool { return !of(d) }
	case len(u.rest) == 0 || u.rest[0] == ')' || next == "AND" || next == "OR":
		u.bad("a term is missing")
	case u.rest[0] == '(':
		u.drop("(")
		u.skip()
		t := u.either()
		if len(u.rest) == 0 {
			u.bad("a ( is never closed")
		}
		u.drop(")")
		u.skip()
		return t
	}
	return u.term()
}

// value reads a value: its text, whether it was quoted, and whether it ended in *.
func (u *reader) value() (text string, quoted, star bool) {
	if len(u.rest) > 0 && u.rest[0] == '"' {
		return u.quoted(), true, false
	}
	text = u.next()
	u.drop(text)
	if text == "" {
		u.bad("a value is missing")
	}
	text, star = strings.CutSuffix(text, "*")
	if strings.Contains(text, "*") {
		u.bad("a * in %q", text)
	}
	return text, false, star
}

func (u *reader) quoted() string {
	var out []rune
	for i := 1; i < len(u.rest); i++ {
		switch r := u.rest[i]; {
		case r == '"':
			u.rest = u.rest[i+1:]
			return string(out)
		case r == '\\' && i+1 < len(u.rest) && (u.rest[i+1] == '"' || u.rest[i+1] == '\\'):
			i++
			out = append(out, u.rest[i])
		default:
			out = append(out, r)
		}
	}
	u.bad("a quote is never closed")
	return ""
}

// close ends a term: a space, a parenthesis or the end follows.
func (u *reader) close() {
	if len(u.rest) > 0 && !unicode.IsSpace(u.rest[0]) && !strings.ContainsRune("()", u.rest[0]) {
		u.bad("something sticks to a term: %q", string(u.rest))
	}
	u.skip()
}

func (u *reader) term() (t test) {
	defer u.close()
	if u.rest[0] == '"' {
		text := u.quoted()
		if len(u.rest) > 0 && u.rest[0] == '=' {
			return u.leaf(text)
		}
		return u.words(text, false)
	}
	next := u.next()
	at := strings.IndexAny(next, ":=")
	switch {
	case at < 0:
		text, _, star := u.value()
		return u.words(text, star)
	case next[at] == '=':
		if at == 0 || strings.Contains(next[:at], "*") {
			u.bad("no path in %q", next)
		}
		u.drop(next[:at])
		return u.leaf(next[:at])
	}
	u.drop(next[:at+1])
	text, quoted, star := u.value()
	return u.field(next[:at], text, quoted, star)
}

func (u *reader) words(text string, begins bool) test {
	want := split(text)
	if text == "" && begins {
		u.bad("a * alone")
	}
	if len(want) == 0 {
		u.none("no word in %q", text)
	}
	return func(d *doc) bool {
		return slices.ContainsFunc(d.words, func(have []string) bool { return says(have, want, begins) })
	}
}

func (u *reader) leaf(path string) test {
	u.drop("=")
	if len(u.rest) > 0 && u.rest[0] == '=' {
		u.bad("two =")
	}
	text, _, star := u.value()
	return func(d *doc) bool {
		return slices.ContainsFunc(d.leaves, func(l leaf) bool {
			return l.path == path && (l.value == text || star && strings.HasPrefix(l.value, text))
		})
	}
}

func (u *reader) field(field, text string, quoted, star bool) test {
	if star && field != "tag" && field != "text" {
		u.bad("%s: with a *", field)
	}
	switch field {
	case "text":
		return u.words(text, star)
	case "tag":
		return u.tag(text, quoted, star)
	case "addr", "object", "type", "event", "function", "id":
		return u.named(field, text)
	case "kind":
		return u.listed(text, func(n *net) []string { return append(n.era.kinds(), "unit") }, func(d *doc) string { return d.kind })
	case "state":
		return u.listed(text, func(n *net) []string {
			return []string{"applied", "conflicting", "no-transaction", "executed-success", "executed-failure", "executed"}
		},
			func(d *doc) string { return d.state })
	case "network":
		return u.network(text)
	case "unit":
		return u.units(text)
	case "after", "before":
		at := u.instant(text)
		return func(d *doc) bool { return (d.time >= at) == (field == "after") }
	}
	u.bad("no field %q", field)
	return nil
}

func (u *reader) tag(text string, quoted, star bool) test {
	if !quoted && (strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X")) {
		raw, ok := unhex(text)
		if !ok {
			u.bad("no hex in %q", text)
		}
		text = string(raw)
	}
	return func(d *doc) bool {
		for n := range d.names {
			if n.sort == "tag" && (n.val == text || star && strings.HasPrefix(n.val, text)) {
				return true
			}
		}
		return false
	}
}

// named is for fields whose value each era reads in its own way; one must be able to.
func (u *reader) named(field, text string) test {
	meant := map[*net][]name{}
	for _, n := range u.asked {
		for _, of := range n.era.read(text) {
			if of.sort == field || field == "id" {
				meant[n] = append(meant[n], of)
				u.idle[of] = of.sort == "unit"
			}
		}
	}
	if len(meant) == 0 {
		u.none("%s:%s is none in any network asked", field, text)
	}
	return func(d *doc) bool {
		return slices.ContainsFunc(meant[d.net], func(of name) bool { return d.names[of] })
	}
}

func (u *reader) listed(text string, list func(*net) []string, of func(*doc) string) test {
	if !slices.ContainsFunc(u.asked, func(n *net) bool { return slices.Contains(list(n), text) }) {
		u.none("no word %q", text)
	}
	return func(d *doc) bool { return of(d) == text }
}

func (u *reader) network(text string) test {
	if !slices.ContainsFunc(u.world.nets, func(n *net) bool { return n.name == text }) {
		u.none("no network %q", text)
	}
	return func(d *doc) bool { return d.net.name == text }
}

func (u *reader) units(text string) test {
	number := func(s string, otherwise uint64) uint64 {
		if s == "" {
			return otherwise
		}
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil || v > ledger.MaxSeq {
			u.bad("no unit %q", text)
		}
		return v
	}
	from, to, ok := strings.Cut(text, "..")
	if !ok {
		to = from
	}
	if text == ".." || text == "" {
		u.bad("no range %q", text)
	}
	lo, hi := number(from, 0), number(to, 1<<40)
	if lo > hi {
		u.bad("the range %q is upside down", text)
	}
	return func(d *doc) bool { return lo <= d.seq && d.seq <= hi }
}

// instant reads a time: milliseconds of the first that is not before it.
func (u *reader) instant(text string) int64 {
	layouts := map[string]string{
		"dddd": "2006", "dddd-dd": "2006-01", "dddd-dd-dd": "2006-01-02", "dddd-dd-ddTdd:dd:ddZ": "2006-01-02T15:04:05Z",
		"dddd-dd-ddTdd:dd:dd+dd:dd": "2006-01-02T15:04:05-07:00", "dddd-dd-ddTdd:dd:dd-dd:dd": "2006-01-02T15:04:05-07:00",
	}
	whole, fraction := text, ""
	if len(text) > 20 && text[19] == '.' {
		n := 20
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		whole, fraction = text[:19]+text[n:], text[20:n]
		if fraction == "" || len(fraction) > 9 {
			u.bad("no time %q", text)
		}
	}
	shape := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'd'
		}
		return r
	}, whole)
	if layout, ok := layouts[shape]; ok {
		at, err := time.Parse(layout, whole)
		if err != nil {
			u.bad("no time %q", text)
		}
		ms := at.Unix() * 1000
		nanos, err := strconv.Atoi(fraction + strings.Repeat("0", 9-len(fraction)))
		if err != nil {
			u.bad("no time %q", text)
		}
		return ms + int64(nanos+999_999)/1_000_000
	}
	u.bad("no time %q", text)
	return 0
}

// boxed reports whether a query is one unquoted bare word.
func boxed(query string) (string, bool) {
	word := strings.TrimFunc(query, unicode.IsSpace)
	switch word {
	case "", "AND", "OR", "NOT":
		return "", false
	}
	if strings.ContainsFunc(word, unicode.IsSpace) || strings.ContainsAny(word, `"()*=`) {
		return "", false
	}
	field, _, colon := strings.Cut(word, ":")
	return word, !colon || !slices.Contains(fields, field)
}

var fields = []string{
	"text", "tag", "addr", "id", "object", "type", "event", "function", "kind", "state", "network", "unit", "after", "before",
}

// box reads a word of a search box ("The search box").
func (u *reader) box(word string) test {
	_, isHex := unhex(word)
	isHex = isHex && strings.HasPrefix(strings.ToLower(word), "0x")
	for _, n := range u.asked {
		if len(n.era.read(word)) > 0 {
			id := u.named("id", word)
			if !isHex {
				return id
			}
			tag := u.tag(word, false, false) // what is hex may be a tag as well
			return func(d *doc) bool { return id(d) || tag(d) }
		}
	}
	if strings.Contains(word, ":") {
		u.bad("no field in %q", word)
	}
	if strings.HasPrefix(strings.ToLower(word), "0x") && !isHex {
		return u.words(word, false)
	}
	tag := u.tag(word, false, false)
	if isHex {
		return tag
	}
	if len(split(word)) == 0 {
		return tag
	}
	text := u.words(word, false)
	if _, digits := unhex(word); digits { // nodes write tags in hex without 0x, too
		bytes := u.tag("0x"+word, false, false)
		return func(d *doc) bool { return tag(d) || bytes(d) || text(d) }
	}
	return func(d *doc) bool { return tag(d) || text(d) }
}
