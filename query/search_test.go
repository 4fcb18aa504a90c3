package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// search walks all pages and returns the hits as "network seq/pos", and the last page.
func search(t testing.TB, a *query.Archive, text string, order query.Order, limit int) ([]string, query.SearchResult, error) {
	t.Helper()
	networks, err := a.Networks(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var hits []string
	req := query.SearchRequest{Networks: networks, Query: text, Order: order, Limit: limit}
	for {
		got, err := a.Search(context.Background(), req)
		if err != nil {
			return nil, got, err
		}
		for _, h := range got.Hits {
			hits = append(hits, fmt.Sprintf("%s %d/%d", h.Network.Name, h.Ord.Seq, h.Ord.Pos))
		}
		if got.Next == "" {
			return hits, got, nil
		}
		if len(got.Hits) != limit {
			t.Errorf("%s: a page of %d, not %d, with a cursor", text, len(got.Hits), limit)
		}
		req.Cursor = got.Next
	}
}

// finds checks the hits of a query, newest first, and that their total is exact.
func finds(t testing.TB, a *query.Archive, text string, want ...string) {
	t.Helper()
	hits, got, err := search(t, a, text, query.NewestFirst, 100)
	if err != nil || !slices.Equal(hits, want) || got.Total.Value != uint64(len(want)) || got.Total.Relation != "exact" || !got.Complete {
		t.Errorf("%s finds %q (total %+v), %v; want %q", text, hits, got.Total, err, want)
	}
}

// refuses checks that a query is an error with some words and a hint.
func refuses(t testing.TB, a *query.Archive, text string, words ...string) {
	t.Helper()
	_, _, err := search(t, a, text, query.NewestFirst, 10)
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || hint.Hint() == "" {
		t.Errorf("%s: %v; want an error with a hint", text, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error()+"; "+hint.Hint(), w) {
			t.Errorf("%s: %v (%s); want %q", text, err, hint.Hint(), w)
		}
	}
}

// several criteria mean "and", and a hit of two of them is one (FR-01).
func TestSeveralCriteria(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T1|addr1A|x", "T2|addr1A|y", "T1|addr1B|z")
	l.CatchUp()
	for name, a := range map[string]*query.Archive{"index": l.Indexed(), "postings": l.Plain()} {
		t.Run(name, func(t *testing.T) {
			finds(t, a, "addr:addr1A tag:T1", "n 1/0")
			finds(t, a, "addr:addr1A OR tag:T1", "n 1/2", "n 1/1", "n 1/0")
			finds(t, a, "addr:addr1A addr:addr1A", "n 1/1", "n 1/0")
			finds(t, a, "addr:addr1A NOT tag:T1", "n 1/1")
			hits, got, err := search(t, a, "addr:addr1A OR tag:T1", query.OldestFirst, 1)
			if err != nil || !slices.Equal(hits, []string{"n 1/0", "n 1/1", "n 1/2"}) || got.Total.Value != 3 {
				t.Errorf("by one: %q of %+v, %v", hits, got.Total, err)
			}
		})
	}
}

// An answer over less than all says so, and why (FR-15).
func TestIncomplete(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	for seq := uint64(11); seq <= 25; seq++ {
		l.AddUnit(id, seq, int64(seq)*querytest.Day, "T|addr1A|word")
	}
	l.CatchUp()
	for seq := uint64(26); seq <= 30; seq++ {
		l.AddUnit(id, seq, int64(seq)*querytest.Day, "T|addr1A|word")
	}
	a := l.Indexed()
	check := func(text string, value uint64, complete bool, why string) {
		t.Helper()
		hits, got, err := search(t, a, text, query.NewestFirst, 7)
		relation := map[bool]string{true: "exact", false: "lower_bound"}[complete]
		if err != nil || uint64(len(hits)) != value || got.Total.Value != value || got.Complete != complete || got.Total.Relation != relation ||
			got.Searched[0].Complete != complete || !strings.Contains(got.Total.Why, why) || complete != (got.Missing() == nil) {
			t.Errorf("%s: %d hits, total %+v, complete %v, %+v, %v", text, len(hits), got.Total, got.Complete, got.Searched, err)
		}
	}
	check("addr:addr1A", 20, true, "")
	check("word NOT kind:data", 15, false, "units 26-30 are not in the index yet")
	check("word NOT kind:data unit:..20", 10, true, "")
	check("word NOT kind:data before:1970-01-22", 10, true, "")
	export := func(text string, whole bool) {
		t.Helper()
		var out strings.Builder
		_, err := a.Export(t.Context(), query.ExportRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: text, Format: query.NDJSON}, &out, querytest.Idle)
		if !errors.Is(err, storage.ErrIncomplete) || strings.Contains(out.String(), `"_end":true`) != whole {
			t.Errorf("an export that is not whole ends with %v and\n%s", err, out.String())
		}
	}
	export("word NOT kind:data", false) // rows that the archive holds are not in it
	l.CatchUp()
	check("word NOT kind:data", 20, true, "")
	cov := l.Cover[id]
	cov.Gaps = []storage.Gap{{From: 1, To: 10, Reason: "every source has pruned it"}}
	l.Cover[id] = cov
	check("word NOT kind:data", 20, false, "units 1-10 are missing (every source has pruned it)")
	check("addr:addr1A", 20, false, "units 1-10 are missing")
	check("addr:addr1A unit:11..", 20, true, "")
	check("addr:addr1A after:1970-01-13", 19, true, "")
	check("addr:addr1A after:1970-01-10 before:1970-01-13", 1, false, "units 1-10 are missing") // a missing one may be of the 10th
	export("word NOT kind:data", true)                                                          // all that the archive holds is, and there is a gap
}

// Scripts without spaces (FR-16).
func TestScripts(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "-||機器推論洗成權威事實", "-||權利的事情很有威力", "-||こんにちは、世界")
	l.CatchUp()
	a := l.Indexed()
	for text, want := range map[string][]string{
		"權威事實": {"n 1/0"}, `"權威事實"`: {"n 1/0"}, "權威": {"n 1/0"}, "ちは": {"n 1/2"}, "世界": {"n 1/2"}, "事權": nil, "權": {"n 1/1", "n 1/0"},
	} {
		finds(t, a, text, want...)
	}
}

// Prefixes and phrases follow the rules of words; tags are exact bytes (FR-17).
func TestWordsAndTags(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "Sensor-Node||x", "-||Sensor-Node ALPHA")
	l.CatchUp()
	a := l.Indexed()
	for _, text := range []string{"sensor NOT tag:Sensor-Node", "text:SENSOR", "text:Sens*", "sens*", "text:Sensor-Node", "Sensor-No*", `"sensor node"`, "alpha", `text:"NODE alpha"`} {
		finds(t, a, text, "n 1/1")
	}
	finds(t, a, "Sensor-Node", "n 1/1", "n 1/0") // the search box: a tag or words
	for text, want := range map[string][]string{
		"tag:Sensor-Node": {"n 1/0"}, "tag:Sensor*": {"n 1/0"}, "tag:sensor*": nil, "tag:Sensor": nil, "tag:0x53656e736f722d4e6f6465": {"n 1/0"},
		"0x53656e736f722d4e6f6465": {"n 1/0"}, "53656E736f722d4e6f6465 tag:Sensor-Node": nil, "tag:0x5365*": {"n 1/0"}, `tag:"Sensor-Node"`: {"n 1/0"}, "tag:*": {"n 1/0"},
	} {
		finds(t, a, text, want...)
		finds(t, l.Plain(), text, want...)
	}
	finds(t, a, "53656E736f722d4e6f6465", "n 1/0") // as some nodes write a tag
	refuses(t, a, "*node", "no index answers a *")
	refuses(t, a, "...  ---", "holds no word")
	refuses(t, a, "tags:x", "did you mean tag:")
}

// A day is a day in UTC, and before and after share no record (FR-18).
func TestDays(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	for i, s := range []int64{1610668799, 1610668800, 1610755199, 1610755200} {
		l.AddUnit(id, uint64(i+1), s*1000, "-||x")
	}
	l.CatchUp()
	a := l.Indexed()
	finds(t, a, "after:2021-01-15 before:2021-01-16", "n 3/0", "n 2/0")
	finds(t, a, "before:2021-01-15", "n 1/0")
	finds(t, a, "after:2021-01-15", "n 4/0", "n 3/0", "n 2/0")
	finds(t, a, "before:2022", "n 4/0", "n 3/0", "n 2/0", "n 1/0")
	finds(t, a, "after:2022")
	finds(t, a, "after:2021-01-15T01:00:00+01:00 before:2021-01-15T00:00:00.001Z", "n 2/0")
}

// Numbers keep their digits (FR-19).
func TestBigNumbers(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, `-||{"data":{"id":1322146843034914816,"x":1e400}}`, `-||{"amount":1,"amount":2,"Amount":3}`)
	l.CatchUp()
	a := l.Indexed()
	finds(t, a, "data.id=1322146843034914816", "n 1/0")
	finds(t, a, "data.id=1322146843034914817")
	finds(t, a, "data.id=13221468430349*", "n 1/0")
	finds(t, a, "data.x=1e400", "n 1/0")
	finds(t, a, "amount=1 amount=2", "n 1/1")
	finds(t, a, "Amount=*", "n 1/1")
	finds(t, a, "amount=3")
}

// What resembles an identifier and is none is an error, never an empty answer (FR-03, FR-20).
func TestMisread(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "-|addr1A|x")
	l.CatchUp()
	a := l.Indexed()
	hash := l.Held[id][1].Records[0].ID.String()
	for _, text := range []string{hash, strings.ToUpper(hash), "0x" + hash, "id:" + hash, "id:0x" + hash} {
		finds(t, a, text, "n 1/0")
	}
	refuses(t, a, hash[:63], "64 hex digits, not 63")
	refuses(t, a, hash+"0", "64 hex digits, not 65")
	refuses(t, a, "id:"+hash[:63]+"g", "is no identifier of n")
	refuses(t, a, "0x"+hash[:40], "not 40")
	refuses(t, a, "addr2A", "prefix of another network")
	refuses(t, a, "addr:addr2A", "prefix of another network")
	refuses(t, a, "addr:"+hash, "is no address of n, but may name another thing there (record", "id:")
	refuses(t, a, "kind:nonsense", "there is no kind", "data, none, unit")
	refuses(t, a, "state:lost", "applied, conflicting")
	refuses(t, a, "network:m", "there are n")
	finds(t, a, "addr:addr1Z") // a valid address that nobody used
}

// Zero bytes are bytes (FR-21).
func TestZeroBytes(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "\x00||x", "\x00\x00||x", "a\x00b||x", "||x", "-||a\x00b end")
	l.CatchUp()
	for _, a := range []*query.Archive{l.Indexed(), l.Plain()} {
		finds(t, a, "tag:0x00", "n 1/0")
		finds(t, a, "tag:0x0000", "n 1/1")
		finds(t, a, "tag:0x610062", "n 1/2")
		finds(t, a, `tag:""`, "n 1/3")
		finds(t, a, "tag:0x00*", "n 1/1", "n 1/0")
		finds(t, a, "tag:*", "n 1/3", "n 1/2", "n 1/1", "n 1/0")
	}
	finds(t, l.Indexed(), "end", "n 1/4")
	h := querytest.Handler(l.Indexed())
	for path, want := range map[string]int{"0x00": 1, "0x0000": 1, "%00": 1, "%00%00": 1, "a%00b": 1, "0x": 1, "%2f": 0, "%ff": 0} {
		got := querytest.Get(t, h, "/v1/tags/"+path)
		var v struct {
			Items []query.Item
			Query string
		}
		if err := json.Unmarshal(got.Body, &v); err != nil || got.Status != 200 || len(v.Items) != want || strings.ContainsRune(string(got.Body), 0) {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
		if searched := querytest.Get(t, h, "/v1/search?q="+v.Query); string(searched.Body) != string(got.Body) {
			t.Errorf("%s: the tag's list\n%s is not that of its query\n%s", path, got.Body, searched.Body)
		}
	}
}

// No row twice, none lost, no empty last page (FR-22).
func TestPaging(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	var raws []string
	for range 13 {
		raws = append(raws, fmt.Sprintf("T%d|addr1A|word", len(raws)%10))
	}
	l.AddUnit(id, 1, querytest.Day, raws...)
	l.CatchUp()
	sizes := func(a *query.Archive, text string, order query.Order, limit func() int, between func()) (sizes []int, hits []string) {
		t.Helper()
		req := query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: text, Order: order}
		for {
			req.Limit = limit()
			got, err := a.Search(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(got.Hits))
			for _, h := range got.Hits {
				hits = append(hits, fmt.Sprint(h.Ord.Seq, "/", h.Ord.Pos))
			}
			if req.Cursor = got.Next; got.Next == "" {
				return sizes, hits
			}
			between()
		}
	}
	five, nothing := func() int { return 5 }, func() {}
	for name, a := range map[string]*query.Archive{"postings": l.Plain(), "index": l.Indexed()} {
		t.Run(name, func(t *testing.T) {
			for _, text := range []string{"addr:addr1A", "word NOT kind:unit", "addr:addr1A NOT unit:2"} {
				if name == "postings" && strings.Contains(text, "word") {
					continue // without an index nobody answers it
				}
				pages, newest := sizes(a, text, query.NewestFirst, five, nothing)
				again, oldest := sizes(a, text, query.OldestFirst, five, nothing)
				if !slices.Equal(pages, []int{5, 5, 3}) || !slices.Equal(again, pages) {
					t.Errorf("%s: pages of %v and %v", text, pages, again)
				}
				if slices.Reverse(oldest); !slices.Equal(newest, oldest) {
					t.Errorf("%s: forward %v, backward %v", text, oldest, newest)
				}
				n := 0
				_, odd := sizes(a, text, query.NewestFirst, func() int { n++; return n }, nothing)
				if !slices.Equal(odd, newest) {
					t.Errorf("%s by 1, 2, 3, …: %v", text, odd)
				}
			}
			if pages, _ := sizes(a, "addr:addr1A NOT (tag:T0 OR tag:T1 OR tag:T2)", query.NewestFirst, func() int { return 7 }, nothing); !slices.Equal(pages, []int{7}) {
				t.Errorf("7 rows by 7 are pages of %v", pages)
			}
		})
	}
	// a walk while units arrive: newest first they lie behind it, oldest first before it
	a := l.Indexed()
	_, newest := sizes(a, "addr:addr1A NOT tag:X", query.NewestFirst, five, func() {
		l.AddUnit(id, l.Cover[id].Spans[0].Hi+1, querytest.Day, "T|addr1A|word")
		l.CatchUp()
	})
	had := len(newest)
	_, oldest := sizes(a, "word NOT tag:X", query.OldestFirst, five, func() {
		if l.Cover[id].Spans[0].Hi < 9 {
			l.AddUnit(id, l.Cover[id].Spans[0].Hi+1, querytest.Day, "T|addr1A|word")
			l.CatchUp()
		}
	})
	slices.Sort(oldest)
	if had != 13 || len(oldest) != 13+int(l.Cover[id].Spans[0].Hi)-1 || len(slices.Compact(oldest)) != len(oldest) {
		t.Errorf("%d newest first, %d oldest first", had, len(oldest))
	}
}

// Networks go by lineage, the newest era first (DESIGN 5).
func TestOrderAcrossNetworks(t *testing.T) {
	l := querytest.NewLibrary(t)
	for _, n := range [][2]string{{"c-first", ""}, {"a-last", "b-next"}, {"b-next", "c-first"}, {"b-other", ""}, {"z", "not-here"}} {
		id := l.AddNetwork(n[0], n[1])
		l.AddUnit(id, 1, querytest.Day, "T||x", "T||y")
		l.AddUnit(id, 2, 2*querytest.Day, "T||z")
	}
	l.CatchUp()
	var want []string
	for _, n := range []string{"b-other", "a-last", "b-next", "c-first", "z"} {
		want = append(want, n+" 2/0", n+" 1/1", n+" 1/0")
	}
	for _, text := range []string{"tag:T", "x OR y OR z"} {
		finds(t, l.Indexed(), text, want...)
		for limit := 1; limit < 9; limit++ {
			newest, _, err := search(t, l.Indexed(), text, query.NewestFirst, limit)
			if err != nil || !slices.Equal(newest, want) {
				t.Errorf("%s by %d: %v, %v", text, limit, newest, err)
			}
			oldest, _, err := search(t, l.Indexed(), text, query.OldestFirst, limit)
			if slices.Reverse(oldest); err != nil || !slices.Equal(oldest, want) {
				t.Errorf("%s by %d, oldest first: %v, %v", text, limit, oldest, err)
			}
		}
	}
	finds(t, l.Indexed(), "tag:T network:b-next", "b-next 2/0", "b-next 1/1", "b-next 1/0")
}

func TestCursorOfAnotherQuestion(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddNetwork("m", "")
	l.AddUnit(id, 1, querytest.Day, "T|addr1A|x", "T|addr1A|y")
	a := l.Plain()
	networks := querytest.Must(a.Networks(t.Context()))
	req := query.SearchRequest{Networks: networks, Query: "tag:T", Limit: 1}
	got, err := a.Search(t.Context(), req)
	if err != nil || got.Next == "" {
		t.Fatal(got, err)
	}
	req.Cursor = got.Next
	for name, change := range map[string]func(*query.SearchRequest){
		"query":    func(r *query.SearchRequest) { r.Query = "addr:addr1A" },
		"order":    func(r *query.SearchRequest) { r.Order = query.OldestFirst },
		"networks": func(r *query.SearchRequest) { r.Networks = networks[:1] },
		"cut":      func(r *query.SearchRequest) { r.Cursor = r.Cursor[:len(r.Cursor)-1] },
	} {
		other := req
		change(&other)
		if _, err := a.Search(t.Context(), other); !errors.Is(err, query.ErrBadCursor) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	req.Query = " ( tag:T ) " // the same question in other words
	if got, err := a.Search(t.Context(), req); err != nil || len(got.Hits) != 1 || got.Next != "" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNoIndex(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T|addr1A|x")
	l.AddNetwork("m", "")
	for name, a := range map[string]*query.Archive{"none": l.Plain(), "not built": l.Indexed()} {
		_, _, err := search(t, a, "x y network:n", query.NewestFirst, 10)
		if !errors.Is(err, query.ErrNoIndex) || !strings.Contains(err.(interface{ Hint() string }).Hint(), "index rebuild") {
			t.Errorf("%s: %v", name, err)
		}
		finds(t, a, "tag:T text:x network:n", "n 1/0") // few candidates are looked at one by one
	}
}

// What a unit did itself is a hit of its own.
func TestUnitItself(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	c := &ledger.Cone{Net: id, Unit: ledger.Unit{Seq: 1, ID: querytest.HashID([]byte("u")), Header: []byte("u"), TimeMs: querytest.Day}, Records: []ledger.Record{querytest.ToyRecord(1, 0, []byte("T|addr1A|x"))}}
	c.Posts = []ledger.Posting{{Key: ledger.Key{Kind: ledger.KeyAddress, Val: "addr1A"}, Role: ledger.RoleReceive, Value: ledger.Coins(7)}}
	l.Commit(id, c)
	l.AddUnit(id, 2, 2*querytest.Day, "T|addr1A|x")
	l.CatchUp()
	itself := fmt.Sprintf("n 1/%d", ledger.UnitPos)
	a := l.Indexed()
	finds(t, a, "addr:addr1A", "n 2/0", itself, "n 1/0")
	finds(t, a, "kind:unit", itself)
	finds(t, a, "", "n 2/0", itself, "n 1/0")
	finds(t, a, "addr:addr1A NOT kind:unit", "n 2/0", "n 1/0")
	idle := "id:0x" + l.Held[id][2].Unit.ID.String() // a unit that did nothing: its identifier finds it, and nothing else
	second := fmt.Sprintf("n 2/%d", ledger.UnitPos)
	finds(t, a, idle, second)
	finds(t, a, "NOT "+idle, "n 2/0", itself, "n 1/0")
	finds(t, a, idle+" OR kind:unit", second, itself)
	finds(t, a, idle+" OR NOT text:x", second, itself)
	finds(t, a, idle+" NOT text:x", second)
	finds(t, a, idle+" kind:unit", second)
	got := querytest.Get(t, querytest.Handler(a), "/v1/search?q=kind:unit")
	if want := `"pos":null,"id":"0x` + querytest.HashID([]byte("u")).String() + `"`; !strings.Contains(string(got.Body), want) || !strings.Contains(string(got.Body), `"href":"/v1/networks/n/units/1"`) {
		t.Errorf("%s", got.Body)
	}
	got = querytest.Get(t, querytest.Handler(a), "/v1/search?q=addr:addr1A&order=oldest&limit=2")
	if !strings.Contains(string(got.Body), `"as":"address","roles":["receive"],"href":"/v1/networks/n/units/1"`) {
		t.Errorf("%s", got.Body)
	}
}

func TestExplain(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T||x")
	l.CatchUp()
	for text, want := range map[string]string{
		"tag:T":       `{"query":"tag:T","tree":{"tag":"T"},"networks":[{"network":"n","plan":"keys","tree":{"keys":[{"hex":"54","kind":"tag"}]}}]}`,
		"x NOT tag:T": `{"query":"x NOT tag:T","tree":{"and":[{"text":"x"},{"not":{"tag":"T"}}]},"networks":[{"network":"n","plan":"index","tree":{"and":[{"text":"x"},{"not":{"keys":[{"hex":"54","kind":"tag"}]}}]}}]}`,
		"T": `{"query":"tag:T OR T","taken":[{"as":"tag","query":"tag:T"},{"as":"words","query":"text:T"}],"tree":{"or":[{"tag":"T"},{"text":"T"}]},` +
			`"networks":[{"network":"n","plan":"index","tree":{"or":[{"keys":[{"hex":"54","kind":"tag"}]},{"text":"T"}]}}]}`,
	} {
		r := querytest.HttpGet("/v1/search")
		q := r.URL.Query()
		q.Set("q", text)
		q.Set("explain", "true")
		r.URL.RawQuery = q.Encode()
		if got := querytest.Do(t, querytest.Handler(l.Indexed()), r); strings.TrimSpace(string(got.Body)) != want {
			t.Errorf("%s\n got %s\nwant %s", text, got.Body, want)
		}
	}
}
