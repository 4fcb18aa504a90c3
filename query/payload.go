package query

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"permanode/ledger"
	"permanode/ledger/idtext"
	"permanode/storage"
)

// Content is a payload: what somebody put into a record, cut from its bytes.
type Content struct {
	Network string
	Ord     ledger.Ord // where it first stands
	SHA256  [32]byte
	Raw     []byte // hashes to SHA256
}

// ParsePayload reads the name of a payload: its SHA-256 in hex of either case, with 0x or sha256: or without, or the CIDv1
// of one raw block. It fails with ErrNotID, and with an error that wraps [idtext.ErrTree] for the good CID of a tree.
func ParsePayload(text string) (sum [32]byte, err error) {
	sum, err = idtext.Payload(text)
	if err == nil || errors.Is(err, idtext.ErrTree) {
		return sum, err
	}
	if !errors.Is(err, idtext.ErrNone) {
		return sum, fmt.Errorf("%w: %w", ErrNotID, err)
	}
	digits := strings.TrimPrefix(strings.ToLower(text), "0x")
	if n, err := hex.Decode(sum[:], []byte(digits[:min(len(digits), 2*len(sum))])); err == nil && n == len(sum) && len(digits) == 2*len(sum) {
		return sum, nil
	}
	if err := idtext.Hex(text, 2*len(sum)); err != nil {
		return sum, fmt.Errorf("%s: %w: %w", Quote(text), ErrNotID, err)
	}
	return sum, fmt.Errorf("%s: %w: write the SHA-256 of a payload as 64 hex digits, or its CID (bafkrei…)", Quote(text), ErrNotID)
}

// Payload returns the payload that text names, from the first record that holds it, in the order of lists. Its bytes are
// hashed again: it fails with storage.ErrCorrupt before it returns others. It fails with *AbsentError where no network
// has it.
func (a *Archive) Payload(ctx context.Context, networks []Network, text string) (Content, error) {
	sum, err := ParsePayload(text)
	if err != nil && !errors.Is(err, idtext.ErrTree) {
		return Content{}, err
	}
	absent := &AbsentError{What: "payload " + Quote(text), Why: WhyNeverSeen}
	if err != nil {
		absent.What = fmt.Sprintf("the content of %s (%v; larger content that stands under such a CID cannot be resolved here)", Quote(text), err)
	}
	empty := sum == sha256.Sum256(nil)
	if err == nil && empty {
		absent.What += " (the hash of no bytes, which are no payload: no record lists them)"
	}
	all, listed := a.Networks(ctx)
	if listed != nil {
		return Content{}, listed
	}
	for _, n := range byLineage(networks, all) {
		e, missing := a.Extent(ctx, n)
		if missing != nil {
			return Content{}, missing
		}
		absent.Searched = append(absent.Searched, e)
		if err != nil || empty {
			continue
		}
		if c, found, err := a.payloadIn(ctx, n, sum); found || err != nil {
			return c, err
		}
	}
	return Content{}, absent
}

// payloadIn looks through one network. A damaged record is passed over if another one holds the same payload.
func (a *Archive) payloadIn(ctx context.Context, n Network, sum [32]byte) (c Content, found bool, damaged error) {
	for f, err := range a.store.Lookup(ctx, n.ID, ledger.Key{Kind: ledger.KeyPayload, Val: string(sum[:])}, storage.Scan{}) {
		if err == nil {
			c, err = a.cut(ctx, n, f.Ord, sum)
		}
		switch {
		case err == nil:
			return c, true, nil
		case !errors.Is(err, storage.ErrCorrupt):
			return Content{}, false, fmt.Errorf("payload %x of %s: %w", sum, n.Name, err)
		case damaged == nil:
			damaged = err
		}
	}
	return Content{}, false, damaged
}

// cut takes the payload from the record at ord.
func (a *Archive) cut(ctx context.Context, n Network, ord ledger.Ord, sum [32]byte) (Content, error) {
	r, err := a.Record(ctx, n, ord)
	if err != nil {
		return Content{}, err
	}
	if n, err = a.at(ctx, n, ord.Seq); err != nil {
		return Content{}, err
	}
	f, err := facts(n, &r)
	if err != nil {
		return Content{}, err
	}
	raw := Object(&r)
	for _, p := range f.Payloads {
		if p.Off < 0 || p.Len < 0 || p.Off > len(raw) || p.Len > len(raw)-p.Off {
			continue
		}
		if part := raw[p.Off : p.Off+p.Len]; sha256.Sum256(part) == sum {
			return Content{n.Name, ord, sum, part}, nil
		}
	}
	return Content{}, fmt.Errorf("record %s of %s is posted under payload %x and holds none: %w", n.Codec.FormatID(r.ID), n.Name, sum, storage.ErrCorrupt)
}
