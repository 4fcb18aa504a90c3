package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// Range is units From to To, both included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Gap is units that are wanted and not there.
type Gap struct {
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Reason string `json:"reason"`
}

// Coverage says what the archive holds of one network: the object of `coverage --json` and of
// GET /v1/networks/{net}/coverage.
type Coverage struct {
	Network string  `json:"network"`
	Era     string  `json:"era"`
	Ranges  []Range `json:"ranges"` // oldest first; never null
	Gaps    []Gap   `json:"gaps"`   // oldest first; never null
	Records uint64  `json:"records"`
	Bytes   uint64  `json:"bytes"` // exact received bytes of those records
}

// Extent is the coverage part of a list: what was searched, and whether anything is missing inside.
type Extent struct {
	Network  string  `json:"network"`
	Ranges   []Range `json:"ranges"`
	Gaps     []Gap   `json:"gaps"`
	Indexed  []Range `json:"indexed"`  // units in the search index; never null
	Complete bool    `json:"complete"` // something is held, without a gap; of a search: and all that was asked was searched
}

// Sentence says the extent in words: "1-115", "1-40 and 42-115, without 41 (…)", "nothing".
func (e Extent) Sentence() string {
	if len(e.Ranges) == 0 && len(e.Gaps) == 0 {
		return "no unit"
	}
	parts := make([]string, 0, len(e.Ranges))
	for _, r := range e.Ranges {
		parts = append(parts, span(r.From, r.To))
	}
	text := "units " + strings.Join(parts, " and ")
	if len(parts) == 0 {
		text = "no unit"
	}
	for i, g := range e.Gaps {
		lead := ", "
		if i == 0 {
			lead = ", without "
		}
		text += fmt.Sprintf("%s%s (%s)", lead, span(g.From, g.To), g.Reason)
	}
	return text
}

func span(lo, hi uint64) string {
	if lo == hi {
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d-%d", lo, hi)
}

// Extent returns the ranges and gaps of a network. What lies between two ranges and has no reason of its own is
// a gap too: nothing is passed over in silence.
func (a *Archive) Extent(ctx context.Context, n Network) (Extent, error) {
	e, _, err := a.extent(ctx, n)
	return e, err
}

func (a *Archive) extent(ctx context.Context, n Network) (Extent, storage.Coverage, error) {
	cov, err := a.store.Coverage(ctx, n.ID)
	if err != nil {
		return Extent{}, cov, fmt.Errorf("coverage of %s: %w", n.Name, err)
	}
	e := Extent{Network: n.Name, Ranges: []Range{}, Gaps: []Gap{}}
	have := cov.Set()
	var holes ranges.Set
	for i, r := range have.Ranges() {
		e.Ranges = append(e.Ranges, Range{r.Lo, r.Hi})
		if i > 0 {
			holes.Add(have.Ranges()[i-1].Hi+1, r.Lo-1)
		}
	}
	for _, g := range cov.Gaps {
		missing := ranges.Of(ranges.Range{Lo: g.From, Hi: g.To}).Minus(have)
		for _, r := range missing.Ranges() {
			e.Gaps = append(e.Gaps, Gap{r.Lo, r.Hi, g.Reason})
			holes.Remove(r.Lo, r.Hi)
		}
	}
	for _, r := range holes.Ranges() {
		e.Gaps = append(e.Gaps, Gap{r.Lo, r.Hi, "not collected: it lies between two spans"})
	}
	slices.SortFunc(e.Gaps, func(a, b Gap) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	e.Complete = len(e.Gaps) == 0 && len(e.Ranges) > 0
	e.Indexed = []Range{}
	if a.index != nil {
		done, err := a.index.Done(ctx, n.ID)
		if err != nil {
			return Extent{}, cov, fmt.Errorf("units of %s in the index: %w", n.Name, err)
		}
		e.Indexed = rangesOf(lang.Intersect(done, have))
	}
	return e, cov, nil
}

// Coverage returns the extent of n with exact totals.
func (a *Archive) Coverage(ctx context.Context, n Network) (Coverage, error) {
	e, _, err := a.extent(ctx, n)
	if err != nil {
		return Coverage{}, err
	}
	out := Coverage{Network: n.Name, Era: string(n.Era), Ranges: e.Ranges, Gaps: e.Gaps}
	for _, r := range e.Ranges {
		records, bytes, err := a.store.Totals(ctx, n.ID, r.From, r.To)
		if err != nil {
			return Coverage{}, fmt.Errorf("count units %s of %s: %w", span(r.From, r.To), n.Name, err)
		}
		out.Records += records
		out.Bytes += bytes
	}
	return out, nil
}

// countRecords returns the number of records in a manifest and the bytes of all their parts.
func countRecords(manifest []storage.Digest) (records, bytes uint64) {
	for _, d := range manifest {
		switch d.Part {
		case ledger.PartHeader, ledger.PartList:
			continue
		case ledger.PartObject:
			records++
		}
		bytes += uint64(d.Len)
	}
	return records, bytes
}
