package api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"permanode/query"
)

// sites says which web pages may use the API from a browser, and under which names the service may be called.
type sites struct {
	origins []string // that may read answers; "*": all
	hosts   []string // names besides addresses and localhost; nil: any
	keyed   bool     // a request has its rights from a key that it carries, and not from where it comes
	guard   *http.CrossOriginProtection
}

func newSites(c Config) *sites {
	s := &sites{origins: c.Origins, hosts: c.Hosts, keyed: c.Callers != nil, guard: http.NewCrossOriginProtection()}
	for _, o := range c.Origins {
		if o != anyOrigin {
			_ = s.guard.AddTrustedOrigin(o) // CheckOrigin judged it
		}
	}
	return s
}

const anyOrigin = "*"

// CheckOrigin judges an origin that the config lets read answers: scheme, host and perhaps a port, or "*" for all.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case origin == anyOrigin:
		return nil
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || u.Hostname() == "":
		return problem("bad-header", "%s is no origin: write it as browsers do, like https://explorer.example.org, without a path, or \"*\" for all", query.Quote(origin))
	}
	return nil
}

// What a page of a listed origin may send and read.
const (
	corsHeaders = "Authorization, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Range"
	corsExposed = "Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, Link, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, WWW-Authenticate, " +
		"X-Coverage-Complete, X-Incomplete, X-Request-Id, X-Rows, X-Sha256, X-Unsearched"
	corsMaxAge = "600" // seconds that a browser may remember a preflight
)

// check writes the headers of CORS, if the config knows an origin, and refuses a Host that is not this service: a page
// whose name was bound to this machine's address could read everything otherwise.
func (s *sites) check(h http.Header, r *http.Request) *Problem {
	if len(s.origins) > 0 {
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && s.listed(origin) {
			if slices.Contains(s.origins, anyOrigin) {
				origin = anyOrigin
			}
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", corsExposed)
		}
	}
	if s.hosts == nil || r.Host == "" {
		return nil
	}
	if IsHost(r.Host, s.hosts) {
		return nil
	}
	return problem("bad-host", "this service is not called %s: use its address, localhost or the name in api.listen; others are answered only by a service with keys", query.Quote(r.Host))
}

// IsHost says whether a Host header, with or without a port, is an address, localhost or one of names: nothing that a
// stranger's name server could have bound to this machine.
func IsHost(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return net.ParseIP(host) != nil || host == "localhost" || slices.Contains(names, host)
}

func (s *sites) listed(origin string) bool {
	return slices.Contains(s.origins, anyOrigin) || slices.Contains(s.origins, origin)
}

// preflight answers what a browser asks before it sends a request of another origin.
func (s *sites) preflight(h http.Header, r *http.Request) {
	if h.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", h.Get("Allow"))
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
}

// crossSite refuses what a page of another origin makes a browser send that changes or costs something. Where keys are
// needed "*" lets all pages: none has a key that its user did not give it.
func (s *sites) crossSite(r *http.Request) *Problem {
	if s.keyed && slices.Contains(s.origins, anyOrigin) || s.guard.Check(r) == nil {
		return nil
	}
	return problem("cross-site", "a page of another origin (%s) sends this: list it in api.cors of the config, if it may", query.Quote(r.Header.Get("Origin")))
}

// sameSite says whether a WebSocket may be opened: by a program, a page of this service or one of a listed origin.
func (s *sites) sameSite(r *http.Request) bool {
	post := r.WithContext(r.Context())
	post.Method = http.MethodPost // the guard lets all GETs pass
	return s.crossSite(post) == nil
}
