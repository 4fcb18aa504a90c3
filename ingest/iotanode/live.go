package iotanode

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"permanode/ingest"
)

// Live is a live store behind a URL: one object <number>.chk a checkpoint, no list of them. What is newest is
// found by asking. It is safe for concurrent use.
type Live struct {
	whole
	web *web
	cfg Config

	mu    sync.Mutex // guards what follows
	some  uint64     // a checkpoint that was there when it was asked for
	found bool       // there was one
}

// NewLive returns the live store at c.Address. It does not connect.
func NewLive(c Config) (*Live, error) {
	c = c.withDefaults()
	w, err := newWeb(c, "")
	if err != nil {
		return nil, err
	}
	w.noKey = http.StatusForbidden // what object stores say to those who may not list
	l := &Live{web: w, cfg: c}
	l.name, l.shelf.limit, l.load = w.name, c.Window, l.read
	return l, nil
}

// Close drops idle connections.
func (l *Live) Close() error {
	l.web.close()
	return nil
}

func (l *Live) read(ctx context.Context, seq uint64) (*cone, error) {
	raw, err := l.web.get(ctx, checkpointPath(seq), "", l.cfg.limit(seq))
	if err != nil {
		return nil, err
	}
	c, err := splitFile(raw)
	if err == nil {
		l.saw(seq)
	}
	return c, err
}

func (l *Live) saw(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.found || seq > l.some {
		l.some, l.found = seq, true
	}
}

// Info looks for the newest checkpoint: upwards in doubling steps from one that is there, then between the last
// two steps. As long as no checkpoint was had, it begins with number 0. Older ones go when their epoch is over,
// so the oldest is not known.
func (l *Live) Info(ctx context.Context) (ingest.Info, error) {
	l.mu.Lock()
	lo, found := l.some, l.found
	l.mu.Unlock()
	i := ingest.Info{Software: "live checkpoint store"}
	if !found {
		there, err := l.there(ctx, 0)
		if err != nil {
			return i, fmt.Errorf("%s: %w", l.name, err)
		}
		if !there {
			return i, nil // it may still have what is asked for
		}
	}
	hi, step := lo+1, uint64(1)
	for ; step < 1<<40; step *= 2 {
		there, err := l.there(ctx, hi)
		if err != nil {
			return i, fmt.Errorf("%s: %w", l.name, err)
		}
		if !there {
			break
		}
		lo, hi = hi, hi+2*step
	}
	for lo+1 < hi {
		mid := lo + (hi-lo)/2
		there, err := l.there(ctx, mid)
		if err != nil {
			return i, fmt.Errorf("%s: %w", l.name, err)
		}
		if there {
			lo = mid
		} else {
			hi = mid
		}
	}
	l.saw(lo)
	i.Newest = lo
	return i, nil
}

// there asks whether checkpoint seq is there.
func (l *Live) there(ctx context.Context, seq uint64) (bool, error) {
	_, err := l.web.call(ctx, http.MethodHead, checkpointPath(seq), "", nil, 1<<62)
	if errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrPruned) {
		return false, nil
	}
	return err == nil, err
}
