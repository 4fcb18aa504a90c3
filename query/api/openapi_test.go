package api_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"permanode/query/api"
	"permanode/query/openapitest"
	"permanode/query/querytest"
)

// The description has every route of the table, with its parameters, role and class, and no other.
func TestDescriptionIsTheRouteTable(t *testing.T) {
	spec := openapitest.Load(t)
	var got, want []string
	line := func(method, path, role, class string, vars, params []string) string {
		slices.Sort(params)
		return strings.Join([]string{method, path, role, class, strings.Join(vars, ","), strings.Join(params, ",")}, " ")
	}
	for _, op := range spec.Operations {
		var vars, params []string
		for _, p := range op.Params {
			switch p.In {
			case "path":
				vars = append(vars, p.Name)
			case "query":
				params = append(params, p.Name)
			}
		}
		got = append(got, line(op.Method, op.Path, op.Role, op.Class, vars, params))
	}
	variable := regexp.MustCompile(`\{([a-z0-9_]+)\}`)
	for _, r := range api.RouteLines() {
		var vars []string
		for _, m := range variable.FindAllStringSubmatch(r.Pattern, -1) {
			vars = append(vars, m[1])
		}
		want = append(want, line(r.Method, r.Pattern, r.Role, r.Class, vars, slices.Clone(r.Params)))
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("described, and no route: %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("a route, and not described: %s", l)
		}
	}
}

// Problem types are the same in the code, in the description and in the table of docs/api.md; an operation has exactly
// the statuses of the types that it lists.
func TestProblemTypesAreDocumented(t *testing.T) {
	spec := openapitest.Load(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| type `urn:permanode:problem:…` | status |")
	if !found {
		t.Fatal("docs/api.md has no table of problem types")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	word := regexp.MustCompile("`([a-z]+(?:-[a-z]+)*)`")
	told := map[string]string{} // word: statuses of its row
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
			told[m[1]] = cells[2]
		}
	}
	statuses := api.ProblemStatuses()
	for name, status := range statuses {
		if spec.Problems[name].Status != status {
			t.Errorf("%s has the status %d, the description says %d", name, status, spec.Problems[name].Status)
		}
		if !strings.Contains(told[name], strconv.Itoa(status)) {
			t.Errorf("%s has the status %d, docs/api.md says %q", name, status, told[name])
		}
	}
	for name := range spec.Problems {
		if statuses[name] == 0 {
			t.Errorf("%s is described, and no type", name)
		}
	}
	for name := range told {
		if statuses[name] == 0 {
			t.Errorf("docs/api.md has the problem type %s, and there is none", name)
		}
	}
	for _, op := range spec.Operations {
		checkStatuses(t, op, statuses)
	}
}

func checkStatuses(t *testing.T, op *openapitest.Operation, statuses map[string]int) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range op.Problems {
		if statuses[name] == 0 {
			t.Errorf("%s can answer the problem %s, and there is none", op.ID, name)
		}
		want[strconv.Itoa(statuses[name])] = true
	}
	for status, a := range op.Answers {
		_, problem := a.Media["application/problem+json"]
		if problem && !want[status] {
			t.Errorf("%s: no problem of its list has the status %s", op.ID, status)
		}
		delete(want, status)
	}
	for status := range want {
		t.Errorf("%s can answer %s by its problems, and has no such answer", op.ID, status)
	}
}

// Every example fits the schema it stands beside.
func TestExamplesAreValid(t *testing.T) {
	spec := openapitest.Load(t)
	if len(spec.Examples) < len(spec.Operations) {
		t.Errorf("%d examples for %d operations", len(spec.Examples), len(spec.Operations))
	}
	for _, e := range spec.Examples {
		if err := e.Schema.Validate(e.Value); err != nil {
			t.Errorf("%s: %v", e.Where, err)
		}
	}
}

func TestDescriptionIsServed(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	got := querytest.Get(t, h, "/v1/openapi.yaml")
	if got.Status != http.StatusOK || string(got.Body) != string(api.OpenAPI()) || got.Header.Get("ETag") == "" {
		t.Errorf("%d %v, %d bytes", got.Status, got.Header, len(got.Body))
	}
}
