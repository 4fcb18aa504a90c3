package query

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/ledger"
)

// hits is the answer to a search: a list, and how the query was read.
type hits struct {
	Query      string            `json:"query"` // canonical text
	Taken      []Taken           `json:"taken,omitempty"`
	Items      []Item            `json:"items"`
	NextCursor *string           `json:"next_cursor"` // null on the last page
	Total      Total             `json:"total"`
	Coverage   []Extent          `json:"coverage"` // one a network searched, in the order of the items
	Complete   bool              `json:"complete"` // all of what was asked was searched
	Facets     map[string]Facets `json:"facets,omitempty"`
}

func (a *Archive) hits(ctx context.Context, req SearchRequest) (hits, error) {
	got, err := a.Search(ctx, req)
	if err != nil {
		return hits{}, err
	}
	out := hits{
		Query: got.Query, Taken: got.Taken, Total: got.Total, Coverage: got.Searched, Complete: got.Complete, Facets: got.Facets,
	}
	if out.Coverage == nil {
		out.Coverage = []Extent{}
	}
	if got.Next != "" {
		out.NextCursor = &got.Next
	}
	out.Items, err = a.Items(ctx, got.Hits)
	return out, err
}

// listParams are the parameters of every list of hits.
var listParams = []string{"network", "order", "limit", "cursor", "facets"}

// request reads them.
func (a *api) searchRequest(ctx context.Context, q *request, query string) (req SearchRequest, err error) {
	req.Query, req.Cursor = query, q.params["cursor"]
	if req.Networks, err = a.Archive.Select(ctx, q.params["network"]); err != nil {
		return req, err
	}
	if req.Limit, err = parseLimit(q.params); err != nil {
		return req, err
	}
	switch q.params["order"] {
	case "", "newest":
	case "oldest":
		req.Order = OldestFirst
	default:
		return req, problem("bad-parameter", "order=%s is unknown: use newest or oldest", quote(q.params["order"]))
	}
	if names := q.params["facets"]; names != "" {
		for name := range strings.SplitSeq(names, ",") {
			if !slices.Contains(FacetNames, name) || slices.Contains(req.Facets, name) {
				return req, problem("bad-parameter", "facets=%s: name each of %s once at most, with commas between", quote(names), strings.Join(FacetNames, ", "))
			}
			req.Facets = append(req.Facets, name)
		}
	}
	return req, nil
}

// found answers a search, and notes it.
func (a *api) found(ctx context.Context, q *request, req SearchRequest) (hits, error) {
	found, err := a.Archive.hits(ctx, req)
	q.noted.query, q.noted.rows = found.Query, uint64(len(found.Items))
	return found, err
}

func (a *api) search(ctx context.Context, q *request) (writer, error) {
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
	return nil, problem("bad-parameter", "explain=%s is unknown: use explain=true, or leave it out", quote(q.params["explain"]))
}

// maxTag is the length of the longest tag that a query can name, in hex. Eras have shorter ones.
const maxTag = (lang.MaxBytes - len("tag:0x")) / 2

// tag lists what has a tag, in hex or as it is.
func (a *api) tag(ctx context.Context, q *request) (writer, error) {
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
	Balances []accountBalance `json:"balances"` // one a network that reads the address, in the order of the items
	hits
}

// accountBalance is a Balance, or why there is none.
type accountBalance struct {
	Network string  `json:"network"`
	Address string  `json:"address"`
	Seq     *uint64 `json:"seq"`
	Time    *string `json:"time"`
	Coins   *string `json:"coins"`
	Tokens  []Token `json:"tokens"`
	Why     string  `json:"why,omitempty"` // why the rest is null
}

func (a *api) address(ctx context.Context, q *request) (writer, error) {
	at, err := ParseMoment(q.params["at"])
	if err != nil {
		return nil, problem("bad-parameter", "at=%s: %v", quote(q.params["at"]), err)
	}
	req, err := a.searchRequest(ctx, q, lang.Ident{Field: "addr", Text: q.vars["addr"], Quoted: true}.String())
	if err != nil {
		return nil, err
	}
	out := account{Balances: []accountBalance{}}
	if out.hits, err = a.found(ctx, q, req); err != nil {
		return nil, asID(err)
	}
	for _, e := range out.Coverage {
		i := slices.IndexFunc(req.Networks, func(n Network) bool { return n.Name == e.Network })
		n := req.Networks[i]
		keys, err := a.Archive.identifiers(ctx, n, q.vars["addr"])
		if err != nil {
			return nil, err
		}
		for _, key := range ofField(keys, "addr") {
			b, err := a.accountBalance(ctx, n, key.Val, at)
			if err != nil {
				return nil, err
			}
			out.Balances = append(out.Balances, b)
		}
	}
	return q.page(out, out.NextCursor)
}

// asID maps what is wrong with a query that one identifier of the path made: it is no address.
func asID(err error) error {
	var bad *QueryError
	var syntax *lang.SyntaxError
	switch {
	case errors.As(err, &bad):
		return problem("bad-id", "%s; %s", bad.What, bad.Fix)
	case errors.As(err, &syntax):
		return problem("bad-id", "it cannot be read (%s): check its prefix, length and letters", syntax.What)
	}
	return err
}

func (a *api) accountBalance(ctx context.Context, n Network, owner string, at Moment) (accountBalance, error) {
	b, err := a.Archive.Balance(ctx, n, owner, at)
	var unknown *NoBalanceError
	if errors.As(err, &unknown) {
		return accountBalance{
			Network: n.Name, Address: n.Codec.FormatOwner(owner, n.Rules), Tokens: []Token{}, Why: unknown.Why + "; " + unknown.Hint(),
		}, nil
	}
	if err != nil {
		return accountBalance{}, err
	}
	return accountBalance{Network: b.Network, Address: b.Address, Seq: &b.Seq, Time: &b.Time, Coins: &b.Coins, Tokens: b.Tokens}, nil
}

// Explanation says how a query is read and answered, without answering it.
type Explanation struct {
	Query    string               `json:"query"` // canonical text
	Taken    []Taken              `json:"taken,omitempty"`
	Tree     map[string]any       `json:"tree"`
	Networks []NetworkExplanation `json:"networks"` // in the order of the hits
}

// NetworkExplanation is a query in one network.
type NetworkExplanation struct {
	Network string         `json:"network"`
	Plan    string         `json:"plan"` // "none", "keys", "candidates" or "index"
	Tree    map[string]any `json:"tree"` // with the meaning of terms there
}

// Explain says how a query is read and would be answered.
func (a *Archive) Explain(ctx context.Context, req SearchRequest) (Explanation, error) {
	s, err := a.prepare(ctx, req)
	if err != nil {
		return Explanation{}, err
	}
	word := func(k ledger.KeyKind) string { return kindNames[k] }
	out := Explanation{Query: s.text, Taken: s.taken, Tree: lang.Explain(s.node, word), Networks: []NetworkExplanation{}}
	for _, n := range s.networks {
		p, err := a.plan(ctx, n)
		if err != nil {
			return out, fmt.Errorf("plan for %s: %w", n.Name, err)
		}
		out.Networks = append(out.Networks, NetworkExplanation{n.Name, p.how, lang.Explain(n.node, word)})
	}
	return out, nil
}
