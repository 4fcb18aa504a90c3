package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"permanode/query/access"
)

func TestCORS(t *testing.T) {
	routes := []route{
		{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")},
		{http.MethodPost, "/b", nil, access.Anyone, classPlain, says("b")},
	}
	const page, other = "https://explorer.example.org", "https://evil.example.org"
	for name, c := range map[string]struct {
		origins []string
		origin  string
		allowed string // what the answer allows
		vary    bool
		post    int
	}{
		"none configured":         {nil, page, "", false, 403},
		"listed":                  {[]string{page, "http://localhost:3000"}, page, page, true, 200},
		"not listed":              {[]string{page}, other, "", true, 403},
		"no origin":               {[]string{page}, "", "", true, 200},
		"all":                     {[]string{"*"}, other, "*", true, 403},
		"a longer one":            {[]string{page}, page + ".evil.org", "", true, 403},
		"another scheme":          {[]string{page}, "http://explorer.example.org", "", true, 403},
		"a page without a name":   {[]string{page}, "null", "", true, 403},
		"the service's own pages": {nil, "http://HOST", "", false, 200},
	} {
		b := newBench(t, Config{Origins: c.origins}, usual, 100, routes...)
		headers := []string{"Origin", strings.ReplaceAll(c.origin, "HOST", b.addr)}
		if c.origin == "" {
			headers = nil
		}
		check := func(what string, res *http.Response, status int, allowed string) {
			t.Helper()
			h := res.Header
			if res.StatusCode != status || h.Get("Access-Control-Allow-Origin") != allowed || (h.Get("Vary") == "Origin") != c.vary {
				t.Errorf("%s, %s: %d, allows %q, Vary %q", name, what, res.StatusCode, h.Get("Access-Control-Allow-Origin"), h.Get("Vary"))
			}
			if exposed := h.Get("Access-Control-Expose-Headers"); strings.Contains(exposed, "X-Request-Id") != (allowed != "") || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s, %s: exposes %q", name, what, exposed)
			}
		}
		res, _, _ := b.ask(t, "GET", "/a", "", headers...)
		check("GET", res, 200, c.allowed)
		res, _, _ = b.ask(t, "GET", "/nowhere", "", headers...)
		check("a problem", res, 404, c.allowed)
		res, _, _ = b.ask(t, "POST", "/b", "x", headers...)
		check("POST", res, c.post, c.allowed)
		res, _, _ = b.ask(t, "OPTIONS", "/b", "", append(headers, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")...)
		check("preflight", res, 204, c.allowed)
		methods, asked := res.Header.Get("Access-Control-Allow-Methods"), res.Header.Get("Access-Control-Allow-Headers")
		if want := c.allowed != ""; strings.Contains(methods, "POST") != want || strings.Contains(asked, "Authorization") != want {
			t.Errorf("%s: the preflight allows methods %q, headers %q", name, methods, asked)
		}
	}
	for keys, want := range map[bool]bool{true: true, false: false} {
		c := Config{Origins: []string{"*"}}
		if keys {
			c.Callers = access.Local // as if a key had been sent
		}
		page := httptest.NewRequest(http.MethodPost, "/v1/checkpoint", nil)
		page.Header.Set("Origin", other)
		if allowed := newSites(c).crossSite(page) == nil; allowed != want {
			t.Errorf("with keys: %t: a page of any origin may act: %t", keys, allowed)
		}
	}
	b := newBench(t, Config{}, usual, 100, routes...)
	for site, status := range map[string]int{"same-origin": 200, "none": 200, "cross-site": 403, "same-site": 403} {
		if res, body, _ := b.ask(t, "POST", "/b", "", "Sec-Fetch-Site", site); res.StatusCode != status || status == 403 && kindOf(t, body) != "cross-site" {
			t.Errorf("Sec-Fetch-Site %s: %d %s", site, res.StatusCode, body)
		}
	}
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{"*", "https://a.example.org", "http://localhost:3000", "https://[::1]:8443"} {
		if err := CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a.example.org", "https://a.example.org/", "https://A.example.org", "https://a/b", "null", "ftp://a", "https://", "https://u@a", "https://*.example.org ", "https://a?b", "https://a#b", "%zz"} {
		if err := CheckOrigin(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// A page whose name was bound to this machine's address is another site, whatever the address.
func TestHostsOfAServiceWithoutKeys(t *testing.T) {
	b := newBench(t, Config{Hosts: []string{"archive.lan"}}, usual, 100, route{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")})
	for host, ok := range map[string]bool{
		"127.0.0.1:8080": true, "127.0.0.1": true, "[::1]:80": true, "[::1]": true, "localhost": true, "LOCALHOST:1": true, "archive.lan": true, "archive.lan.:80": true,
		"evil.example.org": false, "localhost.evil.org": false, "archive.lan.evil.org:80": false, "127.0.0.1.evil.org": false, "evil.org:127": false,
	} {
		status, body := wireAnswer(t, b.addr, "GET /a HTTP/1.1\r\nConnection: close\r\nHost: "+host+"\r\n\r\n")
		if ok != strings.HasPrefix(status, "200") || !ok && (!strings.HasPrefix(status, "421") || kindOf(t, body) != "bad-host") {
			t.Errorf("Host %s: %s %s", host, status, body)
		}
	}
	if status, _ := wireAnswer(t, b.addr, "GET /a HTTP/1.0\r\n\r\n"); !strings.HasPrefix(status, "200") {
		t.Errorf("HTTP/1.0 without a Host: %s", status)
	}
	any := newBench(t, Config{}, usual, 100, route{http.MethodGet, "/a", nil, access.Anyone, classPlain, says("a")})
	if status, _ := wireAnswer(t, any.addr, "GET /a HTTP/1.1\r\nConnection: close\r\nHost: proxy.example.org\r\n\r\n"); !strings.HasPrefix(status, "200") {
		t.Errorf("a service with keys, called by another name: %s", status)
	}
}
