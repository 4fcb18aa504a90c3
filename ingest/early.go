package ingest

import (
	"context"
	"errors"

	"permanode/ledger"
)

// skipEarly moves the begin of a span of which nothing is committed behind the units that lie before what the trust
// file knows of, where nobody asked for a certain first unit: seq is one of those. It reports whether there is a
// unit to begin with.
func (c *Collector) skipEarly(ctx context.Context, seq, newest uint64) (bool, error) {
	low, high := seq, seq // high: judged, once it is above low
	for step := uint64(1); high == low; step *= 2 {
		at := min(low+step, newest)
		early, err := c.early(ctx, at)
		switch {
		case err != nil:
			return false, err
		case !early:
			high = at
		case at == newest:
			return false, nil
		default:
			low, high = at, at
		}
	}
	for low+1 < high {
		at := low + (high-low)/2
		early, err := c.early(ctx, at)
		if err != nil {
			return false, err
		}
		if early {
			low = at
		} else {
			high = at
		}
	}
	c.log.Info("units lie before what the trust file knows of", "from", seq, "to", low)
	c.beginByClaims(high)
	return true, nil
}

// early reports whether unit seq lies before what the trust file knows of. Where
// nobody gives it, it counts as one of those: a span cannot begin with it.
func (c *Collector) early(ctx context.Context, seq uint64) (bool, error) {
	found, err := c.heads(ctx, seq)
	if err != nil {
		return false, err
	}
	for _, v := range found {
		var unjudged *ledger.Unjudged
		_, err := c.codec.Begin(ctx, v.head, c.alone())
		if err == nil || !errors.As(err, &unjudged) || !unjudged.Early {
			return false, ctx.Err()
		}
	}
	return true, ctx.Err()
}
