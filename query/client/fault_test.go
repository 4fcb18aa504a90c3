package client_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/client"
	"permanode/storage"
)

// answers gives one after the other, the last one forever.
func answers(all ...http.HandlerFunc) (http.Handler, *atomic.Int64) {
	var asked atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(asked.Add(1)) - 1
		all[min(i, len(all)-1)](w, r)
	}), &asked
}

func said(status int, header http.Header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func no(status int, kind, after string) http.HandlerFunc {
	body, _ := json.Marshal(api.Problem{Type: "urn:permanode:problem:" + kind, Status: status, Detail: "no, because of " + kind})
	h := http.Header{"Content-Type": {"application/problem+json"}}
	if after != "" {
		h.Set("Retry-After", after)
	}
	return said(status, h, string(body))
}

var (
	asJSON = http.Header{"Content-Type": {"application/json"}}
	yes    = said(200, asJSON, `{"name":"permanode","version":"v1","networks":[]}`)
	page   = http.Header{"Content-Type": {"text/html; charset=utf-8"}}
)

// A service that asks for patience is asked again, after as long as it said and a little more, and not forever; one that
// says no for another reason is not.
func TestPatience(t *testing.T) {
	stranger := func(status int, after string) http.HandlerFunc {
		h := page.Clone()
		if after != "" {
			h.Set("Retry-After", after)
		}
		return said(status, h, "<html>later</html>")
	}
	date := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	for name, test := range map[string]struct {
		answers  []http.HandlerFunc
		want     error // nil: it is answered
		asked    int64
		min, max time.Duration // of each wait
	}{
		"429":                         {[]http.HandlerFunc{no(429, "rate-limited", "3"), yes}, nil, 2, 3 * time.Second, 4 * time.Second},
		"429 of a proxy":              {[]http.HandlerFunc{stranger(429, "2"), yes}, nil, 2, 2 * time.Second, 3 * time.Second},
		"overloaded":                  {[]http.HandlerFunc{no(503, "overloaded", "5"), no(503, "overloaded", "5"), yes}, nil, 3, 5 * time.Second, 7 * time.Second},
		"503 of a proxy, with a date": {[]http.HandlerFunc{stranger(503, date), yes}, nil, 2, 20 * time.Second, 38 * time.Second},
		"429 without a time":          {[]http.HandlerFunc{no(429, "rate-limited", ""), no(429, "rate-limited", "-1"), yes}, nil, 3, 500 * time.Millisecond, 3 * time.Second},
		"429 for ever":                {[]http.HandlerFunc{no(429, "rate-limited", "1")}, client.ErrBusy, 8, time.Second, 2 * time.Second},
		"429 for a day":               {[]http.HandlerFunc{no(429, "rate-limited", "86400"), yes}, client.ErrBusy, 1, 0, 0},
		"503 for another reason":      {[]http.HandlerFunc{no(503, "no-index", "5"), yes}, query.ErrNoIndex, 1, 0, 0},
		"503 of a proxy, no time":     {[]http.HandlerFunc{stranger(503, ""), yes}, errStranger, 1, 0, 0},
		"500":                         {[]http.HandlerFunc{no(500, "corrupt", ""), yes}, storage.ErrCorrupt, 1, 0, 0},
		"401":                         {[]http.HandlerFunc{no(401, "unauthorized", ""), yes}, client.ErrForbidden, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h, asked := answers(test.answers...)
			c := serve(t, h)
			client.Counting(c, func(d time.Duration) {
				if d < test.min || d > test.max {
					t.Errorf("waited %s, want %s to %s", d, test.min, test.max)
				}
			})
			_, err := c.Info(t.Context())
			var none *client.NoServiceError
			if !(errors.Is(err, test.want) || test.want == errStranger && errors.As(err, &none)) || asked.Load() != test.asked {
				t.Errorf("asked %d times, want %d: %v, want %v", asked.Load(), test.asked, err, test.want)
			}
		})
	}
	h, asked := answers(no(429, "rate-limited", "1"))
	c := serve(t, h, client.WithAttempts(1))
	if _, err := c.Info(t.Context()); !errors.Is(err, client.ErrBusy) || asked.Load() != 1 {
		t.Errorf("with one attempt: %v after %d", err, asked.Load())
	}
	ctx, stop := context.WithCancel(t.Context())
	client.Counting(c, func(time.Duration) { stop() })
	if _, err := client.Counting(serve(t, h), func(time.Duration) { stop() }).Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while it waits: %v", err)
	}
}

var errStranger = errors.New("no permanode")

// What is no answer of a permanode is said to be none, with what to do.
func TestStrangers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"page":                  said(200, page, "<html>welcome</html>"),
		"page of a proxy":       said(502, page, "<html>bad gateway</html>"),
		"nothing":               said(200, asJSON, ""),
		"another shape":         said(200, asJSON, `["permanode"]`),
		"broken JSON":           said(200, asJSON, `{"name":`),
		"404 of another":        said(404, http.Header{"Content-Type": {"text/plain"}}, "404 page not found"),
		"a problem of another":  said(404, http.Header{"Content-Type": {"application/problem+json"}}, `{"type":"about:blank","detail":"x","status":404}`),
		"problem without words": said(404, http.Header{"Content-Type": {"application/problem+json"}}, `{"type":"urn:permanode:problem:not-found"}`),
		"problem as page":       said(404, page, `{"type":"urn:permanode:problem:not-found","detail":"x"}`),
		"204":                   said(204, asJSON, ""),
		"huge problem":          said(404, http.Header{"Content-Type": {"application/problem+json"}}, strings.Repeat(" ", 5<<20)+`{"type":"urn:permanode:problem:not-found","detail":"x"}`),
		"huge answer":           said(200, asJSON, `{"name":"`+strings.Repeat("x", 2<<20)+`"}`),
		"it hangs up":           func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"name":"permanode"}`)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := client.Bounded(serve(t, h), 1<<20)
			_, err := c.Info(t.Context())
			var none *client.NoServiceError
			if !errors.As(err, &none) || none.Hint() == "" || errors.Is(err, storage.ErrNotFound) || len(err.Error()) > 600 {
				t.Errorf("%v", err)
			}
		})
	}
	srv := httptest.NewServer(yes)
	srv.Close()
	if _, err := clientOf(t, srv.URL).Info(t.Context()); !isNoService(err) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func isNoService(err error) bool {
	var none *client.NoServiceError
	return errors.As(err, &none)
}

// An answer that breaks off is asked for once more.
func TestBrokenAnswerIsAskedAgain(t *testing.T) {
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "49")
		_, _ = io.WriteString(w, `{"name":"permanode"`)
		panic(http.ErrAbortHandler)
	}
	h, asked := answers(half, yes)
	if got, err := serve(t, h).Info(t.Context()); err != nil || got.Version != "v1" || asked.Load() != 2 {
		t.Errorf("%v, %v after %d", got, err, asked.Load())
	}
	h, asked = answers(half)
	if _, err := serve(t, h).Info(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || asked.Load() != 2 {
		t.Errorf("%v after %d", err, asked.Load())
	}
}

// A service that says nothing, or stops within an answer, is not waited for longer than said.
func TestSlowService(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-release },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"name":`)
			_ = http.NewResponseController(w).Flush()
			<-release
		},
		"half a problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			_ = http.NewResponseController(w).Flush()
			<-release
		},
	} {
		srv := httptest.NewServer(h)
		c := clientOf(t, srv.URL, client.WithTimeout(30*time.Millisecond))
		if _, err := c.Info(t.Context()); !isNoService(err) || !strings.Contains(err.Error(), "in time") && !strings.Contains(err.Error(), "no answer of") {
			t.Errorf("%s: %v", name, err)
		}
		t.Cleanup(srv.Close)
	}
}

// A key goes to the host that it was given for and to no other, and into no message.
func TestKeyStaysAtHome(t *testing.T) {
	const secret = "pn_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{other.URL + "/v1/info", "/v1/elsewhere", "//evil.invalid/"} {
			var keys atomic.Int64
			h, asked := answers(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer "+secret {
					keys.Add(1)
				}
				http.Redirect(w, r, to, status)
			})
			_, err := serve(t, h, client.WithKey(secret)).Info(t.Context())
			if !isNoService(err) || asked.Load() != 1 || keys.Load() != 1 || strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) || !strings.Contains(err.Error(), "to ") {
				t.Errorf("%d to %s: asked %d, keys %d, %v", status, to, asked.Load(), keys.Load(), err)
			}
		}
	}
	if elsewhere.Load() != 0 {
		t.Errorf("another host was asked %d times", elsewhere.Load())
	}
	h, _ := answers(no(401, "unauthorized", ""))
	_, err := serve(t, h).Info(t.Context())
	var p *client.Problem
	if !errors.As(err, &p) || !strings.Contains(p.Hint(), "--key-file") {
		t.Errorf("without a key: %v", err)
	}
}

// Keys come from files; what is none is refused without showing it.
func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var got atomic.Value
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		yes(w, r)
	})
	if _, err := serve(t, h, client.WithKeyFile(file("good", "pn_hidden\r\n"))).Info(t.Context()); err != nil || got.Load() != "Bearer pn_hidden" {
		t.Errorf("%v, %v", got.Load(), err)
	}
	for name, path := range map[string]string{
		"absent": filepath.Join(dir, "none"), "folder": dir, "empty": file("empty", "\n"), "two": file("two", "pn_hidden\npn_hidden\n"),
		"control": file("control", "pn_hid\x00den"), "spaces": file("spaces", "pn hidden"), "not ASCII": file("utf", "pn_hiddén"), "large": file("large", strings.Repeat("pn_hidden", 1000)),
	} {
		_, err := client.New("http://127.0.0.1:1", client.WithKeyFile(path))
		if err == nil || strings.Contains(err.Error(), "hid") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.New("http://127.0.0.1:1", client.WithKey("")); err == nil {
		t.Error("an empty key was taken")
	}
}

// Addresses that are none are refused before anybody is asked.
func TestAddresses(t *testing.T) {
	for _, base := range []string{
		"", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://user:pass@127.0.0.1", "http://127.0.0.1/v1", "http://127.0.0.1?x=1", "http://127.0.0.1#x",
		"http://[::1", "unix:///x", "http:127.0.0.1", "//127.0.0.1",
	} {
		if _, err := client.New(base); !errors.Is(err, client.ErrAddress) {
			t.Errorf("%q: %v", base, err)
		}
	}
	for base, exposed := range map[string]bool{
		"http://127.0.0.1:8080": false, "http://localhost": false, "http://[::1]:1/": false, "https://archive.example": false,
		"http://archive.example": true, "http://10.0.0.1:8080": true,
	} {
		c, err := client.New(base, client.WithKey("k"))
		if err != nil || c.Exposed() != exposed {
			t.Errorf("%s: %v", base, err)
			continue
		}
		c.Close()
	}
}

// A certificate of an authority that nobody knows is refused; with that authority named it is trusted.
func TestUnknownAuthority(t *testing.T) {
	srv := httptest.NewUnstartedServer(yes)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	_, err := clientOf(t, srv.URL).Info(t.Context())
	var none *client.NoServiceError
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &none) || !errors.As(err, &unknown) || !strings.Contains(none.Hint(), "--ca-file") {
		t.Errorf("unknown: %v", err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clientOf(t, srv.URL, client.WithCAFile(ca)).Info(t.Context()); err != nil {
		t.Errorf("named: %v", err)
	}
	plain := strings.Replace(srv.URL, "https://", "http://", 1)
	if _, err := clientOf(t, plain).Info(t.Context()); !isNoService(err) {
		t.Errorf("without TLS: %v", err)
	}
	bare := httptest.NewServer(yes)
	defer bare.Close()
	_, err = clientOf(t, strings.Replace(bare.URL, "http://", "https://", 1)).Info(t.Context())
	if !errors.As(err, &none) || !strings.Contains(none.Hint(), "no TLS there") {
		t.Errorf("TLS to a service without: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("nothing"), bytes.Repeat([]byte("x"), 9<<20)} {
		if err := os.WriteFile(ca, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.New(srv.URL, client.WithCAFile(ca)); err == nil {
			t.Errorf("%d bytes were taken for certificates", len(bad))
		}
	}
}

// What a stranger says is fit for a terminal, and short.
func TestHostileWords(t *testing.T) {
	detail := "\x1b[2J\r\nerror: all is well\u202e\xff" + strings.Repeat("x", 1<<20)
	body, err := json.Marshal(api.Problem{Type: "urn:permanode:problem:not-found", Status: 404, Detail: detail})
	if err != nil {
		t.Fatal(err)
	}
	h, _ := answers(said(404, http.Header{"Content-Type": {"application/problem+json"}}, string(body)))
	c := serve(t, h, client.WithKey("pn_hidden"))
	_, err = c.Info(t.Context())
	if text := err.Error(); !errors.Is(err, storage.ErrNotFound) || strings.ContainsAny(text, "\x1b\r\n\u202e") || len(text) > 10<<10 || !strings.Contains(text, "all is well") {
		t.Errorf("%q", text[:min(len(text), 100)])
	}
	if text := fmt.Sprintf("%v %+v %s", c, c, c); strings.Contains(text, "hidden") {
		t.Errorf("%s", text)
	}
}

// An address that an answer names must be one of this API.
func TestForeignAddressInAnswer(t *testing.T) {
	h, asked := answers(yes)
	c := serve(t, h)
	for _, href := range []string{"", "http://evil.invalid/", "//evil.invalid/", "/v1/checkpoint", "/v1/networks/../checkpoint", "/v1/networks/a/records/b?format=raw", "@evil.invalid/"} {
		if _, _, err := c.At(t.Context(), href); !isNoService(err) {
			t.Errorf("%q: %v", href, err)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("asked %d times", asked.Load())
	}
}
