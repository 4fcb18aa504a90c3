package api_test

import (
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/query/trail"
)

// limitedTape is an API with limits and a trail.
func limitedTape(t *testing.T, r api.Rates) *recorded {
	t.Helper()
	h := &recorded{dir: filepath.Join(t.TempDir(), "access")}
	var err error
	log := slog.New(slog.DiscardHandler)
	if h.trail, err = trail.Open(h.dir, trail.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.trail.Close() })
	s := newTape("a")
	s.unit(1, 1, "x||one")
	h.Handler = api.Handler(api.Config{Archive: query.New(s, querytest.Codecs), Version: "v0", Log: log, Trail: h.trail, Rates: r})
	return h
}

// Subscriptions are counted with the requests of their caller: what is too often has a problem, no line, and does not end the
// connection. What was refused leaves a short line.
func TestSubscriptionsAreCounted(t *testing.T) {
	h := limitedTape(t, api.Rates{Keyed: 0.001}) // one at once
	addr := streamAt(t, h)
	refused := limitedTape(t, api.Rates{})
	long := strings.Repeat("\x7f", 15_000)
	ask := `{"subscribe":{"id":"a","q":"` + long + `","network":"` + long + `","cursor":"` + long + `","from":"` + long + `"}}`

	conn := socket(t, addr) // that was the one
	for range 50 {
		say(t, conn, ask)
		m := hear(t, conn)
		if p := m.Problem.Type + " " + m.Problem.Detail; m.Type != "error" || !strings.Contains(p, "rate-limited") || !strings.Contains(p, "again in ") {
			t.Fatalf("%+v", m)
		}
	}
	if disk := h.onDisk(t); strings.Contains(disk, `"id":"a"`) {
		t.Errorf("lines of what was asked too often: %.500s", disk)
	}

	conn = socket(t, streamAt(t, refused))
	for range 20 {
		say(t, conn, ask)
		if m := hear(t, conn); m.Type != "error" || strings.Contains(m.Problem.Type, "rate-limited") {
			t.Fatalf("%+v", m)
		}
	}
	if err := refused.trail.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(refused.onDisk(t)); n < 20*500 || n > 22*2000 {
		t.Errorf("%d bytes of lines of 20 frames that were refused", n)
	}
}

// A caller causes no more lines than his rate of requests allows, however long his questions are.
func TestLinesOfACallerAreBounded(t *testing.T) {
	const rate, calls = 100.0, 400
	h := limitedTape(t, api.Rates{Keyed: rate})
	began, over := time.Now(), 0
	for range calls {
		w := httptest.NewRecorder()
		h.ask(t, "GET", "/v1/export?q="+url.QueryEscape("tag:"+strings.Repeat("\x7f", 1300)), "", w)
		if w.Code == 429 && strings.Contains(w.Body.String(), "recorded") {
			over++
			if w.Header().Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
	}
	if err := h.trail.Close(); err != nil {
		t.Fatal(err)
	}
	most := 1<<20 + int(time.Since(began).Seconds()*rate*1024)
	if n := len(h.onDisk(t)); over == 0 || n > most+4096 {
		t.Errorf("%d of %d calls were too much; %d bytes of lines, the most is %d", over, calls, n, most)
	}
}
