package query

import (
	"context"
	"errors"
	"fmt"
	"math"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// network binds a checked query in one network.
func (b *binding) network(ctx context.Context, n Network, node lang.Node) (*bound, error) {
	e, cov, err := b.a.extent(ctx, n)
	if err != nil {
		return nil, err
	}
	out := &bound{Network: n, have: cov.Set(), extent: e}
	for _, r := range e.Indexed {
		out.done.Add(r.From, r.To)
	}
	t := &terms{ctx: ctx, b: b, in: out}
	if out.node, err = lang.Bind(node, t); err != nil {
		return nil, err
	}
	out.named = keysIn(out.node)
	out.scope = everywhere()
	whole := len(e.Gaps) == 0 && out.have.Len() > 0
	if !whole || out.have.Minus(out.done).Len() > 0 { // else nothing can be missing
		out.scope, err = t.scope(node)
	}
	return out, err
}

// keysIn returns the Keys of a bound tree.
func keysIn(n lang.Node) (all []lang.Keys) {
	switch n := n.(type) {
	case lang.And:
		for _, p := range n {
			all = append(all, keysIn(p)...)
		}
	case lang.Or:
		return keysIn(lang.And(n))
	case lang.Not:
		return keysIn(n.Of)
	case lang.Keys:
		return []lang.Keys{n}
	}
	return all
}

func rangesOf(s ranges.Set) []Range {
	out := []Range{}
	for _, r := range s.Ranges() {
		out = append(out, Range{r.Lo, r.Hi})
	}
	return out
}

// terms says what the terms of a query mean in one network.
type terms struct {
	ctx context.Context
	b   *binding
	in  *bound
}

// Term is the Binder of one network.
func (t *terms) Term(n lang.Node) (lang.Node, error) {
	switch n := n.(type) {
	case lang.Ident:
		return t.ident(n)
	case lang.Word:
		return t.word(n), nil
	case lang.Span:
		return lang.Units{Set: ranges.Of(ranges.Range{Lo: n.From, Hi: n.To})}, nil
	case lang.Time:
		set, err := t.b.a.store.SeqAt(t.ctx, t.in.ID, n.FromMs, n.ToMs)
		if err != nil {
			return nil, fmt.Errorf("units of %s signed at that time: %w", t.in.Name, err)
		}
		return lang.Units{Set: set}, nil
	case lang.Text, lang.Leaf:
		return n, nil
	}
	return nil, errors.New("query: a term of no known form")
}

func (t *terms) ident(n lang.Ident) (lang.Node, error) {
	if n.Field == "tag" {
		raw, err := n.Tag()
		if err != nil {
			return nil, err
		}
		return lang.Keys{Of: []ledger.Key{{Kind: ledger.KeyTag, Val: string(raw)}}, Prefix: n.Prefix}, nil
	}
	keys, err := t.b.identifiers(t.ctx, t.in.Network, n.Text)
	if err != nil {
		return nil, err
	}
	keys = ofField(keys, n.Field)
	if len(keys) == 0 {
		return lang.None{}, nil
	}
	return lang.Keys{Of: keys}, nil
}

func (t *terms) word(n lang.Word) lang.Node {
	switch n.Field {
	case "network":
		if n.Value == t.in.Name {
			return lang.All{}
		}
		return lang.None{}
	case "state":
		for s := ledger.State(1); s.String() != ""; s++ {
			if s.String() == n.Value {
				return lang.State{Of: s}
			}
		}
		return lang.None{}
	}
	if n.Value == lang.UnitKind {
		return lang.OfUnit{}
	}
	var kinds []uint8
	for k := range math.MaxUint8 + 1 {
		if t.in.Codec.KindName(uint8(k)) == n.Value {
			kinds = append(kinds, uint8(k))
		}
	}
	if len(kinds) == 0 {
		return lang.None{}
	}
	return lang.Kind{Of: kinds}
}

// everywhere is all units that can be.
func everywhere() ranges.Set { return ranges.Of(ranges.Range{Lo: 0, Hi: ledger.MaxSeq}) }

// scope returns the units where a hit of n can lie at all, held or not: a gap elsewhere takes nothing from an answer.
func (t *terms) scope(n lang.Node) (ranges.Set, error) {
	switch n := n.(type) {
	case lang.And:
		all := everywhere()
		for _, p := range n {
			s, err := t.scope(p)
			if err != nil {
				return s, err
			}
			all = lang.Intersect(all, s)
		}
		return all, nil
	case lang.Or:
		var any ranges.Set
		for _, p := range n {
			s, err := t.scope(p)
			if err != nil {
				return s, err
			}
			for _, r := range s.Ranges() {
				any.Add(r.Lo, r.Hi)
			}
		}
		return any, nil
	case lang.Span:
		return ranges.Of(ranges.Range{Lo: n.From, Hi: n.To}), nil
	case lang.Time:
		return t.reach(n)
	case lang.Ident, lang.Word:
		means, err := t.Term(n)
		if _, none := means.(lang.None); none || err != nil {
			return ranges.Set{}, err
		}
	}
	return everywhere(), nil
}

// reach returns the units that were signed in the time of n, and the missing ones that may have been: those that do
// not lie beyond a unit which is held and was signed before or behind that time.
func (t *terms) reach(n lang.Time) (ranges.Set, error) {
	var sets [3]ranges.Set
	for i, ms := range [3][2]int64{{math.MinInt64, n.FromMs}, {n.FromMs, n.ToMs}, {n.ToMs, math.MaxInt64}} {
		if ms[0] >= ms[1] {
			continue
		}
		var err error
		if sets[i], err = t.b.a.store.SeqAt(t.ctx, t.in.ID, ms[0], ms[1]); err != nil {
			return sets[i], fmt.Errorf("units of %s signed at that time: %w", t.in.Name, err)
		}
	}
	before, in, behind := sets[0].Ranges(), sets[1].Ranges(), sets[2].Ranges()
	lo, hi := uint64(0), uint64(ledger.MaxSeq)
	if len(before) > 0 {
		lo = before[len(before)-1].Hi + 1
	}
	if len(behind) > 0 && behind[0].Lo > 0 {
		hi = behind[0].Lo - 1
	}
	var out ranges.Set
	out.Add(lo, hi)
	for _, r := range in {
		out.Add(r.Lo, r.Hi)
	}
	return out, nil
}
