// Package api is the native HTTP API of an archive ([Handler], [Serve]): it carries what package query answers.
//
// The table in routes.go is the one place that says what there is, who may ask, and how it is limited. Every request goes one
// way (service.go): from what is cheap to refuse to what costs most, then into the access trail, then to its handler. A
// handler judges the request and finds the answer; what it returns sends it, whole or recognisably broken off.
//
// Errors are RFC 9457 problems with a stable type. openapi.yaml describes every route, answer and problem; tests hold it
// against the table and against real answers. It knows no era and no store, and it never writes but to the access trail.
// Every goroutine that Serve starts has ended when it returns.
package api
