package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"permanode/index/lang"
	"permanode/query"
	"permanode/storage"
)

// Problem is an RFC 9457 problem: what went wrong, where, and what to do. Type is stable.
type Problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance,omitempty"` // the request id, also in the header X-Request-Id; "" inside a batch
	Why      string         `json:"why,omitempty"`
	Coverage []query.Extent `json:"coverage,omitempty"` // what was searched
}

func (p *Problem) Error() string { return p.Detail }

// is says whether p is of a type of the table; nil is of none.
func (p *Problem) is(kind string) bool { return p != nil && p.Type == typePrefix+kind }

// problemTypes is the table of stable types: the word behind typePrefix, its title and its HTTP status.
var problemTypes = map[string]struct {
	title  string
	status int
}{
	"bad-id":                 {"Not an identifier", http.StatusBadRequest},
	"bad-number":             {"Not a unit number", http.StatusBadRequest},
	"bad-query":              {"Not a query", http.StatusBadRequest},
	"too-broad":              {"Too many candidates", http.StatusBadRequest},
	"no-index":               {"No search index", http.StatusServiceUnavailable},
	"bad-parameter":          {"Unusable parameter", http.StatusBadRequest},
	"bad-cursor":             {"Unusable cursor", http.StatusBadRequest},
	"bad-path":               {"Malformed path", http.StatusBadRequest},
	"bad-request":            {"Not an HTTP/1.1 request", http.StatusBadRequest},
	"bad-header":             {"Malformed header", http.StatusBadRequest},
	"bad-body":               {"Unreadable body", http.StatusBadRequest},
	"unexpected-body":        {"No body expected", http.StatusBadRequest},
	"no-such-route":          {"No such route", http.StatusNotFound},
	"unknown-network":        {"Unknown network", http.StatusNotFound},
	"not-found":              {"Not in the archive", http.StatusNotFound},
	"method-not-allowed":     {"Method not allowed", http.StatusMethodNotAllowed},
	"body-timeout":           {"Body too slow", http.StatusRequestTimeout},
	"body-too-large":         {"Body too large", http.StatusRequestEntityTooLarge},
	"uri-too-long":           {"URL too long", http.StatusRequestURITooLong},
	"unsupported-media-type": {"Unusable media type", http.StatusUnsupportedMediaType},
	"headers-too-large":      {"Headers too large", http.StatusRequestHeaderFieldsTooLarge},
	"corrupt":                {"Stored bytes are damaged", http.StatusInternalServerError},
	"internal":               {"Internal error", http.StatusInternalServerError},
	"unauthorized":           {"A key is needed", http.StatusUnauthorized},
	"forbidden":              {"The key may not do this", http.StatusForbidden},
	"cross-site":             {"Sent by another site", http.StatusForbidden},
	"precondition-failed":    {"Not what If-Match names", http.StatusPreconditionFailed},
	"bad-range":              {"No such range", http.StatusRequestedRangeNotSatisfiable},
	"not-acceptable":         {"No acceptable form", http.StatusNotAcceptable},
	"bad-host":               {"Not this service", http.StatusMisdirectedRequest},
	"rate-limited":           {"Too many requests", http.StatusTooManyRequests},
	"no-checkpoint":          {"No checkpoints are made", http.StatusNotFound},
	"checkpoint-in-use":      {"The checkpoint is being copied", http.StatusConflict},
	"checkpoint-failed":      {"No checkpoint could be made", http.StatusServiceUnavailable},
	"upgrade-required":       {"Not a WebSocket", http.StatusUpgradeRequired},
	"no-trail":               {"Access cannot be recorded", http.StatusServiceUnavailable},
	"overloaded":             {"Too many requests at once", http.StatusServiceUnavailable},
	"timeout":                {"Took too long", http.StatusServiceUnavailable},
}

// typePrefix makes a problem type a URI. It names no host, because an archive has none of its own.
const typePrefix = "urn:permanode:problem:"

// problemMedia is the media type of a problem.
const problemMedia = "application/problem+json"

func problem(kind, format string, args ...any) *Problem {
	t := problemTypes[kind]
	return &Problem{Type: typePrefix + kind, Title: t.title, Status: t.status, Detail: fmt.Sprintf(format, args...)}
}

// problemOf maps what the archive says to what the asker reads. Details of inner failures stay in the log.
func problemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if p = queryProblem(err); p != nil {
		return p
	}
	var unknown *query.UnknownNetworkError
	if errors.As(err, &unknown) {
		return problem("unknown-network", "%v; GET /v1/networks lists them", err)
	}
	if absent, ok := query.IsAbsent(err); ok {
		p = problem("not-found", "%v; %s", err, absent.Hint())
		p.Why, p.Coverage = absent.Why, absent.Searched
		return p
	}
	var busy *query.BusyError
	switch {
	case errors.As(err, &busy):
		return problem("overloaded", "%v", busy)
	case errors.Is(err, query.ErrNotID):
		return problem("bad-id", "%v: check its prefix, length and letters", err)
	case errors.Is(err, query.ErrBadCursor):
		return problem("bad-cursor", "cursor %v; begin again without one", err)
	case errors.Is(err, storage.ErrNotFound):
		return problem("not-found", "%v", err)
	case errors.Is(err, storage.ErrCorrupt):
		return problem("corrupt", "%v; it is not served: the operator should run permanode check --full", err)
	case errors.Is(err, context.DeadlineExceeded):
		return problem("timeout", "the answer took longer than %s; ask for less or again later", usual.handler)
	}
	return problem("internal", "the archive could not answer; the log has the reason under this request id")
}

// queryProblem maps what is wrong with a query; nil: nothing.
func queryProblem(err error) *Problem {
	var syntax *lang.SyntaxError
	var bad *query.QueryError
	var broad *query.BroadError
	var none *query.NoIndexError
	var after *query.PlaceError
	switch {
	case errors.As(err, &syntax):
		return problem("bad-query", "%v; %s", syntax, syntax.Hint())
	case errors.As(err, &bad):
		return problem("bad-query", "%v; %s", bad, bad.Fix)
	case errors.As(err, &broad):
		return problem("too-broad", "%v; %s", broad, broad.Hint())
	case errors.As(err, &after):
		return problem("bad-parameter", "after: %v; %s", after, after.Hint())
	case errors.As(err, &none):
		return problem("no-index", "%v; %s", none, none.Hint())
	}
	return nil
}

func (p *Problem) write(w http.ResponseWriter, instance string) {
	h := w.Header()
	for _, name := range []string{"Accept-Ranges", "Content-Disposition", "Content-Length", "ETag", "Link", "Trailer"} {
		h.Del(name) // of an answer that did not come about
	}
	h.Set("Content-Type", problemMedia)
	h.Set("Cache-Control", "no-store")
	switch p.Status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusUpgradeRequired: // RFC 9110, section 15.5.22
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="permanode"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.encode(instance)) // a client that is gone needs no answer
}

// encode returns p as JSON.
func (p *Problem) encode(instance string) []byte {
	out := *p
	out.Instance = instance
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(out) // strings and numbers only
	return b.Bytes()
}
