package query

// Bounds sets what the planner answers from the store: a test that sets them to nothing or to everything forces its way.
func (a *Archive) Bounds(candidates uint64, tags int) {
	a.bounds = bounds{fewCandidates: candidates, mostCandidates: candidates, fewTags: tags, mostTags: tags, page: a.bounds.page}
}

// Stored sets how many records may be looked at for keys that the index does not hold.
func (a *Archive) Stored(most uint64) { a.bounds.mostCandidates = most }

// Page sets how many hits a walk over all of them takes at once.
func (a *Archive) Page(hits int) { a.bounds.page = hits }
