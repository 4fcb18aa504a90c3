package ingest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/ledger"
)

// dump is everything that is committed, as text: coverage, units, records, bytes, states and postings.
func (r *rig) dump() string {
	r.t.Helper()
	var b bytes.Buffer
	cov := r.coverage()
	fmt.Fprintf(&b, "%+v\n", cov)
	for _, sp := range cov.Spans {
		for cone, err := range r.store.Cones(context.Background(), r.store.Net(), sp.Lo, sp.Hi) {
			if err != nil {
				r.t.Fatal(err)
			}
			u := &cone.Unit
			fmt.Fprintf(&b, "unit %d %s %d %x\n", u.Seq, u.ID, u.TimeMs, sha256.Sum256(u.Header))
			dumpPosts(&b, cone.Posts)
			for i := range cone.Records {
				rec := &cone.Records[i]
				fmt.Fprintf(&b, "%v %s %s %d %s %d", rec.Ord, rec.ID, rec.State, rec.Reason, rec.Basis, rec.Kind)
				for _, p := range rec.Parts {
					fmt.Fprintf(&b, " %d:%x", p.Kind, sha256.Sum256(p.Raw))
				}
				fmt.Fprintln(&b)
				dumpPosts(&b, rec.Posts)
			}
		}
	}
	return b.String()
}

func dumpPosts(w io.Writer, posts []ledger.Posting) {
	for _, p := range posts {
		fmt.Fprintf(w, "  %d %x %d %s\n", p.Key.Kind, p.Key.Val, p.Role, p.Value)
	}
}

// sameAs compares with the dump of another run.
func (r *rig) sameAs(want string) {
	r.t.Helper()
	got := r.dump()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			r.t.Fatalf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	r.t.Fatalf("%d lines, want %d", len(g), len(w))
}

// restDump is what a run over REST alone commits, made once.
var restDump struct {
	sync.Mutex
	text string
}

func restAlone(t *testing.T) string {
	t.Helper()
	restDump.Lock()
	defer restDump.Unlock()
	if restDump.text == "" {
		r := newRig(t, trustOf(t, "stardust"))
		cfg := r.config(source(t, hornet2.Config{Name: "alone", URL: serve(t, node(t, "stardust"))}))
		cfg.Snapshot = []string{snapshotOf(t, "stardust")}
		if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
			t.Fatal(err)
		}
		r.check(readTruth(t, "stardust"), true)
		restDump.text = r.dump()
	}
	return restDump.text
}

// liveNode is a replayed node with REST and MQTT, each of which can be out of order.
type liveNode struct {
	*replay.Node
	t      *testing.T
	broker *replay.Broker
	url    string // of both
	at     string // where the broker listens for TCP
	out    atomic.Bool
	raws   atomic.Int64 // records asked for over REST
}

func newLiveNode(t *testing.T, name string, tip uint64, c replay.BrokerConfig) *liveNode {
	t.Helper()
	n := &liveNode{Node: node(t, name), t: t, at: "127.0.0.1:0"}
	n.SetTip(tip)
	n.broker = replay.NewBroker(n.Node, c)
	n.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == replay.BrokerPath:
			n.broker.ServeHTTP(w, r)
		case n.out.Load():
			panic(http.ErrAbortHandler)
		default:
			if strings.Contains(r.URL.Path, "/blocks/") && r.Header.Get("Accept") == replay.Raw {
				n.raws.Add(1)
			}
			n.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(n.stop)
	return n
}

func (n *liveNode) start() {
	n.t.Helper()
	ln, err := net.Listen("tcp", n.at)
	if err == nil {
		n.at = ln.Addr().String()
		err = n.broker.Start(ln)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *liveNode) stop() {
	if err := n.broker.Stop(); err != nil {
		n.t.Error(err)
	}
}

func (n *liveNode) source() ingest.Source {
	return source(n.t, hornet2.Config{Name: "rest", URL: n.url, Timeout: 2 * time.Second})
}

// feed is quick to notice that something is wrong, and hangs up on a busy machine too.
func (n *liveNode) feed(scheme string) *hornet2.MQTT {
	return n.mqtt(scheme, hornet2.MQTTConfig{Timeout: 300 * time.Millisecond, KeepAlive: time.Second, Silence: 500 * time.Millisecond, Pause: 100 * time.Millisecond})
}

func (n *liveNode) mqtt(scheme string, c hornet2.MQTTConfig) *hornet2.MQTT {
	n.t.Helper()
	url := "ws" + strings.TrimPrefix(n.url, "http")
	if scheme == "tcp" {
		url = "tcp://" + n.at
	}
	c.Name, c.URL = scheme, url
	f, err := hornet2.NewMQTT(c)
	if err != nil {
		n.t.Fatal(err)
	}
	return f
}

// An honest broker: bells replace polling, and blocks that it brought are not asked for again.
func TestMQTTFollow(t *testing.T) {
	want := restAlone(t)
	for _, scheme := range []string{"ws", "tcp"} {
		t.Run(scheme, func(t *testing.T) {
			n := newLiveNode(t, "stardust", 20, replay.BrokerConfig{Seed: 7})
			n.start()
			r := newRig(t, trustOf(t, "stardust"))
			cfg := r.config(n.source())
			feed := n.mqtt(scheme, hornet2.MQTTConfig{})
			cfg.Snapshot, cfg.Feeds, cfg.Poll = []string{snapshotOf(t, "stardust")}, []ingest.Feed{feed}, time.Hour
			c := r.collector(cfg)
			stop := background(t, c)
			eventually(t, "the start", func() bool {
				return c.Status().Last == 20 && feed.Status().Connected && c.Status().Phase == ingest.Following
			})
			before := n.raws.Load()
			for tip := uint64(22); tip <= 115; tip++ {
				n.SetTip(tip)
				if tip%10 == 0 {
					eventually(t, fmt.Sprint("unit ", tip), func() bool { return c.Status().Last == tip })
				}
			}
			eventually(t, "the end", func() bool { return c.Status().Last == 115 })
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			r.sameAs(want)
			asked, records := n.raws.Load()-before, c.Status().Records
			t.Logf("%d of %d records were asked for over REST", asked, records)
			if asked*2 > int64(records) && !race.Enabled { // there the bell rings long before the blocks are through
				t.Errorf("%d of %d records were asked for, although nearly all had been published", asked, records)
			}
			s := c.Status().Feeds
			if len(s) != 1 || s[0].Name != scheme || s[0].Messages < records/2 || s[0].Dropped > 0 {
				t.Errorf("feeds %+v", s)
			}
		})
	}
}

// badNews are ways in which a broker's messages can be wrong.
var badNews = map[string]func(m replay.Message, rng *rand.Rand) []replay.Message{
	"dropped": func(m replay.Message, rng *rand.Rand) []replay.Message {
		if rng.IntN(498) < 74 { // as seen
			return nil
		}
		return []replay.Message{m}
	},
	"all dropped but infos": func(m replay.Message, _ *rand.Rand) []replay.Message {
		if m.Topic != "milestone-info/confirmed" {
			return nil
		}
		return []replay.Message{m}
	},
	"doubled": func(m replay.Message, _ *rand.Rand) []replay.Message { return []replay.Message{m, m} },
	"flipped": func(m replay.Message, rng *rand.Rand) []replay.Message {
		bad := bytes.Clone(m.Payload)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		return []replay.Message{{Topic: m.Topic, Payload: bad}}
	},
	"cut short": func(m replay.Message, rng *rand.Rand) []replay.Message {
		return []replay.Message{{Topic: m.Topic, Payload: m.Payload[:rng.IntN(len(m.Payload))]}, m}
	},
	"wrong numbers": func(m replay.Message, rng *rand.Rand) []replay.Message {
		if m.Topic != "blocks" {
			m.Payload = fmt.Appendf(nil, `{"index":%d}`, rng.Uint32())
			m.Topic = "milestone-info/confirmed"
		}
		return []replay.Message{m}
	},
	"wrong topics": func(m replay.Message, rng *rand.Rand) []replay.Message {
		topics := []string{"blocks", "milestones", "milestone-info/confirmed"}
		return []replay.Message{{Topic: topics[rng.IntN(3)], Payload: m.Payload}, m}
	},
	"old ones again": repeating(),
}

// repeating publishes things of long ago.
func repeating() func(m replay.Message, rng *rand.Rand) []replay.Message {
	var mu sync.Mutex
	var old []replay.Message
	return func(m replay.Message, rng *rand.Rand) []replay.Message {
		mu.Lock()
		defer mu.Unlock()
		if old = append(old, m); len(old) > 500 {
			old = old[100:]
		}
		return []replay.Message{m, old[rng.IntN(len(old))]}
	}
}

// Each way alone, one after the other.
func TestMQTTBadNews(t *testing.T) {
	var trick atomic.Pointer[func(replay.Message, *rand.Rand) []replay.Message]
	n := newLiveNode(t, "stardust", 80, replay.BrokerConfig{Seed: seed(t), Trick: func(m replay.Message, rng *rand.Rand) []replay.Message {
		if do := trick.Load(); do != nil {
			return (*do)(m, rng)
		}
		return []replay.Message{m}
	}})
	n.start()
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(n.source())
	cfg.Snapshot, cfg.Feeds, cfg.Poll = []string{snapshotOf(t, "stardust")}, []ingest.Feed{n.feed("ws")}, 200*time.Millisecond
	c := r.collector(cfg)
	stop := background(t, c)
	eventually(t, "the start", func() bool { return c.Status().Last == 80 && c.Status().Feeds[0].Connected })
	tip := uint64(80)
	for name, do := range badNews {
		trick.Store(&do)
		for range 35 / len(badNews) {
			tip++
			n.SetTip(tip)
			eventually(t, fmt.Sprintf("unit %d, news %s", tip, name), func() bool { return c.Status().Last == tip })
		}
	}
	n.SetTip(115)
	eventually(t, "the end", func() bool { return c.Status().Last == 115 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.sameAs(restAlone(t))
	if notes := r.noteKinds(); len(notes) > 0 {
		t.Errorf("a feed is believed enough to be noted: %v", notes)
	}
}

// A broker of another network beside an honest one costs nothing but its messages.
func TestMQTTForeignBroker(t *testing.T) {
	n := newLiveNode(t, "stardust", 100, replay.BrokerConfig{})
	n.start()
	foreign := newLiveNode(t, "stardust-migration", 1, replay.BrokerConfig{})
	foreign.start()
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(n.source())
	cfg.Snapshot, cfg.Poll = []string{snapshotOf(t, "stardust")}, time.Hour
	cfg.Feeds = []ingest.Feed{foreign.mqtt("tcp", hornet2.MQTTConfig{}), n.mqtt("ws", hornet2.MQTTConfig{})}
	c := r.collector(cfg)
	stop := background(t, c)
	eventually(t, "the start", func() bool {
		f := c.Status().Feeds
		return c.Status().Last == 100 && f[0].Connected && f[1].Connected
	})
	for tip := uint64(1); tip <= 15; tip++ {
		foreign.SetTip(2 * tip)
		n.SetTip(100 + tip)
		eventually(t, fmt.Sprint("unit ", 100+tip), func() bool { return c.Status().Last == 100+tip })
	}
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.sameAs(restAlone(t))
}

// Everything at once, by a seed: whatever becomes of feed and node, nothing is lost and nothing untrue is stored.
func TestMQTTFaults(t *testing.T) {
	want, s := restAlone(t), seed(t)
	for round := range rounds(3, 60) {
		chaosRound(t, want, s+uint64(round))
	}
}

func chaosRound(t *testing.T, want string, s uint64) {
	rng := rand.New(rand.NewPCG(s, 0))
	names := []string{"", "dropped", "doubled", "flipped", "cut short", "wrong numbers", "wrong topics", "old ones again"}
	cfgB := replay.BrokerConfig{Seed: s, Trick: badNews[names[rng.IntN(len(names))]]}
	if rng.IntN(4) == 0 {
		cfgB.Pending = 1 + rng.IntN(20)
	}
	n := newLiveNode(t, "stardust", 60+rng.Uint64N(20), cfgB)
	if up := rng.IntN(3) > 0; up {
		n.start()
	}
	r := newRig(t, trustOf(t, "stardust"))
	cfg := r.config(n.source())
	cfg.Snapshot, cfg.Poll = []string{snapshotOf(t, "stardust")}, 100*time.Millisecond
	scheme := "ws"
	if n.at != "127.0.0.1:0" && rng.IntN(2) == 0 {
		scheme = "tcp"
	}
	cfg.Feeds = []ingest.Feed{n.feed(scheme)}
	c := r.collector(cfg)
	stop := background(t, c)
	for n.Tip() < 115 {
		n.hit(rng, c)
	}
	n.out.Store(false)
	n.SetTip(115)
	eventually(t, fmt.Sprintf("the end of seed %d", s), func() bool { return c.Status().Last == 115 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	n.stop()
	r.sameAs(want)
	r.close()
}

// hit does one thing to the node, and lets it go on.
func (n *liveNode) hit(rng *rand.Rand, c *ingest.Collector) {
	tip := n.Tip()
	switch rng.IntN(12) {
	case 0:
		n.broker.Cut()
	case 1:
		n.broker.Freeze()
	case 2:
		n.broker.Mute(true)
	case 3:
		n.broker.Mute(false)
	case 4:
		n.stop()
	case 5, 6:
		n.stop()
		n.start()
	case 7:
		n.SetTip(tip - 3) // killed, and started behind what it had announced
	case 8:
		n.out.Store(true)
	case 9:
		n.out.Store(false)
	default:
		n.SetTip(tip + 1 + rng.Uint64N(4))
		if !n.out.Load() {
			eventually(n.t, "progress", func() bool { return c.Status().Last >= n.Tip() })
		}
	}
}
