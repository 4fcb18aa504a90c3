package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// BrokerPath is where a node's REST port serves MQTT over WebSocket.
const BrokerPath = "/api/mqtt/v1"

const defaultPending = 8192

// Message is one publication.
type Message struct {
	Topic   string
	Payload []byte
}

// BrokerConfig says how a Broker behaves.
type BrokerConfig struct {
	Seed    uint64 // of the order between topics, and of Trick's rng
	Pending int    // messages that wait for one reader; further ones are dropped in silence; 0 means 8192
	// Trick replaces a message by what is published instead: nothing, other ones, the same one twice. It is called
	// once at a time. nil is honest.
	Trick func(m Message, rng *rand.Rand) []Message
}

// Broker publishes what a replayed node confirms, as inx-mqtt 1.0.0 does: whenever the node's tip moves, blocks,
// milestone, milestone infos and metadata of the new units come in an order that nobody can rely on, blocks of the
// unit after them perhaps already among them; the current milestone info comes upon subscription, to everybody who
// asked for it; a name is published only while somebody asks for exactly that name; nothing is retained and nothing
// repeated; who reads slowly misses messages. It is safe for concurrent use.
type Broker struct {
	node *Node
	cfg  BrokerConfig

	mu      sync.Mutex // guards what follows
	running *brokerRun // nil while it is stopped
	muted   bool
	moves   chan struct{} // closed, and made anew, when all of a tip was published or muted
	done    uint64        // the tip up to which all was published
}

// brokerRun is a broker between Start and Stop.
type brokerRun struct {
	b      *Broker
	server *mqtt.Server
	tcp    net.Listener // may be nil
	asked  chan string  // topics subscribed to
	cancel context.CancelFunc
	ends   sync.WaitGroup // accept, publish, connections

	mu     sync.Mutex // guards what follows
	conns  map[*brokerConn]struct{}
	closed bool
	topics map[*mqtt.Client]map[string]struct{} // subscribed to, by exactly these names
}

// NewBroker returns a stopped broker of node.
func NewBroker(node *Node, c BrokerConfig) *Broker {
	if c.Pending <= 0 {
		c.Pending = defaultPending
	}
	return &Broker{node: node, cfg: c, moves: make(chan struct{})}
}

// Start lets clients in: over WebSocket through ServeHTTP and, where tcp is not nil, over TCP. It publishes what the
// node confirms from now on. Stop closes tcp.
func (b *Broker) Start(tcp net.Listener) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		return errors.New("the broker runs already")
	}
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumClientWritesPending = int32(b.cfg.Pending)
	ctx, cancel := context.WithCancel(context.Background())
	r := &brokerRun{
		b: b, tcp: tcp, asked: make(chan string, 64), cancel: cancel,
		conns: map[*brokerConn]struct{}{}, topics: map[*mqtt.Client]map[string]struct{}{},
		server: mqtt.New(&mqtt.Options{Capabilities: limits, Logger: slog.New(slog.DiscardHandler), InlineClient: true}),
	}
	if err := errors.Join(r.server.AddHook(&brokerHook{run: r}, nil), r.server.Serve()); err != nil {
		cancel()
		return fmt.Errorf("start the broker: %w", err)
	}
	// The tip of now is the one to begin behind, whenever the goroutine runs.
	tip, _, moved := b.node.span()
	b.done = tip
	r.ends.Go(func() { r.publish(ctx, tip, moved) })
	if tcp != nil {
		r.ends.Go(r.accept)
	}
	b.running = r
	return nil
}

// Stop drops all connections, as a plugin that ends. It can be started again.
func (b *Broker) Stop() error {
	b.mu.Lock()
	r := b.running
	b.running = nil
	b.mu.Unlock()
	if r == nil {
		return nil
	}
	r.cancel()
	var err error
	if r.tcp != nil {
		err = r.tcp.Close()
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cut()
	r.ends.Wait()
	return errors.Join(err, r.server.Close())
}

// Cut breaks all connections without a word: close 1006. New ones are welcome.
func (b *Broker) Cut() {
	if r := b.run(); r != nil {
		r.cut()
	}
}

// Freeze makes all connections half-open: the broker neither hears them nor says anything, and they are not closed.
func (b *Broker) Freeze() {
	if r := b.run(); r != nil {
		r.each(func(c *brokerConn) { c.frozen.Store(true) })
	}
}

// Mute makes the broker publish nothing, while it answers pings and subscriptions as ever.
func (b *Broker) Mute(muted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.muted = muted
}

// Clients returns how many clients there are.
func (b *Broker) Clients() int {
	r := b.run()
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// Wait waits until all that the tip seq brought is handed to the connections, or ctx ends.
func (b *Broker) Wait(ctx context.Context, seq uint64) error {
	for {
		b.mu.Lock()
		done, moves := b.done, b.moves
		b.mu.Unlock()
		if done == seq {
			return nil
		}
		select {
		case <-moves:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Broker) run() *brokerRun {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// ServeHTTP is the WebSocket at BrokerPath. While the broker is stopped each attempt ends without an HTTP answer, as
// through the proxy of a node whose plugin is gone.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != BrokerPath {
		notFound(w, "code=404, message=Not Found")
		return
	}
	run := b.run()
	if run == nil {
		panic(http.ErrAbortHandler)
	}
	up := websocket.Upgrader{Subprotocols: []string{"mqtt"}, CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // answered already
	}
	run.serve(&brokerConn{Conn: &webStream{Conn: c}})
}

func (r *brokerRun) accept() {
	for {
		c, err := r.tcp.Accept()
		if err != nil {
			return // closed by Stop
		}
		r.ends.Go(func() { r.serve(&brokerConn{Conn: c}) })
	}
}

// serve is one connection, to its end.
func (r *brokerRun) serve(c *brokerConn) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		_ = c.Close() // came too late
		return
	}
	r.conns[c] = struct{}{}
	r.ends.Add(1)
	r.mu.Unlock()
	defer r.ends.Done()
	_ = r.server.EstablishConnection("replay", c) // how it ended is the client's business
	_ = c.Close()
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
}

func (r *brokerRun) each(do func(*brokerConn)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		do(c)
	}
}

func (r *brokerRun) cut() { r.each(func(c *brokerConn) { _ = c.Close() }) }

// brokerHook lets everybody read and nobody write, and sees who asks for what.
type brokerHook struct {
	mqtt.HookBase
	run *brokerRun
}

func (h *brokerHook) ID() string { return "replay" }

func (h *brokerHook) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnSubscribed, mqtt.OnUnsubscribed, mqtt.OnDisconnect:
		return true
	}
	return false
}

func (h *brokerHook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

func (h *brokerHook) OnACLCheck(_ *mqtt.Client, _ string, write bool) bool { return !write }

func (h *brokerHook) OnSubscribed(c *mqtt.Client, pk packets.Packet, _ []byte) {
	r := h.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.topics[c] == nil {
		r.topics[c] = map[string]struct{}{}
	}
	for _, f := range pk.Filters {
		r.topics[c][f.Filter] = struct{}{}
		select {
		case r.asked <- f.Filter:
		default: // so many at once: the real one would be late too
		}
	}
}

func (h *brokerHook) OnUnsubscribed(c *mqtt.Client, pk packets.Packet) {
	h.run.mu.Lock()
	defer h.run.mu.Unlock()
	for _, f := range pk.Filters {
		delete(h.run.topics[c], f.Filter)
	}
}

func (h *brokerHook) OnDisconnect(c *mqtt.Client, _ error, _ bool) {
	h.run.mu.Lock()
	defer h.run.mu.Unlock()
	delete(h.run.topics, c)
}

// wanted reports whether somebody asks for exactly this name.
func (r *brokerRun) wanted(topic string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, names := range r.topics {
		if _, ok := names[topic]; ok {
			return true
		}
	}
	return false
}
