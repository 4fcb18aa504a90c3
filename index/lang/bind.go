package lang

import (
	"slices"

	"permanode/internal/ranges"
	"permanode/ledger"
)

// A Binder says what a term means in one network.
type Binder interface {
	// Term returns what the term n, an Ident, Text, Leaf, Word, Span or Time, means: a Keys, Text, Leaf, State, Kind,
	// OfUnit, Units, All or None, or an And, Or or Not of those.
	Term(n Node) (Node, error)
}

// Bind returns what n means in the network of to, simplified: an All or None stands alone or not at all, no And lies
// in an And and no Or in an Or, an And has at most one Units, an Or at most one Units and one Keys without prefix.
// Errors are those of to.
func Bind(n Node, to Binder) (Node, error) {
	switch n := n.(type) {
	case All, None:
		return n, nil
	case Not:
		of, err := Bind(n.Of, to)
		return negate(of), err
	case And:
		parts, err := bindAll(n, to)
		return conjoin(parts), err
	case Or:
		parts, err := bindAll(n, to)
		return disjoin(parts), err
	}
	return to.Term(n)
}

func bindAll(parts []Node, to Binder) ([]Node, error) {
	out := make([]Node, len(parts))
	for i, p := range parts {
		var err error
		if out[i], err = Bind(p, to); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func negate(n Node) Node {
	switch n := n.(type) {
	case All:
		return None{}
	case None:
		return All{}
	case Not:
		return n.Of
	}
	return Not{n}
}

func conjoin(parts []Node) Node {
	var out And
	units := -1
	for i := 0; i < len(parts); i++ {
		switch p := parts[i].(type) {
		case All:
		case None:
			return None{}
		case And:
			parts = slices.Concat(parts[:i+1], p, parts[i+1:])
		case Units:
			if units < 0 {
				units = len(out)
				out = append(out, p)
			} else {
				out[units] = Units{Intersect(out[units].(Units).Set, p.Set)}
			}
		default:
			out = append(out, p)
		}
	}
	if units >= 0 && out[units].(Units).Set.Len() == 0 {
		return None{}
	}
	switch len(out) {
	case 0:
		return All{}
	case 1:
		return out[0]
	}
	return out
}

func disjoin(parts []Node) Node {
	var out Or
	units, keys := -1, -1
	for i := 0; i < len(parts); i++ {
		switch p := parts[i].(type) {
		case None:
		case All:
			return All{}
		case Or:
			parts = slices.Concat(parts[:i+1], p, parts[i+1:])
		case Units:
			if units < 0 {
				units = len(out)
				out = append(out, p)
			} else {
				out[units] = Units{union(out[units].(Units).Set, p.Set)}
			}
		case Keys:
			if p.Prefix || keys < 0 {
				if !p.Prefix {
					keys = len(out)
				}
				out = append(out, p)
			} else {
				out[keys] = Keys{Of: joinKeys(out[keys].(Keys).Of, p.Of)}
			}
		default:
			out = append(out, p)
		}
	}
	switch len(out) {
	case 0:
		return None{}
	case 1:
		return out[0]
	}
	return out
}

func joinKeys(a, b []ledger.Key) []ledger.Key {
	out := slices.Clone(a)
	for _, k := range b {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// Intersect returns the numbers that are in both sets.
func Intersect(a, b ranges.Set) ranges.Set { return a.Minus(a.Minus(b)) }

func union(a, b ranges.Set) ranges.Set {
	out := ranges.Of(a.Ranges()...)
	for _, r := range b.Ranges() {
		out.Add(r.Lo, r.Hi)
	}
	return out
}
