package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/client"
)

// An answer without what every such answer has is no answer: whoever asked must not read it as "there is nothing". A page
// that is empty and not the last is none either.
func TestEmptyAnswers(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `{"items":null,"networks":null}`, `{"items":[],"next_cursor":"AAAA","coverage":[],"total":{"value":1,"relation":"exact"}}`} {
		c := serve(t, said(200, asJSON, body))
		ctx := t.Context()
		for name, ask := range map[string]func() error{
			"info":     func() error { _, err := c.Info(ctx); return err },
			"status":   func() error { _, err := c.Status(ctx); return err },
			"ready":    func() error { _, err := c.Ready(ctx); return err },
			"coverage": func() error { _, err := c.Coverage(ctx, "a"); return err },
			"unit":     func() error { _, err := c.Unit(ctx, "a", 1); return err },
			"record":   func() error { _, err := c.Record(ctx, "a", "0x00"); return err },
			"at":       func() error { _, _, err := c.At(ctx, "/v1/networks/a/records/0x00"); return err },
			"unit at":  func() error { _, _, err := c.At(ctx, "/v1/networks/a/units/1"); return err },
			"page":     func() error { _, err := c.SearchPage(ctx, client.Question{}); return err },
			"tag":      func() error { _, err := c.Tag(ctx, []byte("T"), client.Question{}); return err },
			"address":  func() error { _, err := c.Address(ctx, "addr1A", "", client.Question{}); return err },
			"search":   func() error { return lastError(c.Search(ctx, client.Question{}, nil)) },
			"places":   func() error { return lastError(c.Places(ctx, "0x00", "")) },
			"batch":    func() error { return lastError(c.PlacesOf(ctx, []string{"0x00"}, "")) },
			"records":  func() error { return lastError(c.UnitRecords(ctx, "a", 1)) },
			"statement": func() error {
				_, err := c.StatementPage(ctx, client.Statement{Address: "addr1A"})
				return err
			},
			"checkpoint": func() error { _, err := c.Checkpoint(ctx); return err },
		} {
			if err := ask(); !isNoService(err) {
				t.Errorf("%s of %s: %v", name, body, err)
			}
		}
	}
	c := serve(t, said(200, asJSON, `{"items":[{}]}`))
	if err := lastError(c.PlacesOf(t.Context(), []string{"0x00"}, "")); !isNoService(err) {
		t.Errorf("an identifier without an answer: %v", err)
	}
	if _, err := serve(t, said(200, asJSON, `{}`)).Networks(t.Context()); !isNoService(err) {
		t.Errorf("networks: %v", err)
	}
}

func lastError[T any](seq func(func(T, error) bool)) (last error) {
	seq(func(_ T, err error) bool { last = err; return true })
	return last
}

// A service that wants longer patience than any number holds is not asked again, as one that wants hours is not.
func TestEndlessPatience(t *testing.T) {
	for _, after := range []string{"99999999999999999999", "2147483648", "100"} {
		h, asked := answers(no(429, "rate-limited", after))
		c := client.Counting(serve(t, h), func(d time.Duration) { t.Errorf("Retry-After %s: it waits %s", after, d) })
		if _, err := c.Info(t.Context()); err == nil || asked.Load() != 1 {
			t.Errorf("Retry-After %s: asked %d times: %v", after, asked.Load(), err)
		}
	}
}

// A later part of an export that does not go on where the one before broke off would double rows, each part of which its own
// hash certifies: no such export has an end.
func TestExportThatComesAgain(t *testing.T) {
	row := func(network string, seq int, pos string) string {
		return fmt.Sprintf(`{"network":%q,"seq":%d,"pos":%s,"id":"x"}`+"\n", network, seq, pos)
	}
	end := func(rows string) string {
		return rows + fmt.Sprintf(`{"_end":true,"rows":%d,"sha256":"%s"}`+"\n", strings.Count(rows, "\n"), sha(rows))
	}
	a, b := row("a", 1, "0")+row("a", 1, "1")+row("a", 2, "null"), row("b", 1, "0")
	for name, c := range map[string]struct {
		after       string
		first, then string
		whole       bool
	}{
		"it goes on":                 {"", a, end(row("a", 2, "0") + b), true},
		"the next network":           {"", a, end(b), true},
		"nothing more":               {"", a, end(""), true},
		"from the beginning":         {"", a, end(a + b), false},
		"the last row again":         {"", a, end(row("a", 2, "null") + b), false},
		"a row before it":            {"", row("a", 2, "5"), end(row("a", 2, "4")), false},
		"the same place":             {"", row("a", 2, "5"), end(row("a", 2, "5") + row("a", 2, "6")), false},
		"a network that was left":    {"", a + b, end(a), false},
		"back to one within a part":  {"", a + b + row("a", 3, "0"), end(row("b", 2, "0")), false},
		"not behind what was asked":  {"a/7/0", row("a", 6, "0"), end(row("a", 8, "0")), false},
		"behind what was asked":      {"a/7/0", row("a", 8, "0"), end(row("a", 9, "0")), true},
		"back before what was asked": {"b/7/0", row("b", 8, "0"), end(row("c", 1, "0") + row("b", 9, "0")), false},
	} {
		served := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			if served++; served > 1 {
				_, _ = io.WriteString(w, c.then)
				return
			}
			_, _ = io.WriteString(w, c.first)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		var out bytes.Buffer
		_, err := serve(t, h).Export(t.Context(), client.Export{Format: query.NDJSON, After: c.after}, &out)
		if whole := strings.Contains(out.String(), `"_end"`); (err == nil) != c.whole || whole != c.whole || served > 2 {
			t.Errorf("%s: %v after %d answers\n%s", name, err, served, out.String())
		}
	}
}

// A table that lost its trailers on its way is not asked for again and again: every other one would lose them too.
func TestTableWithoutTrailers(t *testing.T) {
	h, asked := answers(said(200, http.Header{"Content-Type": {"text/csv; charset=utf-8"}}, "network,seq,pos,id\r\na,1,0,x\r\n"))
	var out bytes.Buffer
	_, err := serve(t, h).Export(t.Context(), client.Export{Format: query.CSV}, &out)
	var next interface{ Hint() string }
	if err == nil || !errors.As(err, &next) || !strings.Contains(next.Hint(), "ndjson") || asked.Load() != 1 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
}
