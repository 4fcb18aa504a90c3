package api

import (
	"context"
	"net"
)

// Over HTTP/1.0 an answer whose length nobody knew beforehand ends where its connection does, and has no trailers. So that
// what was cut is no whole answer there, its connection is one that the end of the process, too, resets; only what was sent
// to its end is ended as usual. TLS must not end before: its close_notify is the very end that a client waits for.

// ends reports that the client takes the end of the connection for the end of what is about to be sent.
func (w *response) ends() bool { return w.long && !w.mute && !w.r.ProtoAtLeast(1, 1) }

// arm makes every end of the connection a reset.
func (w *response) arm() {
	if w.under = underneath(w.r.Context()); w.under != nil && w.under.SetLinger(0) != nil {
		w.under = nil
	}
}

// disarm lets the connection end well, once all is on its way.
func (w *response) disarm() error {
	if w.under == nil {
		return nil
	}
	if err := w.ctl.Flush(); err != nil {
		return err
	}
	err := w.under.SetLinger(-1)
	w.under = nil
	return err
}

// cut resets a connection whose client could take its end for that of the answer.
func (w *response) cut() {
	if w.under != nil {
		_ = w.under.Close()
	}
}

// lingering is a connection that can be reset: of TCP.
type lingering interface {
	net.Conn
	SetLinger(sec int) error
}

// underneath returns the connection of a request, below TLS; nil where it cannot be reset.
func underneath(ctx context.Context) lingering {
	c, ok := ctx.Value(connKey{}).(*refusingConn)
	if !ok {
		return nil
	}
	under := c.Conn
	if secure, ok := under.(interface{ NetConn() net.Conn }); ok {
		under = secure.NetConn()
	}
	tcp, _ := under.(lingering)
	return tcp
}
