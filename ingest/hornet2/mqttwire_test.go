package hornet2

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hostile is a broker by hand: for each connection it reads the CONNECT, says what is to be said, and holds the line.
type hostile struct {
	url      string
	accepted atomic.Int64
	connect  atomic.Value // []byte, the last CONNECT
}

func newHostile(t *testing.T, say func(subscribe []byte, out io.Writer)) *hostile {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{url: "tcp://" + ln.Addr().String()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			h.accepted.Add(1)
			h.speak(c, say)
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-ended
	})
	return h
}

// speak is over when the client hangs up.
func (h *hostile) speak(c net.Conn, say func(subscribe []byte, out io.Writer)) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	packet, err := readPacket(in)
	if err != nil {
		return
	}
	h.connect.Store(packet)
	if _, err := c.Write([]byte{0x20, 2, 0, 0}); err != nil {
		return
	}
	if packet, err = readPacket(in); err != nil || packet[0] != 0x82 {
		return // hung up before it asked
	}
	say(packet, c)
	_, _ = io.Copy(io.Discard, in)
}

func readPacket(in *bufio.Reader) ([]byte, error) {
	head, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	size, err := binary.ReadUvarint(in) // the same form
	if err != nil {
		return nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(in, body)
	return append([]byte{head}, body...), err
}

// suback grants the subscription.
func suback(subscribe []byte) []byte {
	return append([]byte{0x90, byte(2 + len(topics))}, append(bytes.Clone(subscribe[1:3]), make([]byte, len(topics))...)...)
}

func publish(topic string, payload []byte) []byte {
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(body, payload...)
	return append(binary.AppendUvarint([]byte{0x30}, uint64(len(body))), body...)
}

// Whatever a broker sends: no panic, no flood of memory, and after it the next attempt.
func TestMQTTHostileBroker(t *testing.T) {
	for name, c := range map[string]struct {
		say     func(subscribe []byte, out io.Writer)
		problem string
	}{
		"endless length":    {func(_ []byte, w io.Writer) { send(w, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}) }, "length"},
		"huge packet":       {func(_ []byte, w io.Writer) { send(w, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}) }, "268435455 bytes"},
		"too many results":  {func(s []byte, w io.Writer) { send(w, append([]byte{0x90, 102, s[1], s[2]}, make([]byte, 100)...)) }, "nobody asked"},
		"no results":        {func(s []byte, w io.Writer) { send(w, []byte{0x90, 2, s[1], s[2]}) }, "nobody asked"},
		"all refused":       {func(s []byte, w io.Writer) { send(w, []byte{0x90, 5, s[1], s[2], 0x80, 0x80, 0x80}) }, "refuses all"},
		"text":              {func(_ []byte, w io.Writer) { send(w, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "nobody asked"},
		"quality 1":         {func(s []byte, w io.Writer) { send(w, suback(s), []byte{0x32, 7, 0, 1, 'a', 0, 1, 'x', 'y'}) }, "nobody asked"},
		"quality 2":         {func(s []byte, w io.Writer) { send(w, suback(s), []byte{0x34, 7, 0, 1, 'a', 0, 1, 'x', 'y'}) }, "nobody asked"},
		"subscribes itself": {func(s []byte, w io.Writer) { send(w, suback(s), []byte{0x82, 6, 0, 1, 0, 1, '#', 0}) }, "nobody asked"},
		"goodbye":           {func(s []byte, w io.Writer) { send(w, suback(s), []byte{0xe0, 0}) }, "goodbye"},
		"topic beyond end":  {func(s []byte, w io.Writer) { send(w, suback(s), []byte{0x30, 3, 0xff, 0xff, 'a'}) }, ""},
		"silence":           {func([]byte, io.Writer) {}, "subscription"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, c.say)
			feed, _, stop := hearing(t, MQTTConfig{URL: h.url, Timeout: 200 * time.Millisecond, Pause: 20 * time.Millisecond, Silence: 300 * time.Millisecond}, nil)
			eventually(t, "problem "+c.problem, func() bool { return strings.Contains(feed.Status().Problem, c.problem) && feed.Status().Problem != "" })
			eventually(t, "another attempt", func() bool { return h.accepted.Load() >= 2 })
			stop()
		})
	}
}

func send(w io.Writer, all ...[]byte) {
	for _, b := range all {
		_, _ = w.Write(b) // the client may have hung up
	}
}

// One topic refused is told, and the others are listened to.
func TestMQTTTopicRefused(t *testing.T) {
	h := newHostile(t, func(s []byte, w io.Writer) {
		send(w, []byte{0x90, 5, s[1], s[2], 0, 0, 0x80}, publish(topicConfirmed, []byte(`{"index":7}`)))
	})
	feed, heard, _ := hearing(t, MQTTConfig{URL: h.url}, nil)
	heard.rung(t, 7)
	if s := feed.Status(); !strings.Contains(s.Problem, "refuses") || !s.Connected {
		t.Errorf("status %+v", s)
	}
}

// A message in pieces is one message; a broker that sends byte after byte and never a message is left.
func TestMQTTDribble(t *testing.T) {
	h := newHostile(t, func(s []byte, w io.Writer) {
		for _, b := range append(suback(s), publish(topicConfirmed, []byte(`{"index":9}`))...) {
			send(w, []byte{b})
		}
	})
	_, heard, _ := hearing(t, MQTTConfig{URL: h.url}, nil)
	heard.rung(t, 9)
}

func TestMQTTAddress(t *testing.T) {
	for address, shown := range map[string]string{
		"ws://127.0.0.1:14265/api/mqtt/v1":    "ws://127.0.0.1:14265/api/mqtt/v1",
		"ws://127.0.0.1:14265":                "ws://127.0.0.1:14265/api/mqtt/v1",
		"ws://node.example:1888/mqtt":         "ws://node.example:1888/mqtt",
		"wss://user:secret@node.example/":     "wss://node.example:443/api/mqtt/v1",
		"tcp://node.example":                  "tcp://node.example:1883",
		"mqtt://user:secret@node.example/":    "mqtt://node.example:1883",
		"ssl://node.example":                  "ssl://node.example:8883",
		"mqtts://[::1]":                       "mqtts://[::1]:8883",
		"ws://user:secret@node.example:1/a/b": "ws://node.example:1/a/b",
	} {
		m, err := NewMQTT(MQTTConfig{URL: address})
		if err != nil {
			t.Errorf("%s: %v", address, err)
		} else if s := m.Status(); m.Name() != shown || s.Name != shown || s.Address != shown || strings.Contains(s.Sentence(), "secret") {
			t.Errorf("%s: %q, %+v", address, m.Name(), s)
		}
	}
	for _, bad := range []string{
		"", "node.example:1883", "http://user:secret@node.example", "ws://", "ws:node.example", "tcp://user:secret@", "tcp://user:secret@node.example/path",
		"ws://user:secret@node.example/?token=secret", "ws://user:secret@node.example/#secret", "ws://user:secret@node.example:port/", "zmq://user:secret@node.example",
		"ws://user:secret@node.example/\x7f",
	} {
		if m, err := NewMQTT(MQTTConfig{URL: bad}); err == nil {
			t.Errorf("%q was taken as %s", bad, m.Name())
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows credentials: %v", bad, err)
		}
	}
}

// User and password go to the broker and nowhere else.
func TestMQTTCredentials(t *testing.T) {
	h := newHostile(t, func(s []byte, w io.Writer) { send(w, suback(s), publish(topicConfirmed, []byte(`{"index":3}`))) })
	feed, heard, stop := hearing(t, MQTTConfig{URL: strings.Replace(h.url, "tcp://", "tcp://someone:secret@", 1)}, nil)
	heard.rung(t, 3)
	connect, _ := h.connect.Load().([]byte)
	if !bytes.Contains(connect, []byte("someone")) || !bytes.Contains(connect, []byte("secret")) {
		t.Errorf("CONNECT %q", connect)
	}
	stop()
	if s := feed.Status(); strings.Contains(s.Sentence()+s.Address+s.Name, "secret") {
		t.Errorf("%s: %+v", s.Sentence(), s)
	}
	refused, _, _ := hearing(t, MQTTConfig{URL: "tcp://someone:secret@127.0.0.1:1"}, nil)
	eventually(t, "refused", func() bool { return refused.Status().Problem != "" })
	if text := refused.Status().Sentence(); strings.Contains(text, "secret") || !strings.Contains(text, "refused") {
		t.Error(text)
	}
}

// Run ends at once, whatever the connection is doing.
func TestMQTTEndsAtOnce(t *testing.T) {
	subscribing := newHostile(t, func([]byte, io.Writer) {})
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close() // nobody accepts: the system does
	for name, url := range map[string]string{
		"subscribing": subscribing.url,
		"connecting":  "tcp://" + mute.Addr().String(),
		"upgrading":   "ws://" + mute.Addr().String(),
		"securing":    "ssl://" + mute.Addr().String(),
		"refused":     "tcp://127.0.0.1:1",
		"no host":     "ws://node.invalid",
	} {
		feed, _, stop := hearing(t, MQTTConfig{URL: url, Timeout: time.Minute}, nil)
		if name == "subscribing" {
			eventually(t, "a connection", func() bool { return subscribing.accepted.Load() > 0 })
		}
		began := time.Now()
		stop()
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("%s: took %s, %s", name, d, feed.Status().Sentence())
		}
	}
}

// FuzzFramer: what is let through has a bound, and how the bytes are cut changes nothing.
func FuzzFramer(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 5, 0, 1, 0, 0, 0}, uint8(3))
	f.Add(publish(topicBlocks, make([]byte, 300)), uint8(1))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, cut uint8) {
		var whole, pieces framer
		err := whole.feed(raw)
		var bad error
		for rest := raw; len(rest) > 0 && bad == nil; {
			n := min(len(rest), 1+int(cut))
			bad, rest = pieces.feed(rest[:n]), rest[n:]
		}
		if (err == nil) != (bad == nil) || err == nil && whole != pieces {
			t.Fatalf("whole %v %+v, in pieces %v %+v", err, whole, bad, pieces)
		}
		if whole.left > maxPacket {
			t.Fatalf("%d bytes are awaited", whole.left)
		}
	})
}
