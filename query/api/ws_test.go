package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
)

// socket dials the WebSocket of a service.
func socket(t testing.TB, addr string) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	return conn
}

func say(t testing.TB, conn *websocket.Conn, text string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, conn *websocket.Conn) (m message) {
	t.Helper()
	if err := conn.ReadJSON(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// closing reads until the connection is closed, and returns the code and the reason.
func closing(t testing.TB, conn *websocket.Conn) (int, string) {
	t.Helper()
	for {
		_, _, err := conn.ReadMessage()
		var closed *websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed.Code, closed.Text
		case err != nil:
			t.Fatal(err)
		}
	}
}

// A socket carries several streams, each with its id, and the messages of the HTTP stream.
func TestSocketCarriesStreams(t *testing.T) {
	s := newTape("a", "b")
	s.unit(1, 1, "x||one")
	conn := socket(t, streamAt(t, liveAPI(query.New(s, querytest.Codecs))))
	say(t, conn, `{"subscribe":{"id":"all","q":"tag:x","from":"oldest"}}`)
	start, first := hear(t, conn), hear(t, conn)
	if start.Type != "start" || *start.ID != "all" || string(start.Data) != `{"query":"tag:x","networks":["a","b"]}` || start.Cursor == "" {
		t.Errorf("start: %+v", start)
	}
	want := everything(t, s, query.New(s, querytest.Codecs), "tag:x")["a"][0]
	if first.Type != "record" || *first.ID != "all" || string(first.Data) != want || first.Cursor == start.Cursor {
		t.Errorf("record: %+v, want %s", first, want)
	}
	say(t, conn, `{"subscribe":{"id":"b","q":"tag:y","network":"b"}}`)
	hear(t, conn)
	s.unit(2, 7, "y||why")
	if m := hear(t, conn); *m.ID != "b" || m.Type != "record" {
		t.Errorf("of b: %+v", m)
	}
	say(t, conn, `{"unsubscribe":{"id":"all"}}`)
	if m := hear(t, conn); m.Type != "end" || *m.ID != "all" || !strings.Contains(string(m.Data), `"reason":"unsubscribed"`) {
		t.Errorf("end: %+v", m)
	}
	s.unit(1, 2, "x||two")
	s.unit(2, 8, "y||why not")
	if m := hear(t, conn); *m.ID != "b" {
		t.Errorf("of b: %+v", m)
	}
	say(t, conn, fmt.Sprintf(`{"subscribe":{"id":"all","q":"tag:x","cursor":%q}}`, first.Cursor))
	hear(t, conn)
	if m := hear(t, conn); m.Type != "record" || *m.ID != "all" || unitOf(t, string(m.Data)) != 2 {
		t.Errorf("resumed: %+v", m)
	}
}

// What a client sends wrong is answered with a problem; the connection goes on until there is too much of it.
func TestSocketRefusesFrames(t *testing.T) {
	s := newTape("a")
	addr := streamAt(t, liveAPI(query.New(s, querytest.Codecs)))
	many := `{"subscribe":{"id":"a","q":"` + strings.Repeat("(", 5000) + `"}}`
	for _, c := range []struct{ frame, id, kind string }{
		{``, "", "bad-body"},
		{`{`, "", "bad-body"},
		{`null`, "", "bad-body"},
		{`[]`, "", "bad-body"},
		{`"subscribe"`, "", "bad-body"},
		{`{}`, "", "bad-body"},
		{`{"subscribe":{"id":"a"},"unsubscribe":{"id":"a"}}`, "", "bad-body"},
		{`{"Subscribe":{"id":"a"}}`, "", "bad-body"},
		{`{"subscribe":{"id":"a"}} {}`, "", "bad-body"},
		{`{"subscribe":"a"}`, "", "bad-body"},
		{`{"subscribe":null}`, "", "bad-body"},
		{`{"subscribe":{"id":"a","id":"b"}}`, "", "bad-body"},
		{`{"subscribe":{"id":"a","ID":"b"}}`, "", "bad-body"},
		{`{"subscribe":{"id":"a","topic":"b"}}`, "", "bad-body"},
		{`{"subscribe":{"id":7}}`, "", "bad-body"},
		{`{"subscribe":{"id":"a","q":["x"]}}`, "", "bad-body"},
		{"\ufeff" + `{"subscribe":{"id":"a"}}`, "", "bad-body"},
		{`{"subscribe":` + strings.Repeat("[", 30000) + `}`, "", "bad-body"},
		{`{"subscribe":{}}`, "", "bad-parameter"},
		{`{"subscribe":{"id":"` + strings.Repeat("a", 65) + `"}}`, "", "bad-parameter"},
		{`{"subscribe":{"id":"a\u0000"}}`, "", "bad-parameter"},
		{`{"subscribe":{"id":"a","q":"tag:"}}`, "a", "bad-query"},
		{many, "a", "bad-query"},
		{`{"subscribe":{"id":"a","q":"x","network":"nobody"}}`, "a", "unknown-network"},
		{`{"subscribe":{"id":"a","q":"x","cursor":"AAAA"}}`, "a", "bad-cursor"},
		{`{"subscribe":{"id":"a","q":"x","from":"then"}}`, "a", "bad-parameter"},
		{`{"subscribe":{"id":"a","q":"x","from":"now","cursor":"AAAA"}}`, "a", "bad-parameter"},
		{`{"unsubscribe":{"id":"a"}}`, "a", "bad-parameter"},
		{`{"unsubscribe":{"id":"a","q":"x"}}`, "", "bad-body"},
	} {
		conn := socket(t, addr)
		say(t, conn, c.frame)
		m := hear(t, conn)
		id := ""
		if m.ID != nil {
			id = *m.ID
		}
		if m.Type != "error" || id != c.id || m.Problem.Type != "urn:permanode:problem:"+c.kind || m.Problem.Detail == "" {
			t.Errorf("%.80s: %+v", c.frame, m)
		}
		say(t, conn, `{"subscribe":{"id":"good"}}`)
		if m := hear(t, conn); m.Type != "start" {
			t.Errorf("after %.80s: %+v", c.frame, m)
		}
		say(t, conn, `{"subscribe":{"id":"good"}}`)
		if m := hear(t, conn); m.Type != "error" || *m.ID != "good" {
			t.Errorf("twice the same: %+v", m)
		}
	}
	conn := socket(t, addr)
	for range 21 {
		say(t, conn, `{}`)
	}
	if code, text := closing(t, conn); code != websocket.ClosePolicyViolation || !strings.Contains(text, "refused") {
		t.Errorf("many wrong ones: %d %q", code, text)
	}
}

// Frames that no client may send end the connection with the code for it.
func TestSocketClosesOnBadFrames(t *testing.T) {
	s := newTape("a")
	addr := streamAt(t, liveAPI(query.New(s, querytest.Codecs)))
	for _, c := range []struct {
		name string
		kind int
		body string
		code int
	}{
		{"binary", websocket.BinaryMessage, "x", websocket.CloseUnsupportedData},
		{"not UTF-8", websocket.TextMessage, "\xff\xfe", websocket.CloseInvalidFramePayloadData},
		{"too long", websocket.TextMessage, strings.Repeat(" ", 64<<10+1), websocket.CloseMessageTooBig},
	} {
		conn := socket(t, addr)
		if err := conn.WriteMessage(c.kind, []byte(c.body)); err != nil {
			t.Fatal(err)
		}
		if code, text := closing(t, conn); code != c.code {
			t.Errorf("%s: %d %q", c.name, code, text)
		}
	}
	for name, raw := range map[string]string{
		"no mask":       "\x81\x02{}",
		"reserved bits": "\xf1\x82\x00\x00\x00\x00{}",
		"unknown kind":  "\x83\x82\x00\x00\x00\x00{}",
		"lying length":  "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
	} {
		conn := socket(t, addr)
		if _, err := conn.NetConn().Write([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		if code, _ := closing(t, conn); code != websocket.CloseProtocolError && code != websocket.CloseMessageTooBig {
			t.Errorf("%s: %d", name, code)
		}
	}
}

// Subscriptions are bounded, and each can be ended to make room.
func TestSocketBoundsSubscriptions(t *testing.T) {
	s := newTape("a")
	conn := socket(t, streamAt(t, liveAPI(query.New(s, querytest.Codecs))))
	for i := range 100 {
		say(t, conn, fmt.Sprintf(`{"subscribe":{"id":"%d","q":"unit:%d"}}`, i, i))
		if m := hear(t, conn); m.Type != "start" {
			t.Fatalf("%d: %+v", i, m)
		}
	}
	say(t, conn, `{"subscribe":{"id":"more"}}`)
	if m := hear(t, conn); m.Type != "error" || m.Problem.Type != "urn:permanode:problem:overloaded" {
		t.Errorf("one more: %+v", m)
	}
	say(t, conn, `{"unsubscribe":{"id":"7"}}`)
	if m := hear(t, conn); m.Type != "end" {
		t.Errorf("end: %+v", m)
	}
	say(t, conn, `{"subscribe":{"id":"more"}}`)
	if m := hear(t, conn); m.Type != "start" {
		t.Errorf("room for one: %+v", m)
	}
}

// What is no WebSocket, or comes from a page of another site, is refused like any request.
func TestSocketRefusesToOpen(t *testing.T) {
	s := newTape("a")
	addr := streamAt(t, api.Handler(api.Config{
		Archive: query.New(s, querytest.Codecs), Log: slog.New(slog.DiscardHandler), Origins: []string{"https://friend.example"},
	}))
	upgrade := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	for name, c := range map[string]struct {
		change func(http.Header)
		status int
		kind   string
	}{
		"good":           {func(http.Header) {}, 101, ""},
		"own page":       {func(h http.Header) { h.Set("Origin", "http://"+addr) }, 101, ""},
		"friend":         {func(h http.Header) { h.Set("Origin", "https://friend.example") }, 101, ""},
		"stranger":       {func(h http.Header) { h.Set("Origin", "https://evil.example") }, 403, "cross-site"},
		"by fetch":       {func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") }, 403, "cross-site"},
		"null origin":    {func(h http.Header) { h.Set("Origin", "null") }, 403, "cross-site"},
		"plain":          {func(h http.Header) { h.Del("Upgrade") }, 426, "upgrade-required"},
		"old version":    {func(h http.Header) { h.Set("Sec-Websocket-Version", "8") }, 426, "upgrade-required"},
		"no key":         {func(h http.Header) { h.Del("Sec-Websocket-Key") }, 426, "upgrade-required"},
		"another":        {func(h http.Header) { h.Set("Upgrade", "h2c") }, 426, "upgrade-required"},
		"asks to extend": {func(h http.Header) { h.Set("Sec-Websocket-Extensions", "permessage-deflate") }, 101, ""},
	} {
		r := mustRequest("http://" + addr + "/v1/ws")
		r.Header = upgrade.Clone()
		c.change(r.Header)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.status || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %s %v", name, resp.Status, resp.Header)
		}
		if c.status != http.StatusSwitchingProtocols {
			var p struct{ Type string }
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Type != "urn:permanode:problem:"+c.kind {
				t.Errorf("%s: %v %+v", name, err, p)
			}
		}
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// pipes is a listener of connections in memory, for a bubble.
type pipes struct {
	conns chan net.Conn
	end   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// inBubble serves h over pipes and dials its WebSocket.
func inBubble(t *testing.T, h http.Handler) (conn *websocket.Conn, end func()) {
	t.Helper()
	p := &pipes{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(p) }()
	d := websocket.Dialer{NetDialContext: func(context.Context, string, string) (net.Conn, error) {
		mine, theirs := net.Pipe()
		p.conns <- theirs
		return mine, nil
	}}
	conn, _, err := d.Dial("ws://127.0.0.1:1/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		conn.Close()
		close(p.end)
		_ = srv.Close()
		<-served
		synctest.Wait()
	}
}

// A client that answers pings lives for ever; one that does not is let go after 45 seconds, with the reason.
func TestSocketWantsPongs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		conn, end := inBubble(t, liveAPI(query.New(s, querytest.Codecs)))
		defer end()
		pings := 0
		answer := conn.PingHandler()
		conn.SetPingHandler(func(data string) error {
			if pings++; pings > 40 { // ten minutes
				return nil
			}
			return answer(data)
		})
		began := time.Now()
		code, text := closing(t, conn)
		if lived := time.Since(began); code != websocket.ClosePolicyViolation || !strings.Contains(text, "pong") || lived != 40*15*time.Second+45*time.Second {
			t.Errorf("after %v: %d %q", lived, code, text)
		}
	})
}

// A socket without rows tells where it is, with the heartbeat.
func TestSocketTellsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.unit(1, 1, "x||one")
		conn, end := inBubble(t, liveAPI(query.New(s, querytest.Codecs)))
		defer end()
		say(t, conn, `{"subscribe":{"id":"a","q":"tag:x"}}`)
		start := hear(t, conn)
		s.unit(1, 2, "y||two")
		began := time.Now()
		m := hear(t, conn)
		if m.Type != "position" || m.Cursor == "" || m.Cursor == start.Cursor || *m.ID != "a" || time.Since(began) != 15*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), m)
		}
	})
}

// A client that takes nothing loses its socket: with a reason if it reads again in time.
func TestSlowSocketIsClosed(t *testing.T) {
	for name, pause := range map[string]time.Duration{"reads again": 10 * time.Second, "is gone": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTape("a")
				conn, end := inBubble(t, liveAPI(query.New(s, querytest.Codecs)))
				defer end()
				say(t, conn, `{"subscribe":{"id":"a","q":"tag:x"}}`)
				hear(t, conn)
				synctest.Wait() // it is live: of a backlog nobody is too slow
				for seq := range uint64(1500) {
					s.unit(1, seq, "x||row")
					if seq == 0 {
						synctest.Wait() // it is being sent, and not taken
					}
				}
				time.Sleep(pause)
				var err error
				for err == nil {
					_, _, err = conn.ReadMessage()
				}
				var closed *websocket.CloseError
				switch {
				case pause > time.Minute && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !websocket.IsCloseError(err, websocket.CloseAbnormalClosure):
					t.Errorf("ends with %v", err)
				case pause < time.Minute && (!errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation || !strings.HasPrefix(closed.Text, "slow")):
					t.Errorf("ends with %v", err)
				}
			})
		})
	}
}

// An honest client may send a burst: it is taken more slowly, and nothing of it is lost, refused or a reason to close.
func TestSocketTakesBursts(t *testing.T) {
	const rounds, topics = 7, 100 // 1,400 frames
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		conn, end := inBubble(t, liveAPI(query.New(s, querytest.Codecs)))
		defer end()
		_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
		conn.SetPingHandler(func(string) error { return nil }) // its pongs would wait behind the frames
		go func() {
			for i := range rounds * topics * 2 {
				verb := [...]string{"subscribe", "unsubscribe"}[i/topics%2]
				if err := conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{%q:{"id":"%d"}}`, verb, i%topics)); err != nil {
					t.Errorf("frame %d: %v", i, err)
					return
				}
			}
		}()
		open, began := map[string]bool{}, time.Now()
		for i := range rounds * topics * 2 {
			m := hear(t, conn)
			if (m.Type == "start") == open[*m.ID] || m.Type != "start" && m.Type != "end" {
				t.Fatalf("message %d: %+v, open %v", i, m, open[*m.ID])
			}
			open[*m.ID] = m.Type == "start"
		}
		if took := time.Since(began); took < 60*time.Second {
			t.Errorf("it took %v: nothing slowed it down", took)
		}
	})
}

// Frames of every kind are taken no faster than 100 a second, behind the first 1,000; who sends more waits.
func TestSocketPacesFrames(t *testing.T) {
	const n = 4000
	for name, frame := range map[string]string{
		"pings": "\x89\x80\x00\x00\x00\x00", "pongs": "\x8a\x80\x00\x00\x00\x00", "empty parts": "\x00\x80\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn, end := inBubble(t, liveAPI(query.New(newTape("a"), querytest.Codecs)))
				defer end()
				_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
				conn.SetPingHandler(func(string) error { return nil }) // what is being written is no place for a pong
				text := strings.Repeat(frame, n)
				if name == "empty parts" {
					text = "\x01\x80\x00\x00\x00\x00" + text + "\x80\x82\x00\x00\x00\x00{}"
				} else {
					text += "\x81\x82\x00\x00\x00\x00{}"
				}
				began, wrote := time.Now(), make(chan error, 1)
				go func() {
					_, err := conn.NetConn().Write([]byte(text))
					wrote <- err
				}()
				m := hear(t, conn)
				if took := time.Since(began); m.Type != "error" || took < 30*time.Second || took > 31*time.Second {
					t.Errorf("after %v: %+v", took, m)
				}
				if err := <-wrote; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
