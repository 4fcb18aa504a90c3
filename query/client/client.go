package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"permanode/internal/durable"
)

// The bounds of a call.
const (
	defaultTimeout  = 60 * time.Second // one try of one call; exports and streams end only when nothing comes
	defaultAttempts = 8                // tries of one call while the service asks for patience
	exportIdle      = 10 * time.Minute // an export without a byte: what the service allows itself
	streamIdle      = 60 * time.Second // a stream without a byte: four heartbeats
	dialTime        = 10 * time.Second
	maxWait         = 60 * time.Second // the longest Retry-After that is waited for
	maxAnswer       = 256 << 20        // bytes of one answer; a page of the largest records is far smaller
	maxProblem      = 4 << 20          // bytes of an error answer; it may list the coverage
	maxKeyFile      = 4 << 10
	maxCAFile       = 8 << 20
)

// Client asks one service. Make one with New.
type Client struct {
	base     string // http://127.0.0.1:8080
	key      string
	http     *http.Client
	timeout  time.Duration
	attempts int
	most     int64                                            // bytes of one answer in memory
	wait     func(ctx context.Context, d time.Duration) error // sleeps; tests count instead
}

// Option changes how a Client asks.
type Option func(*Client) error

// WithKey sends the secret of an access key with every request.
func WithKey(secret string) Option {
	return func(c *Client) error {
		c.key = secret
		return checkKey(secret)
	}
}

// WithKeyFile is WithKey with the secret in a file, alone on its line.
func WithKeyFile(name string) Option {
	return func(c *Client) (err error) {
		c.key, err = readKey(name)
		return err
	}
}

// WithCAFile trusts the certificates in a PEM file, and no others.
func WithCAFile(name string) Option {
	return func(c *Client) error {
		pem, err := durable.ReadFile(name, maxCAFile)
		if err != nil {
			return fmt.Errorf("read the certificates: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate: it must be PEM, -----BEGIN CERTIFICATE-----", name)
		}
		c.http.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
		return nil
	}
}

// WithTimeout is how long one try of a call may take, 60 s by default. Exports and streams have no such end: they fail
// when nothing comes.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) error {
		if d <= 0 {
			return fmt.Errorf("a timeout of %s is none", d)
		}
		c.timeout = d
		return nil
	}
}

// WithAttempts is how often a call is tried while the service asks for patience, 8 by default; 1: never again.
func WithAttempts(n int) Option {
	return func(c *Client) error {
		if n < 1 {
			return fmt.Errorf("%d attempts are none", n)
		}
		c.attempts = n
		return nil
	}
}

// ErrAddress says that a text is no address of a service.
var ErrAddress = errors.New("is no address of a service: write it like http://127.0.0.1:8080")

// New returns a Client of the service at base: a scheme, http or https, a host, and a port where it is not the usual
// one. Nobody is asked yet. A base that is none gives ErrAddress.
func New(base string, options ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, ErrAddress
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // none for loopback, whatever the environment says
		DialContext:            (&net.Dialer{Timeout: dialTime}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTime,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        50 * time.Second, // before the service ends them, at 60 s
	}
	c := &Client{
		base:    u.Scheme + "://" + u.Host,
		timeout: defaultTimeout, attempts: defaultAttempts, most: maxAnswer, wait: sleep,
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a key must not travel on
		}},
	}
	for _, set := range options {
		if err := set(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// String names the service, and not the key.
func (c *Client) String() string { return "the service at " + c.base }

// Base returns the address of the service, as scheme://host:port.
func (c *Client) Base() string { return c.base }

// Exposed reports whether a key goes over a network unencrypted: there is one, and base is neither https nor loopback.
func (c *Client) Exposed() bool {
	u, err := url.Parse(c.base)
	if err != nil || c.key == "" || u.Scheme == "https" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// readKey reads a secret from a file.
func readKey(name string) (string, error) {
	raw, err := durable.ReadFile(name, maxKeyFile)
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if err := checkKey(key); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return key, nil
}

// checkKey keeps away what cannot be a secret, without showing it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("the key is empty: it must be the secret of an access key, alone on a line")
	}
	for _, b := range []byte(key) {
		if b <= ' ' || b >= 0x7f {
			return errors.New("the key has spaces, lines or bytes that no key has: it must be the secret of one access key, alone on a line")
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// pause is how long to wait before try number tried+1: what the service said, else twice as long each time; and up to a
// quarter more.
func pause(tried int, said time.Duration) time.Duration {
	d := said
	if d <= 0 {
		d = min(500*time.Millisecond<<min(tried, 10), maxWait)
	}
	return d + rand.N(d/4+time.Millisecond)
}
