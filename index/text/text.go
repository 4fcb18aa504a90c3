// Package text says how a text falls into words: the one implementation for what is stored, for what is asked, and
// for the check whether words stand side by side. docs/query.md, "Words", is its specification. It is pure.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Version is raised whenever the same text may fall into other words, so that indexes are made again.
const Version = 2

// Words returns the words of text in order, folded: NFKC, then lower case, and the Greek sigma
// at the end of a word like any other. A word is a longest run of letters,
// marks and digits; a character of a script without spaces is a word of its own. Bytes that are no UTF-8 are no
// part of any word.
func Words(text string) []string { return Append(nil, text) }

// Append appends the words of text to dst.
func Append(dst []string, text string) []string {
	folded, ascii := fold(text)
	if ascii {
		return appendASCII(dst, folded)
	}
	start := -1
	end := func(at int) {
		if start >= 0 {
			dst = append(dst, folded[start:at])
			start = -1
		}
	}
	for i, r := range folded {
		switch {
		case spaceless(r):
			end(i)
			dst = append(dst, folded[i:i+utf8.RuneLen(r)])
		case !part(r):
			end(i)
		case start < 0:
			start = i
		}
	}
	end(len(folded))
	return dst
}

// fold returns text in NFKC and lower case, and whether it is ASCII alone.
func fold(text string) (folded string, ascii bool) {
	upper := false
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf {
			// Lower case may bring forms that NFKC would compose or split again; the rule is one pass of each.
			lower := strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(text, "\x00")))
			return strings.ReplaceAll(lower, "ς", "σ"), false // in upper case they are one letter
		}
		upper = upper || 'A' <= c && c <= 'Z'
	}
	if upper {
		text = strings.ToLower(text)
	}
	return text, true
}

func appendASCII(dst []string, text string) []string {
	start := -1
	for i := range len(text) {
		c := text[i]
		if asciiPart(c) {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			dst = append(dst, text[start:i])
			start = -1
		}
	}
	if start >= 0 {
		dst = append(dst, text[start:])
	}
	return dst
}

// part reports whether r belongs to words.
func part(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) }

// Spaceless reports whether word is one character of a script without spaces.
func Spaceless(word string) bool {
	r, n := utf8.DecodeRuneInString(word)
	return n == len(word) && spaceless(r)
}

// prolonged is the mark that lengthens a sound in Hiragana and Katakana; it belongs to no script.
const prolonged = 'ー'

var scripts = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Yi,
}

// spaceless reports whether r is a word of its own: a letter, mark or digit of a script without spaces.
func spaceless(r rune) bool {
	return r >= 0x0e00 && (r == prolonged || unicode.In(r, scripts...) && part(r))
}

// Contains reports whether the words of text hold phrase, as [Has] does, and is faster than splitting the text: it looks
// for the first word and goes on from there. phrase is of Words.
func Contains(text string, phrase []string, prefix bool) bool {
	if len(phrase) == 0 {
		return false
	}
	folded, ascii := fold(text)
	if !ascii {
		return Has(Words(text), phrase, prefix)
	}
	for at := 0; ; {
		i := strings.Index(folded[at:], phrase[0])
		if i < 0 {
			return false
		}
		at += i
		if (at == 0 || !asciiPart(folded[at-1])) && follows(folded[at:], phrase, prefix) {
			return true
		}
		at++
	}
}

// follows reports whether folded ASCII begins with a phrase.
func follows(folded string, phrase []string, prefix bool) bool {
	for i, w := range phrase {
		if !strings.HasPrefix(folded, w) {
			return false
		}
		folded = folded[len(w):]
		if i == len(phrase)-1 && prefix {
			return true
		}
		if folded != "" && asciiPart(folded[0]) {
			return false
		}
		for folded != "" && !asciiPart(folded[0]) {
			folded = folded[1:]
		}
	}
	return true
}

func asciiPart(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// Has reports whether the words of a text hold phrase: all of its words, side by side and in order. With prefix
// the last word of phrase need only begin the word in its place.
func Has(words, phrase []string, prefix bool) bool {
	if len(phrase) == 0 {
		return false
	}
	last := len(phrase) - 1
next:
	for i := 0; i+last < len(words); i++ {
		for j, w := range phrase {
			if got := words[i+j]; got != w && !(prefix && j == last && strings.HasPrefix(got, w)) {
				continue next
			}
		}
		return true
	}
	return false
}
