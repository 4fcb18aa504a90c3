package api_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
)

// Whatever a crowd asks, valid or not, with keys of all roles, wrong ones and none, too often or not: every answer is as
// the description has it, of its status, its headers, its schema and its problem.
func TestCrowdGetsDescribedAnswers(t *testing.T) {
	a, id := badInputArchive(t)
	spec, err := querytest.Described()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{"body": {`{"ids":["` + id + `","addr1A","nonsense"]}`, `{"ids":[]}`, `{"ids":1}`, "x"}}
	for name, good := range goodValues(id) {
		values[name] = []string{good}
	}
	values["q"] = []string{"", "tag:T", "word", "a=1", "unit:2..3 OR T", "kind:unit", "NOT addr:addr1A", "(", "x:y"}
	values["at"] = append(values["at"], "", "1970-01-03", "1970-01-03T00:00:00Z", "2026")
	values["limit"] = append(values["limit"], "1", "1000", "1001")
	values["facets"] = append(values["facets"], "tag,kind,state,day", "size")
	values["id"] = append(values["id"], "addr1A", "nonsense", strings.Repeat("00", 32))
	values["seq"] = append(values["seq"], "3", "9")
	values["order"] = append(values["order"], "newest")
	values["format"] = []string{"json", "raw", "csv", "ndjson", "html"}
	values["record format"], values["unit format"] = []string{"raw", "json"}, []string{"raw", "json"}
	values["stream from"] = []string{"now", "oldest"}
	values["explain"], values["asset"], values["day"] = []string{"true"}, []string{"coins"}, []string{"2026-11-26", "1970-01-01"}
	h := api.Handler(api.Config{
		Archive: a, Version: "v0", Log: slog.New(slog.DiscardHandler), Rates: api.Rates{Keyed: 2000, Anonymous: 0.01, Search: 1000, Exports: 2},
		Callers: crowdCallers(), Live: func() map[string]query.Live { return nil },
		Health: func() []api.Component {
			return []api.Component{{Name: "n", Ready: time.Now().Nanosecond()%2 == 0, Detail: "chance"}}
		},
	})
	seen := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for _, op := range spec.Operations {
			if op.Class == "stream" {
				continue // streams have no end; others ask them
			}
			for range 4 {
				drawn := op.Draw(r, values)
				req := httptest.NewRequest(drawn.Method, drawn.Target, strings.NewReader(drawn.Body))
				if drawn.Body != "" {
					req.Header.Set("Content-Type", []string{"application/json", "application/json", "text/plain"}[r.IntN(3)])
				} else {
					req.Body, req.ContentLength = http.NoBody, 0
				}
				req.Header.Set("Authorization", []string{"Bearer reader", "Bearer admin", "Bearer admin", "Bearer wrong", ""}[r.IntN(5)])
				for _, h := range crowdHeaders {
					if r.IntN(8) == 0 {
						req.Header.Set(h[0], h[1+r.IntN(len(h)-1)])
					}
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, req)
				res := w.Result()
				seen[res.StatusCode]++
				if err := spec.Check(drawn.Method, req.URL, res.StatusCode, res.Header, w.Body.Bytes()); err != nil {
					t.Fatalf("%s %s %s: %v", drawn.Method, drawn.Target, drawn.Body, err)
				}
			}
		}
	})
	for _, status := range []int{200, 304, 400, 401, 403, 404, 406, 415, 429, 503} {
		if seen[status] == 0 {
			t.Errorf("no answer was %d: %v", status, seen)
		}
	}
	t.Logf("answers by status: %v", seen)
}

// crowdHeaders are names, each with values.
var crowdHeaders = [][]string{
	{"If-None-Match", "*"},
	{"Range", "bytes=0-1", "bytes=-0", "bytes=9999-", "lines=1"},
	{"If-Match", `"x"`},
	{"Accept-Encoding", "gzip", "zstd", "*;q=0", "identity;q=0"},
	{"Accept", "text/csv", "text/html"},
}

// crowdCallers knows two keys. Strangers come twice from each address: the second time is once too often, however slow the
// machine is.
func crowdCallers() func(r *http.Request) (access.Caller, error) {
	var strangers atomic.Int64
	return func(r *http.Request) (access.Caller, error) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch key {
		case "reader":
			return access.Caller{Name: key, Role: access.Reader}, nil
		case "admin":
			return access.Caller{Name: key, Role: access.Admin}, nil
		}
		n := strangers.Add(1) / 2
		c := access.Caller{Address: fmt.Sprintf("192.0.%d.%d", n/256, n%256)}
		if key == "" {
			return c, access.ErrNoKey
		}
		return c, errors.Join(access.ErrUnknownKey)
	}
}
