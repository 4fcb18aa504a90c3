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

// However few files a process may have open, at least half of them stay for what is not a connection, and connections for
// what is no stream.
func TestConnectionsLeaveFiles(t *testing.T) {
	for _, c := range []struct {
		files                uint64
		connections, streams int
	}{{1 << 20, 4096, 2048}, {65536, 4096, 2048}, {16384, 4096, 2048}, {4096, 1024, 512}, {1024, 256, 128}, {256, 64, 32}, {0, 1, 1}} {
		if n, s := connectionsFor(c.files), streamsFor(c.files); n != c.connections || s != c.streams {
			t.Errorf("with %d files: %d connections, %d streams; want %d and %d", c.files, n, s, c.connections, c.streams)
		}
	}
}

// A connection that was taken over counts until it is closed, whoever closes it.
func TestHijackedConnectionsCount(t *testing.T) {
	l := newConnections(1)
	mine, theirs := net.Pipe()
	defer theirs.Close()
	c := &refusingConn{Conn: mine, closed: l.gone}
	l.changed(c, http.StateNew)
	l.changed(c, http.StateActive)
	l.changed(c, http.StateHijacked)
	other, end := net.Pipe()
	defer end.Close()
	if l.note(other, http.StateNew) != other {
		t.Error("a connection that was taken over takes no place")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if l.note(other, http.StateNew) != nil || len(l.open) != 1 {
		t.Error("a connection that was taken over keeps its place for ever")
	}
}
