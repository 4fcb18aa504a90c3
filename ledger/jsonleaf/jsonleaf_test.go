package jsonleaf_test

import (
	"slices"
	"strings"
	"testing"

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
