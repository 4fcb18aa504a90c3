package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
)

// keyed is an API whose keys are their own names; those of gone are none.
func keyed(t *testing.T, s *tape, gone *atomic.Bool) (addr string, dial func(key string) *websocket.Conn) {
	t.Helper()
	addr = streamAt(t, api.Handler(api.Config{Archive: query.New(s, querytest.Codecs), Log: slog.New(slog.DiscardHandler), Callers: func(r *http.Request) (access.Caller, error) {
		if gone.Load() {
			return access.Caller{}, access.ErrUnknownKey
		}
		return access.Caller{Name: r.Header.Get("Authorization"), Role: access.Reader}, nil
	}}))
	return addr, func(key string) *websocket.Conn {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/v1/ws", http.Header{"Authorization": {key}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// Whose key is taken away keeps nothing that he has open.
func TestRevokedKeyEndsStreams(t *testing.T) {
	var gone atomic.Bool
	addr, dial := keyed(t, newTape("a"), &gone)
	silent, asks := dial("a"), dial("a")
	resp, err := http.Get("http://" + addr + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	gone.Store(true)
	say(t, asks, `{"subscribe":{"id":"a"}}`)
	for name, conn := range map[string]*websocket.Conn{"silent": silent, "asks": asks} {
		if code, text := closing(t, conn); code != websocket.ClosePolicyViolation || !strings.HasPrefix(text, "unauthorized") {
			t.Errorf("%s: %d %q", name, code, text)
		}
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "event: end\ndata: {\"reason\":\"unauthorized\"") {
		t.Errorf("the stream ends with %v: %s", err, text)
	}
}

// One key takes a quarter of the streams at most; another one is not hurt, and what ends makes room.
func TestKeysShareStreams(t *testing.T) {
	var gone atomic.Bool
	_, dial := keyed(t, newTape("a"), &gone)
	open := 0
	var last *websocket.Conn
	for n := range 3 {
		last = dial("greedy")
		for i := range 100 {
			say(t, last, fmt.Sprintf(`{"subscribe":{"id":"%d","q":"unit:%d"}}`, i, n*100+i))
			if hear(t, last).Type == "start" {
				open++
			} else {
				break
			}
		}
	}
	if open != 250 {
		t.Errorf("one key has %d different streams", open)
	}
	other := dial("other")
	say(t, other, `{"subscribe":{"id":"a","q":"unit:9999"}}`)
	if m := hear(t, other); m.Type != "start" {
		t.Errorf("another key: %+v", m)
	}
	say(t, last, `{"unsubscribe":{"id":"0"}}`)
	hear(t, last)
	say(t, last, `{"subscribe":{"id":"0","q":"unit:7777"}}`)
	if m := hear(t, last); m.Type != "start" {
		t.Errorf("room for one: %+v", m)
	}
}

// mined is a store in which reading one unit is a bug.
type mined struct {
	*tape
	at uint64
}

func (m mined) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	if lo == m.at {
		panic("a bug")
	}
	return m.tape.Cones(ctx, net, lo, hi)
}

// A bug with one unit ends the streams that meet it, and tells them; the service and others go on.
func TestBugEndsStreamAlone(t *testing.T) {
	s := newTape("a", "b")
	addr := streamAt(t, liveAPI(query.New(mined{s, 2}, querytest.Codecs)))
	open := func(network string) *http.Response {
		resp, err := http.Get("http://" + addr + "/v1/stream?network=" + network)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	hit, other := open("a"), open("b")
	s.unit(1, 2, "x||boom")
	text, err := io.ReadAll(hit.Body)
	if err != nil || !strings.Contains(string(text), "event: end\ndata: {\"reason\":\"internal\"") {
		t.Errorf("the stream ends with %v: %s", err, text)
	}
	s.unit(2, 1, "x||fine")
	r := bufio.NewReader(other.Body)
	for {
		e, err := readEvent(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.name == "record" {
			break
		}
	}
}
