package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"permanode/query"
	"permanode/query/access"
)

// service answers requests. Its only changing state is who asked how much, and what is in work.
type service struct {
	Config
	routes  []route
	slots   [len(parallel)]chan struct{}
	callers *callers
	sites   *sites
	times   times
	metrics *metrics
	streams *query.Streams
	sparing sparing
}

// Handler returns the native API: all routes of the table in routes.go.
func Handler(c Config) http.Handler {
	a := &service{
		Config: c, callers: newCallers(c.Rates, time.Now), sites: newSites(c), times: usual,
		metrics: newMetrics(c.Metrics), streams: query.NewStreams(c.Archive),
	}
	for of, most := range parallel {
		a.slots[of] = make(chan struct{}, most)
	}
	a.slots[classStream] = make(chan struct{}, streamsFor(fileLimit()))
	a.routes = a.table()
	return a
}

// call is one request on its way.
type call struct {
	id      string
	began   time.Time
	w       *response
	r       *http.Request
	q       *request // nil: it asks for no route
	caller  access.Caller
	release func()
	recording
}

// ServeHTTP answers one request. What fails after the first byte breaks the connection, so that nobody takes a part
// for the whole.
func (a *service) ServeHTTP(raw http.ResponseWriter, r *http.Request) {
	c := &call{id: requestID(), began: time.Now(), w: newResponse(raw, r, a.Callers != nil, &a.times), r: r}
	h := c.w.Header()
	h.Set("X-Request-Id", c.id)
	h.Set("X-Content-Type-Options", "nosniff")
	defer func() { a.metrics.answered(c.q, c.w, c.began) }()
	defer a.recordEnd(c)
	defer a.recovered(c)
	err := a.answer(c)
	if err == nil {
		err = c.w.finish()
	}
	var told *Problem
	switch {
	case err == nil:
		c.whole = true
		return
	case c.w.hijacked:
		return
	case c.w.status != 0:
		c.w.cut()
		panic(http.ErrAbortHandler)
	case r.Context().Err() != nil && !errors.As(err, &told):
		panic(http.ErrAbortHandler) // nobody is there, and silence would read as 200
	}
	p := problemOf(err)
	a.metrics.refused(p)
	a.logFailed(p, c.id, err)
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		h.Set("Connection", "close") // the rest of the body must not be taken for the next request
	}
	p.write(c.w, c.id)
	_ = c.w.finish()
}

// writer sends an answer. It fails before the first byte or never; one of classExport or classStream may fail in the
// middle, which breaks the connection.
type writer func(http.ResponseWriter) error

// answer is the way of a request, from what is cheap to refuse to what costs most.
func (a *service) answer(c *call) error {
	if err := a.understand(c); err != nil || c.q == nil {
		return err
	}
	if err := a.admit(c); err != nil {
		return err
	}
	defer c.release()
	if p := c.q.readBody(c.w, c.r); p != nil {
		return p
	}
	of := c.q.class
	free, err := a.slot(of)
	if err != nil {
		return err
	}
	defer free()
	defer a.metrics.begin(of)()
	if err := a.toRecord(c); err != nil {
		return err
	}
	ctx, end := c.w.prepare(c.r, of)
	defer end()
	ctx, revoke := a.whileAllowed(ctx, c.q)
	defer revoke()
	send, err := c.q.route.handle(ctx, c.q)
	if err != nil {
		return whyEnded(ctx, err)
	}
	if !of.long() {
		free() // a client that reads slowly keeps nobody waiting
		return send(c.w)
	}
	if err := a.recordBegin(ctx, c); err != nil {
		return err
	}
	return whyEnded(ctx, send(c.w))
}

// whyEnded says why the context of an export or a stream ended, to who has got nothing yet.
func whyEnded(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errRevoked):
		return problem("unauthorized", "%v, while this was answered: ask the operator", cause)
	case errors.Is(cause, errClosing):
		return problem("overloaded", "%v: ask again in a moment", cause)
	}
	return err
}

// understand reads the head of a request and finds its route. There is none, and no error, when that answered it.
func (a *service) understand(c *call) error {
	h := c.w.Header()
	p := checkRequest(c.r)
	if p == nil {
		p = a.sites.check(h, c.r)
	}
	if p == nil {
		p = a.known(h, c.r)
	}
	if p == nil {
		c.q, p = a.match(h, c.r)
	}
	if p == nil {
		c.w.accepted, p = negotiate(c.r.Header)
	}
	if p == nil && c.q == nil {
		p = refuseBody(c.r)
	}
	if p != nil {
		return a.strange(c, p)
	}
	if c.q == nil {
		a.sites.preflight(h, c.r)
		c.w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// long says that the writer does the work, for as long as the client reads.
func (c class) long() bool { return c == classExport || c == classStream }

// slot takes one of the requests of a class that may be in work at once. free may be called more than once.
func (a *service) slot(of class) (free func(), err error) {
	select {
	case a.slots[of] <- struct{}{}:
		return sync.OnceFunc(func() { <-a.slots[of] }), nil
	default:
		return nil, problem("overloaded", "%d requests of this kind are in work: ask again in a few seconds", cap(a.slots[of]))
	}
}

// recovered turns a bug into an answer: the asker gets a request id, the log gets the stack.
func (a *service) recovered(c *call) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		c.w.cut()
		panic(http.ErrAbortHandler)
	}
	a.metrics.panics.Inc()
	a.Log.Error("request panicked", "request_id", c.id, "err", fault, "stack", string(debug.Stack()))
	if c.w.hijacked {
		return
	}
	if c.w.status != 0 {
		c.w.cut()
		panic(http.ErrAbortHandler)
	}
	problemOf(fmt.Errorf("panic: %v", fault)).write(c.w, c.id)
	_ = c.w.finish()
}
