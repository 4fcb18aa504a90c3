package query

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"permanode/index/lang"
	"permanode/ledger"
)

// Pos is the place of a record in its unit. JSON is the number, or null for the unit itself.
type Pos uint32

// MarshalJSON writes the number or null.
func (p Pos) MarshalJSON() ([]byte, error) {
	if p == ledger.UnitPos {
		return []byte("null"), nil
	}
	return json.Marshal(uint32(p))
}

// UnmarshalJSON reads the number or null.
func (p *Pos) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*p = ledger.UnitPos
		return nil
	}
	return json.Unmarshal(b, (*uint32)(p))
}

// Item is one hit of a search: the row of an export, and how the record stands to what was asked.
type Item struct {
	Row
	As    string   `json:"as,omitempty"`    // what the query names that the record is found by: "tag", "address", …
	Roles []string `json:"roles,omitempty"` // how it stands to that: "mention", "spend", "receive", …
	Href  string   `json:"href"`
}

// Items describes hits of a search, in their order.
func (a *Archive) Items(ctx context.Context, hits []Hit) ([]Item, error) {
	items := make([]Item, 0, len(hits))
	err := a.eachItem(ctx, hits, func(item *Item) error {
		items = append(items, *item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// eachItem describes hits one by one.
func (a *Archive) eachItem(ctx context.Context, hits []Hit, do func(*Item) error) error {
	var look *looker
	for _, hit := range hits {
		if look == nil || look.n.ID != hit.Network.ID {
			look = a.looker(&bound{Network: hit.Network})
		}
		item, err := look.item(ctx, hit)
		if err != nil {
			return err
		}
		if err := do(&item); err != nil {
			return err
		}
	}
	return nil
}

// item reads and describes one hit.
func (l *looker) item(ctx context.Context, hit Hit) (Item, error) {
	d, err := l.at(ctx, hit.Ord)
	if err != nil {
		return Item{}, err
	}
	return l.describe(ctx, d, hit.named)
}

// describe describes a document, and how it stands to what a query names.
func (l *looker) describe(ctx context.Context, d *document, named []lang.Keys) (Item, error) {
	unit, err := l.unitOf(ctx, d.ord.Seq)
	if err != nil {
		return Item{}, err
	}
	if err := l.rulesAt(ctx, d.ord.Seq); err != nil {
		return Item{}, err
	}
	var item Item
	if d.rec == nil {
		item.Row = unitRow(l.rules, unit, d.posts)
		item.Href = fmt.Sprintf("/v1/networks/%s/units/%d", l.n.Name, d.ord.Seq)
	} else {
		f := d.facts // all of them were read where the query is for words
		if f == nil {
			if f, err = outline(l.rules, d.rec); err != nil {
				return Item{}, err
			}
		}
		item.Row = row(l.rules, unit, d.rec, f)
		item.Href = fmt.Sprintf("/v1/networks/%s/records/%s", l.n.Name, item.ID)
	}
	item.As, item.Roles = standing(d.posts, named)
	return item, nil
}

// unitRow describes what a unit did itself.
func unitRow(n Network, u *ledger.Unit, posts []ledger.Posting) Row {
	sum := sha256.Sum256(u.Header)
	out := Row{
		Network: n.Name, Seq: u.Seq, Pos: ledger.UnitPos, ID: n.Codec.FormatID(u.ID), Basis: ledger.ByRoot.String(),
		Kind: lang.UnitKind, Time: timeText(u.TimeMs), Addresses: []string{}, SHA256: hex.EncodeToString(sum[:]),
	}
	for _, p := range posts {
		if p.Key.Kind == ledger.KeyAddress {
			out.Addresses = append(out.Addresses, n.Codec.FormatOwner(p.Key.Val, n.Rules))
		}
	}
	slices.Sort(out.Addresses)
	return out
}

// standing returns how a document with these postings stands to what a query names: as the first of it, in every role.
func standing(posts []ledger.Posting, names []lang.Keys) (as string, in []string) {
	var all ledger.Role
	for _, keys := range names {
		for _, p := range posts {
			if !named(keys, p.Key) {
				continue
			}
			if as == "" {
				as = kindNames[p.Key.Kind]
			}
			all |= p.Role
		}
	}
	if as == "" {
		return "", nil
	}
	return as, roles(all)
}
