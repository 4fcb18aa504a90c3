package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"permanode/query/access"
)

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func admitOne(c *callers, caller access.Caller, keys bool, of class) (over *Problem, h http.Header) {
	h = http.Header{}
	release, over := c.admit(h, caller, keys, of)
	if over == nil {
		release()
	}
	return over, h
}

// count returns how many requests of n at one moment are admitted.
func count(c *callers, caller access.Caller, keys bool, of class, n int) (admitted int) {
	for range n {
		if over, _ := admitOne(c, caller, keys, of); over == nil {
			admitted++
		}
	}
	return admitted
}

func TestRates(t *testing.T) {
	at := &clock{time.Unix(1700000000, 0)}
	c := newCallers(DefaultRates(), at.now)
	key, other := access.Caller{Name: "a", Address: "192.0.2.1"}, access.Caller{Name: "b", Address: "192.0.2.1"}
	anyone := access.Caller{Address: "192.0.2.1"}
	for _, x := range []struct {
		name   string
		caller access.Caller
		keys   bool
		of     class
		want   int
	}{
		{"a key", key, true, classPlain, 200},
		{"the same key from elsewhere", access.Caller{Name: "a", Address: "192.0.2.9"}, true, classPlain, 0},
		{"another key from the same address", other, true, classPlain, 200},
		{"nobody, where there are keys", anyone, true, classPlain, 20},
		{"a user of this machine, where there are none", access.Caller{Address: "127.0.0.1"}, false, classPlain, 200},
		{"a searcher", access.Caller{Name: "c"}, true, classSearch, 20},
		{"the searcher, who may do other things", access.Caller{Name: "c"}, true, classPlain, 180},
		{"whether it lives", anyone, true, classProbe, 1000},
		{"IPv6", access.Caller{Address: "2001:db8::1"}, true, classPlain, 20},
		{"IPv6 of the same net", access.Caller{Address: "2001:db8::ffff:0:0:2"}, true, classPlain, 0},
		{"IPv6 of another net", access.Caller{Address: "2001:db8:0:1::1"}, true, classPlain, 20},
		{"IPv4 as IPv6", access.Caller{Address: "::ffff:192.0.2.1"}, true, classPlain, 0},
	} {
		if got := count(c, x.caller, x.keys, x.of, 1000); got != x.want {
			t.Errorf("%s: %d of 1000 at once, want %d", x.name, got, x.want)
		}
	}
	at.t = at.t.Add(time.Second)
	for caller, want := range map[access.Caller]int{key: 50, anyone: 10, {Name: "c"}: 50} {
		if got := count(c, caller, true, classPlain, 1000); got != want {
			t.Errorf("%+v: %d a second later, want %d", caller, got, want)
		}
	}
}

func TestRateHeaders(t *testing.T) {
	at := &clock{time.Unix(1700000000, 0)}
	c := newCallers(Rates{Keyed: 2, Search: 0.5}, at.now)
	key := access.Caller{Name: "a"}
	told := func(h http.Header) string {
		return fmt.Sprint(h.Get("RateLimit-Limit"), " ", h.Get("RateLimit-Remaining"), " ", h.Get("RateLimit-Reset"), " ", h.Get("Retry-After"))
	}
	for i, want := range []string{"8 7 1 ", "8 6 1 ", "8 5 2 "} {
		if over, h := admitOne(c, key, true, classPlain); over != nil || told(h) != want {
			t.Errorf("request %d: %v, %q, want %q", i, over, told(h), want)
		}
	}
	if over, h := admitOne(c, key, true, classSearch); over != nil || told(h) != "2 1 2 " {
		t.Errorf("a search: %v, %q", over, told(h))
	}
	_, _ = admitOne(c, key, true, classSearch)
	over, h := admitOne(c, key, true, classSearch)
	if !over.is("rate-limited") || told(h) != "2 0 4 2" {
		t.Errorf("one search too many: %v, %q", over, told(h))
	}
	wait, _ := strconv.Atoi(h.Get("Retry-After"))
	at.t = at.t.Add(time.Duration(wait) * time.Second)
	if over, _ := admitOne(c, key, true, classSearch); over != nil {
		t.Errorf("after the time that it was told to wait: %v", over)
	}
	if got := count(newCallers(Rates{}, at.now), key, true, classSearch, 5000); got != 5000 {
		t.Errorf("without limits %d of 5000", got)
	}
}

// What a caller has in work is bounded, and who is forgotten has nothing in work.
func TestWorkOfACaller(t *testing.T) {
	c := newCallers(Rates{Exports: 2}, time.Now)
	key := access.Caller{Name: "a"}
	var open []func()
	for i := range 3 {
		release, over := c.admit(http.Header{}, key, true, classExport)
		if (over == nil) != (i < 2) {
			t.Fatalf("export %d: %v", i, over)
		}
		if over == nil {
			open = append(open, release)
		}
	}
	open[0]()
	open[0]() // twice is once
	for i, want := range []bool{true, false} {
		if _, over := c.admit(http.Header{}, key, true, classExport); (over == nil) != want {
			t.Errorf("export %d after one ended: %v", i, over)
		}
	}
	for i := range maxAtOnce + 1 {
		if _, over := c.admit(http.Header{}, access.Caller{Name: "b"}, true, classPlain); (over == nil) != (i < maxAtOnce) {
			t.Fatalf("request %d at once: %v", i, over)
		}
	}
	for i := range maxCallers + 1000 {
		admitOne(c, access.Caller{Address: fmt.Sprint("10.", i>>16, ".", i>>8&255, ".", i&255)}, true, classPlain)
	}
	if len(c.known) > maxCallers || len(c.known) != c.order.Len() {
		t.Errorf("%d callers are known, %d in order, the most is %d", len(c.known), c.order.Len(), maxCallers)
	}
	if over, _ := admitOne(c, key, true, classExport); over == nil {
		t.Error("a crowd made the service forget the exports of a key")
	}
}

// All streams together have a bound of their own, and nobody else suffers from it.
func TestStreamsAreBounded(t *testing.T) {
	s := newService()
	var free []func()
	for range cap(s.slots[classStream]) {
		f, err := s.slot(classStream)
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, f)
	}
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodHead, path, nil) // which ends at once
		r.Host, r.RemoteAddr = "127.0.0.1", "127.0.0.1:1"
		s.ServeHTTP(w, r)
		return w
	}
	for range 3 { // one that was refused takes no place
		if w := ask("/s"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("one more: %d %v", w.Code, w.Header())
		}
	}
	if w := ask("/a"); w.Code != http.StatusOK {
		t.Errorf("another route: %d", w.Code)
	}
	free[0]()
	if w := ask("/s"); w.Code != http.StatusOK {
		t.Errorf("when one has ended: %d", w.Code)
	}
}

func newService() *service {
	s := Handler(Config{Log: slog.New(slog.DiscardHandler)}).(*service)
	s.routes = []route{
		{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")},
		{http.MethodGet, "/s", nil, access.Anyone, classStream, says("s")},
	}
	return s
}
