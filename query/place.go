package query

import (
	"context"
	"fmt"

	"permanode/ledger"
)

// Place is one item of GET /v1/records/{id} and one line of `get --json` for a unit.
type Place struct {
	Network string   `json:"network"`
	Seq     uint64   `json:"seq"`
	Pos     *uint32  `json:"pos"` // null where the unit itself answers
	ID      string   `json:"id"`
	As      string   `json:"as"`
	Roles   []string `json:"roles"`
	Href    string   `json:"href"`

	Continues   []Link `json:"continues,omitempty"`    // what it was in a network of an earlier era
	ContinuedBy []Link `json:"continued_by,omitempty"` // what it became in a network of a later era
}

// Place describes a hit by its place.
func (a *Archive) Place(ctx context.Context, hit Hit) (Place, error) {
	n := hit.Network
	p := Place{Network: n.Name, Seq: hit.Ord.Seq, As: hit.As, Roles: hit.Roles}
	var err error
	if p.Continues, p.ContinuedBy, err = a.Links(ctx, hit); err != nil {
		return p, err
	}
	if hit.Ord.Pos == ledger.UnitPos {
		shown, _, _, err := a.Unit(ctx, n, hit.Ord.Seq)
		p.ID, p.Href = shown.ID, fmt.Sprintf("/v1/networks/%s/units/%d", n.Name, hit.Ord.Seq)
		return p, err
	}
	r, err := a.Record(ctx, n, hit.Ord)
	p.Pos, p.ID = &hit.Ord.Pos, n.Codec.FormatID(r.ID)
	p.Href = fmt.Sprintf("/v1/networks/%s/records/%s", n.Name, p.ID)
	return p, err
}
