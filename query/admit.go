package query

import (
	"errors"
	"net/http"
	"strings"

	"permanode/query/access"
)

// admit says whether who asks may ask this, and so often. Nothing of the archive was touched yet.
func (a *api) admit(c *call) error {
	caller, who := a.caller(c.r)
	c.caller, c.q.caller = caller, caller
	lack := allow(c.q.route, caller, who)
	release, p := a.callers.admit(c.w.Header(), caller, a.Callers != nil, c.q.route.class)
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
	if p != nil {
		release()
		return p
	}
	return nil
}

// strange refuses what asks for no route; it counts like everything else.
func (a *api) strange(c *call, p *Problem) error {
	caller, _ := a.caller(c.r)
	c.caller = caller
	release, over := a.callers.admit(c.w.Header(), caller, a.Callers != nil, classPlain)
	if over != nil {
		return over
	}
	release()
	return p
}

func (a *api) caller(r *http.Request) (access.Caller, error) {
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
	return problem("forbidden", "%s needs the role %s, and the key %s has the role %s: use another key", rt.pattern, rt.role, quote(caller.Name), caller.Role)
}

// Allow says whether a role may call the route of a method and pattern; false where there is no such route.
func Allow(method, pattern string, role access.Role) bool {
	for _, rt := range new(api).table() {
		if rt.pattern == pattern && strings.EqualFold(rt.method, method) {
			return role >= rt.role
		}
	}
	return false
}
