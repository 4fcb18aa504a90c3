package api_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/query/trail"
	"permanode/storage/pebblestore"
)

// apiFigures is a service over a generated network that grows, and what is asked of it.
type apiFigures struct {
	b        *testing.B
	db       *pebblestore.DB
	archive  *query.Archive
	next     func() int
	gets     []string
	searches []string
}

// BenchmarkFiguresAPI prints the tables of the API in docs/performance.md: requests a second and latency of one record
// and of a search beside a bare handler of net/http that sends the same bytes, and what a caller who asks ten times as
// often as he may does to one who keeps his limits, to the memory and to what is collected meanwhile.
func BenchmarkFiguresAPI(b *testing.B) {
	f := newAPIFigures(b)
	fmt.Printf("\n%d cores, %s, 20,000 records, clients in the same process\n\n", runtime.GOMAXPROCS(0), runtime.Version())
	fmt.Println("| 8 clients, one request after the other | requests a second | p50 | p99 | CPU a request, client included |\n|---|---|---|---|---|")
	for _, what := range []struct {
		name  string
		paths []string
		n     int
	}{{"one record", f.gets, 20000}, {"a search, 10 newest and the exact total", f.searches, 4000}} {
		floor, ours := f.beside(what.paths, what.n)
		fmt.Printf("| %s | %s |\n| net/http, the same bytes | %s |\n", what.name, ours, floor)
	}
	f.overload()
}

func newAPIFigures(b *testing.B) *apiFigures {
	db, n, next := querytest.Generated(b, 200)
	for range 100 {
		next()
	}
	x := querytest.Must(index.Open(b.TempDir(), index.Options{Store: db, Codec: eras.Codec}))
	b.Cleanup(func() { x.Close() })
	if err := follow.CatchUp(b.Context(), db, n.ID, querytest.Must(x.Follower(n))); err != nil {
		b.Fatal(err)
	}
	f := &apiFigures{b: b, db: db, archive: query.New(db, eras.Codec), next: next}
	f.archive.UseIndex(x)
	networks := querytest.Must(f.archive.Networks(b.Context()))
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		ord := ledger.Ord{Seq: 2 + r.Uint64N(90), Pos: r.Uint32N(150)}
		rec, err := f.archive.Record(b.Context(), networks[0], ord)
		if err != nil {
			b.Fatal(err)
		}
		f.gets = append(f.gets, "/v1/networks/corpus/records/"+networks[0].Codec.FormatID(rec.ID))
	}
	words := rand.NewZipf(r, 1.1, 1, 4999)
	for i := range 300 {
		q := stardusttest.CorpusWord(int(words.Uint64()))
		switch i % 3 {
		case 1:
			q = "tag:" + stardusttest.CorpusTag(r.IntN(500))
		case 2:
			q += " " + stardusttest.CorpusWord(int(words.Uint64()))
		}
		f.searches = append(f.searches, "/v1/search?limit=10&q="+neturl.QueryEscape(q))
	}
	return f
}

// service runs the API with an access trail until the benchmark ends.
func (f *apiFigures) service(c api.Config) (addr string) {
	c.Archive, c.Log = f.archive, slog.New(slog.DiscardHandler)
	c.Trail = querytest.Must(trail.Open(f.b.TempDir(), trail.Options{Log: c.Log}))
	return f.serve(api.Handler(c), func() { c.Trail.Close() })
}

func (f *apiFigures) serve(h http.Handler, end func()) (addr string) {
	ln := querytest.Must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	f.b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.b.Error(err)
		}
		end()
	})
	return ln.Addr().String()
}

// latencies of many requests.
type latencies struct {
	wall, cpu time.Duration
	took      []time.Duration // sorted
}

func (l latencies) at(part float64) time.Duration {
	return l.took[min(len(l.took)-1, int(part*float64(len(l.took))))]
}

func (l latencies) String() string {
	return fmt.Sprintf("%.0f | %.2f ms | %.2f ms | %.0f µs", float64(len(l.took))/l.wall.Seconds(), ms(l.at(0.5)), ms(l.at(0.99)), l.cpu.Seconds()*1e6/float64(len(l.took)))
}

// beside asks ours and the floor in turn, the same paths; the floor sends the bytes that ours sent.
func (f *apiFigures) beside(paths []string, n int) (floor, ours latencies) {
	addr := f.service(api.Config{})
	same := map[string][]byte{}
	for _, p := range paths {
		same[p] = f.fetch(http.DefaultTransport, addr, p, "", http.StatusOK)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	bare := f.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(same[r.URL.RequestURI()])
	}), func() {})
	for range 3 {
		ours = f.closed(addr, paths, n/3, ours)
		floor = f.closed(bare, paths, n/3, floor)
	}
	slices.Sort(ours.took)
	slices.Sort(floor.took)
	return floor, ours
}

// closed asks n times by eight clients, each one request after the other.
func (f *apiFigures) closed(addr string, paths []string, n int, sum latencies) latencies {
	tr := &http.Transport{MaxIdleConnsPerHost: 8}
	defer tr.CloseIdleConnections()
	took := make([]time.Duration, n)
	var at atomic.Int64
	runtime.GC()
	cpu, begin := cpuTime(), time.Now()
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for i := int(at.Add(1)) - 1; i < n; i = int(at.Add(1)) - 1 {
				start := time.Now()
				f.fetch(tr, addr, paths[i%len(paths)], "", http.StatusOK)
				took[i] = time.Since(start)
			}
		})
	}
	g.Wait()
	return latencies{sum.wall + time.Since(begin), sum.cpu + cpuTime() - cpu, append(sum.took, took...)}
}

// fetch asks once, and fails with another status than wanted; 0 takes any.
func (f *apiFigures) fetch(tr http.RoundTripper, addr, path, key string, status int) []byte {
	r := querytest.Must(http.NewRequest(http.MethodGet, "http://"+addr+path, nil))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		f.b.Error(err)
		return nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || status != 0 && res.StatusCode != status {
		f.b.Errorf("%s: %d, %v: %.200s", path, res.StatusCode, err, body)
	}
	return body
}

// phase is how it went for a caller inside his limits and for what is collected.
type phase struct {
	get, search, commit latencies
	heap                uint64 // largest
	refused, answered   int64  // of the other caller
}

// overload compares a caller who keeps his limits alone and beside one who asks ten times as often as he may, while units
// are proven and committed at a steady pace.
func (f *apiFigures) overload() {
	addr := f.service(api.Config{Rates: api.DefaultRates(), Callers: func(r *http.Request) (access.Caller, error) {
		return access.Caller{Name: r.Header.Get("Authorization"), Role: access.Reader}, nil
	}})
	seconds := 10
	if n, err := strconv.Atoi(os.Getenv("FIGURES_SECONDS")); err == nil && n > 0 {
		seconds = n
	}
	time.Sleep(time.Second) // buckets are full and connections gone
	alone := f.phase(addr, seconds, false)
	beside := f.phase(addr, seconds, true)
	fmt.Printf("\nA caller inside the limits (20 records and 4 searches a second), and one unit of 200 blocks proven and committed every 400 ms, %d s each: alone, and while another key asks for 500 records and 50 searches a second: %d answered, %d refused.\n\n",
		seconds, beside.answered, beside.refused)
	fmt.Println("| | p99 alone | p99 beside ten times too much | ratio | goal |\n|---|---|---|---|---|")
	for _, row := range []struct {
		name string
		a, b latencies
		most float64
	}{{"one record", alone.get, beside.get, 3}, {"a search", alone.search, beside.search, 3}, {"prove and commit a unit", alone.commit, beside.commit, 1.5}} {
		a, b := row.a.at(0.99), row.b.at(0.99)
		if row.most < 3 {
			a, b = row.a.at(0.5), row.b.at(0.5)
			row.name += " (p50)"
		}
		ratio := b.Seconds() / a.Seconds()
		mark := "✗"
		if ratio <= row.most {
			mark = "✓"
		}
		fmt.Printf("| %s | %.2f ms | %.2f ms | %.2f | ≤ %.1f %s |\n", row.name, ms(a), ms(b), ratio, row.most, mark)
	}
	fmt.Printf("| largest heap | %d MiB | %d MiB | %.2f | |\n\n", alone.heap>>20, beside.heap>>20, float64(beside.heap)/float64(alone.heap))
}

// phase runs a caller inside the limits for so long, perhaps beside another one.
func (f *apiFigures) phase(addr string, seconds int, over bool) (p phase) {
	end := time.Duration(seconds) * time.Second
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	defer tr.CloseIdleConnections()
	var g sync.WaitGroup
	paced := func(every time.Duration, into *latencies, do func(i int)) {
		g.Go(func() {
			begin := time.Now()
			for i := 0; time.Duration(i)*every < end; i++ {
				time.Sleep(time.Until(begin.Add(time.Duration(i) * every)))
				start := time.Now()
				do(i)
				into.took = append(into.took, time.Since(start))
			}
			slices.Sort(into.took)
		})
	}
	paced(50*time.Millisecond, &p.get, func(i int) { f.fetch(tr, addr, f.gets[i%len(f.gets)], "inside", http.StatusOK) })
	paced(250*time.Millisecond, &p.search, func(i int) { f.fetch(tr, addr, f.searches[i%len(f.searches)], "inside", http.StatusOK) })
	paced(400*time.Millisecond, &p.commit, func(int) { f.next() })
	paced(100*time.Millisecond, &latencies{}, func(int) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap = max(p.heap, m.HeapAlloc)
	})
	var refused, answered atomic.Int64
	if over {
		for c := range 10 { // each 50 records and 5 searches a second
			var own latencies
			paced(20*time.Millisecond, &own, func(i int) { f.greedy(tr, addr, f.gets[(i+c)%len(f.gets)], &answered, &refused) })
			var others latencies
			paced(200*time.Millisecond, &others, func(i int) { f.greedy(tr, addr, f.searches[(i+c)%len(f.searches)], &answered, &refused) })
		}
	}
	g.Wait()
	p.refused, p.answered = refused.Load(), answered.Load()
	return p
}

func (f *apiFigures) greedy(tr http.RoundTripper, addr, path string, answered, refused *atomic.Int64) {
	r := querytest.Must(http.NewRequest(http.MethodGet, "http://"+addr+path, nil))
	r.Header.Set("Authorization", "greedy")
	res, err := tr.RoundTrip(r)
	if err != nil {
		f.b.Error(err)
		return
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode == http.StatusTooManyRequests {
		refused.Add(1)
	} else {
		answered.Add(1)
	}
}
