package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"permanode/query/trail"
)

// accessTrail gives the lines of one day of the access trail, as bytes of its file.
func (a *service) accessTrail(_ context.Context, q *request) (writer, error) {
	day, given := q.params["day"]
	if !given {
		day = time.Now().UTC().Format(time.DateOnly)
		if a.Trail != nil {
			day = max(day, a.Trail.Newest()) // that is where lines go after a clock was set back
		}
	}
	if err := trail.CheckDay(day); err != nil {
		return nil, problem("bad-parameter", "day=%v", err)
	}
	if a.Trail == nil {
		return nil, problem("not-found", "this service keeps no access trail")
	}
	d, err := a.accessDay(day)
	if err != nil {
		return nil, err
	}
	if err := d.Close(); err != nil { // the answer begins later, or never
		return nil, err
	}
	return func(w http.ResponseWriter) error { return a.sendDay(w, q, day) }, nil
}

func (a *service) accessDay(day string) (*trail.Day, error) {
	d, err := a.Trail.Day(day)
	if errors.Is(err, trail.ErrNoDay) {
		if newest := a.Trail.Newest(); newest > day {
			return nil, problem("not-found", "the access trail has no file of %s (UTC): nobody asked anything then, or the clock of this service was ahead once; then lines of that day stand in the file of a later day, up to day=%s", day, newest)
		}
		return nil, problem("not-found", "nobody asked anything on %s: the access trail has no lines of that day (UTC)", day)
	}
	return d, err
}

func (a *service) sendDay(w http.ResponseWriter, q *request, day string) (err error) {
	d, err := a.accessDay(day)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	h := w.Header()
	h.Set("Content-Type", mediaNDJSON)
	h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if q.http.Method == http.MethodHead {
		return nil
	}
	_, err = io.Copy(w, countingLines{d, q})
	return err
}

// countingLines notes how many lines were read.
type countingLines struct {
	io.Reader
	q *request
}

func (c countingLines) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.q.noted.rows += uint64(bytes.Count(p[:n], []byte("\n")))
	return n, err
}
