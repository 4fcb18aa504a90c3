package api

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// Above the limit the connection that was idle longest is closed; what is in work stays.
func TestLimitConnections(t *testing.T) {
	l := newConnections(2)
	open := func() net.Conn {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { mine.Close(); theirs.Close() })
		l.changed(mine, http.StateNew)
		return mine
	}
	closed := func(c net.Conn) bool {
		return c.SetDeadline(time.Time{}) != nil // a closed pipe takes no deadline
	}
	busy := open()
	l.changed(busy, http.StateActive)
	silent := open()
	late := open()
	if closed(busy) || !closed(silent) || closed(late) {
		t.Fatalf("closed: busy %t, silent %t, late %t; want the silent one alone", closed(busy), closed(silent), closed(late))
	}
	l.changed(silent, http.StateClosed) // told by the server afterwards
	l.changed(late, http.StateActive)
	if refused := open(); !closed(refused) {
		t.Error("two are in work, and a third one is let in")
	}
	l.changed(busy, http.StateIdle)
	l.changed(late, http.StateClosed)
	if fourth := open(); closed(fourth) || closed(busy) {
		t.Error("a connection that ended makes no room")
	}
	if n := len(l.open); n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
}
