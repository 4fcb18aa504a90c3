package api

import (
	"context"
	"net/http"
	"slices"

	"permanode/query/access"
)

// route is one line of the route table. Segments in braces are variables.
type route struct {
	method  string // GET, which answers HEAD too, or POST
	pattern string
	params  []string    // query parameters it knows
	role    access.Role // the least that may call it
	class   class       // of what is asked for so; request.class is what counts
	// handle judges the request and finds the answer. The writer that it returns sends it: it fails before the first
	// byte or never. Of classExport and classStream the writer does the work, under the same context, for as long as
	// the client reads.
	handle func(context.Context, *request) (writer, error)
}

// class says how a route is limited: its share of requests in work, its rate, its deadline.
type class uint8

const (
	classPlain  class = iota // 30 s
	classProbe               // asked by machines whether the service lives: never too often
	classSearch              // a query: fewer a second
	classExport              // no deadline while bytes flow; few at once for a caller
	classStream              // no deadline at all
)

// table is the route table: the one place that says what there is, who may ask, and how it is limited.
func (a *service) table() []route {
	const get = http.MethodGet
	list := func(more ...string) []string { return slices.Concat(more, listParams) }
	return []route{
		{get, "/livez", nil, access.Anyone, classProbe, a.livez},
		{get, "/readyz", nil, access.Anyone, classProbe, a.readyz},
		{get, "/v1/openapi.yaml", nil, access.Anyone, classPlain, a.openapi},
		{get, "/v1/info", nil, access.Reader, classPlain, a.info},
		{get, "/v1/networks", nil, access.Reader, classPlain, a.networks},
		{get, "/v1/networks/{net}/coverage", nil, access.Reader, classPlain, a.coverage},
		{get, "/v1/networks/{net}/units/{seq}", []string{"format"}, access.Reader, classPlain, a.unit},
		{get, "/v1/networks/{net}/units/{seq}/records", []string{"limit", "cursor"}, access.Reader, classPlain, a.unitRecords},
		{get, "/v1/networks/{net}/records/{id}", []string{"format"}, access.Reader, classPlain, a.record},
		{get, "/v1/records/{id}", []string{"network", "limit", "cursor"}, access.Reader, classPlain, a.places},
		{http.MethodPost, "/v1/records", []string{"network"}, access.Reader, classSearch, a.batch},
		{get, "/v1/search", list("q", "explain"), access.Reader, classSearch, a.search},
		{get, "/v1/tags/{" + anyBytes + "}", list(), access.Reader, classSearch, a.tag},
		{get, "/v1/addresses/{addr}", list("at"), access.Reader, classSearch, a.address},
		{get, statementPattern, statementParams, access.Reader, classSearch, a.statementOf},
		{get, "/v1/payloads/{payload}", []string{"network"}, access.Reader, classPlain, a.payload},
		{get, "/v1/export", []string{"q", "network", "format", "after"}, access.Reader, classExport, a.export},
		{get, "/v1/columns", nil, access.Reader, classPlain, a.columns},
		{get, "/v1/stream", []string{"q", "network", "from", "cursor"}, access.Reader, classStream, a.stream},
		{get, "/v1/ws", nil, access.Reader, classStream, a.ws},
		{get, "/v1/status", nil, access.Reader, classPlain, a.status},
		{get, "/v1/access", []string{"day"}, access.Auditor, classExport, a.accessTrail},
		{get, "/v1/checkpoint", nil, access.Operator, classPlain, a.checkpoint},
		{http.MethodPost, "/v1/checkpoint", nil, access.Operator, classPlain, a.makeCheckpoint},
		{http.MethodPost, "/v1/checkpoint/release", nil, access.Operator, classPlain, a.releaseCheckpoint},
	}
}
