package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/query/querytest"
	"permanode/storage"
)

// post asks for a batch.
func post(t *testing.T, h http.Handler, url, body string, headers ...string) querytest.Answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return querytest.Do(t, h, r)
}

func idsBody(ids ...string) string {
	return string(querytest.Must(json.Marshal(map[string][]string{"ids": ids})))
}

// Each identifier is answered by itself, in the order asked, as GET answers it.
func TestBatchAnswersAsGetDoes(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	absent := "0x" + strings.Repeat("00", 32)
	ids := []string{querytest.IdOf(4, 1), "addr10", "nonsense", querytest.IdOf(4, 1), absent, "", "a\nb\x00", strings.Repeat("x", 100_000), querytest.IdOf(12, 0), strings.ToUpper(querytest.IdOf(9, 0)[2:])}
	for _, network := range []string{"", "?network=a", "?network=b"} {
		got := post(t, h, "/v1/records"+network, idsBody(ids...))
		items := got.Json(t)["items"].([]any)
		if got.Status != 200 || len(items) != len(ids) {
			t.Fatalf("%d, %d items: %.300s", got.Status, len(items), got.Body)
		}
		for i, item := range items {
			item := item.(map[string]any)
			if item["id"] != ids[i] {
				t.Fatalf("item %d is of %q, not %q", i, item["id"], ids[i])
			}
			if item["problem"] != nil {
				p := item["problem"].(map[string]any)
				known := len(ids[i]) == 66 || len(ids[i]) == 64
				if want := map[bool]string{true: "not-found", false: "bad-id"}[known]; p["type"] != "urn:permanode:problem:"+want || p["detail"] == "" || item["total"] != nil || len(item["places"].([]any)) > 0 {
					t.Errorf("%q: %v", ids[i], item)
				}
				if ids[i] == "" || strings.ContainsAny(ids[i], "\n") || len(ids[i]) > 1000 {
					continue
				}
			}
			single := querytest.Get(t, h, "/v1/records/"+ids[i]+strings.Replace(network+"&limit=10", "&", map[bool]string{true: "?", false: "&"}[network == ""], 1))
			if single.Status != 200 {
				if item["problem"] == nil || single.Json(t)["type"] != item["problem"].(map[string]any)["type"] {
					t.Errorf("%q: %v, GET says %s", ids[i], item, single.Body)
				}
				continue
			}
			want := single.Json(t)
			if querytest.AsJSON(item["places"]) != querytest.AsJSON(want["items"]) || querytest.AsJSON(item["total"]) != querytest.AsJSON(want["total"]) || querytest.AsJSON(item["next_cursor"]) != querytest.AsJSON(want["next_cursor"]) {
				t.Errorf("%q: %s\nGET says %s", ids[i], querytest.AsJSON(item), single.Body)
			}
		}
		if n := len(got.Json(t)["coverage"].([]any)); n == 0 || network != "" && n != 1 {
			t.Errorf("%s: coverage of %d networks", network, n)
		}
	}
}

// A record that is damaged is not served, and spoils no other.
func TestBatchWithADamagedRecord(t *testing.T) {
	m := querytest.Sample()
	m.Fail, m.FailAt = fmt.Errorf("%w: as a test wants", storage.ErrCorrupt), ledger.Ord{Seq: 4, Pos: 0}
	items := post(t, querytest.ServiceOf(m), "/v1/records", idsBody(querytest.IdOf(9, 0), querytest.IdOf(4, 0), querytest.IdOf(9, 1))).Json(t)["items"].([]any)
	kinds := []any{}
	for _, item := range items {
		kind := any(nil)
		if p, ok := item.(map[string]any)["problem"].(map[string]any); ok {
			kind = p["type"]
		}
		kinds = append(kinds, kind)
	}
	if querytest.AsJSON(kinds) != `[null,"urn:permanode:problem:corrupt",null]` {
		t.Errorf("%v", kinds)
	}
}

func TestBatchLimits(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	if got := post(t, h, "/v1/records", idsBody(slices.Repeat([]string{"addr10"}, 1000)...)); got.Status != 200 || len(got.Json(t)["items"].([]any)) != 1000 {
		t.Errorf("1,000 identifiers: %d", got.Status)
	}
	if got := post(t, h, "/v1/records", `{"ids":[]}`); got.Status != 200 || len(got.Json(t)["items"].([]any)) != 0 {
		t.Errorf("none: %d %s", got.Status, got.Body)
	}
	if got := post(t, querytest.ServiceOf(querytest.NewMemory()), "/v1/records", idsBody("addr10")); got.Status != 200 {
		t.Errorf("an empty archive: %d %s", got.Status, got.Body)
	}
}

// The catalogue of bad bodies.
func TestBadBodies(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	ids := `{"ids":["addr10"]}`
	deep := func(n int) string {
		return `{"ids":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
	}
	for name, body := range map[string]string{
		"empty": "", "blank": " \n", "mark": "\ufeff" + ids, "no UTF-8": "{\"ids\":[\"\xff\"]}", "cut": `{"ids":["addr1`, "list": `["addr10"]`, "text": `"ids"`,
		"number": "1", "null": "null", "no ids": "{}", "null ids": `{"ids":null}`, "null id": `{"ids":[null]}`, "text ids": `{"ids":"addr10"}`, "object ids": `{"ids":{}}`,
		"number id": `{"ids":[1]}`, "huge number": `{"ids":[` + strings.Repeat("9", 100_000) + `]}`, "1e999999": `{"ids":[1e999999]}`, "object id": `{"ids":[{"id":"x"}]}`,
		"unknown": `{"ids":[],"limit":1}`, "case": `{"IDS":["addr10"]}`, "both cases": `{"ids":[],"Ids":[]}`, "twice": `{"ids":[],"ids":["addr10"]}`,
		"twice, escaped": `{"ids":[],"\u0069ds":["addr10"]}`, "twice inside": `{"ids":[{"a":"1","a":"2"}]}`, "behind": ids + "x", "two": ids + ids, "comma": `{"ids":["a",]}`,
		"comment": `{"ids":[] /* */}`, "single quotes": `{'ids':[]}`, "deep": deep(20), "very deep": deep(100_000), "open": `{"ids":` + strings.Repeat("[", 500_000),
		"deep objects": `{"ids":` + strings.Repeat(`{"ids":`, 100_000), "control": "{\"ids\":[\"a\x00\"]}", "NaN": `{"ids":[NaN]}`,
		"many": idsBody(slices.Repeat([]string{"addr10"}, 1001)...), "form": "ids=addr10",
	} {
		got := post(t, h, "/v1/records", body)
		checkProblem(t, name, got, "bad-body")
		if len(got.Body) > 1000 {
			t.Errorf("%s: an answer of %d bytes", name, len(got.Body))
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonp", "json", ";", "multipart/form-data; boundary=x"} {
		checkProblem(t, "Content-Type "+kind, post(t, h, "/v1/records", ids, "Content-Type", kind), "unsupported-media-type")
	}
	for _, kind := range []string{"application/json", "Application/JSON; charset=UTF-8"} {
		if got := post(t, h, "/v1/records", ids, "Content-Type", kind); got.Status != 200 {
			t.Errorf("%s: %d %s", kind, got.Status, got.Body)
		}
	}
	checkProblem(t, "network", post(t, h, "/v1/records?network=nosuch", ids), "unknown-network")
	checkProblem(t, "limit", post(t, h, "/v1/records?limit=3", ids), "bad-parameter")
	checkProblem(t, "GET", querytest.Get(t, h, "/v1/records"), "method-not-allowed")
}

func FuzzBody(f *testing.F) {
	h := querytest.ServiceOf(querytest.Sample())
	for _, body := range []string{idsBody("addr10"), `{"ids":[]}`, `{"ids":[null]}`, `{"ids":[],"ids":[]}`, `{"ids":[[["x"]]]}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := post(t, h, "/v1/records", body)
		switch {
		case got.Status == 200:
			var asked struct{ IDs []string }
			if json.Unmarshal([]byte(body), &asked) != nil || len(got.Json(t)["items"].([]any)) != len(asked.IDs) {
				t.Fatalf("%q is answered: %s", body, got.Body)
			}
		case got.Status != 400 && got.Status != 413:
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	})
}
