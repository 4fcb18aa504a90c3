package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"permanode/internal/replay"
	"permanode/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reader is a client that writes down what it gets.
type reader struct {
	mqtt.Client
	mu  sync.Mutex
	got []replay.Message
	end chan error
}

func newReader(t *testing.T, address string, topics ...string) *reader {
	t.Helper()
	r := &reader{end: make(chan error, 1)}
	o := mqtt.NewClientOptions().AddBroker(address).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, replay.Message{Topic: m.Topic(), Payload: m.Payload()})
	})
	o.SetConnectionLostHandler(func(_ mqtt.Client, err error) { r.end <- err })
	r.Client = mqtt.NewClient(o)
	settle(t, r.Connect())
	for _, topic := range topics {
		settle(t, r.Subscribe(topic, 0, nil))
	}
	t.Cleanup(func() { r.Disconnect(1000) })
	return r
}

func settle(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("MQTT: %v", token.Error())
	}
}

// of returns the messages of a topic.
func (r *reader) of(topic string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		if m.Topic == topic {
			all = append(all, string(m.Payload))
		}
	}
	return all
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func newBroker(t *testing.T, name string, tip uint64, c replay.BrokerConfig) (b *replay.Broker, n *replay.Node, web, tcp string) {
	t.Helper()
	rec, err := replay.OpenRecording(os.DirFS(ledgertest.Recording(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	n = replay.NewNode(rec)
	n.SetTip(tip)
	b = replay.NewBroker(n, c)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = b.Start(ln)
	}
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b)
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
		srv.Close()
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, n, "ws" + strings.TrimPrefix(srv.URL, "http") + replay.BrokerPath, "tcp://" + ln.Addr().String()
}

func moveTo(t *testing.T, b *replay.Broker, n *replay.Node, to uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for seq := n.Tip(); seq <= to; seq++ {
		n.SetTip(seq)
		if err := b.Wait(ctx, seq); err != nil {
			t.Fatal(err)
		}
	}
}

type truthLine struct {
	Milestone uint64 `json:"milestone"`
	ID        string `json:"milestoneId"`
	Time      uint32 `json:"timestamp"`
	Blocks    []struct {
		ID string `json:"blockId"`
	} `json:"blocks"`
}

// All milestones of both recordings are announced with the ids that the truth has, those with options too, and
// with all their blocks and metadata in order.
func TestBrokerSaysTheTruth(t *testing.T) {
	for _, name := range recordings {
		b, n, web, _ := newBroker(t, name, 1, replay.BrokerConfig{Seed: 5, Pending: 100_000})
		r := newReader(t, web, "milestone-info/latest", "milestone-info/confirmed", "milestones", "blocks", "block-metadata/referenced")
		truth := truthOf(t, name)
		last := truth[len(truth)-1].Milestone
		moveTo(t, b, n, last)
		want, blocks := map[string]bool{}, 0
		for _, l := range truth {
			want[fmt.Sprintf(`{"index":%d,"timestamp":%d,"milestoneId":"%s"}`, l.Milestone, l.Time, l.ID)] = true
			if l.Milestone > 1 {
				blocks += len(l.Blocks)
			}
		}
		await(t, "all messages", func() bool {
			return len(r.of("milestone-info/confirmed")) >= int(last) && len(r.of("milestones")) == int(last)-1 && len(r.of("block-metadata/referenced")) == blocks && len(r.of("blocks")) == blocks
		})
		for _, topic := range []string{"milestone-info/latest", "milestone-info/confirmed"} {
			for _, text := range r.of(topic) {
				if !want[text] {
					t.Errorf("%s: %s %s is not the truth", name, topic, text)
				}
			}
		}
		var order []string
		for _, l := range truth[1:] {
			for _, block := range l.Blocks {
				order = append(order, block.ID)
			}
		}
		for i, text := range r.of("block-metadata/referenced") {
			var m struct {
				ID      string   `json:"blockId"`
				Parents []string `json:"parentBlockIds"`
			}
			if err := json.Unmarshal([]byte(text), &m); err != nil || m.ID != order[i] || len(m.Parents) == 0 {
				t.Fatalf("%s: metadata %d is %s (%v), want that of %s", name, i, text, err, order[i])
			}
		}
	}
}

func truthOf(t *testing.T, name string) (all []truthLine) {
	t.Helper()
	for _, text := range unpacked(t, name, "truth.jsonl.gz") {
		var l truthLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// Only exact names make the broker publish; then whoever has a matching one gets it too.
func TestBrokerExactNames(t *testing.T) {
	b, n, web, tcp := newBroker(t, "stardust", 5, replay.BrokerConfig{})
	all := newReader(t, web, "#", "milestone-info/+")
	moveTo(t, b, n, 8)
	exact := newReader(t, tcp, "milestone-info/confirmed")
	await(t, "the current state, for all", func() bool {
		return len(exact.of("milestone-info/confirmed")) == 1 && len(all.of("milestone-info/confirmed")) > 0
	})
	settle(t, all.Publish("milestone-info/confirmed", 0, false, "a lie")) // is relayed to nobody
	moveTo(t, b, n, 9)
	await(t, "the next unit", func() bool { return len(exact.of("milestone-info/confirmed")) == 2 })
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, m := range all.got {
		if m.Topic != "milestone-info/confirmed" || !strings.HasPrefix(string(m.Payload), `{"index":8`) && !strings.HasPrefix(string(m.Payload), `{"index":9`) {
			t.Errorf("%s %s, which nobody asked for", m.Topic, m.Payload)
		}
	}
}

// Somebody who asks for tip-score-updates doubles the metadata of everybody, and a new subscriber the milestone info.
func TestBrokerDoubles(t *testing.T) {
	b, n, web, tcp := newBroker(t, "stardust", 30, replay.BrokerConfig{})
	r := newReader(t, web, "block-metadata/referenced", "milestone-info/latest")
	await(t, "the current state", func() bool { return len(r.of("milestone-info/latest")) == 1 })
	other := newReader(t, tcp, "tip-score-updates", "milestone-info/latest")
	await(t, "the current state again", func() bool {
		return len(r.of("milestone-info/latest")) == 2 && len(other.of("milestone-info/latest")) == 1
	})
	moveTo(t, b, n, 31)
	blocks := len(truthOf(t, "stardust")[30].Blocks)
	await(t, "doubled metadata", func() bool { return len(r.of("block-metadata/referenced")) == 2*blocks })
}

// Stopped, cut, frozen and mute, over both ways in.
func TestBrokerStates(t *testing.T) {
	b, n, web, tcp := newBroker(t, "stardust", 5, replay.BrokerConfig{})
	for _, address := range []string{web, tcp} {
		r := newReader(t, address, "milestone-info/confirmed")
		await(t, "the current state", func() bool { return len(r.of("milestone-info/confirmed")) == 1 })
		b.Mute(true)
		moveTo(t, b, n, n.Tip()+1)
		b.Mute(false)
		moveTo(t, b, n, n.Tip()+1)
		await(t, "the unit after the mute one", func() bool { return len(r.of("milestone-info/confirmed")) == 2 })
		b.Freeze()
		moveTo(t, b, n, n.Tip()+1)
		if !r.IsConnectionOpen() || len(r.of("milestone-info/confirmed")) != 2 {
			t.Errorf("%s: a half-open connection is closed, or speaks", address)
		}
		b.Cut()
		if err := <-r.end; strings.HasPrefix(address, "ws") && !strings.Contains(err.Error(), "1006") {
			t.Errorf("cut: %v", err)
		}
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	await(t, "nobody", func() bool { return b.Clients() == 0 })
	for _, address := range []string{web, tcp} {
		token := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(address).SetConnectTimeout(5 * time.Second)).Connect()
		if !token.WaitTimeout(10*time.Second) || token.Error() == nil {
			t.Errorf("%s: a stopped broker lets somebody in", address)
		}
	}
	if err := b.Start(nil); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, web, "milestone-info/confirmed")
	await(t, "the state after the start", func() bool {
		got := r.of("milestone-info/confirmed")
		return len(got) == 1 && strings.HasPrefix(got[0], fmt.Sprintf(`{"index":%d,`, n.Tip()))
	})
	n.SetTip(n.Tip() - 4) // a node that comes back behind announces again what it had announced
	moveTo(t, b, n, n.Tip())
	moveTo(t, b, n, n.Tip()+2)
	await(t, "old units again", func() bool { return len(r.of("milestone-info/confirmed")) >= 3 })
}
