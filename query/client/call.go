package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"permanode/query/api"
)

// The media types of answers.
const (
	mediaJSON   = "application/json"
	mediaRaw    = "application/octet-stream"
	mediaNDJSON = "application/x-ndjson"
	mediaCSV    = "text/csv"
	mediaSSE    = "text/event-stream"
	mediaYAML   = "application/yaml"
)

// call is one request.
type call struct {
	path   string // escaped
	params url.Values
	accept string // media type; what is of another one is no answer
	body   []byte // JSON; nil: GET
	acts   bool   // the service does something: it is sent once
	header http.Header
	also   int           // a status that is an answer too, beside 200
	flows  time.Duration // not 0: the answer is read for as long as it comes, with no longer between its bytes; else all of it within the client's timeout
}

// answer is what came with status 200. Its reader is to be closed, and is used by one goroutine.
type answer struct {
	*http.Response
	asked string
	ctx   context.Context
	end   context.CancelCauseFunc
	watch *time.Timer
	time  time.Duration // of watch
	flows bool
}

// errTimeout is the end of one try, apart from the end of the caller's context.
var errTimeout = errors.New("nothing came in time")

// begin starts the watch over one try.
func (c *Client) begin(ctx context.Context, what call) *answer {
	a := &answer{asked: c.base + what.path, flows: what.flows > 0, time: c.timeout}
	if a.flows {
		a.time = what.flows
	}
	a.ctx, a.end = context.WithCancelCause(ctx)
	a.watch = time.AfterFunc(a.time, func() {
		a.end(&NoServiceError{Asked: a.asked, Err: fmt.Errorf("%w (%s)", errTimeout, a.time)})
	})
	return a
}

// Read reads the body. An answer that broke off gives a *NoServiceError that wraps io.ErrUnexpectedEOF.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.Body.Read(p)
	if n > 0 && a.flows {
		a.watch.Reset(a.time)
	}
	if err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = a.broken(err)
	}
	return n, err
}

// Close ends the try. Of a whole answer what is left is read, so that the connection can be used again.
func (a *answer) Close() {
	if !a.flows {
		_, _ = io.CopyN(io.Discard, a.Body, 64<<10)
	}
	a.stop()
	_ = a.Body.Close()
}

func (a *answer) stop() {
	a.watch.Stop()
	a.end(nil)
}

// broken says that a connection failed or an answer broke off; the caller's own end goes first.
func (a *answer) broken(err error) error {
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("the answer broke off: %w", io.ErrUnexpectedEOF)
	}
	return &NoServiceError{Asked: a.asked, Err: err, hint: tlsHint(err)}
}

// tlsHint is the next step after a certificate that is not trusted.
func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	plain := errors.Is(err, http.ErrSchemeMismatch)
	switch {
	case errors.As(err, &unknown):
		return "if the service's certificate is of an authority of its own, name that: --ca-file FILE (PEM)"
	case errors.As(err, &name):
		return "name the service as its certificate does"
	case plain, errors.As(err, &record):
		return "the service speaks no TLS there: write http://, or name its TLS address"
	}
	return ""
}

// send asks, waits as long as the service wants, and asks again. It returns an answer with status 200 and the media
// type that was asked for.
func (c *Client) send(ctx context.Context, what call) (*answer, error) {
	for tried := 1; ; tried++ {
		res, err := c.once(ctx, what)
		if err == nil {
			return res, nil
		}
		said, patience := patienceOf(err)
		if !patience || tried >= c.attempts || said > maxWait {
			return nil, err
		}
		if stop := c.wait(ctx, pause(tried, said)); stop != nil {
			return nil, fmt.Errorf("%w, while waiting for a service that said: %w", stop, err)
		}
	}
}

// once sends a request once.
func (c *Client) once(ctx context.Context, what call) (*answer, error) {
	a := c.begin(ctx, what)
	req, err := c.request(a, what)
	if err == nil {
		if a.Response, err = c.http.Do(req); err != nil {
			err = a.broken(err)
		}
	}
	if err != nil {
		a.stop()
		return nil, err
	}
	if a.StatusCode != http.StatusOK && a.StatusCode != what.also {
		err = a.problem()
	} else if got, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); got != what.accept {
		err = &NoServiceError{Asked: a.asked, Err: fmt.Errorf("it answered %s instead of %s, which is no answer of a permanode", show(got), what.accept)}
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (c *Client) request(a *answer, what call) (*http.Request, error) {
	target, method := a.asked, http.MethodGet
	if len(what.params) > 0 {
		target += "?" + what.params.Encode()
	}
	if n := len(target) - len(c.base); n > api.MaxURL {
		return nil, &LongError{Bytes: n}
	}
	var body io.Reader
	if what.body != nil {
		method, body = http.MethodPost, bytes.NewReader(what.body)
	}
	req, err := http.NewRequestWithContext(a.ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", a.asked, err)
	}
	for name, values := range what.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "permanode-client")
	req.Header.Set("Accept", what.accept)
	if what.body != nil {
		req.Header.Set("Content-Type", mediaJSON)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	return req, nil
}

// whole returns the whole body of an answer. One that broke off is asked for once more.
func (c *Client) whole(ctx context.Context, what call) ([]byte, error) {
	body, err := c.wholeOnce(ctx, what)
	if errors.Is(err, io.ErrUnexpectedEOF) && c.attempts > 1 && !what.acts {
		body, err = c.wholeOnce(ctx, what)
	}
	return body, err
}

func (c *Client) wholeOnce(ctx context.Context, what call) ([]byte, error) {
	a, err := c.send(ctx, what)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	body, err := io.ReadAll(io.LimitReader(a, c.most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) > c.most:
		return nil, &NoServiceError{Asked: a.asked, Err: fmt.Errorf("the answer has more than %d bytes, which no answer of a permanode has", c.most)}
	}
	return body, nil
}

// getJSON asks for a JSON resource and decodes it. told says, after that, whether what every such answer has is there.
func (c *Client) getJSON(ctx context.Context, path string, params url.Values, into any, told func() bool) error {
	body, err := c.whole(ctx, call{path: path, params: params, accept: mediaJSON})
	if err != nil {
		return err
	}
	return c.decode(path, body, into, told)
}

// decode reads an answer. What lacks what every such answer has is none: an empty one must not read as "there is nothing".
func (c *Client) decode(path string, body []byte, into any, told func() bool) error {
	if err := json.Unmarshal(body, into); err != nil {
		return &NoServiceError{Asked: c.base + path, Err: fmt.Errorf("the answer is not what this version reads: %w", err)}
	}
	if !told() {
		return &NoServiceError{Asked: c.base + path, Err: errors.New("the answer lacks what every such answer has, and so is no answer of a permanode")}
	}
	return nil
}
