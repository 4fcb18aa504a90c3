package api

import (
	"context"
	"net/http"
	"time"

	"permanode/query/access"
	"permanode/query/trail"
)

// recording is what the access trail is to know of a call: everything that reads, and what was refused for want of a
// right. What asks for no route, asks too often or whether the service lives reads nothing.
type recording struct {
	noted  bool
	opened bool // its beginning is on disk
	whole  bool // the answer was sent to its end
}

// toRecord marks a call whose route needs a key. It fails if the trail cannot take it: no line, no answer.
func (a *service) toRecord(c *call) error {
	c.noted = a.Trail != nil && c.q.route.role > access.Anyone
	if !c.noted {
		return nil
	}
	return a.noTrail(c, a.Trail.Ready())
}

// recordBegin writes that an export or a stream begins, before its first byte.
func (a *service) recordBegin(ctx context.Context, c *call) error {
	if !c.noted {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.w.times.handler) // of an export it has no end
	defer cancel()
	if err := a.Trail.AppendSync(ctx, c.event(trail.Begin)); err != nil {
		return a.noTrail(c, err)
	}
	c.opened = true
	return nil
}

// recordEnd writes what became of a call.
func (a *service) recordEnd(c *call) {
	if !c.noted {
		return
	}
	e := c.event(trail.Call)
	if c.opened {
		e.Event, e.Complete = trail.End, c.whole
	}
	e.Status, e.Rows, e.Bytes, e.Duration = c.w.status, c.q.noted.rows, uint64(c.w.bytes)+c.q.noted.bytes, time.Since(c.began)
	e.Denied = e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	if err := a.Trail.Append(e); err != nil {
		a.logOften("not recorded", "a call is not in the access trail", c.id, err)
	}
}

func (c *call) event(kind string) trail.Event {
	return trail.Event{
		Event: kind, RequestID: c.id, Key: c.caller.Name, Role: c.caller.Role.String(), Address: c.caller.Address,
		Method: c.r.Method, Route: c.q.route.pattern, Path: c.q.vars, Params: c.q.params, Query: c.q.noted.query,
	}
}

// noTrail refuses a call that could not be recorded. Why, is for the operator.
func (a *service) noTrail(c *call, err error) error {
	if err == nil {
		return nil
	}
	a.Log.Debug("a call was refused since it could not be recorded", "request_id", c.id, "err", err)
	return problem("no-trail", "calls are recorded before they are answered, and this one cannot be now: the disk of the service takes nothing; tell its operator")
}
