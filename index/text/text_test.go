package text_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"permanode/index/text"
)

func TestWords(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"no word", " .,;-–\n\x00", ""},
		{"ASCII", "Invoice 4711: net-30 (USD)", "invoice|4711|net|30|usd"},
		{"JSON", `{"device":"dev-00017","t":21.5}`, "device|dev|00017|t|21|5"},
		{"underscore is no letter", "a_b", "a|b"},
		{"composed and decomposed", "für fu\u0308r FÜR", "für|für|für"},
		{"compatibility", "ｆｕｌｌ ﬁn ① ²", "full|fin|1|2"},
		{"marks stay", "नमस्ते", "नमस्ते"},
		{"Greek", "Σίσυφος ΣΊΣΥΦΟΣ", "σίσυφοσ|σίσυφοσ"},
		{"Turkish I", "İstanbul", "istanbul"},
		{"digits of others", "٤٧١١ ४७", "٤٧١١|४७"},
		{"Han", "洗成權威", "洗|成|權|威"},
		{"kana, prolonged", "データー", "デ|ー|タ|ー"},
		{"halfwidth kana", "ｶﾞｷﾞ", "ガ|ギ"},
		{"Hangul", "한국 말", "한|국|말"},
		{"Thai", "ไทย", "ไ|ท|ย"},
		{"mixed", "abc權def", "abc|權|def"},
		{"punctuation of others", "「權」、威。", "權|威"},
		{"emoji", "ok👍ok", "ok|ok"},
		{"no UTF-8", "a\xffb\xc3(", "a|b"},
		{"replacement", "a\ufffdb", "a|b"},
		{"joiner", "a\u200db", "a|b"},
		{"Nl and No", "Ⅷ ½ 〇", "viii|1|2|〇"},
	}
	for _, c := range cases {
		if got := strings.Join(text.Words(c.text), "|"); got != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

func TestHas(t *testing.T) {
	cases := []struct {
		text, phrase string
		prefix, want bool
	}{
		{"net 30 days", "30 days", false, true},
		{"net 30 days", "net days", false, false},
		{"net 30 days", "30 da", true, true},
		{"net 30 days", "30 da", false, false},
		{"net 30 days", "ne 30", true, false},
		{"a a b", "a b", false, true},
		{"a", "a b", false, false},
		{"net, 30!", "net-30", false, true},
		{"洗成權威事實", "權威", false, true},
		{"洗成權威事實", "威權", false, false},
		{"a", "", false, false},
	}
	for _, c := range cases {
		if got := text.Has(text.Words(c.text), text.Words(c.phrase), c.prefix); got != c.want {
			t.Errorf("%q has %q (prefix %v): %v", c.text, c.phrase, c.prefix, got)
		}
	}
}

// FuzzContains: both ways of looking for a phrase agree.
func FuzzContains(f *testing.F) {
	f.Add("net 30 days, NET-30 day", "30 day", true)
	f.Add("aa a ab", "a ab", false)
	f.Add("für a b", "a b", false)
	f.Fuzz(func(t *testing.T, s, phrase string, prefix bool) {
		words := text.Words(phrase)
		if got, want := text.Contains(s, words, prefix), text.Has(text.Words(s), words, prefix); got != want {
			t.Fatalf("%q contains %q (prefix %v): %v, want %v", s, words, prefix, got, want)
		}
	})
}

// slow says the same in another style: character by character, after the letter of docs/query.md.
func slow(s string) (words []string) {
	scripts := []*unicode.RangeTable{
		unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Thai,
		unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan, unicode.Yi,
	}
	open := false
	for _, r := range strings.ReplaceAll(strings.ToLower(norm.NFKC.String(strings.ToValidUTF8(s, "\ufffd"))), "ς", "σ") {
		switch {
		case !unicode.In(r, unicode.L, unicode.M, unicode.N):
			open = false
		case r == 'ー' || unicode.In(r, scripts...):
			words, open = append(words, string(r)), false
		case open:
			words[len(words)-1] += string(r)
		default:
			words, open = append(words, string(r)), true
		}
	}
	return words
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"", "Net-30", "für fu\u0308r", "權威ー", "İ\u0307ﬃ", "a\xff\xc3", "ไทย한국", "ͅΣς"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := text.Words(s)
		if want := slow(s); !slices.Equal(got, want) {
			t.Fatalf("%q gives %q, want %q", s, got, want)
		}
		for _, w := range got {
			if w == "" || !utf8.ValidString(w) || text.Spaceless(w) && utf8.RuneCountInString(w) != 1 {
				t.Fatalf("%q gives the word %q", s, w)
			}
			if again := text.Words(w); len(again) != 1 && !strings.ContainsFunc(w, unicode.IsMark) {
				t.Fatalf("%q gives the word %q, which gives %q", s, w, again)
			}
		}
		for i := range got {
			for j := i + 1; j <= min(len(got), i+4); j++ {
				if !text.Has(got, got[i:j], false) || !text.Has(got, got[i:j], true) || !text.Contains(s, got[i:j], false) {
					t.Fatalf("%q has not its own words %q", s, got[i:j])
				}
			}
		}
	})
}

func BenchmarkWords(b *testing.B) {
	for name, s := range map[string]string{
		"ascii": strings.Repeat(`{"device":"dev-00017","note":"net 30 days"} `, 20),
		"mixed": strings.Repeat(`für 權利的事情 data データ `, 20),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			var words []string
			for b.Loop() {
				words = text.Append(words[:0], s)
			}
		})
	}
}
