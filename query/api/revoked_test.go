package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/query/trail"
)

// halting is a store that gives no unit from one on, until nobody waits for it any more.
type halting struct {
	*querytest.Memory
	at      uint64
	once    sync.Once
	reached chan struct{}
}

func (h *halting) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for cone, err := range h.Memory.Cones(ctx, net, lo, hi) {
			if cone != nil && cone.Unit.Seq >= h.at {
				h.once.Do(func() { close(h.reached) })
				<-ctx.Done()
				yield(nil, ctx.Err())
				return
			}
			if !yield(cone, err) {
				return
			}
		}
	}
}

// Whose key is taken away while he exports gets no whole file: what was begun breaks off, what was not is refused. Either
// way the trail has its end.
func TestRevokedKeyEndsExports(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		for _, at := range []uint64{1, 3000} {
			t.Run(fmt.Sprint(format, " ", at), func(t *testing.T) {
				t.Parallel()
				var gone atomic.Bool
				s := &halting{Memory: long(5000), at: at, reached: make(chan struct{})}
				h := &recorded{dir: filepath.Join(t.TempDir(), "access")}
				log := &lockedText{}
				var err error
				if h.trail, err = trail.Open(h.dir, trail.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
					t.Fatal(err)
				}
				callers := func(*http.Request) (access.Caller, error) {
					if gone.Load() {
						return access.Caller{}, access.ErrUnknownKey
					}
					return access.Caller{Name: "k", Role: access.Reader}, nil
				}
				h.Handler = api.Handler(api.Config{Archive: query.New(s, querytest.Codecs), Log: slog.New(slog.NewTextHandler(log, nil)), Callers: callers, Trail: h.trail})
				go func() {
					<-s.reached
					gone.Store(true)
				}()
				resp, err := http.Get("http://" + streamAt(t, h) + "/v1/export?format=" + format)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				line := h.ended(t)
				if line["event"] != trail.End || line["complete"] != false || line["key"] != "k" || line["status"] != float64(resp.StatusCode) {
					t.Errorf("the trail has %v", line)
				}
				if at == 1 {
					if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "urn:permanode:problem:unauthorized") {
						t.Errorf("before the first row: %s %s", resp.Status, body)
					}
				} else if resp.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || resp.Trailer.Get("X-Rows") != "" || strings.Contains(string(body), "_end") || line["rows"] == 0.0 {
					t.Errorf("%s, ends with %v, trailer %v, %v rows, …%s", resp.Status, err, resp.Trailer, line["rows"], body[max(0, len(body)-200):])
				}
				if strings.Contains(log.String(), "level=ERROR") {
					t.Errorf("the log calls it a fault: %s", log)
				}
			})
		}
	}
}

// ended waits for the last line of a call.
func (h *recorded) ended(t *testing.T) map[string]any {
	t.Helper()
	if !waitFor(func() bool { return strings.Contains(h.onDisk(t), `"event":"end"`) }) {
		t.Fatalf("no end in the trail: %s", h.onDisk(t))
	}
	all := h.lines(t)
	return all[len(all)-1]
}

// A key has 256 streams and WebSockets at most; another key has its own, and what ends makes room.
func TestStreamsOfAKeyAreBounded(t *testing.T) {
	var gone atomic.Bool
	addr, dial := keyed(t, newTape("a"), &gone)
	stream := func(key string) (status int, problem string) {
		r := mustRequest("http://" + addr + "/v1/stream")
		r.Header.Set("Authorization", key)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resp, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, resp.Header.Get("Retry-After") + string(text)
		}
		return resp.StatusCode, ""
	}
	first := dial("many")
	for range 255 {
		dial("many")
	}
	if status, text := stream("many"); status != http.StatusTooManyRequests || !strings.HasPrefix(text, "1{") || !strings.Contains(text, "problem:rate-limited") {
		t.Errorf("one more: %d %s", status, text)
	}
	if status, text := stream("other"); status != http.StatusOK {
		t.Errorf("another key: %d %s", status, text)
	}
	first.Close()
	if !waitFor(func() bool { status, _ := stream("many"); return status == http.StatusOK }) {
		t.Error("the end of one makes no room")
	}
}

// breaking is a store that has a bug where it is read from the beginning.
type breaking struct{ *tape }

func (b breaking) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	if lo == 1 {
		panic("a bug")
	}
	return b.tape.Cones(ctx, net, lo, hi)
}

// A bug that one subscription meets ends that subscription, as it would end one request, and leaves its turn to others.
func TestBugEndsOneSubscription(t *testing.T) {
	s := newTape("a")
	s.unit(1, 1, "x||one")
	conn := socket(t, streamAt(t, liveAPI(query.New(breaking{s}, querytest.Codecs))))
	say(t, conn, `{"subscribe":{"id":"good","q":"tag:x"}}`)
	hear(t, conn)
	for range 10 { // more than work at once
		say(t, conn, `{"subscribe":{"id":"bad","q":"text:one","from":"oldest"}}`)
		hear(t, conn)
		if m := hear(t, conn); m.Type != "end" || *m.ID != "bad" || !strings.Contains(string(m.Data), `"reason":"internal"`) {
			t.Fatalf("%+v", m)
		}
	}
	s.unit(1, 2, "x||two")
	if m := hear(t, conn); m.Type != "record" || *m.ID != "good" {
		t.Errorf("%+v", m)
	}
}

// waitFor asks until it is so, but not for ever.
func waitFor(so func() bool) bool {
	for end := time.Now().Add(usualPatience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if so() {
			return true
		}
	}
	return false
}
