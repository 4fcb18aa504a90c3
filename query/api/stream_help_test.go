package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/querytest"
	"permanode/storage"
)

// tape is a store in memory that grows while it is read.
type tape struct {
	*querytest.Memory
	mu      sync.RWMutex
	changed map[ledger.NetID]chan struct{}
	reads   map[ledger.Ord]int // cones read, by unit
}

func newTape(networks ...string) *tape {
	t := &tape{Memory: querytest.NewMemory(), changed: map[ledger.NetID]chan struct{}{}, reads: map[ledger.Ord]int{}}
	for _, name := range networks {
		t.Add(name, nil, nil)
		t.changed[ledger.NetID(len(t.Nets))] = make(chan struct{})
	}
	return t
}

// commit makes a cone visible, and tells.
func (t *tape) commit(c *ledger.Cone) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Held[c.Net][c.Unit.Seq] = c
	have := t.Cover[c.Net].Set()
	have.Add(c.Unit.Seq, c.Unit.Seq)
	cov := storage.Coverage{Gaps: t.Cover[c.Net].Gaps}
	for _, r := range have.Ranges() {
		cov.Spans = append(cov.Spans, storage.Span{Lo: r.Lo, Hi: r.Hi})
	}
	t.Cover[c.Net] = cov
	close(t.changed[c.Net])
	t.changed[c.Net] = make(chan struct{})
}

// unit commits a unit of toy records.
func (t *tape) unit(net ledger.NetID, seq uint64, raws ...string) {
	header := fmt.Appendf(nil, "unit %d of %d", seq, net)
	c := &ledger.Cone{Net: net, Unit: ledger.Unit{Seq: seq, ID: querytest.HashID(header), Header: header, TimeMs: 1637899290000 + int64(seq)*1000}}
	for i, raw := range raws {
		c.Records = append(c.Records, querytest.ToyRecord(seq, uint32(i), []byte(raw)))
	}
	t.commit(c)
}

func (t *tape) Changed(net ledger.NetID) <-chan struct{} {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.changed[net]
}

func (t *tape) Networks(ctx context.Context) ([]ledger.Network, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.Nets), nil
}

func (t *tape) Coverage(ctx context.Context, net ledger.NetID) (storage.Coverage, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.Memory.Coverage(ctx, net)
}

func (t *tape) Unit(ctx context.Context, net ledger.NetID, seq uint64) (ledger.Unit, []storage.Digest, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.Memory.Unit(ctx, net, seq)
}

func (t *tape) Record(ctx context.Context, net ledger.NetID, ord ledger.Ord) (ledger.Record, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.Memory.Record(ctx, net, ord)
}

func (t *tape) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return gathered(&t.mu, t.Memory.Cones(ctx, net, lo, hi), func() { t.reads[ledger.Ord{Seq: lo, Pos: uint32(net)}]++ })
}

func (t *tape) Lookup(ctx context.Context, net ledger.NetID, key ledger.Key, scan storage.Scan) iter.Seq2[storage.Found, error] {
	return gathered(&t.mu, t.Memory.Lookup(ctx, net, key, scan), func() {})
}

func (t *tape) Keys(ctx context.Context, net ledger.NetID, prefix ledger.Key, after string) iter.Seq2[ledger.Key, error] {
	return gathered(&t.mu, t.Memory.Keys(ctx, net, prefix, after), func() {})
}

func (t *tape) Count(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (uint64, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.Memory.Count(ctx, net, key, lo, hi)
}

func (t *tape) SeqAt(ctx context.Context, net ledger.NetID, fromMs, toMs int64) (ranges.Set, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.Memory.SeqAt(ctx, net, fromMs, toMs)
}

// gathered reads a list whole under the lock.
func gathered[T any](mu *sync.RWMutex, list iter.Seq2[T, error], note func()) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		mu.Lock()
		note()
		var all []T
		var failed error
		for v, err := range list {
			if failed = err; err != nil {
				break
			}
			all = append(all, v)
		}
		mu.Unlock()
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
		if failed != nil {
			var none T
			yield(none, failed)
		}
	}
}

func liveAPI(a *query.Archive) http.Handler {
	return api.Handler(api.Config{Archive: a, Version: "v0", Log: slog.New(slog.DiscardHandler)})
}

// streamed lists what a query finds, oldest first, as the lines that a stream has for it: network by network.
func streamed(t *testing.T, a *query.Archive, text string) map[string][]string {
	t.Helper()
	networks, err := a.Networks(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	_, err = a.Each(context.Background(), query.SearchRequest{Networks: networks, Query: text, Order: query.OldestFirst}, func(i query.Item) error {
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		rows[i.Network] = append(rows[i.Network], "")
		last := &rows[i.Network][len(rows[i.Network])-1]
		err := e.Encode(i)
		*last = strings.TrimSpace(line.String())
		return err
	})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return rows
}

// event is one server-sent event, or one message of a WebSocket.
type event struct{ id, name, data string }

// network is the one that a record or notice is of.
func (e event) network(t *testing.T) string {
	t.Helper()
	var v struct{ Network string }
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("%v: %s", err, e.data)
	}
	return v.Network
}

// errCut says that a block has no end.
var errCut = io.ErrUnexpectedEOF

// readEvent reads one block; a comment or an id alone has no name.
func readEvent(r *bufio.Reader) (e event, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return event{}, fmt.Errorf("%w: %w", errCut, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return e, nil
		}
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data += value
		}
	}
}

// parseEvents reads the whole blocks of a text.
func parseEvents(text string) (all []event) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		e, err := readEvent(r)
		if err != nil {
			return all
		}
		all = append(all, e)
	}
}

// records keeps those of each network, in order.
func records(t *testing.T, all []event) map[string][]string {
	t.Helper()
	rows := map[string][]string{}
	for _, e := range all {
		if e.name == "record" {
			n := e.network(t)
			rows[n] = append(rows[n], e.data)
		}
	}
	return rows
}

func streamURL(base, q, network, from, cursor string) string {
	v := url.Values{"q": {q}}
	for name, value := range map[string]string{"network": network, "from": from, "cursor": cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return base + "/v1/stream?" + v.Encode()
}

// tap is the answer to a request that goes on.
type tap struct {
	mu     sync.Mutex
	text   bytes.Buffer
	header http.Header
	status int
	block  func() // called at each write, outside of the lock
}

func newTap() *tap { return &tap{header: http.Header{}, block: func() {}} }

func (w *tap) Header() http.Header { return w.header }

func (w *tap) WriteHeader(status int) { w.status = status }

func (w *tap) Flush() {}

func (w *tap) Write(b []byte) (int, error) {
	w.block()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *tap) events() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return parseEvents(w.text.String())
}
