package query

import (
	"context"
	"net/http"
)

// status is GET /v1/status: every network, with what the service does for it.
func (a *api) status(ctx context.Context, _ *request) (writer, error) {
	all, err := a.Archive.Networks(ctx)
	if err != nil {
		return nil, err
	}
	live := map[string]Live{}
	if a.Live != nil {
		live = a.Live()
	}
	items := []Status{}
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
		Version  string   `json:"version"`
		Networks []Status `json:"networks"`
	}{a.Version, items}, nil)
}
