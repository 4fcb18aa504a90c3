package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/storage"
)

// shimmer is an archive of the Shimmer network with nothing in it, and of a toy network.
func shimmer(t *testing.T) *query.Archive {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "trust", "shimmer.json"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := eras.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	m := querytest.NewMemory()
	m.Nets = []ledger.Network{{ID: 1, Name: "shimmer", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw}}
	m.Cover[1] = storage.Coverage{Spans: []storage.Span{{Lo: 1, Hi: 1}}}
	m.Held[1] = map[uint64]*ledger.Cone{1: querytest.ToyCone(1, 0)}
	m.Add("toys", []storage.Span{{Lo: 1, Hi: 1}}, nil)
	return query.New(m, func(e ledger.Era) (ledger.Codec, bool) {
		if c, ok := querytest.Codecs(e); ok {
			return c, ok
		}
		return eras.Codec(e)
	})
}

// An address of another network, with a typing error or of another chain is refused; an empty list is the answer to a
// valid one alone (FR-08).
func TestAddressForms(t *testing.T) {
	const good = "smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p79v4tq5"
	h := querytest.Handler(shimmer(t))
	for address, ok := range map[string]bool{
		good: true, strings.ToUpper(good): true, "S" + good[1:]: false, good[:len(good)-1] + "6": false,
		"smr1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7ss989k":  false,
		"iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7juvtk9": false,
		"0x" + strings.Repeat("1f", 20):                                    false, "0x" + strings.Repeat("1f", 31) + "1": false, "smr1": false, strings.Repeat("q", 90): false,
	} {
		for _, url := range []string{"/v1/addresses/" + address, "/v1/search?q=addr:" + address, "/v1/search?q=" + address} {
			if address == strings.Repeat("q", 90) && strings.HasSuffix(url, "q="+address) {
				continue // a word like another
			}
			got := querytest.Get(t, h, url)
			if want := map[bool]int{true: 200, false: 400}[ok]; got.Status != want {
				t.Errorf("%s: %d %s", url, got.Status, got.Body)
			}
			if ok && !strings.Contains(string(got.Body), `"total":{"value":0,"relation":"exact"}`) {
				t.Errorf("%s: %s", url, got.Body)
			}
		}
	}
	got := querytest.Get(t, h, "/v1/search?q=iota1qqqqzqsrqszsvpcgpy9qkrqdpc83qygjzv2p29shrqv35xcur50p7juvtk9")
	if detail := string(got.Body); !strings.Contains(detail, "network") || !strings.Contains(detail, "bad-query") {
		t.Errorf("an address of another network: %s", detail)
	}
	elsewhere := querytest.Get(t, h, "/v1/search?network=toys&q=addr:"+good)
	if elsewhere.Status != 400 || !strings.Contains(string(elsewhere.Body), "it is one of network shimmer: search there") {
		t.Errorf("an address of a network that is not searched: %s", elsewhere.Body)
	}
	taken := querytest.Get(t, h, "/v1/search?q="+good)
	if !strings.Contains(string(taken.Body), `"taken":[{"as":"address","query":"id:`+good+`"}]`) {
		t.Errorf("%s", taken.Body)
	}
}

// The catalogue of bad input, for the routes of search.
func TestBadQueries(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T|addr1A|x", "T|addr1A|y", "T|addr1A|z")
	l.CatchUp()
	h := querytest.Handler(l.Indexed())
	cursor, err := l.Indexed().Search(t.Context(), query.SearchRequest{Networks: querytest.Must(l.Indexed().Networks(t.Context())), Query: "tag:T", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"/v1/search?q=" + strings.Repeat("a", 5000):             "bad-query",
		"/v1/search?q=" + strings.Repeat("a+", 65):              "bad-query",
		"/v1/search?q=" + strings.Repeat("(", 40) + "a":         "bad-query",
		"/v1/search?q=%ff":                                      "bad-query",
		"/v1/search?q=*x":                                       "bad-query",
		"/v1/search?q=nonsense:x":                               "bad-query",
		"/v1/search?q=%22":                                      "bad-query",
		"/v1/search?q=kind:x":                                   "bad-query",
		"/v1/search?q=addr:x%0d%0aX:y":                          "bad-query",
		"/v1/search?q=a&q=b":                                    "bad-parameter",
		"/v1/search?query=a":                                    "bad-parameter",
		"/v1/search?q=a&order=up":                               "bad-parameter",
		"/v1/search?q=a&order=":                                 "bad-parameter",
		"/v1/search?q=a&limit=0":                                "bad-parameter",
		"/v1/search?q=a&limit=1001":                             "bad-parameter",
		"/v1/search?q=a&facets=size":                            "bad-parameter",
		"/v1/search?q=a&facets=tag,tag":                         "bad-parameter",
		"/v1/search?q=a&facets=,":                               "bad-parameter",
		"/v1/search?q=a&explain=maybe":                          "bad-parameter",
		"/v1/search?q=a&network=m":                              "unknown-network",
		"/v1/search?q=a&cursor=!!":                              "bad-cursor",
		"/v1/search?q=a&cursor=" + cursor.Next:                  "bad-cursor",
		"/v1/search?q=tag:T&order=oldest&cursor=" + cursor.Next: "bad-cursor",
		"/v1/search/":                                           "bad-path",
		"/v1/search/a":                                          "no-such-route",
		"/v1/tags/":                                             "bad-path",
		"/v1/tags/a/b":                                          "no-such-route",
		"/v1/tags/0x414":                                        "bad-id",
		"/v1/tags/0xzz":                                         "bad-id",
		"/v1/tags/" + strings.Repeat("a", 2046):                 "bad-id",
		"/v1/search?q=tag:T&cursor=" + cursor.Next + "%0a":      "bad-cursor",
		"/v1/tags/..":                                           "bad-path",
		"/v1/tags/T?q=x":                                        "bad-parameter",
		"/v1/tags/T?cursor=" + cursor.Next + "A":                "bad-cursor",
		"/v1/addresses/x":                                       "bad-id",
		"/v1/addresses/%00":                                     "bad-path",
		"/v1/addresses/addr2A":                                  "bad-id",
		"/v1/addresses/%22":                                     "bad-id",
		"/v1/addresses/addr1A?at=now":                           "bad-parameter",
		"/v1/addresses/addr1A?at=unit:-1":                       "bad-parameter",
		"/v1/addresses/addr1A?at=99999":                         "bad-parameter",
		"/v1/status?x=1":                                        "bad-parameter",
	} {
		r := querytest.HttpGet("/")
		u, err := neturl.Parse("http://x" + url)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		r.URL, r.RequestURI = u, url
		checkProblem(t, url, querytest.Do(t, h, r), want)
	}
	longest := "/v1/search?order=newest&limit=1000&q=" + neturl.QueryEscape(strings.Repeat("威", 4096/3)) // all of it escaped
	if got := querytest.Get(t, h, longest); got.Status != http.StatusOK {
		t.Errorf("the longest query: %d %s", got.Status, got.Body)
	}
	if got := querytest.Get(t, h, "/v1/search?q=%22%F0%9F%9A%97%22"); !strings.Contains(string(got.Body), "🚗") {
		t.Errorf("what can be printed is escaped: %s", got.Body)
	}
	if got := querytest.Get(t, querytest.Handler(l.Plain()), "/v1/search?q=x+y"); got.Status != 503 || !strings.Contains(string(got.Body), "problem:no-index") {
		t.Errorf("without an index: %d %s", got.Status, got.Body)
	}
}

// Query and limits over HTTP give what the Go calls give.
func TestSearchRoute(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	for seq := range uint64(20) {
		l.AddUnit(id, seq, int64(seq)*querytest.Day, "T|addr1A|word", "-||{\"a\":1}")
	}
	l.CatchUp()
	h := querytest.Handler(l.Indexed())
	for _, q := range []string{"", "tag:T", "a=1", "word unit:3..9", "T"} {
		var all []query.Item
		url := "/v1/search?order=oldest&limit=7&q=" + neturl.QueryEscape(q)
		for next := url; next != ""; {
			var p struct {
				Items      []query.Item
				NextCursor *string `json:"next_cursor"`
				Total      query.Total
				Coverage   []query.Extent
				Complete   bool
			}
			got := querytest.Get(t, h, next)
			if err := json.Unmarshal(got.Body, &p); err != nil || got.Status != 200 || !p.Complete || len(p.Coverage) != 1 || len(p.Coverage[0].Indexed) != 1 {
				t.Fatalf("%s: %s", next, got.Body)
			}
			all = append(all, p.Items...)
			if next = ""; p.NextCursor != nil {
				next = url + "&cursor=" + *p.NextCursor
			} else if p.Total.Value != uint64(len(all)) {
				t.Errorf("%s: %d items of %+v", q, len(all), p.Total)
			}
		}
		a := l.Indexed()
		var want []query.Item
		got, err := a.Each(t.Context(), query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: q, Order: query.OldestFirst}, func(i query.Item) error {
			want = append(want, i)
			return nil
		})
		if err != nil || querytest.AsJSON(all) != querytest.AsJSON(want) || got.Total.Value != uint64(len(want)) || len(want) == 0 {
			t.Errorf("%q: %d items, Each gives %d of %+v, %v", q, len(all), len(want), got.Total, err)
		}
		var lines strings.Builder
		if _, err := a.Export(t.Context(), query.ExportRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: q, Format: query.NDJSON}, &lines, querytest.Idle); err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(lines.String()), "\n") {
			if i == len(want) {
				if !strings.HasPrefix(line, fmt.Sprintf(`{"_end":true,"rows":%d,`, len(want))) {
					t.Errorf("the last line is %s", line)
				}
				continue
			}
			if row, _ := json.Marshal(want[i].Row); string(row) != line {
				t.Errorf("%q: line %d is %s, want %s", q, i, line, row)
			}
		}
	}
}

func TestStatusRoute(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, querytest.Day, "T|addr1A|x")
	l.CatchUp()
	l.AddUnit(id, 2, querytest.Day, "T|addr1A|x")
	h := api.Handler(api.Config{Archive: l.Indexed(), Version: "v0", Live: func() map[string]query.Live {
		return map[string]query.Live{"n": {Phase: "following", Sentence: "at the tip", Sources: []query.LiveSource{}, Feeds: []query.LiveFeed{{Name: "bell", Connected: true, Sentence: "rings"}}}}
	}})
	got := querytest.Get(t, h, "/v1/status")
	var v struct{ Networks []query.Status }
	if err := json.Unmarshal(got.Body, &v); err != nil || len(v.Networks) != 1 {
		t.Fatalf("%s", got.Body)
	}
	s := v.Networks[0]
	if s.Records != 2 || *s.Newest != 2 || s.Index.Lag != 1 || s.Live.Feeds[0].Sentence != "rings" || s.Network != "n" {
		t.Errorf("%s", got.Body)
	}
}

func FuzzSearchRoutes(f *testing.F) {
	m := querytest.Sample()
	h := querytest.Handler(query.New(m, querytest.Codecs))
	f.Add("/v1/search?q=", "tag:T NOT (x OR a=1)")
	f.Add("/v1/tags/", "%00\xff")
	f.Add("/v1/addresses/", "addr10\" OR x")
	f.Fuzz(func(t *testing.T, route, text string) {
		u, err := neturl.Parse("http://x" + route + neturl.QueryEscape(text))
		if err != nil {
			return
		}
		r := querytest.HttpGet("/")
		r.URL = u
		if got := querytest.Do(t, h, r); got.Status >= 500 && got.Status != 503 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	})
}
