package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"permanode/index/lang"
	"permanode/index/text"
	"permanode/ledger"
)

// document is one place that a query can find: a record, or what a unit did itself.
type document struct {
	ord   ledger.Ord
	rec   *ledger.Record // nil: the unit itself
	posts []ledger.Posting
	idle  bool          // a unit that did nothing itself: only its identifier finds it
	facts *ledger.Facts // read when first needed
}

// looker reads documents of one network and matches them one by one. It belongs to one goroutine.
type looker struct {
	a     *Archive
	n     Network
	rules Network // with the rules at unit seq, where read
	seq   uint64
	ready bool
	unit  *ledger.Unit // the last one whose time was asked for
	asked map[lang.Text][]string
}

func (a *Archive) looker(n *bound) *looker {
	return &looker{a: a, n: n.Network, asked: map[lang.Text][]string{}}
}

// at reads the document at ord.
func (l *looker) at(ctx context.Context, ord ledger.Ord) (*document, error) {
	if ord.Pos == ledger.UnitPos {
		return l.unitAt(ctx, ord)
	}
	r, err := l.a.Record(ctx, l.n, ord)
	return &document{ord: ord, rec: &r, posts: r.Posts}, err
}

// unitAt reads what a unit did itself. The store posts the unit's own id too.
func (l *looker) unitAt(ctx context.Context, ord ledger.Ord) (*document, error) {
	for cone, err := range l.a.store.Cones(ctx, l.n.ID, ord.Seq, ord.Seq) {
		if err != nil {
			return nil, fmt.Errorf("unit %d of %s: %w", ord.Seq, l.n.Name, err)
		}
		return unitDocument(cone), nil
	}
	return nil, fmt.Errorf("unit %d of %s: the store gives no cone", ord.Seq, l.n.Name)
}

// unitDocument is what the unit of a cone did itself.
func unitDocument(cone *ledger.Cone) *document {
	own := ledger.Posting{Key: ledger.Key{Kind: ledger.KeyUnit, Val: cone.Unit.ID.Key()}, Role: ledger.RoleMention}
	return &document{
		ord: ledger.Ord{Seq: cone.Unit.Seq, Pos: ledger.UnitPos}, posts: append(slices.Clone(cone.Posts), own), idle: len(cone.Posts) == 0,
	}
}

// matches reports whether d is a hit of the bound query n.
func (l *looker) matches(ctx context.Context, n lang.Node, d *document) (bool, error) {
	switch n := n.(type) {
	case lang.All:
		return true, nil
	case lang.And:
		for _, p := range n {
			if yes, err := l.matches(ctx, p, d); err != nil || !yes {
				return false, err
			}
		}
		return true, nil
	case lang.Or:
		for _, p := range n {
			if yes, err := l.matches(ctx, p, d); err != nil || yes {
				return yes, err
			}
		}
		return false, nil
	case lang.Not:
		yes, err := l.matches(ctx, n.Of, d)
		return !yes, err
	case lang.Keys:
		return slices.ContainsFunc(d.posts, func(p ledger.Posting) bool { return named(n, p.Key) }), nil
	case lang.Units:
		return n.Set.Has(d.ord.Seq), nil
	case lang.State:
		return d.rec != nil && d.rec.State == n.Of, nil
	case lang.Kind:
		return d.rec != nil && slices.Contains(n.Of, d.rec.Kind), nil
	case lang.OfUnit:
		return d.rec == nil, nil // one that did nothing is looked at only where the query names it
	case lang.Text, lang.Leaf:
		return l.reads(ctx, n, d)
	}
	return false, nil // None
}

// named reports whether k is one of those that keys asks for.
func named(keys lang.Keys, k ledger.Key) bool {
	return slices.ContainsFunc(keys.Of, func(want ledger.Key) bool {
		return k == want || keys.Prefix && k.Kind == want.Kind && strings.HasPrefix(k.Val, want.Val)
	})
}

// reads reports whether the texts or JSON values of d are what n, a Text or Leaf, asks for.
func (l *looker) reads(ctx context.Context, n lang.Node, d *document) (bool, error) {
	if d.rec == nil {
		return false, nil
	}
	f, err := l.factsOf(ctx, d)
	if err != nil {
		return false, err
	}
	if leaf, ok := n.(lang.Leaf); ok {
		return slices.ContainsFunc(f.Leaves, func(v ledger.Leaf) bool {
			return v.Path == leaf.Path && (v.Value == leaf.Value || leaf.Prefix && strings.HasPrefix(v.Value, leaf.Value))
		}), nil
	}
	ask := n.(lang.Text)
	phrase, ok := l.asked[ask]
	if !ok {
		phrase = text.Words(ask.Text)
		l.asked[ask] = phrase
	}
	return slices.ContainsFunc(f.Texts, func(t string) bool { return text.Has(text.Words(t), phrase, ask.Prefix) }), nil
}

// factsOf reads the facts of a record, once.
func (l *looker) factsOf(ctx context.Context, d *document) (*ledger.Facts, error) {
	if d.facts == nil {
		if err := l.rulesAt(ctx, d.ord.Seq); err != nil {
			return nil, err
		}
		f, err := facts(l.rules, d.rec)
		if err != nil {
			return nil, err
		}
		d.facts = f
	}
	return d.facts, nil
}

// rulesAt reads the rules in force at a unit.
func (l *looker) rulesAt(ctx context.Context, seq uint64) (err error) {
	if l.ready && l.seq == seq {
		return nil
	}
	l.rules, err = l.a.at(ctx, l.n, seq)
	l.seq, l.ready = seq, err == nil
	return err
}

// unitOf reads a unit.
func (l *looker) unitOf(ctx context.Context, seq uint64) (*ledger.Unit, error) {
	if l.unit == nil || l.unit.Seq != seq {
		u, _, err := l.a.store.Unit(ctx, l.n.ID, seq)
		if err != nil {
			return nil, fmt.Errorf("unit %d of %s: %w", seq, l.n.Name, err)
		}
		l.unit = &u
	}
	return l.unit, nil
}
