// Package openapitest holds answers of the API against its description, for tests: status, media type, headers and
// schema must be those that query/api/openapi.yaml names for the operation, and a problem one of the types that it lists.
//
// It knows nothing of the routes but what the description says; that this is all of them is checked in package query.
package openapitest
