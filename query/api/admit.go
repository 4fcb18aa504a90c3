package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"permanode/query"
	"permanode/query/access"
	"permanode/query/trail"
)

// admit says whether who asks may ask this, and so often. Nothing of the archive was touched yet.
func (a *service) admit(c *call) error {
	caller, who := a.caller(c.r)
	c.caller, c.q.caller = caller, caller
	lack := allow(c.q.route, caller, who)
	release, p := a.callers.admit(c.w.Header(), caller, a.Callers != nil, c.q.class)
	if p != nil {
		return p
	}
	c.release = release
	switch p = a.sites.crossSite(c.r); {
	case lack != nil:
		p = lack
		c.noted = a.Trail != nil
	case c.q.wrong != nil:
		p = c.q.wrong
	}
	if p == nil || c.noted {
		if over := a.recordable(c.w.Header(), c.q, c.q.params); over != nil {
			c.noted, p = false, over
		}
	}
	if p != nil {
		release()
		return p
	}
	return nil
}

// recordable says whether the lines of a request may be written yet, or its caller writes too much.
func (a *service) recordable(h http.Header, q *request, params map[string]string) *Problem {
	if a.Trail == nil || q.route.role == access.Anyone || (a.Callers != nil && q.caller.Name == "") { // the trail itself counts those without a key
		return nil
	}
	const rest = 512 // of a line, about
	size := rest
	for _, texts := range []map[string]string{q.vars, params} {
		for name, value := range texts {
			size += len(name) + trail.Written(value)
		}
	}
	size += trail.Written(params["q"]) // the canonical query
	if q.class.long() {
		size *= 2 // a begin and an end
	}
	return a.callers.record(h, q.caller, a.Callers != nil, size)
}

// strange refuses what asks for no route; it counts like everything else.
func (a *service) strange(c *call, p *Problem) error {
	caller, _ := a.caller(c.r)
	c.caller = caller
	release, over := a.callers.admit(c.w.Header(), caller, a.Callers != nil, classPlain)
	if over != nil {
		return over
	}
	release()
	return p
}

func (a *service) caller(r *http.Request) (access.Caller, error) {
	if a.Callers == nil {
		return access.Local(r)
	}
	return a.Callers(r)
}

// allow judges a caller; who is why there is no key, or no good one.
func allow(rt *route, caller access.Caller, who error) *Problem {
	switch {
	case caller.Role >= rt.role:
		return nil
	case errors.Is(who, access.ErrNoKey):
		return problem("unauthorized", "%s needs a key of the role %s or higher: send it as Authorization: Bearer KEY", rt.pattern, rt.role)
	case who != nil:
		return problem("unauthorized", "%v; send a key of this service as Authorization: Bearer KEY", who)
	}
	return problem("forbidden", "%s needs the role %s, and the key %s has the role %s: use another key", rt.pattern, rt.role, query.Quote(caller.Name), caller.Role)
}

// errRevoked is the cause of the end of the context of exports and streams whose key or role was taken away.
var errRevoked = errors.New("the key is taken away, or its role")

// recheck is how often it is asked whether who has an export or a stream may still have it.
const recheck = 2 * time.Second

// whileAllowed returns a context that ends when the caller of an export or a stream may have it no more.
func (a *service) whileAllowed(parent context.Context, q *request) (context.Context, func()) {
	if a.Callers == nil || !q.class.long() {
		return parent, func() {}
	}
	ctx, cancel := context.WithCancelCause(parent)
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(recheck)
		defer tick.Stop()
		for a.mayStill(q) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel(errRevoked)
	})
	return ctx, func() {
		cancel(nil)
		work.Wait()
	}
}

// mayStill judges the key that a request came with by the keys of now.
func (a *service) mayStill(q *request) bool {
	if a.Callers == nil {
		return true
	}
	now, err := a.Callers(q.http)
	return err == nil && now.Name == q.caller.Name && now.Role >= q.route.role
}

// sharer is whose share of the streams a caller takes; "" on a service without keys, where there is one user.
func (a *service) sharer(c access.Caller) string {
	if a.Callers == nil {
		return ""
	}
	return "key " + c.Name
}

// Allow says whether a role may call the route of a method and pattern; false where there is no such route.
func Allow(method, pattern string, role access.Role) bool {
	for _, rt := range new(service).table() {
		if rt.pattern == pattern && strings.EqualFold(rt.method, method) {
			return role >= rt.role
		}
	}
	return false
}
