package judge_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"permanode/index/lang"
	"permanode/index/text"
)

// The program's words are the judge's, of whatever characters a text is made.
func TestWords(t *testing.T) {
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 5))
	tables := []*unicode.RangeTable{
		unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao,
		unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Yi, unicode.Bopomofo, unicode.Arabic, unicode.Hebrew, unicode.Devanagari,
		unicode.Mn, unicode.Mc, unicode.Me, unicode.Nd, unicode.Nl, unicode.No, unicode.P, unicode.S, unicode.Cf, unicode.Zs, unicode.Inherited, unicode.Common,
	}
	var of [][]rune
	for _, table := range tables {
		var list []rune
		for c := rune(0); c < 0x30000; c++ {
			if unicode.Is(table, c) {
				list = append(list, c)
			}
		}
		of = append(of, list)
	}
	wrong := 0
	for range 30_000 {
		var b strings.Builder
		for range r.IntN(8) {
			switch r.IntN(4) {
			case 0:
				b.WriteByte(byte(r.IntN(128)))
			case 1:
				b.WriteString(pick(r, vocabulary))
			default:
				b.WriteRune(pick(r, pick(r, of)))
			}
		}
		s := b.String()
		want := split(s)
		if got := text.Words(s); !slices.Equal(got, want) {
			if wrong++; wrong < 10 {
				t.Errorf("%+q: the program's words are %+q, the judge's %+q", s, got, want)
			}
		}
		if len(want) == 0 {
			continue
		}
		from := r.IntN(len(want))
		part, begins := slices.Clone(want[from:from+1+r.IntN(len(want)-from)]), r.IntN(2) == 0
		if last := []rune(part[len(part)-1]); begins {
			part[len(part)-1] = string(last[:1+r.IntN(len(last))])
		}
		if !text.Contains(s, part, begins) || text.Contains(s, append(slices.Clone(part), "nowhere"), false) {
			if wrong++; wrong < 10 {
				t.Errorf("%+q: whether it says %+q the program gets wrong", s, part)
			}
		}
	}
}

// What is a query for the judge is one for the program, and nothing else: generated ones, and those with a few
// characters changed.
func TestLanguage(t *testing.T) {
	ctx := context.Background()
	seed := seedOf(t)
	a := newArchive(ctx, t, seed, size{units: 6, blocks: 12, transactions: 6, thin: 9})
	a.feedAll(ctx, t)
	r := rand.New(rand.NewPCG(seed, 1))
	ask := newAsker(r, a.world.nets)
	ways := []rune(`"\:=*() ax.0NOTANDOR` + "\u00a0\u3000権")
	bad := 0
	for range 20_000 {
		query := []rune(ask.query())
		for range r.IntN(4) {
			switch at := r.IntN(len(query) + 1); {
			case r.IntN(2) == 0 && at < len(query):
				query = slices.Delete(query, at, at+1)
			default:
				query = slices.Insert(query, at, pick(r, ways))
			}
		}
		asked := string(query)
		_, want := understand(asked, a.world.nets, a.world)
		if _, boxes := boxed(asked); boxes {
			continue // need not be in the language
		}
		_, got := lang.Parse(asked)
		if errors.Is(want, errSyntax) != (got != nil) {
			if bad++; bad < 12 {
				t.Errorf("%q: the program says %v, the judge %v", asked, got, want)
			}
		}
	}
}
