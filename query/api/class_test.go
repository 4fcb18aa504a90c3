package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"permanode/query/access"
	"permanode/query/trail"
)

// What makes an answer whole, and so an export, is its format, not its route: rates, slots, deadlines, keys, metrics and
// the access trail all take a statement as CSV or HTML for one, and a statement as JSON for a search.
func TestStatementsThatAreExports(t *testing.T) {
	const path = "/v1/addresses/x/statement"
	for _, c := range []struct {
		name, query, accept string
		class               class
	}{
		{"json", "", "", classSearch},
		{"json by name", "?format=json", mediaCSV, classSearch},
		{"any", "", "*/*", classSearch},
		{"no format", "?format=xml", "", classSearch},
		{"csv", "?format=csv", "", classExport},
		{"html", "?format=html", "", classExport},
		{"csv by header", "", mediaCSV, classExport},
		{"html by header", "", "text/html,application/xhtml+xml", classExport},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, dir, reg := make(chan string), filepath.Join(t.TempDir(), "access"), prometheus.NewRegistry()
			tr, err := trail.Open(dir, trail.Options{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			var gone atomic.Bool
			export, short := c.class == classExport, usual
			if export {
				short.handler = 50 * time.Millisecond
			}
			config := Config{Rates: Rates{Exports: 1}, Trail: tr, Metrics: reg, Callers: func(*http.Request) (access.Caller, error) {
				if gone.Load() {
					return access.Caller{}, access.ErrUnknownKey
				}
				return access.Caller{Name: "k", Role: access.Reader}, nil
			}}
			b := newBench(t, config, short, 100,
				route{http.MethodGet, statementPattern, statementParams, access.Reader, classSearch, relay(from)},
				route{http.MethodGet, "/export", nil, access.Reader, classExport, says("export")},
			)
			ended := make(chan string, 1)
			client := &http.Transport{DisableKeepAlives: true}
			defer client.CloseIdleConnections()
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+b.addr+path+c.query, nil)
			r.Header.Set("Accept", c.accept)
			go func() {
				res, err := client.RoundTrip(r)
				if err != nil {
					ended <- err.Error()
					return
				}
				defer res.Body.Close()
				all, err := io.ReadAll(res.Body)
				ended <- fmt.Sprint(string(all), err)
			}()
			row := func() {
				select {
				case from <- "row":
				case text := <-ended:
					t.Fatalf("it ended early, with %q", text)
				}
			}
			row()
			if n := active(t, reg, c.class); n != 1 {
				t.Errorf("%v requests of class %s are in work", n, c.class)
			}
			if got, want := len(b.slots[classExport]), map[bool]int{true: 1}[export]; got != want {
				t.Errorf("it takes %d of the slots of exports, want %d", got, want)
			}
			if begun := strings.Contains(trailOf(t, dir), `"event":"begin"`); begun != export {
				t.Errorf("its beginning is in the trail: %t", begun)
			}
			if _, body, _ := b.ask(t, "GET", "/export", ""); (body != "export") != export {
				t.Errorf("an export beside it: %s", body)
			}
			if !export {
				close(from)
				<-ended
				return
			}
			for range 4 { // beyond the time of a search
				time.Sleep(30 * time.Millisecond)
				row()
			}
			gone.Store(true)
			if text := <-ended; text != strings.Repeat("row\n", 5)+io.ErrUnexpectedEOF.Error() {
				t.Errorf("without its key it ends with %q", text)
			}
			if err := b.stop(); err != nil {
				t.Error(err)
			}
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if text := trailOf(t, dir); !strings.Contains(text, `"event":"end"`) || strings.Contains(text, `"complete":true`) {
				t.Errorf("the trail has no end of what was cut:\n%s", text)
			}
		})
	}
}

// active is how many requests of a class the metrics say are in work.
func active(t *testing.T, reg *prometheus.Registry, of class) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			if family.GetName() == "permanode_api_requests_active" && m.GetLabel()[0].GetValue() == of.String() {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric of class %s", of)
	return 0
}

func trailOf(t *testing.T, dir string) (text string) {
	t.Helper()
	days, _ := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	for _, name := range days {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(raw)
	}
	return text
}
