package query

import (
	"cmp"
	"slices"
	"strings"
)

// byLineage returns networks in the order of lists: by lineage, which is called by its first network, in a lineage the
// one that follows before the one that it follows. all are the networks of the archive.
func byLineage(networks, all []Network) []Network {
	follows := map[string]string{}
	for _, n := range all {
		follows[n.Name] = n.Follows
	}
	// first goes back to the beginning of a lineage; a ring of networks, which no ledger is, ends after one round.
	first := func(name string) (root string, depth int) {
		root = name
		for depth < len(all) && follows[root] != "" {
			root = follows[root]
			depth++
		}
		return root, depth
	}
	out := slices.Clone(networks)
	slices.SortFunc(out, func(a, b Network) int {
		rootA, depthA := first(a.Name)
		rootB, depthB := first(b.Name)
		return cmp.Or(strings.Compare(rootA, rootB), cmp.Compare(depthB, depthA), strings.Compare(a.Name, b.Name))
	})
	return out
}
