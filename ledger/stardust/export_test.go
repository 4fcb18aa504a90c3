package stardust

import "slices"

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
