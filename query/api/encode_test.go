package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"permanode/query/access"
)

func TestNegotiate(t *testing.T) {
	for header, want := range map[string]string{
		"": "", "gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip;q=0.9, zstd;q=0.5": "gzip",
		"GZIP": "gzip", "x-gzip": "gzip", "*": "zstd", "*;q=0.1, zstd;q=0": "gzip", "br": "", "gzip;q=0": "", "gzip;q=0, *": "zstd",
		"identity": "", "identity, gzip;q=0.5": "", "identity;q=0.5, gzip": "gzip", "deflate, identity": "",
		"gzip, identity;q=0": "gzip only", "zstd;q=0.1, *;q=0": "zstd only",
		"identity;q=0": "not-acceptable", "*;q=0": "not-acceptable", "br, identity;q=0": "not-acceptable",
		"gzip;q=2": "bad-header", "gzip;q=": "bad-header", "gzip;q=nan": "bad-header", "gzip;level=9": "bad-header", "gzip;q=-1": "bad-header", ",,": "", "gzip,": "gzip",
	} {
		h := http.Header{}
		if header != "" {
			h.Set("Accept-Encoding", header)
		}
		best, p := negotiate(h)
		got := best.name
		if best.only {
			got += " only"
		}
		if p != nil {
			got = strings.TrimPrefix(p.Type, typePrefix)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func plainOf(t *testing.T, coding, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	switch coding {
	case "gzip":
		g, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = g
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", coding, err)
	}
	return string(all)
}

// Whole answers and those that come in pieces arrive as they were, in every encoding; what is not worth it or would not
// become smaller is sent as it is; the entity tag tells encodings apart, and any of them is recognised.
func TestEncodedAnswers(t *testing.T) {
	long := strings.Repeat("a record and another one ", 4000)
	pieces := func(_ context.Context, q *request) (writer, error) {
		return func(w http.ResponseWriter) error {
			h := w.Header()
			h.Set("Content-Type", "text/csv; charset=utf-8")
			h.Set("Trailer", "X-Rows")
			for i := 0; i < len(long); i += 1000 {
				_, _ = io.WriteString(w, long[i:i+1000])
				_ = http.NewResponseController(w).Flush()
			}
			h.Set("X-Rows", "7")
			return nil
		}, nil
	}
	whole := func(cache, contentType, body string) func(context.Context, *request) (writer, error) {
		return func(context.Context, *request) (writer, error) { return kept(cache, contentType, []byte(body)), nil }
	}
	b := newBench(t, Config{}, usual, 100,
		route{http.MethodGet, "/long", nil, access.Anyone, classPlain, whole(cacheForever, "application/json", long)},
		route{http.MethodGet, "/short", nil, access.Anyone, classPlain, whole(cacheForever, "application/json", "{}")},
		route{http.MethodGet, "/bytes", nil, access.Anyone, classPlain, whole(cacheForever, mediaBytes, long)},
		route{http.MethodGet, "/pieces", nil, access.Anyone, classExport, pieces},
	)
	tags := map[string]bool{}
	for _, c := range []struct{ path, accept, encoding, body string }{
		{"/long", "", "", long},
		{"/long", "gzip", "gzip", long},
		{"/long", "zstd, gzip", "zstd", long},
		{"/short", "gzip", "", "{}"},
		{"/bytes", "gzip", "", long},
		{"/short", "gzip, identity;q=0", "gzip", "{}"},
		{"/bytes", "zstd, *;q=0", "zstd", long},
		{"/pieces", "", "", long},
		{"/pieces", "gzip", "gzip", long},
		{"/pieces", "zstd", "zstd", long},
	} {
		res, body, err := b.ask(t, "GET", c.path, "", "Accept-Encoding", c.accept)
		if c.accept == "" {
			res, body, err = b.ask(t, "GET", c.path, "", "Accept-Encoding", "identity")
		}
		if err != nil || res.Header.Get("Content-Encoding") != c.encoding || plainOf(t, c.encoding, body) != c.body {
			t.Fatalf("%s as %q: %v, %d bytes, %v", c.path, c.accept, res.Header, len(body), err)
		}
		if c.encoding != "" && c.body == long && len(body) > len(long)/10 {
			t.Errorf("%s in %s has %d bytes of %d", c.path, c.encoding, len(body), len(long))
		}
		if c.path == "/pieces" {
			if res.Trailer.Get("X-Rows") != "7" {
				t.Errorf("%s in %s: trailers %v", c.path, c.encoding, res.Trailer)
			}
			continue
		}
		if vary := strings.Join(res.Header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Encoding") {
			t.Errorf("%s: Vary %q", c.path, vary)
		}
		tag := res.Header.Get("ETag")
		tags[c.path+tag] = true
		head, empty, err := b.ask(t, "HEAD", c.path, "", "Accept-Encoding", c.accept+",identity")
		if err != nil || empty != "" || head.StatusCode != 200 || head.Header.Get("Cache-Control") != cacheForever {
			t.Errorf("HEAD %s: %d %q %v", c.path, head.StatusCode, empty, err)
		}
		for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*", plainTag(tag)} {
			res, body, err := b.ask(t, "GET", c.path, "", "Accept-Encoding", c.accept, "If-None-Match", match)
			if err != nil || res.StatusCode != http.StatusNotModified || body != "" || res.Header.Get("ETag") == "" || res.Header.Get("Content-Length") != "" || res.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s If-None-Match %s: %d %q %v %v", c.path, match, res.StatusCode, body, res.Header, err)
			}
		}
		for _, other := range []string{`"x"`, strings.Trim(tag, `"`), `"x-gzip"`, ""} {
			if res, _, _ := b.ask(t, "GET", c.path, "", "Accept-Encoding", c.accept, "If-None-Match", other); res.StatusCode != 200 {
				t.Errorf("%s If-None-Match %s: %d", c.path, other, res.StatusCode)
			}
		}
	}
	if len(tags) != 7 {
		t.Errorf("the tags are %v, want one for each encoding", tags)
	}
}

// A flushed piece reaches the client while the answer goes on, encoded or not.
func TestFlushReachesTheClient(t *testing.T) {
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		from := make(chan string)
		b := newBench(t, Config{}, usual, 100, route{http.MethodGet, "/export", nil, access.Anyone, classExport, relay(from)})
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+b.addr+"/export", nil)
		r.Header.Set("Accept-Encoding", coding)
		tr := &http.Transport{}
		go func() { from <- "first" }()
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = res.Body
		switch coding {
		case "gzip":
			body, err = gzip.NewReader(body)
		case "zstd":
			body, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			want := "first\n"
			if i > 0 {
				want = fmt.Sprintln(i)
				from <- fmt.Sprint(i)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(body, got); err != nil || string(got) != want {
				t.Fatalf("%s: %q, %v, want %q", coding, got, err, want)
			}
		}
		close(from)
		if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
			t.Errorf("%s: the end is %q, %v", coding, rest, err)
		}
		res.Body.Close()
		tr.CloseIdleConnections()
	}
}

// What needs a key is no business of shared caches.
func TestKeptAnswersNeedTheKey(t *testing.T) {
	c := Config{Callers: func(*http.Request) (access.Caller, error) { return access.Caller{Name: "k", Role: access.Admin}, nil }}
	b := newBench(t, c, usual, 100,
		route{http.MethodGet, "/kept", nil, access.Reader, classPlain, func(context.Context, *request) (writer, error) {
			return kept(cacheForever, "application/json", []byte("{}")), nil
		}},
		route{http.MethodGet, "/list", nil, access.Reader, classPlain, says("x")},
	)
	res, _, _ := b.ask(t, "GET", "/kept", "")
	if cache, vary := res.Header.Get("Cache-Control"), res.Header.Values("Vary"); cache != "private, max-age=31536000, immutable" || !strings.Contains(strings.Join(vary, ","), "Authorization") {
		t.Errorf("%q, Vary %q", cache, vary)
	}
	if res, _, _ := b.ask(t, "GET", "/list", ""); res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a list: %v", res.Header)
	}
}

func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"gzip, zstd;q=0.5", "*;q=0", "identity;q=0, gzip", ";q=,;", "gzip;q=1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		best, p := negotiate(http.Header{"Accept-Encoding": {s}})
		if p != nil && best.name != "" {
			t.Fatalf("%q is refused and chosen", s)
		}
		if best.name == "" {
			return
		}
		var out bytes.Buffer
		e := best.open(&out)
		_, _ = io.WriteString(e, s)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
