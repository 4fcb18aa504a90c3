package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
	"strings"

	"permanode/query"
)

// MaxPage is how many items a service gives at once.
const MaxPage = 1000

// Question is a search: what, where, in which order, and which part of the answer.
type Question struct {
	Query   string // docs/query.md; empty: everything
	Network string // empty: all
	Oldest  bool   // oldest first, the exact reverse
	Limit   int    // most items, of all pages together; 0: all of them for Search, one usual page for a Page
	Cursor  string // go on behind the page that ended with this cursor
	Facets  []string
}

func (q Question) params() url.Values {
	params := url.Values{}
	for name, value := range map[string]string{"network": q.Network, "cursor": q.Cursor, "facets": strings.Join(q.Facets, ",")} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if q.Oldest {
		params.Set("order", "oldest")
	}
	if q.Limit > 0 {
		params.Set("limit", strconv.Itoa(min(q.Limit, MaxPage)))
	}
	return params
}

// Summary is what an answer says beside its items.
type Summary struct {
	Query      string                  `json:"query"` // canonical text
	Taken      []query.Taken           `json:"taken"` // of a query that is one bare word: what it was taken for
	NextCursor *string                 `json:"next_cursor"`
	Total      query.Total             `json:"total"`
	Coverage   []query.Extent          `json:"coverage"` // one a network searched, in the order of the items
	Complete   bool                    `json:"complete"` // all of what was asked was searched
	Facets     map[string]query.Facets `json:"facets"`
}

// join adds what a later page says: that something was not searched after all.
func (s *Summary) join(later Summary) {
	s.NextCursor = later.NextCursor
	if s.Complete && !later.Complete {
		s.Complete, s.Coverage, s.Total.Relation, s.Total.Why = false, later.Coverage, later.Total.Relation, later.Total.Why
	}
}

// Page is one page of hits.
type Page struct {
	Summary
	Items []query.Item `json:"items"`
}

// told reports that a page has what every page has; one without items is the last.
func (p *Page) told() bool {
	return p.Items != nil && p.Coverage != nil && (p.NextCursor == nil || len(p.Items) > 0)
}

// SearchPage returns one page of what a query finds, at most MaxPage items.
func (c *Client) SearchPage(ctx context.Context, q Question) (out Page, err error) {
	params := q.params()
	params.Set("q", q.Query)
	return out, c.getJSON(ctx, "/v1/search", params, &out, out.told)
}

// Search gives what a query finds, over all pages. An error is the last that it gives. Into sum, unless it is nil, goes
// what the answer says beside its items: of the first page, and of later ones whether all was searched there too.
func (c *Client) Search(ctx context.Context, q Question, sum *Summary) iter.Seq2[query.Item, error] {
	if sum == nil {
		sum = &Summary{}
	}
	return func(yield func(query.Item, error) bool) {
		page, limit := q, q.Limit
		for left := limit; ; {
			page.Limit = MaxPage
			if limit > 0 {
				page.Limit = min(left, MaxPage)
			}
			got, err := c.SearchPage(ctx, page)
			if err != nil {
				yield(query.Item{}, err)
				return
			}
			if page.Cursor == q.Cursor {
				*sum = got.Summary
			} else {
				sum.join(got.Summary)
			}
			for _, item := range got.Items {
				if !yield(item, nil) {
					return
				}
			}
			left -= len(got.Items)
			if got.NextCursor == nil || limit > 0 && left <= 0 {
				return
			}
			page.Cursor, page.Facets = *got.NextCursor, nil
		}
	}
}

// Explain says how a query is understood and answered, and searches nothing: the JSON of a query.Explanation.
func (c *Client) Explain(ctx context.Context, q Question) (json.RawMessage, error) {
	params := q.params()
	params.Set("q", q.Query)
	params.Set("explain", "true")
	return c.whole(ctx, call{path: "/v1/search", params: params, accept: mediaJSON})
}

// Tag returns one page of what has a tag.
func (c *Client) Tag(ctx context.Context, tag []byte, q Question) (out Page, err error) {
	return out, c.getJSON(ctx, "/v1/tags/0x"+hex.EncodeToString(tag), q.params(), &out, out.told)
}

// Address returns what an address held at a moment (empty: now; else as in docs/api.md, unit:81 or 2026-11-24), and one
// page of its history.
func (c *Client) Address(ctx context.Context, address, at string, q Question) (out Account, err error) {
	if address == "" {
		return out, errNoID
	}
	params := q.params()
	if at != "" {
		params.Set("at", at)
	}
	return out, c.getJSON(ctx, "/v1/addresses/"+url.PathEscape(address), params, &out, func() bool { return out.Balances != nil && out.told() })
}

// UnitRecords gives the rows of a unit's records, in order.
func (c *Client) UnitRecords(ctx context.Context, network string, seq uint64) iter.Seq2[query.Row, error] {
	return pages[query.Row](ctx, c, unitPath(network, seq)+"/records", nil)
}

// Places gives the places that an identifier names, in one network or, with "", in all, in the order of (network name,
// ordinal).
func (c *Client) Places(ctx context.Context, id, network string) iter.Seq2[query.Place, error] {
	if id == "" {
		return func(yield func(query.Place, error) bool) { yield(query.Place{}, errNoID) }
	}
	params := url.Values{}
	if network != "" {
		params.Set("network", network)
	}
	return pages[query.Place](ctx, c, "/v1/records/"+url.PathEscape(id), params)
}

// pages gives the items of a list, over all its pages. An error is the last that it gives.
func pages[T any](ctx context.Context, c *Client, path string, params url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next := url.Values{"limit": {strconv.Itoa(MaxPage)}}
		for name, values := range params {
			next[name] = values
		}
		for {
			var page struct {
				Items []T     `json:"items"`
				Next  *string `json:"next_cursor"`
			}
			if err := c.getJSON(ctx, path, next, &page, func() bool { return page.Items != nil && (page.Next == nil || len(page.Items) > 0) }); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == nil {
				return
			}
			next.Set("cursor", *page.Next)
		}
	}
}
