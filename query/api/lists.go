package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"permanode/query"
	"permanode/query/access"
	"permanode/query/trail"
)

// Component is one part of the service in /readyz.
type Component struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Detail string `json:"detail"` // one sentence
}

// Config is what the API needs.
type Config struct {
	Archive *query.Archive
	Version string
	// Health returns the parts of the service; it must not block. nil: the API alone, always ready.
	Health func() []Component
	// Live returns what the service does, by network name; it must not block. nil: nothing.
	Live func() map[string]query.Live
	// Checkpoints makes checkpoints of the store, for backups. nil: none are made.
	Checkpoints Checkpointer
	Log         *slog.Logger
	Metrics     prometheus.Registerer // nil: nobody counts
	// Callers says who asks; with it what is read needs a key. nil: everybody is the local user, for a service that
	// only this machine reaches.
	Callers func(*http.Request) (access.Caller, error)
	Trail   *trail.Trail // records who asked what; nil: nobody does
	Rates   Rates        // zero: no limits
	Origins []string     // of web pages that may read answers; "*": all. See CheckOrigin
	Hosts   []string     // names of the service, besides addresses and localhost, in lower case; nil: it answers to any
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

func sendJSON(status int, v any, err error) (writer, error) {
	if err != nil {
		return nil, err
	}
	body, err := query.EncodeJSON(v)
	if err != nil {
		return nil, err
	}
	return send(status, "application/json", body), nil
}

func send(status int, contentType string, body []byte) writer {
	return func(w http.ResponseWriter) error {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body) // a client that is gone needs no answer
		return nil
	}
}

func (a *service) livez(context.Context, *request) (writer, error) {
	return sendJSON(http.StatusOK, map[string]string{"status": "ok"}, nil)
}

// readyz says which parts are ready. What they say of nodes and disks is for those who have a key, where keys are needed.
func (a *service) readyz(_ context.Context, q *request) (writer, error) {
	out := struct {
		Ready      bool        `json:"ready"`
		Components []Component `json:"components"`
	}{true, []Component{}}
	if a.Health != nil {
		out.Components = append(out.Components, a.Health()...)
	}
	status := http.StatusOK
	for i, c := range out.Components {
		if !c.Ready {
			out.Ready, status = false, http.StatusServiceUnavailable
		}
		if q.caller.Role < access.Reader {
			out.Components[i].Detail = "told to those who ask with a key"
		}
	}
	return sendJSON(status, out, nil)
}

func (a *service) info(ctx context.Context, _ *request) (writer, error) {
	all, err := a.Archive.Networks(ctx)
	names := []string{}
	for _, n := range all {
		names = append(names, n.Name)
	}
	return sendJSON(http.StatusOK, struct {
		Name     string   `json:"name"`
		Version  string   `json:"version"`
		Networks []string `json:"networks"`
	}{"permanode", a.Version, names}, err)
}

type list[T any] struct {
	Items      []T            `json:"items"`
	NextCursor *string        `json:"next_cursor"` // null on the last page
	Total      query.Total    `json:"total"`
	Coverage   []query.Extent `json:"coverage"` // one a network searched
}

func newList[T any](items []T, next string, total query.Total, searched []query.Extent) list[T] {
	l := list[T]{Items: items, Total: total, Coverage: searched}
	if next != "" {
		l.NextCursor = &next
	}
	if l.Items == nil {
		l.Items = []T{}
	}
	if l.Coverage == nil {
		l.Coverage = []query.Extent{}
	}
	return l
}

func (a *service) networks(ctx context.Context, q *request) (writer, error) {
	type item struct {
		Network  string `json:"network"`
		Era      string `json:"era"`
		Identity string `json:"identity"`
	}
	all, err := a.Archive.Networks(ctx)
	if err != nil {
		return nil, err
	}
	var items []item
	var extents []query.Extent
	for _, n := range all {
		e, err := a.Archive.Extent(ctx, n)
		if err != nil {
			return nil, err
		}
		items = append(items, item{n.Name, string(n.Era), n.Identity})
		extents = append(extents, e)
	}
	q.noted.rows = uint64(len(items))
	return sendJSON(http.StatusOK, newList(items, "", query.Total{Value: uint64(len(items)), Relation: query.Exact}, extents), nil)
}

func (a *service) coverage(ctx context.Context, q *request) (writer, error) {
	n, err := a.network(ctx, q)
	if err != nil {
		return nil, err
	}
	c, err := a.Archive.Coverage(ctx, n)
	if err != nil {
		return nil, err
	}
	return keptJSON(cacheNever, c)
}

func (a *service) network(ctx context.Context, q *request) (query.Network, error) {
	found, err := a.Archive.Select(ctx, q.vars["net"])
	if err != nil {
		return query.Network{}, err
	}
	return found[0], nil
}

func (a *service) unit(ctx context.Context, q *request) (writer, error) {
	n, seq, err := a.networkUnit(ctx, q)
	if err != nil {
		return nil, err
	}
	shown, unit, _, err := a.Archive.Unit(ctx, n, seq)
	if err != nil {
		return nil, err
	}
	q.noted.rows = 1
	switch q.params["format"] {
	case "":
		return keptJSON(cacheShort, shown)
	case "json":
		body, err := n.Codec.UnitJSON(unit)
		return kept(cacheForever, "application/json", body), err
	case "raw":
		return keptParts(q, n.Codec.Head(unit)), nil
	}
	return nil, problem("bad-parameter", "format=%s is unknown for a unit: use format=raw for the signed bytes, format=json for the node's own form, or leave it out", query.Quote(q.params["format"]))
}

func (a *service) networkUnit(ctx context.Context, q *request) (query.Network, uint64, error) {
	n, err := a.network(ctx, q)
	if err != nil {
		return query.Network{}, 0, err
	}
	seq, err := parseSeq(q.vars["seq"])
	return n, seq, err
}

func (a *service) unitRecords(ctx context.Context, q *request) (writer, error) {
	n, seq, err := a.networkUnit(ctx, q)
	if err != nil {
		return nil, err
	}
	limit, err := parseLimit(q.params)
	if err != nil {
		return nil, err
	}
	got, err := a.Archive.UnitRecords(ctx, n, seq, q.params["cursor"], limit)
	if err != nil {
		return nil, err
	}
	q.noted.rows = uint64(len(got.Records))
	page := newList(got.Records, got.Next, got.Total, []query.Extent{got.Searched})
	return q.page(page, page.NextCursor)
}

func (a *service) record(ctx context.Context, q *request) (writer, error) {
	n, err := a.network(ctx, q)
	if err != nil {
		return nil, err
	}
	switch q.params["format"] {
	case "", "raw", "json":
	default:
		return nil, problem("bad-parameter", "format=%s is unknown for a record: use format=raw for the exact bytes, format=json for the node's own form, or leave it out", query.Quote(q.params["format"]))
	}
	r, err := a.Archive.Resource(ctx, n, q.vars["id"])
	if err != nil {
		return nil, err
	}
	q.noted.rows = 1
	switch q.params["format"] {
	case "raw":
		return keptParts(q, query.Object(&r)), nil
	case "json":
		body, err := n.Codec.JSON(&r)
		return kept(cacheForever, "application/json", body), err
	}
	described, err := a.Archive.Describe(ctx, n, &r)
	if err != nil {
		return nil, err
	}
	return keptJSON(cacheShort, described)
}

func (a *service) places(ctx context.Context, q *request) (writer, error) {
	limit, err := parseLimit(q.params)
	if err != nil {
		return nil, err
	}
	searched, err := a.Archive.Select(ctx, q.params["network"])
	if err != nil {
		return nil, err
	}
	found, err := a.Archive.Find(ctx, searched, q.vars["id"], q.params["cursor"], limit)
	if err != nil {
		return nil, err
	}
	var items []query.Place
	for _, hit := range found.Hits {
		p, err := a.Archive.Place(ctx, hit)
		if err != nil {
			return nil, err
		}
		items = append(items, p)
	}
	q.noted.rows = uint64(len(items))
	page := newList(items, found.Next, found.Total, found.Searched)
	return q.page(page, page.NextCursor)
}
