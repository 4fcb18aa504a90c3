package stardust

import (
	"slices"

	"permanode/ledger"
)

// Totals reads a row of totals for tests.
func Totals(row []byte, seq uint32) (treasury Hash, amount uint64, parameters []byte, err error) {
	t, err := decodeTotals(row)
	if err != nil {
		return Hash{}, 0, nil, err
	}
	return t.treasury, t.amount, t.parameters[t.parameters.at(seq)].raw, nil
}

// TotalsKey, OutputKey and EntryKey are keys of the state.
var (
	TotalsKey = totalsKey
	OutputKey = outputKey
	EntryKey  = entryKey
)

// Unspent returns the ids of outputs that state shows as unspent at the end of unit seq, ascending.
func Unspent(state map[string][]byte, seq uint64) (ids []string) {
	for k, v := range state {
		if k[0] != stateOutput {
			continue
		}
		r, err := decodeOutputRow(v)
		if err != nil {
			panic(err)
		}
		if r, ok := r.asOf(seq + 1); ok && r.spent == unspent {
			ids = append(ids, k[1:])
		}
	}
	slices.Sort(ids)
	return ids
}

// Balances returns the sums of unspent outputs at the end of unit seq: by owner, and by owner and token.
func Balances(state map[string][]byte, seq uint64) map[ledger.Key]ledger.Amount {
	sums := map[ledger.Key]ledger.Amount{}
	for _, id := range Unspent(state, seq) {
		r, err := decodeOutputRow(state[string(outputKey(OutputID([]byte(id))))])
		if err != nil {
			panic(err)
		}
		o, err := ParseOutput(r.raw)
		if err != nil {
			panic(err)
		}
		owner := o.owner()
		k := ledger.Key{Kind: ledger.KeyAddress, Val: string(owner[:])}
		sums[k] = sums[k].Add(ledger.Coins(o.Amount))
		for _, t := range o.Tokens {
			k := ledger.Key{Kind: ledger.KeyToken, Val: string(owner[:]) + string(t.ID[:])}
			sums[k] = sums[k].Add(ledger.BigAmount(t.Amount))
		}
	}
	return sums
}

// Accepted returns the minimum scores of the parameters that a table accepts at a milestone. The table
// holds entries from those milestones on; an entry's score is its place, its depth is given.
func Accepted(from []uint32, depth byte, seq uint32) (scores []uint32) {
	var t parameterTable
	for i, f := range from {
		t = append(t, parameterEntry{from: f, Parameters: Parameters{MinPoWScore: uint32(i), BelowMaxDepth: depth}})
	}
	for _, e := range t.accepted(seq) {
		scores = append(scores, e.MinPoWScore)
	}
	return scores
}

// SetGatheredOutputs makes openings gather so many outputs in a pass, until the function that it returns is called.
func SetGatheredOutputs(n uint64) (back func()) {
	was := gatheredOutputs
	gatheredOutputs = n
	return func() { gatheredOutputs = was }
}
