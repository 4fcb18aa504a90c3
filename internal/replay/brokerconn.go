package replay

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// brokerConn is a connection that can be frozen.
type brokerConn struct {
	net.Conn
	frozen atomic.Bool
}

func (c *brokerConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.frozen.Load() {
			return n, err
		}
	}
}

func (c *brokerConn) Write(p []byte) (int, error) {
	if c.frozen.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// SetDeadline ends a connection whose client is silent; a frozen one stays as it is.
func (c *brokerConn) SetDeadline(t time.Time) error {
	if c.frozen.Load() {
		t = time.Time{}
	}
	return c.Conn.SetDeadline(t)
}

// webStream is a WebSocket as a stream of bytes.
type webStream struct {
	*websocket.Conn
	in io.Reader // the message being read, nil between two
}

func (c *webStream) Read(p []byte) (int, error) {
	for {
		if c.in == nil {
			_, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			c.in = r
		}
		n, err := c.in.Read(p)
		if errors.Is(err, io.EOF) {
			c.in, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *webStream) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *webStream) SetDeadline(t time.Time) error { return c.UnderlyingConn().SetDeadline(t) }
