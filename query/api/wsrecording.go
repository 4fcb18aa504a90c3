package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"permanode/query/trail"
)

// sublines are the lines of the access trail of one subscription: a socket may live for months, and what was asked on it
// is not to wait for its end.
type sublines struct {
	s     *socket
	event trail.Event
	began time.Time
}

// lines begins the lines of a subscription. Its request id is that of the socket, a dot, and its number there.
func (s *socket) lines(r asking) *sublines {
	s.asked++
	e := trail.Event{
		RequestID: fmt.Sprintf("%s.%d", s.id, s.asked), Key: s.q.caller.Name, Role: s.q.caller.Role.String(), Address: s.q.caller.Address,
		Method: s.q.http.Method, Route: s.q.route.pattern, Params: map[string]string{"id": r.ID},
	}
	for name, value := range map[string]string{"q": r.Q, "network": r.Network, "from": r.From, "cursor": r.Cursor} {
		if value != "" {
			e.Params[name] = value
		}
	}
	return &sublines{s, e, time.Now()}
}

// admitTopic counts a subscription like a request of its caller.
func (a *service) admitTopic(q *request, params map[string]string) *Problem {
	h := http.Header{}
	release, p := a.callers.admit(h, q.caller, a.Callers != nil, classPlain)
	if p == nil {
		release()
		p = a.recordable(h, q, params)
	}
	if p == nil {
		return nil
	}
	return problem("rate-limited", "you subscribe too often, counted with all that you ask: again in %s seconds", h.Get("Retry-After"))
}

// begin writes what was asked, before anything of it is sent. It fails if the trail cannot take it.
func (l *sublines) begin(ctx context.Context, asked string) error {
	l.event.Query = asked
	if l.s.a.Trail == nil {
		return nil
	}
	e := l.event
	e.Event = trail.Begin
	return l.s.a.noTrail(&call{id: e.RequestID}, l.s.a.Trail.AppendSync(ctx, e))
}

// refused writes that a subscription never began.
func (l *sublines) refused(err error) {
	p := problemOf(err)
	if p.is("rate-limited") { // like a request that comes too often
		return
	}
	l.event.Denied = p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden
	l.write(trail.Call, p.Status)
}

// end writes what a subscription was given, and whether its client was told why it ended.
func (l *sublines) end(rows, bytes uint64, told bool) {
	l.event.Rows, l.event.Bytes, l.event.Complete = rows, bytes, told
	l.write(trail.End, http.StatusSwitchingProtocols)
}

func (l *sublines) write(kind string, status int) {
	if l.s.a.Trail == nil {
		return
	}
	l.event.Event, l.event.Status, l.event.Duration = kind, status, time.Since(l.began)
	if err := l.s.a.Trail.Append(l.event); err != nil {
		l.s.a.logOften("not recorded", "a call is not in the access trail", l.event.RequestID, err)
	}
}
