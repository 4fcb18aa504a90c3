package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"

	"permanode/query"
	"permanode/query/api"
)

// MaxBatch is how many identifiers a service takes at once.
const MaxBatch = 1000

// Found is the answer to one identifier of several.
type Found struct {
	ID     string
	Places []query.Place // the first ones, in the order of (network name, ordinal)
	More   bool          // there are others: Places gives all
	Err    error         // a *Problem, as for the identifier alone; then there are no places
}

// PlacesOf gives what each of many identifiers names, in one network or, with "", in all; in the order of ids, each by
// itself. An error that it gives ends it.
func (c *Client) PlacesOf(ctx context.Context, ids []string, network string) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		for rest := ids; len(rest) > 0; {
			some := rest[:min(len(rest), MaxBatch)]
			rest = rest[len(some):]
			found, err := c.batch(ctx, some, network)
			if err != nil {
				yield(Found{}, err)
				return
			}
			for _, f := range found {
				if !yield(f, nil) {
					return
				}
			}
		}
	}
}

func (c *Client) batch(ctx context.Context, ids []string, network string) ([]Found, error) {
	const path = "/v1/records"
	body, err := json.Marshal(map[string][]string{"ids": ids})
	if err != nil {
		return nil, fmt.Errorf("ask for %d identifiers: %w", len(ids), err)
	}
	params := url.Values{}
	if network != "" {
		params.Set("network", network)
	}
	raw, err := c.whole(ctx, call{path: path, params: params, accept: mediaJSON, body: body})
	if err != nil {
		return nil, err
	}
	var got struct {
		Items []struct {
			ID      string        `json:"id"`
			Places  []query.Place `json:"places"`
			Next    *string       `json:"next_cursor"`
			Problem *api.Problem  `json:"problem"`
		} `json:"items"`
	}
	if err := c.decode(path, raw, &got, func() bool { return got.Items != nil }); err != nil {
		return nil, err
	}
	if len(got.Items) != len(ids) {
		return nil, &NoServiceError{Asked: c.base + path, Err: fmt.Errorf("%d answers came to %d identifiers", len(got.Items), len(ids))}
	}
	out := make([]Found, len(ids))
	for i, item := range got.Items {
		if item.Places == nil && item.Problem == nil {
			return nil, &NoServiceError{Asked: c.base + path, Err: fmt.Errorf("the answer to %s has neither places nor a problem", show(ids[i]))}
		}
		out[i] = Found{ID: ids[i], Places: item.Places, More: item.Next != nil}
		if item.Problem != nil {
			out[i].Err = &Problem{Problem: *item.Problem}
		}
	}
	return out, nil
}
