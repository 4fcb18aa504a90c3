package api_test

import (
	"encoding/json"
	"net/http"
	neturl "net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/openapitest"
	"permanode/query/querytest"
)

// goodValues fit the archive of badInputArchive.
func goodValues(id string) map[string]string {
	return map[string]string{
		"net": "n", "seq": "1", "id": id, "tag": "T", "addr": "addr1A", "q": "tag:T", "network": "n", "limit": "2", "order": "oldest", "facets": "tag",
		"at": "unit:1", "after": "n/1/0", "from": "1970-01-01", "to": "1970-01-03", "day": "1970-01-01",
		"payload": strings.Repeat("ab", 32), "asset": "0x01",
	}
}

func badInputArchive(t *testing.T) (a *query.Archive, id string) {
	l := querytest.NewLibrary(t)
	n := l.AddNetwork("n", "")
	for seq := uint64(1); seq < 6; seq++ {
		l.AddUnit(n, seq, int64(seq)*querytest.Day, "T|addr1A|word", "U|addr1B|{\"a\":1}", "T|addr1A|x")
	}
	l.CatchUp()
	return l.Indexed(), "0x" + l.Held[n][1].Records[0].ID.String()
}

// target makes the URL of an operation with good values; change replaces that of one path variable, already escaped.
func target(op *openapitest.Operation, good map[string]string, change ...string) string {
	return regexp.MustCompile(`\{[a-z0-9_]+\}`).ReplaceAllStringFunc(op.Path, func(v string) string {
		name := strings.Trim(v, "{}")
		if len(change) == 2 && change[0] == name {
			return change[1]
		}
		return neturl.PathEscape(good[name])
	})
}

// bad is a value, escaped as it goes onto the wire, and the type of the problem that it is; "": any of 4xx; "free": it may
// mean something, and is answered as described.
type bad struct{ value, kind string }

const free = "free"

// badNumbers are no numbers of units, of any API that knows what it does.
var badNumbers = []string{
	"-1", "+1", "01", "1e9", "1E9", "1.0", "1,0", "NaN", "Infinity", "-0", "0x1", "1%20", "%201", "%EF%BC%91", "1_000", "9007199254740992", "9223372036854775808",
	"18446744073709551616", "1000000000000000000000000000000", "1%00", "one",
}

// badTexts are what strangers try everywhere.
var badTexts = []string{
	"%00", "%0d%0aInjected:%20x", "%0a%0atime=forged", "%ff%fe", "%1b%5b31m", "%c3%28", "%ed%a0%80", "%e2%80%ae", "$%7bjndi:ldap://x%7d", "%27%20OR%201=1%20--", "%3cscript%3e",
	"..%5c..%5cetc", "%25%30%30", "%252e%252e%252f", strings.Repeat("a", 5000), strings.Repeat("%F0%9F%9A%97", 300),
}

// badPaths are the values of path variables that no route takes.
var badPaths = []bad{
	{"", "bad-path"},
	{"..", "bad-path"},
	{".", "bad-path"},
	{"%2e%2e", "bad-path"},
	{"%2e", "bad-path"},
	{"a%2fb", ""},
	{"a/b", ""},
	{"%2f%2fx", ""},
	{"x/../y", "bad-path"},
	{"/x", "bad-path"},
	{"%", ""},
	{"%zz", ""},
	{"%2", ""},
}

var badIDs = []string{
	"x", "0x", "0x00", "0x0x", "zz", strings.Repeat("0", 63), strings.Repeat("0", 65), "0x" + strings.Repeat("0", 63), "0x" + strings.Repeat("g", 64),
	"0x0x" + strings.Repeat("0", 64), strings.Repeat("0", 64) + "%20", "%20" + strings.Repeat("0", 64), strings.Repeat("9", 81), "addr2A", strings.Repeat("0", 4000), "%C3%A9",
}

var badTimes = []string{
	"now", "unit:-1", "unit:01", "unit:1e3", "unit:18446744073709551616", "unit:", "2016-12-31T23:59:60Z", "2026-11-24T12:00:00", "2026-11-24T24:00:00Z", "0000-01-01", "10000-01-01", "-2026-01-01",
	"1637899290000", "1637899290", "2026-13-01", "2026-02-30", "24.11.2026", "2026-11-24T12:00:00%2b99:99", "2026-11-24%2012:00:00Z", "20261124",
}

var badQueries = []bad{
	{strings.Repeat("a+", 2000), "bad-query"},
	{strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000), "bad-query"},
	{strings.Repeat("NOT+", 900) + "a", "bad-query"},
	{"*x", "bad-query"},
	{"*", "bad-query"},
	{"tag:*", free},
	{"a*b", "bad-query"},
	{"%28a%2b%29%2b$", free},
	{"%28a", "bad-query"},
	{"a%29", "bad-query"},
	{"%22a", "bad-query"},
	{"%22%22", "bad-query"},
	{"the+and+of", free},
	{"%D0%B0a", free},
	{"%D7%A9%D7%9C%D7%95%D7%9D", free},
	{"e%CC%81", free},
	{"%CC%81", free},
	{"AND", "bad-query"},
	{"a+OR", "bad-query"},
	{"nonsense:x", "bad-query"},
	{"unit:5..1", ""},
	{"unit:-1", "bad-query"},
	{"unit:18446744073709551616", "bad-query"},
	{"after:now", "bad-query"},
	{"after:2016-12-31T23:59:60Z", "bad-query"},
	{"after:1637899290000", "bad-query"},
	{"after:0000", "bad-query"},
	{"before:10000", "bad-query"},
	{"kind:x", "bad-query"},
	{"state:maybe", "bad-query"},
	{"addr:x", "bad-query"},
	{"%ff", "bad-query"},
}

// badValues are the bad values of a query parameter.
func badValues(op *openapitest.Operation, name, cursor string) (all []bad) {
	add := func(kind string, values ...string) {
		for _, v := range values {
			all = append(all, bad{v, kind})
		}
	}
	switch name {
	case "limit":
		add("bad-parameter", badNumbers...)
		add("bad-parameter", "0", "1001", "1000000000", "2147483648", "")
	case "cursor":
		add("bad-cursor", "!!", "AAAA", cursor[:len(cursor)-1], cursor[:8], cursor+"A", "A"+cursor, cursor+cursor, cursor, strings.Repeat("A", 4000), "..", "0", cursor+"%3d")
	case "at":
		add("bad-parameter", badTimes...)
	case "from", "to":
		if op.Class == "stream" {
			add("bad-parameter", "NOW", "newest", "0", "")
		} else {
			add("bad-parameter", badTimes...)
		}
	case "order", "facets", "format", "explain":
		add("bad-parameter", "", "x", "NEWEST", "raw,json", ",", "tag,tag", "true%20", "1", "%20")
	case "network":
		add("unknown-network", "m", "N", "n%20", "n,n", "*", "..")
	case "after":
		add("", "n", "n/", "n/-1/0", "n/01/0", "m/1/0", "n/1/0/2", "..", "n/1/16777217", "n/18446744073709551616/0", "n/1e3/0", "/1/0", "n//0")
	case "q":
		return append(all, badQueries...)
	}
	kind := ""
	if name == "q" {
		kind = free
	}
	add(kind, badTexts...)
	return all
}

// The whole catalogue of bad input, at every route of the description.
func TestBadInputCatalogue(t *testing.T) {
	a, id := badInputArchive(t)
	s := newHostile(t, a)
	good := goodValues(id)
	first, err := a.Search(t.Context(), query.SearchRequest{Networks: querytest.Must(a.Networks(t.Context())), Query: "addr:addr1A", Limit: 1})
	if err != nil || first.Next == "" {
		t.Fatal(err)
	}
	routes := api.RouteLines()
	for _, op := range s.spec.Operations {
		if !slices.ContainsFunc(routes, func(r api.RouteLine) bool { return r.Method == op.Method && r.Pattern == op.Path }) {
			continue // another test says so
		}
		t.Run(op.ID, func(t *testing.T) {
			s := s
			s.t = t
			s.badPaths(op, good)
			s.badParams(op, good, first.Next)
			s.badMethods(op, good)
			if op.Method == http.MethodPost {
				s.badBodies(op, good)
			}
		})
	}
	s.t = t
	t.Logf("%d requests", s.asked)
}

// headers that a good request of op has.
func headersOf(op *openapitest.Operation) []string {
	if op.Method == http.MethodPost {
		return []string{"Content-Type: application/json"}
	}
	return nil
}

func bodyOf(op *openapitest.Operation) string {
	if op.ID == "batch" {
		return `{"ids":["x"]}`
	}
	return ""
}

func (s *hostile) badPaths(op *openapitest.Operation, good map[string]string) {
	send := func(name, value, kind string) {
		r := request{op.Method, target(op, good, name, value), headersOf(op), bodyOf(op)}
		if kind == free {
			got, _ := s.ask(r)
			s.fine(r, got)
			return
		}
		s.refused(r, kind)
	}
	for _, p := range op.Params {
		if p.In != "path" {
			continue
		}
		for _, b := range badPaths {
			kind := b.kind
			if p.Name == "tag" && (b.value == "a%2fb" || b.value == "%2f%2fx" || b.value == "%2e" || b.value == "%2e%2e") {
				kind = free // bytes like others
			}
			send(p.Name, b.value, kind)
		}
		for _, v := range badTexts {
			kind := ""
			if p.Name == "tag" {
				kind = free
			}
			send(p.Name, v, kind)
		}
		switch p.Name {
		case "seq":
			for _, v := range badNumbers {
				send(p.Name, v, "")
			}
			send(p.Name, "2147483648", "not-found")
		case "id", "addr", "payload":
			for _, v := range badIDs {
				send(p.Name, v, "")
			}
		}
	}
}

func (s *hostile) badParams(op *openapitest.Operation, good map[string]string, cursor string) {
	at, some := target(op, good), ""
	send := func(query, kind string) {
		r := request{op.Method, at + "?" + query, headersOf(op), bodyOf(op)}
		if kind == free {
			got, _ := s.ask(r)
			s.fine(r, got)
			return
		}
		s.refused(r, kind)
	}
	for _, p := range op.Params {
		if p.In != "query" {
			continue
		}
		some = p.Name
		for _, b := range badValues(op, p.Name, cursor) {
			send(p.Name+"="+b.value, b.kind)
		}
		send(p.Name+"=a&"+p.Name+"=b", "bad-parameter")
		send(strings.ToUpper(p.Name)+"=a", "bad-parameter")
		send(p.Name+"[]=a", "bad-parameter")
		send(p.Name+"="+strings.Repeat("a", 65536), "uri-too-long")
	}
	for _, q := range []string{"no_such=1", "_method=DELETE", "%00=1", "=1", "a=1;b=2", "x=%", "x=%zz", "%0d%0aInjected:x=1", some + "x=1"} {
		send(q, "bad-parameter")
	}
}

func (s *hostile) badMethods(op *openapitest.Operation, good map[string]string) {
	at := target(op, good)
	for _, m := range []string{"TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "get", "PROPFIND", "FOO"} {
		s.refused(request{m, at, nil, ""}, "")
	}
	others := map[string]bool{}
	for _, o := range s.spec.Operations {
		others[o.Method] = others[o.Method] || o.Path == op.Path
	}
	if !others[http.MethodPost] {
		s.refused(request{http.MethodPost, at, []string{"Content-Type: application/json"}, "{}"}, "method-not-allowed")
	}
	if !others[http.MethodGet] {
		s.refused(request{http.MethodGet, at, nil, ""}, "method-not-allowed")
	}
	if op.Method == http.MethodGet && op.Class != "stream" && op.ID != "ws" {
		plain, _ := s.ask(request{http.MethodGet, at, nil, ""})
		for _, h := range []string{"X-HTTP-Method-Override: DELETE", "X-Method-Override: POST", "X-Forwarded-Host: evil.example", "X-Original-URL: /v1/info"} {
			got, _ := s.ask(request{http.MethodGet, at, []string{h}, ""})
			if got.Status != plain.Status {
				s.t.Errorf("%s with %s: %d, without it %d", at, h, got.Status, plain.Status)
			}
		}
		s.fine(request{http.MethodGet, at, nil, ""}, plain)
		s.refused(request{http.MethodGet, at, nil, "{}"}, "unexpected-body")
	}
	s.refused(request{op.Method, at, append(headersOf(op), "Authorization: Bearer a", "Authorization: Bearer b"), bodyOf(op)}, "")
	s.refused(request{op.Method, at, append(headersOf(op), "X-Long: "+strings.Repeat("a", 65536)), bodyOf(op)}, "headers-too-large")
	s.refused(request{op.Method, at, append(headersOf(op), "Expect: 200-ok"), bodyOf(op)}, "bad-header")
	s.refused(request{op.Method, at, append(headersOf(op), "X-Bad: a\rInjected: x"), bodyOf(op)}, "")
	s.refused(request{op.Method, at, append(headersOf(op), "X Bad: a"), bodyOf(op)}, "")
	s.refused(request{op.Method, at, append(headersOf(op), "Host: evil.example"), bodyOf(op)}, "")
	s.refused(request{op.Method, "/" + at, headersOf(op), bodyOf(op)}, "")
	s.refused(request{op.Method, at + "/", headersOf(op), bodyOf(op)}, "bad-path")
	s.refused(request{op.Method, strings.ToUpper(at), headersOf(op), bodyOf(op)}, "")
}

func (s *hostile) badBodies(op *openapitest.Operation, good map[string]string) {
	at := target(op, good)
	kind := func(kind string) string {
		if op.Body {
			return kind
		}
		return "" // whatever the body is
	}
	deep := strings.Repeat(`{"ids":`, 1e5) + "1" + strings.Repeat("}", 1e5)
	many, _ := json.Marshal(map[string][]string{"ids": make([]string, 1001)})
	for _, body := range map[string]string{
		"empty object": "{}", "list": "[]", "null": "null", "text": `"x"`, "number": "1", "wrong type": `{"ids":1}`, "wrong items": `{"ids":[1]}`, "null item": `{"ids":[null]}`,
		"twice": `{"ids":["a"],"ids":["b"]}`, "unknown member": `{"ids":["a"],"x":1}`, "other case": `{"IDS":["a"]}`, "deep": deep, "deep list": strings.Repeat("[", 1e5), "huge number": `{"ids":[1` + strings.Repeat("0", 1000) + `]}`,
		"not UTF-8": "{\"ids\":[\"\xff\"]}", "byte order mark": "\ufeff{\"ids\":[\"a\"]}", "more behind": `{"ids":["a"]}{}`, "cut": `{"ids":["a"`, "not JSON": "ids=a", "spaces": "   ", "NaN": `{"ids":[NaN]}`,
		"comment": `{"ids":["a"]/*x*/}`, "comma": `{"ids":["a",]}`, "too many": string(many), "line break in a text": "{\"ids\":[\"a\nb\"]}", "prototype": `{"__proto__":{},"ids":["a"]}`,
	} {
		s.refused(request{op.Method, at, []string{"Content-Type: application/json"}, body}, kind("bad-body"))
	}
	body := bodyOf(op)
	if body == "" {
		body = "{}"
	}
	for _, h := range []string{"Content-Type: text/plain", "Content-Type: application/json; charset=utf-16", "Content-Type: multipart/form-data; boundary=x", "Content-Type: x"} {
		s.refused(request{op.Method, at, []string{h}, body}, kind("unsupported-media-type"))
	}
	for _, h := range []string{"Content-Encoding: gzip", "Content-Encoding: br", "Content-Type: application/json"} {
		s.refused(request{op.Method, at, []string{"Content-Type: application/json", h}, body}, kind("unsupported-media-type"))
	}
	s.refused(request{op.Method, at, nil, body}, kind("unsupported-media-type"))
	s.refused(request{op.Method, at, []string{"Content-Type: application/json"}, `{"ids":["` + strings.Repeat("a", 1<<20) + `"]}`}, "body-too-large")
}
