package query

import (
	"context"
	"fmt"

	"permanode/index/lang"
	"permanode/ledger"
)

// Explanation says how a query is read and answered, without answering it.
type Explanation struct {
	Query    string               `json:"query"` // canonical text
	Taken    []Taken              `json:"taken,omitempty"`
	Tree     map[string]any       `json:"tree"`
	Networks []NetworkExplanation `json:"networks"` // in the order of the hits
}

// NetworkExplanation is a query in one network.
type NetworkExplanation struct {
	Network string         `json:"network"`
	Plan    string         `json:"plan"` // "none", "keys", "candidates" or "index"
	Tree    map[string]any `json:"tree"` // with the meaning of terms there
}

// Explain says how a query is read and would be answered.
func (a *Archive) Explain(ctx context.Context, req SearchRequest) (Explanation, error) {
	s, err := a.prepare(ctx, req)
	if err != nil {
		return Explanation{}, err
	}
	word := func(k ledger.KeyKind) string { return kindNames[k] }
	out := Explanation{Query: s.text, Taken: s.taken, Tree: lang.Explain(s.node, word), Networks: []NetworkExplanation{}}
	for _, n := range s.networks {
		p, err := a.plan(ctx, n)
		if err != nil {
			return out, fmt.Errorf("plan for %s: %w", n.Name, err)
		}
		out.Networks = append(out.Networks, NetworkExplanation{n.Name, p.how, lang.Explain(n.node, word)})
	}
	return out, nil
}
