package trail

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who has no key cannot fill the disk: his lines say nothing of what he sent, and beyond a rate he is only counted.
func TestStrangers(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	stranger := Event{
		RequestID: "r", Role: "anyone", Address: "203.0.113.9", Method: "GET", Route: "/v1/search", Status: 401, Denied: true,
		Path: map[string]string{"tag": strings.Repeat("\x01", 5000)}, Params: map[string]string{"q": strings.Repeat("\x01", 5000)}, Query: strings.Repeat("\xff", 5000),
	}
	const calls = 20_000
	send := func() {
		for range calls {
			must(t, tr.Append(stranger))
		}
	}
	send()
	known := stranger
	known.Key, known.Role, known.Status = "team", "reader", 403
	for range 200 {
		must(t, tr.Append(known)) // it has a key: a line each
	}
	mustSync(t, tr, "no count yet")
	c.set("2026-11-26T10:01:00Z")
	mustSync(t, tr, "a minute later")
	send()
	mustClose(t, tr)
	wantGood(t, dir)
	kinds, counted := map[string]int{}, 0.0
	for _, l := range read(t, dir) {
		kind := l["event"].(string)
		if l["key"] == "team" {
			kind += " of team"
		}
		kinds[kind]++
		if kind == refused {
			counted += l["calls"].(float64)
		}
	}
	if kinds[Call] < strangerBurst || kinds[Call] > 2*strangerBurst || kinds[refused] != 2 || kinds["call of team"] != 200 {
		t.Errorf("lines %v", kinds)
	}
	if float64(kinds[Call])+counted != 2*calls {
		t.Errorf("%d lines and %v counted of %d", kinds[Call], counted, 2*calls)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "2026-11-26.ndjson"))
	must(t, err)
	for line := range bytes.Lines(raw) {
		if len(line) > 500 {
			t.Errorf("a line of %d bytes: %.300s", len(line), line)
		}
	}
	day := 24 * time.Hour
	if most := int64(day/time.Second)*strangerRate*500 + int64(day/strangerTime)*300; most > 50_000_000 {
		t.Errorf("strangers write %d bytes a day", most)
	}
}
