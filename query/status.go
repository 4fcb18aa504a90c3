package query

import (
	"context"
	"fmt"

	"permanode/internal/ranges"
)

// Status is one network as `status` shows it and GET /v1/status lists it: what is held, and what a running service does
// for it.
type Status struct {
	Coverage
	Newest *uint64           `json:"newest_held"` // null: nothing yet
	Time   *string           `json:"newest_time"` // signed time of that unit
	States string            `json:"states"`      // "replay", "claims", "stated"; "none" while nothing is held
	Notes  map[string]uint64 `json:"notes"`       // how often collecting met something; never null
	Index  *IndexStatus      `json:"index"`       // null: there is no search index
	Live   *Live             `json:"live"`        // null: no service collects it
}

// IndexStatus says how far the search index is.
type IndexStatus struct {
	Ranges  []Range `json:"ranges"`  // units in the index; never null
	Lag     uint64  `json:"lag"`     // units that are held and not in the index
	Docs    uint64  `json:"docs"`    // records and units in it
	Shards  int     `json:"shards"`  // parts on disk
	Bytes   uint64  `json:"bytes"`   // on disk
	Problem string  `json:"problem"` // why it does not go on; "" if all is well
}

// Live is what a running service does for a network.
type Live struct {
	Phase    string       `json:"phase"`    // "starting", "catching-up", "following", "waiting" or "stopped"
	Sentence string       `json:"sentence"` // what is going on
	Newest   uint64       `json:"newest"`   // newest unit that a source claims to have
	Lag      uint64       `json:"lag"`      // units confirmed there and not held here
	Pending  int          `json:"pending"`  // units above a gap whose bytes are here, not served
	Sources  []LiveSource `json:"sources"`  // never null
	Feeds    []LiveFeed   `json:"feeds"`    // never null
}

// LiveSource is a node that is asked for bytes.
type LiveSource struct {
	Name     string `json:"name"`
	Software string `json:"software"`
	Newest   uint64 `json:"newest"`
	OK       bool   `json:"ok"`
	Problem  string `json:"problem"` // the last one; "" if it never failed
}

// LiveFeed is a connection that rings when units come.
type LiveFeed struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	Sentence  string `json:"sentence"` // how it does, for a person
}

// Status returns what the archive tells of a network's status; Live is nil.
func (a *Archive) Status(ctx context.Context, n Network) (Status, error) {
	cov, err := a.Coverage(ctx, n)
	if err != nil {
		return Status{}, err
	}
	out := Status{Coverage: cov, States: "none", Notes: map[string]uint64{}}
	var have ranges.Set
	for _, r := range cov.Ranges {
		have.Add(r.From, r.To)
	}
	if len(cov.Ranges) > 0 {
		u, _, _, err := a.Unit(ctx, n, cov.Ranges[len(cov.Ranges)-1].To)
		if err != nil {
			return out, err
		}
		out.Newest, out.Time, out.States = &u.Seq, &u.Time, u.States
	}
	for note, err := range a.store.Notes(ctx, n.ID) {
		if err != nil {
			return out, fmt.Errorf("notes of %s: %w", n.Name, err)
		}
		out.Notes[string(note.Kind)]++
	}
	if a.index != nil {
		s := a.index.Status(n.ID)
		out.Index = &IndexStatus{
			Ranges: rangesOf(s.Done), Lag: have.Minus(s.Done).Len(), Docs: s.Docs, Shards: s.Shards, Bytes: s.Bytes, Problem: s.Problem,
		}
	}
	return out, nil
}
