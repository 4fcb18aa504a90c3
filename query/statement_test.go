package query_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/query/querytest"
)

// cut is a place at which a period can end: what a statement calls it, and what is true there.
type cut struct {
	from, to query.Period // the next period begins at from
	truth    map[string]map[string]*big.Int
	seq      uint64
}

// cuts returns the end of a unit, or some time: before it, behind it, between it and the next one.
func cutsOf(l *querytest.Ledger, seq uint64, shift int64) cut {
	ms := l.Times[seq]
	if shift < 0 {
		next := seq + 1
		return cut{query.Period{Moment: query.Moment{Unit: &next}}, query.Period{Moment: query.Moment{Unit: &seq}}, l.Held(seq, ms), seq}
	}
	ms += shift
	next := ms + 1
	return cut{query.Period{Moment: query.Moment{TimeMs: &next}}, query.Period{Moment: query.Moment{TimeMs: &ms}}, l.Held(seq, ms), seq}
}

// sums adds lines up by asset, and checks the balance that each gives.
func addUp(t *testing.T, opening []query.StatementAsset, lines []query.StatementLine) map[string]string {
	t.Helper()
	held := map[string]*big.Int{}
	for _, a := range opening {
		held[a.Asset] = number(t, a.Amount)
	}
	for _, l := range lines {
		if held[l.Asset] == nil {
			held[l.Asset] = new(big.Int)
		}
		amount := number(t, l.Amount)
		if held[l.Asset].Add(held[l.Asset], amount); held[l.Asset].String() != l.Balance || amount.Sign() == 0 {
			t.Fatalf("after %+v there are %v", l, held[l.Asset])
		}
	}
	out := map[string]string{}
	for asset, n := range held {
		if n.Sign() != 0 || asset == query.BaseCoins {
			out[asset] = n.String()
		}
	}
	return out
}

func number(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.String() != s {
		t.Fatalf("%q is no number", s)
	}
	return n
}

func amounts(list []query.StatementAsset) map[string]string {
	out := map[string]string{}
	for _, a := range list {
		out[a.Asset] = a.Amount
	}
	return out
}

func truth(mine map[string]*big.Int) map[string]string {
	out := map[string]string{query.BaseCoins: "0"}
	for asset, n := range mine {
		if asset == "" {
			out[query.BaseCoins] = n.String()
		} else if n.Sign() != 0 {
			out[asset] = n.String()
		}
	}
	return out
}

// statementPages reads a statement page by page.
func statementPages(t *testing.T, a *query.Archive, req query.StatementRequest, limit func() int) (first query.Statement, lines []query.StatementLine) {
	t.Helper()
	for {
		req.Limit = limit()
		st, err := a.Statement(t.Context(), req)
		if err != nil {
			t.Fatalf("statement of %s from %s to %s: %v", req.Address, moment(req.From), moment(req.To), err)
		}
		if req.Cursor == "" {
			first = st
		} else if querytest.AsJSON(st.Accounts[0].Opening) != querytest.AsJSON(first.Accounts[0].Opening) || querytest.AsJSON(st.Accounts[0].Closing) != querytest.AsJSON(first.Accounts[0].Closing) {
			t.Fatalf("a page has other balances: %+v, %+v", st.Accounts[0], first.Accounts[0])
		}
		if len(st.Items) > 0 {
			if len(st.Items) > req.Limit {
				t.Fatalf("%d lines, asked were %d", len(st.Items), req.Limit)
			}
			before := truthOf(addUp(t, st.Accounts[0].Opening.Assets, lines))
			if carried := truthOf(amounts(st.Accounts[0].Carried)); !maps.Equal(carried, before) {
				t.Fatalf("carried are %v, before were %v", carried, before)
			}
		}
		lines = append(lines, st.Items...)
		if uint64(len(lines)) > st.Total.Value {
			t.Fatalf("%d lines, the total is %+v", len(lines), st.Total)
		}
		if st.NextCursor == nil {
			return first, lines
		}
		req.Cursor = *st.NextCursor
	}
}

func truthOf(m map[string]string) map[string]string {
	maps.DeleteFunc(m, func(asset, n string) bool { return n == "0" && asset != query.BaseCoins })
	return m
}

// A statement adds up, wherever it is cut: between units, at times at which something expires, at pages (FR-09, FR-10).
func TestStatementTorture(t *testing.T) {
	networks, units := 5, 14
	if os.Getenv("PERMANODE_TORTURE") != "" {
		networks, units = 300, 20
	}
	kinds, onTime, tokens := map[string]int{}, 0, 0
	for seed := range uint64(networks) {
		r := rand.New(rand.NewPCG(seed, 3))
		l := querytest.LedgerFrom(t, stardusttest.Options{Seed: 100 + seed, Blocks: 6 + r.IntN(8), Leases: 60, Uneven: true, Receipts: 4 + uint32(r.IntN(3))}, units)
		cuts := []cut{cutsOf(l, 0, -1), cutsOf(l, 0, 0), cutsOf(l, 0, (l.Times[1]-l.Times[0])/2)} // before the first unit
		for seq := range uint64(units) {
			for _, shift := range [][]int64{{-1}, {0}, {0, 1}, {999, 9_999}, {0, 5_000}}[r.IntN(5)] {
				cuts = append(cuts, cutsOf(l, seq+1, shift))
			}
		}
		owners := slices.Sorted(maps.Keys(l.Held(uint64(units), l.Times[units])))
		for range 60 {
			owner := owners[r.IntN(len(owners))]
			address := l.Network.Codec.FormatOwner(owner, l.Trust)
			i := r.IntN(len(cuts) - 1)
			k := min(i+1+r.IntN(8), len(cuts)-1)
			from, to := query.Period{}, cuts[k].to
			begin := l.Held(0, l.Times[0])
			if r.IntN(4) > 0 {
				from, begin = cuts[i].from, cuts[i].truth
			}
			req := query.StatementRequest{Networks: []query.Network{l.Network}, Address: address, From: from, To: to}
			st, lines := statementPages(t, l.Archive, req, func() int { return 1 + r.IntN(5) })
			account := st.Accounts[0]
			if got, want := truthOf(amounts(account.Opening.Assets)), truth(begin[owner]); !maps.Equal(got, want) {
				t.Fatalf("seed %d, %s opens with %v, want %v", seed, address, got, want)
			}
			if got, want := amounts(account.Closing.Assets), truth(cuts[k].truth[owner]); !maps.Equal(got, want) {
				t.Fatalf("seed %d, %s closes with %v, want %v", seed, address, got, want)
			}
			if got, want := addUp(t, account.Opening.Assets, lines), amounts(account.Closing.Assets); !maps.Equal(got, want) {
				t.Fatalf("seed %d, %s: the lines add up to %v, want %v", seed, address, got, want)
			}
			b, err := l.Balance(t.Context(), l.Network, owner, to.Moment)
			if err != nil || b.Coins != amounts(account.Closing.Assets)[query.BaseCoins] || !st.Complete || !account.Complete || account.Why != "" {
				t.Fatalf("%+v, %v; %+v", b, err, st)
			}
			last := ""
			for _, line := range lines {
				kinds[line.Kind]++
				if line.Asset != query.BaseCoins {
					tokens++
				}
				if line.Time < last || line.Kind == query.LineRecord && len(line.Roles) == 0 {
					t.Fatalf("%+v stands behind one of %s", line, last)
				}
				last = line.Time
				if line.Kind == query.LineExpiry && slices.ContainsFunc(l.Times, func(ms int64) bool { return line.Time == timeOf(ms) }) {
					onTime++ // of a unit: what expired then, and what was made expired
				}
			}
			for _, asset := range slices.Sorted(maps.Keys(amounts(account.Closing.Assets)))[:1] {
				oneAsset(t, l, req, asset, lines)
			}
			wholeAsCSV(t, l, req, account, lines)
		}
	}
	if kinds[query.LineRecord] == 0 || kinds[query.LineExpiry] == onTime || kinds[query.LineUnit] == 0 || onTime == 0 || tokens == 0 {
		t.Errorf("%v, %d at the time of a unit, %d of tokens: the networks try too little", kinds, onTime, tokens)
	}
	t.Logf("%v lines, %d expired at the time of a unit, %d of tokens", kinds, onTime, tokens)
}

func timeOf(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// oneAsset checks that asking for one asset gives its lines alone.
func oneAsset(t *testing.T, l *querytest.Ledger, req query.StatementRequest, asset string, lines []query.StatementLine) {
	t.Helper()
	req.Asset = asset
	_, got := statementPages(t, l.Archive, req, func() int { return 3 })
	want := slices.DeleteFunc(slices.Clone(lines), func(line query.StatementLine) bool { return line.Asset != asset })
	if querytest.AsJSON(got) != querytest.AsJSON(want) && len(got)+len(want) > 0 {
		t.Fatalf("of %s there are %s, want %s", asset, querytest.AsJSON(got), querytest.AsJSON(want))
	}
}

// wholeAsCSV checks that the table has the same lines, with the balances around them.
func wholeAsCSV(t *testing.T, l *querytest.Ledger, req query.StatementRequest, account query.StatementAccount, lines []query.StatementLine) {
	t.Helper()
	url := "/v1/addresses/" + req.Address + "/statement?format=csv"
	if text := moment(req.From); text != "" {
		url += "&from=" + text
	}
	url += "&to=" + moment(req.To)
	got := querytest.Get(t, querytest.Handler(l.Archive), url)
	rows, err := csv.NewReader(strings.NewReader(string(got.Body))).ReadAll()
	if err != nil || got.Status != 200 {
		t.Fatalf("%d, %v: %s", got.Status, err, got.Body)
	}
	var want [][]string
	ends := func(kind string, b *query.StatementBalance) {
		for _, a := range b.Assets {
			want = append(want, []string{kind, a.Asset, "", a.Amount})
		}
	}
	ends("opening", account.Opening)
	for _, line := range lines {
		want = append(want, []string{line.Kind, line.Asset, line.Amount, line.Balance})
	}
	ends("closing", account.Closing)
	var have [][]string
	for _, row := range rows[1:] {
		have = append(have, []string{row[2], row[9], row[10], row[11]})
	}
	if querytest.AsJSON(have) != querytest.AsJSON(want) {
		t.Fatalf("the table is %v, want %v", have, want)
	}
}

func moment(p query.Period) string {
	switch {
	case p.Unit != nil:
		return fmt.Sprint("unit:", *p.Unit)
	case p.TimeMs != nil:
		return timeOf(*p.TimeMs)
	}
	return ""
}

// Where the records state what became of them, statements of everybody add up too, from before the first unit on.
func TestStatementOfStated(t *testing.T) {
	const units = 12
	s := querytest.NewStated(t, 5)
	for range units {
		s.Next(t)
	}
	n := querytest.Must(s.Networks(t.Context()))[0]
	tokens := 0
	r := rand.New(rand.NewPCG(7, 7))
	for _, owner := range s.Owners(t) {
		last := map[string]string{query.BaseCoins: "0"}
		req := query.StatementRequest{Networks: []query.Network{n}, Address: s.Codec.FormatOwner(owner, n.Rules)}
		for seq := uint64(0); seq < units; seq += 1 + uint64(r.IntN(4)) {
			end := min(seq, units-1)
			req.To = query.Period{Moment: query.Moment{Unit: &end}}
			st, lines := statementPages(t, s.Archive, req, func() int { return 1 + r.IntN(9) })
			account := st.Accounts[0]
			b := querytest.Must(s.Balance(t.Context(), n, owner, req.To.Moment))
			closing := amounts(account.Closing.Assets)
			if !st.Complete || !maps.Equal(amounts(account.Opening.Assets), last) || !maps.Equal(addUp(t, account.Opening.Assets, lines), closing) {
				t.Fatalf("%s opens with %v, want %v, and closes with %v", req.Address, account.Opening.Assets, last, closing)
			}
			if len(closing) != 1+len(b.Tokens) || closing[query.BaseCoins] != b.Coins {
				t.Fatalf("%s closes with %v, has %+v", req.Address, closing, b)
			}
			for _, token := range b.Tokens {
				tokens++
				if closing[token.ID] != token.Amount {
					t.Fatalf("%s closes with %v, has %+v", req.Address, closing, b)
				}
			}
			last = closing
			begin := end + 1
			req.From = query.Period{Moment: query.Moment{Unit: &begin}}
			if end == units-1 {
				break
			}
			seq = end
		}
	}
	if tokens == 0 {
		t.Error("nobody had a token: the network tries too little")
	}
}
