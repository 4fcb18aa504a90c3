package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"

	"permanode/ledger/idtext"
	"permanode/query"
	"permanode/storage"
)

// Payload returns the bytes of a payload, by its SHA-256 or CID as query.ParsePayload reads them, from one network or, with
// "", from any. They are hashed here too: it fails with storage.ErrCorrupt if they are others than were asked for, and with
// storage.ErrNotFound if the archive has none.
func (c *Client) Payload(ctx context.Context, id, network string) ([]byte, error) {
	sum, err := query.ParsePayload(id)
	if err != nil && !errors.Is(err, idtext.ErrTree) { // of a tree the service says what it has
		return nil, err
	}
	params := url.Values{}
	if network != "" {
		params.Set("network", network)
	}
	raw, asked := c.whole(ctx, call{path: "/v1/payloads/" + url.PathEscape(id), params: params, accept: mediaRaw})
	if asked != nil {
		return nil, asked
	}
	if got := sha256.Sum256(raw); err != nil || got != sum {
		return nil, fmt.Errorf("%s answered with bytes that hash to %x instead of payload %s: %w", c.base, got, show(id), storage.ErrCorrupt)
	}
	return raw, nil
}
