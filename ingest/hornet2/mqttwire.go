package hornet2

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// conn is what the client library speaks over.
type conn = net.Conn

// dial opens the network connection to the broker.
func (m *MQTT) dial(ctx context.Context) (conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.url.Hostname()}
	switch m.url.Scheme {
	case "ws", "wss":
		return m.dialWeb(ctx, secure)
	case "ssl", "mqtts":
		return (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", m.url.Host)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", m.url.Host)
}

func (m *MQTT) dialWeb(ctx context.Context, secure *tls.Config) (conn, error) {
	d := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, NetDialContext: (&net.Dialer{}).DialContext, TLSClientConfig: secure,
		HandshakeTimeout: m.cfg.Timeout, Subprotocols: []string{"mqtt"},
	}
	address := *m.url
	address.User = nil // MQTT has its own place for credentials
	c, resp, err := d.DialContext(ctx, address.String(), nil)
	if err != nil {
		if errors.Is(err, websocket.ErrBadHandshake) && resp != nil {
			return nil, fmt.Errorf("no WebSocket at %s: the node answers %d", m.url.Path, resp.StatusCode)
		}
		return nil, err
	}
	if c.Subprotocol() != "mqtt" {
		_ = c.Close() // nothing was said yet
		return nil, fmt.Errorf("the WebSocket at %s does not speak MQTT", m.url.Path)
	}
	return &webConn{Conn: c}, nil
}

// webConn is a WebSocket as a stream of bytes, for one reader and one writer.
type webConn struct {
	*websocket.Conn
	in io.Reader // the message being read, nil between two
}

func (c *webConn) Read(p []byte) (int, error) {
	for {
		if c.in == nil {
			kind, r, err := c.NextReader()
			if err != nil {
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("the broker sends text where MQTT is binary")
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

func (c *webConn) Write(p []byte) (int, error) {
	if err := c.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *webConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// wire watches a connection for the client library: every read and write has a deadline, every packet is judged
// before the library sees its length, so that a hostile broker can neither fill memory nor make it panic, and an
// end has its reason.
type wire struct {
	conn
	idle  time.Duration // longest without a byte; pings are answered more often
	write time.Duration
	frame framer

	writing sync.Mutex // held for a deadline and its write: a WebSocket takes one at a time

	mu    sync.Mutex // guards what follows
	until time.Time  // set by the library for the handshake
	why   error      // once it is over
}

func newWire(c conn, idle, write time.Duration) *wire {
	return &wire{conn: c, idle: idle, write: write}
}

// hangUp ends the connection, politely if there is a way. What is read from now on fails with why.
func (w *wire) hangUp(why error) {
	w.mu.Lock()
	first := w.why == nil
	if first {
		w.why = why
	}
	w.mu.Unlock()
	if first && w.writing.TryLock() {
		_ = w.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		_, _ = w.conn.Write([]byte{disconnectPacket << 4, 0}) // a courtesy
		w.writing.Unlock()
	}
	_ = w.conn.Close() // there is nobody left to tell
}

// ended is why the wire ended, or otherwise.
func (w *wire) ended(otherwise error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why != nil {
		return w.why
	}
	return otherwise
}

func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = t
	return nil
}

// within returns the deadline of something that may take d.
func (w *wire) within(d time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := time.Now().Add(d)
	if !w.until.IsZero() && w.until.Before(t) {
		t = w.until
	}
	return t
}

func (w *wire) Read(p []byte) (int, error) {
	if err := w.conn.SetReadDeadline(w.within(w.idle)); err != nil {
		return 0, w.ended(err)
	}
	n, err := w.conn.Read(p)
	if bad := w.frame.feed(p[:n]); bad != nil {
		w.hangUp(bad)
		return 0, bad
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errDeaf
	case errors.Is(err, net.ErrClosed):
		err = io.EOF // the library is silent about the other one
	}
	if err != nil {
		err = w.ended(err)
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.conn.SetWriteDeadline(w.within(w.write)); err != nil {
		return 0, w.ended(err)
	}
	n, err := w.conn.Write(p)
	if err != nil {
		err = w.ended(err)
	}
	return n, err
}

// Packet types of MQTT 3.1.1, section 2.2.1.
const (
	connackPacket    = 2
	publishPacket    = 3
	subackPacket     = 9
	pingrespPacket   = 13
	disconnectPacket = 14
)

// maxPacket bounds a packet that is taken: a block, a topic, and much room.
const maxPacket = 256 << 10

// framer follows the packets in a stream of bytes and judges their heads.
type framer struct {
	left   int // bytes of the packet's body still to come
	head   byte
	length bool // the length is being read
	size   int
	shift  uint
}

// feed takes the next bytes. It fails at a packet that this client has not to expect.
func (f *framer) feed(b []byte) error {
	for len(b) > 0 {
		switch {
		case f.left > 0:
			n := min(f.left, len(b))
			f.left -= n
			b = b[n:]
		case f.length:
			f.size |= int(b[0]&0x7f) << f.shift
			f.shift += 7
			if f.length = b[0]&0x80 != 0; f.length && f.shift > 21 {
				return errors.New("the broker sends a length of more than four bytes: not MQTT")
			}
			b = b[1:]
			if !f.length {
				if err := f.judge(); err != nil {
					return err
				}
				f.left = f.size
			}
		default:
			f.head, f.length, f.size, f.shift = b[0], true, 0, 0
			b = b[1:]
		}
	}
	return nil
}

func (f *framer) judge() error {
	kind := f.head >> 4
	switch {
	case f.size > maxPacket:
		return fmt.Errorf("the broker sends a packet of %d bytes, at most %d are possible", f.size, maxPacket)
	case kind == connackPacket && f.size == 2, kind == pingrespPacket && f.size == 0:
		return nil
	case kind == subackPacket && f.size == 2+len(topics):
		return nil
	case kind == publishPacket && f.head&0x06 == 0 && f.size > 2: // quality of service 0, as asked for
		return nil
	case kind == disconnectPacket:
		return errors.New("the broker says goodbye")
	}
	return fmt.Errorf("the broker sends a packet %#x of %d bytes, which nobody asked for", f.head, f.size)
}
