package main

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"permanode/index/lang"
	"permanode/index/text"
	"permanode/query"
)

// snippets finds in a record what a query asked for, so that a person sees why it is a hit.
type snippets struct {
	wanted []*regexp.Regexp // words and phrases, phrases first
	paths  map[string]bool
}

// newSnippets reads what the query looks for in texts. A query that does not parse has none: who answers says why.
func newSnippets(q string) *snippets {
	s := &snippets{paths: map[string]bool{}}
	if n, err := lang.Parse(q); err == nil {
		s.gather(n)
	}
	slices.SortStableFunc(s.wanted, func(a, b *regexp.Regexp) int { return len(b.String()) - len(a.String()) })
	return s
}

func (s *snippets) gather(n lang.Node) {
	switch n := n.(type) {
	case lang.And:
		for _, part := range n {
			s.gather(part)
		}
	case lang.Or:
		s.gather(lang.And(n))
	case lang.Text:
		s.want(text.Words(n.Text), n.Prefix)
	case lang.Leaf:
		s.paths[n.Path] = true
	}
}

// noWord is what stands between words.
const noWord = `[^\p{L}\p{M}\p{N}]`

// want adds a word or phrase; prefix: its last word is the beginning of one.
func (s *snippets) want(words []string, prefix bool) {
	if len(words) == 0 {
		return
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	before, behind := "(?:^|"+noWord+")", "(?:$|"+noWord+")"
	if text.Spaceless(words[0]) {
		before = ""
	}
	if prefix || text.Spaceless(words[len(words)-1]) {
		behind = ""
	}
	if re, err := regexp.Compile("(?i)" + before + "(" + strings.Join(quoted, noWord+"*") + ")" + behind); err == nil {
		s.wanted = append(s.wanted, re)
	}
}

const (
	snippetBefore = 30  // characters shown before the word that was found
	snippetLength = 100 // and in all
)

// of returns the piece of a record's texts around the first thing that was asked for; the beginning of its first text
// where none is found.
func (s *snippets) of(texts []string) string {
	for _, re := range s.wanted {
		for _, t := range texts {
			if at := re.FindStringSubmatchIndex(t); at != nil {
				return cutText([]rune(t), utf8.RuneCountInString(t[:at[2]]))
			}
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return cutText([]rune(texts[0]), 0)
}

func cutText(runes []rune, at int) string {
	from := max(0, at-snippetBefore)
	to := min(len(runes), from+snippetLength)
	out := strings.Join(strings.Fields(string(runes[from:to])), " ")
	if from > 0 {
		out = "…" + out
	}
	if to < len(runes) {
		out += "…"
	}
	return out
}

// shownAddresses is how many addresses of a receipt's funds a person is shown; permanode get shows the unit.
const shownAddresses = 5

// itemText writes a hit for a person. r is nil for what a unit did itself.
func itemText(item query.Item, r *query.Record, look *snippets) string {
	var t table
	if r == nil {
		fmt.Fprintf(&t, "%s unit %d, what the unit did itself\n", plain(item.Network), item.Seq)
		t.line("id", "%s", item.ID)
		t.line("time", "%s", item.Time)
		for i, address := range item.Addresses {
			if i == shownAddresses {
				t.line("", "and %d more addresses", len(item.Addresses)-i)
				break
			}
			t.line("address", "%s", address)
		}
		return t.String()
	}
	fmt.Fprintf(&t, "%s unit %d pos %d\n", plain(item.Network), item.Seq, item.Pos)
	t.line("id", "%s", item.ID)
	t.line("time", "%s", item.Time)
	t.line("what", "%s, %s", item.Kind, item.State)
	if len(item.Roles) > 1 || len(item.Roles) == 1 && item.Roles[0] != "mention" {
		t.line("found as", "%s: %s", item.As, strings.Join(item.Roles, ", "))
	}
	for _, tag := range r.Tags {
		t.line("tag", "%s", tagText(tag))
	}
	if piece := look.of(r.Texts); piece != "" {
		t.line("text", "%s", piece)
	}
	for _, leaf := range r.Leaves {
		if look.paths[leaf.Path] {
			t.line("json", "%s = %s", leaf.Path, cutText([]rune(leaf.Value), 0))
		}
	}
	return t.String()
}

// tagText shows a tag, 0x hex, with the text that it is, if it is one.
func tagText(tag string) string {
	digits, ok := strings.CutPrefix(tag, "0x")
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) == 0 || !utf8.Valid(raw) || strings.ContainsFunc(string(raw), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return tag
	}
	return fmt.Sprintf("%s (%s)", tag, raw)
}
