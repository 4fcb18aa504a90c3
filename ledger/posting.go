package ledger

import (
	"slices"
	"strings"
)

// MergePostings returns one posting a key, sorted by kind and value: roles joined and values added. It reuses list.
func MergePostings(list []Posting) []Posting {
	slices.SortFunc(list, func(a, b Posting) int {
		if a.Key.Kind != b.Key.Kind {
			return int(a.Key.Kind) - int(b.Key.Kind)
		}
		return strings.Compare(a.Key.Val, b.Key.Val)
	})
	out := list[:0]
	for _, e := range list {
		if n := len(out) - 1; n >= 0 && out[n].Key == e.Key {
			out[n].Role |= e.Role
			out[n].Value = out[n].Value.Add(e.Value)
			continue
		}
		out = append(out, e)
	}
	return slices.Clip(out)
}
