package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"permanode/internal/replay"
)

// livingNode is a recorded node that goes on: it confirms one milestone after the other until its recording ends, and
// somebody can pull its plug. Then nobody reaches it; it goes on in the dark, and has moved when it comes back.
type livingNode struct {
	node  *replay.Node
	last  uint64 // of the recording
	pace  time.Duration
	say   func(format string, args ...any)
	wires []*wire

	mu    sync.Mutex // guards what follows, and the wires
	out   bool       // the plug is pulled
	outAt uint64     // its tip when that was done
}

// wire is one way to reach the node, at an address that stays the same.
type wire struct {
	name  string                                                // "REST, MQTT"
	form  string                                                // of its URL: "http://%s"
	start func(addr string) (at string, stop func(), err error) // listens at addr
	addr  string
	stop  func() // drops all connections; nil while the plug is pulled
}

func (w *wire) url() string { return fmt.Sprintf(w.form, w.addr) }

// newLivingNode starts the wires, on free ports.
func newLivingNode(node *replay.Node, last uint64, pace time.Duration, say func(string, ...any), wires ...*wire) (*livingNode, error) {
	n := &livingNode{node: node, last: last, pace: pace, say: say, wires: wires}
	for _, w := range wires {
		w.addr = "127.0.0.1:0"
	}
	if err := n.connect(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// connect starts all wires that are down. The lock is held, or nobody else knows n yet.
func (n *livingNode) connect() (errs error) {
	for _, w := range n.wires {
		if w.stop != nil {
			continue
		}
		addr, stop, err := w.start(w.addr)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("the demo's node, %s: %w", w.name, err))
			continue
		}
		w.addr, w.stop = addr, stop
	}
	return errs
}

func (n *livingNode) disconnect() {
	for _, w := range n.wires {
		if w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

func (n *livingNode) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
}

// names lists the wires: "REST, MQTT and INX".
func (n *livingNode) names() string {
	var names []string
	for _, w := range n.wires {
		names = append(names, w.name)
	}
	all := strings.Join(names, ", ")
	at := strings.LastIndex(all, ", ")
	return all[:at] + " and " + all[at+2:]
}

// live confirms one milestone after the other until ctx or the recording ends, and returns whether it was the recording.
func (n *livingNode) live(ctx context.Context) bool {
	t := time.NewTicker(n.pace)
	defer t.Stop()
	for n.node.Tip() < n.last {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			n.node.SetTip(n.node.Tip() + 1)
		}
	}
	return true
}

// pull pulls the plug.
func (n *livingNode) pull() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.out {
		return fmt.Sprintf("the plug is out already, since milestone %d", n.outAt)
	}
	n.out, n.outAt = true, n.node.Tip()
	n.disconnect()
	return fmt.Sprintf("the plug is out at milestone %d: all %s connections are dropped and new ones refused; the node goes on in the dark", n.outAt, n.names())
}

// push plugs it in again.
func (n *livingNode) push() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.out {
		return fmt.Sprintf("the plug is in already; the node is at milestone %d", n.node.Tip()), nil
	}
	if err := n.connect(); err != nil {
		return "", err
	}
	n.out = false
	tip := n.node.Tip()
	return fmt.Sprintf("the plug is in again: the node is at milestone %d, %d later than when it was pulled", tip, tip-n.outAt), nil
}

// ServeHTTP is the plug: POST /plug/out and /plug/in. It answers at its own address, which needs no plug.
func (n *livingNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var text string
	var err error
	switch {
	case !slices.Contains([]string{"/plug/out", "/plug/in"}, r.URL.Path):
		http.Error(w, "POST /plug/out pulls the plug of the demo's node, POST /plug/in puts it in again", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "use POST: curl -X POST …"+r.URL.Path, http.StatusMethodNotAllowed)
		return
	case r.URL.Path == "/plug/out":
		text = n.pull()
	default:
		text, err = n.push()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	n.say("%s", text)
	_, _ = fmt.Fprintln(w, text)
}

// serveHandler serves h at addr until stop is called, which drops all connections.
func serveHandler(addr string, h http.Handler) (at string, stop func(), err error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(ln) // ends by Close below; a node that fails shows as a source that does not answer
	}()
	return ln.Addr().String(), func() {
		_ = srv.Close()
		<-ended
	}, nil
}
