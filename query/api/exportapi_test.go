package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/index"
	"permanode/internal/race"
	"permanode/ledger"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// served answers over a real connection.
func served(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	return s.URL
}

// body is an answer read over a real connection: err is how its body ended.
type body struct {
	*http.Response
	bytes []byte
	err   error
}

func fetch(t *testing.T, method, url string, headers ...string) body {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b := body{Response: res}
	b.bytes, b.err = io.ReadAll(res.Body)
	return b
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestExportOverHTTP(t *testing.T) {
	a := query.New(querytest.Sample(), querytest.Codecs)
	url := served(t, querytest.Handler(a)) + "/v1/export"
	for _, c := range []struct{ url, accept, format, media string }{
		{"", "", query.NDJSON, "application/x-ndjson"},
		{"", "*/*", query.NDJSON, "application/x-ndjson"},
		{"", "text/csv", query.CSV, "text/csv"},
		{"", "text/csv;q=0.5, application/x-ndjson;q=0.4", query.CSV, "text/csv"},
		{"", "text/csv;q=0.5, application/*", query.NDJSON, "application/x-ndjson"},
		{"?format=ndjson", "text/csv", query.NDJSON, "application/x-ndjson"},
		{"?format=csv", "application/x-ndjson", query.CSV, "text/csv"},
	} {
		want, done, missing := querytest.Exported(t, a, query.ExportRequest{Format: c.format})
		got := fetch(t, "GET", url+c.url, "Accept", c.accept)
		media, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";")
		if got.StatusCode != 200 || media != c.media || string(got.bytes) != want || got.err != nil || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s, %s: %d %s %v, %d bytes, want %d", c.url, c.accept, got.StatusCode, media, got.err, len(got.bytes), len(want))
		}
		if got.Trailer.Get("X-Rows") != fmt.Sprint(done.Rows) || got.Trailer.Get("X-Sha256") != done.SHA256 || done.Rows == 0 {
			t.Errorf("%s: trailers %v, want %+v", c.url, got.Trailer, done)
		}
		if c.format == query.CSV && done.SHA256 != sha(got.bytes) {
			t.Errorf("the hash of the table is %s, not %s", sha(got.bytes), done.SHA256)
		}
		// The gaps are told before and behind, on one line of ASCII.
		if !errors.Is(missing, storage.ErrIncomplete) || got.Header.Get("X-Coverage-Complete") != "false" ||
			got.Trailer.Get("X-Incomplete") != strings.TrimPrefix(missing.Error(), "incomplete: ") || !strings.Contains(got.Trailer.Get("X-Incomplete"), "every source has pruned it") {
			t.Errorf("missing %v: header %q, trailer %q", missing, got.Header.Get("X-Coverage-Complete"), got.Trailer.Get("X-Incomplete"))
		}
	}
	whole := fetch(t, "GET", url+"?network=b")
	if _, told := whole.Trailer["X-Incomplete"]; told && whole.Trailer.Get("X-Incomplete") != "" || whole.Header.Get("X-Coverage-Complete") != "true" {
		t.Errorf("a whole network is incomplete: %v %v", whole.Header, whole.Trailer)
	}
	rows, end := unpack(t, whole.bytes)
	if end == nil || end.SHA256 != sha([]byte(rows)) || end.Rows != strings.Count(rows, "\n") {
		t.Errorf("the last line is %+v", end)
	}
}

// ending is the last line of NDJSON.
type ending struct {
	Rows   int    `json:"rows"`
	SHA256 string `json:"sha256"`
}

// unpack takes the last line off, if there is one.
func unpack(t *testing.T, body []byte) (rows string, end *ending) {
	t.Helper()
	text := strings.TrimSuffix(string(body), "\n")
	i := strings.LastIndexByte(text, '\n') + 1
	if !strings.HasPrefix(text[i:], `{"_end":true,`) {
		return string(body), nil
	}
	end = &ending{}
	if err := json.Unmarshal([]byte(text[i:]), end); err != nil {
		t.Fatal(err)
	}
	return text[:i], end
}

// unread fails when an export begins to read.
type unread struct{ *querytest.Memory }

func (u unread) Record(context.Context, ledger.NetID, ledger.Ord) (ledger.Record, error) {
	panic("a record is read")
}

func TestExportHeadDoesNoWork(t *testing.T) {
	m := querytest.Sample()
	m.Fail, m.FailAt = storage.ErrCorrupt, ledger.Ord{Seq: 3}
	url := served(t, querytest.Handler(query.New(unread{m}, querytest.Codecs)))
	for _, format := range []string{"ndjson", "csv"} {
		got := fetch(t, "HEAD", url+"/v1/export?format="+format)
		if got.StatusCode != 200 || len(got.bytes) > 0 || got.Header.Get("X-Coverage-Complete") != "false" || !strings.Contains(got.Header.Get("Content-Type"), format) {
			t.Errorf("%s: %d %v", format, got.StatusCode, got.Header)
		}
	}
}

// long holds one network of so many units.
func long(units uint64) *querytest.Memory {
	m := querytest.NewMemory()
	m.Add("a", []storage.Span{{Lo: 1, Hi: units}}, nil)
	return m
}

// What fails before the first byte is a problem; behind it the body has no end, and nobody can take it for whole.
func TestExportThatBreaks(t *testing.T) {
	m := long(900)
	m.Fail, m.FailAt = fmt.Errorf("%w: as a test wants", storage.ErrCorrupt), ledger.Ord{Seq: 850}
	url := served(t, querytest.Handler(query.New(m, querytest.Codecs)))
	for _, format := range []string{"ndjson", "csv"} {
		got := fetch(t, "GET", url+"/v1/export?format="+format)
		if got.StatusCode != 200 || got.err == nil || len(got.bytes) < 64<<10 || got.Trailer.Get("X-Rows") != "" || got.Trailer.Get("X-Sha256") != "" ||
			bytes.Contains(got.bytes, []byte("_end")) || bytes.Contains(got.bytes, []byte("problem")) {
			t.Errorf("%s: %d, %d bytes, end %v, trailers %v", format, got.StatusCode, len(got.bytes), got.err, got.Trailer)
		}
		got = fetch(t, "GET", url+"/v1/export?format="+format+"&after=a/849")
		if got.StatusCode != 500 || !bytes.Contains(got.bytes, []byte("problem:corrupt")) || got.err != nil || got.Header.Get("Trailer") != "" || got.Header.Get("X-Coverage-Complete") != "" {
			t.Errorf("%s: %d %s %v", format, got.StatusCode, got.bytes, got.Header)
		}
	}
}

// A store that ends early, as one does whose context has ended, makes no whole export.
func TestExportOfALazyStore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := query.New(long(900), querytest.Codecs)
	networks := querytest.Must(a.Networks(ctx))
	cancel()
	var out strings.Builder
	if _, err := a.Export(ctx, query.ExportRequest{Networks: networks, Format: query.NDJSON}, &out, querytest.Idle); !errors.Is(err, context.Canceled) || strings.Contains(out.String(), "_end") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// stuck is a client that takes nothing: its first write tells how much was read by then, and fails.
type stuck struct {
	http.ResponseWriter
	done func()
}

func (s stuck) Write([]byte) (int, error) {
	s.done()
	return 0, io.ErrClosedPipe
}

// An export is read as fast as the client takes it, and no further than a few units ahead.
func TestExportWaitsForItsClient(t *testing.T) {
	m := long(5000)
	var units uint64
	for _, format := range []string{"ndjson", "csv"} {
		writes := 0
		w := stuck{httptest.NewRecorder(), func() {
			writes++
			units = m.Read.Load()
		}}
		m.Read.Store(0)
		func() {
			defer func() { _ = recover() }() // the connection is cut
			querytest.Handler(query.New(m, querytest.Codecs)).ServeHTTP(w, querytest.HttpGet("/v1/export?format="+format))
		}()
		if writes != 1 || units == 0 || units > 400 || m.Read.Load() > units+10 {
			t.Errorf("%s: %d writes, %d of 5000 units read, %d in the end", format, writes, units, m.Read.Load())
		}
	}
}

// placeOf is what a client makes of the last whole row that it has.
func placeOf(network string, seq, pos any) string {
	text := fmt.Sprintf("%v/%v/%v", network, seq, pos)
	return strings.TrimSuffix(strings.TrimSuffix(text, "<nil>"), "/")
}

// lastLine returns the whole lines of a cut export and the place of the last.
func lastLine(t *testing.T, cut string) (rows, place string) {
	t.Helper()
	rows = cut[:strings.LastIndexByte(cut, '\n')+1]
	if rows == "" {
		return "", ""
	}
	var row struct {
		Network string `json:"network"`
		Seq     uint64 `json:"seq"`
		Pos     *uint32
	}
	lines := strings.Split(rows, "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-2]), &row); err != nil {
		t.Fatal(err)
	}
	if row.Pos == nil {
		return rows, placeOf(row.Network, row.Seq, nil)
	}
	return rows, placeOf(row.Network, row.Seq, *row.Pos)
}

// An export that is cut anywhere and what follows its last whole row are the whole, while new units come.
func TestExportGoesOn(t *testing.T) {
	l := querytest.NewLibrary(t)
	for _, name := range []string{"old", "new"} {
		follows := ""
		if name == "new" {
			follows = "old"
		}
		id := l.AddNetwork(name, follows)
		for seq := uint64(1); seq <= 30; seq++ {
			l.AddUnit(id, seq, int64(seq)*1000, "T|addr1A|word one", "-||word two", `=1|addr1B|{"a":"b"}`)
		}
	}
	l.Held[2][7].Posts = []ledger.Posting{{Key: ledger.Key{Kind: ledger.KeyAddress, Val: "addr1A"}, Role: ledger.RoleReceive, Value: ledger.Coins(1)}}
	l.CatchUp()
	a := l.Indexed()
	a.Bounds().Page = 7
	url := served(t, querytest.Handler(a)) + "/v1/export?"
	rng := rand.New(rand.NewPCG(1, 2))
	for _, q := range []string{"", "q=word", "q=tag:T", "q=addr:addr1A", "q=addr:addr1A+NOT+kind:data", "network=new", "network=old&q=tag:T"} {
		before := string(fetch(t, "GET", url+q).bytes)
		for i := range 40 {
			if i == 20 { // the archive grows
				l.AddUnit(1, uint64(len(l.Held[1])+1), 31_000, "T|addr1A|word later")
				l.AddUnit(2, uint64(len(l.Held[2])+1), 31_000, "T|addr1A|word later")
				l.CatchUp()
			}
			whole, wholeEnd := unpack(t, fetch(t, "GET", url+q).bytes)
			rows, place := lastLine(t, before[:rng.IntN(len(before)-len(`{"_end":true}`))])
			part := q
			if place != "" {
				part += "&after=" + neturl.QueryEscape(place)
			}
			got := fetch(t, "GET", url+part)
			rest, end := unpack(t, got.bytes)
			if place == "" {
				rows = ""
			}
			if grown := i >= 20; !grown && rows+rest != whole || grown && !continues(whole, rows+rest) || end == nil || wholeEnd == nil || end.SHA256 != sha([]byte(rest)) || end.Rows != strings.Count(rest, "\n") {
				t.Fatalf("%s, cut behind %s: end %+v, %d + %d rows are not the %d of the whole", q, place, end, strings.Count(rows, "\n"), strings.Count(rest, "\n"), strings.Count(whole, "\n"))
			}
		}
	}
}

// continues reports whether the rows of got are those of whole, without such as came, behind the cut, to a network that was
// passed by then.
func continues(whole, got string) bool {
	have := strings.Split(got, "\n")
	missing := slices.DeleteFunc(strings.Split(whole, "\n"), func(line string) bool { return slices.Contains(have, line) })
	i := 0
	for line := range strings.SplitSeq(whole, "\n") {
		if i < len(have) && have[i] == line {
			i++
		}
	}
	return i == len(have) && !slices.ContainsFunc(missing, func(line string) bool { return !strings.Contains(line, `"seq":3`) })
}

// The same for a table: the second part has a header row of its own.
func TestTableGoesOn(t *testing.T) {
	m := querytest.Sample()
	a := query.New(m, querytest.Codecs)
	url := served(t, querytest.Handler(a)) + "/v1/export?format=csv"
	whole := fetch(t, "GET", url).bytes
	want := querytest.Must(csv.NewReader(bytes.NewReader(whole)).ReadAll())
	for i := 1; i < len(want); i++ {
		place := placeOf(want[i][0], want[i][1], want[i][2])
		got := fetch(t, "GET", url+"&after="+neturl.QueryEscape(place))
		rest, err := csv.NewReader(bytes.NewReader(got.bytes)).ReadAll()
		if err != nil || !slices.EqualFunc(rest[1:], want[i+1:], slices.Equal) || !slices.Equal(rest[0], want[0]) ||
			got.Trailer.Get("X-Rows") != strconv.Itoa(len(rest)-1) || got.Trailer.Get("X-Sha256") != sha(got.bytes) {
			t.Fatalf("behind %s: %d rows, want %d, %v, %v", place, len(rest)-1, len(want)-1-i, got.Trailer, err)
		}
	}
}

func TestExportBadInput(t *testing.T) {
	h := querytest.ServiceOf(querytest.Sample())
	for _, c := range []struct{ url, kind string }{
		{"?format=xlsx", "bad-parameter"},
		{"?format=CSV", "bad-parameter"},
		{"?after=", "bad-parameter"},
		{"?after=a", "bad-parameter"},
		{"?after=a/1/2/3", "bad-parameter"},
		{"?after=a/1/", "bad-parameter"},
		{"?after=a/-1/2", "bad-parameter"},
		{"?after=a/01/2", "bad-parameter"},
		{"?after=a/1/0x1", "bad-parameter"},
		{"?after=a/1/16777215", "bad-parameter"},
		{"?after=a/18446744073709551616/0", "bad-parameter"},
		{"?after=a/1095216660480/0", "bad-parameter"},
		{"?after=nosuch/1/2", "bad-parameter"},
		{"?after=b/3/0&network=a", "bad-parameter"},
		{"?after=a/1/2%00", "bad-parameter"},
		{"?after=a/21/0", "bad-parameter"},
		{"?network=nosuch", "unknown-network"},
		{"?q=tagg:X", "bad-query"},
		{"?q=%28", "bad-query"},
		{"?limit=1", "bad-parameter"},
	} {
		checkProblem(t, c.url, querytest.Get(t, h, "/v1/export"+c.url), c.kind)
	}
}

// An export whose query the index cannot answer for all that is held says so beforehand, and breaks off.
func TestExportBehindIsNoWhole(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, 1000, "T||word")
	l.CatchUp()
	l.AddUnit(id, 2, 2000, "T||word")
	a := l.Indexed()
	a.Bounds().Patience = 0
	url := served(t, querytest.Handler(a)) + "/v1/export?format=csv&q="
	got := fetch(t, "GET", url+"word")
	if got.err == nil || got.Header.Get("X-Coverage-Complete") != "false" || !strings.Contains(got.Header.Get("X-Unsearched"), "units 2 are not in the index") || got.Trailer.Get("X-Rows") != "" {
		t.Errorf("%v, %v, trailers %v, %s", got.err, got.Header, got.Trailer, got.bytes)
	}
	if got := fetch(t, "GET", url+"tag:T"); got.err != nil || got.Trailer.Get("X-Rows") != "2" || got.Header.Get("X-Unsearched") != "" {
		t.Errorf("a tag needs no index: %v %v %s", got.err, got.Trailer, got.bytes)
	}
}

// late is an index that catches up behind its first answer.
type late struct {
	query.Index
	once    sync.Once
	catchUp func()
}

func (x *late) Search(ctx context.Context, req index.Request) (index.Result, error) {
	got, err := x.Index.Search(ctx, req)
	x.once.Do(x.catchUp)
	return got, err
}

// Units that were committed a moment ago are waited for.
func TestExportWaitsForTheIndex(t *testing.T) {
	l := querytest.NewLibrary(t)
	id := l.AddNetwork("n", "")
	l.AddUnit(id, 1, 1000, "T||word")
	l.CatchUp()
	l.AddUnit(id, 2, 2000, "T||word")
	a := l.Plain()
	a.UseIndex(&late{Index: l.Index, catchUp: l.CatchUp})
	got := fetch(t, "GET", served(t, querytest.Handler(a))+"/v1/export?q=word")
	if got.err != nil || got.Trailer.Get("X-Rows") != "2" || got.Header.Get("X-Coverage-Complete") != "true" {
		t.Errorf("%v %v %v %s", got.err, got.Header, got.Trailer, got.bytes)
	}
}

// buggy is a codec that panics at one record.
type buggy struct{ querytest.Toy }

func (b buggy) Outline(r *ledger.Record, t ledger.Trust) (ledger.Facts, error) {
	if r.Ord.Seq == 850 {
		panic("as a test wants")
	}
	return b.Toy.Outline(r, t)
}

// A bug costs one export, and not the service.
func TestExportWithABug(t *testing.T) {
	a := query.New(long(900), func(ledger.Era) (ledger.Codec, bool) { return buggy{}, true })
	url := served(t, querytest.Handler(a)) + "/v1/export"
	if got := fetch(t, "GET", url); got.err == nil || bytes.Contains(got.bytes, []byte("_end")) || bytes.Contains(got.bytes, []byte("as a test wants")) {
		t.Errorf("the body ends with %v", got.err)
	}
	if got := fetch(t, "GET", url+"?after=a/849"); got.StatusCode != 500 || bytes.Contains(got.bytes, []byte("as a test wants")) {
		t.Errorf("%d %s", got.StatusCode, got.bytes)
	}
	if got := fetch(t, "GET", url+"?after=a/850"); got.err != nil || got.Trailer.Get("X-Rows") == "" {
		t.Errorf("%d %v", got.StatusCode, got.err)
	}
}

// endless is a store of one network whose units are made as they are read. at is told of each.
type endless struct {
	*querytest.Memory
	at func(seq uint64)
}

func newEndless(units uint64, at func(uint64)) endless {
	m := querytest.NewMemory()
	m.Add("a", nil, nil)
	m.Cover[1] = storage.Coverage{Spans: []storage.Span{{Lo: 1, Hi: units}}}
	return endless{m, at}
}

func (e endless) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := lo; seq <= hi; seq++ {
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			e.at(seq)
			if !yield(querytest.ToyCone(net, seq), nil) {
				return
			}
		}
	}
}

// An export ends when its client goes, however much there is.
func TestExportEndsWithItsClient(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		h, ended := querytest.Handler(query.New(newEndless(1<<40, func(uint64) {}), querytest.Codecs)), make(chan struct{})
		url := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			h.ServeHTTP(w, r)
		}))
		res, err := http.Get(url + "/v1/export?format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("the export goes on without its client")
		}
	}
}

// The memory of an export does not grow with its rows.
func TestExportMemoryIsFlat(t *testing.T) {
	if race.Enabled {
		t.Skip("the memory of the race detector is not ours; the run without it measures")
	}
	const units = 20_000
	var first, most uint64
	at := func(seq uint64) {
		if seq%2000 != 0 {
			return
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		if first == 0 {
			first = m.HeapAlloc
		}
		most = max(most, m.HeapAlloc)
	}
	a := query.New(newEndless(units, at), querytest.Codecs)
	for _, format := range []string{query.NDJSON, query.CSV} {
		done, err := a.Export(t.Context(), query.ExportRequest{Networks: querytest.Must(a.Networks(t.Context())), Format: format}, io.Discard, querytest.Idle)
		if err != nil || done.Rows != units*3 || most > first+(8<<20) {
			t.Errorf("%s: %d rows, %v, heap %d, then %d bytes", format, done.Rows, err, first, most)
		}
	}
}

// Encoded answers keep their trailers, and break as recognisably.
func TestExportEncoded(t *testing.T) {
	m := long(900)
	url := served(t, querytest.Handler(query.New(m, querytest.Codecs))) + "/v1/export?format=csv"
	plain := fetch(t, "GET", url, "Accept-Encoding", "identity")
	got := fetch(t, "GET", url, "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(bytes.NewReader(got.bytes))
	if err != nil || got.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(err, got.Header)
	}
	text, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(text, plain.bytes) || got.Trailer.Get("X-Sha256") != sha(text) || got.Trailer.Get("X-Rows") != plain.Trailer.Get("X-Rows") {
		t.Errorf("%v, %d bytes, trailers %v", err, len(text), got.Trailer)
	}
	m.Fail, m.FailAt = storage.ErrCorrupt, ledger.Ord{Seq: 850}
	if got := fetch(t, "GET", url, "Accept-Encoding", "gzip"); got.err == nil || got.Trailer.Get("X-Rows") != "" {
		t.Errorf("a broken export ends with %v, trailers %v", got.err, got.Trailer)
	}
}
