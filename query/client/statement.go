package client

import (
	"context"
	"iter"
	"net/url"
	"strconv"

	"permanode/query"
)

// Statement says what a statement is of: an address, and a period of which both ends belong to it.
type Statement struct {
	Address string
	Network string // empty: every one that reads the address
	From    string // as docs/api.md has it, unit:81, 2026-11 or a time; empty: the first unit that is held
	To      string // empty: the newest unit
	Asset   string // empty: all; query.BaseCoins, or a token
	Limit   int    // of a page; 0: the service's own
	Cursor  string // of the page before; empty: the first
}

func (s *Statement) params() url.Values {
	params := url.Values{}
	for name, value := range map[string]string{"network": s.Network, "from": s.From, "to": s.To, "asset": s.Asset, "cursor": s.Cursor} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if s.Limit > 0 {
		params.Set("limit", strconv.Itoa(s.Limit))
	}
	return params
}

// StatementPage returns one page of lines, with the balances at both ends of the period.
func (c *Client) StatementPage(ctx context.Context, s Statement) (out query.Statement, err error) {
	if s.Address == "" {
		return out, errNoID
	}
	return out, c.getJSON(ctx, statementPath(s.Address), s.params(), &out, func() bool { return out.Accounts != nil && out.Items != nil })
}

func statementPath(address string) string {
	return "/v1/addresses/" + url.PathEscape(address) + "/statement"
}

// StatementLines gives the lines of all pages. An error is the last that it gives. Into first, unless it is nil, goes the
// first page: the balances stand there.
func (c *Client) StatementLines(ctx context.Context, s Statement, first *query.Statement) iter.Seq2[query.StatementLine, error] {
	if first == nil {
		first = &query.Statement{}
	}
	return func(yield func(query.StatementLine, error) bool) {
		page := s
		if page.Limit == 0 {
			page.Limit = MaxPage
		}
		for {
			got, err := c.StatementPage(ctx, page)
			if err != nil {
				yield(query.StatementLine{}, err)
				return
			}
			if page.Cursor == s.Cursor {
				*first = got
			}
			for _, l := range got.Items {
				if !yield(l, nil) {
					return
				}
			}
			if got.NextCursor == nil || len(got.Items) == 0 {
				return
			}
			page.Cursor = *got.NextCursor
		}
	}
}
