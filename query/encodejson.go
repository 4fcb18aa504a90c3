package query

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// EncodeJSON writes v as one line of JSON, with its end: & < and > stand as they are.
func EncodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return buf.Bytes(), nil
}
