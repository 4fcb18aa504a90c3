package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"permanode/query"
	"permanode/storage"
)

// client asks the API of a running service, which holds the directory that a command could read otherwise.
type client struct {
	base string // http://127.0.0.1:8080
	http *http.Client
}

const (
	answerTime = 60 * time.Second
	maxAnswer  = 256 << 20 // bytes of one answer; a page of the largest records is far smaller
)

// newClient judges the address; nobody is asked yet.
func newClient(address string) (*client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, usagef("write it like http://127.0.0.1:8080", "--server %q is no address of a service", redact(address))
	}
	return &client{
		base: u.Scheme + "://" + u.Host,
		http: &http.Client{Timeout: answerTime, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4}},
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// remoteError is what a service answered instead of what was asked.
type remoteError struct {
	problem query.Problem
}

func (e *remoteError) Error() string { return e.problem.Detail }

// Unwrap gives it the meaning that the same error has when the directory is read: for the exit status.
func (e *remoteError) Unwrap() error {
	kind := e.problem.Type[strings.LastIndex(e.problem.Type, ":")+1:]
	switch {
	case kind == "corrupt":
		return storage.ErrCorrupt
	case e.problem.Status == http.StatusBadRequest, e.problem.Status == http.StatusRequestURITooLong:
		return ErrUsage
	case e.problem.Status == http.StatusNotFound:
		return storage.ErrNotFound
	}
	return nil
}

// Hint keeps a hint of another kind away: the service said what to do.
func (e *remoteError) Hint() string { return "" }

// get asks for a resource and returns its body.
func (c *client) get(ctx context.Context, path string, params url.Values) ([]byte, error) {
	target := c.base + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, &silentError{fmt.Errorf("ask %s: %w", c.base, err)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", target, err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("answer of %s: more than %d bytes", target, maxAnswer)
	}
	if res.StatusCode == http.StatusOK {
		return body, nil
	}
	out := &remoteError{}
	if err := json.Unmarshal(body, &out.problem); err != nil || out.problem.Detail == "" {
		return nil, &silentError{fmt.Errorf("%s answered %s, which is no answer of a permanode", target, res.Status)}
	}
	out.problem.Status = res.StatusCode
	return nil, out
}

// getJSON asks for a JSON resource and decodes it.
func (c *client) getJSON(ctx context.Context, path string, params url.Values, into any) error {
	body, err := c.get(ctx, path, params)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &silentError{fmt.Errorf("answer of %s%s: %w", c.base, path, err)}
	}
	return nil
}

// silentError says that no service answered that speaks our API.
type silentError struct{ err error }

func (e *silentError) Error() string { return e.err.Error() }
func (e *silentError) Unwrap() error { return e.err }

// Hint is the next step.
func (e *silentError) Hint() string {
	return "is the service running there? its address is api.listen of its config; a stopped one's archive is read with --data or --config"
}
