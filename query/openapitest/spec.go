package openapitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"permanode/query/api"
)

// Spec is the description, with every schema compiled. It is safe for concurrent use.
type Spec struct {
	Operations []*Operation                  // by path, then by method
	Problems   map[string]ProblemType        // by the word behind the prefix
	Examples   []Example                     // of all answers and bodies
	Schemas    map[string]*jsonschema.Schema // of components, by name
}

// ProblemType is one entry of x-problem-types.
type ProblemType struct {
	Status      int
	Description string
}

// Operation is one method of one path.
type Operation struct {
	ID, Method, Path string // Method in upper case
	Role, Class      string
	Params           []Parameter
	Body             bool              // it takes one
	Problems         []string          // words of the types that it can answer
	Answers          map[string]Answer // by status
}

// Parameter is one parameter of an operation.
type Parameter struct{ In, Name string }

// Answer is one documented answer.
type Answer struct {
	Headers map[string]Header
	Media   map[string]*jsonschema.Schema // by media type; none: no body
}

// Header is one documented header of an answer.
type Header struct {
	Required bool
	Schema   *jsonschema.Schema
}

// Example is one example, and the schema that it must fit.
type Example struct {
	Where  string
	Schema *jsonschema.Schema
	Value  any
}

const root = "openapi.json"

// Load parses the description that query serves; a reference that leads nowhere fails the test.
func Load(t testing.TB) *Spec {
	t.Helper()
	s, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Parse is Load without a test.
func Parse() (*Spec, error) {
	var loose any
	if err := yaml.Unmarshal(api.OpenAPI(), &loose); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	text, err := json.Marshal(loose)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml is no JSON: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.AssertContent()
	if err := c.AddResource(root, doc); err != nil {
		return nil, err
	}
	r := &reader{doc: doc, compiler: c}
	s := r.spec()
	return s, r.err
}

// reader walks the document; the first thing that is not as it should be ends in err.
type reader struct {
	doc      any
	compiler *jsonschema.Compiler
	examples []Example
	err      error
}

// node is a place in the document.
type node struct {
	at    string // JSON pointer
	value any
}

func (r *reader) fail(n node, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("openapi.yaml %s: %s", n.at, fmt.Sprintf(format, args...))
	}
}

// follow resolves a reference.
func (r *reader) follow(n node) node {
	m, _ := n.value.(map[string]any)
	ref, is := m["$ref"].(string)
	if !is {
		return n
	}
	out := node{strings.TrimPrefix(ref, "#"), r.doc}
	for _, part := range strings.Split(out.at, "/")[1:] {
		m, _ := out.value.(map[string]any)
		next, there := m[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		if !there {
			r.fail(n, "%s leads nowhere", ref)
			return out
		}
		out.value = next
	}
	return out
}

// child returns the member name of n, followed.
func (r *reader) child(n node, name string) (node, bool) {
	m, _ := n.value.(map[string]any)
	v, ok := m[name]
	return r.follow(node{n.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), v}), ok
}

// children returns all members of n in order of their names.
func (r *reader) children(n node) (names []string, all []node) {
	m, _ := n.value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		c, _ := r.child(n, name)
		names, all = append(names, name), append(all, c)
	}
	return names, all
}

func (r *reader) text(n node, name string) string {
	c, _ := r.child(n, name)
	s, ok := c.value.(string)
	if !ok || s == "" {
		r.fail(n, "there is no text %s", name)
	}
	return s
}

func (r *reader) schema(n node) *jsonschema.Schema {
	at, ok := r.child(n, "schema")
	if !ok {
		r.fail(n, "there is no schema")
		return nil
	}
	s, err := r.compiler.Compile(root + "#" + at.at)
	if err != nil {
		r.fail(at, "%v", err)
	}
	return s
}

func (r *reader) spec() *Spec {
	top := node{"", r.doc}
	s := &Spec{Problems: map[string]ProblemType{}, Schemas: map[string]*jsonschema.Schema{}}
	types, _ := r.child(top, "x-problem-types")
	names, all := r.children(types)
	for i, n := range all {
		status, _ := r.child(n, "status")
		number, _ := status.value.(json.Number)
		code, err := number.Int64()
		if err != nil {
			r.fail(status, "%v", err)
		}
		s.Problems[names[i]] = ProblemType{int(code), r.text(n, "description")}
	}
	paths, _ := r.child(top, "paths")
	names, all = r.children(paths)
	for i, n := range all {
		methods, operations := r.children(n)
		for j, op := range operations {
			s.Operations = append(s.Operations, r.operation(names[i], methods[j], op))
		}
	}
	components, _ := r.child(top, "components")
	for _, part := range []string{"responses", "schemas"} {
		n, _ := r.child(components, part)
		names, all := r.children(n)
		for i, n := range all {
			if part == "responses" {
				r.answer(n)
				continue
			}
			schema, err := r.compiler.Compile(root + "#" + n.at)
			if err != nil {
				r.fail(n, "%v", err)
			}
			s.Schemas[names[i]] = schema
		}
	}
	s.Examples = r.examples
	return s
}

func (r *reader) operation(path, method string, n node) *Operation {
	op := &Operation{
		ID: r.text(n, "operationId"), Method: strings.ToUpper(method), Path: path, Role: r.text(n, "x-role"), Class: r.text(n, "x-class"),
		Answers: map[string]Answer{},
	}
	list, _ := r.child(n, "x-problem-types")
	for _, v := range anyList(list.value) {
		op.Problems = append(op.Problems, fmt.Sprint(v))
	}
	params, _ := r.child(n, "parameters")
	for i, v := range anyList(params.value) {
		p := r.follow(node{fmt.Sprintf("%s/%d", params.at, i), v})
		op.Params = append(op.Params, Parameter{r.text(p, "in"), r.text(p, "name")})
		schema := r.schema(p)
		if v, ok := r.child(p, "example"); ok {
			r.examples = append(r.examples, Example{p.at, schema, v.value})
		}
	}
	if body, ok := r.child(n, "requestBody"); ok {
		op.Body = true
		r.media(body)
	}
	answers, _ := r.child(n, "responses")
	statuses, all := r.children(answers)
	for i, a := range all {
		op.Answers[statuses[i]] = r.answer(a)
	}
	return op
}

func anyList(v any) []any {
	list, _ := v.([]any)
	return list
}

func (r *reader) answer(n node) Answer {
	r.text(n, "description")
	a := Answer{Headers: map[string]Header{}, Media: r.media(n)}
	headers, _ := r.child(n, "headers")
	names, all := r.children(headers)
	for i, h := range all {
		required, _ := r.child(h, "required")
		a.Headers[names[i]] = Header{required.value == true, r.schema(h)}
	}
	return a
}

func (r *reader) media(n node) map[string]*jsonschema.Schema {
	out := map[string]*jsonschema.Schema{}
	content, _ := r.child(n, "content")
	names, all := r.children(content)
	for i, m := range all {
		out[names[i]] = r.schema(m)
		if v, ok := r.child(m, "example"); ok {
			r.examples = append(r.examples, Example{v.at, out[names[i]], v.value})
		}
		examples, _ := r.child(m, "examples")
		_, list := r.children(examples)
		for _, e := range list {
			v, ok := r.child(e, "value")
			if !ok {
				r.fail(e, "there is no value")
			}
			r.examples = append(r.examples, Example{e.at, out[names[i]], v.value})
		}
	}
	return out
}
