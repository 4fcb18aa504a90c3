package replay

import (
	"fmt"
	"maps"
	"slices"

	"permanode/ledger"
)

// cones says what each unit of a recording confirmed. 32 bytes a record, twice.
type cones struct {
	units map[uint64][]ledger.ID // in white-flag order
	by    map[[32]byte]uint64    // the unit that confirmed a record
}

// walkCones finds the cones of the units First to Last. Records that are not in the recording are taken for
// confirmed earlier, as in lastWhole.
func (r *Recording) walkCones() (*cones, error) {
	c := &cones{units: map[uint64][]ledger.ID{}, by: map[[32]byte]uint64{}}
	seen := maps.Clone(r.entry)
	for _, seq := range slices.Sorted(maps.Keys(r.units)) {
		if seq < r.First || seq > r.Last {
			continue
		}
		raw, err := r.read(r.units[seq], unitParentsOffset+1+32*maxParents)
		if err != nil {
			return nil, fmt.Errorf("unit %d: %w", seq, err)
		}
		taken, err := r.walk(parents(raw, unitParentsOffset), seen)
		if err != nil {
			return nil, fmt.Errorf("cone of unit %d: %w", seq, err)
		}
		c.units[seq] = taken
		for _, id := range taken {
			c.by[[32]byte(id.Bytes())] = seq
		}
	}
	return c, nil
}
