package lang

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"permanode/ledger"
)

// String gives the empty query.
func (All) String() string { return "" }

// String gives what no query is written as: only bound trees hold it.
func (None) String() string { return "{none}" }

// String joins the parts by spaces.
func (n And) String() string { return join(n, " ", func(p Node) bool { return isOr(p) || isAnd(p) }) }

// String joins the parts by OR.
func (n Or) String() string { return join(n, " OR ", isOr) }

// String sets NOT before the part.
func (n Not) String() string {
	if isOr(n.Of) || isAnd(n.Of) {
		return "NOT (" + n.Of.String() + ")"
	}
	return "NOT " + n.Of.String()
}

func isOr(n Node) bool  { _, ok := n.(Or); return ok }
func isAnd(n Node) bool { _, ok := n.(And); return ok }

func join(parts []Node, by string, enclose func(Node) bool) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.String()
		if enclose(p) {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, by)
}

// String gives field:value.
func (n Ident) String() string { return n.Field + ":" + valueText(n.Text, n.Quoted, n.Prefix) }

// String gives the word or phrase, behind text: where it would be read as something else.
func (n Text) String() string {
	v := valueText(n.Text, n.Quoted, n.Prefix)
	if v[0] != '"' && (strings.ContainsAny(v, ":=") || isOperator(v)) {
		return "text:" + v
	}
	return v
}

// String gives path=value.
func (n Leaf) String() string {
	path := n.Path
	if path == "" || !isPlain(path) || strings.ContainsAny(path, ":=") {
		path = quoteText(path)
	}
	return path + "=" + valueText(n.Value, strings.HasPrefix(n.Value, "="), n.Prefix)
}

// String gives field:value.
func (n Word) String() string { return n.Field + ":" + valueText(n.Value, false, false) }

// String gives unit: and the range.
func (n Span) String() string {
	switch {
	case n.From == n.To:
		return fmt.Sprintf("unit:%d", n.From)
	case n.To == ledger.MaxSeq:
		return fmt.Sprintf("unit:%d..", n.From)
	case n.From == 0:
		return fmt.Sprintf("unit:..%d", n.To)
	}
	return fmt.Sprintf("unit:%d..%d", n.From, n.To)
}

// String gives after:, before:, or both.
func (n Time) String() string {
	after, before := "after:"+timeText(n.FromMs), "before:"+timeText(n.ToMs)
	switch {
	case n.ToMs == math.MaxInt64:
		return after
	case n.FromMs == math.MinInt64:
		return before
	}
	return "(" + after + " " + before + ")"
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// String lists the keys; it is no text of the query language.
func (n Keys) String() string {
	var b strings.Builder
	b.WriteString("{keys")
	for _, k := range n.Of {
		fmt.Fprintf(&b, " %d:%s", k.Kind, hex.EncodeToString([]byte(k.Val)))
	}
	if n.Prefix {
		b.WriteString(" *")
	}
	return b.String() + "}"
}

// String lists the ranges; it is no text of the query language.
func (n Units) String() string {
	var b strings.Builder
	b.WriteString("{units")
	for _, r := range n.Set.Ranges() {
		fmt.Fprintf(&b, " %d..%d", r.Lo, r.Hi)
	}
	return b.String() + "}"
}

// String gives state:word.
func (n State) String() string { return "state:" + n.Of.String() }

// String lists the numbers; it is no text of the query language.
func (n Kind) String() string { return fmt.Sprintf("{kind %d}", n.Of) }

// String gives kind:unit.
func (OfUnit) String() string { return "kind:" + UnitKind }

// valueText writes a value unquoted where that reads back as the same.
func valueText(text string, quoted, prefix bool) string {
	switch {
	case prefix && isPlain(text):
		return text + "*"
	case quoted || text == "" || !isPlain(text):
		return quoteText(text)
	}
	return text
}

// isPlain reports whether text could stand without quotes.
func isPlain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`()"*`, r) })
}

var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quoteText(text string) string { return `"` + quoting.Replace(text) + `"` }
