package main

import (
	"context"
	"fmt"
	"net/url"

	"permanode/query"
	"permanode/storage"
)

// placesPage is a page of GET /v1/records/{id}.
type placesPage struct {
	Items []query.Place `json:"items"`
	Next  *string       `json:"next_cursor"`
}

// getFrom is get, asked of a running service.
func (p *program) getFrom(ctx context.Context, c *client, id string, g *getFlags) error {
	if id == "" {
		return usagef("name an id, an address, or anything else that the era's tools show", "an empty text is no identifier")
	}
	one := g.raw || g.format != ""
	places, err := c.places(ctx, id, g.network)
	if err != nil {
		return err
	}
	if len(places) == 0 {
		return fmt.Errorf("%q of network %s: %w", id, g.network, storage.ErrNotFound)
	}
	if one && len(places) != 1 {
		return usagef("permanode get without it lists them; ask for one by its own id, or name its --network",
			"%s has %d places, and --raw and --format json print one", id, len(places))
	}
	for _, place := range places {
		if err := p.printPlace(ctx, c, place, g); err != nil {
			return err
		}
	}
	return nil
}

// places returns all places that answer an identifier, in the network named or in all.
func (c *client) places(ctx context.Context, id, network string) (all []query.Place, err error) {
	params := url.Values{"limit": {"1000"}}
	for {
		var page placesPage
		if err := c.getJSON(ctx, "/v1/records/"+url.PathEscape(id), params, &page); err != nil {
			return nil, err
		}
		for _, place := range page.Items {
			if network == "" || place.Network == network {
				all = append(all, place)
			}
		}
		if page.Next == nil {
			return all, nil
		}
		params.Set("cursor", *page.Next)
	}
}

func (p *program) printPlace(ctx context.Context, c *client, place query.Place, g *getFlags) error {
	if g.raw || g.format != "" {
		form := "json"
		if g.raw {
			form = "raw"
		}
		body, err := c.get(ctx, place.Href, url.Values{"format": {form}})
		switch {
		case err != nil:
			return err
		case g.raw:
			return p.printf("%s", body)
		}
		return p.printf("%s\n", body)
	}
	hit := query.Hit{As: place.As, Roles: place.Roles}
	if place.Pos == nil {
		var unit query.Unit
		if err := c.getJSON(ctx, place.Href, nil, &unit); err != nil {
			return err
		}
		if g.json {
			return p.printJSON(unit)
		}
		return p.printf("%s", unitText(unit, hit))
	}
	r := linkedRecord{Continues: place.Continues, ContinuedBy: place.ContinuedBy}
	if err := c.getJSON(ctx, place.Href, nil, &r.Record); err != nil {
		return err
	}
	if g.json {
		return p.printJSON(r)
	}
	return p.printf("%s", recordText(r, hit))
}
