package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// refusing is a listener on whose connections the refusals of net/http itself, which reach no handler, are problems
// like all others: a URL that is not escaped, a header that cannot be read, a transfer coding that nobody knows.
type refusing struct {
	net.Listener
	closed func(net.Conn) // told of each connection that is closed here
}

func (l refusing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &refusingConn{Conn: c, closed: l.closed}, nil
}

type refusingConn struct {
	net.Conn
	closed  func(net.Conn)
	handled atomic.Bool // what is written now is a handler's answer
}

type connKey struct{}

// withConn lets handled find the connection of a request.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// handled marks the answers of h, whose bytes nobody may take for a refusal, and counts those that are in work.
func handled(h http.Handler, running *sync.WaitGroup) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Done()
		if c, ok := r.Context().Value(connKey{}).(*refusingConn); ok {
			c.handled.Store(true)
		}
		h.ServeHTTP(w, r)
	})
}

// answered ends the mark: net/http calls a connection idle after each whole answer.
func answered(c net.Conn, state http.ConnState) {
	if c, ok := c.(*refusingConn); ok && state == http.StateIdle {
		c.handled.Store(false)
	}
}

// Write passes answers on. A refusal of net/http comes in one piece, before any handler.
func (c *refusingConn) Write(b []byte) (int, error) {
	var p *Problem
	if !c.handled.Load() {
		p = refusal(b)
	}
	if p == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(p.wire(requestID())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Read tells who speaks plain HTTP to a service with TLS what is wrong.
func (c *refusingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && plain.Conn != nil && bytes.ContainsAny(plain.RecordHeader[:1], "GHPOCDT") {
		_, _ = plain.Conn.Write(problem("bad-request", "this service speaks TLS: begin its address with https://").wire(requestID()))
	}
	return n, err
}

// Close ends it. Of a connection that was taken over, nobody else tells the end.
func (c *refusingConn) Close() error {
	err := c.Conn.Close()
	c.closed(c)
	return err
}

// CloseWrite lets net/http end its side first, so that the refusal arrives although the request was not read.
func (c *refusingConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// plainRefusal stands between the status line and the text of what net/http refuses by itself.
const plainRefusal = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// refusal returns what a refusal of net/http says, as a problem; nil for every other piece of an answer.
func refusal(b []byte) *Problem {
	if bytes.HasPrefix(b, []byte("HTTP/1.1 417 ")) {
		return problem("bad-header", "this API meets no expectation but 100-continue: leave the Expect header out")
	}
	status, ok := strings.CutPrefix(string(b[:min(len(b), 256)]), "HTTP/1.1 ")
	if !ok {
		return nil
	}
	status, _, ok = strings.Cut(status, plainRefusal)
	if !ok || strings.Contains(status, "\r\n") {
		return nil
	}
	_, why, ok := strings.Cut(status, ": ")
	if ok {
		why = " (" + why + ")"
	}
	switch code, _, _ := strings.Cut(status, " "); code {
	case "431":
		return problem("headers-too-large", "the headers have more than %d bytes, the most is %d", maxRead, maxHeader)
	case "501":
		return problem("bad-header", "the Transfer-Encoding is unknown, and no route takes a body: leave it out")
	case "505":
		return problem("bad-request", "the HTTP version is unknown%s: speak HTTP/1.1", why)
	}
	return problem("bad-request", "the request cannot be read as HTTP/1.1%s: escape what is special in the URL (%%20 is a space, %%25 a percent sign), and send one Host header and no malformed ones", why)
}

// wire is p as a whole answer, behind which the connection is closed.
func (p *Problem) wire(id string) []byte {
	body := p.encode(id)
	r := http.Response{
		StatusCode: p.Status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{
			"Content-Type": {problemMedia}, "Cache-Control": {"no-store"}, "X-Request-Id": {id}, "X-Content-Type-Options": {"nosniff"},
		},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	var out bytes.Buffer
	_ = r.Write(&out) // a buffer takes all
	return out.Bytes()
}
