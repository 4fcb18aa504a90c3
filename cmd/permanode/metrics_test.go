package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestMetricsAreLocal asks for profiles as a web page would make a browser ask.
func TestMetricsAreLocal(t *testing.T) {
	h := metricsHandler(newRegistry(), true)
	for _, c := range []struct {
		host, site string
		want       int
	}{
		{"127.0.0.1:9090", "", http.StatusOK},
		{"localhost:9090", "none", http.StatusOK},
		{"[::1]:9090", "same-origin", http.StatusOK},
		{"evil.example", "", http.StatusMisdirectedRequest},
		{"evil.example:9090", "same-origin", http.StatusMisdirectedRequest},
		{"127.0.0.1:9090", "cross-site", http.StatusForbidden},
		{"localhost:9090", "same-site", http.StatusForbidden},
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/cmdline"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.Host = c.host
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.want {
				t.Errorf("%s, Host %s, from %q: %d, want %d", path, c.host, c.site, w.Code, c.want)
			}
		}
	}
}
