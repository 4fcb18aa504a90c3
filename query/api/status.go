package api

import (
	"context"
	"net/http"

	"permanode/query"
)

// status is GET /v1/status: every network, with what the service does for it.
func (a *service) status(ctx context.Context, _ *request) (writer, error) {
	all, err := a.Archive.Networks(ctx)
	if err != nil {
		return nil, err
	}
	live := map[string]query.Live{}
	if a.Live != nil {
		live = a.Live()
	}
	items := []query.Status{}
	for _, n := range all {
		s, err := a.Archive.Status(ctx, n)
		if err != nil {
			return nil, err
		}
		if l, ok := live[n.Name]; ok {
			s.Live = &l
		}
		items = append(items, s)
	}
	return sendJSON(http.StatusOK, struct {
		Version  string         `json:"version"`
		Networks []query.Status `json:"networks"`
	}{a.Version, items}, nil)
}
