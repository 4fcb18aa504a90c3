package api_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/querytest"
)

// BenchmarkFiguresStream prints the table of fan-out in docs/performance.md: units of a generated network are committed
// one after the other, each as soon as a thousand clients have the one before, beside a bare handler of net/http that
// writes the same bytes to as many clients. Both have the same clients in the same process.
func BenchmarkFiguresStream(b *testing.B) {
	const clients, units, blocks = 1000, 60, 20
	db, _, next := querytest.Generated(b, blocks)
	next()
	addr := streamAt(b, liveAPI(query.New(db, eras.Codec)))
	var wanted [][]byte // what each unit brings: taken from the first run, so that the floor has it too

	ours := fanOut(b, clients, units, func() feed { return dialSSE(b, addr, "/v1/stream") }, func(int) int { return next() }, &wanted)
	floorAddr, publish := bareFanOut(b)
	floor := fanOut(b, clients, units, func() feed { return dialSSE(b, floorAddr, "/") }, func(i int) int { return publish(wanted[i]) }, nil)
	sockets := fanOut(b, clients, units, func() feed { return dialSocket(b, addr) }, func(int) int { return next() }, nil)

	fmt.Printf("\n%d cores, %s, %d clients, %d units of about %d records\n\n", runtime.GOMAXPROCS(0), runtime.Version(), clients, units, blocks)
	fmt.Println("| fan-out | messages a second | from commit to client, p50 / p99 ms | CPU a message, clients included |\n|---|---|---|---|")
	for _, r := range []struct {
		name string
		spread
	}{{"`/v1/stream`", ours}, {"net/http, the same bytes", floor}, {"`/v1/ws`", sockets}} {
		fmt.Printf("| %s | %.0f | %.1f / %.1f | %.1f µs |\n", r.name, float64(r.messages)/r.wall.Seconds(),
			ms(r.late[len(r.late)/2]), ms(r.late[len(r.late)*99/100]), r.cpu.Seconds()*1e6/float64(r.messages))
	}
	fmt.Println()
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// spread is what a run of fan-out measured.
type spread struct {
	messages  int
	wall, cpu time.Duration
	late      []time.Duration // from commit to the last byte of the unit, of each client and unit; sorted
}

// feed is one client: it reads the messages of so many records.
type feed interface {
	next(records int) ([]byte, error)
	close()
}

// fanOut has clients read what commit brings: it returns how many records that are.
func fanOut(b *testing.B, clients, units int, dial func() feed, commit func(int) int, keep *[][]byte) (out spread) {
	b.Helper()
	all := make([]feed, clients)
	for i := range all {
		all[i] = dial()
	}
	defer func() {
		for _, c := range all {
			c.close()
		}
	}()
	late := make([][]time.Duration, clients)
	began, used := time.Now(), cpuTime()
	for unit := range units {
		rows := commit(unit)
		at := time.Now()
		var work sync.WaitGroup
		for i, c := range all {
			work.Go(func() {
				text, err := c.next(rows)
				if err != nil {
					b.Error(err)
					return
				}
				late[i] = append(late[i], time.Since(at))
				if keep != nil && i == 0 {
					*keep = append(*keep, text)
				}
			})
		}
		work.Wait()
		out.messages += rows * clients
		if b.Failed() {
			b.FailNow()
		}
	}
	out.wall, out.cpu = time.Since(began), cpuTime()-used
	for i := range all {
		out.late = append(out.late, late[i]...)
	}
	slices.Sort(out.late)
	return out
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// sse is a client of server-sent events.
type sse struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialSSE(b *testing.B, addr, path string) feed {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		b.Fatal(err)
	}
	c := &sse{conn: conn, r: bufio.NewReaderSize(resp.Body, 32<<10)}
	for {
		block, err := c.block()
		if err != nil {
			b.Fatal(err)
		}
		if bytes.Contains(block, []byte("event: start")) {
			return c
		}
	}
}

// block reads one event, with its empty line.
func (c *sse) block() (text []byte, err error) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if text = append(text, line...); len(line) == 1 {
			return text, nil
		}
	}
}

func (c *sse) next(records int) (text []byte, err error) {
	for records > 0 {
		block, err := c.block()
		if err != nil {
			return nil, err
		}
		text = append(text, block...)
		records -= bytes.Count(block, []byte("\nevent: record\n"))
	}
	return text, nil
}

func (c *sse) close() { c.conn.Close() }

// wsFeed is a client of WebSockets.
type wsFeed struct{ conn *websocket.Conn }

func dialSocket(b *testing.B, addr string) feed {
	d := websocket.Dialer{ReadBufferSize: 32 << 10}
	conn, _, err := d.Dial("ws://"+addr+"/v1/ws", nil)
	if err != nil {
		b.Fatal(err)
	}
	say(b, conn, `{"subscribe":{"id":"a"}}`)
	hear(b, conn)
	return wsFeed{conn}
}

func (c wsFeed) next(records int) (text []byte, err error) {
	for records > 0 {
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		text = append(text, frame...)
		records -= bytes.Count(frame, []byte(`{"type":"record",`))
	}
	return text, nil
}

func (c wsFeed) close() { c.conn.Close() }

// bareFanOut is the floor: a handler that writes and flushes what is published.
func bareFanOut(b *testing.B) (addr string, publish func([]byte) (rows int)) {
	var mu sync.Mutex
	var text []byte
	changed := make(chan struct{})
	wait := func() ([]byte, chan struct{}) {
		mu.Lock()
		defer mu.Unlock()
		return text, changed
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		w.Header().Set("Content-Type", "text/event-stream")
		_, next := wait()
		_, _ = w.Write([]byte("event: start\ndata: {}\n\n"))
		_ = ctl.Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-next:
			}
			var body []byte
			body, next = wait()
			_, _ = w.Write(body)
			_ = ctl.Flush()
		}
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	b.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return ln.Addr().String(), func(body []byte) int {
		mu.Lock()
		defer mu.Unlock()
		text = body
		close(changed)
		changed = make(chan struct{})
		return bytes.Count(body, []byte("\nevent: record\n"))
	}
}
