package iotanode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"permanode/ingest"
)

// saveTries is how often a long answer that was cut is asked for from where it was cut.
const saveTries = 8

// save writes the body of an answer of any duration to an empty file, as long as it goes on. Where it is cut, the
// rest is asked for.
func (w *web) save(ctx context.Context, path string, to *os.File, limit int64) error {
	if err := take(ctx, w.slots); err != nil {
		return err
	}
	defer func() { <-w.slots }()
	var at int64
	for try := 1; ; try++ {
		n, err := w.more(ctx, path, to, at, limit)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, ingest.ErrUnknown), errors.Is(err, errTooLarge), try == saveTries, n-at < leastPerTimeout:
			return err // or nothing new came
		}
		at = n
	}
}

// more appends what lies behind offset at, and returns the size of the file then. A server that sends all of it
// again writes over what is there.
func (w *web) more(ctx context.Context, path string, to *os.File, at, limit int64) (int64, error) {
	ctx, alive := w.watch(ctx)
	defer alive.stop()
	resp, err := w.ask(ctx, http.MethodGet, path, "", nil, at)
	if err != nil {
		return at, alive.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		at = 0
	}
	if resp.ContentLength > limit-at {
		return at, tooLarge(at+resp.ContentLength, limit)
	}
	if _, err := to.Seek(at, io.SeekStart); err != nil {
		return at, err
	}
	n, err := copyContext(ctx, to, io.LimitReader(alive.reader(resp.Body), limit-at+1))
	switch {
	case err != nil:
		return at + n, fmt.Errorf("it ends after %d bytes: %w", at+n, alive.explain(err))
	case at+n > limit:
		return at + n, tooLarge(at+n, limit)
	}
	return at + n, to.Truncate(at + n)
}
