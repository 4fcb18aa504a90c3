package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/query/access"
)

// crowd runs f n times, many at once.
func crowd(n int, f func(i int)) {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 64)
	for i := range n {
		gate <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-gate; wg.Done() }()
			f(i)
		}()
	}
	wg.Wait()
}

// 10,000 connections that say nothing, and as many that are reset in the middle of a request, keep nobody out and
// leave nothing behind.
func TestCrowdsThatSayNothing(t *testing.T) {
	const size, most = 10_000, 200
	b := newBench(t, Config{}, usual, most,
		route{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")},
		route{http.MethodGet, "/stream", nil, access.Anyone, classStream, relay(make(chan string))},
	)
	before := runtime.NumGoroutine()
	var idle sync.Map
	crowd(size, func(i int) {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Error(err)
			return
		}
		if old, ok := idle.Swap(i%(2*most), c); ok { // twice the limit is open at any time
			old.(net.Conn).Close()
		}
	})
	if _, body, err := b.ask(t, "GET", "/a", ""); err != nil || body != "a" {
		t.Errorf("beside idle connections: %q, %v", body, err)
	}
	idle.Range(func(_, c any) bool { c.(net.Conn).Close(); return true })
	crowd(size, func(i int) {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, [...]string{"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a HTTP/1.1\r\nHo", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03"}[i%4])
		_ = c.(*net.TCPConn).SetLinger(0) // a reset
		c.Close()
	})
	if _, body, err := b.ask(t, "GET", "/a", ""); err != nil || body != "a" {
		t.Errorf("after resets: %q, %v", body, err)
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+10; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
	if log := b.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "panic") {
		t.Errorf("the log says %.500s", log)
	}
}

// What a stranger sends stays in one line of the log, whatever it holds.
func TestLogTakesNoLines(t *testing.T) {
	b := newBench(t, Config{}, usual, 100, route{http.MethodGet, "/a/{x}", nil, access.Anyone, classPlain, func(_ context.Context, q *request) (writer, error) {
		panic("a bug with " + q.vars["x"] + q.params["y"] + q.header.Get("X-A"))
	}})
	b.routes[0].params = []string{"y"}
	forged := "%0atime=2026-01-01T00:00:00Z%20level=ERROR%20msg=forged"
	_, _, _ = b.ask(t, "GET", "/a/b?y=x"+forged, "", "X-A", "c")
	_, _, _ = b.ask(t, "GET", "/a/"+forged, "")
	for line := range strings.Lines(b.log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.HasPrefix(line, "time=2026-01-01T00") {
			t.Errorf("a line of the log is %q", line)
		}
	}
}

// TLS: the files of a certificate, HTTP/1.1 alone, and who speaks plain HTTP is told.
func TestOverTLS(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	cert := pair.TLS.Certificates[0]
	roots := pair.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	pair.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := &bench{log: &syncBuffer{}}
	b.service = Handler(Config{}).(*service)
	b.routes = []route{{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")}}
	ended := make(chan error, 1)
	ln := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}})
	go func() { ended <- Serve(ctx, ln, b.service, testLog(t)) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+plain.Addr().String()+"/a", nil)
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "a" || res.ProtoMajor != 1 {
		t.Errorf("%s %q", res.Proto, body)
	}
	status, body := wireAnswer(t, plain.Addr().String(), "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	if !strings.HasPrefix(status, "400") || kindOf(t, body) != "bad-request" || !strings.Contains(body, "https://") {
		t.Errorf("plain HTTP: %s %s", status, body)
	}
	c := dial(t, plain.Addr().String())
	_, _ = io.WriteString(c, "\x00\x01\x02 no TLS and no HTTP\r\n\r\n")
	if got, err := io.ReadAll(bufio.NewReader(c)); err == nil && strings.HasPrefix(string(got), "HTTP/") {
		t.Errorf("noise is answered with %q", got)
	}
}
