package jsonleaf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/jsonleaf"
)

func TestRead(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	cases := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"scalar", `"text"`, nil},
		{"object", ` {"a":{"b":[1,{"c":"x y"},null,true]},"a":2}`, []string{"a.b=1", "a.b.c=x y", "a.b=null", "a.b=true", "a=2"}},
		{"digits", `[1e400,18446744073709551616]`, []string{"=1e400", "=18446744073709551616"}},
		{"strings", "{\"\\u0061\\n\": \"\\ud83d\\ude00 \\\"q\\\\\" , \"ü\":[] , \"e\":{},\"x\\ud800\":\"\xff\"}", []string{"a\n=😀 \"q\\", "x\ufffd=\ufffd"}},
		{"space", " [ 1 , 2\n,\t{ } ] ", []string{"=1", "=2"}},
		{"two values", `{"a":1}{"b":2}`, nil},
		{"cut", `{"a":1`, nil},
		{"too deep", deep, nil},
		{"at the limit", deep[5 : len(deep)-1], []string{strings.Repeat("a.", 63) + "a=1"}},
		{"paths too long", `{"` + strings.Repeat("p", 1<<19) + `":{"x":1,"y":2}}`, nil},
	}
	for _, c := range cases {
		var got []string
		for _, l := range jsonleaf.Read([]byte(c.text)) {
			got = append(got, l.Path+"="+l.Value)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// slowly reads with the tokens of encoding/json.
func slowly(data []byte) (leaves []ledger.Leaf) {
	if data = bytes.TrimLeft(data, " \t\r\n"); len(data) == 0 || data[0] != '{' && data[0] != '[' || !json.Valid(data) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	paths := 0
	var value func(path string, depth int) bool
	value = func(path string, depth int) bool {
		tok, err := dec.Token()
		if paths += len(path); err != nil || depth > 64 || paths > 1<<20 {
			return false
		}
		delim, ok := tok.(json.Delim)
		if !ok {
			if tok == nil {
				tok = "null"
			}
			leaves = append(leaves, ledger.Leaf{Path: path, Value: fmt.Sprint(tok)})
			return true
		}
		for dec.More() {
			at := path
			if delim == '{' {
				key, err := dec.Token()
				if err != nil {
					return false
				}
				if at != "" {
					at += "."
				}
				at += key.(string)
			}
			if !value(at, depth+1) {
				return false
			}
		}
		_, err = dec.Token()
		return err == nil
	}
	if !value("", 0) {
		return nil
	}
	return leaves
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{`{"a":{"b":[1,{"c":"x\u00e9 y"},null,true]},"a":-2.50e+7}`, "[[],{},\"\\ud800\xff\"]", ` [ 1 , "\\" , {"":{"":0}} ] `, `{"a":1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, want := jsonleaf.Read(data), slowly(data); !slices.Equal(got, want) {
			t.Fatalf("%q gives %q, want %q", data, got, want)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	data := []byte(`{"device":"dev-00017","seq":4711,"temp":21.5,"note":"` + strings.Repeat("words that somebody wrote ", 20) + `"}`)
	for name, read := range map[string]func([]byte) []ledger.Leaf{"ours": jsonleaf.Read, "tokens": slowly} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if len(read(data)) != 4 {
					b.Fatal("not four")
				}
			}
		})
	}
}
