package lang

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a query.
const (
	MaxBytes = 4096
	MaxTerms = 64
	MaxDepth = 32 // of parentheses and NOTs inside each other
)

// A SyntaxError reports a text that is no query: where, what is wrong, and what would be right.
type SyntaxError struct {
	At   int    // byte offset in the query
	What string // one sentence without a full stop
	Fix  string // what to write instead; "" if there is nothing to say
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("query, at byte %d: %s", e.At, e.What) }

// Hint is the next step.
func (e *SyntaxError) Hint() string {
	if e.Fix != "" {
		return e.Fix
	}
	return "docs/query.md describes the query language"
}

func wrong(at int, fix, what string, args ...any) error {
	return &SyntaxError{At: at, What: fmt.Sprintf(what, args...), Fix: fix}
}

// Parse reads a query. A text of nothing but spaces is All. Errors are *SyntaxError.
func Parse(text string) (Node, error) {
	if len(text) > MaxBytes {
		return nil, wrong(MaxBytes, "ask for less at once", "the query has %d bytes, the most is %d", len(text), MaxBytes)
	}
	if at := notUTF8(text); at >= 0 {
		return nil, wrong(at, "write bytes in hex, as in tag:0x00ff", "the query is not UTF-8")
	}
	p := parser{text: text}
	p.space()
	if p.at == len(p.text) {
		return All{}, nil
	}
	n, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.at < len(p.text) { // or ends at a parenthesis alone
		return nil, wrong(p.at, `quote it if it is meant as text: ")"`, "this ) closes nothing")
	}
	return n, nil
}

// Box reports whether the whole of text is one unquoted bare word, as people type it into a search box, and returns
// it. A word with a colon is one unless a field stands before the colon.
func Box(text string) (word string, ok bool) {
	word = strings.TrimFunc(text, unicode.IsSpace)
	if word == "" || len(text) > MaxBytes || notUTF8(word) >= 0 || isOperator(word) || strings.ContainsFunc(word, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`()"*=`, r)
	}) {
		return "", false
	}
	field, _, colon := strings.Cut(word, ":")
	return word, !colon || !isField(field)
}

func notUTF8(text string) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func isOperator(word string) bool { return word == "AND" || word == "OR" || word == "NOT" }

// parser is a recursive descent over text; at is the next byte, never inside a space between calls of or, and, not.
type parser struct {
	text  string
	at    int
	terms int
}

func (p *parser) space() {
	for p.at < len(p.text) {
		r, size := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(r) {
			return
		}
		p.at += size
	}
}

// operator takes the word if it stands next, by itself.
func (p *parser) operator(word string) bool {
	if p.ahead() != word {
		return false
	}
	p.at += len(word)
	p.space()
	return true
}

// ahead returns the operator that stands next, "" if another thing does.
func (p *parser) ahead() string {
	if word := p.text[p.at:p.runEnd(p.at)]; isOperator(word) {
		return word
	}
	return ""
}

// runEnd returns where the run that begins at i ends: at a space, a parenthesis or a quote.
func (p *parser) runEnd(i int) int {
	end := strings.IndexFunc(p.text[i:], func(r rune) bool { return unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' })
	if end < 0 {
		return len(p.text)
	}
	return i + end
}

func (p *parser) or(depth int) (Node, error) {
	var parts Or
	for {
		n, err := p.and(depth)
		if err != nil {
			return nil, err
		}
		if more, same := n.(Or); same {
			parts = append(parts, more...)
		} else {
			parts = append(parts, n)
		}
		if !p.operator("OR") {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

func (p *parser) and(depth int) (Node, error) {
	var parts And
	for {
		n, err := p.not(depth)
		if err != nil {
			return nil, err
		}
		if more, same := n.(And); same {
			parts = append(parts, more...)
		} else {
			parts = append(parts, n)
		}
		if p.operator("AND") {
			continue
		}
		if p.at == len(p.text) || p.text[p.at] == ')' || p.ahead() == "OR" {
			break
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	return parts, nil
}

func (p *parser) not(depth int) (Node, error) {
	if depth > MaxDepth {
		return nil, wrong(p.at, "write it with fewer of them", "more than %d parentheses and NOTs lie inside each other", MaxDepth)
	}
	if p.operator("NOT") {
		n, err := p.not(depth + 1)
		return Not{n}, err
	}
	if p.at == len(p.text) || p.text[p.at] == ')' {
		return nil, wrong(p.at, "", "a term is missing here")
	}
	if word := p.ahead(); word != "" {
		return nil, wrong(p.at, fmt.Sprintf("write %s in lower case or in quotes if it is meant as a word", word), "no term stands before this %s", word)
	}
	if p.text[p.at] != '(' {
		return p.term()
	}
	open := p.at
	p.at++
	p.space()
	n, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	if p.at == len(p.text) {
		return nil, wrong(open, `close it, or quote it if it is meant as text: "("`, "this ( is never closed")
	}
	p.at++
	p.space()
	return n, nil
}
