package api_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCoverageShowsRangesGapsAndTotals(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	got := querytest.Get(t, h, "/v1/networks/a/coverage")
	var records, bytes int
	for seq := uint64(1); seq <= 20; seq++ {
		if seq <= 10 || seq >= 14 {
			for _, r := range querytest.ToyCone(1, seq).Records {
				records++
				bytes += len(r.Parts[0].Raw)
			}
		}
	}
	want := fmt.Sprintf(`{"network":"a","era":"toy","ranges":[{"from":1,"to":10},{"from":14,"to":20}],"gaps":[`+
		`{"from":11,"to":12,"reason":"every source has pruned it"},{"from":13,"to":13,"reason":"not collected: it lies between two spans"},`+
		`{"from":21,"to":21,"reason":"no source has it"}],"records":%d,"bytes":%d}`+"\n", records, bytes)
	if string(got.Body) != want || got.Status != 200 {
		t.Errorf("%d\n got %s\nwant %s", got.Status, got.Body, want)
	}
	if again := querytest.Get(t, h, "/v1/networks/a/coverage"); string(again.Body) != want {
		t.Errorf("the second answer differs: %s", again.Body)
	}
}

func TestTotalsGrowWithCoverage(t *testing.T) {
	m := querytest.NewMemory()
	m.Add("a", []storage.Span{{Lo: 1, Hi: 9}}, nil)
	h := querytest.ServiceOf(m)
	querytest.Get(t, h, "/v1/networks/a/coverage")
	m.Cover[1] = storage.Coverage{Spans: []storage.Span{{Lo: 1, Hi: 8}}} // unit 9 not yet visible
	m.Cover[1] = storage.Coverage{Spans: []storage.Span{{Lo: 1, Hi: 10}}}
	m.Held[1][10] = querytest.ToyCone(1, 10)
	grown := querytest.Get(t, h, "/v1/networks/a/coverage").Json(t)
	fresh := querytest.Get(t, querytest.ServiceOf(m), "/v1/networks/a/coverage").Json(t)
	if fmt.Sprint(grown) != fmt.Sprint(fresh) {
		t.Errorf("counted on %v, counted anew %v", grown, fresh)
	}
}

func TestNotFoundTellsWhy(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	for url, want := range map[string]struct{ why, word string }{
		"/v1/networks/a/units/12":                              {"in-gap", "every source has pruned it"},
		"/v1/networks/a/units/13":                              {"in-gap", "between two spans"},
		"/v1/networks/a/units/21":                              {"in-gap", "no source has it"},
		"/v1/networks/a/units/22":                              {"outside-coverage", "units 1-10 and 14-20"},
		"/v1/networks/a/units/0":                               {"outside-coverage", "units 1-10 and 14-20"},
		"/v1/networks/a/units/12/records":                      {"in-gap", "every source has pruned it"},
		"/v1/networks/b/records/" + querytest.IdOf(9, 0):       {"never-seen", "b: units 3-4"},
		"/v1/records/0x" + strings.Repeat("00", 32):            {"never-seen", "a: units 1-10"},
		"/v1/records/addr1nobody":                              {"never-seen", "b: units 3-4"},
		"/v1/networks/a/records/0x" + strings.Repeat("ab", 32): {"never-seen", "without 11-12"},
	} {
		got := querytest.Get(t, h, url)
		v := got.Json(t)
		if got.Status != 404 || v["why"] != want.why || !strings.Contains(v["detail"].(string), want.word) || v["coverage"] == nil {
			t.Errorf("%s: %d %s, want why %s and %q", url, got.Status, got.Body, want.why, want.word)
		}
	}
}

func TestRecordForms(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	raw := querytest.ToyCone(1, 3).Records[2].Parts[0].Raw
	if got := querytest.Get(t, h, "/v1/networks/a/records/"+querytest.IdOf(3, 2)+"?format=raw"); string(got.Body) != string(raw) || got.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("raw = %q (%s), want %q", got.Body, got.Header, raw)
	}
	if got := querytest.Get(t, h, "/v1/networks/a/records/"+strings.ToUpper(querytest.IdOf(3, 2)[2:])+"?format=json"); !strings.Contains(string(got.Body), `"toy"`) {
		t.Errorf("json = %s", got.Body)
	}
	v := querytest.Get(t, h, "/v1/networks/a/records/"+querytest.IdOf(3, 2)).Json(t)
	for key, want := range map[string]any{
		"network": "a", "seq": 3.0, "pos": 2.0, "id": querytest.IdOf(3, 2), "state": "no-transaction", "reason": nil, "basis": "root", "kind": "none",
		"time": "2021-11-26T04:01:33Z", "tag": "0x7432", "size_bytes": float64(len(raw)),
	} {
		if v[key] != want {
			t.Errorf("%s = %v, want %v", key, v[key], want)
		}
	}
	if amount := v["tokens"].([]any)[0].(map[string]any)["amount"]; amount != "18446744073709551616" {
		t.Errorf("amount = %v", amount)
	}
	v = querytest.Get(t, h, "/v1/networks/a/records/"+querytest.IdOf(3, 1)).Json(t)
	if v["tag"] != nil || v["reason"] != 1.0 || fmt.Sprint(v["addresses"]) != "[]" {
		t.Errorf("no tag, reason 1, no address expected: %v", v)
	}
}

// An archive that holds nothing is not complete.
func TestNothingIsNotComplete(t *testing.T) {
	m := querytest.NewMemory()
	m.Add("new", nil, nil)
	if got := querytest.Get(t, querytest.ServiceOf(m), "/v1/networks"); !strings.Contains(string(got.Body), `"ranges":[],"gaps":[],"indexed":[],"complete":false`) {
		t.Errorf("%s", got.Body)
	}
}

func TestUnit(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	v := querytest.Get(t, h, "/v1/networks/b/units/4").Json(t)
	if v["seq"] != 4.0 || v["records"] != 5.0 || v["ledger_held"] != true || v["previous_id"] != nil || v["id"] != "0x"+querytest.ToyCone(1, 4).Unit.ID.String() {
		t.Errorf("unit = %v", v)
	}
	if got := querytest.Get(t, h, "/v1/networks/b/units/4?format=raw"); string(got.Body) != string(querytest.ToyCone(2, 4).Unit.Header) || got.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("raw = %q (%s)", got.Body, got.Header)
	}
	if got := querytest.Get(t, h, "/v1/networks/b/units/4?format=json"); string(got.Body) != `{"index":4}` {
		t.Errorf("node's form = %s", got.Body)
	}
}

// pages walks a list to its end and returns its items; every page must say the same total.
func pages(t *testing.T, h http.Handler, url string) (items []any) {
	t.Helper()
	for next := ""; ; {
		at := url
		if next != "" {
			at += "&cursor=" + next
		}
		got := querytest.Get(t, h, at)
		v := got.Json(t)
		if got.Status != 200 {
			t.Fatalf("%s: %s", at, got.Body)
		}
		items = append(items, v["items"].([]any)...)
		if v["next_cursor"] == nil {
			if total := v["total"].(map[string]any); total["value"] != float64(len(items)) || total["relation"] != "exact" {
				t.Errorf("%s: total %v after %d items", url, total, len(items))
			}
			return items
		}
		if next = v["next_cursor"].(string); len(v["items"].([]any)) == 0 {
			t.Fatalf("%s: an empty page with a cursor", at)
		}
	}
}

// Any page size gives the same list: no row twice, none lost, and no cursor to an empty page.
func TestPagesAgree(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	for _, url := range []string{"/v1/records/addr10", "/v1/records/addr11", "/v1/networks/a/units/9/records", "/v1/records/" + querytest.IdOf(3, 0)} {
		whole := fmt.Sprint(pages(t, h, url+"?limit=1000"))
		for limit := 1; limit < 12; limit++ {
			if got := fmt.Sprint(pages(t, h, fmt.Sprintf("%s?limit=%d", url, limit))); got != whole {
				t.Errorf("%s by %d:\n got %s\nwant %s", url, limit, got, whole)
			}
		}
	}
}

func TestPlacesOverNetworks(t *testing.T) {
	items := pages(t, querytest.ServiceOf(querytest.Sample()), "/v1/records/"+querytest.IdOf(3, 0)+"?limit=10")
	var got []string
	for _, item := range items {
		v := item.(map[string]any)
		got = append(got, fmt.Sprintf("%v %v %v %v %v %v", v["network"], v["seq"], v["pos"], v["as"], v["roles"], v["href"]))
	}
	want := []string{
		"a 3 0 record [mention receive] /v1/networks/a/records/" + querytest.IdOf(3, 0), "b 3 0 record [mention receive] /v1/networks/b/records/" + querytest.IdOf(3, 0),
	}
	if !slices.Equal(got, want) {
		t.Errorf("places = %q\nwant %q", got, want)
	}
	unit := pages(t, querytest.ServiceOf(querytest.Sample()), "/v1/records/0x"+querytest.ToyCone(1, 4).Unit.ID.String()+"?limit=10")
	if v := unit[0].(map[string]any); len(unit) != 2 || v["as"] != "unit" || v["pos"] != nil || v["href"] != "/v1/networks/a/units/4" {
		t.Errorf("unit = %v", unit)
	}
}

func TestPlacesInOneNetwork(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	items := pages(t, h, "/v1/records/"+querytest.IdOf(3, 0)+"?network=b&limit=1")
	if len(items) != 1 || items[0].(map[string]any)["network"] != "b" {
		t.Errorf("items = %v", items)
	}
	if got := querytest.Get(t, h, "/v1/records/"+querytest.IdOf(9, 0)+"?network=b"); got.Status != 404 || !strings.Contains(string(got.Body), "b: units 3-4") || strings.Contains(string(got.Body), "a: units") {
		t.Errorf("of b alone: %d %s", got.Status, got.Body)
	}
	if got := querytest.Get(t, h, "/v1/records/"+querytest.IdOf(9, 0)+"?network=c").Json(t); got["type"] != "urn:permanode:problem:unknown-network" {
		t.Errorf("of none: %v", got)
	}
}

// A record that two readings of an identifier find is one place, and the total says that it is no exact number.
func TestTwoReadingsOnePlace(t *testing.T) {
	v := querytest.Get(t, querytest.ServiceOf(querytest.Sample()), "/v1/records/"+querytest.IdOf(8, 3)).Json(t)
	if total := v["total"].(map[string]any); len(v["items"].([]any)) != 1 || total["relation"] != "upper_bound" || total["value"] != 2.0 {
		t.Errorf("%v", v)
	}
}

// The catalogue of bad input: each is a 4xx problem with a stable type, quickly, and shows nothing raw.
func TestBadInput(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	good := querytest.IdOf(3, 0)
	foreign := querytest.Get(t, h, "/v1/records/addr10?limit=1").Json(t)["next_cursor"].(string)
	long := strings.Repeat("7", 64<<10)
	cases := map[string]string{
		"/":                                      "no-such-route",
		"/v2/info":                               "no-such-route",
		"/v1/info/":                              "bad-path",
		"//v1/info":                              "bad-path",
		"/v1//info":                              "bad-path",
		"/v1/networks/../info":                   "bad-path",
		"/v1/networks/%2e%2e/info":               "bad-path",
		"/v1/networks/a/records/%252e%252e":      "bad-id",
		"/v1/networks/a/records/%00":             "bad-path",
		"/v1/networks/a/records/%20":             "bad-path",
		"/v1/networks/a/records/" + good + "%20": "bad-path",
		"/v1/networks/a/records/" + good + "%0d%0aX:y":     "bad-path",
		"/v1/networks/a/records/%c3%a9":                    "bad-path",
		"/v1/networks/a/records/a%2fb":                     "bad-path",
		"/v1/networks/nosuch/coverage":                     "unknown-network",
		"/v1/networks/A/coverage":                          "unknown-network",
		"/v1/networks/a/units/-1":                          "bad-number",
		"/v1/networks/a/units/+1":                          "bad-number",
		"/v1/networks/a/units/01":                          "bad-number",
		"/v1/networks/a/units/1e9":                         "bad-number",
		"/v1/networks/a/units/NaN":                         "bad-number",
		"/v1/networks/a/units/0x10":                        "bad-number",
		"/v1/networks/a/units/9223372036854775808":         "bad-number",
		"/v1/networks/a/units/18446744073709551616":        "bad-number",
		"/v1/networks/a/units/4294967296":                  "not-found",
		"/v1/networks/a/units/9007199254740993":            "bad-number",
		"/v1/networks/a/records/" + good[:64]:              "bad-id",
		"/v1/networks/a/records/" + good + "0":             "bad-id",
		"/v1/networks/a/records/" + good + "00":            "bad-id",
		"/v1/networks/a/records/0x" + good:                 "bad-id",
		"/v1/networks/a/records/0xzz":                      "bad-id",
		"/v1/networks/a/records/addr10":                    "bad-id",
		"/v1/records/x":                                    "bad-id",
		"/v1/records/" + good + "?limit=0":                 "bad-parameter",
		"/v1/records/" + good + "?limit=-1":                "bad-parameter",
		"/v1/records/" + good + "?limit=1000000000":        "bad-parameter",
		"/v1/records/" + good + "?limit=":                  "bad-parameter",
		"/v1/records/" + good + "?limit=1&limit=2":         "bad-parameter",
		"/v1/records/" + good + "?limt=1":                  "bad-parameter",
		"/v1/records/" + good + "?limit=%zz":               "bad-parameter",
		"/v1/records/" + good + "?limit=1;cursor=2":        "bad-parameter",
		"/v1/records/" + good + "?cursor=!!":               "bad-cursor",
		"/v1/records/" + good + "?cursor=" + foreign:       "bad-cursor",
		"/v1/records/addr10?cursor=" + foreign[:10]:        "bad-cursor",
		"/v1/networks/a/units/9/records?cursor=" + foreign: "bad-cursor",
		"/v1/networks/a/records/" + good + "?format=xml":   "bad-parameter",
		"/v1/networks/a/units/3?format=xml":                "bad-parameter",
		"/v1/info?x=1":                                     "bad-parameter",
		"/v1/records/" + long:                              "uri-too-long",
	}
	for url, want := range cases {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = url
		u, err := neturl.Parse("http://x" + url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		r.URL = u
		begin := time.Now()
		checkProblem(t, url, querytest.Do(t, h, r), want)
		if took := time.Since(begin); took > 50*time.Millisecond {
			t.Errorf("%.60s took %s", url, took)
		}
	}
}

func checkProblem(t *testing.T, what string, got querytest.Answer, kind string) {
	t.Helper()
	v := got.Json(t)
	if v["type"] != "urn:permanode:problem:"+kind || v["status"] != float64(got.Status) || v["title"] == "" || v["instance"] != got.Header.Get("X-Request-Id") {
		t.Errorf("%.80s: %d %.300s, want %s", what, got.Status, got.Body, kind)
	}
	if got.Status < 400 || got.Status > 499 || got.Header.Get("Content-Type") != "application/problem+json" || len(got.Body) > 4096 {
		t.Errorf("%.80s: status %d, %s, %d bytes", what, got.Status, got.Header.Get("Content-Type"), len(got.Body))
	}
	if detail := v["detail"].(string); strings.ContainsAny(detail, "\r\n\x00") || strings.Contains(detail, "goroutine") {
		t.Errorf("%.80s: detail %q", what, detail)
	}
}

func TestBadRequests(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get"} {
		r := httptest.NewRequest("GET", "/v1/info", nil)
		r.Method = method
		r.Header.Set("X-HTTP-Method-Override", "GET")
		got := querytest.Do(t, h, r)
		checkProblem(t, method, got, "method-not-allowed")
		if got.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: Allow = %q", method, got.Header.Get("Allow"))
		}
	}
	checkProblem(t, "body", querytest.Do(t, h, httptest.NewRequest("GET", "/v1/info", strings.NewReader("{}"))), "unexpected-body")
	checkProblem(t, "large body", querytest.Do(t, h, httptest.NewRequest("GET", "/v1/info", strings.NewReader(strings.Repeat("x", 2<<20)))), "body-too-large")
	r := httptest.NewRequest("GET", "/v1/info", nil)
	r.Header.Set("X-Long", strings.Repeat("x", 20<<10))
	checkProblem(t, "headers", querytest.Do(t, h, r), "headers-too-large")
	r = httptest.NewRequest("GET", "/v1/info", nil)
	r.Header["Authorization"] = []string{"Bearer a", "Bearer b"}
	checkProblem(t, "two authorizations", querytest.Do(t, h, r), "bad-header")
}

func TestDamageIsToldAndNotServed(t *testing.T) {
	m := querytest.Sample()
	m.FailAt, m.Fail = ledger.Ord{Seq: 3}, &storage.CorruptError{Key: "pebble R/01/…", Why: "block checksum"}
	got := querytest.Get(t, querytest.ServiceOf(m), "/v1/networks/a/records/"+querytest.IdOf(3, 0)+"?format=raw")
	v := got.Json(t)
	if got.Status != 500 || v["type"] != "urn:permanode:problem:corrupt" || !strings.Contains(v["detail"].(string), "permanode check --full") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	m.Fail = fmt.Errorf("secret path /x: %w", context.DeadlineExceeded)
	if got := querytest.Get(t, querytest.ServiceOf(m), "/v1/networks/a/records/"+querytest.IdOf(3, 0)); got.Status != 503 || got.Header.Get("Retry-After") == "" || strings.Contains(string(got.Body), "secret") {
		t.Errorf("%d %v %s", got.Status, got.Header, got.Body)
	}
}

func TestReadyzNamesWhatIsNot(t *testing.T) {
	ready := true
	h := api.Handler(api.Config{Archive: query.New(querytest.Sample(), querytest.Codecs), Log: slog.New(slog.DiscardHandler), Health: func() []api.Component {
		return []api.Component{{Name: "a", Ready: ready, Detail: "follows node-a"}}
	}})
	if got := querytest.Get(t, h, "/readyz"); got.Status != 200 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	ready = false
	if got := querytest.Get(t, h, "/readyz"); got.Status != 503 || !strings.Contains(string(got.Body), `"ready":false`) {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := querytest.Get(t, h, "/livez"); got.Status != 200 {
		t.Errorf("livez %d", got.Status)
	}
}

func TestCheckListen(t *testing.T) {
	for _, good := range []string{"127.0.0.1:8080", "127.1.2.3:0", "[::1]:80", "localhost:http"} {
		if err := api.CheckListen(good, false); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ":8080", "0.0.0.0:80", "[::]:80", "example.org:80", "192.168.1.1:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:x", "localhost.evil.org:80"} {
		if err := api.CheckListen(bad, false); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// serve runs the API on a free port until the test ends.
func serve(t *testing.T, h http.Handler) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	return ln.Addr().String(), func() error { cancel(); return <-ended }
}

func TestServeStopsCleanly(t *testing.T) {
	addr, stop := serve(t, querytest.ServiceOf(querytest.Sample()))
	res, err := http.Get("http://" + addr + "/v1/info")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if !strings.Contains(string(body), `"networks":["a","b"]`) {
		t.Errorf("info = %s", body)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// raw sends bytes as they are and returns the status line and body of the answer.
func raw(t *testing.T, addr, request string) (status, body string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.Status, string(text)
}

// On the wire: lying lengths, endless bodies and odd request lines are answered at once and in our own words.
func TestWire(t *testing.T) {
	addr, stop := serve(t, querytest.ServiceOf(querytest.Sample()))
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct{ name, request, status, word string }{
		{"chunked without end", "GET /v1/info HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "400", "unexpected-body"},
		{"length lies", "GET /v1/info HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nshort", "400", "unexpected-body"},
		{"expect", "GET /v1/info HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "400", "unexpected-body"},
		{"options star", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "204", ""},
		{"options", "OPTIONS /v1/info HTTP/1.1\r\nHost: x\r\n\r\n", "204", ""},
		{"trace", "TRACE /v1/info HTTP/1.1\r\nHost: x\r\n\r\n", "405", "method-not-allowed"},
		{"connect", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", "405", "method-not-allowed"},
		{"long header", "GET /v1/info HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431", "headers-too-large"},
		{"huge header", "GET /v1/info HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 400<<10) + "\r\n\r\n", "431", "headers-too-large"},
		{"not escaped", "GET /v1/records/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400", "bad-request"},
		{"space", "GET /v1/records/a b HTTP/1.1\r\nHost: x\r\n\r\n", "400", "bad-request"},
		{"no host", "GET /v1/info HTTP/1.1\r\n\r\n", "400", "bad-request"},
		{"two hosts", "GET /v1/info HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400", "bad-request"},
		{"two lengths", "GET /v1/info HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400", "bad-request"},
		{"carriage return", "GET /v1/info HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n", "400", "bad-request"},
		{"no HTTP", "\x16\x03\x01\r\n\r\n", "400", "bad-request"},
		{"newer HTTP", "GET /v1/info HTTP/3.0\r\nHost: x\r\n\r\n", "400", "bad-request"},
		{"transfer coding", "GET /v1/info HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "400", "bad-header"},
		{"expectation", "GET /v1/info HTTP/1.1\r\nHost: x\r\nExpect: gold\r\n\r\n", "400", "bad-header"},
		{"double slash", "GET //v1/info HTTP/1.1\r\nHost: x\r\n\r\n", "400", "bad-path"},
		{"dots", "GET /v1/../v1/info HTTP/1.1\r\nHost: x\r\n\r\n", "400", "bad-path"},
		{"head", "HEAD /v1/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200", ""},
	} {
		status, body := raw(t, addr, c.request)
		if c.name == "head" {
			body = ""
		}
		if !strings.HasPrefix(status, c.status) || !strings.Contains(body, c.word) {
			t.Errorf("%s: %s %s, want %s %s", c.name, status, body, c.status, c.word)
		}
		if p := map[string]any{}; c.word != "" && (json.Unmarshal([]byte(body), &p) != nil || p["type"] != "urn:permanode:problem:"+c.word) {
			t.Errorf("%s: %s is no problem of type %s", c.name, body, c.word)
		}
	}
}

// A record may hold the very text that net/http refuses with: an answer is never rewritten.
func TestAnswersAreNoRefusals(t *testing.T) {
	const one = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			_, _ = io.WriteString(w, one)
			w.(http.Flusher).Flush()
		}
	}))
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	if status, body := raw(t, addr, "GET /x HTTP/1.0\r\n\r\n"); status != "200 OK" || body != strings.Repeat(one, 1000) {
		t.Errorf("%s, %d bytes %.200q", status, len(body), body)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: x\r\n\r\nGET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")
	both, _ := io.ReadAll(c)
	if n := strings.Count(string(both), "problem:bad-request"); n != 1 || strings.Count(string(both), one) != 1000 {
		t.Errorf("%d problems in %d bytes", n, len(both))
	}
}

func FuzzCursor(f *testing.F) {
	h := querytest.ServiceOf(querytest.Sample())
	f.Add(base64.RawURLEncoding.EncodeToString([]byte{1, 1, 1, 'a'}))
	f.Fuzz(func(t *testing.T, cursor string) {
		r := httptest.NewRequest("GET", "/v1/records/addr10", nil)
		q := r.URL.Query()
		q.Set("cursor", cursor)
		r.URL.RawQuery = q.Encode()
		if got := querytest.Do(t, h, r); got.Status >= 500 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	})
}

func FuzzPath(f *testing.F) {
	h := querytest.ServiceOf(querytest.Sample())
	f.Add("v1/networks/a/records/%00")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		u, err := neturl.Parse("http://x/" + path)
		if err != nil {
			return
		}
		r.URL = u
		if got := querytest.Do(t, h, r); got.Status >= 500 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	})
}
