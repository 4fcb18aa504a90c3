package lang

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"permanode/ledger"
)

// fields are the words before a colon, in the order of docs/query.md.
var fields = []string{
	"text", "tag", "addr", "id", "object", "type", "event", "function", "kind", "state", "network", "unit", "after", "before",
}

func isField(word string) bool { return slices.Contains(fields, word) }

// value is one side of a term as it was typed.
type value struct {
	text   string
	quoted bool
	prefix bool // ended in *
	at     int
}

// term reads a term and the space behind it.
func (p *parser) term() (Node, error) {
	if p.terms++; p.terms > MaxTerms {
		return nil, wrong(p.at, "ask for less at once", "the query has more than %d terms", MaxTerms)
	}
	begin := p.at
	n, err := p.oneTerm()
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) && p.text[p.at] == '"' {
		return nil, wrong(p.at, `quote the whole value; inside quotes write \" for a quote`, "a quote stands inside %s", shown(p.text[begin:p.at]))
	}
	p.space()
	return n, nil
}

func (p *parser) oneTerm() (Node, error) {
	begin := p.at
	if p.text[begin] == '"' {
		v, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if p.at < len(p.text) && p.text[p.at] == '=' {
			return p.leaf(v.text, begin)
		}
		if err := p.ended(); err != nil {
			return nil, err
		}
		return textTerm(v)
	}
	run := p.text[begin:p.runEnd(begin)]
	sep := strings.IndexAny(run, ":=")
	if sep < 0 {
		v, err := p.plain()
		if err != nil {
			return nil, err
		}
		return textTerm(v)
	}
	p.at += sep
	if run[sep] == '=' {
		if sep == 0 {
			return nil, wrong(begin, `write path=value, or quote it to search for its words`, "no path stands before this =")
		}
		if strings.Contains(run[:sep], "*") {
			return nil, wrong(begin, "name the path in full, or quote it", "a * stands in the path %s", shown(run[:sep]))
		}
		return p.leaf(run[:sep], begin)
	}
	field := run[:sep]
	if !isField(field) {
		return nil, unknownField(begin, field, run)
	}
	p.at++
	v, err := p.value(field + ":")
	if err != nil {
		return nil, err
	}
	return fielded(field, v, begin)
}

func unknownField(at int, field, run string) error {
	fix := fmt.Sprintf("quote it to search for its words: %s", quoteText(clip(run)))
	if near := nearest(field, fields); near != "" {
		fix = fmt.Sprintf("did you mean %s: ? Else quote it to search for its words", near)
	}
	return wrong(at, fix, "there is no field %s; there are %s", shown(field), strings.Join(fields, ", "))
}

// leaf reads the = and the value behind a path.
func (p *parser) leaf(path string, at int) (Node, error) {
	p.at++
	if strings.HasPrefix(p.text[p.at:], "=") {
		return nil, wrong(p.at, `quote the value (a="=b"), or quote all of it to search for its words`, "two = stand side by side")
	}
	v, err := p.value(clip(path) + "=")
	return Leaf{Path: path, Value: v.text, Prefix: v.prefix, At: at}, err
}

// value reads what stands behind a field or path, which before names.
func (p *parser) value(before string) (value, error) {
	if p.at < len(p.text) && p.text[p.at] == '"' {
		v, err := p.quoted()
		if err == nil {
			err = p.ended()
		}
		return v, err
	}
	if p.runEnd(p.at) == p.at {
		return value{}, wrong(p.at, fmt.Sprintf(`write the value right behind it; %s"" is the empty one`, before), "no value stands behind %s", shown(before))
	}
	return p.plain()
}

// ended fails where a quoted value goes on without a space.
func (p *parser) ended() error {
	if p.runEnd(p.at) == p.at {
		return nil
	}
	if p.text[p.at] == '*' {
		return wrong(p.at, "take the quotes off, or the *", "a * behind quotes has no meaning")
	}
	return wrong(p.at, "put a space between", "something follows the closing quote")
}

// plain reads an unquoted value.
func (p *parser) plain() (value, error) {
	v := value{text: p.text[p.at:p.runEnd(p.at)], at: p.at}
	p.at += len(v.text)
	v.text, v.prefix = strings.CutSuffix(v.text, "*")
	if i := strings.IndexByte(v.text, '*'); i >= 0 {
		return v, wrong(v.at+i, "a * may stand at the end alone; quote the value if the * belongs to it", "no index answers a * in front or in the middle")
	}
	return v, nil
}

// quoted reads a value in quotes: \" is a quote, \\ a backslash, and every other byte itself.
func (p *parser) quoted() (value, error) {
	v := value{quoted: true, at: p.at}
	var b strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			p.at = i + 1
			v.text = b.String()
			return v, nil
		case c == '\\' && i+1 < len(p.text) && (p.text[i+1] == '"' || p.text[i+1] == '\\'):
			i++
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return v, wrong(v.at, `close it; inside quotes write \" for a quote`, "this quote is never closed")
}

// textTerm makes the question for the words of v.
func textTerm(v value) (Node, error) {
	if v.prefix && v.text == "" {
		return nil, wrong(v.at, "put the beginning of a word before the *; the empty query finds everything", "a * stands alone")
	}
	return Text{Text: v.text, Quoted: v.quoted, Prefix: v.prefix, At: v.at}, nil
}

// fielded makes the term field:v.
func fielded(field string, v value, at int) (Node, error) {
	if v.prefix && field != "tag" && field != "text" {
		return nil, wrong(at, "write the value in full", "%s: takes no *", field)
	}
	switch field {
	case "text":
		v.at = at
		return textTerm(v)
	case "kind", "state", "network":
		if v.text == "" {
			return nil, wrong(at, "name one", "%s: has an empty value", field)
		}
		return Word{Field: field, Value: v.text, At: at}, nil
	case "unit":
		return span(v.text, at)
	case "after", "before":
		ms, err := instant(v.text, at)
		if field == "after" {
			return Time{FromMs: ms, ToMs: math.MaxInt64, At: at}, err
		}
		return Time{FromMs: math.MinInt64, ToMs: ms, At: at}, err
	}
	id := Ident{Field: field, Text: v.text, Quoted: v.quoted, Prefix: v.prefix, At: at}
	if field == "tag" {
		_, err := id.Tag()
		return id, err
	}
	if v.text == "" {
		return nil, wrong(at, "name one", "%s: has an empty value", field)
	}
	return id, nil
}

// Tag returns the bytes of a tag, or of its beginning: hex behind 0x where it was not quoted, else the text's own.
// Errors are *SyntaxError.
func (n Ident) Tag() ([]byte, error) {
	digits, isHex := CutHex(n.Text)
	if n.Quoted || !isHex {
		return []byte(n.Text), nil
	}
	raw, err := hex.DecodeString(digits)
	switch {
	case err == nil:
		return raw, nil
	case len(digits)%2 == 1 && onlyHex(digits):
		return nil, wrong(n.At, "each byte has two digits; quote the tag if these characters are its text", "the tag %s has %d hex digits, an odd number", shown(n.Text), len(digits))
	}
	return nil, wrong(n.At, "quote the tag if these characters are its text", "the tag %s has characters that are no hex digits", shown(n.Text))
}

// CutHex returns what stands behind 0x.
func CutHex(text string) (digits string, ok bool) {
	if strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X") {
		return text[2:], true
	}
	return text, false
}

func onlyHex(digits string) bool {
	return strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// span reads N, N..M, N.. or ..M.
func span(text string, at int) (Node, error) {
	const fix = "write unit:81, unit:80..90, unit:80.. or unit:..90"
	from, to, isRange := strings.Cut(text, "..")
	n := Span{From: 0, To: ledger.MaxSeq, At: at}
	if !isRange {
		to = from
	}
	for _, side := range []struct {
		digits string
		end    *uint64
	}{{from, &n.From}, {to, &n.To}} {
		if side.digits == "" && isRange && text != ".." {
			continue
		}
		v, err := strconv.ParseUint(side.digits, 10, 64)
		if err != nil || v > ledger.MaxSeq {
			return nil, wrong(at, fix, "%s is no number of a unit from 0 to %d", shown(side.digits), uint64(ledger.MaxSeq))
		}
		*side.end = v
	}
	if n.From > n.To {
		return nil, wrong(at, fix, "the range %s ends before it begins", shown(text))
	}
	return n, nil
}

// times are the forms of a time, each with the layout that reads it.
var times = []struct {
	form   *regexp.Regexp
	layout string
}{
	{regexp.MustCompile(`^\d{4}$`), "2006"},
	{regexp.MustCompile(`^\d{4}-\d\d$`), "2006-01"},
	{regexp.MustCompile(`^\d{4}-\d\d-\d\d$`), time.DateOnly},
	{regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`), time.RFC3339},
}

// ParseTime reads a time as the query language writes it: a year, month or day is its first instant in UTC. day
// reports whether it was a day, month or year, and until is where that ends. Years are 1 to 9999, in UTC: others are
// mistakes, and above them RFC 3339 has no form.
func ParseTime(text string) (at, until time.Time, day, ok bool) {
	for i, f := range times {
		if !f.form.MatchString(text) {
			continue
		}
		t, err := time.Parse(f.layout, text)
		if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 {
			break
		}
		years, months, days := [...]int{1, 0, 0, 0}[i], [...]int{0, 1, 0, 0}[i], [...]int{0, 0, 1, 0}[i]
		return t, t.AddDate(years, months, days), i < 3, true
	}
	return time.Time{}, time.Time{}, false, false
}

// instant returns the first millisecond at or behind a time.
func instant(text string, at int) (int64, error) {
	t, _, _, ok := ParseTime(text)
	if !ok || t.UTC().Add(time.Millisecond).Year() > 9999 {
		return 0, wrong(at, "write 2026, 2026-11, 2026-11-24 or 2026-11-24T12:00:00Z", "%s is no time", shown(text))
	}
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms, nil
}

// nearest returns the one of words that word begins with or is the beginning of, else the one that it becomes by at most
// two changes, else "".
func nearest(word string, words []string) (best string) {
	least := 3
	for _, w := range words {
		if len(word) > 1 && (strings.HasPrefix(w, word) || strings.HasPrefix(word, w)) {
			return w
		}
		if d := distance(strings.ToLower(word), w); d < least && d < len(w) {
			best, least = w, d
		}
	}
	return best
}

// distance returns how many bytes must be put in, taken out or changed to make b of a; long words are far apart.
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}

// clip keeps the beginning of a stranger's text, at a border of characters.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// shown writes a stranger's text into a message: on one line and not all of it.
func shown(s string) string { return strconv.Quote(clip(s)) }
