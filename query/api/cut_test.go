package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"permanode/query/access"
)

// Over HTTP/1.0 the end of a connection is that of the answer: what was cut has to reset it, in the clear and below TLS, by
// an error, a bug, a handler that gives up and by the end of the process. What is whole ends well. Trailers are not
// promised where none can come.
func TestCutAnswersOfOldHTTP(t *testing.T) {
	send := func(pieces int, then func(*request) error) func(context.Context, *request) (writer, error) {
		return func(_ context.Context, q *request) (writer, error) {
			return func(w http.ResponseWriter) error {
				w.Header().Set("Trailer", "X-Rows")
				for range pieces {
					if _, err := io.WriteString(w, strings.Repeat("row\n", 100)); err != nil {
						return err
					}
					if err := http.NewResponseController(w).Flush(); err != nil {
						return err
					}
				}
				if pieces > 0 {
					w.Header().Set("X-Rows", "1")
				}
				return then(q)
			}, nil
		}
	}
	whole := func(*request) error { return nil }
	routes := []route{
		{http.MethodGet, "/whole", nil, access.Anyone, classExport, send(3, whole)},
		{http.MethodGet, "/stream", nil, access.Anyone, classStream, send(3, whole)},
		{http.MethodGet, "/none", nil, access.Anyone, classExport, send(0, func(*request) error { return problem("corrupt", "no byte was sent") })},
		{http.MethodGet, "/error", nil, access.Anyone, classExport, send(3, func(*request) error { return errors.New("cut") })},
		{http.MethodGet, "/bug", nil, access.Anyone, classExport, send(3, func(*request) error { panic("bug") })},
		{http.MethodGet, "/abort", nil, access.Anyone, classExport, send(3, func(*request) error { panic(http.ErrAbortHandler) })},
		{http.MethodGet, "/killed", nil, access.Anyone, classExport, send(3, func(q *request) error {
			return errors.Join(errors.New("killed"), underneath(q.http.Context()).Close()) // as the kernel does it
		})},
	}
	b := newBench(t, Config{}, usual, 100, routes...)
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS()
	cert, roots := pair.TLS.Certificates[0], pair.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	pair.Close()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), b.service, testLog(t))
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		path  string
		whole bool
	}{{"/whole", true}, {"/stream", true}, {"/none", true}, {"/error", false}, {"/bug", false}, {"/abort", false}, {"/killed", false}} {
		for _, wire := range []string{"in the clear", "by TLS"} {
			conn := dial(t, b.addr)
			if wire == "by TLS" {
				conn = tls.Client(dial(t, plain.Addr().String()), &tls.Config{RootCAs: roots, ServerName: "example.com"})
			}
			_, _ = io.WriteString(conn, "GET "+c.path+" HTTP/1.0\r\n\r\n")
			text, err := io.ReadAll(conn)
			if (err == nil) != c.whole {
				t.Errorf("%s %s: %d bytes, it ends with %v", c.path, wire, len(text), err)
			}
			if c.whole && c.path != "/none" && strings.Count(string(text), "row\n") != 300 {
				t.Errorf("%s %s: %q is not all of it", c.path, wire, text)
			}
			if strings.Contains(string(text), "Trailer") || strings.Contains(string(text), "X-Rows") {
				t.Errorf("%s %s promises trailers: %.300s", c.path, wire, text)
			}
		}
	}
}
