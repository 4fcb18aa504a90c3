package query_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
	"permanode/storage"
)

// post asks for a batch.
func post(t *testing.T, h http.Handler, url, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return do(t, h, r)
}

func idsBody(ids ...string) string {
	return string(must(json.Marshal(map[string][]string{"ids": ids})))
}

// Each identifier is answered by itself, in the order asked, as GET answers it.
func TestBatchAnswersAsGetDoes(t *testing.T) {
	h := api(sample())
	absent := "0x" + strings.Repeat("00", 32)
	ids := []string{idOf(4, 1), "addr10", "nonsense", idOf(4, 1), absent, "", "a\nb\x00", strings.Repeat("x", 100_000), idOf(12, 0), strings.ToUpper(idOf(9, 0)[2:])}
	for _, network := range []string{"", "?network=a", "?network=b"} {
		got := post(t, h, "/v1/records"+network, idsBody(ids...))
		items := got.json(t)["items"].([]any)
		if got.status != 200 || len(items) != len(ids) {
			t.Fatalf("%d, %d items: %.300s", got.status, len(items), got.body)
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
			single := get(t, h, "/v1/records/"+ids[i]+strings.Replace(network+"&limit=10", "&", map[bool]string{true: "?", false: "&"}[network == ""], 1))
			if single.status != 200 {
				if item["problem"] == nil || single.json(t)["type"] != item["problem"].(map[string]any)["type"] {
					t.Errorf("%q: %v, GET says %s", ids[i], item, single.body)
				}
				continue
			}
			want := single.json(t)
			if asJSON(item["places"]) != asJSON(want["items"]) || asJSON(item["total"]) != asJSON(want["total"]) || asJSON(item["next_cursor"]) != asJSON(want["next_cursor"]) {
				t.Errorf("%q: %s\nGET says %s", ids[i], asJSON(item), single.body)
			}
		}
		if n := len(got.json(t)["coverage"].([]any)); n == 0 || network != "" && n != 1 {
			t.Errorf("%s: coverage of %d networks", network, n)
		}
	}
}

// A record that is damaged is not served, and spoils no other.
func TestBatchWithADamagedRecord(t *testing.T) {
	m := sample()
	m.fail, m.failAt = fmt.Errorf("%w: as a test wants", storage.ErrCorrupt), ledger.Ord{Seq: 4, Pos: 0}
	items := post(t, api(m), "/v1/records", idsBody(idOf(9, 0), idOf(4, 0), idOf(9, 1))).json(t)["items"].([]any)
	kinds := []any{}
	for _, item := range items {
		kind := any(nil)
		if p, ok := item.(map[string]any)["problem"].(map[string]any); ok {
			kind = p["type"]
		}
		kinds = append(kinds, kind)
	}
	if asJSON(kinds) != `[null,"urn:permanode:problem:corrupt",null]` {
		t.Errorf("%v", kinds)
	}
}

func TestBatchLimits(t *testing.T) {
	h := api(sample())
	if got := post(t, h, "/v1/records", idsBody(slices.Repeat([]string{"addr10"}, 1000)...)); got.status != 200 || len(got.json(t)["items"].([]any)) != 1000 {
		t.Errorf("1,000 identifiers: %d", got.status)
	}
	if got := post(t, h, "/v1/records", `{"ids":[]}`); got.status != 200 || len(got.json(t)["items"].([]any)) != 0 {
		t.Errorf("none: %d %s", got.status, got.body)
	}
	if got := post(t, api(newMemory()), "/v1/records", idsBody("addr10")); got.status != 200 {
		t.Errorf("an empty archive: %d %s", got.status, got.body)
	}
}

// The catalogue of bad bodies.
func TestBadBodies(t *testing.T) {
	h := api(sample())
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
		if len(got.body) > 1000 {
			t.Errorf("%s: an answer of %d bytes", name, len(got.body))
		}
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonp", "json", ";", "multipart/form-data; boundary=x"} {
		checkProblem(t, "Content-Type "+kind, post(t, h, "/v1/records", ids, "Content-Type", kind), "unsupported-media-type")
	}
	for _, kind := range []string{"application/json", "Application/JSON; charset=UTF-8"} {
		if got := post(t, h, "/v1/records", ids, "Content-Type", kind); got.status != 200 {
			t.Errorf("%s: %d %s", kind, got.status, got.body)
		}
	}
	checkProblem(t, "network", post(t, h, "/v1/records?network=nosuch", ids), "unknown-network")
	checkProblem(t, "limit", post(t, h, "/v1/records?limit=3", ids), "bad-parameter")
	checkProblem(t, "GET", get(t, h, "/v1/records"), "method-not-allowed")
}

func FuzzBody(f *testing.F) {
	h := api(sample())
	for _, body := range []string{idsBody("addr10"), `{"ids":[]}`, `{"ids":[null]}`, `{"ids":[],"ids":[]}`, `{"ids":[[["x"]]]}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got := post(t, h, "/v1/records", body)
		switch {
		case got.status == 200:
			var asked struct{ IDs []string }
			if json.Unmarshal([]byte(body), &asked) != nil || len(got.json(t)["items"].([]any)) != len(asked.IDs) {
				t.Fatalf("%q is answered: %s", body, got.body)
			}
		case got.status != 400 && got.status != 413:
			t.Fatalf("%d %s", got.status, got.body)
		}
	})
}
