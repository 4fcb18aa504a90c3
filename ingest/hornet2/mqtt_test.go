package hornet2

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

// testBroker is a broker of a replayed node on a free port, by WebSocket and by TCP.
type testBroker struct {
	*replay.Broker
	t        *testing.T
	node     *replay.Node
	ws, tcp  string // addresses
	listenAt string
}

func newBroker(t *testing.T, name string, c replay.BrokerConfig) *testBroker {
	t.Helper()
	b := &testBroker{t: t, node: testNode(t, name)}
	b.Broker = replay.NewBroker(b.node, c)
	srv := httptest.NewServer(b.Broker)
	b.ws = "ws" + strings.TrimPrefix(srv.URL, "http")
	b.listenAt = "127.0.0.1:0"
	t.Cleanup(func() {
		b.stop()
		srv.Close()
	})
	return b
}

func (b *testBroker) start() {
	b.t.Helper()
	ln, err := net.Listen("tcp", b.listenAt)
	if err == nil {
		b.listenAt, b.tcp = ln.Addr().String(), "tcp://"+ln.Addr().String()
		err = b.Start(ln)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *testBroker) stop() {
	b.t.Helper()
	if err := b.Stop(); err != nil {
		b.t.Error(err)
	}
}

// advance moves the tip one unit after the other.
func (b *testBroker) advance(to uint64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for seq := b.node.Tip() + 1; seq <= to; seq++ {
		b.node.SetTip(seq)
		if err := b.Wait(ctx, seq); err != nil {
			b.t.Fatal(err)
		}
	}
}

// heard is what a feed handed over.
type heard struct {
	mu    sync.Mutex
	raws  map[ledger.ID]int
	bad   int
	rings []uint64
}

func (h *heard) put(raw []byte) {
	rec := stardust.Codec{}.Identify([][]byte{raw})[0]
	h.mu.Lock()
	defer h.mu.Unlock()
	if rec.Err != nil {
		h.bad++
		return
	}
	h.raws[rec.ID]++
}

func (h *heard) ring(seq uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rings = append(h.rings, seq)
}

func (h *heard) last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.rings) == 0 {
		return 0
	}
	return h.rings[len(h.rings)-1]
}

func (h *heard) count() (raws, bad int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.raws), h.bad
}

// hearing runs a feed until stop is called or the test ends.
func hearing(t *testing.T, c MQTTConfig, put func([]byte)) (feed *MQTT, h *heard, stop func()) {
	t.Helper()
	feed, err := NewMQTT(c)
	if err != nil {
		t.Fatal(err)
	}
	h = &heard{raws: map[ledger.ID]int{}}
	if put == nil {
		put = h.put
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx, put, h.ring) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run ends with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
		if s := feed.Status(); s.Connected {
			t.Errorf("connected after the end: %+v", s)
		}
	})
	t.Cleanup(stop)
	return feed, h, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (h *heard) rung(t *testing.T, seq uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("unit %d rung", seq), func() bool { return h.last() == seq })
}

// A feed hears all that an honest broker publishes, in whatever order, over WebSocket and TCP.
func TestMQTT(t *testing.T) {
	for _, way := range []string{"ws", "ws with the path", "tcp", "mqtt"} {
		t.Run(way, func(t *testing.T) {
			b := newBroker(t, "stardust", replay.BrokerConfig{Seed: 1})
			b.node.SetTip(10)
			b.start()
			url := map[string]string{"ws": b.ws, "ws with the path": b.ws + replay.BrokerPath, "tcp": b.tcp, "mqtt": strings.Replace(b.tcp, "tcp", "mqtt", 1)}[way]
			feed, h, stop := hearing(t, MQTTConfig{URL: url}, nil)
			h.rung(t, 10) // the current state, upon subscription
			b.advance(40)
			want := truthIDs(t, 12, 40) // some of unit 11 may have been published before we came
			eventually(t, "all blocks", func() bool { return h.has(want) })
			eventually(t, "the last ring", func() bool { return h.last() >= 40 })
			stop()
			s := feed.Status()
			if _, bad := h.count(); bad > 0 || s.Dropped > 0 || s.Reconnects > 0 || s.Messages < uint64(len(want)) || s.Bytes == 0 || s.Problem != "" {
				t.Errorf("%d bad, status %+v", bad, s)
			}
		})
	}
}

func (h *heard) has(ids []ledger.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if h.raws[id] == 0 {
			return false
		}
	}
	return true
}

// truthIDs are the records of units first to last of the recording.
func truthIDs(t *testing.T, first, last uint64) (ids []ledger.ID) {
	t.Helper()
	type line struct {
		Milestone uint64 `json:"milestone"`
		Blocks    []struct {
			ID ledgertest.Hex `json:"blockId"`
		} `json:"blocks"`
	}
	readLines(t, "truth.jsonl.gz", func(raw []byte) {
		var l line
		unmarshal(t, raw, &l)
		if l.Milestone >= first && l.Milestone <= last {
			for _, b := range l.Blocks {
				ids = append(ids, ledger.NewID(b.ID))
			}
		}
	})
	return ids
}

// What a real broker said, word for word: all of it is understood, and all blocks and milestones are there.
func TestMQTTConversation(t *testing.T) {
	want := map[string]int{}
	var newest uint64
	readLines(t, "mqtt-main.jsonl.gz", func(raw []byte) {
		var l struct {
			Topic string         `json:"topic"`
			Hex   ledgertest.Hex `json:"hex"`
		}
		unmarshal(t, raw, &l)
		want[l.Topic]++
		if l.Topic == topicMilestones || l.Topic == topicConfirmed {
			seq, err := unitOf(l.Topic, l.Hex)
			if err != nil || seq > newest+1 || seq == 0 {
				t.Errorf("%s after unit %d: %d, %v", l.Topic, newest, seq, err)
			}
			newest = max(newest, seq)
		}
	})
	b := newBroker(t, "stardust", replay.BrokerConfig{Pending: 100_000})
	b.node.SetTip(1)
	b.start()
	feed, h, _ := hearing(t, MQTTConfig{URL: b.ws}, nil)
	h.rung(t, 1)
	f, err := os.Open(filepath.Join(ledgertest.Recording(t, "stardust"), "mqtt-main.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	n, err := b.Play(context.Background(), z)
	if err != nil || n != want[topicConfirmed]+want[topicMilestones]+want[topicBlocks] {
		t.Fatalf("%d messages of %v: %v", n, want, err)
	}
	eventually(t, "all messages", func() bool { return feed.Status().Messages == uint64(n)+1 })
	if s := feed.Status(); s.Dropped > 0 || s.Reconnects > 0 {
		t.Errorf("status %+v", s)
	}
	eventually(t, "all blocks", func() bool { raws, _ := h.count(); return raws == want[topicBlocks] })
	if _, bad := h.count(); bad > 0 || want[topicBlocks] == 0 {
		t.Errorf("%d bad blocks of %d", bad, want[topicBlocks])
	}
	h.rung(t, newest)
}

// A connection that is cut, half-open, deaf or refused is made again, and the status says what was wrong.
func TestMQTTConnection(t *testing.T) {
	quick := MQTTConfig{Timeout: 300 * time.Millisecond, KeepAlive: time.Second, Pause: 100 * time.Millisecond, Silence: time.Hour}
	for name, c := range map[string]struct {
		ill     func(*testBroker)
		silence time.Duration
		problem string // part of it, over ws; "" if it is over too quickly to be seen
	}{
		"cut":       {func(b *testBroker) { b.Cut() }, 0, "1006"},
		"half-open": {func(b *testBroker) { b.Freeze() }, 0, "not heard any more"},
		"restart":   {func(b *testBroker) { b.stop(); b.start() }, 0, ""},
	} {
		for _, way := range []string{"ws", "tcp"} {
			t.Run(name+" "+way, func(t *testing.T) {
				b := newBroker(t, "stardust", replay.BrokerConfig{})
				b.node.SetTip(5)
				b.start()
				cfg := quick
				if cfg.URL = b.ws; way == "tcp" {
					cfg.URL = b.tcp
				}
				feed, h, _ := hearing(t, cfg, nil)
				h.rung(t, 5)
				c.ill(b)
				eventually(t, "connected again", func() bool { s := feed.Status(); return s.Reconnects == 1 && s.Connected })
				b.node.SetTip(7)
				eventually(t, "unit 7", func() bool { return h.last() >= 7 })
			})
		}
	}
}

func TestMQTTSaysWhy(t *testing.T) {
	b := newBroker(t, "stardust", replay.BrokerConfig{})
	b.node.SetTip(5)
	b.start()
	quick := MQTTConfig{Timeout: 300 * time.Millisecond, KeepAlive: time.Second, Pause: 100 * time.Millisecond}
	web, wire := quick, quick
	web.URL, wire.URL = b.ws, b.tcp
	a, ha, _ := hearing(t, web, nil)
	c, hc, _ := hearing(t, wire, nil)
	ha.rung(t, 5)
	hc.rung(t, 5)
	b.stop()
	eventually(t, "both down", func() bool { return !a.Status().Connected && !c.Status().Connected })
	eventually(t, "refused", func() bool { return strings.Contains(c.Status().Sentence(), "connection refused") })
	eventually(t, "no answer", func() bool {
		return strings.Contains(a.Status().Sentence(), "EOF") || strings.Contains(a.Status().Problem, "closed")
	})
	b.start()
	eventually(t, "both up", func() bool { return a.Status().Connected && c.Status().Connected })
	b.node.SetTip(6)
	eventually(t, "both rung", func() bool { return ha.last() >= 6 && hc.last() >= 6 })
	if s := a.Status(); s.Reconnects != 1 {
		t.Errorf("status %+v", s)
	}
}

// Nobody is there at first.
func TestMQTTLateBroker(t *testing.T) {
	b := newBroker(t, "stardust", replay.BrokerConfig{})
	b.node.SetTip(5)
	feed, h, _ := hearing(t, MQTTConfig{Name: "late", URL: b.ws, Pause: 50 * time.Millisecond}, nil)
	eventually(t, "an attempt", func() bool { return feed.Status().Problem != "" })
	if s := feed.Status(); s.Connected || !s.Since.IsZero() || !strings.HasPrefix(s.Sentence(), "late: never connected (") {
		t.Errorf("%s: %+v", s.Sentence(), s)
	}
	b.start()
	h.rung(t, 5)
	if s := feed.Status(); !s.Connected || s.Reconnects != 0 {
		t.Errorf("status %+v", s)
	}
}

// A broker that keeps the connection and publishes nothing more is left, later and later, and heard again.
func TestMQTTSilence(t *testing.T) {
	b := newBroker(t, "stardust", replay.BrokerConfig{})
	b.node.SetTip(5)
	b.start()
	feed, h, _ := hearing(t, MQTTConfig{URL: b.ws, Silence: 100 * time.Millisecond, Pause: 10 * time.Millisecond}, nil)
	h.rung(t, 5)
	b.Mute(true)
	eventually(t, "reconnects", func() bool { return feed.Status().Reconnects >= 2 })
	b.Mute(false)
	b.Cut()
	b.node.SetTip(8)
	h.rung(t, 8)
}

// Who takes blocks slowly loses some, and neither the connection nor a ring.
func TestMQTTSlowReader(t *testing.T) {
	b := newBroker(t, "stardust", replay.BrokerConfig{})
	b.node.SetTip(1)
	b.start()
	gate := make(chan struct{})
	var once sync.Once
	open := func() { once.Do(func() { close(gate) }) }
	defer open()
	feed, h, _ := hearing(t, MQTTConfig{URL: b.ws, QueueBytes: 40_000}, func([]byte) { <-gate })
	h.rung(t, 1)
	b.advance(115)
	h.rung(t, 115)
	s := feed.Status()
	if s.Dropped == 0 || !s.Connected || s.Reconnects > 0 || !strings.Contains(s.Sentence(), "blocks came faster") {
		t.Errorf("%s\n%+v", s.Sentence(), s)
	}
	open()
}

// A broker whose queue for a reader is small drops messages in silence: nobody is told, and nothing breaks.
func TestMQTTSilentDrops(t *testing.T) {
	b := newBroker(t, "stardust", replay.BrokerConfig{Pending: 4})
	b.node.SetTip(1)
	b.start()
	feed, h, _ := hearing(t, MQTTConfig{URL: b.tcp}, nil)
	h.rung(t, 1)
	b.node.SetTip(100)
	b.advance(102)
	eventually(t, "a message", func() bool { return feed.Status().Messages > 1 })
	b.Cut() // the current state comes to who connects
	h.rung(t, 102)
	if raws, _ := h.count(); raws >= len(truthIDs(t, 3, 102)) {
		t.Errorf("%d blocks: none was dropped", raws)
	}
	if s := feed.Status(); s.Dropped > 0 {
		t.Errorf("status %+v", s)
	}
}

// Payloads that are not what their topic says are dropped and counted.
func TestMQTTBadPayloads(t *testing.T) {
	bad := map[string][][]byte{
		topicConfirmed:  {nil, []byte("{"), []byte("null"), []byte(`{"index":-1}`), []byte(`{"index":0}`), []byte(`{"index":1e99}`), []byte(`{"index":4294967296}`), []byte(`{"timestamp":1}`), bytes.Repeat([]byte(" "), 5000), []byte(strings.Repeat("[", 4000))},
		topicMilestones: {nil, {7}, {7, 0, 0, 0, 0, 0, 0, 0}, {6, 0, 0, 0, 9, 0, 0, 0}, make([]byte, 40_000)},
		topicBlocks:     {nil, make([]byte, 32<<10+1), make([]byte, 200_000)},
	}
	want := 0
	for _, payloads := range bad {
		want += len(payloads)
	}
	b := newBroker(t, "stardust", replay.BrokerConfig{Trick: func(m replay.Message, _ *rand.Rand) []replay.Message {
		payloads := bad[m.Topic]
		delete(bad, m.Topic)
		all := []replay.Message{{Topic: "nobody/asked", Payload: m.Payload}}
		for _, p := range payloads {
			all = append(all, replay.Message{Topic: m.Topic, Payload: p})
		}
		return append(all, m)
	}})
	b.node.SetTip(20)
	b.start()
	feed, h, _ := hearing(t, MQTTConfig{URL: b.ws}, nil)
	h.rung(t, 20)
	b.advance(30)
	h.rung(t, 30)
	eventually(t, "all blocks", func() bool { return h.has(truthIDs(t, 22, 30)) })
	if s := feed.Status(); s.Dropped != uint64(want) || s.Reconnects > 0 || s.Problem == "" {
		t.Errorf("%d bad payloads, status %+v", want, s)
	}
}
