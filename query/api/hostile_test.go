package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	neturl "net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/openapitest"
	"permanode/query/querytest"
)

// hostile is a service on a real socket, and a place for its log. Requests are written as bytes: nothing on the way
// repairs them.
type hostile struct {
	t     *testing.T
	spec  *openapitest.Spec
	addr  string
	log   safeBuffer
	asked int
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newHostile(t *testing.T, a *query.Archive) *hostile {
	t.Helper()
	s := &hostile{t: t, spec: openapitest.Load(t)}
	log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- api.Serve(ctx, ln, api.Handler(api.Config{Archive: a, Version: "v0", Log: log}), log)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.checkLog()
	})
	s.addr = ln.Addr().String()
	return s
}

// checkLog looks for lines that a request wrote: each begins as the handler of the log makes it.
func (s *hostile) checkLog() {
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x1b\x00") {
			s.t.Errorf("a request wrote into the log: %q", line)
		}
	}
}

// request is what is sent.
type request struct {
	method, target string
	headers        []string
	body           string
}

func (r request) String() string {
	text := r.method + " " + r.target
	if len(r.headers) > 0 {
		text += fmt.Sprintf(" %q", r.headers)
	}
	if r.body != "" {
		text += fmt.Sprintf(" with %q", r.body[:min(len(r.body), 60)])
	}
	return text[:min(len(text), 300)]
}

func (r request) wire() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", r.method, r.target)
	for _, h := range r.headers {
		b.WriteString(h + "\r\n")
	}
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n" + r.body)
	return b.Bytes()
}

// ask sends r on a connection of its own.
func (s *hostile) ask(r request) (querytest.Answer, time.Duration) {
	s.t.Helper()
	s.asked++
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	began := time.Now()
	if _, err := c.Write(r.wire()); err != nil {
		s.t.Fatalf("%s: %v", r, err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: r.method})
	if err != nil {
		s.t.Fatalf("%s: %v", r, err)
	}
	took := time.Since(began)
	switch { // to close a body is to read it
	case res.StatusCode == http.StatusSwitchingProtocols:
		return querytest.Answer{Status: res.StatusCode, Header: res.Header, Body: nil}, took
	case strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") && r.method != http.MethodHead:
		return querytest.Answer{Status: res.StatusCode, Header: res.Header, Body: firstEvent(s.t, res.Body)}, took
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s: %v after %q", r, err, body)
	}
	return querytest.Answer{Status: res.StatusCode, Header: res.Header, Body: body}, took
}

// firstEvent reads a stream up to the end of its first event.
func firstEvent(t *testing.T, stream io.Reader) []byte {
	t.Helper()
	var all []byte
	for lines := bufio.NewReader(stream); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("a stream ended: %v after %q", err, all)
		}
		all = append(all, line...)
		if len(line) == 1 && bytes.Contains(all, []byte("\ndata: ")) {
			return all
		}
	}
}

// patience is how long a refusal may take. A machine that is busy with other things is asked again: the quickest of a
// few answers counts. The race detector alone makes reading a megabyte of brackets take that long.
var patience = map[bool]time.Duration{false: 50 * time.Millisecond, true: time.Second}[race.Enabled]

// refused wants a problem of the description, of 4xx, quickly; of the type want, unless that is empty.
func (s *hostile) refused(r request, want string) {
	s.t.Helper()
	got, took := s.ask(r)
	for range 4 {
		if took <= patience {
			break
		}
		_, again := s.ask(r)
		took = min(took, again)
	}
	if took > patience {
		s.t.Errorf("%s: refused in %s", r, took)
	}
	if got.Status < 400 || got.Status > 499 {
		s.t.Errorf("%s: %d %.200s", r, got.Status, got.Body)
		return
	}
	s.fine(r, got)
	if r.method == http.MethodHead {
		return
	}
	var p api.Problem
	if err := json.Unmarshal(got.Body, &p); err != nil || p.Instance != got.Header.Get("X-Request-Id") || p.Status != got.Status {
		s.t.Errorf("%s: %v: %.300s", r, err, got.Body)
	}
	if kind := strings.TrimPrefix(p.Type, "urn:permanode:problem:"); want != "" && kind != want {
		s.t.Errorf("%s: %s, want %s: %s", r, kind, want, p.Detail)
	}
}

// fine wants an answer as it is described, without anything of the service's inside or of the request's making.
func (s *hostile) fine(r request, got querytest.Answer) {
	s.t.Helper()
	if got.Status >= 500 && got.Status != http.StatusServiceUnavailable {
		s.t.Errorf("%s: %d %.300s", r, got.Status, got.Body)
	}
	if u, err := neturl.Parse(r.target); err == nil {
		if err := s.spec.Check(r.method, u, got.Status, got.Header, got.Body); err != nil {
			s.t.Errorf("%s: %v", r, err)
		}
	}
	if got.Header.Get("Injected") != "" || got.Header.Get("X-Request-Id") == "" {
		s.t.Errorf("%s: headers %v", r, got.Header)
	}
	if got.Status >= 400 {
		for _, inner := range []string{"goroutine ", ".go:", "runtime.", "panic"} {
			if bytes.Contains(got.Body, []byte(inner)) {
				s.t.Errorf("%s: the answer has %q: %s", r, inner, got.Body)
			}
		}
	}
}
