package query

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// A connection above the limit is closed at once; one that ends makes room.
func TestLimitConnections(t *testing.T) {
	hook := limitConnections(2)
	open := func() (mine, theirs net.Conn) {
		mine, theirs = net.Pipe()
		t.Cleanup(func() { mine.Close(); theirs.Close() })
		hook(mine, http.StateNew)
		return mine, theirs
	}
	closed := func(c net.Conn) bool {
		return c.SetDeadline(time.Time{}) != nil // a closed pipe takes no deadline
	}
	first, _ := open()
	second, _ := open()
	third, _ := open()
	if closed(first) || closed(second) || !closed(third) {
		t.Fatal("want two open connections and the third closed")
	}
	hook(third, http.StateClosed)
	hook(first, http.StateClosed)
	if fourth, _ := open(); closed(fourth) {
		t.Error("a connection that ended makes no room")
	}
}
