package lang

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// place takes the places out of a tree, so that two texts of one meaning compare.
func place(n Node) Node {
	switch n := n.(type) {
	case And:
		out := make(And, len(n))
		for i := range n {
			out[i] = place(n[i])
		}
		return out
	case Or:
		out := make(Or, len(n))
		for i := range n {
			out[i] = place(n[i])
		}
		return out
	case Not:
		return Not{place(n.Of)}
	case Ident:
		n.At = 0
		return n
	case Text:
		n.At = 0
		return n
	case Leaf:
		n.At = 0
		return n
	case Word:
		n.At = 0
		return n
	case Span:
		n.At = 0
		return n
	case Time:
		n.At = 0
		return n
	}
	return n
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{ // canonical text
		"":       "",
		" \t\n ": "",
		`invoice "net 30" tag:ACME after:2026-01-01 before:2026-04-01 NOT state:conflicting`: `invoice "net 30" tag:ACME after:2026-01-01T00:00:00Z before:2026-04-01T00:00:00Z NOT state:conflicting`,
		"a AND b OR c d":                        "a b OR c d",
		"a (b OR c) d":                          "a (b OR c) d",
		"(a b) c":                               "a b c",
		"((a))":                                 "a",
		"NOT (a OR b)":                          "NOT (a OR b)",
		"NOT NOT a":                             "NOT NOT a",
		"a NOT b":                               "a NOT b",
		"and or not":                            "and or not",
		`"AND"`:                                 `"AND"`,
		"text:AND":                              "text:AND",
		"text:a:b":                              "text:a:b",
		"text:word":                             "word",
		"sens*":                                 "sens*",
		"text:sens*":                            "sens*",
		`tag:""`:                                `tag:""`,
		"tag:0x41434d45":                        "tag:0x41434d45",
		"tag:0x":                                "tag:0x",
		`tag:"0x41"`:                            `tag:"0x41"`,
		"tag:ACM*":                              "tag:ACM*",
		"tag:a=b:c":                             "tag:a=b:c",
		`tag:"a\"\\\n"`:                         `tag:"a\"\\\\n"`, // \n is a backslash and an n
		"data.device=dev-00017":                 "data.device=dev-00017",
		"data.device=*":                         "data.device=*",
		"data.device=dev-*":                     "data.device=dev-*",
		`data.device=""`:                        `data.device=""`,
		`"a path"="a value"`:                    `"a path"="a value"`,
		`""=1`:                                  `""=1`,
		`a="*"`:                                 `a="*"`,
		"a=b:c=d":                               "a=b:c=d",
		"type:0x2::coin::Coin<0x2::iota::IOTA>": "type:0x2::coin::Coin<0x2::iota::IOTA>",
		"unit:81":                               "unit:81",
		"unit:80..90":                           "unit:80..90",
		"unit:80..":                             "unit:80..",
		"unit:..90":                             "unit:..90",
		"unit:0..90":                            "unit:..90",
		"after:2026":                            "after:2026-01-01T00:00:00Z",
		"before:2026-11":                        "before:2026-11-01T00:00:00Z",
		"after:2026-11-24T12:00:00-23:59":       "after:2026-11-25T11:59:00Z",
		"before:2026-11-24T12:00:00.0001+01:00": "before:2026-11-24T11:00:00.001Z",
		"機器\u3000推論":                            "機器 推論",
		"a(b)c":                                 "a b c",
		`say\this`:                              `say\this`,
	} {
		n, err := Parse(text)
		if err != nil || n.String() != want {
			t.Errorf("%q reads as %v (%v), want %s", text, n, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]struct {
		at   int
		word string // of the error
	}{
		"tags:x":                                 {0, "did you mean tag:"},
		"a address:x":                            {2, "did you mean addr:"},
		"Tag:x":                                  {0, "did you mean tag:"},
		"http://x.y":                             {0, `quote it to search for its words: "http://x.y"`},
		"*foo":                                   {0, "no index answers a *"},
		"f*o":                                    {1, "no index answers a *"},
		"*":                                      {0, "a * stands alone"},
		"tag:*a":                                 {4, "no index answers a *"},
		"addr:smr1*":                             {0, "takes no *"},
		`"a"*`:                                   {3, "behind quotes"},
		`"a"b`:                                   {3, "follows the closing quote"},
		`a"b"`:                                   {1, "a quote stands inside"},
		`"a`:                                     {0, "never closed"},
		"(a":                                     {0, "never closed"},
		"a)":                                     {1, "closes nothing"},
		"()":                                     {1, "a term is missing"},
		"a OR":                                   {4, "a term is missing"},
		"AND a":                                  {0, "no term stands before this AND"},
		"a OR AND b":                             {5, "no term stands before this AND"},
		"NOT":                                    {3, "a term is missing"},
		"tag:":                                   {4, "no value stands behind"},
		"tag: x":                                 {4, "no value stands behind"},
		"a=":                                     {2, "no value stands behind"},
		"=a":                                     {0, "no path"},
		"eyJkZXZpY2UiOiJkZXYtMDAwMTcifQ==":       {31, "quote all of it"},
		"a.*=b":                                  {0, "in the path"},
		"tag:0x414":                              {0, "odd number"},
		"tag:0x4g":                               {0, "no hex digits"},
		"unit:9..8":                              {0, "ends before it begins"},
		"unit:..":                                {0, "no number of a unit"},
		"unit:-1":                                {0, "no number of a unit"},
		"unit:99999999999999999999":              {0, "no number of a unit"},
		"after:2026-02-30":                       {0, "is no time"},
		"after:9999-12-31T23:59:59-12:00":        {0, "is no time"},
		"before:yesterday":                       {0, "is no time"},
		"after:2026-11-24T12:00:00":              {0, "is no time"},
		`kind:""`:                                {0, "empty value"},
		"a \xff":                                 {2, "not UTF-8"},
		strings.Repeat("a", MaxBytes+1):          {MaxBytes, "the most is 4096"},
		strings.Repeat("a ", MaxTerms) + "b":     {2 * MaxTerms, "more than 64 terms"},
		strings.Repeat("(", MaxDepth+1) + "a":    {MaxDepth + 1, "more than 32"},
		strings.Repeat("NOT ", MaxDepth+1) + "a": {4 * (MaxDepth + 1), "more than 32"},
		strings.Repeat("(", MaxDepth) + "a" + strings.Repeat(")", MaxDepth) + " a)b": {2*MaxDepth + 3, "closes nothing"},
	} {
		n, err := Parse(text)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.At != want.at || !strings.Contains(err.Error()+"; "+syntax.Hint(), want.word) {
			t.Errorf("%.80q reads as %v, %v; want at %d: %s", text, n, err, want.at, want.word)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\r\x00") || len(err.Error()) > 600) {
			t.Errorf("%.80q: an unreadable error: %q", text, err)
		}
	}
}

func TestBox(t *testing.T) {
	for text, want := range map[string]string{
		" ACME ": "ACME", "sha256:00": "sha256:00", "0x2::iota::IOTA": "0x2::iota::IOTA", "Sensor-Node": "Sensor-Node", "x\ty": "",
		"": "", "tag:ACME": "", "a b": "", `"a"`: "", "a*": "", "a=b": "", "NOT": "", "(a)": "", "\xff": "",
	} {
		if word, ok := Box(text); word != want && ok || ok != (want != "") {
			t.Errorf("Box(%q) = %q, %v", text, word, ok)
		}
	}
}

// terms binds from a table by the canonical text of a term.
type terms map[string]Node

func (b terms) Term(n Node) (Node, error) {
	if bound, ok := b[n.String()]; ok {
		return bound, nil
	}
	return nil, fmt.Errorf("%s has no meaning", n)
}

func TestBind(t *testing.T) {
	key := func(v string) Keys { return Keys{Of: []ledger.Key{{Kind: ledger.KeyTag, Val: v}}} }
	units := func(lo, hi uint64) Units { return Units{ranges.Of(ranges.Range{Lo: lo, Hi: hi})} }
	b := terms{"all": All{}, "none": None{}, "x": key("x"), "y": key("y"), "u": units(1, 9), "v": units(5, 20), "w": units(30, 40), "p": Keys{Of: key("p").Of, Prefix: true}}
	for text, want := range map[string]Node{
		"":                  All{},
		"x all":             key("x"),
		"x none":            None{},
		"x OR all":          All{},
		"x OR none":         key("x"),
		"NOT all":           None{},
		"NOT NOT x":         key("x"),
		"x OR y OR x":       Keys{Of: []ledger.Key{key("x").Of[0], key("y").Of[0]}},
		"x OR p":            Or{key("x"), b["p"]},
		"u v":               units(5, 9),
		"u w":               None{},
		"u OR v OR w":       Units{ranges.Of(ranges.Range{Lo: 1, Hi: 20}, ranges.Range{Lo: 30, Hi: 40})},
		"u x (v OR none) p": And{units(5, 9), key("x"), b["p"]},
		"x (none OR none)":  None{},
		"NOT none x":        key("x"),
		"NOT (x none)":      All{},
	} {
		n, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Bind(n, b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s means %v, %v; want %v", text, got, err, want)
		}
	}
	if _, err := Bind(And{Text{Text: "x"}, Text{Text: "odd"}}, b); err == nil {
		t.Error("an error of the binder is lost")
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2021": "2022-01-01T00:00:00Z", "2021-12": "2022-01-01T00:00:00Z", "2021-01-15": "2021-01-16T00:00:00Z",
	} {
		if _, until, day, ok := ParseTime(text); !ok || !day || until.Format(time.RFC3339) != want {
			t.Errorf("%s ends at %v, want %s", text, until, want)
		}
	}
	for _, text := range []string{"0000", "0000-01-01", "0000-12-31T23:59:59Z", "0001-01-01T00:30:00+01:00", "9999-12-31T23:30:00-01:00", "10000-01-01"} {
		if at, _, _, ok := ParseTime(text); ok {
			t.Errorf("%s is taken for %v", text, at)
		}
	}
	for _, text := range []string{"0001", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"} {
		if _, _, _, ok := ParseTime(text); !ok {
			t.Errorf("%s is no time", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`invoice "net 30" tag:ACME after:2026-01-01 NOT (state:conflicting OR kind:unit)`, `"a path"="=v" data.x=1* tag:0x41* ""=1`,
		`unit:..90 before:2026-11-24T12:00:00.5+01:00`, "text:AND NOT NOT a(b)", `tag:"\"\\x"`, "addr:a=b:c",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.At < 0 || syntax.At > len(text) {
				t.Fatalf("untyped or misplaced error: %v", err)
			}
			return
		}
		again, err := Parse(n.String())
		if len(n.String()) > MaxBytes { // canonical times are longer
			return
		}
		if err != nil || !reflect.DeepEqual(place(again), place(n)) {
			t.Fatalf("%q prints as %q, which reads as %v (%v)", text, n, again, err)
		}
		_ = Explain(n, func(ledger.KeyKind) string { return "" })
	})
}
