package query

import "time"

// Bounds sets what the planner answers from the store: a test that sets them to nothing or to everything forces its way.
func (a *Archive) Bounds(candidates uint64, tags int) {
	a.bounds = bounds{fewCandidates: candidates, mostCandidates: candidates, fewTags: tags, mostTags: tags, page: a.bounds.page, patience: a.bounds.patience}
}

// Stored sets how many records may be looked at for keys that the index does not hold.
func (a *Archive) Stored(most uint64) { a.bounds.mostCandidates = most }

// Page sets how many hits a walk over all of them takes at once.
func (a *Archive) Page(hits int) { a.bounds.page = hits }

// Patience sets how long an export waits for the index.
func (a *Archive) Patience(d time.Duration) { a.bounds.patience = d }
