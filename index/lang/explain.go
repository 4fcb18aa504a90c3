package lang

import (
	"encoding/hex"
	"math"

	"permanode/ledger"
)

// Explain returns n as an object to write as JSON: {"and": […]}, {"or": […]}, {"not": …} over terms such as
// {"tag": "ACME"}, {"text": "net 30", "prefix": true}, {"path": "a.b", "value": "1"}; of a bound tree {"keys": […]},
// {"units": […]} and so on. keyKind gives the word for the kind of a key.
func Explain(n Node, keyKind func(ledger.KeyKind) string) map[string]any {
	all := func(parts []Node) (out []map[string]any) {
		for _, p := range parts {
			out = append(out, Explain(p, keyKind))
		}
		return out
	}
	switch n := n.(type) {
	case All:
		return map[string]any{"all": true}
	case None:
		return map[string]any{"none": true}
	case And:
		return map[string]any{"and": all(n)}
	case Or:
		return map[string]any{"or": all(n)}
	case Not:
		return map[string]any{"not": Explain(n.Of, keyKind)}
	case Ident:
		return prefixed(map[string]any{n.Field: n.Text}, n.Prefix)
	case Text:
		return prefixed(map[string]any{"text": n.Text}, n.Prefix)
	case Leaf:
		return prefixed(map[string]any{"path": n.Path, "value": n.Value}, n.Prefix)
	case Word:
		return map[string]any{n.Field: n.Value}
	case Span:
		return map[string]any{"unit": map[string]uint64{"from": n.From, "to": n.To}}
	case Time:
		out := map[string]any{}
		if n.FromMs != math.MinInt64 {
			out["after"] = timeText(n.FromMs)
		}
		if n.ToMs != math.MaxInt64 {
			out["before"] = timeText(n.ToMs)
		}
		return out
	case Keys:
		var keys []map[string]string
		for _, k := range n.Of {
			keys = append(keys, map[string]string{"kind": keyKind(k.Kind), "hex": hex.EncodeToString([]byte(k.Val))})
		}
		return prefixed(map[string]any{"keys": keys}, n.Prefix)
	case Units:
		var units []map[string]uint64
		for _, r := range n.Set.Ranges() {
			units = append(units, map[string]uint64{"from": r.Lo, "to": r.Hi})
		}
		return map[string]any{"units": units}
	case State:
		return map[string]any{"state": n.Of.String()}
	case Kind:
		kinds := make([]int, len(n.Of))
		for i, k := range n.Of {
			kinds[i] = int(k)
		}
		return map[string]any{"kinds": kinds}
	}
	return map[string]any{"kind": UnitKind}
}

func prefixed(m map[string]any, prefix bool) map[string]any {
	if prefix {
		m["prefix"] = true
	}
	return m
}
