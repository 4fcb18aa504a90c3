package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"permanode/query"
	"permanode/query/api"
)

// Info says what answers.
type Info struct {
	Name     string   `json:"name"` // "permanode"
	Version  string   `json:"version"`
	Networks []string `json:"networks"` // names, sorted
}

// Network is a network of the archive.
type Network struct {
	Network  string `json:"network"` // its name
	Era      string `json:"era"`
	Identity string `json:"identity"` // the protocol's own
}

// Status is what a service holds and does.
type Status struct {
	Version  string         `json:"version"`
	Networks []query.Status `json:"networks"` // by name
}

// Readiness says which parts of a service are ready.
type Readiness struct {
	Ready      bool            `json:"ready"`
	Components []api.Component `json:"components"`
}

// Form is a form of a record or unit.
type Form string

// The forms.
const (
	Raw  Form = "raw"  // the exact received bytes; of a unit what was signed
	JSON Form = "json" // the node's own JSON form
)

func (f Form) media() string {
	if f == Raw {
		return mediaRaw
	}
	return mediaJSON
}

// Info returns what answers.
func (c *Client) Info(ctx context.Context) (out Info, err error) {
	return out, c.getJSON(ctx, "/v1/info", nil, &out, func() bool { return out.Name != "" })
}

// Networks returns the networks of the archive, by name.
func (c *Client) Networks(ctx context.Context) ([]Network, error) {
	var out struct {
		Items []Network `json:"items"`
	}
	return out.Items, c.getJSON(ctx, "/v1/networks", nil, &out, func() bool { return out.Items != nil })
}

// Status returns what the service holds and does.
func (c *Client) Status(ctx context.Context) (out Status, err error) {
	return out, c.getJSON(ctx, "/v1/status", nil, &out, func() bool { return out.Networks != nil })
}

// Ready returns which parts of the service are ready. A service that is not ready is no error.
func (c *Client) Ready(ctx context.Context) (out Readiness, err error) {
	body, err := c.whole(ctx, call{path: "/readyz", accept: mediaJSON, also: http.StatusServiceUnavailable})
	if err != nil {
		return out, err
	}
	return out, c.decode("/readyz", body, &out, func() bool { return out.Components != nil })
}

// OpenAPI returns the description of the service's routes, an OpenAPI 3.1 document in YAML.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	return c.whole(ctx, call{path: "/v1/openapi.yaml", accept: mediaYAML})
}

// Coverage returns what the archive holds of a network.
func (c *Client) Coverage(ctx context.Context, network string) (out query.Coverage, err error) {
	return out, c.getJSON(ctx, inNetwork(network, "coverage"), nil, &out, func() bool { return out.Network != "" && out.Ranges != nil })
}

// Unit returns a unit. What is outside coverage gives a *Problem that wraps storage.ErrNotFound.
func (c *Client) Unit(ctx context.Context, network string, seq uint64) (out query.Unit, err error) {
	return out, c.getJSON(ctx, unitPath(network, seq), nil, &out, func() bool { return out.ID != "" })
}

// UnitBytes returns a unit in a form.
func (c *Client) UnitBytes(ctx context.Context, network string, seq uint64, form Form) ([]byte, error) {
	return c.bytes(ctx, unitPath(network, seq), form)
}

// Record returns the record of that id with all that can be read of it.
func (c *Client) Record(ctx context.Context, network, id string) (out query.Record, err error) {
	if id == "" {
		return out, errNoID
	}
	return out, c.getJSON(ctx, inNetwork(network, "records", id), nil, &out, func() bool { return out.ID != "" })
}

// RecordBytes returns a record in a form.
func (c *Client) RecordBytes(ctx context.Context, network, id string, form Form) ([]byte, error) {
	if id == "" {
		return nil, errNoID
	}
	return c.bytes(ctx, inNetwork(network, "records", id), form)
}

var errNoID = fmt.Errorf(`"": %w`, query.ErrNotID)

func (c *Client) bytes(ctx context.Context, path string, form Form) ([]byte, error) {
	return c.whole(ctx, call{path: path, params: url.Values{"format": {string(form)}}, accept: form.media()})
}

// At returns what stands at the address that a Place or an Item names: a record, or nil and the unit.
func (c *Client) At(ctx context.Context, href string) (*query.Record, *query.Unit, error) {
	body, err := c.resource(ctx, href, "")
	if err != nil {
		return nil, nil, err
	}
	if strings.Contains(href, "/records/") {
		var r query.Record
		return &r, nil, c.decode(href, body, &r, func() bool { return r.ID != "" })
	}
	var u query.Unit
	return nil, &u, c.decode(href, body, &u, func() bool { return u.ID != "" })
}

// AtBytes returns what stands at the address that a Place or an Item names, in a form.
func (c *Client) AtBytes(ctx context.Context, href string, form Form) ([]byte, error) {
	return c.resource(ctx, href, form)
}

// resource asks for an address that an answer named: a path of this API and nothing else.
func (c *Client) resource(ctx context.Context, href string, form Form) ([]byte, error) {
	if !strings.HasPrefix(href, "/v1/networks/") || strings.ContainsAny(href, "?#") || strings.Contains(href, "..") {
		return nil, &NoServiceError{Asked: c.base, Err: fmt.Errorf("its answer names %s, which is no address of a record or unit", show(href))}
	}
	if form == "" {
		return c.whole(ctx, call{path: href, accept: mediaJSON})
	}
	return c.bytes(ctx, href, form)
}

// inNetwork returns the path of something in a network.
func inNetwork(network string, parts ...string) string {
	path := "/v1/networks/" + url.PathEscape(network)
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

func unitPath(network string, seq uint64) string {
	return inNetwork(network, "units", strconv.FormatUint(seq, 10))
}

// Account is what an address holds, and the first page of its history.
type Account struct {
	Balances []Balance `json:"balances"` // one a network that reads the address
	Page
}

// Balance is what an address held at a moment, or why that is not known.
type Balance struct {
	Network string        `json:"network"`
	Address string        `json:"address"`
	Seq     *uint64       `json:"seq"`    // the newest unit that counts; null: not known
	Time    *string       `json:"time"`   // null: not known
	Coins   *string       `json:"coins"`  // of the base coin, decimal digits; null: not known
	Tokens  []query.Token `json:"tokens"` // never null
	// Complete says that it is all that the address held: false where it is not known, and where a record that the service
	// cannot read whole may have moved something.
	Complete bool   `json:"complete"`
	Why      string `json:"why"` // why it is not known, or not complete
}
