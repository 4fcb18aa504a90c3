package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"permanode/query"
	"permanode/query/querytest"
)

// TestStreamTorture has quick, slow, silent and rude clients for five minutes, or two seconds, while units are committed:
// the quick ones get every record once, in order; nobody leaves a goroutine behind, and memory does not grow with those
// who do not read.
func TestStreamTorture(t *testing.T) {
	lasts := 2 * time.Second
	if os.Getenv("PERMANODE_TORTURE") != "" {
		lasts = 5 * time.Minute
	}
	s := newTape("a")
	addr := streamAt(t, liveAPI(query.New(s, querytest.Codecs)))
	const each = 3 // records of a unit
	s.unit(1, 0, "x||a", "x||b", "x||c")
	before := runtime.NumGoroutine()
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	var last atomic.Uint64
	done := make(chan struct{}) // all but the last unit is committed
	var work sync.WaitGroup
	work.Go(func() {
		for seq := uint64(1); ; seq++ {
			last.Store(seq)
			over := ctx.Err() != nil
			if over {
				close(done) // before the last unit, so that everybody hears of something behind it
			}
			s.unit(1, seq, "x||one", "x||two", fmt.Sprintf("x||%0200d", seq))
			if over {
				return
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	for range 40 {
		work.Go(func() { quickSSE(t, addr, each, &last, done) })
		work.Go(func() { quickSocket(t, addr, each, &last, done) })
	}
	for i := range 60 {
		work.Go(func() { rude(ctx, addr, i) })
	}
	<-done
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	if most := 64<<20 + 4000*last.Load(); mem.HeapInuse > most { // the store itself is in memory
		t.Errorf("%d MiB are in use after %d units", mem.HeapInuse>>20, last.Load())
	}
	work.Wait()
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(usualPatience); runtime.NumGoroutine() > before+10 && time.Now().Before(end); {
		runtime.Gosched() // connections that were reset end a moment later
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines run, %d before", n, before)
	}
	t.Logf("%d units", last.Load())
}

const usualPatience = time.Minute

// quickSSE follows a stream to its end and goes on whenever it is let go.
func quickSSE(t *testing.T, addr string, each int, last *atomic.Uint64, done chan struct{}) {
	id, next := "", 0
	for {
		r := mustRequest(streamURL("http://"+addr, "NOT tag:none", "", "oldest", ""))
		if id != "" {
			r.Header.Set("Last-Event-ID", id)
		}
		ctx, cancel := context.WithTimeout(t.Context(), usualPatience+6*time.Minute)
		resp, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx))
		if err != nil {
			cancel()
			t.Error(err)
			return
		}
		in := bufio.NewReader(resp.Body)
		for {
			e, err := readEvent(in)
			if err != nil {
				break
			}
			if e.id != "" {
				id = e.id
			}
			if e.name == "record" && !follows(t, e.data, &next, each) || ended(next, each, last, done) {
				resp.Body.Close()
				cancel()
				return
			}
		}
		resp.Body.Close()
		cancel()
	}
}

// follows reports whether data is the record that comes next.
func follows(t *testing.T, data string, next *int, each int) bool {
	var row struct{ Seq, Pos int }
	if err := json.Unmarshal([]byte(data), &row); err != nil || row.Seq != *next/each || row.Pos != *next%each {
		t.Errorf("record %d/%d (%v), want %d/%d", row.Seq, row.Pos, err, *next/each, *next%each)
		return false
	}
	*next++
	return true
}

func ended(next, each int, last *atomic.Uint64, done chan struct{}) bool {
	select {
	case <-done:
		return next == int(last.Load()+1)*each
	default:
		return false
	}
}

func quickSocket(t *testing.T, addr string, each int, last *atomic.Uint64, done chan struct{}) {
	cursor, next := "", 0
	for {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/v1/ws", nil)
		if err != nil {
			t.Error(err)
			return
		}
		ask := map[string]string{"id": "s", "q": "NOT tag:none", "cursor": cursor}
		if cursor == "" {
			ask = map[string]string{"id": "s", "q": "NOT tag:none", "from": "oldest"}
		}
		_ = conn.WriteJSON(map[string]any{"subscribe": ask})
		for {
			var m message
			if err := conn.ReadJSON(&m); err != nil {
				break
			}
			if m.Cursor != "" {
				cursor = m.Cursor
			}
			if m.Type == "record" && !follows(t, string(m.Data), &next, each) || ended(next, each, last, done) {
				conn.Close()
				return
			}
		}
		conn.Close()
	}
}

// rude opens streams and sockets that it reads slowly, not at all, or leaves in the middle.
func rude(ctx context.Context, addr string, kind int) {
	for ctx.Err() == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return
		}
		if kind%2 == 0 {
			fmt.Fprintf(conn, "GET /v1/stream?from=oldest HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		} else {
			fmt.Fprintf(conn, "GET /v1/ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
			frame := append([]byte{0x81, 0x80 | 44, 0, 0, 0, 0}, `{"subscribe":{"id":"a","from":"oldest"}}    `...)
			_, _ = conn.Write(frame)
		}
		switch kind % 6 {
		case 0, 1: // nothing is read
			<-ctx.Done()
		case 2, 3: // a little, again and again
			for ctx.Err() == nil {
				if _, err := io.ReadFull(conn, make([]byte, 50)); err != nil {
					break
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		default: // reset in the middle
			_, _ = io.ReadFull(conn, make([]byte, 150))
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}
