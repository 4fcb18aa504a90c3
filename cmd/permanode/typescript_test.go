package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"permanode/internal/race"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/client"
)

const clientFolder = "../../query/client/typescript"

// The TypeScript client is made of the description as it is now, is sound in the strictest sense of its compiler, and gets
// from a service what the Go client gets, through a wire that breaks too.
func TestTypeScriptClient(t *testing.T) {
	bin := func(name string) string { return outside(t, "typescript", "node_modules", ".bin", name) }
	generate, compile := bin("openapi-typescript"), bin("tsc")
	if race.Enabled {
		t.Skip("the other side is no Go")
	}
	dir := t.TempDir()
	fresh := filepath.Join(dir, "api.ts")
	tool(t, generate, filepath.Join("..", "..", "query", "api", "openapi.yaml"), "-o", fresh)
	if read(t, fresh) != read(t, filepath.Join(clientFolder, "api.ts")) {
		t.Errorf("%s/api.ts is not made of the description as it is now: run make client", clientFolder)
	}
	tool(t, compile, "-p", clientFolder, "--outDir", filepath.Join(dir, "out"))
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type":"module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := recordedService(t)
	proxy := newRoughProxy(t, s.api)
	var got map[string]json.RawMessage
	if out := tool(t, "node", filepath.Join(dir, "out", "testing", "exercise.js"), s.api, proxy.URL); json.Unmarshal([]byte(out), &got) != nil {
		t.Fatalf("the client printed %.1000s", out)
	}
	checkTypeScript(t, s, got)
}

// checkTypeScript compares what the client printed with plain answers, and with what the Go client gives.
func checkTypeScript(t *testing.T, s *runningService, got map[string]json.RawMessage) {
	t.Helper()
	is := func(name string, want any) {
		t.Helper()
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(got[name], text) {
			t.Errorf("%s: %.500s, want %.500s", name, got[name], text)
		}
	}
	ctx, c := t.Context(), s.client(t)
	record := c1(t, func(yield func(query.Row, error) bool) { c.UnitRecords(ctx, "tangle", 81)(yield) })[0]
	for name, path := range map[string]string{
		"info": "/v1/info", "rough_info": "/v1/info", "networks": "/v1/networks", "coverage": "/v1/networks/tangle/coverage", "unit": "/v1/networks/tangle/units/81",
		"search": "/v1/search?q=tag:INVOICE&limit=3&order=oldest&facets=kind,state", "record": "/v1/networks/tangle/records/" + record.ID, "places": "/v1/records/" + record.ID,
		"tag":     "/v1/tags/" + neturl.PathEscape("計測") + "?limit=2",
		"address": "/v1/addresses/tst1qzfaq8psmvhg4m82ery6fz2dcgp28zvga2hkmzkkng0ddy6e7mdhxhxrxqr?limit=1&at=unit:81",
	} {
		is(name, json.RawMessage(plainly(t, s.api+path)))
	}
	var pages, records, all, tagged, inTangle []string
	for _, i := range c1(t, func(yield func(query.Item, error) bool) {
		c.Search(ctx, client.Question{Query: "tag:INVOICE"}, &client.Summary{})(yield)
	}) {
		pages = append(pages, i.ID)
	}
	for _, r := range c1(t, func(yield func(query.Row, error) bool) { c.UnitRecords(ctx, "tangle", 75)(yield) }) {
		records = append(records, r.ID)
	}
	all, tagged = places(t, c, ""), places(t, c, "tag:INVOICE")
	for _, p := range tagged {
		if strings.HasPrefix(p, "tangle/") {
			inTangle = append(inTangle, p)
		}
	}
	if len(all) < 1000 || len(tagged) < 20 || len(inTangle) == 0 {
		t.Fatalf("the Go client exports %d rows, %d tagged, %d of them in tangle", len(all), len(tagged), len(inTangle))
	}
	is("pages", pages)
	is("records", records)
	is("raw", map[string]string{"sha256": record.SHA256, "want": record.SHA256})
	is("export", tagged)
	is("rough_export", all)
	is("rough_stream", inTangle)
	is("problems", []string{"400 bad-query", "404 not-found", "404 unknown-network", "400 bad-parameter"})
	is("cut", true)
	var batch struct {
		Items []struct {
			ID      string
			Places  []query.Place
			Problem *api.Problem
		}
	}
	if err := json.Unmarshal(got["batch"], &batch); err != nil || len(batch.Items) != 2 || batch.Items[0].Places[0].ID != record.ID || batch.Items[1].Problem.Status != http.StatusBadRequest {
		t.Errorf("batch: %v: %s", err, got["batch"])
	}
}

// places are the places of the rows of an export.
func places(t *testing.T, c *client.Client, q string) (all []string) {
	t.Helper()
	var lines strings.Builder
	if _, err := c.Export(t.Context(), client.Export{Query: q, Format: query.NDJSON}, &lines); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines.String()) {
		var r query.Row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Network != "" {
			all = append(all, fmt.Sprintf("%s/%d/%d", r.Network, r.Seq, r.Pos))
		}
	}
	return all
}

// c1 collects what an iterator gives.
func c1[T any](t *testing.T, items func(func(T, error) bool)) (all []T) {
	t.Helper()
	for item, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	if len(all) == 0 {
		t.Fatal("there is nothing")
	}
	return all
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func plainly(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", url, res.StatusCode, err, body)
	}
	return body
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tool runs an outside program, which must end well, and returns what it printed.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errs strings.Builder
	c := exec.CommandContext(t.Context(), name, args...)
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// roughProxy stands for a bad wire: it refuses at first, and cuts exports and streams in the middle, a number of times; an
// export below /cut never gets anywhere.
type roughProxy struct {
	to   *httputil.ReverseProxy
	mu   sync.Mutex
	left map[string]int // cuts to come, by path
	rand *rand.Rand
}

func newRoughProxy(t *testing.T, api string) *httptest.Server {
	t.Helper()
	to, err := neturl.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	p := &roughProxy{
		to:   &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1},
		left: map[string]int{"/v1/info": 1, "/v1/export": 10, "/v1/stream": 30, "/cut/v1/export": 1000}, rand: rand.New(rand.NewPCG(1, 2)),
	}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	return srv
}

func (p *roughProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.left[r.URL.Path]--
	rough, after := p.left[r.URL.Path] >= 0, 2000+p.rand.IntN(40_000)
	p.mu.Unlock()
	switch {
	case !rough:
	case r.URL.Path == "/v1/info":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case strings.HasPrefix(r.URL.Path, "/cut"):
		r.URL.Path, after = "/v1/export", 10
		fallthrough
	default:
		w = &cutting{ResponseWriter: w, left: after}
	}
	p.to.ServeHTTP(w, r)
}

// cutting breaks the connection when it has passed on a number of bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}
