package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/query/trail"
)

// recordedTape is an API of a tape with a trail, and what it logs.
func recordedTape(t *testing.T, s *tape) (h *recorded, log *lockedText) {
	t.Helper()
	h, log = &recorded{dir: filepath.Join(t.TempDir(), "access")}, &lockedText{}
	var err error
	if h.trail, err = trail.Open(h.dir, trail.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.trail.Close() })
	h.Handler = api.Handler(api.Config{Archive: query.New(s, querytest.Codecs), Version: "v0", Log: slog.New(slog.NewTextHandler(log, nil)), Trail: h.trail})
	return h, log
}

type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// onDisk are the lines of the trail as a kill would leave them.
func (h *recorded) onDisk(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	days, _ := filepath.Glob(filepath.Join(h.dir, "*.ndjson"))
	for _, name := range days {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// What is asked over a WebSocket is on disk before its first record, however much was asked before, and what each
// subscription was given is in its end. An unsubscribe is no failure.
func TestSubscriptionsAreRecorded(t *testing.T) {
	s := newTape("a", "b")
	s.unit(1, 1, "x||one", "x||two")
	h, log := recordedTape(t, s)
	conn := socket(t, streamAt(t, h))
	long := strings.Repeat("a", 3800)
	for range 20 {
		say(t, conn, `{"subscribe":{"id":"n","q":"tag:`+long+`"}}`)
		hear(t, conn)
		say(t, conn, `{"unsubscribe":{"id":"n"}}`)
		if m := hear(t, conn); m.Type != "end" {
			t.Fatalf("%+v", m)
		}
	}
	say(t, conn, `{"subscribe":{"id":"y","q":" tag:x","network":"a","from":"oldest"}}`)
	if m := hear(t, conn); m.Type != "start" {
		t.Fatalf("%+v", m)
	}
	if disk := h.onDisk(t); !strings.Contains(disk, `.21","key":"","role":"admin","address":"127.0.0.1","method":"GET","route":"/v1/ws","params":{"from":"oldest","id":"y","network":"a","q":" tag:x"},"query":"tag:x"`) {
		t.Errorf("what was asked is not on disk: …%s", disk[max(0, len(disk)-600):])
	}
	hear(t, conn)
	last := hear(t, conn)
	say(t, conn, `{"subscribe":{"id":"z","q":"tag:x","cursor":"`+last.Cursor+`"}}`) // of another question
	if m := hear(t, conn); m.Type != "error" {
		t.Fatalf("%+v", m)
	}
	say(t, conn, `{"unsubscribe":{"id":"y"}}`)
	if m := hear(t, conn); m.Type != "end" {
		t.Fatalf("%+v", m)
	}
	conn.Close()
	begun, ended := map[any]bool{}, map[any]map[string]any{}
	var refused, whole map[string]any
	for end := time.Now().Add(usualPatience); whole == nil && time.Now().Before(end); {
		for raw := range strings.Lines(h.onDisk(t)) {
			var l map[string]any
			if err := json.Unmarshal([]byte(raw), &l); err != nil {
				break // it is being written
			}
			id, _ := l["request_id"].(string)
			switch {
			case l["event"] == trail.Begin:
				begun[id] = true
			case l["event"] == trail.End && strings.Contains(id, "."):
				ended[id] = l
			case l["event"] == trail.End:
				whole = l
			case l["event"] == trail.Call:
				refused = l
			}
		}
	}
	if len(begun) != 22 || len(ended) != 21 || refused == nil || whole == nil {
		t.Fatalf("%d beginnings, %d ends of subscriptions, refused %v, whole %v", len(begun), len(ended), refused, whole)
	}
	id := fmt.Sprint(whole["request_id"])
	y := ended[id+".21"]
	if y["rows"] != 2.0 || y["bytes"].(float64) < 500 || y["complete"] != true || y["query"] != "tag:x" {
		t.Errorf("end of y: %v", y)
	}
	if refused["request_id"] != id+".22" || refused["status"] != 400.0 || !strings.Contains(fmt.Sprint(refused["params"]), last.Cursor) {
		t.Errorf("refused: %v", refused)
	}
	if whole["rows"] != 2.0 || whole["bytes"].(float64) <= y["bytes"].(float64) {
		t.Errorf("end of the socket: %v", whole)
	}
	if text := log.String(); text != "" {
		t.Errorf("the log of an orderly client: %s", text[:min(len(text), 400)])
	}
	h.lines(t)
}

// While the trail takes nothing no subscription begins.
func TestNoLineNoSubscription(t *testing.T) {
	s := newTape("a")
	s.unit(1, 1, "x||one")
	h, _ := recordedTape(t, s)
	conn := socket(t, streamAt(t, h))
	say(t, conn, `{"subscribe":{"id":"a"}}`)
	hear(t, conn)
	if err := h.trail.Close(); err != nil {
		t.Fatal(err)
	}
	say(t, conn, `{"subscribe":{"id":"b","from":"oldest"}}`)
	if m := hear(t, conn); m.Type != "error" || m.Problem.Type != "urn:permanode:problem:no-trail" {
		t.Errorf("%+v", m)
	}
}

// A stream that goes on by a header has its place in the trail.
func TestLastEventIDIsRecorded(t *testing.T) {
	s := newTape("a")
	s.unit(1, 1, "x||one")
	h, _ := recordedTape(t, s)
	conn := socket(t, streamAt(t, h))
	say(t, conn, `{"subscribe":{"id":"a","q":"tag:x"}}`)
	cursor := hear(t, conn).Cursor
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := mustRequest("http://" + streamAt(t, h) + "/v1/stream?q=tag:x").WithContext(ctx)
	r.Header.Set("Last-Event-ID", cursor)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if disk := h.onDisk(t); resp.StatusCode != 200 || !strings.Contains(disk, `"params":{"Last-Event-ID":"`+cursor+`","q":"tag:x"}`) {
		t.Errorf("%s: %s", resp.Status, disk)
	}
}
