package querytest

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/openapitest"
)

type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a Answer) Json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("not JSON: %v: %s", err, a.Body)
	}
	return v
}

func ServiceOf(m *Memory) http.Handler {
	return api.Handler(api.Config{Archive: query.New(m, Codecs), Version: "v0", Log: slog.New(slog.DiscardHandler)})
}

func Get(t *testing.T, h http.Handler, url string) Answer {
	t.Helper()
	return Do(t, h, httptest.NewRequest(http.MethodGet, url, nil))
}

// do asks h, and holds the answer against the description of the API.
func Do(t *testing.T, h http.Handler, r *http.Request) Answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	got := Answer{w.Code, w.Header(), w.Body.Bytes()}
	spec, err := Described()
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Check(r.Method, r.URL, got.Status, got.Header, got.Body); err != nil {
		t.Errorf("%s %.200s: %v", r.Method, r.URL, err)
	}
	return got
}

func Handler(a *query.Archive) http.Handler {
	return api.Handler(api.Config{Archive: a, Version: "v0", Log: slog.New(slog.DiscardHandler)})
}

func HttpGet(url string) *http.Request { return httptest.NewRequest(http.MethodGet, url, nil) }

func Idle(_, _, _ uint64) {}

func AsJSON(v any) string { return string(Must(json.Marshal(v))) }

// described is the description that answers of tests are held against.
var Described = sync.OnceValues(openapitest.Parse)
