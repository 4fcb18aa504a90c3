package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/query/trail"
)

// recorded is an API with a key of each role, whose name is the role, and an access trail.
type recorded struct {
	http.Handler
	trail *trail.Trail
	dir   string
}

func newRecorded(t *testing.T) *recorded {
	t.Helper()
	return newRecordedIn(t, filepath.Join(t.TempDir(), "access"))
}

// newRecordedIn has its trail in a folder.
func newRecordedIn(t *testing.T, trailDir string) *recorded {
	t.Helper()
	dir := t.TempDir()
	var keys strings.Builder
	for _, role := range []string{"reader", "auditor", "operator", "admin"} {
		fmt.Fprintf(&keys, "- {name: %s, sha256: %x, role: %s}\n", role, sha256.Sum256([]byte("key-"+role)), role)
	}
	file := filepath.Join(dir, "keys.yaml")
	if err := os.WriteFile(file, []byte(keys.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	callers, err := access.LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	r := &recorded{dir: trailDir}
	if r.trail, err = trail.Open(r.dir, trail.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.trail.Close() })
	r.Handler = api.Handler(api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Version: "v0", Log: log, Callers: callers.Caller, Trail: r.trail})
	return r
}

// ask sends a request with the key of a role, "" for none.
func (h *recorded) ask(t *testing.T, method, url, role string, w http.ResponseWriter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // a stream ends only with its client
	defer cancel()
	body := ""
	if strings.HasPrefix(url, "/v1/records") && method == http.MethodPost {
		body = `{"ids":["` + querytest.IdOf(1, 0) + `"]}`
	}
	r := httptest.NewRequest(method, url, strings.NewReader(body)).WithContext(ctx)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		r.Header.Set("Authorization", "Bearer key-"+role)
	}
	defer func() { // what broke off is an answer too
		if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
			panic(fault)
		}
	}()
	h.ServeHTTP(w, r)
}

// lines closes the trail, verifies it and returns the lines of calls.
func (h *recorded) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	if err := h.trail.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := trail.Verify(t.Context(), h.dir, func(f trail.Fault) { t.Error(f) }); err != nil {
		t.Fatal(err)
	}
	days, _ := filepath.Glob(filepath.Join(h.dir, "*.ndjson"))
	for _, name := range days {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for raw := range bytes.Lines(text) {
			var l map[string]any
			if err := json.Unmarshal(raw, &l); err != nil {
				t.Fatal(err)
			}
			if l["route"] != nil {
				all = append(all, l)
			}
		}
	}
	return all
}

// fill puts something into the variables of a pattern.
func fill(pattern string) string {
	return strings.NewReplacer("{net}", "a", "{seq}", "3", "{id}", querytest.IdOf(3, 0), "{tag}", "T", "{addr}", "addr1A", "{hash}", strings.Repeat("0", 64)).Replace(pattern)
}

// Each route of the table leaves a line for whoever may call it and for whoever may not; what needs no key leaves none.
func TestEveryRouteIsRecorded(t *testing.T) {
	h := newRecorded(t)
	want := map[string]int{}
	for _, rt := range api.RouteLines() {
		url := fill(rt.Pattern)
		for _, role := range []string{"admin", ""} {
			w := httptest.NewRecorder()
			h.ask(t, rt.Method, url, role, w)
			if rt.Role == "anyone" {
				continue
			}
			if denied := w.Code == http.StatusUnauthorized; denied != (role == "") {
				t.Errorf("%s %s as %q: %d", rt.Method, url, role, w.Code)
			}
			want[fmt.Sprintf("%s %s %s %d %v", rt.Method, rt.Pattern, role, w.Code, role != "")]++
		}
	}
	begun := map[any]string{}
	for _, l := range h.lines(t) {
		switch l["event"] {
		case trail.Begin:
			begun[l["request_id"]] = l["route"].(string)
			continue
		case trail.End:
			if begun[l["request_id"]] != l["route"] {
				t.Errorf("an end without its beginning: %v", l)
			}
			delete(begun, l["request_id"])
		}
		key := fmt.Sprintf("%s %s %s %v %v", l["method"], l["route"], l["key"], l["status"], l["allowed"])
		if want[key]--; want[key] < 0 {
			t.Errorf("a line too many: %v", l)
		}
	}
	for key, n := range want {
		if n > 0 {
			t.Errorf("no line for %s", key)
		}
	}
	if len(begun) > 0 {
		t.Errorf("no end for %v", begun)
	}
}

// The line of a query has its canonical text and the number of results, the line of an export is there before its first
// byte, and no line has a secret.
func TestRecordedContents(t *testing.T) {
	h := newRecorded(t)
	h.ask(t, "GET", "/v1/records/"+querytest.IdOf(3, 0), "reader", httptest.NewRecorder())
	h.ask(t, "GET", "/v1/networks/a/units/3/records?limit=1", "reader", httptest.NewRecorder())
	h.ask(t, "HEAD", "/v1/networks/a/records/"+querytest.IdOf(3, 0), "auditor", httptest.NewRecorder())
	h.ask(t, "GET", "/v1/networks/a/records/"+strings.Repeat("0x0", 3), "reader", httptest.NewRecorder())
	h.ask(t, "GET", "/v1/search?access_token=key-reader", "reader", httptest.NewRecorder())
	h.ask(t, "GET", "/v1/search?q=tag:T&limit=2", "reader", httptest.NewRecorder())
	first := &firstByte{ResponseRecorder: httptest.NewRecorder(), do: func(id string) {
		days, _ := filepath.Glob(filepath.Join(h.dir, "*.ndjson"))
		text, err := os.ReadFile(days[len(days)-1])
		if err != nil || !bytes.Contains(text, []byte(`"event":"begin","request_id":"`+id+`"`)) {
			t.Errorf("the first byte of an export came before its line: %v", err)
		}
	}}
	h.ask(t, "GET", "/v1/export?q=", "reader", first)
	if first.do != nil {
		t.Errorf("the export had no byte: %d", first.Code)
	}
	lines := h.lines(t)
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%s %v %v rows=%v", l["event"], l["status"], l["query"], l["rows"]))
		if text, _ := json.Marshal(l); bytes.Contains(text, []byte("key-")) {
			t.Errorf("a secret is in the trail: %s", text)
		}
	}
	text := strings.Join(got, "\n")
	for _, part := range []string{"call 200 <nil> rows=2\n", "call 200 <nil> rows=1\n", "call 400 <nil> rows=0", "begin <nil> ", "end 200 "} {
		if !strings.Contains(text, part) {
			t.Errorf("no line like %q:\n%s", part, text)
		}
	}
	end := lines[len(lines)-1]
	if end["complete"] != true || end["rows"] == 0.0 || end["bytes"] != float64(first.Body.Len()) {
		t.Errorf("the end of the export: %v, it had %d bytes", end, first.Body.Len())
	}
}

// firstByte calls do at the first byte of a body.
type firstByte struct {
	*httptest.ResponseRecorder
	do func(id string)
}

func (f *firstByte) Write(p []byte) (int, error) {
	if f.do != nil {
		f.do(f.Header().Get("X-Request-Id"))
		f.do = nil
	}
	return f.ResponseRecorder.Write(p)
}

// While nothing can be recorded nothing is answered, but for whether the service lives.
func TestNoLineNoAnswer(t *testing.T) {
	h := newRecorded(t)
	if err := h.trail.Close(); err != nil {
		t.Fatal(err)
	}
	for _, rt := range api.RouteLines() {
		w := httptest.NewRecorder()
		h.ask(t, rt.Method, fill(rt.Pattern), "admin", w)
		refused := w.Code == http.StatusServiceUnavailable && strings.Contains(w.Body.String(), "urn:permanode:problem:no-trail")
		if refused != (rt.Role != "anyone") {
			t.Errorf("%s %s: %d %s", rt.Method, rt.Pattern, w.Code, w.Body)
		}
	}
}

// After a clock that was ahead once, lines of today stand in the file of a later day: nobody says that nobody asked, and
// without a day the file comes that is written.
func TestAccessRouteAfterAWrongClock(t *testing.T) {
	h := newRecorded(t)
	h.ask(t, "GET", "/v1/export?q=", "reader", httptest.NewRecorder())
	if err := h.trail.Close(); err != nil {
		t.Fatal(err)
	}
	days, _ := filepath.Glob(filepath.Join(h.dir, "*.ndjson"))
	head, err := os.ReadFile(filepath.Join(h.dir, "HEAD"))
	if err != nil || len(days) != 1 {
		t.Fatal(days, err)
	}
	today := filepath.Base(days[0])
	if err := os.Rename(days[0], filepath.Join(h.dir, "2999-01-01.ndjson")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "HEAD"), bytes.Replace(head, []byte(today), []byte("2999-01-01.ndjson"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	again := newRecordedIn(t, h.dir)
	again.ask(t, "GET", "/v1/export?q=tag:T", "reader", httptest.NewRecorder())
	w := httptest.NewRecorder()
	if again.ask(t, "GET", "/v1/access", "auditor", w); w.Code != 200 || !strings.Contains(w.Body.String(), `"q":"tag:T"`) {
		t.Errorf("without a day: %d %.300s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	again.ask(t, "GET", "/v1/access?day="+strings.TrimSuffix(today, ".ndjson"), "auditor", w)
	if w.Code != 404 || !strings.Contains(w.Body.String(), "day=2999-01-01") || !strings.Contains(w.Body.String(), "clock") {
		t.Errorf("today: %d %s", w.Code, w.Body)
	}
}

// An auditor reads a day of the trail; what he reads is a line too.
func TestAccessRoute(t *testing.T) {
	h := newRecorded(t)
	h.ask(t, "GET", "/v1/info", "reader", httptest.NewRecorder())
	h.ask(t, "GET", "/v1/export?q=", "reader", httptest.NewRecorder()) // synchronous: the line before is on disk as well
	for url, want := range map[string]int{
		"/v1/access?day=2019-01-01": 404, "/v1/access?day=2019-02-29": 400, "/v1/access?day=../HEAD": 400, "/v1/access?day=": 400,
		"/v1/access?day=2019-01-01%0a": 400, "/v1/access?dya=2019-01-01": 400,
	} {
		w := httptest.NewRecorder()
		if h.ask(t, "GET", url, "auditor", w); w.Code != want {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
	for role, want := range map[string]int{"reader": 403, "": 401, "auditor": 200, "admin": 200} {
		w := httptest.NewRecorder()
		if h.ask(t, "GET", "/v1/access", role, w); w.Code != want {
			t.Errorf("as %q: %d %s", role, w.Code, w.Body)
		}
	}
	head, whole := httptest.NewRecorder(), httptest.NewRecorder()
	h.ask(t, "HEAD", "/v1/access", "auditor", head)
	h.ask(t, "GET", "/v1/access", "auditor", whole)
	if head.Code != 200 || head.Body.Len() > 0 || head.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %v", head.Code, head.Header())
	}
	if spec, err := querytest.Described(); err != nil {
		t.Error(err)
	} else if err := spec.Check("GET", &neturl.URL{Path: "/v1/access"}, whole.Code, whole.Header(), whole.Body.Bytes()); err != nil {
		t.Error(err)
	}
	text := whole.Body.String()
	if whole.Header().Get("Content-Length") != fmt.Sprint(len(text)) || whole.Header().Get("Cache-Control") != "no-store" ||
		whole.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("headers %v of %d bytes", whole.Header(), len(text))
	}
	if !strings.HasPrefix(text, `{"seq":1,`) || !strings.HasSuffix(text, "}\n") || !strings.Contains(text, `"route":"/v1/info"`) || !strings.Contains(text, `"day":"2019-01-01"`) {
		t.Errorf("the day is\n%s", text)
	}
	rows := 0.0
	for _, l := range h.lines(t) {
		if l["route"] == "/v1/access" && l["event"] == trail.End {
			rows = max(rows, l["rows"].(float64))
		}
	}
	if want := float64(strings.Count(text, "\n")); rows != want {
		t.Errorf("the trail says that %v lines were given, %v were", rows, want)
	}
	none := api.Handler(api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Version: "v0", Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	none.ServeHTTP(w, httptest.NewRequest("GET", "/v1/access", nil))
	if w.Code != 404 {
		t.Errorf("without a trail: %d", w.Code)
	}
}
