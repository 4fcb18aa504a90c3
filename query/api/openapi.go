package api

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
)

//go:embed openapi.yaml
var openapi []byte

// openapiTag changes with the description.
var openapiTag = func() string {
	sum := sha256.Sum256(openapi)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}()

// OpenAPI returns the OpenAPI 3.1 description of the API, in YAML, as GET /v1/openapi.yaml serves it. The bytes are not to
// be changed.
func OpenAPI() []byte { return openapi }

func (a *service) openapi(context.Context, *request) (writer, error) {
	answer := send(http.StatusOK, "application/yaml", openapi)
	return func(w http.ResponseWriter) error {
		w.Header().Set("ETag", openapiTag)
		w.Header().Set("Cache-Control", "public, no-cache")
		return answer(w)
	}, nil
}
