package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"permanode/query"
	"permanode/query/api"
	"permanode/storage"
)

// What a service can say beside what an archive says in process.
var (
	ErrBadRequest = errors.New("bad request") // the question is wrong, not the archive
	ErrForbidden  = errors.New("no access")   // no key, a wrong one, or one of a lower role
	ErrBusy       = errors.New("busy")        // the service asked for patience, longer than the client had
)

// Problem is the error that a service answered.
type Problem struct {
	api.Problem
	RetryAfter time.Duration // how long to wait before the next try; 0: not said
}

func (p *Problem) Error() string { return printable(p.Detail) }

// Kind is the last word of the type, such as "not-found": stable, and what to switch on.
func (p *Problem) Kind() string { return p.Type[strings.LastIndexByte(p.Type, ':')+1:] }

// Unwrap gives the problem the meaning that the same one has when an archive is read in process.
func (p *Problem) Unwrap() error {
	switch kind := p.Kind(); {
	case kind == "corrupt":
		return storage.ErrCorrupt
	case kind == "bad-id":
		return query.ErrNotID
	case kind == "bad-cursor":
		return query.ErrBadCursor
	case kind == "no-index":
		return query.ErrNoIndex
	case p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		return ErrForbidden
	case p.Status == http.StatusNotFound && kind != "no-such-route":
		return storage.ErrNotFound
	case p.Status == http.StatusTooManyRequests, kind == "overloaded":
		return ErrBusy
	case p.Status >= 400 && p.Status < 500 && kind != "no-such-route":
		return ErrBadRequest
	}
	return nil
}

// Hint is the next step, "" where the detail has it.
func (p *Problem) Hint() string {
	switch {
	case p.Status == http.StatusUnauthorized:
		return "name the file with the secret of an access key: --key-file FILE or PERMANODE_KEY_FILE"
	case p.Kind() == "no-such-route":
		return "the service is of another version, which does not answer this"
	}
	return ""
}

// patienceOf reports whether an error says that the same question may be answered later, without anybody's doing, and
// how long to wait; 0: not said.
func patienceOf(err error) (time.Duration, bool) {
	var p *Problem
	var s *NoServiceError
	switch {
	case errors.As(err, &p):
		return p.RetryAfter, p.Status == http.StatusTooManyRequests || p.Kind() == "overloaded"
	case errors.As(err, &s):
		return s.retryAfter, s.patient
	}
	return 0, false
}

// NoServiceError says that no service answered that speaks this API, or that its answer broke off.
type NoServiceError struct {
	Asked string // address, without parameters
	Err   error

	hint       string
	patient    bool // what stands before the service asked for patience
	retryAfter time.Duration
}

func (e *NoServiceError) Error() string { return fmt.Sprintf("ask %s: %v", e.Asked, e.Err) }

// Unwrap returns what went wrong.
func (e *NoServiceError) Unwrap() error { return e.Err }

// Hint is the next step.
func (e *NoServiceError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return "is the service running there? its address is api.listen of its config; a stopped one's archive is read with --data or --config"
}

// problemPrefix begins the types of all problems of this API.
const problemPrefix = "urn:permanode:problem:"

// problem reads an answer that is an error.
func (a *answer) problem() error {
	body, err := io.ReadAll(io.LimitReader(a, maxProblem+1))
	media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	p := &Problem{RetryAfter: retryAfter(a.Header.Get("Retry-After"))}
	if err == nil && media == "application/problem+json" && len(body) <= maxProblem &&
		json.Unmarshal(body, &p.Problem) == nil && strings.HasPrefix(p.Type, problemPrefix) && p.Detail != "" {
		p.Status = a.StatusCode
		return p
	}
	if at := a.Header.Get("Location"); at != "" && a.StatusCode >= 300 && a.StatusCode < 400 {
		return &NoServiceError{
			Asked: a.asked, Err: fmt.Errorf("it answered %s to %s", a.Status, show(at)),
			hint: "redirects are not followed, so that a key goes to no other host: name the address that the service itself has",
		}
	}
	return &NoServiceError{
		Asked: a.asked, Err: fmt.Errorf("it answered %s, which is no answer of a permanode", a.Status),
		patient:    a.StatusCode == http.StatusTooManyRequests || a.StatusCode == http.StatusServiceUnavailable && p.RetryAfter > 0,
		retryAfter: p.RetryAfter,
	}
}

// LongError reports a question that no URL holds.
type LongError struct{ Bytes int }

// Unwrap makes it an ErrBadRequest.
func (e *LongError) Unwrap() error { return ErrBadRequest }

func (e *LongError) Error() string {
	return fmt.Sprintf("the question has %d bytes as part of a URL, and a service takes %d", e.Bytes, api.MaxURL)
}

// Hint is the next step.
func (e *LongError) Hint() string {
	return "ask in parts, or read the archive in its directory, where a query may be longer"
}

// retryAfter reads a number of seconds or a date; 0: neither.
func retryAfter(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) { // what is beyond it is very long
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// printable makes a stranger's text fit for a terminal: no control characters, nothing that changes the direction of what
// follows, and not too much of it.
func printable(s string) string {
	const most = 8 << 10
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return '·'
		}
		return r
	}, s)
}

// show writes a stranger's text on one line, not all of it.
func show(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	return strconv.Quote(s)
}
