package judge_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// asker makes queries out of what is there, and of what nearly is.
type asker struct {
	r    *rand.Rand
	nets []*net
	tags, addrs, objects, types, events, functions, units,
	ids []written
}

type written struct {
	net *net
	of  name
}

func newAsker(r *rand.Rand, nets []*net) *asker {
	a := &asker{r: r}
	seen := map[written]bool{}
	for _, n := range nets {
		if len(n.docs) > 0 {
			a.nets = append(a.nets, n)
		}
		for _, d := range n.docs {
			for of := range d.names {
				seen[written{n, of}] = true
			}
		}
	}
	all := make([]written, 0, len(seen))
	for w := range seen {
		all = append(all, w)
	}
	slices.SortFunc(all, func(x, y written) int { // maps have no order, and a seed must repeat
		return strings.Compare(x.net.name+"\x00"+x.of.sort+"\x00"+x.of.val, y.net.name+"\x00"+y.of.sort+"\x00"+y.of.val)
	})
	for _, w := range all {
		list, ok := map[string]*[]written{
			"tag": &a.tags, "addr": &a.addrs, "object": &a.objects, "type": &a.types, "event": &a.events, "function": &a.functions,
			"unit": &a.units,
		}[w.of.sort]
		if !ok {
			list = &a.ids
		}
		*list = append(*list, w)
	}
	return a
}

// query makes a query: mostly a combination of a few terms.
func (a *asker) query() string {
	switch p := a.r.IntN(100); {
	case p == 0:
		return ""
	case p < 6:
		return a.boxWord()
	case p < 30:
		return a.term()
	}
	return a.tree(1 + a.r.IntN(3))
}

func (a *asker) tree(depth int) string {
	if depth == 0 {
		return a.term()
	}
	switch a.r.IntN(8) {
	case 0:
		return a.term()
	case 1, 2:
		return "NOT " + a.inner(depth-1)
	case 3, 4:
		return a.inner(depth-1) + " OR " + a.inner(depth-1)
	case 5:
		return a.inner(depth-1) + " AND " + a.inner(depth-1)
	}
	return a.inner(depth-1) + pick(a.r, []string{" ", "  ", "\t"}) + a.inner(depth-1)
}

func (a *asker) inner(depth int) string {
	if a.r.IntN(3) > 0 {
		return "(" + a.tree(depth) + ")"
	}
	return a.tree(depth)
}

// doc returns any, of each network as often.
func (a *asker) doc() *doc { return pick(a.r, pick(a.r, a.nets).docs) }

func (a *asker) term() string {
	switch a.r.IntN(24) {
	case 0, 1, 2, 3:
		return a.phrase()
	case 4, 5:
		return a.word()
	case 6, 7, 8:
		return a.tag()
	case 9, 10:
		return a.named("addr", a.addrs)
	case 11:
		return a.named("id", pick(a.r, [][]written{a.ids, a.ids, a.ids, a.objects, a.addrs, a.units}))
	case 12:
		return a.named("object", a.objects)
	case 13:
		return a.named("type", a.types)
	case 14:
		if a.r.IntN(2) == 0 {
			return a.named("event", a.events)
		}
		return a.named("function", a.functions)
	case 15, 16:
		return a.listed()
	case 17:
		return a.span()
	case 18, 19:
		return a.time()
	case 20:
		return "network:" + a.doc().net.name
	}
	return a.leaf()
}

func quote(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}

// bare reports whether s can stand unquoted.
func bare(s string) bool {
	return s != "" && utf8.ValidString(s) && !slices.Contains([]string{"AND", "OR", "NOT"}, s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`()"*:=`, r)
	})
}

func (a *asker) anyText() []rune {
	for range 50 {
		if d := a.doc(); len(d.texts) > 0 {
			return []rune(pick(a.r, d.texts))
		}
	}
	return []rune("nothing")
}

// phrase cuts a piece out of a text: at borders of words, or anywhere.
func (a *asker) phrase() string {
	text := a.anyText()
	from := a.r.IntN(len(text))
	if a.r.IntN(3) > 0 {
		for from > 0 && isWordRune(text[from-1]) {
			from--
		}
	}
	to := min(len(text), from+1+a.r.IntN(24))
	if a.r.IntN(3) > 0 {
		for to < len(text) && isWordRune(text[to]) && to-from < 400 {
			to++
		}
	}
	piece := a.mangled(string(text[from:to]))
	return pick(a.r, []string{"", "", "text:"}) + quote(piece)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) }

// mangled gives s as it is, in another case, with other punctuation, or with its words turned round.
func (a *asker) mangled(s string) string {
	switch a.r.IntN(10) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.Map(func(r rune) rune {
			if isWordRune(r) {
				return r
			}
			return '-'
		}, s)
	case 2:
		w := strings.Fields(s)
		slices.Reverse(w)
		return strings.Join(w, " ")
	case 3:
		return s + "x"
	case 4:
		return s + " " + pick(a.r, vocabulary)
	}
	return s
}

// word is a word, a value of several, or the beginning of one.
func (a *asker) word() string {
	w := pick(a.r, vocabulary)
	if a.r.IntN(2) == 0 {
		if all := split(string(a.anyText())); len(all) > 0 {
			w = pick(a.r, all)
		}
	}
	if a.r.IntN(3) == 0 {
		w = pick(a.r, vocabulary) + "-" + w
	}
	w = a.mangledWord(w)
	field := pick(a.r, []string{"", "", "text:"})
	if !bare(w) {
		return field + quote(w)
	}
	if a.r.IntN(3) == 0 {
		runes := []rune(w)
		w = string(runes[:1+a.r.IntN(len(runes))])
		if bare(w) {
			return field + w + "*"
		}
		return field + quote(w)
	}
	return field + w
}

func (a *asker) mangledWord(w string) string {
	switch a.r.IntN(8) {
	case 0:
		return strings.ToUpper(w)
	case 1:
		first, size := utf8.DecodeRuneInString(w)
		return string(unicode.ToTitle(first)) + w[size:]
	}
	return w
}

func (a *asker) boxWord() string {
	switch a.r.IntN(3) {
	case 0:
		return strings.TrimPrefix(strings.TrimPrefix(a.named("", pick(a.r, [][]written{a.ids, a.objects, a.addrs, a.units})), ":"), "\"")
	case 1:
		return hexOf(pick(a.r, tagPool))
	}
	return pick(a.r, vocabulary)
}

func (a *asker) tag() string {
	t := pick(a.r, tagPool)
	if a.r.IntN(3) == 0 && len(a.tags) > 0 {
		t = pick(a.r, a.tags).of.val
	}
	star := ""
	if a.r.IntN(3) == 0 {
		star = "*"
		t = t[:a.r.IntN(len(t)+1)]
	} else if a.r.IntN(6) == 0 {
		t += "x"
	}
	if utf8.ValidString(t) && a.r.IntN(2) == 0 {
		switch isHex := strings.HasPrefix(t, "0x"); {
		case bare(t) && !isHex:
			return "tag:" + t + star
		case star == "":
			return "tag:" + quote(t)
		}
	}
	if a.r.IntN(2) == 0 {
		return "tag:0x" + strings.ToUpper(hex.EncodeToString([]byte(t))) + star
	}
	return "tag:" + hexOf(t) + star
}

// named asks for a name that is there, or nearly, in one of the forms that it has.
func (a *asker) named(field string, list []written) string {
	if len(list) == 0 {
		return a.word()
	}
	w := pick(a.r, list)
	of := w.of
	if a.r.IntN(10) == 0 && !strings.Contains("type event function", of.sort) {
		of.val = of.val[:len(of.val)-1] + string([]byte{of.val[len(of.val)-1] ^ 1})
	}
	text := w.net.era.write(w.net, of)
	switch {
	case of.sort == "type" || of.sort == "event" || of.sort == "function":
		text = a.spelled(text)
	case of.sort == "payload":
		text = pick(a.r, []string{text, cidOf(of.val), "sha256:" + text[2:], "SHA256:" + strings.ToUpper(text[2:]), text[2:]})
	case of.sort == "addr" && strings.Contains(text, "1") && !strings.HasPrefix(text, "0x"):
		text = pick(a.r, []string{text, text, strings.ToUpper(text), hexOf(of.val), hexOf(of.val[1:])})
	case strings.HasPrefix(text, "0x"):
		text = pick(a.r, []string{text, text, "0x" + strings.ToUpper(text[2:]), text[2:]})
		if short := "0x" + strings.TrimLeft(text[2:], "0"); len(of.val) == 32 && a.r.IntN(4) == 0 && len(short) > 2 {
			text = short
		}
		if of.sort == "object" && len(of.val) == 33 && of.val[0] == 8 && a.r.IntN(4) == 0 {
			text = "did:iota:" + hexOf(of.val[1:])
		}
	}
	if strings.ContainsAny(text, " ()*") || a.r.IntN(8) == 0 {
		text = quote(text)
	}
	return field + ":" + text
}

// spelled writes the text of a type in another way.
func (a *asker) spelled(text string) string {
	switch a.r.IntN(5) {
	case 0:
		return strings.ReplaceAll(text, ", ", ",")
	case 1:
		return shortened(text)
	case 2:
		return strings.ReplaceAll(shortened(text), "0x", "0x0")
	case 3:
		return strings.Replace(text, "::", "::x", 1)
	}
	return text
}

func shortened(text string) string {
	parts := strings.Split(text, "0x")
	for i := 1; i < len(parts); i++ {
		digits, rest, _ := strings.Cut(parts[i], "::")
		digits = strings.TrimLeft(digits, "0")
		if digits == "" {
			digits = "0"
		}
		parts[i] = digits + "::" + rest
	}
	return strings.Join(parts, "0x")
}

func (a *asker) listed() string {
	d := a.doc()
	if a.r.IntN(2) == 0 {
		return "kind:" + pick(a.r, append(slices.Clone(d.net.era.kinds()), "unit"))
	}
	return "state:" + pick(a.r, d.net.era.states())
}

func (a *asker) span() string {
	x, y := a.doc().seq, a.doc().seq
	if x > y {
		x, y = y, x
	}
	return fmt.Sprintf(pick(a.r, []string{"unit:%[1]d", "unit:%[1]d..%[2]d", "unit:%[1]d..", "unit:..%[2]d"}), x, y)
}

// time asks for a time at the border of a unit, or of its day, month or year.
func (a *asker) time() string {
	at := time.UnixMilli(a.doc().time + int64(a.r.IntN(3)-1)).UTC()
	if a.r.IntN(4) == 0 { // between two milliseconds
		at = at.Add(time.Duration(a.r.IntN(1_000_000)))
		return pick(a.r, []string{"after:", "before:"}) + at.Format(pick(a.r, []string{"2006-01-02T15:04:05.000000000Z", "2006-01-02T15:04:05.0000Z", time.RFC3339Nano}))
	}
	form := pick(a.r, []string{"2006", "2006-01", "2006-01-02", "2006-01-02", time.RFC3339, "2006-01-02T15:04:05.000Z", "zone"})
	text := ""
	if form == "zone" {
		text = at.In(time.FixedZone("", 3600*(a.r.IntN(25)-12)+1800)).Format("2006-01-02T15:04:05-07:00")
	} else {
		text = at.Format(form)
	}
	return pick(a.r, []string{"after:", "before:"}) + text
}

func (a *asker) leaf() string {
	var l leaf
	for range 50 {
		if d := a.doc(); len(d.leaves) > 0 {
			l = pick(a.r, d.leaves)
			break
		}
	}
	if a.r.IntN(8) == 0 {
		l.value = pick(a.r, []string{l.value + "0", "x", "1", "true", strings.ToUpper(l.value)})
	}
	if a.r.IntN(12) == 0 {
		l.path = pick(a.r, jsonKeys)
	}
	path := quote(l.path)
	if bare(l.path) && a.r.IntN(4) > 0 {
		path = l.path
	}
	if a.r.IntN(3) == 0 {
		runes := []rune(l.value)
		if begin := string(runes[:a.r.IntN(len(runes)+1)]); begin == "" || bare(begin) {
			return path + "=" + begin + "*"
		}
	}
	if bare(l.value) && a.r.IntN(2) == 0 {
		return path + "=" + l.value
	}
	return path + "=" + quote(l.value)
}

// corners are questions that chance seldom asks, each once in every state.
func (a *asker) corners() []string {
	out := []string{
		"", " ", "NOT kind:unit", "kind:unit", "kind:unit OR kind:transaction", "NOT NOT kind:unit", `tag:""`, "tag:*", "NOT tag:*", "tag:0x", "tag:0x*",
		`tag:"0x41"`, "tag:0x41", `tag:"*"`, "unit:0", "unit:..3", "unit:5 kind:unit", "before:2000", "after:2000", "after:9999", "NOT after:2025",
		"state:applied", "NOT state:applied", "state:executed", "network:zeta OR network:alpha", "NOT network:hornet",
		"權威", `"權威事實"`, "事權", "権", "ー", "ー*", "ラ*", "權*", "ΟΔΟΣ", "οδός", "istanbul", "für", "fu\u0308r", "STRASSE", "a*", `"a b"`, `"'"`, "_",
		"x=*", `""=*`, `data="*"`, `device=dev-*`, "amount=1 amount=2", "amount=1 NOT amount=2", "t=21.5", "n=1e400", "n=1E400", "id=13221468430349148*",
		"(((invoice)))", "invoice OR NOT invoice", "invoice NOT invoice", "and or not", `"AND"`, "AND", "invoice AND", "(invoice", "invoice)",
		"*", "*voice", "in*ce", "addr:nobody", "id:nothing", "kind:nothing", "state:nothing", "network:nothing", "nofield:x", "tag:0x4", "tag:0xzz",
		"unit:x", "unit:9..3", "after:yesterday", "before:2026-13", `"open`, "0x", "0x41", "0x4", "0x494e564f494345", "INVOICE", "acme", "a:b", "tag:a:b",
	}
	for _, list := range [][]written{a.units, a.ids, a.objects, a.addrs} {
		for range 3 {
			name := a.named("id", list)
			out = append(out, name, "NOT "+name, name+" OR kind:unit", name+" OR invoice", "NOT ("+name+" OR tag:INVOICE)", name+" unit:2..9", name+" "+name)
		}
	}
	return out
}
