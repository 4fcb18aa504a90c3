package ingest

import (
	"net"
	"net/http"
	"time"
)

// NewClient returns the HTTP client of a source that may send parallel requests at a time; transport replaces the
// network if it is not nil. It follows no redirects, since a source does not send its clients elsewhere, and takes no
// packed bodies, which could unpack to anything. Bodies are for the source to bound.
func NewClient(parallel int, transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxConnsPerHost:        parallel,
			MaxIdleConnsPerHost:    parallel,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
