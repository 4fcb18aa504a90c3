package query_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// Whose an output is changes with time, tokens too, and sums are exact (FR-09, FR-10).
func TestBalances(t *testing.T) {
	const units = 24
	l := querytest.NewLedger(t, units)
	owners := map[string]bool{}
	for _, h := range l.Outputs {
		for _, c := range h.Out.Conditions {
			owners[string(c.Address[:])] = true
		}
	}
	expired, most := 0, new(big.Int)
	check := func(at query.Moment, seq uint64, ms int64) {
		t.Helper()
		want := l.Held(seq, ms)
		for owner := range owners {
			b, err := l.Balance(t.Context(), l.Network, owner, at)
			if err != nil {
				t.Fatal(err)
			}
			if querytest.Text(b) != l.Want(want[owner]) || b.Seq != seq {
				t.Fatalf("unit %d at %d: %x has %s (unit %d), want %s", seq, ms, owner, querytest.Text(b), b.Seq, l.Want(want[owner]))
			}
			for _, token := range b.Tokens {
				if n, _ := new(big.Int).SetString(token.Amount, 10); n.Cmp(most) > 0 {
					most = n
				}
			}
		}
	}
	for seq := uint64(1); seq <= units; seq += 3 {
		check(query.Moment{Unit: &seq}, seq, l.Times[seq])
		for _, shift := range []int64{0, 1, 9_999} {
			ms := l.Times[seq] + shift
			check(query.Moment{TimeMs: &ms}, seq, ms)
		}
		if before := l.Times[seq] - 1; seq > 1 {
			check(query.Moment{TimeMs: &before}, seq-1, before)
			if fmt.Sprint(l.Held(seq-1, before)) != fmt.Sprint(l.Held(seq-1, l.Times[seq])) {
				expired++
			}
		}
	}
	check(query.Moment{}, units, l.Times[units])
	if expired == 0 || most.BitLen() < 200 {
		t.Errorf("%d moments at which something expired, the largest amount is %v: the network tries too little", expired, most)
	}
}

// Where the records state what became of them, coins are sums of postings from the first unit on.
func TestBalancesOfStated(t *testing.T) {
	s := querytest.NewStated(t, 5)
	tokens := 0
	for range 20 {
		cone := s.Next(t)
		n := querytest.Must(s.Networks(t.Context()))[0]
		for _, owner := range s.Owners(t) {
			b, err := s.Balance(t.Context(), n, owner, query.Moment{})
			address := rebased.Address([]byte(owner))
			if want := fmt.Sprint(s.Gen.Balance(address, "")); err != nil || b.Coins != want || b.Seq != cone.Unit.Seq {
				t.Fatalf("%x at checkpoint %d: %+v, %v; want %s", owner, cone.Unit.Seq, b, err, want)
			}
			for _, token := range b.Tokens {
				tokens++
				if want := fmt.Sprint(s.Gen.Balance(address, token.ID)); token.Amount != want {
					t.Fatalf("%x at checkpoint %d has %s of %s; want %s", owner, cone.Unit.Seq, token.Amount, token.ID, want)
				}
			}
		}
	}
	if tokens == 0 {
		t.Error("nobody had a token: the network tries too little")
	}
}

// Between a snapshot and the first unit behind it a balance is that of the snapshot's ledger, as time moves it.
func TestBalanceOfSnapshot(t *testing.T) {
	l := querytest.NewLedger(t, 3)
	zero, first, later, last := uint64(0), l.Times[0], (l.Times[0]+l.Times[1])/2, l.Times[1]-1
	told := 0
	for at, ms := range map[query.Moment]int64{{Unit: &zero}: first, {TimeMs: &first}: first, {TimeMs: &later}: later, {TimeMs: &last}: last} {
		for owner, mine := range l.Held(0, ms) {
			b, err := l.Balance(t.Context(), l.Network, owner, at)
			if err != nil || b.Seq != 0 || b.Time != timeOf(ms) || querytest.Text(b) != l.Want(mine) {
				t.Fatalf("%x at %v: %+v, %v; want %s", owner, at, b, err, l.Want(mine))
			}
			told++
		}
	}
	if told == 0 {
		t.Error("nobody held anything")
	}
}

// So it is of a snapshot behind a gap: what is missing was before it.
func TestBalanceOfSnapshotBehindGap(t *testing.T) {
	s := newShop(t, []storage.Span{ofLedger(1, 2, 0), ofLedger(6, 7, 50_000)}, nil, map[uint64]int64{1: 10_000, 2: 20_000, 6: 60_000, 7: 70_000})
	a := s.archive()
	n := querytest.Must(a.Networks(t.Context()))[0]
	at, before, last, unit, missing := int64(50_000), int64(49_999), int64(59_999), uint64(5), uint64(4)
	for _, moment := range []query.Moment{{TimeMs: &at}, {TimeMs: &last}, {Unit: &unit}} {
		if b, err := a.Balance(t.Context(), n, "addr1A", moment); err != nil || b.Seq != unit {
			t.Errorf("%+v, %v; want the ledger of unit 5", b, err)
		}
	}
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{TimeMs: &before}); !errors.Is(err, storage.ErrIncomplete) {
		t.Errorf("before the snapshot: %v", err)
	}
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{Unit: &missing}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of a unit that is missing: %v", err)
	}
}

func TestNoBalance(t *testing.T) {
	l := querytest.NewLedger(t, 3)
	early, later := l.Times[0]-1, uint64(4)
	begins := "the ledger is held from unit 0, signed at " + time.UnixMilli(l.Times[0]).UTC().Format(time.RFC3339) + ", on"
	for at, why := range map[query.Moment]string{{TimeMs: &early}: begins, {Unit: &later}: "held are units 1-3"} {
		var unknown *query.NoBalanceError
		if _, err := l.Balance(t.Context(), l.Network, strings.Repeat("\x00", 33), at); !errors.As(err, &unknown) || !errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), why) {
			t.Errorf("%v; want %s", err, why)
		}
	}
	gaps := querytest.NewMemory()
	gaps.Add("a", []storage.Span{{Lo: 1, Hi: 3}, {Lo: 6, Hi: 8}}, nil)
	a := query.New(gaps, querytest.Codecs)
	n := querytest.Must(a.Networks(t.Context()))[0]
	between := querytest.ToyCone(1, 3).Unit.TimeMs + 500
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{TimeMs: &between}); !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), "units 4-5 are missing") {
		t.Errorf("at a gap: %v", err)
	}
	held := querytest.ToyCone(1, 2).Unit.TimeMs
	if _, err := a.Balance(t.Context(), n, "addr1A", query.Moment{TimeMs: &held}); !errors.Is(err, ledger.ErrNoLedger) {
		t.Errorf("without a ledger: %v", err)
	}
}

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-24": "2026-11-24T23:59:59.999Z", "2026": "2026-12-31T23:59:59.999Z", "2026-11-24T12:00:00+01:00": "2026-11-24T11:00:00Z",
	} {
		at, err := query.ParseMoment(text)
		if err != nil || at.TimeMs == nil || time.UnixMilli(*at.TimeMs).UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %+v, %v; want %s", text, at, err, want)
		}
	}
	if at, err := query.ParseMoment("unit:81"); err != nil || *at.Unit != 81 {
		t.Errorf("%+v, %v", at, err)
	}
	if at, err := query.ParseMoment(""); err != nil || at != (query.Moment{}) {
		t.Errorf("%+v, %v", at, err)
	}
	for _, bad := range []string{"unit:", "unit:x", "81", "yesterday", "2026-02-30", "unit:01"} {
		if at, err := query.ParseMoment(bad); err == nil {
			t.Errorf("%s is %+v", bad, at)
		}
	}
}

// The page of an address: what it holds at a moment, and its history both ways.
func TestAddressRoute(t *testing.T) {
	l := querytest.NewLedger(t, 12)
	h := querytest.Handler(l.Archive)
	codec := l.Network.Codec
	var owner string
	for o, mine := range l.Held(12, l.Times[12]) {
		if len(mine) > 1 {
			owner = o
		}
	}
	address := codec.FormatOwner(owner, l.Trust)
	type page struct {
		Balances []query.Balance
		Items    []query.Item
		Total    query.Total
		Complete bool
	}
	read := func(url string) (p page) {
		t.Helper()
		got := querytest.Get(t, h, url)
		if err := json.Unmarshal(got.Body, &p); err != nil || got.Status != 200 {
			t.Fatalf("%s: %d %s", url, got.Status, got.Body)
		}
		return p
	}
	newest := read("/v1/addresses/" + address + "?limit=1000")
	if len(newest.Balances) != 1 || querytest.Text(newest.Balances[0]) != l.Want(l.Held(12, l.Times[12])[owner]) || newest.Balances[0].Address != address {
		t.Errorf("%+v", newest.Balances)
	}
	if len(newest.Items) == 0 || uint64(len(newest.Items)) != newest.Total.Value || !newest.Complete || newest.Items[0].As != "address" || len(newest.Items[0].Roles) == 0 {
		t.Errorf("%d items of %+v", len(newest.Items), newest.Total)
	}
	oldest := read("/v1/addresses/" + strings.ToUpper(address) + "?order=oldest&limit=1000")
	slices.Reverse(oldest.Items)
	if querytest.AsJSON(oldest.Items) != querytest.AsJSON(newest.Items) {
		t.Errorf("the history is not the same both ways")
	}
	at := time.UnixMilli(l.Times[5]).UTC().Format(time.RFC3339)
	if past := read("/v1/addresses/" + address + "?at=" + at); past.Balances[0].Seq != 5 || past.Balances[0].Time != at || querytest.Text(past.Balances[0]) != l.Want(l.Held(5, l.Times[5])[owner]) {
		t.Errorf("%+v", past.Balances)
	}
	none := querytest.Get(t, h, "/v1/addresses/"+address+"?at=2020")
	if !strings.Contains(string(none.Body), `"coins":null`) || !strings.Contains(string(none.Body), "2020-12-31T23:59:59.999Z lies before all that is held") {
		t.Errorf("%s", none.Body)
	}
}
