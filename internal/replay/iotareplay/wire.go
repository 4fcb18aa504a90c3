package iotareplay

import (
	"context"
	"net"
	"sync"
)

// Wire passes connections on to another address, until it is told not to: a network that breaks, or swallows.
// It is safe for concurrent use.
type Wire struct {
	lis net.Listener
	to  string
	wg  sync.WaitGroup

	mu     sync.Mutex        // guards what follows
	conns  map[net.Conn]bool // value: half open
	closed bool
}

// NewWire listens on a free port of the loopback and passes on to addr.
func NewWire(addr string) (*Wire, error) {
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &Wire{lis: lis, to: addr, conns: map[net.Conn]bool{}}
	w.wg.Go(w.accept)
	return w, nil
}

// Addr is host:port.
func (w *Wire) Addr() string { return w.lis.Addr().String() }

func (w *Wire) accept() {
	for {
		in, err := w.lis.Accept()
		if err != nil {
			return
		}
		out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", w.to)
		if err != nil || !w.keep(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		w.wg.Go(func() { w.pass(in, out) })
		w.wg.Go(func() { w.pass(out, in) })
	}
}

func (w *Wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = false
	}
	return !w.closed
}

// pass copies until an end breaks. What is half open is swallowed: both ends believe that the connection lives.
func (w *Wire) pass(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err == nil && !w.swallows(from) {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// swallows reports whether this connection is half open.
func (w *Wire) swallows(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns[c]
}

// Freeze makes the connections of now half open: nothing passes any more and nothing ends. New ones are good.
func (w *Wire) Freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		w.conns[c] = true
	}
}

// Break closes the connections of now.
func (w *Wire) Break() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
	w.conns = map[net.Conn]bool{}
}

// Close closes all connections and waits for their end.
func (w *Wire) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	err := w.lis.Close()
	w.Break()
	w.wg.Wait()
	return err
}
