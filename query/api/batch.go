package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"

	"permanode/query"
)

const (
	maxBatch    = 1000 // identifiers in one request
	batchPlaces = 10   // places of each
)

// batchItem is the answer to one identifier of a batch: its first places, or what is wrong with it.
type batchItem struct {
	ID         string        `json:"id"`
	Places     []query.Place `json:"places"`
	NextCursor *string       `json:"next_cursor"` // for GET /v1/records/{id}; null: these are all
	Total      *query.Total  `json:"total"`       // null with a problem
	Problem    *Problem      `json:"problem"`     // null: there are places
}

// batch answers many identifiers at once, each by itself.
func (a *service) batch(ctx context.Context, q *request) (writer, error) {
	var asked struct {
		IDs *[]string `json:"ids"`
	}
	if err := q.readJSON(&asked, "ids"); err != nil {
		return nil, err
	}
	switch {
	case asked.IDs == nil:
		return nil, problem("bad-body", "the body has no member ids: send {\"ids\":[\"…\"]}")
	case len(*asked.IDs) > maxBatch:
		return nil, problem("bad-body", "ids has %d entries, the most is %d: send several requests", len(*asked.IDs), maxBatch)
	}
	networks, err := a.Archive.Select(ctx, q.params["network"])
	if err != nil {
		return nil, err
	}
	extents, err := a.Archive.Extents(ctx, networks)
	if err != nil {
		return nil, err
	}
	// The trail cuts what is very long: then the hash still says what was asked, if the asker's list is shown.
	q.noted.query = fmt.Sprintf("%d ids, SHA-256 of the request %x: %s", len(*asked.IDs), sha256.Sum256(q.body), strings.Join(*asked.IDs, " "))
	items := make([]batchItem, 0, len(*asked.IDs))
	for _, id := range *asked.IDs {
		item, err := a.batchItem(ctx, networks, id)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			if item.Problem = problemOf(err); item.Problem.Status >= http.StatusInternalServerError {
				a.Log.Error("identifier of a batch failed", "id", query.Quote(id), "err", err)
			}
			item.Problem.Coverage = nil // the answer says it once
		}
		q.noted.rows += uint64(len(item.Places))
		items = append(items, item)
	}
	if extents == nil {
		extents = []query.Extent{}
	}
	return sendJSON(http.StatusOK, struct {
		Items    []batchItem    `json:"items"`
		Coverage []query.Extent `json:"coverage"`
	}{items, extents}, nil)
}

func (a *service) batchItem(ctx context.Context, networks []query.Network, id string) (batchItem, error) {
	none := batchItem{ID: id, Places: []query.Place{}}
	found, err := a.Archive.Find(ctx, networks, id, "", batchPlaces)
	if err != nil {
		return none, err
	}
	out := none
	for _, hit := range found.Hits {
		p, err := a.Archive.Place(ctx, hit)
		if err != nil {
			return none, err
		}
		out.Places = append(out.Places, p)
	}
	if found.Next != "" {
		out.NextCursor = &found.Next
	}
	out.Total = &found.Total
	return out, nil
}
