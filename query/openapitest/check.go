package openapitest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Find returns the operation that a request is for; nil: none that the description has.
func (s *Spec) Find(method string, u *url.URL) *Operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	segments := strings.Split(u.EscapedPath(), "/")
	var found *Operation
	for _, op := range s.Operations {
		if op.Method == method && op.covers(segments) && (found == nil || strings.Count(op.Path, "{") < strings.Count(found.Path, "{")) {
			found = op
		}
	}
	return found
}

func (op *Operation) covers(segments []string) bool {
	pattern := strings.Split(op.Path, "/")
	if len(pattern) != len(segments) {
		return false
	}
	for i, want := range pattern {
		if !strings.HasPrefix(want, "{") && want != segments[i] {
			return false
		}
	}
	return true
}

// Check says what of an answer to a request is not as the description has it; a path that it does not have is not
// checked. Trailers count as headers.
func (s *Spec) Check(method string, u *url.URL, status int, header http.Header, body []byte) error {
	op := s.Find(method, u)
	if op == nil {
		return nil
	}
	a, ok := op.Answers[strconv.Itoa(status)]
	if !ok {
		return fmt.Errorf("%s answers %d, which is not documented: %s", op.ID, status, clip(body))
	}
	if err := a.checkHeaders(header); err != nil {
		return fmt.Errorf("%s answers %d: %w", op.ID, status, err)
	}
	if method == http.MethodHead || status == http.StatusNotModified || status == http.StatusSwitchingProtocols {
		if len(body) > 0 {
			return fmt.Errorf("%s answers %d to %s with a body of %d bytes", op.ID, status, method, len(body))
		}
		return nil
	}
	body, err := decoded(header.Get("Content-Encoding"), body)
	if err != nil {
		return fmt.Errorf("%s answers %d: %w", op.ID, status, err)
	}
	media, schema, err := a.schemaOf(header.Get("Content-Type"), body)
	if err != nil {
		return fmt.Errorf("%s answers %d: %w", op.ID, status, err)
	}
	if err := fits(schema, media, body); err != nil {
		return fmt.Errorf("%s answers %d %s: %w: %s", op.ID, status, media, err, clip(body))
	}
	if media == "application/problem+json" {
		return s.checkProblem(op, status, body)
	}
	return nil
}

// decoded takes the content encoding off.
func decoded(coding string, body []byte) ([]byte, error) {
	switch coding {
	case "":
		return body, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return io.ReadAll(r)
	case "zstd":
		r, err := zstd.NewReader(nil)
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		defer r.Close()
		return r.DecodeAll(body, nil)
	}
	return nil, fmt.Errorf("the content encoding %q is none of ours", coding)
}

// plain are the headers that need no word in the description: HTTP's own, and those of every answer.
var plain = []string{
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Trailer",
	"Transfer-Encoding", "Vary", "X-Content-Type-Options", "Sec-Websocket-Accept",
}

func (a Answer) checkHeaders(given http.Header) error {
	for name, h := range a.Headers {
		values := given.Values(name)
		if len(values) == 0 {
			if h.Required {
				return fmt.Errorf("there is no header %s", name)
			}
			continue
		}
		if !anyFits(h.Schema, values[0]) {
			return fmt.Errorf("header %s is %q, which its schema refuses", name, values[0])
		}
	}
	for name := range given {
		documented := func(d string) bool { return http.CanonicalHeaderKey(d) == name }
		if slices.Contains(plain, name) {
			continue
		}
		found := false
		for d := range a.Headers {
			found = found || documented(d)
		}
		if !found {
			return fmt.Errorf("header %s is not documented", name)
		}
	}
	return nil
}

// anyFits reads a header's text as text and as a number.
func anyFits(s *jsonschema.Schema, text string) bool {
	if s.Validate(text) == nil {
		return true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && s.Validate(json.Number(strconv.FormatInt(n, 10))) == nil
}

func (a Answer) schemaOf(contentType string, body []byte) (string, *jsonschema.Schema, error) {
	if len(a.Media) == 0 {
		if len(body) > 0 {
			return "", nil, fmt.Errorf("there is a body of %d bytes", len(body))
		}
		return "", nil, nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", nil, fmt.Errorf("content type %q: %w", contentType, err)
	}
	schema, ok := a.Media[media]
	if !ok {
		schema, ok = a.Media["*/*"]
	}
	if !ok {
		return "", nil, fmt.Errorf("content type %q is not documented", contentType)
	}
	return media, schema, nil
}

// fits checks JSON as a value, lines of JSON and events each alone, and all else as text.
func fits(s *jsonschema.Schema, media string, body []byte) error {
	switch {
	case s == nil:
		return nil
	case media == "application/x-ndjson":
		for line := range bytes.Lines(body) {
			if err := fitsJSON(s, line); err != nil {
				return err
			}
		}
		return nil
	case media == "text/event-stream":
		return fitsEvents(s, body)
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return fitsJSON(s, body)
	}
	return s.Validate(string(body))
}

// fitsEvents checks each server-sent event that is there whole, as an object of its fields. What has no data is none.
func fitsEvents(s *jsonschema.Schema, body []byte) error {
	for block := range strings.SplitSeq(string(body), "\n\n") {
		event := map[string]any{}
		for line := range strings.SplitSeq(block, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok && name != "" && name != "retry" {
				event[name] = value
			}
		}
		if event["data"] == nil {
			continue
		}
		if err := s.Validate(event); err != nil {
			return err
		}
	}
	return nil
}

func fitsJSON(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return s.Validate(v)
}

// checkProblem looks for the type among those of the operation.
func (s *Spec) checkProblem(op *Operation, status int, body []byte) error {
	var p struct {
		Type   string
		Status int
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return err
	}
	word, ok := strings.CutPrefix(p.Type, "urn:permanode:problem:")
	switch {
	case !ok:
		return errors.New("a problem without a type of ours: " + p.Type)
	case !slices.Contains(op.Problems, word):
		return fmt.Errorf("%s answers the problem %s, which is not documented for it: %s", op.ID, word, clip(body))
	case s.Problems[word].Status != status || p.Status != status:
		return fmt.Errorf("%s answers %d with the problem %s of status %d, documented with %d", op.ID, status, word, p.Status, s.Problems[word].Status)
	}
	return nil
}

func clip(body []byte) string {
	const most = 300
	if len(body) > most {
		return fmt.Sprintf("%q…", body[:most])
	}
	return fmt.Sprintf("%q", body)
}
