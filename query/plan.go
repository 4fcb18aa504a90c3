package query

import (
	"context"
	"fmt"
	"slices"
	"time"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// Bounds say how much the planner answers from the store by looking at each candidate, while the index is current
// ("few": as fast as the index) and while it cannot tell ("most": about a second). No result depends on them.
type Bounds struct {
	FewCandidates, MostCandidates uint64
	FewTags, MostTags             int // distinct tags that a prefix is taken apart into
	Page                          int // hits that a walk over all of them takes at once
	// Patience is how long an export waits for the index to reach what the store holds. Units that were committed a
	// moment ago are in it in the next; an index that is being built is not waited for.
	Patience time.Duration
}

var usualBounds = Bounds{Page: 5000, Patience: 3 * time.Second, FewCandidates: 32, MostCandidates: 20_000, FewTags: 64, MostTags: 1024}

// Bounds are those of a. Tests and benchmarks that force a way change them, before the first question.
func (a *Archive) Bounds() *Bounds { return &a.bounds }

// How a question is answered.
const (
	planNone       = "none"       // nothing in this network can match
	planKeys       = "keys"       // postings of exact keys, merged
	planCandidates = "candidates" // postings of exact keys, each record looked at
	planIndex      = "index"
)

// plan is how one network answers.
type plan struct {
	how   string
	keys  []ledger.Key // planKeys, planCandidates: where hits can be
	units ranges.Set   // units to look in
	node  lang.Node    // what is left to match
}

// indexed reports whether the index holds keys of this kind.
func indexedKey(k ledger.Key) bool {
	switch k.Kind {
	case ledger.KeyTag, ledger.KeyAddress, ledger.KeyObject, ledger.KeyType, ledger.KeyEvent, ledger.KeyFunction:
		return true
	}
	return false
}

// plan decides. Its decision never changes a result, only what it costs.
func (a *Archive) plan(ctx context.Context, n *bound) (plan, error) {
	if _, none := n.node.(lang.None); none || n.have.Len() == 0 {
		return plan{how: planNone}, nil
	}
	current := a.index != nil && lang.Intersect(n.have, n.scope).Minus(n.done).Len() == 0
	tags, candidates := a.bounds.MostTags, a.bounds.MostCandidates
	if current {
		tags, candidates = a.bounds.FewTags, a.bounds.FewCandidates
	}
	p := plan{how: planIndex, units: n.have, node: n.node}
	opened, err := a.openPrefixes(ctx, n, tags)
	if err != nil {
		return p, err
	}
	if _, none := opened.(lang.None); none {
		p.how = planNone
		return p, nil
	}
	if keys, units, ok := justKeys(opened); ok {
		p.how, p.keys = planKeys, keys
		if units != nil {
			p.units = lang.Intersect(p.units, *units)
		}
		if len(keys) == 1 || !current || slices.ContainsFunc(keys, func(k ledger.Key) bool { return !indexedKey(k) }) {
			return p, nil
		}
		counts, err := a.counts(ctx, n, keys, p.units)
		if counts.several && counts.sum > a.bounds.MostCandidates {
			p.how = planIndex // to count them without repetition it knows a quicker way
		}
		return p, err
	}
	c, err := a.cover(ctx, n, opened)
	if err != nil || !c.ok || c.count > candidates {
		return p, err
	}
	p.how, p.keys = planCandidates, c.keys
	return p, nil
}

// justKeys reports whether n asks for exact keys and nothing else but units.
func justKeys(n lang.Node) (keys []ledger.Key, units *ranges.Set, ok bool) {
	switch n := n.(type) {
	case lang.Keys:
		return n.Of, nil, !n.Prefix
	case lang.And:
		if len(n) != 2 {
			return nil, nil, false
		}
		for i := range n {
			k, isKeys := n[i].(lang.Keys)
			u, isUnits := n[1-i].(lang.Units)
			if isKeys && isUnits && !k.Prefix {
				return k.Of, &u.Set, true
			}
		}
	}
	return nil, nil, false
}

// cover is a set of exact keys that every hit is posted under.
type cover struct {
	keys  []ledger.Key
	count uint64 // sum of their postings
	ok    bool
}

// cover returns the smallest one that the form of n gives.
func (a *Archive) cover(ctx context.Context, n *bound, node lang.Node) (best cover, err error) {
	switch node := node.(type) {
	case lang.Keys:
		if node.Prefix {
			return cover{}, nil
		}
		counts, err := a.counts(ctx, n, node.Of, n.have)
		return cover{node.Of, counts.sum, true}, err
	case lang.And:
		for _, p := range node {
			c, err := a.cover(ctx, n, p)
			if err != nil {
				return best, err
			}
			if c.ok && (!best.ok || c.count < best.count) {
				best = c
			}
		}
		return best, nil
	case lang.Or:
		best.ok = true
		for _, p := range node {
			c, err := a.cover(ctx, n, p)
			if err != nil || !c.ok {
				return cover{}, err
			}
			best.keys = append(best.keys, c.keys...)
			best.count += c.count
		}
		return best, nil
	}
	return cover{}, nil
}

// openPrefixes returns the query with every prefix of tags as the tags that it holds, where they are at most most.
func (a *Archive) openPrefixes(ctx context.Context, n *bound, most int) (lang.Node, error) {
	return lang.Bind(n.node, rewrite(func(k lang.Keys) (lang.Node, error) {
		if !k.Prefix {
			return k, nil
		}
		var keys []ledger.Key
		for _, p := range k.Of {
			for key, err := range a.store.Keys(ctx, n.ID, p, "") {
				if err != nil {
					return nil, fmt.Errorf("tags that begin with %x: %w", p.Val, err)
				}
				if len(keys) == most {
					return k, nil
				}
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return lang.None{}, nil
		}
		return lang.Keys{Of: keys}, nil
	}))
}

// rewrite is a Binder that changes the Keys of a bound tree.
type rewrite func(lang.Keys) (lang.Node, error)

// Term calls f for Keys.
func (f rewrite) Term(n lang.Node) (lang.Node, error) {
	if k, ok := n.(lang.Keys); ok {
		return f(k)
	}
	return n, nil
}

// keyCounts are the postings of several keys.
type keyCounts struct {
	sum     uint64
	several bool // more than one key has any
}

func (a *Archive) counts(ctx context.Context, n *bound, keys []ledger.Key, units ranges.Set) (c keyCounts, err error) {
	for _, k := range keys {
		var count uint64
		for _, r := range units.Ranges() {
			some, err := a.store.Count(ctx, n.ID, k, r.Lo, r.Hi)
			if err != nil {
				return c, fmt.Errorf("count %s: %w", kindNames[k.Kind], err)
			}
			count += some
		}
		c.several = c.several || c.sum > 0 && count > 0
		c.sum += count
	}
	return c, nil
}
