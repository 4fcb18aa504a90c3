package query_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// purse is a small era whose ledger is held: records move coins, and outputs expire.
type purse struct {
	querytest.Toy
	opening  map[string]uint64
	expiries *[]ledger.Expiry
	lie      *bool // balances are wrong
	scans    *int  // how often all expiries were read
}

func (p purse) Beside(_ context.Context, _ ledger.Trust, owner string, seq uint64, ms int64, _ []ledger.Key, _ func(context.Context, [][]byte) ([][]byte, error)) ([]ledger.Holding, error) {
	sum := ledger.Coins(p.opening[owner])
	for _, e := range *p.expiries {
		if e.Made.Seq > seq || e.TimeMs > ms || e.IsSpent && e.Spent.Seq <= seq {
			continue
		}
		switch owner {
		case e.From:
			sum = sum.Add(e.Holds[0].Amount.Neg())
		case e.To:
			sum = sum.Add(e.Holds[0].Amount)
		}
	}
	if *p.lie {
		sum = sum.Add(ledger.Coins(seq))
	}
	return []ledger.Holding{{Amount: sum}}, nil
}

func (p purse) Expiries(_ context.Context, _ ledger.Trust, owner string, _ uint64, _ []ledger.Key, _ func(context.Context, [][]byte) ([][]byte, error)) iter.Seq2[ledger.Expiry, error] {
	return func(yield func(ledger.Expiry, error) bool) {
		*p.scans++
		for _, e := range *p.expiries {
			if (owner == e.From || owner == e.To) && !yield(e, nil) {
				return
			}
		}
	}
}

func (purse) FormatKey(k ledger.Key, _ *ledger.Record) string { return k.Val }

// shop is an archive of one network of that era.
type shop struct {
	*querytest.Memory
	purse
	t *testing.T // nil in a benchmark, which asks nothing over HTTP
}

func newShop(t testing.TB, spans []storage.Span, gaps []storage.Gap, times map[uint64]int64) *shop {
	test, _ := t.(*testing.T)
	s := &shop{Memory: querytest.NewMemory(), t: test, purse: purse{opening: map[string]uint64{}, expiries: &[]ledger.Expiry{}, lie: new(bool), scans: new(int)}}
	s.Add("n", spans, gaps)
	for seq := range s.Cover[1].Set().All() {
		header := fmt.Appendf(nil, "unit %d", seq)
		s.Held[1][seq] = &ledger.Cone{Net: 1, Unit: ledger.Unit{Seq: seq, ID: querytest.HashID(header), Header: header, TimeMs: times[seq]}}
	}
	return s
}

// pay adds a record that moves coins: owner, amount, owner, amount.
func (s *shop) pay(seq uint64, moves ...any) {
	c := s.Held[1][seq]
	raw := fmt.Appendf(nil, "-||pay %d %d", seq, len(c.Records))
	r := ledger.Record{
		Ord: ledger.Ord{Seq: seq, Pos: uint32(len(c.Records))}, ID: querytest.HashID(raw), State: ledger.Applied, Basis: ledger.ByRoot,
		Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}},
	}
	for i := 0; i < len(moves); i += 2 {
		amount, role := ledger.Coins(uint64(max(moves[i+1].(int), -moves[i+1].(int)))), ledger.RoleReceive
		if moves[i+1].(int) < 0 {
			amount, role = amount.Neg(), ledger.RoleSpend
		}
		r.Moves = append(r.Moves, ledger.Move{Owner: moves[i].(string), Amount: amount})
		r.Posts = append(r.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyAddress, Val: moves[i].(string)}, Role: role, Value: amount})
	}
	c.Records = append(c.Records, r)
}

func (s *shop) archive() *query.Archive {
	return query.New(s.Memory, func(e ledger.Era) (ledger.Codec, bool) { return s.purse, e == "toy" })
}

// ask reads a statement over HTTP.
func (s *shop) ask(params string) (querytest.Answer, query.Statement) {
	s.t.Helper()
	got := querytest.Get(s.t, querytest.Handler(s.archive()), "/v1/addresses/addr1A/statement?"+params)
	var st query.Statement
	if got.Status == 200 {
		if err := json.Unmarshal(got.Body, &st); err != nil {
			s.t.Fatalf("%v: %s", err, got.Body)
		}
	}
	return got, st
}

func ofLedger(lo, hi uint64, before int64) storage.Span {
	return storage.Span{Lo: lo, Hi: hi, Held: true, PrevTime: before}
}

// seqs is where lines stand: units, or the ids of what expired.
func seqs(lines []query.StatementLine) (out []string) {
	for _, l := range lines {
		if l.Seq == nil {
			out = append(out, l.ID)
			continue
		}
		out = append(out, fmt.Sprint(*l.Seq))
	}
	return out
}

// A day has its first and its last second, whatever the time zone of the machine (FR-18, FR-27).
func TestStatementDays(t *testing.T) {
	s := newShop(t, []storage.Span{ofLedger(1, 4, 1610668000_000)}, nil, map[uint64]int64{1: 1610668799_000, 2: 1610668800_000, 3: 1610755199_000, 4: 1610755200_000})
	for seq := range uint64(4) {
		s.pay(seq+1, "addr1A", 10, "addr1B", -10)
	}
	s.opening["addr1A"] = 7
	local := time.Local
	defer func() { time.Local = local }()
	var bodies []string
	for _, zone := range []string{"UTC", "America/New_York", "Asia/Tokyo"} {
		var err error
		if time.Local, err = time.LoadLocation(zone); err != nil {
			t.Fatal(err)
		}
		for params, want := range map[string]string{
			"from=2021-01-15&to=2021-01-15": "17 [2 3] 37", "from=2021-01-16": "37 [4] 47", "to=2021-01-14": "7 [1] 17", "to=2020": "problem",
			"from=2021&to=2021-01": "7 [1 2 3 4] 47", "": "7 [1 2 3 4] 47", "from=2022": "problem", "from=unit:2&to=unit:3": "17 [2 3] 37",
			"from=2021-01-15T00:00:00Z&to=2021-01-15T23:59:59Z": "17 [2 3] 37", "from=2021-01-14T23:59:59.0001Z&to=2021-01-15T00:00:00%2B00:00": "17 [2] 27",
			"from=unit:5": "47 [] 47", "from=unit:6": "problem", "from=unit:4&to=2021-01-15T23:59:59Z": "37 [] 37", "from=unit:4&to=2021-01-15T23:59:58Z": "400", "from=2021-01-16&to=2021-01-15": "400", "from=unit:3&to=unit:2": "400",
			"from=2021-02-30": "400", "to=yesterday": "400", "asset=nothing": "400", "asset=0x99": "0 [] 0", "asset=coins&from=unit:4": "37 [4] 47", "limit=0": "400", "format=pdf": "400",
			"format=csv&limit=3": "400", "format=html&cursor=AAAA": "400", "cursor=AAAA": "400",
		} {
			got, st := s.ask(params)
			is := fmt.Sprint(got.Status)
			if got.Status == 200 {
				is = "problem"
				if a := st.Accounts[0]; a.Opening != nil && a.Closing != nil {
					is = a.Opening.Assets[0].Amount + " " + fmt.Sprint(seqs(st.Items)) + " " + a.Closing.Assets[0].Amount
				} else if a.Why == "" || a.Complete || st.Complete {
					t.Errorf("%s: %+v", params, a)
				}
			}
			if is != want {
				t.Errorf("%s in %s: %s, want %s: %s", params, zone, is, want, got.Body)
			}
		}
		all := querytest.Get(t, querytest.Handler(s.archive()), "/v1/addresses/addr1A/statement?format=csv")
		page := querytest.Get(t, querytest.Handler(s.archive()), "/v1/addresses/addr1A/statement?format=html")
		bodies = append(bodies, string(all.Body)+regexp.MustCompile(`<dt>Made.*`).ReplaceAllString(string(page.Body), ""))
	}
	if bodies[0] != bodies[1] || bodies[1] != bodies[2] || !strings.Contains(bodies[0], "time_utc") || !strings.Contains(bodies[0], ",2021-01-14T23:59:59Z,") || !strings.Contains(bodies[0], "Time (UTC)") {
		t.Errorf("bodies differ, or name no zone: %s", bodies)
	}
}

// Amounts are integers in the table, also negative ones (FR-26).
func TestStatementTable(t *testing.T) {
	s := newShop(t, []storage.Span{ofLedger(1, 2, 1000)}, nil, map[uint64]int64{1: 1637899290_000, 2: 1637899300_000})
	s.opening["addr1A"] = 12345678901234567890
	s.pay(1, "addr1A", -5, "addr1=B", 5)
	got := querytest.Get(t, querytest.Handler(s.archive()), "/v1/addresses/addr1A/statement?format=csv")
	rows, err := csv.NewReader(bytes.NewReader(got.Body)).ReadAll()
	if err != nil || got.Header.Get("X-Rows") != "3" || got.Header.Get("X-Incomplete") != "" || got.Header.Get("X-Coverage-Complete") != "true" {
		t.Fatalf("%v, %v: %s", err, got.Header, got.Body)
	}
	want := "network address kind seq pos id time_utc state roles asset amount balance counterparties note\n" +
		"n addr1A opening 0   1970-01-01T00:00:01Z   coins  12345678901234567890  \n" +
		"n addr1A record 1 0 " + s.FormatID(s.Held[1][1].Records[0].ID) + " 2021-11-26T04:01:30Z applied spend coins -5 12345678901234567885 addr1=B \n" +
		"n addr1A closing 2   2021-11-26T04:01:40Z   coins  12345678901234567885  \n"
	text := ""
	for _, row := range rows {
		text += strings.Join(row, " ") + "\n"
	}
	if text != want || !bytes.Contains(got.Body, []byte(",-5,")) || !bytes.Contains(got.Body, []byte("\r\n")) {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	var names []string
	for _, c := range query.StatementColumns {
		names = append(names, c.Name)
	}
	if strings.Join(rows[0], ",") != strings.Join(names, ",") || !strings.Contains(string(querytest.Get(t, querytest.Handler(s.archive()), "/v1/columns").Body), `"table":"statement"`) {
		t.Errorf("%v, described are %v", rows[0], names)
	}
}

// What cannot be known is not made up, and is named: gaps, what came before the ledger, spans without one.
func TestStatementOfWhatIsMissing(t *testing.T) {
	times := map[uint64]int64{}
	for seq := range int64(20) {
		times[uint64(seq)] = 1637899000_000 + seq*10_000
	}
	gap := []storage.Gap{{From: 4, To: 5, Reason: "every source has pruned it"}}
	s := newShop(t, []storage.Span{ofLedger(1, 3, times[0]), {Lo: 6, Hi: 8}}, gap, times)
	s.opening["addr1A"] = 5
	for seq := range s.Cover[1].Set().All() {
		s.pay(seq, "addr1A", 1)
	}
	later := newShop(t, []storage.Span{{Lo: 1, Hi: 3}, ofLedger(6, 8, times[5])}, gap, times)
	later.opening["addr1A"] = 5
	for seq := range later.Cover[1].Set().All() {
		later.pay(seq, "addr1A", 1)
	}
	for _, c := range []struct {
		s                      *shop
		params, opening, lines string
		closing, why           string
	}{
		{s, "", "5", "[1 2 3]", "", "without the ledger before them; balances need the whole ledger: ingest into a new directory with --snapshot FILE; the lines go to unit 3"},
		{s, "from=unit:2&to=unit:8", "6", "[2 3]", "", "the lines go to unit 3"},
		{s, "from=unit:2&to=unit:5", "6", "[2 3]", "", "unit 5 is not held"},
		{s, "from=unit:7&to=unit:8", "", "[]", "", "without the ledger"},
		{s, "from=2021-11-26T03:57:00Z&to=2021-11-26T03:57:13Z", "6", "[2 3]", "", "units 4-5 are missing"},
		{s, "to=unit:3", "5", "[1 2 3]", "8", ""},
		{s, "from=2020&to=unit:3", "5", "[1 2 3]", "8", "no line is known of before unit 1"},
		{later, "", "5", "[6 7 8]", "8", "no line is known of before unit 6"},
		{later, "from=unit:2", "5", "[6 7 8]", "8", "no line is known of before unit 6"},
		{later, "from=unit:7", "6", "[7 8]", "8", ""},
		{later, "from=2021-11-26T03:57:50Z", "6", "[7 8]", "8", "none"},
		{later, "from=2021-11-26T03:58:00.001Z", "8", "[]", "8", ""}, // behind the newest, which is all that can be said
		{later, "from=2021-11-26T03:58:00.002Z", "", "[]", "", "the period has not begun: the newest unit that is held, 8, was signed at 2021-11-26T03:58:00Z"},
		{later, "from=2027", "", "[]", "", "the period has not begun"},
		{later, "to=unit:2", "", "[]", "", "without the ledger"},
		{later, "to=2020", "", "[]", "", "lies before all that is held"},
		{newShop(t, nil, nil, nil), "", "", "[]", "", "no unit is held yet"},
	} {
		got, st := c.s.ask(c.params)
		if got.Status != 200 || len(st.Accounts) != 1 {
			t.Errorf("%s: %d %s", c.params, got.Status, got.Body)
			continue
		}
		a := st.Accounts[0]
		amount := func(b *query.StatementBalance) string {
			if b == nil {
				return ""
			}
			return b.Assets[0].Amount
		}
		complete := c.why == "" || c.why == "none"
		if amount(a.Opening) != c.opening || amount(a.Closing) != c.closing || fmt.Sprint(seqs(st.Items)) != c.lines || a.Complete != complete || st.Complete != complete || !complete && !strings.Contains(a.Why, c.why) || complete && a.Why != "" {
			t.Errorf("%s: %s", c.params, got.Body)
		}
		table := querytest.Get(t, querytest.Handler(c.s.archive()), "/v1/addresses/addr1A/statement?format=csv&"+c.params)
		if (table.Header.Get("X-Incomplete") == "") != complete || table.Header.Get("X-Rows") == "" || (table.Header.Get("X-Coverage-Complete") == "true") != complete {
			t.Errorf("%s: %v %s", c.params, table.Header, table.Body)
		}
	}
}

// expire adds outputs that go from one owner to another at a time.
func (s *shop) expire(n int, from, to string, at func(i int) int64) {
	for i := range n {
		*s.expiries = append(*s.expiries, ledger.Expiry{
			Output: fmt.Sprintf("out%05d", i), From: from, To: to, TimeMs: at(i), Made: ledger.Ord{Seq: 0}, Holds: []ledger.Holding{{Amount: ledger.Coins(1)}},
		})
	}
}

// A day in from is its beginning, in to and at its end: what is no moment is answered in the words of its own place.
func TestNoMoment(t *testing.T) {
	s := newShop(t, []storage.Span{ofLedger(1, 3, 0)}, nil, map[uint64]int64{})
	for name, want := range map[string]string{"from": "2026-11-24 (its beginning)", "to": "2026-11-24 (its end)"} {
		if got, _ := s.ask(name + "=2026-02-30"); got.Status != 400 || !strings.Contains(string(got.Body), want) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

// Many outputs that expire are read some at a time, in order; page by page there are the same lines.
func TestStatementOfManyExpiries(t *testing.T) {
	times := map[uint64]int64{1: 10_000, 2: 20_000, 3: 30_000}
	s := newShop(t, []storage.Span{ofLedger(1, 3, 1000)}, nil, times)
	r := rand.New(rand.NewPCG(1, 1))
	s.expire(5000, "addr1A", "addr1B", func(int) int64 { return 1000 * (2 + int64(r.IntN(27))) })
	s.opening["addr1A"] = 6000
	for seq := range uint64(3) {
		s.pay(seq+1, "addr1A", 1)
	}
	n := querytest.Must(s.archive().Networks(t.Context()))[0]
	req := query.StatementRequest{Networks: []query.Network{n}, Address: "addr1A"}
	_, whole := statementPages(t, s.archive(), req, func() int { return 1_000_000 })
	_, lines := statementPages(t, s.archive(), req, func() int { return 700 + r.IntN(600) })
	if len(whole) != 5003 || querytest.AsJSON(whole) != querytest.AsJSON(lines) {
		t.Errorf("%d lines, page by page %d", len(whole), len(lines))
	}
	if !slices.IsSortedFunc(whole, func(a, b query.StatementLine) int { return strings.Compare(a.Time, b.Time) }) {
		t.Error("lines are out of order")
	}
	got := querytest.Get(t, querytest.Handler(s.archive()), "/v1/addresses/addr1A/statement?format=html")
	if !bytes.Contains(got.Body, []byte("5003 lines")) {
		t.Errorf("%.3000s", got.Body)
	}
}

// A statement of very many outputs that expire reads them a few times, whatever their number, and a page reads them once or
// twice.
func TestStatementReadsExpiriesSeldom(t *testing.T) {
	const n = 100_000
	s := newShop(t, []storage.Span{ofLedger(1, 3, 1000)}, nil, map[uint64]int64{1: 10_000, 2: 2_000_000_000, 3: 3_000_000_000})
	s.expire(n, "addr1A", "addr1B", func(i int) int64 { return 20_000 + int64(i)*7919%1_000_003*1000 })
	s.opening["addr1A"] = n
	net := querytest.Must(s.archive().Networks(t.Context()))
	st := querytest.Must(s.archive().OpenStatement(t.Context(), query.StatementRequest{Networks: net, Address: "addr1A"}))
	*s.scans = 0
	rows := uint64(0)
	if _, err := st.CSV(t.Context(), io.Discard, &rows); err != nil || rows != n+2 || *s.scans > 8 {
		t.Errorf("%d rows by reading all expiries %d times, %v", rows, *s.scans, err)
	}
	*s.scans = 0
	if got, page := s.ask("limit=1000"); len(page.Items) != 1000 || *s.scans > 2 {
		t.Errorf("a page of %d lines by reading all expiries %d times: %.200s", len(page.Items), *s.scans, got.Body)
	}
}

// BenchmarkStatementOfExpiries is a whole statement of outputs that expired, one line each, from a store in memory.
func BenchmarkStatementOfExpiries(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 300_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newShop(b, []storage.Span{ofLedger(1, 2, 1000)}, nil, map[uint64]int64{1: 10_000, 2: 2_000_000_000})
			s.expire(n, "addr1A", "addr1B", func(i int) int64 { return 20_000 + int64(i)*7919%1_000_003*1000 })
			s.opening["addr1A"] = uint64(n)
			a := s.archive()
			net := querytest.Must(a.Networks(b.Context()))
			rows, most := uint64(0), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				st := querytest.Must(a.OpenStatement(b.Context(), query.StatementRequest{Networks: net, Address: "addr1A"}))
				rows = 0
				if _, err := st.CSV(b.Context(), &peak{&most}, &rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
			b.ReportMetric(float64(most)/1e6, "MB-heap-most")
		})
	}
}

// peak takes note of the largest heap while it is written to.
type peak struct{ most *uint64 }

func (p *peak) Write(b []byte) (int, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*p.most = max(*p.most, m.HeapAlloc)
	return len(b), nil
}

// A cursor that was changed is refused, or leads to a page that adds up; never to a failure.
func TestStatementCursorIsHostile(t *testing.T) {
	times := map[uint64]int64{}
	for seq := range int64(10) {
		times[uint64(seq)] = (seq + 1) * 10_000
	}
	s := newShop(t, []storage.Span{ofLedger(1, 9, 10_000)}, nil, times)
	s.opening["addr1A"] = 100
	s.expire(20, "addr1A", "addr1B", func(i int) int64 { return 11_000 + 4000*int64(i) })
	for seq := range uint64(9) {
		s.pay(seq+1, "addr1A", 1)
	}
	_, first := s.ask("limit=7&to=unit:8")
	raw := querytest.Must(base64.RawURLEncoding.DecodeString(*first.NextCursor))
	good := 0
	for i := range raw {
		for _, change := range []byte{1, 0x80, 0xff} {
			other := slices.Clone(raw)
			other[i] ^= change
			got, st := s.ask("limit=7&to=unit:8&cursor=" + base64.RawURLEncoding.EncodeToString(other))
			switch {
			case got.Status == 400:
			case got.Status != 200:
				t.Errorf("byte %d, %02x: %d %s", i, change, got.Status, got.Body)
			case len(st.Items) > 0:
				good++
				addUp(t, st.Accounts[0].Carried, st.Items)
			}
		}
	}
	for i := range raw {
		if got, _ := s.ask("limit=7&to=unit:8&cursor=" + base64.RawURLEncoding.EncodeToString(raw[:i])); got.Status != 400 {
			t.Errorf("cut to %d bytes: %d %s", i, got.Status, got.Body)
		}
	}
	if got, _ := s.ask("limit=7&to=unit:7&cursor=" + url.QueryEscape(*first.NextCursor)); got.Status != 400 {
		t.Errorf("of another period: %d %s", got.Status, got.Body)
	}
	if good == 0 {
		t.Error("no changed cursor led anywhere: nothing was tried")
	}
}

// What comes in while a statement is read page by page does not belong to it.
func TestStatementStaysClosed(t *testing.T) {
	times := map[uint64]int64{1: 10_000, 2: 20_000, 3: 30_000, 4: 40_000}
	s := newShop(t, []storage.Span{ofLedger(1, 3, 1000)}, nil, times)
	for range 5 {
		s.pay(1, "addr1A", 1)
	}
	s.pay(2, "addr1A", 1)
	_, first := s.ask("limit=4")
	s.Cover[1] = storage.Coverage{Spans: []storage.Span{ofLedger(1, 4, 1000)}}
	header := []byte("unit 4")
	s.Held[1][4] = &ledger.Cone{Net: 1, Unit: ledger.Unit{Seq: 4, ID: querytest.HashID(header), Header: header, TimeMs: times[4]}}
	s.pay(4, "addr1A", 50)
	got, second := s.ask("limit=4&cursor=" + *first.NextCursor)
	if got.Status != 200 || second.NextCursor != nil || querytest.AsJSON(second.Accounts[0].Closing) != querytest.AsJSON(first.Accounts[0].Closing) || fmt.Sprint(seqs(second.Items)) != "[1 2]" {
		t.Errorf("%s", got.Body)
	}
	if _, now := s.ask(""); fmt.Sprint(seqs(now.Items)) != "[1 1 1 1 1 2 4]" {
		t.Errorf("%v", seqs(now.Items))
	}
}

// A statement that does not add up, or cannot be read to its end, is none.
func TestStatementThatFails(t *testing.T) {
	times := map[uint64]int64{1: 10_000, 2: 20_000}
	for _, spoil := range []func(*shop){
		func(s *shop) { *s.lie = true },
		func(s *shop) {
			s.FailAt, s.Fail = ledger.Ord{Seq: 2, Pos: 1500}, fmt.Errorf("record: %w", storage.ErrCorrupt)
		},
	} {
		s := newShop(t, []storage.Span{ofLedger(1, 2, 1000)}, nil, times)
		s.pay(1, "addr1A", 3)
		for range 2000 {
			s.pay(2, "addr1A", 3)
		}
		spoil(s)
		n := querytest.Must(s.archive().Networks(t.Context()))[0]
		_, err := s.archive().Statement(t.Context(), query.StatementRequest{Networks: []query.Network{n}, Address: "addr1A", Limit: 1_000_000})
		if err == nil || s.Fail != nil && !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%v", err)
		}
		for _, format := range []string{"csv", "html"} {
			w, broke := httptest.NewRecorder(), false
			func() {
				defer func() { broke = recover() == http.ErrAbortHandler }()
				querytest.Handler(s.archive()).ServeHTTP(w, querytest.HttpGet("/v1/addresses/addr1A/statement?format="+format))
			}()
			if !broke || w.Header().Get("X-Rows") != "" || strings.Contains(w.Body.String(), "closing") || strings.Contains(w.Body.String(), "End of the statement") || w.Body.Len() < 64<<10 {
				t.Errorf("%s broke off: %v, %d bytes, %v", format, broke, w.Body.Len(), w.Header())
			}
		}
	}
}

// A record that cannot be read whole may have moved something: then neither a statement nor a balance says that it is
// complete. It is enough that the record names the account; where not even its outcome is known it concerns everybody.
func TestUnreadRecord(t *testing.T) {
	const why = "records of 1 units (2) cannot be read whole by this version: what they moved may be missing from lines and balances"
	for _, c := range []struct {
		name     string
		owner    string // that the record names
		role     ledger.Role
		state    ledger.State
		unread   bool
		complete bool
	}{
		{"read", "addr1A", ledger.RoleReceive, ledger.Applied, false, true},
		{"moved by it", "addr1A", ledger.RoleReceive, ledger.Applied, true, false},
		{"named by it", "addr1A", ledger.RoleMention, ledger.Applied, true, false},
		{"of another one", "addr1B", ledger.RoleReceive, ledger.Applied, true, true},
		{"of unknown outcome", "addr1B", ledger.RoleSign, ledger.Executed, true, false},
	} {
		s := newShop(t, []storage.Span{ofLedger(1, 3, 1000)}, nil, map[uint64]int64{1: 10_000, 2: 20_000, 3: 30_000})
		s.pay(1, "addr1A", 3)
		s.pay(2, c.owner, 0)
		r := &s.Held[1][2].Records[0]
		r.Undecoded, r.State, r.Posts[0].Role, r.Moves = c.unread, c.state, c.role, nil
		h := querytest.Handler(s.archive())
		wants := func(at, text string, complete, saysWhy bool) {
			t.Helper()
			if complete != c.complete || saysWhy == c.complete {
				t.Errorf("%s, %s: %s", c.name, at, text)
			}
		}
		for _, params := range []string{"", "from=unit:2&to=unit:2", "from=unit:3"} { // an opening balance has it in it
			got, st := s.ask(params)
			a := st.Accounts[0]
			wants(params, string(got.Body), st.Complete && a.Complete, a.Why == why)
			if a.Closing == nil || a.Closing.Assets[0].Amount != "3" {
				t.Errorf("%s, %s: %s", c.name, params, got.Body)
			}
		}
		table := querytest.Get(t, h, "/v1/addresses/addr1A/statement?format=csv")
		wants("csv", fmt.Sprint(table.Header), table.Header.Get("X-Coverage-Complete") == "true", strings.Contains(table.Header.Get("X-Incomplete"), why))
		page := querytest.Get(t, h, "/v1/addresses/addr1A/statement?format=html")
		wants("html", string(page.Body), !bytes.Contains(page.Body, []byte("Something is missing")), bytes.Contains(page.Body, []byte(why)))
		balance := querytest.Get(t, h, "/v1/addresses/addr1A")
		b := balance.Json(t)["balances"].([]any)[0].(map[string]any)
		wants("balance", string(balance.Body), b["complete"] == true, b["why"] == why)
		if b["coins"] != "3" {
			t.Errorf("%s: %s", c.name, balance.Body)
		}
		if _, before := s.ask("to=unit:1"); !before.Complete || before.Accounts[0].Why != "" {
			t.Errorf("%s: the unit before is complete: %+v", c.name, before)
		}
		b = querytest.Get(t, h, "/v1/addresses/addr1A?at=unit:1").Json(t)["balances"].([]any)[0].(map[string]any)
		if b["complete"] != true || b["why"] != nil {
			t.Errorf("%s: the unit before is complete: %v", c.name, b)
		}
	}
}

// The page loads nothing and runs nothing, and shows a stranger's text as text.
func TestStatementPage(t *testing.T) {
	s := newShop(t, []storage.Span{ofLedger(1, 2, 1000)}, nil, map[uint64]int64{1: 10_000, 2: 20_000})
	s.opening["addr1<script>alert(1)</script>"] = 5
	s.pay(1, "addr1<b>A", 3, "addr1A", -3)
	got := querytest.Get(t, querytest.Handler(s.archive()), "/v1/addresses/addr1%3Cb%3EA/statement?format=html")
	body := string(got.Body)
	policy := got.Header.Get("Content-Security-Policy")
	for _, no := range []string{"<script", "<b>", "http:", "https:", "src=", "href=", "url(", "@import", " on", "javascript:"} {
		if strings.Contains(strings.ReplaceAll(body, " one", ""), no) && no != " on" || no == " on" && regexp.MustCompile(`<[^>]* on[a-z]+=`).MatchString(body) {
			t.Errorf("the page has %q: %s", no, body)
		}
	}
	for _, must := range []string{"addr1&lt;b&gt;A", "Time (UTC)", "Made", "permanode v0", "Coverage of n", "units 1-2", "Identity of the network", "@page { size: A4", "End of the statement: 1 lines", "1970-01-01T00:00:10Z"} {
		if !strings.Contains(body, must) {
			t.Errorf("the page lacks %q: %s", must, body)
		}
	}
	if got.Status != 200 || !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%v", got.Header)
	}
	for accept, media := range map[string]string{
		"text/html,application/xhtml+xml,*/*;q=0.8": "text/html", "text/csv": "text/csv", "*/*": "application/json", "": "application/json", "application/json, text/csv;q=0.5": "application/json",
	} {
		r := querytest.HttpGet("/v1/addresses/addr1A/statement")
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		if got := querytest.Do(t, querytest.Handler(s.archive()), r); !strings.HasPrefix(got.Header.Get("Content-Type"), media) || !slices.Contains(got.Header.Values("Vary"), "Accept") {
			t.Errorf("%s: %v", accept, got.Header)
		}
	}
}
