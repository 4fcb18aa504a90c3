package openapitest

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Request is one of a crowd.
type Request struct {
	Operation *Operation
	Method    string
	Target    string // path and query, escaped
	Body      string // of a POST
}

var variable = regexp.MustCompile(`\{[^}]+\}`)

// Draw makes a request of an operation: of most a valid one, with some of its parameters, the rest with a value of another
// parameter, an odd one, or a name that is none. values are good ones by the name of the parameter; "body" those of a POST.
func (op *Operation) Draw(r *rand.Rand, values map[string][]string) Request {
	var all []string
	for name, some := range values {
		if name != "body" {
			all = append(all, some...)
		}
	}
	slices.Sort(all) // the order of a map is chance of another sort
	all = append(all, "", "0", "-1", "1e9", "\x00", "é", "..", "a/b", "18446744073709551616", strings.Repeat("x", 300))
	value := func(name string) string {
		good := values[name]
		if len(good) == 0 || r.IntN(12) == 0 {
			return all[r.IntN(len(all))]
		}
		return good[r.IntN(len(good))]
	}
	out := Request{Operation: op, Method: op.Method}
	out.Target = variable.ReplaceAllStringFunc(op.Path, func(v string) string { return url.PathEscape(value(strings.Trim(v, "{}"))) })
	query := url.Values{}
	for _, p := range op.Params {
		if p.In == "query" && r.IntN(3) == 0 {
			query.Set(p.Name, value(op.ID+" "+p.Name))
			if values[op.ID+" "+p.Name] == nil {
				query.Set(p.Name, value(p.Name))
			}
		}
	}
	if r.IntN(30) == 0 {
		query.Set("nonsense", "1")
	}
	if len(query) > 0 {
		out.Target += "?" + query.Encode()
	}
	switch {
	case op.Method == http.MethodPost && op.Body:
		out.Body = value("body")
	case op.Method == http.MethodGet && r.IntN(8) == 0:
		out.Method = http.MethodHead
	}
	return out
}
