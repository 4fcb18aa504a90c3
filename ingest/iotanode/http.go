package iotanode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"permanode/ingest"
)

// smallAnswer is what each of several parallel answers may hold; a larger one waits until no other is larger.
const smallAnswer = 2 << 20

// leastPerTimeout is how many bytes a long answer must bring in each timeout: less is a peer that holds on to us.
const leastPerTimeout = 64 << 10

// web asks one HTTP server, within bounds of time, bytes and parallel requests. It is safe for concurrent use.
type web struct {
	name    string
	base    *url.URL
	client  *http.Client
	timeout time.Duration
	slots   chan struct{} // one token a request under way
	large   chan struct{} // one token for the one answer above smallAnswer
	headers func(http.Header)
	noKey   int // a status beside 404 that means unknown; 0 if there is none
}

func newWeb(c Config, base string) (*web, error) {
	u, err := parseURL(c.Address, "http", "https")
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), base)
	u.RawPath = ""
	w := &web{
		name: c.Name, base: u, timeout: c.Timeout,
		slots: make(chan struct{}, c.Parallel), large: make(chan struct{}, 1),
	}
	if w.name == "" {
		w.name = publicName(u)
	}
	w.base.Path += base
	w.client = ingest.NewClient(c.Parallel, c.Transport)
	return w, nil
}

// parseURL reads an address that has one of the schemes. An error names what is wrong with it, without the
// credentials in it.
func parseURL(address string, schemes ...string) (*url.URL, error) {
	want := strings.Join(schemes, "://HOST or ") + "://HOST"
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("an address is not a URL; write %s", want)
	}
	known := false
	for _, s := range schemes {
		known = known || u.Scheme == s
	}
	switch {
	case !known || u.Opaque != "":
		return nil, fmt.Errorf("address %q: write %s", u.Redacted(), want)
	case u.Hostname() == "":
		return nil, fmt.Errorf("address %q names no host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("address %q: an address has no ? and no #", publicName(u))
	}
	return u, nil
}

// publicName is an address without the credentials in it.
func publicName(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

func (w *web) close() { w.client.CloseIdleConnections() }

// ask sends a request and returns the answer if it is 200, or 206 where only the bytes behind offset from are asked
// for. 404 is [ingest.ErrUnknown], 410 [ingest.ErrPruned]; anything else is a transport error. The caller closes the
// body.
func (w *web) ask(ctx context.Context, method, path, accept string, body []byte, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, bare(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	if w.headers != nil {
		w.headers(resp.Header)
	}
	good := resp.StatusCode == http.StatusOK || from > 0 && resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from))
	switch {
	case good && resp.Header.Get("Content-Encoding") == "":
		return resp, nil
	case good:
		err = errors.New("the answer is packed although that was not asked for")
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == w.noKey:
		err = ingest.ErrUnknown
	case resp.StatusCode == http.StatusGone:
		err = ingest.ErrPruned
	default:
		err = fmt.Errorf("the server answers %d", resp.StatusCode)
	}
	// Read to the end, so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4<<10))
	return nil, errors.Join(err, resp.Body.Close())
}

// get returns the whole body of an answer, at most limit bytes of it.
func (w *web) get(ctx context.Context, path, accept string, limit int64) ([]byte, error) {
	return w.call(ctx, http.MethodGet, path, accept, nil, limit)
}

func (w *web) call(ctx context.Context, method, path, accept string, question []byte, limit int64) (body []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if err := take(ctx, w.slots); err != nil {
		return nil, err
	}
	defer func() { <-w.slots }()
	ctx, alive := w.watch(ctx)
	defer alive.stop()
	resp, err := w.ask(ctx, method, path, accept, question, 0)
	if err != nil {
		return nil, alive.explain(err)
	}
	defer resp.Body.Close()
	if resp.ContentLength > limit {
		return nil, tooLarge(resp.ContentLength, limit)
	}
	from := io.LimitReader(alive.reader(resp.Body), limit+1)
	body, err = io.ReadAll(io.LimitReader(from, smallAnswer))
	if err == nil && len(body) == smallAnswer {
		if err := take(ctx, w.large); err != nil {
			return nil, alive.explain(err)
		}
		defer func() { <-w.large }()
		// The length that was announced is believed once some of it has come.
		rest := bytes.NewBuffer(append(make([]byte, 0, max(resp.ContentLength, 2*smallAnswer)+bytes.MinRead), body...))
		_, err = rest.ReadFrom(from)
		body = rest.Bytes()
	}
	if err != nil {
		return nil, fmt.Errorf("the answer ends after %d bytes: %w", len(body), alive.explain(err))
	}
	if int64(len(body)) > limit {
		return nil, tooLarge(int64(len(body)), limit)
	}
	return body, nil
}

// take waits for a place in slots.
func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// life watches that an answer goes on: it cancels the request after a timeout in which less than
// leastPerTimeout bytes came, unless the answer ended. It belongs to the goroutine of the request.
type life struct {
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	ctx     context.Context
	came    atomic.Int64 // since the last look
	timeout time.Duration
}

// errStalled is why a request was given up.
var errStalled = errors.New("no answer, or less than 64 KiB of one, within the timeout")

func (w *web) watch(ctx context.Context) (context.Context, *life) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &life{cancel: cancel, ctx: ctx, timeout: w.timeout}
	l.timer = time.AfterFunc(l.timeout, l.look)
	return ctx, l
}

func (l *life) look() {
	if l.came.Swap(0) < leastPerTimeout {
		l.cancel(errStalled)
		return
	}
	l.timer.Reset(l.timeout)
}

func (l *life) stop() {
	l.timer.Stop()
	l.cancel(nil)
}

// explain gives the reason of the end of a request that was given up here.
func (l *life) explain(err error) error {
	if errors.Is(context.Cause(l.ctx), errStalled) {
		return errStalled
	}
	return err
}

func (l *life) reader(r io.Reader) io.Reader { return &counted{r, l} }

type counted struct {
	r io.Reader
	l *life
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.l.came.Add(int64(n))
	return n, err
}

// bare takes the address, which may hold credentials, out of an error of net/http.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
