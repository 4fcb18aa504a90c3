package query

import (
	"context"
	"fmt"

	"permanode/ledger"
	"permanode/storage"
)

// Why a link between two networks is held.
const (
	BasisObservation = "observation" // both ends stand in the archive
	BasisRule        = "rule"        // computed by the rule of the update; the other end is not in the archive
)

// Link leads from something in one network to what it was or became in another one that has the same ledger.
type Link struct {
	Network string  `json:"network"` // "" where the other end is not in the archive
	As      string  `json:"as"`      // "output", "object", …
	ID      string  `json:"id"`
	Seq     *uint64 `json:"seq"` // where it first stands; null where it is not in the archive
	Pos     *uint32 `json:"pos"`
	Basis   string  `json:"basis"` // "observation" or "rule"
}

// Links returns what the thing that a hit was found by was in networks of earlier eras, and what it became in later
// ones.
func (a *Archive) Links(ctx context.Context, hit Hit) (continues, continuedBy []Link, err error) {
	var in *ledger.Record
	if hit.Ord.Pos != ledger.UnitPos {
		r, err := a.Record(ctx, hit.Network, hit.Ord)
		if err != nil {
			return nil, nil, err
		}
		in = &r
	}
	later, earlier := hit.Network.Codec.Links(hit.Key, in)
	if len(later) == 0 && len(earlier) == 0 {
		return nil, nil, nil
	}
	all, err := a.Networks(ctx)
	if err != nil {
		return nil, nil, err
	}
	if continues, err = a.linked(ctx, hit.Network, all, earlier); err != nil {
		return nil, nil, err
	}
	if continuedBy, err = a.linked(ctx, hit.Network, all, later); err != nil || len(continuedBy) > 0 || len(later) == 0 {
		return continues, continuedBy, err
	}
	continuedBy, err = a.byRule(ctx, hit, all, later)
	return continues, continuedBy, err
}

// linked returns the first place of each of keys in the networks of other eras.
func (a *Archive) linked(ctx context.Context, from Network, all []Network, keys []ledger.Key) (out []Link, err error) {
	for _, n := range all {
		if n.Era == from.Era {
			continue
		}
		for _, k := range keys {
			for f, err := range a.store.Lookup(ctx, n.ID, k, storage.Scan{}) {
				if err != nil {
					return nil, fmt.Errorf("look for the other end in %s: %w", n.Name, err)
				}
				l := Link{Network: n.Name, As: kindNames[k.Kind], Seq: &f.Ord.Seq, Pos: &f.Ord.Pos, Basis: BasisObservation}
				var in *ledger.Record
				if f.Ord.Pos != ledger.UnitPos {
					r, err := a.Record(ctx, n, f.Ord)
					if err != nil {
						return nil, err
					}
					in = &r
				}
				l.ID = n.Codec.FormatKey(k, in)
				out = append(out, l)
				break
			}
		}
	}
	return out, nil
}

// byRule returns what something unspent becomes where the archive holds a network that could hold it and does not.
func (a *Archive) byRule(ctx context.Context, hit Hit, all []Network, later []ledger.Key) (out []Link, err error) {
	for f, err := range a.store.Lookup(ctx, hit.Network.ID, hit.Key, storage.Scan{}) {
		if err != nil {
			return nil, fmt.Errorf("look whether it was spent in %s: %w", hit.Network.Name, err)
		}
		if hit.Key.Kind == ledger.KeyOutput && f.Role&ledger.RoleSpend != 0 {
			return nil, nil
		}
	}
	for _, n := range all {
		if _, back := n.Codec.Links(later[0], nil); n.Era == hit.Network.Era || len(back) == 0 {
			continue
		}
		for _, k := range later {
			out = append(out, Link{As: kindNames[k.Kind], ID: n.Codec.FormatKey(k, nil), Basis: BasisRule})
		}
		return out, nil
	}
	return nil, nil
}
