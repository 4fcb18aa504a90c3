package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/query/access"
)

// bench is an API of the routes of a test, on a real socket, with short times.
type bench struct {
	*service
	addr string
	log  *syncBuffer
	stop func() error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t *testing.T, c Config, short times, connections int, routes ...route) *bench {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{addr: ln.Addr().String(), log: &syncBuffer{}}
	c.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.service = Handler(c).(*service)
	b.routes, b.times = routes, short
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln, b.service, c.Log, short, connections) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// ask sends a request on a connection of its own.
func (b *bench) ask(t *testing.T, method, path, body string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers) && headers[i] != ""; i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(r)
	if err != nil {
		return &http.Response{}, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

func says(s string) func(context.Context, *request) (writer, error) {
	return func(context.Context, *request) (writer, error) {
		return send(http.StatusOK, "text/plain", []byte(s)), nil
	}
}

// relay writes each text that comes, and flushes it, until the channel is closed or the context ends.
func relay(from <-chan string) func(context.Context, *request) (writer, error) {
	return func(ctx context.Context, _ *request) (writer, error) {
		return func(w http.ResponseWriter) error {
			w.Header().Set("Content-Type", "application/x-ndjson")
			for {
				select {
				case s, ok := <-from:
					if !ok {
						return nil
					}
					_, _ = io.WriteString(w, s+"\n")
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
				case <-ctx.Done():
					_, _ = io.WriteString(w, context.Cause(ctx).Error()+"\n")
					return context.Cause(ctx)
				}
			}
		}, nil
	}
}

func kindOf(t *testing.T, body string) string {
	t.Helper()
	var p Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return "no problem: " + body
	}
	return strings.TrimPrefix(p.Type, typePrefix)
}

func TestMethodsAndBodies(t *testing.T) {
	echo := func(_ context.Context, q *request) (writer, error) {
		return send(http.StatusOK, "text/plain", q.body), nil
	}
	b := newBench(t, Config{}, usual, 100,
		route{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("hello")},
		route{http.MethodPost, "/b", nil, access.Anyone, classPlain, echo},
		route{http.MethodPost, "/c/{x}", nil, access.Anyone, classPlain, echo},
		route{http.MethodGet, "/c/{x}", nil, access.Anyone, classPlain, says("c")},
	)
	for _, c := range []struct {
		method, path, body, header, value string
		status                            int
		want, allow                       string
	}{
		{"GET", "/a", "", "", "", 200, "hello", ""},
		{"HEAD", "/a", "", "", "", 200, "", ""},
		{"GET", "/a", "", "X-HTTP-Method-Override", "POST", 200, "hello", ""},
		{"OPTIONS", "/a", "", "", "", 204, "", "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/b", "", "", "", 204, "", "POST, OPTIONS"},
		{"OPTIONS", "/c/1", "", "", "", 204, "", "POST, GET, HEAD, OPTIONS"},
		{"OPTIONS", "/a", "x", "", "", 400, "unexpected-body", "GET, HEAD, OPTIONS"},
		{"POST", "/a", "", "", "", 405, "method-not-allowed", "GET, HEAD, OPTIONS"},
		{"GET", "/b", "", "", "", 405, "method-not-allowed", "POST, OPTIONS"},
		{"DELETE", "/b", "x", "", "", 405, "method-not-allowed", "POST, OPTIONS"},
		{"BREW", "/nowhere", "", "", "", 405, "method-not-allowed", "GET, HEAD, POST, OPTIONS"},
		{"POST", "/nowhere", "", "", "", 404, "no-such-route", ""},
		{"OPTIONS", "/nowhere", "", "", "", 404, "no-such-route", ""},
		{"POST", "/b", "some bytes", "", "", 200, "some bytes", ""},
		{"POST", "/c/1", "", "", "", 200, "", ""},
		{"POST", "/b", "x", "Content-Encoding", "gzip", 415, "unsupported-media-type", ""},
		{"POST", "/b", strings.Repeat("x", maxBody), "", "", 200, strings.Repeat("x", maxBody), ""},
	} {
		res, body, err := b.ask(t, c.method, c.path, c.body, c.header, c.value)
		if c.status >= 400 {
			body = kindOf(t, body)
		}
		if err != nil || res.StatusCode != c.status || body != c.want || res.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d %.80q, Allow %q, %v; want %d %.80q, Allow %q", c.method, c.path, res.StatusCode, body, res.Header.Get("Allow"), err, c.status, c.want, c.allow)
		}
	}
	// Refused by its length alone: nothing of it is sent, so that no reset overtakes the answer.
	status, body := wireAnswer(t, b.addr, fmt.Sprintf("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxBody+1))
	if !strings.HasPrefix(status, "413 ") || kindOf(t, body) != "body-too-large" {
		t.Errorf("a body that is too long: %s %s", status, body)
	}
}

// Bodies that do not end are ended.
func TestSlowAndEndlessBodies(t *testing.T) {
	short := usual
	short.body, short.header = 100*time.Millisecond, 100*time.Millisecond
	b := newBench(t, Config{}, short, 100, route{http.MethodPost, "/b", nil, access.Anyone, classPlain, says("unreached")})
	for _, c := range []struct{ name, request, status, kind string }{
		{"length that lies", "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nshort", "408", "body-timeout"},
		{"expectation that is not met", "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n", "408", "body-timeout"},
		{"chunks without end", "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "408", "body-timeout"},
		{"no chunks", "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "400", "bad-body"},
		{"a stream of chunks", "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 17), "413", "body-too-large"},
	} {
		status, body := wireAnswer(t, b.addr, c.request)
		if !strings.HasPrefix(status, c.status) || kindOf(t, body) != c.kind {
			t.Errorf("%s: %s %s, want %s %s", c.name, status, body, c.status, c.kind)
		}
	}
	// Headers that do not end are not answered: the connection ends.
	c := dial(t, b.addr)
	_, _ = io.WriteString(c, "GET /b HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Errorf("a slow header got %q, %v", got, err)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// wireAnswer sends bytes as they are.
func wireAnswer(t *testing.T, addr, request string) (status, body string) {
	t.Helper()
	c := dial(t, addr)
	_, _ = io.WriteString(c, request)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err == nil && res.StatusCode == http.StatusContinue {
		res, err = http.ReadResponse(r, nil)
	}
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer res.Body.Close()
	all, _ := io.ReadAll(res.Body)
	return res.Status, string(all)
}

// A handler has its time; an export has as long as it goes on, and a plain answer is not kept waiting by exports.
func TestClassesHaveTheirTimes(t *testing.T) {
	short := usual
	short.handler = 50 * time.Millisecond // and 10 s of a body: a busy machine must not miss the deadline of writing
	from, other := make(chan string), make(chan string)
	b := newBench(t, Config{Rates: Rates{Exports: 2}}, short, 100,
		route{http.MethodGet, "/export", nil, access.Anyone, classExport, relay(from)},
		route{http.MethodGet, "/other", nil, access.Anyone, classExport, relay(other)},
		route{http.MethodGet, "/plain", nil, access.Anyone, classPlain, says("plain")},
		route{http.MethodGet, "/slow", nil, access.Anyone, classPlain, func(ctx context.Context, _ *request) (writer, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	)
	if res, body, _ := b.ask(t, "GET", "/slow", ""); res.StatusCode != 503 || kindOf(t, body) != "timeout" || res.Header.Get("Retry-After") == "" {
		t.Errorf("slow: %d %s", res.StatusCode, body)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	begin := func(path string) *http.Response {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+b.addr+path, nil)
		res, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	started := make(chan *http.Response)
	go func() { started <- begin("/export") }()
	from <- "0"
	one := <-started
	defer one.Body.Close()
	r := bufio.NewReader(one.Body)
	for i := range 6 { // well beyond the time of a handler
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
			t.Fatalf("line %d: %q, %v", i, line, err)
		}
		time.Sleep(30 * time.Millisecond)
		from <- fmt.Sprint(i + 1)
	}
	go func() { started <- begin("/other") }()
	other <- "x"
	two := <-started
	defer two.Body.Close()
	if res, body, _ := b.ask(t, "GET", "/export", ""); res.StatusCode != 429 || kindOf(t, body) != "rate-limited" || res.Header.Get("Retry-After") != "1" {
		t.Errorf("a third export: %d %s", res.StatusCode, body)
	}
	if _, body, _ := b.ask(t, "GET", "/plain", ""); body != "plain" {
		t.Errorf("beside exports: %s", body)
	}
	close(from)
	close(other)
	for _, res := range []*http.Response{one, two} {
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Error(err)
		}
	}
}

// Who takes nothing of an export loses it, and it is cut so that nobody takes it for whole.
func TestExportWithoutProgress(t *testing.T) {
	short := usual
	short.export = 200 * time.Millisecond
	ended := make(chan error, 1)
	b := newBench(t, Config{}, short, 100, route{http.MethodGet, "/export", nil, access.Anyone, classExport, func(context.Context, *request) (writer, error) {
		return func(w http.ResponseWriter) (err error) {
			for piece := make([]byte, 1<<16); err == nil; {
				_, err = w.Write(piece)
			}
			ended <- err
			return err
		}, nil
	}})
	c := dial(t, b.addr)
	_, _ = io.WriteString(c, "GET /export HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := <-ended; err == nil {
		t.Error("it never failed")
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the client thinks that it has all of it")
	}
}

// What fails in the middle, by error or by bug, breaks the connection; before the first byte it is a problem.
func TestCutAnswersAreNotWhole(t *testing.T) {
	fail := func(first string, how func() error) func(context.Context, *request) (writer, error) {
		return func(context.Context, *request) (writer, error) {
			return func(w http.ResponseWriter) error {
				h := w.Header()
				h.Set("ETag", `"x"`)
				if first != "" {
					_, _ = io.WriteString(w, first)
				}
				return how()
			}, nil
		}
	}
	broken := func() error { return errors.New("a secret path") }
	bug := func() error { panic("bug") }
	b := newBench(t, Config{}, usual, 100,
		route{http.MethodGet, "/late", nil, access.Anyone, classExport, fail("some", broken)},
		route{http.MethodGet, "/latebug", nil, access.Anyone, classExport, fail("some", bug)},
		route{http.MethodGet, "/abort", nil, access.Anyone, classExport, fail("some", func() error { panic(http.ErrAbortHandler) })},
		route{http.MethodGet, "/early", nil, access.Anyone, classExport, fail("", broken)},
		route{http.MethodGet, "/earlybug", nil, access.Anyone, classExport, fail("", bug)},
	)
	for _, path := range []string{"/late", "/latebug", "/abort"} {
		for _, coding := range []string{"identity", "gzip", "zstd"} {
			if res, body, err := b.ask(t, "GET", path, "", "Accept-Encoding", coding); err == nil {
				t.Errorf("%s in %s: %d %q looks whole", path, coding, res.StatusCode, body)
			}
		}
	}
	for _, path := range []string{"/early", "/earlybug"} {
		res, body, err := b.ask(t, "GET", path, "")
		if err != nil || res.StatusCode != 500 || kindOf(t, body) != "internal" || res.Header.Get("ETag") != "" || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s %v", path, res.StatusCode, body, err)
		}
	}
	if log := b.log.String(); strings.Count(log, "request panicked") != 4 || strings.Contains(log, "abort") {
		t.Errorf("the log has not each bug once: %s", log)
	}
}

// When the service stops, streams end at once with the reason, exports are cut, and nothing runs on.
func TestStopEndsWhatIsLong(t *testing.T) {
	never := make(chan string)
	first := make(chan string, 2)
	b := newBench(t, Config{}, usual, 100,
		route{http.MethodGet, "/stream", nil, access.Anyone, classStream, func(ctx context.Context, _ *request) (writer, error) {
			return func(w http.ResponseWriter) error {
				_, _ = io.WriteString(w, "hello\n")
				_ = http.NewResponseController(w).Flush()
				first <- ""
				<-ctx.Done()
				_, err := io.WriteString(w, context.Cause(ctx).Error()+"\n")
				return err
			}, nil
		}},
		route{http.MethodGet, "/export", nil, access.Anyone, classExport, relay(never)},
	)
	type got struct {
		body string
		err  error
	}
	answers := make(chan got, 1)
	go func() {
		_, body, err := b.ask(t, "GET", "/stream", "")
		answers <- got{body, err}
	}()
	<-first
	begin := time.Now()
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > usual.stop/2 {
		t.Errorf("the stop took %s", took)
	}
	if a := <-answers; a.err != nil || a.body != "hello\n"+errClosing.Error()+"\n" {
		t.Errorf("the stream ended with %q, %v", a.body, a.err)
	}
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.DiscardHandler)
}
