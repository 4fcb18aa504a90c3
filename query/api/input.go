package api

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/access"
)

// request is what of an HTTP request reaches a handler: variables and parameters, decoded once.
type request struct {
	route  *route
	class  class // how it is limited, measured and recorded: by its route and format
	vars   map[string]string
	params map[string]string
	body   []byte // of a POST; whole, at most maxBody
	header http.Header
	http   *http.Request // as it came, for what takes the connection over
	caller access.Caller
	head   bool     // HEAD: the answer is not wanted
	wrong  *Problem // of its path and parameters; told to who may ask
	noted  noted
}

// noted is what a handler, or the writer that it returns, tells the access trail.
type noted struct {
	query string // canonical
	rows  uint64 // results given
	bytes uint64 // sent over a connection that was taken over
}

// noteParam tells the access trail of what was asked outside of the URL.
func (q *request) noteParam(name, value string) {
	params := map[string]string{name: value}
	for n, v := range q.params {
		params[n] = v
	}
	q.params = params
}

func requestID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}

// checkRequest refuses what no route takes.
func checkRequest(r *http.Request) *Problem {
	if len(r.RequestURI) > maxURL {
		return problem("uri-too-long", "the URL has %d bytes, the most is %d", len(r.RequestURI), maxURL)
	}
	size := 0
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeader {
		return problem("headers-too-large", "the headers have %d bytes, the most is %d", size, maxHeader)
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return problem("bad-header", "there are %d Authorization headers: send one or none", len(r.Header.Values("Authorization")))
	}
	return nil
}

// match finds the route of r and decodes variables and parameters. The methods that its path knows go into the header
// Allow where r has another one; OPTIONS has no route and no problem.
func (a *service) match(h http.Header, r *http.Request) (*request, *Problem) {
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		return nil, notAllowed(h, r, []string{http.MethodGet, http.MethodHead, http.MethodPost})
	}
	segments, p := pathSegments(r.URL)
	if p != nil {
		return nil, p
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	for i := range a.routes {
		rt := &a.routes[i]
		vars, ok := rt.take(segments)
		if !ok {
			continue
		}
		if rt.method != method {
			allowed = append(allowed, rt.methods()...)
			continue
		}
		q := &request{route: rt, vars: vars, header: r.Header, http: r, head: r.Method == http.MethodHead}
		_, free := vars[anyBytes]
		if q.wrong = checkSegments(r.URL, segments, free); q.wrong == nil {
			q.params, q.wrong = queryParams(r.URL.RawQuery, rt.params)
		}
		q.class = q.classify()
		return q, nil
	}
	if len(allowed) > 0 {
		return nil, notAllowed(h, r, allowed)
	}
	if p := checkSegments(r.URL, segments, false); p != nil {
		return nil, p
	}
	return nil, problem("no-such-route", "%s is no route; there are %s", query.Quote(r.URL.EscapedPath()), a.patterns())
}

// methods are those that the route answers.
func (rt *route) methods() []string {
	if rt.method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{rt.method}
}

// notAllowed names the methods that there are. It is nil for OPTIONS, which asks for just that.
func notAllowed(h http.Header, r *http.Request, methods []string) *Problem {
	allow := strings.Join(append(methods, http.MethodOptions), ", ")
	h.Set("Allow", allow)
	if r.Method == http.MethodOptions {
		return nil
	}
	return problem("method-not-allowed", "%s is not answered here: use %s", query.Quote(r.Method), allow)
}

// known are the methods that any route answers. What has another one is refused whatever its path: CONNECT has none.
func (a *service) known(h http.Header, r *http.Request) *Problem {
	methods := []string{http.MethodGet, http.MethodHead, http.MethodPost}
	if slices.Contains(methods, r.Method) || r.Method == http.MethodOptions {
		return nil
	}
	if q, p := a.match(h, r); q == nil && p.is("method-not-allowed") {
		return p
	}
	return notAllowed(h, r, methods)
}

// readBody reads the body of a POST, and refuses that of everything else.
func (q *request) readBody(w *response, r *http.Request) *Problem {
	if q.route.method != http.MethodPost {
		return refuseBody(r)
	}
	if r.ContentLength > maxBody {
		return problem("body-too-large", "the body has %d bytes, the most is %d", r.ContentLength, maxBody)
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return problem("unsupported-media-type", "the body is encoded as %s: send it as it is", query.Quote(coding))
	}
	_ = w.ctl.SetReadDeadline(time.Now().Add(w.times.body))
	var err error
	q.body, err = io.ReadAll(http.MaxBytesReader(w.ResponseWriter, r.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &long):
		return problem("body-too-large", "the body has more than %d bytes: send less", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem("body-timeout", "the body was not here within %s: send it at once, and as much as Content-Length says", w.times.body)
	}
	return problem("bad-body", "the body cannot be read: send as much as Content-Length says, or well-formed chunks")
}

func refuseBody(r *http.Request) *Problem {
	switch {
	case r.ContentLength == 0 && len(r.TransferEncoding) == 0:
		return nil
	case r.ContentLength > maxBody:
		return problem("body-too-large", "the body has %d bytes; this route takes none: leave it out", r.ContentLength)
	}
	return problem("unexpected-body", "%s takes no body here: leave it out", query.Quote(r.Method))
}

func (a *service) patterns() string {
	var all []string
	for _, rt := range a.routes {
		all = append(all, rt.pattern)
	}
	return strings.Join(all, ", ")
}

// anyBytes is the variable that may hold any bytes, percent-encoded. It stands at the end of a pattern.
const anyBytes = "tag"

// pathSegments splits and decodes a path once. What a cleaner would rewrite is refused: a redirect would hide the
// mistake.
func pathSegments(u *url.URL) ([]string, *Problem) {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return nil, problem("bad-path", "the path %s does not begin with /", query.Quote(path))
	}
	if path == "/" {
		return nil, nil
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil || s == "" || s == "." || s == ".." {
			return nil, badSegment(path, i)
		}
		segments[i] = plain
	}
	return segments, nil
}

// checkSegments refuses what is in no name: an id with a slash, dots or odd bytes inside is none. free: the last part
// may hold anything.
func checkSegments(u *url.URL, segments []string, free bool) *Problem {
	for i, s := range segments {
		if free && i == len(segments)-1 {
			break
		}
		if s == "." || s == ".." || strings.TrimSpace(s) != s || strings.ContainsFunc(s, unprintable) {
			return badSegment(u.EscapedPath(), i)
		}
	}
	return nil
}

func badSegment(path string, i int) *Problem {
	return problem("bad-path", "part %d of the path %s is empty, dots, or not printable ASCII", i+1, query.Quote(path))
}

// unprintable lets spaces pass: inside the texts of types they stand.
func unprintable(r rune) bool { return r < ' ' || r >= 0x7f || r == '/' || r == '\\' }

func (rt *route) take(segments []string) (map[string]string, bool) {
	pattern := strings.Split(rt.pattern[1:], "/")
	if len(pattern) != len(segments) {
		return nil, false
	}
	vars := map[string]string{}
	for i, want := range pattern {
		if name, ok := strings.CutPrefix(want, "{"); ok {
			vars[strings.TrimSuffix(name, "}")] = segments[i]
		} else if want != segments[i] {
			return nil, false
		}
	}
	return vars, true
}

// emptyParam is the parameter that may be empty: the query that asks for everything.
const emptyParam = "q"

// queryParams decodes the query. Unknown and repeated names are errors: a misspelt one must not be ignored.
func queryParams(raw string, known []string) (map[string]string, *Problem) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, problem("bad-parameter", "the query %s is malformed: separate name=value pairs by & and escape with %%", query.Quote(raw))
	}
	allowed := "none"
	if len(known) > 0 {
		allowed = strings.Join(known, ", ")
	}
	out := map[string]string{}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, problem("bad-parameter", "parameter %s is unknown here; known: %s", query.Quote(name), allowed)
		case len(given) > 1:
			return nil, problem("bad-parameter", "parameter %s is given %d times: give it once", name, len(given))
		case given[0] == "" && name != emptyParam:
			return nil, problem("bad-parameter", "parameter %s is empty: give a value or leave it out", name)
		}
		out[name] = given[0]
	}
	return out, nil
}

// parseSeq reads a unit number as this API writes it: decimal digits, no sign, no leading zero.
func parseSeq(text string) (uint64, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(seq, 10) != text || seq > ledger.MaxSeq {
		return 0, problem("bad-number", "unit %s is not a number from 0 to %d in plain digits", query.Quote(text), uint64(ledger.MaxSeq))
	}
	return seq, nil
}

func parseLimit(params map[string]string) (int, error) {
	text, given := params["limit"]
	if !given {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit || strconv.Itoa(n) != text {
		return 0, problem("bad-parameter", "limit=%s is not a number from 1 to %d", query.Quote(text), maxLimit)
	}
	return n, nil
}
