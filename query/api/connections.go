package api

import (
	lru "container/list"
	"net"
	"net/http"
	"sync"
)

// connections bounds how many are open, so that strangers cannot use up file handles that the store needs. Who comes
// when all are taken gets the place of the one that was idle longest: a crowd that connects and says nothing keeps
// nobody out.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*lru.Element // in idle; nil: a request is in work
	idle *lru.List                 // of net.Conn, the one that was idle longest in front
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*lru.Element{}, idle: lru.New()}
}

// changed is the ConnState of the server.
func (l *connections) changed(c net.Conn, state http.ConnState) {
	if victim := l.note(c, state); victim != nil {
		_ = victim.Close()
	}
}

// note counts, and returns the connection that has to go.
func (l *connections) note(c net.Conn, state http.ConnState) (victim net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, known := l.open[c]
	if !known && state != http.StateNew {
		return nil // it was closed here
	}
	if e != nil {
		l.idle.Remove(e)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		l.open[c] = l.idle.PushBack(c)
	case http.StateActive:
		l.open[c] = nil
	default:
		delete(l.open, c) // of what was hijacked the slots of streams are the bound
	}
	if len(l.open) <= l.most {
		return nil
	}
	victim = l.idle.Remove(l.idle.Front()).(net.Conn) // there is one: c itself
	delete(l.open, victim)
	return victim
}
