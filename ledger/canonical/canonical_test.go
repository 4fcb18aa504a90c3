package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// texts are canonical; each must come back byte for byte.
var texts = []string{
	`""`, `[]`, `{}`, `{"":""}`, `{"a":"1","b":["x",{"c":[]}],"c":{}}`,
	`"\"\\\b\t\n\f\r\u0000\u001f /<>&` + "\x7f" + `äß€😀"`,
	`{"A":"","a":"","a\"":"","b":""}`,
	strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
}

func TestParse(t *testing.T) {
	for _, text := range texts {
		v, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(Encode(v)); got != text {
			t.Errorf("re-encoded %s, want %s", got, text)
		}
	}
}

func TestParseValue(t *testing.T) {
	v, err := Parse([]byte(`{"k":["a\n","\u0001"]}`))
	if err != nil {
		t.Fatal(err)
	}
	list, ok := v.(Object)["k"].(Array)
	if !ok || len(list) != 2 || list[0] != String("a\n") || list[1] != String("\x01") {
		t.Errorf("value = %#v", v)
	}
}

// Every reading that another JSON reader would accept, and some that none would.
func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":               ``,
		"white space before":    ` "a"`,
		"white space after":     `"a" `,
		"newline at the end":    "{}\n",
		"white space inside":    `{"a": "b"}`,
		"bytes after the brace": `{}x`,
		"second value":          `{}{}`,
		"byte order mark":       "\ufeff{}",
		"number":                `{"a":1}`,
		"number 1.0":            `{"a":1.0}`,
		"true":                  `[true]`,
		"null":                  `null`,
		"duplicate key":         `{"a":"1","a":"2"}`,
		"empty key twice":       `{"":"1","":"2"}`,
		"keys not sorted":       `{"b":"","a":""}`,
		"escaped key":           `{"reco\u0072d":""}`,
		"key not ASCII":         `{"ä":""}`,
		"key no string":         `{a:""}`,
		"trailing comma":        `["a",]`,
		"object comma":          `{"a":"",}`,
		"no colon":              `{"a""b"}`,
		"open array":            `["a"`,
		"open object":           `{"a":"b"`,
		"open string":           `"a`,
		"open escape":           `"\`,
		"open unicode escape":   `"\u001`,
		"escape not needed":     `"\u0041"`,
		"slash escaped":         `"\/"`,
		"long form of newline":  `"\u000a"`,
		"upper-case hex":        `"\u001F"`,
		"surrogates":            `"\ud83d\ude00"`,
		"raw control character": "\"\x01\"",
		"raw newline":           "\"\n\"",
		"invalid UTF-8":         "\"\xff\"",
		"overlong UTF-8":        "\"\xc0\x80\"",
		"surrogate in UTF-8":    "\"\xed\xa0\x80\"",
		"U+2028":                "\"\u2028\"",
		"U+2029":                "\"\u2029\"",
		"too deep":              strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
	} {
		var format *FormatError
		if v, err := Parse([]byte(text)); !errors.As(err, &format) || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %s was read as %v (%v)", name, text, v, err)
		} else if format.Offset < 0 || format.Offset > len(text) {
			t.Errorf("%s: offset %d of %d", name, format.Offset, len(text))
		}
	}
}

// Trust files as recorded are canonical.
func TestTrustFiles(t *testing.T) {
	files, err := filepath.Glob("../../testdata/*/*/trust.json")
	more, _ := filepath.Glob("../../testdata/trust/*.json")
	if err != nil || len(files)+len(more) == 0 {
		t.Fatalf("no trust files (%v)", err)
	}
	for _, name := range append(files, more...) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Parse(raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(Encode(v), raw) {
			t.Errorf("%s: re-encoding differs", name)
		}
	}
}

// What allocates on hostile input must stay near its size.
func TestParseAllocations(t *testing.T) {
	raw := []byte(strings.Repeat("[", 1<<20))
	if n := testing.AllocsPerRun(5, func() { _, _ = Parse(raw) }); n > 100 {
		t.Errorf("%v allocations for a text that is too deep", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := Parse(raw)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		if got := Encode(v); !bytes.Equal(got, raw) {
			t.Fatalf("re-encoding differs\n got %q\nwant %q", got, raw)
		}
		if !json.Valid(raw) {
			t.Fatalf("canonical and no JSON: %q", raw)
		}
	})
}
