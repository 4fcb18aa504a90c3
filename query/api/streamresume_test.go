package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/internal/race"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
)

// streamAt answers on a port of loopback until the test ends.
func streamAt(t testing.TB, h http.Handler) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// growth is an archive of two networks that grows while it is asked, with an index that follows.
type growth struct {
	*tape
	archive *query.Archive
	next    [3]uint64 // unit of each network
	rows    int       // records that match resumeQuery
	r       *rand.Rand
}

const resumeQuery = "text:word OR tag:x"

func newGrowth(t *testing.T, seed uint64) *growth {
	g := &growth{tape: newTape("a", "b"), r: rand.New(rand.NewPCG(seed, 1))}
	x, err := index.Open(t.TempDir(), index.Options{Store: g.tape, Codec: querytest.Codecs, ShardDocs: 200})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for _, n := range g.Nets {
		f, err := x.Follower(n)
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { _ = follow.Run(ctx, g.tape, n.ID, f) })
	}
	t.Cleanup(func() {
		cancel()
		work.Wait()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	g.archive = query.New(g.tape, querytest.Codecs)
	g.archive.UseIndex(x)
	g.archive.Bounds().Page = 7 // so that pages end everywhere
	return g
}

// grow commits a unit of some network.
func (g *growth) grow() {
	net := 1 + g.r.IntN(2)
	var raws []string
	for range g.r.IntN(6) {
		raw := []string{"x||no", "y|addr11|some word here", "-||nothing", "x||a word"}[g.r.IntN(4)]
		if !strings.HasPrefix(raw, "-") {
			g.rows++
		}
		raws = append(raws, fmt.Sprintf("%s %d", raw, g.r.Uint64()))
	}
	g.unit(ledger.NetID(net), g.next[net], raws...)
	g.next[net]++
}

// cuts is how often clients are cut, and after what time at the latest.
func cuts() (times, most int) {
	if race.Enabled {
		return 100, 50_000
	}
	return 1000, 5000
}

// compare holds what clients got against what a search finds, once all of it is indexed.
func (g *growth) compare(t *testing.T, got []event) {
	t.Helper()
	want := everything(t, g.tape, g.archive, resumeQuery)
	rows := records(t, got)
	total := 0
	for n := range want {
		total += len(want[n])
		if !slices.Equal(rows[n], want[n]) {
			t.Errorf("network %s: %d records, want %d", n, len(rows[n]), len(want[n]))
			for i := range min(len(rows[n]), len(want[n])) {
				if rows[n][i] != want[n][i] {
					t.Fatalf("the first other one is number %d\n got %s\nwant %s", i, rows[n][i], want[n][i])
				}
			}
		}
	}
	if total != g.rows || len(want) != 2 {
		t.Fatalf("a search finds %d records in %d networks, %d were committed", total, len(want), g.rows)
	}
}

// Over a thousand connections that are cut at random bytes while units are committed nothing is lost and nothing comes
// twice.
func TestStreamLosesNothingOverReconnects(t *testing.T) {
	g := newGrowth(t, 1)
	base := "http://" + streamAt(t, liveAPI(g.archive))
	dial := &http.Transport{}
	t.Cleanup(dial.CloseIdleConnections)
	var got []event
	rows := 0 // records in got
	id := ""
	read := func(ctx context.Context, most int64, whole bool) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, streamURL(base, resumeQuery, "", "oldest", ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		if id != "" {
			req.Header.Set("Last-Event-ID", id)
		}
		resp, err := dial.RoundTrip(req)
		if err != nil {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s: %s", resp.Status, body)
		}
		r := bufio.NewReader(io.LimitReader(resp.Body, most))
		for !whole || rows < g.rows {
			e, err := readEvent(r)
			if err != nil {
				return
			}
			if e.id != "" {
				id = e.id
			}
			if e.name == "end" {
				t.Fatalf("the stream ended: %s", e.data)
			}
			if got = append(got, e); e.name == "record" {
				rows++
			}
		}
	}
	times, most := cuts()
	for range times {
		for range g.r.IntN(3) {
			g.grow()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g.r.IntN(most))*time.Microsecond)
		read(ctx, g.r.Int64N(6000), false)
		cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	read(ctx, 1<<40, true)
	g.compare(t, got)
}

// The same over WebSockets.
func TestSocketLosesNothingOverReconnects(t *testing.T) {
	g := newGrowth(t, 2)
	addr := streamAt(t, liveAPI(g.archive))
	var got []event
	rows := 0 // records in got
	cursor := ""
	read := func(cut time.Duration, most int, whole bool) {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/v1/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ask := map[string]string{"id": "s", "q": resumeQuery, "cursor": cursor}
		if cursor == "" {
			ask = map[string]string{"id": "s", "q": resumeQuery, "from": "oldest"}
		}
		if err := conn.WriteJSON(map[string]any{"subscribe": ask}); err != nil {
			t.Fatal(err)
		}
		under := conn.NetConn()
		_ = under.SetReadDeadline(time.Now().Add(cut))
		for i := 0; i < most || whole && rows < g.rows; i++ {
			var m message
			if err := conn.ReadJSON(&m); err != nil {
				return
			}
			if m.Type == "error" || m.Type == "end" {
				t.Fatalf("%+v", m)
			}
			cursor = m.Cursor
			if got = append(got, event{m.Cursor, m.Type, string(m.Data)}); m.Type == "record" {
				rows++
			}
		}
	}
	times, most := cuts()
	for range times {
		for range g.r.IntN(3) {
			g.grow()
		}
		read(time.Duration(g.r.IntN(most))*time.Microsecond, g.r.IntN(10), false)
	}
	read(3*time.Minute, 0, true)
	g.compare(t, got)
}

// message is one message of a WebSocket.
type message struct {
	Type    string
	ID      *string
	Cursor  string
	Data    json.RawMessage
	Problem struct{ Type, Detail string }
}

// Ten thousand streams that are opened and reset leave nothing behind, and the service answers.
func TestStreamsReset(t *testing.T) {
	s := newTape("a")
	for seq := range uint64(50) {
		s.unit(1, seq, "x||one", "y||two")
	}
	addr := streamAt(t, liveAPI(query.New(s, querytest.Codecs)))
	streams := 10_000
	if testing.Short() || race.Enabled {
		streams = 1000
	}
	var work sync.WaitGroup
	const workers = 20
	for w := range workers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(4, uint64(w)))
			for range streams / workers {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", streamURL("", "tag:x", "", []string{"", "oldest"}[r.IntN(2)], ""))
				_, _ = io.ReadFull(c, make([]byte, r.IntN(300)))
				_ = c.(*net.TCPConn).SetLinger(0)
				c.Close()
			}
		})
	}
	work.Wait()
	resp, err := http.Get("http://" + addr + "/v1/info")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("after the resets: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A thousand clients of one stream get the same bytes.
func TestStreamFansOut(t *testing.T) {
	s := newTape("a")
	s.unit(1, 1, "x||one")
	base := "http://" + streamAt(t, liveAPI(query.New(s, querytest.Codecs)))
	const units = 20
	clients := 1000
	if race.Enabled {
		clients = 200
	}
	var began, work sync.WaitGroup
	texts := make([]string, clients)
	for i := range clients {
		began.Add(1)
		work.Go(func() {
			resp, err := http.DefaultTransport.RoundTrip(mustRequest(streamURL(base, "tag:x", "", "", "")))
			if err != nil {
				began.Done()
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			r := bufio.NewReader(resp.Body)
			var got strings.Builder
			for n := 0; n < 3*units; {
				e, err := readEvent(r)
				if err != nil {
					t.Error(err)
					return
				}
				switch e.name {
				case "start":
					began.Done()
				case "record":
					n++
					fmt.Fprintln(&got, e)
				}
			}
			texts[i] = got.String()
		})
	}
	began.Wait()
	for seq := range uint64(units) {
		s.unit(1, seq+2, "x||one", "y||two", "x||three", "x||four")
	}
	work.Wait()
	for i, text := range texts {
		if text != texts[0] || text == "" {
			t.Fatalf("client %d got\n%s\nand the first\n%s", i, text, texts[0])
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func mustRequest(url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// A service that stops ends its streams and says why.
func TestStreamsEndWithTheService(t *testing.T) {
	s := newTape("a")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- api.Serve(ctx, ln, liveAPI(query.New(s, querytest.Codecs)), slog.New(slog.DiscardHandler))
	}()
	resp, err := http.DefaultTransport.RoundTrip(mustRequest("http://" + ln.Addr().String() + "/v1/stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for e := (event{}); e.name != "start"; {
		if e, err = readEvent(r); err != nil {
			t.Fatal(err)
		}
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String()+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop()
	e, err := readEvent(r)
	if err != nil || e.name != "end" || !strings.HasPrefix(e.data, `{"reason":"shutdown"`) {
		t.Errorf("the stream ends with %q, %v", e, err)
	}
	if _, err = r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the end: %v", err)
	}
	var closed *websocket.CloseError
	if _, _, err := conn.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.CloseGoingAway {
		t.Errorf("the socket ends with %v", err)
	}
	conn.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
