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

// gone forgets a connection that was closed.
func (l *connections) gone(c net.Conn) { l.note(c, http.StateClosed) }

// connectionsFor returns how many connections may be open where the process may have so many files open: a quarter, at
// most 4,096. There are two listeners, so that at least half stays for store, index and trail.
func connectionsFor(files uint64) int { return int(max(1, min(files/4, maxConnections))) }

// streamsFor leaves half of these connections to what is answered at once.
func streamsFor(files uint64) int { return min(parallel[classStream], max(1, connectionsFor(files)/2)) }

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
	case http.StateActive, http.StateHijacked: // of the end of the latter gone tells
		l.open[c] = nil
	default:
		delete(l.open, c)
	}
	if len(l.open) <= l.most {
		return nil
	}
	victim = l.idle.Remove(l.idle.Front()).(net.Conn) // there is one: c itself
	delete(l.open, victim)
	return victim
}
