package hornet2

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"permanode/ingest"
)

const (
	defaultKeepAlive = 15 * time.Second
	defaultSilence   = time.Minute
	silenceGrowth    = 8 // at most this many times the configured silence, while reconnecting brings nothing
	defaultPause     = 30 * time.Second
	firstPause       = 250 * time.Millisecond
	defaultQueue     = 16 << 20
	partingTime      = 5 * time.Second // for the client library to end its goroutines once the wire is cut
)

// MQTTConfig says which broker to listen to, and how. Zero values mean the defaults.
type MQTTConfig struct {
	Name string // for logs, status and metrics; "" is the address without credentials
	// URL is ws://HOST:PORT[/PATH], wss://…, tcp://HOST[:1883], mqtt://…, ssl://HOST[:8883] or mqtts://…;
	// a WebSocket without a path is asked for at /api/mqtt/v1, as on the node's REST port. User and password are
	// sent to the broker.
	URL        string
	Timeout    time.Duration // to connect, to be heard with a subscription, and for one write; 0 means 10 s
	KeepAlive  time.Duration // between pings, in whole seconds; unanswered for Timeout: connected again; 0 means 15 s
	Silence    time.Duration // without any message: connected again; 0 means 60 s
	Pause      time.Duration // longest between two attempts; 0 means 30 s
	QueueBytes int64         // of blocks that wait to be taken; further ones are dropped; 0 means 16 MiB
}

// MQTT is the feed of one broker, inx-mqtt or what speaks like it. It is a bell and a cache: blocks are handed
// over, milestones ring, and whatever is lost, late, doubled or untrue costs nothing but time. It is safe for
// concurrent use; Run is called once at a time.
type MQTT struct {
	cfg   MQTTConfig
	url   *url.URL
	id    string // client identifier
	meter *ingest.FeedMeter
}

// NewMQTT returns the feed of the broker at c.URL. It does not connect. An error names what is wrong with the
// address, without the credentials in it.
func NewMQTT(c MQTTConfig) (*MQTT, error) {
	u, err := parseBroker(c.URL)
	if err != nil {
		return nil, err
	}
	shown := u.Scheme + "://" + u.Host + u.Path
	c.Name = cmp.Or(c.Name, shown)
	c.Timeout = atLeast(c.Timeout, 0, defaultTimeout)
	c.KeepAlive = atLeast(c.KeepAlive, time.Second, defaultKeepAlive)
	c.Silence = atLeast(c.Silence, 0, defaultSilence)
	c.Pause = atLeast(c.Pause, 0, defaultPause)
	if c.QueueBytes <= 0 {
		c.QueueBytes = defaultQueue
	}
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	return &MQTT{
		cfg: c, url: u, id: "permanode-" + hex.EncodeToString(id[:]), // at most 23 characters are allowed
		meter: ingest.NewFeedMeter(c.Name, shown),
	}, nil
}

// atLeast is d, or what it means to be not positive.
func atLeast(d, least, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return max(d, least)
}

// brokerPorts are the schemes, and where their brokers listen unless the address says.
var brokerPorts = map[string]string{"ws": "80", "wss": "443", "tcp": "1883", "mqtt": "1883", "ssl": "8883", "mqtts": "8883"}

const brokerPath = "/api/mqtt/v1"

func parseBroker(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("a broker's address is not a URL; write ws://HOST:PORT" + brokerPath + " or tcp://HOST:1883")
	}
	port, ok := brokerPorts[u.Scheme]
	web := u.Scheme == "ws" || u.Scheme == "wss"
	switch {
	case !ok || u.Opaque != "":
		return nil, fmt.Errorf("broker %q: the address does not begin with ws://, wss://, tcp://, mqtt://, ssl:// or mqtts://", u.Redacted())
	case u.Hostname() == "":
		return nil, fmt.Errorf("broker %q: the address names no host", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("broker %q: an address has no ? and no #", u.Scheme+"://"+u.Host+u.Path)
	case !web && strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("broker %q: only ws:// and wss:// addresses have a path", u.Redacted())
	case web && strings.Trim(u.Path, "/") == "":
		u.Path = brokerPath
	case !web:
		u.Path = ""
	}
	if u.Port() == "" {
		u.Host += ":" + port // an IPv6 address stands in brackets
	}
	return u, nil
}

// Name returns the name for logs, status and metrics.
func (m *MQTT) Name() string { return m.cfg.Name }

// Status says how the connection does.
func (m *MQTT) Status() ingest.FeedStatus { return m.meter.Status() }

// Run listens until ctx ends, and returns its error. Whatever happens to the connection it is made again, later
// and later.
func (m *MQTT) Run(ctx context.Context, put func(raw []byte), ring func(seq uint64)) error {
	in := newInbox(m.meter, m.cfg.QueueBytes)
	var g errgroup.Group
	g.Go(func() error { return in.deliver(ctx, put) })
	g.Go(func() error { return in.toll(ctx, ring) })
	g.Go(func() error { return m.stayConnected(ctx, in) })
	return g.Wait()
}

func (m *MQTT) stayConnected(ctx context.Context, in *inbox) error {
	pause, silence := firstPause, m.cfg.Silence
	for {
		began, heard := time.Now(), in.heard.Load()
		err := m.session(ctx, in, silence)
		if ctx.Err() != nil {
			m.meter.Down("")
			return ctx.Err()
		}
		m.meter.Down(explain(err))
		if in.heard.Load() != heard {
			silence = m.cfg.Silence
		} else if errors.Is(err, errSilence) { // perhaps the network rests: do not hang up all the time
			silence = min(2*silence, silenceGrowth*m.cfg.Silence)
		}
		if time.Since(began) > pause {
			pause = firstPause
		}
		if err := sleep(ctx, min(pause, m.cfg.Pause)); err != nil {
			return err
		}
		pause = min(2*pause, m.cfg.Pause)
	}
}

// sleep waits d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	errSilence = errors.New("nothing was published") // ends a session without messages
	errDeaf    = errors.New("the broker is not heard any more, not even an answer to pings")
)

// explain says in words why a session ended.
func explain(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the broker closed the connection"
	case strings.HasPrefix(err.Error(), "pingresp not received"): // the library's own clock
		return errDeaf.Error()
	}
	return err.Error()
}

// session is one connection: it ends with ctx, when the connection is lost, or after a time without messages, and
// says why. The client library never connects again by itself: its pauses could not be ended.
func (m *MQTT) session(ctx context.Context, in *inbox, silence time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var line atomic.Pointer[wire]
	lost := make(chan struct{}) // closed when the library has ended its goroutines
	client := mqtt.NewClient(m.options(in, func() (conn, error) {
		c, err := m.dial(ctx)
		if err != nil {
			return nil, err
		}
		w := newWire(c, m.cfg.KeepAlive+m.cfg.Timeout, m.cfg.Timeout)
		line.Store(w)
		return w, nil
	}, func(err error) {
		cancel(err)
		close(lost)
	}))
	stop := context.AfterFunc(ctx, func() {
		if w := line.Load(); w != nil {
			w.hangUp(context.Cause(ctx))
		}
	})
	defer stop()
	t := client.Connect()
	<-t.Done() // what it waits for has deadlines, and ends with ctx
	if err := t.Error(); err != nil {
		return cmp.Or(context.Cause(ctx), last(err))
	}
	err := m.subscribe(ctx, client)
	if err == nil {
		err = in.listen(ctx, silence)
	}
	cancel(err) // only the first cause counts
	parting := time.NewTimer(partingTime)
	defer parting.Stop()
	select {
	case <-lost:
	case <-parting.C:
	}
	return context.Cause(ctx)
}

func (m *MQTT) options(in *inbox, open func() (conn, error), lost func(error)) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions().SetClientID(m.id).SetProtocolVersion(4).SetCleanSession(true)
	o.SetAutoReconnect(false).SetConnectRetry(false).SetOrderMatters(true)
	o.SetKeepAlive(m.cfg.KeepAlive).SetPingTimeout(m.cfg.Timeout).SetConnectTimeout(m.cfg.Timeout).SetWriteTimeout(m.cfg.Timeout)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (conn, error) { return open() })
	o.SetDefaultPublishHandler(func(_ mqtt.Client, msg mqtt.Message) { in.take(msg.Topic(), msg.Payload()) })
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost(err) })
	o.Servers = []*url.URL{m.url} // the library reads user and password from it
	return o
}

// last returns the last of the errors that the library joins: the cause.
func last(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := all.Unwrap(); len(errs) > 0 && errs[len(errs)-1] != nil {
			return errs[len(errs)-1]
		}
	}
	return err
}

// subscribe asks for the topics. The feed is up once the broker grants one of them.
func (m *MQTT) subscribe(ctx context.Context, client mqtt.Client) error {
	wanted := map[string]byte{}
	for _, topic := range topics {
		wanted[topic] = 0
	}
	t, ok := client.SubscribeMultiple(wanted, nil).(*mqtt.SubscribeToken)
	if !ok {
		return errors.New("the client library broke its promise")
	}
	timer := time.NewTimer(m.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-t.Done():
	case <-timer.C:
		return fmt.Errorf("no answer to the subscription within %s", m.cfg.Timeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := t.Error(); err != nil {
		return err
	}
	var refused []string
	for topic, code := range t.Result() {
		if code != 0 {
			refused = append(refused, topic)
		}
	}
	if len(refused) == len(topics) {
		return errors.New("the broker refuses all topics")
	}
	m.meter.Up()
	if len(refused) > 0 {
		slices.Sort(refused)
		m.meter.Trouble("the broker refuses " + strings.Join(refused, " and "))
	}
	return nil
}
