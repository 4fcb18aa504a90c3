package api

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/query"
)

// hits is the answer to a search: a list, and how the query was read.
type hits struct {
	Query      string                  `json:"query"` // canonical text
	Taken      []query.Taken           `json:"taken,omitempty"`
	Items      []query.Item            `json:"items"`
	NextCursor *string                 `json:"next_cursor"` // null on the last page
	Total      query.Total             `json:"total"`
	Coverage   []query.Extent          `json:"coverage"` // one a network searched, in the order of the items
	Complete   bool                    `json:"complete"` // all of what was asked was searched
	Facets     map[string]query.Facets `json:"facets,omitempty"`
}

func (a *service) hits(ctx context.Context, req query.SearchRequest) (hits, error) {
	got, err := a.Archive.Search(ctx, req)
	if err != nil {
		return hits{}, err
	}
	out := hits{
		Query: got.Query, Taken: got.Taken, Total: got.Total, Coverage: got.Searched, Complete: got.Complete, Facets: got.Facets,
	}
	if out.Coverage == nil {
		out.Coverage = []query.Extent{}
	}
	if got.Next != "" {
		out.NextCursor = &got.Next
	}
	out.Items, err = a.Archive.Items(ctx, got.Hits)
	return out, err
}

// listParams are the parameters of every list of hits.
var listParams = []string{"network", "order", "limit", "cursor", "facets"}

// request reads them.
func (a *service) searchRequest(ctx context.Context, q *request, text string) (req query.SearchRequest, err error) {
	req.Query, req.Cursor = text, q.params["cursor"]
	if req.Networks, err = a.Archive.Select(ctx, q.params["network"]); err != nil {
		return req, err
	}
	if req.Limit, err = parseLimit(q.params); err != nil {
		return req, err
	}
	switch q.params["order"] {
	case "", "newest":
	case "oldest":
		req.Order = query.OldestFirst
	default:
		return req, problem("bad-parameter", "order=%s is unknown: use newest or oldest", query.Quote(q.params["order"]))
	}
	if names := q.params["facets"]; names != "" {
		for name := range strings.SplitSeq(names, ",") {
			if !slices.Contains(query.FacetNames, name) || slices.Contains(req.Facets, name) {
				return req, problem("bad-parameter", "facets=%s: name each of %s once at most, with commas between", query.Quote(names), strings.Join(query.FacetNames, ", "))
			}
			req.Facets = append(req.Facets, name)
		}
	}
	return req, nil
}

// found answers a search, and notes it.
func (a *service) found(ctx context.Context, q *request, req query.SearchRequest) (hits, error) {
	found, err := a.hits(ctx, req)
	q.noted.query, q.noted.rows = found.Query, uint64(len(found.Items))
	return found, err
}

func (a *service) search(ctx context.Context, q *request) (writer, error) {
	req, err := a.searchRequest(ctx, q, q.params["q"])
	if err != nil {
		return nil, err
	}
	switch q.params["explain"] {
	case "":
		found, err := a.found(ctx, q, req)
		if err != nil {
			return nil, err
		}
		return q.page(found, found.NextCursor)
	case "true":
		e, err := a.Archive.Explain(ctx, req)
		q.noted.query = e.Query
		return sendJSON(http.StatusOK, e, err)
	}
	return nil, problem("bad-parameter", "explain=%s is unknown: use explain=true, or leave it out", query.Quote(q.params["explain"]))
}

// maxTag is the length of the longest tag that a query can name, in hex. Eras have shorter ones.
const maxTag = (lang.MaxBytes - len("tag:0x")) / 2

// tag lists what has a tag, in hex or as it is.
func (a *service) tag(ctx context.Context, q *request) (writer, error) {
	raw, err := lang.Ident{Field: "tag", Text: q.vars["tag"]}.Tag()
	if err != nil {
		var bad *lang.SyntaxError
		_ = errors.As(err, &bad)
		return nil, problem("bad-id", "%s; write the bytes in hex behind 0x, or the text, percent-encoded", bad.What)
	}
	if len(raw) > maxTag {
		return nil, problem("bad-id", "the tag has %d bytes, the most that can be asked for is %d", len(raw), maxTag)
	}
	req, err := a.searchRequest(ctx, q, lang.Ident{Field: "tag", Text: "0x" + hex.EncodeToString(raw)}.String())
	if err != nil {
		return nil, err
	}
	found, err := a.found(ctx, q, req)
	if err != nil {
		return nil, err
	}
	return q.page(found, found.NextCursor)
}

// account is the answer to GET /v1/addresses/{addr}: what it holds, and its history.
type account struct {
	Balances []query.AccountBalance `json:"balances"` // one a network that reads the address, in the order of the items
	hits
}

func (a *service) address(ctx context.Context, q *request) (writer, error) {
	at, err := query.ParseMoment(q.params["at"])
	if err != nil {
		return nil, problem("bad-parameter", "at=%s: %v", query.Quote(q.params["at"]), err)
	}
	req, err := a.searchRequest(ctx, q, lang.Ident{Field: "addr", Text: q.vars["addr"], Quoted: true}.String())
	if err != nil {
		return nil, err
	}
	out := account{Balances: []query.AccountBalance{}}
	if out.hits, err = a.found(ctx, q, req); err != nil {
		return nil, asID(err)
	}
	for _, e := range out.Coverage {
		i := slices.IndexFunc(req.Networks, func(n query.Network) bool { return n.Name == e.Network })
		held, err := a.Archive.Balances(ctx, req.Networks[i], q.vars["addr"], at)
		if err != nil {
			return nil, err
		}
		out.Balances = append(out.Balances, held...)
	}
	return q.page(out, out.NextCursor)
}

// asID maps what is wrong with a query that one identifier of the path made: it is no address.
func asID(err error) error {
	var bad *query.QueryError
	var syntax *lang.SyntaxError
	switch {
	case errors.As(err, &bad):
		return problem("bad-id", "%s; %s", bad.What, bad.Fix)
	case errors.As(err, &syntax):
		return problem("bad-id", "it cannot be read (%s): check its prefix, length and letters", syntax.What)
	}
	return err
}
