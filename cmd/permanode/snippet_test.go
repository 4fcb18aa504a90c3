package main

import (
	"strings"
	"testing"
)

func TestSnippets(t *testing.T) {
	long := strings.Repeat("filler ", 50)
	for _, c := range []struct {
		query string
		texts []string
		want  string
	}{
		{"battery", []string{"no", long + "a Battery, charged"}, "…"},
		{`"net 30"`, []string{"30 net 3000", "pay NET-30 days"}, "pay NET-30 days"},
		{`clearing "clearing container"`, []string{"clearing first", "then clearing  container"}, "then clearing container"},
		{"net", []string{"internet", "the net"}, "the net"},
		{"sens*", []string{"nonsense", "Sensor-Node"}, "Sensor-Node"},
		{"權威", []string{"權利", "洗成權威事實"}, "洗成權威事實"},
		{"NOT battery", []string{"first", "battery"}, "first"},
		{"tag:X", []string{"first\nline\x1b[2J"}, "first line\x1b[2J"},
		{"(((", []string{"first"}, "first"},
		{"battery", nil, ""},
	} {
		got := newSnippets(c.query).of(c.texts)
		if c.want == "…" {
			if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "a Battery, charged") {
				t.Errorf("%s: %q", c.query, got)
			}
		} else if got != c.want {
			t.Errorf("%s: %q, want %q", c.query, got, c.want)
		}
	}
}

func TestTagText(t *testing.T) {
	for tag, want := range map[string]string{
		"0x494e564f494345": "0x494e564f494345 (INVOICE)", "0x": "0x", "0x00": "0x00", "0xff": "0xff", "0xe8a888e6b8ac": "0xe8a888e6b8ac (計測)", "TRYTES": "TRYTES",
	} {
		if got := tagText(tag); got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}
