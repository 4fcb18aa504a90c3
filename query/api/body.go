package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"permanode/query"
)

// maxDepth is how deep a body of JSON may be nested.
const maxDepth = 16

// readJSON reads the body of a POST into a struct. members are the names of its members, exactly as they are written. The
// body is one JSON object of UTF-8 in which no name stands twice; null, unknown members and what follows the object are
// refused, so that a mistake is never passed over.
func (q *request) readJSON(into any, members ...string) error {
	kinds := q.header.Values("Content-Type")
	if len(kinds) != 1 {
		return problem("unsupported-media-type", "there are %d Content-Type headers: send one, application/json", len(kinds))
	}
	media, params, err := mime.ParseMediaType(kinds[0])
	if charset, given := params["charset"]; err != nil || media != "application/json" || given && !strings.EqualFold(charset, "utf-8") {
		return problem("unsupported-media-type", "the Content-Type %s is not application/json in UTF-8", query.Quote(kinds[0]))
	}
	if err := checkJSON(q.body, members); err != nil {
		return problem("bad-body", "the body %v; send one JSON object with %s", err, strings.Join(members, ", "))
	}
	if err := json.Unmarshal(q.body, into); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return problem("bad-body", "the body has %s where %s is wanted, before byte %d: send one JSON object with %s",
				kind.Value, wanted[kind.Type.Kind().String()], kind.Offset, strings.Join(members, ", "))
		}
		return problem("bad-body", "the body is no JSON that can be read here: send one JSON object with %s", strings.Join(members, ", "))
	}
	return nil
}

// wanted are the words for what Go's kinds read.
var wanted = map[string]string{"string": "a text", "slice": "a list", "struct": "an object", "bool": "true or false", "uint64": "a whole number", "int": "a whole number"}

// checkJSON says what is wrong with a body, whatever it is for.
func checkJSON(body []byte, members []string) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return errors.New("is empty")
	case bytes.HasPrefix(body, []byte("\ufeff")):
		return errors.New("begins with a byte order mark")
	case !utf8.Valid(body):
		return errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	c := &jsonChecker{d: d, members: members}
	for first := true; first || len(c.open) > 0; first = false {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("is no JSON, at byte %d", d.InputOffset())
		}
		if first && t != json.Delim('{') {
			return errors.New("is no JSON object")
		}
		if err := c.take(t); err != nil {
			return err
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("goes on behind its object, at byte %d", d.InputOffset())
	}
	return nil
}

// jsonChecker follows the tokens of a body.
type jsonChecker struct {
	d       *json.Decoder
	members []string
	open    []*level // objects and lists around the next token
}

// level is an object or list that is open.
type level struct {
	names map[string]bool // nil: a list
	value bool            // in an object: the next token is a value
}

func (c *jsonChecker) take(t json.Token) error {
	if t == nil {
		return fmt.Errorf("has null before byte %d: leave out what has no value", c.d.InputOffset())
	}
	var in *level
	if len(c.open) > 0 {
		in = c.open[len(c.open)-1]
	}
	delim, _ := t.(json.Delim)
	switch {
	case delim == '}' || delim == ']':
		c.open = c.open[:len(c.open)-1]
		return nil
	case in != nil && in.names != nil && !in.value:
		in.value = true
		return c.name(in, t.(string))
	case in != nil:
		in.value = false
	}
	switch {
	case delim == 0:
		return nil
	case len(c.open) == maxDepth:
		return fmt.Errorf("is nested more than %d levels deep", maxDepth)
	case delim == '{':
		c.open = append(c.open, &level{names: map[string]bool{}})
	default:
		c.open = append(c.open, &level{})
	}
	return nil
}

// name takes the name of a member.
func (c *jsonChecker) name(in *level, name string) error {
	if in.names[name] {
		return fmt.Errorf("has the member %s twice", query.Quote(name))
	}
	in.names[name] = true
	if len(c.open) == 1 && !slices.Contains(c.members, name) {
		return fmt.Errorf("has the unknown member %s", query.Quote(name))
	}
	return nil
}
