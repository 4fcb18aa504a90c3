package client_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

// cutting hands answers of h on and breaks the connection after some bytes of each, while any remain in cuts.
type cutting struct {
	h    http.Handler
	cuts chan int
}

func (c *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case n := <-c.cuts:
		cut := &cutWriter{ResponseWriter: w, left: n}
		if c.h.ServeHTTP(cut, r); cut.done {
			panic(http.ErrAbortHandler)
		}
	default:
		c.h.ServeHTTP(w, r)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
	done bool
}

func (w *cutWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *cutWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		if !w.done {
			w.done = true
			_, _ = w.ResponseWriter.Write(b[:w.left])
			_ = http.NewResponseController(w.ResponseWriter).Flush()
		}
		return 0, io.ErrClosedPipe
	}
	w.left -= len(b)
	return w.ResponseWriter.Write(b)
}

// An export that breaks off any number of times, anywhere, is in the end the export that did not: the same bytes, and
// one last line over all of them.
func TestExportIsResumed(t *testing.T) {
	a := recorded(t, "")
	networks, err := a.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cutter := &cutting{service(a), make(chan int, 100)}
	c := serve(t, cutter)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for _, e := range []client.Export{
		{Format: query.NDJSON},
		{Format: query.CSV},
		{Query: "battery"},
		{Query: "kind:transaction OR kind:unit", Format: query.CSV},
		{Network: network, After: network + "/80/3"},
		{Query: "zzzunknownzzz"},
		{Query: "zzzunknownzzz", Format: query.CSV},
	} {
		format := e.Format
		if format == "" {
			format = query.NDJSON
		}
		var want bytes.Buffer
		done, err := a.Export(t.Context(), query.ExportRequest{Networks: networks, Query: e.Query, Format: format, After: e.After}, &want, func(_, _, _ uint64) {})
		if err != nil {
			t.Fatal(err)
		}
		for range race.Fewer(3) {
			for range rnd.IntN(min(20, 2+int(done.Rows))) { // without rows it is not gone on with for ever
				cutter.cuts <- rnd.IntN(1 + want.Len()/2)
			}
			var got bytes.Buffer
			var rows uint64
			e.Progress = func(n uint64) { rows = n }
			result, err := c.Export(t.Context(), e, &got)
			if err != nil || result != done || rows != done.Rows || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("%+v: %d rows, want %d, %d bytes, want %d: %v", e, result.Rows, done.Rows, got.Len(), want.Len(), err)
			}
			for len(cutter.cuts) > 0 {
				<-cutter.cuts
			}
		}
	}
}

// An export that never gets further ends, with what there is of it and no last line.
func TestExportThatIsAlwaysCut(t *testing.T) {
	var asked atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/x-ndjson")
		if r.URL.Query().Get("after") == "" {
			_, _ = io.WriteString(w, `{"network":"a","seq":7,"pos":3}`+"\n"+`{"network":"a","seq":7,"po`)
		}
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var out bytes.Buffer
	done, err := serve(t, h).Export(t.Context(), client.Export{}, &out)
	if !errors.Is(err, io.ErrUnexpectedEOF) || done.Rows != 1 || out.String() != `{"network":"a","seq":7,"pos":3}`+"\n" || asked.Load() != 8 {
		t.Errorf("%d rows after %d answers, %q: %v", done.Rows, asked.Load(), out.String(), err)
	}
}

// Over a gap an export is whole and says what is missing.
func TestExportOverGap(t *testing.T) {
	a := recorded(t, "blocks/0xae1daf0122b8d2d904655382c563071e49230d7609f282f122b361088adb1714")
	networks, err := a.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, service(a))
	for _, e := range []client.Export{{}, {Format: query.CSV}, {Query: "battery"}} {
		req := query.ExportRequest{Networks: networks, Query: e.Query, Format: e.Format}
		if req.Format == "" {
			req.Format = query.NDJSON
		}
		var want, got bytes.Buffer
		_, wantErr := a.Export(t.Context(), req, &want, func(_, _, _ uint64) {})
		_, err := c.Export(t.Context(), e, &got)
		if !errors.Is(err, storage.ErrIncomplete) || wantErr == nil || err.Error() != wantErr.Error() || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%+v: %v, want %v", e, err, wantErr)
		}
	}
}

// An export whose bytes are not those that the service wrote is no export, and is not asked for again.
func TestDamagedExport(t *testing.T) {
	row := `{"network":"a","seq":1,"pos":0}` + "\n"
	const sum = "5d28d1af3fc5b2cd7f9b3ee4d8a0f4e5a4d2d5d4d9ed4c4a8ee6c5e83f5cb5a1" // of nothing here
	for name, body := range map[string]string{
		"other bytes":          row + `{"_end":true,"rows":1,"sha256":"` + sum + `"}` + "\n",
		"a row behind the end": row + `{"_end":true,"rows":1,"sha256":"` + sum + `"}` + "\n" + row,
		"a row without place":  `{"x":1}` + "\n" + "half",
		"no rows but bytes":    "\n\n\n",
	} {
		h, asked := answers(said(200, http.Header{"Content-Type": {"application/x-ndjson"}}, body))
		var out bytes.Buffer
		_, err := serve(t, h).Export(t.Context(), client.Export{}, &out)
		if err == nil || strings.Contains(out.String(), `"_end"`) || asked.Load() > 1 {
			t.Errorf("%s: %v after %d answers: %s", name, err, asked.Load(), out.String())
		}
	}
	h, _ := answers(said(200, page, "<html>"))
	if _, err := serve(t, h).Export(t.Context(), client.Export{}, io.Discard); !isNoService(err) {
		t.Errorf("a page: %v", err)
	}
	h, asked := answers(no(400, "bad-query", ""))
	if _, err := serve(t, h).Export(t.Context(), client.Export{Query: "("}, io.Discard); !errors.Is(err, client.ErrBadRequest) || asked.Load() != 1 {
		t.Errorf("a bad query: %v", err)
	}
}

// What cannot be written ends the export at once.
func TestExportIntoFullDisk(t *testing.T) {
	full := errors.New("no room")
	c := serve(t, service(recorded(t, "")))
	if _, err := c.Export(t.Context(), client.Export{}, failing{full}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Tables have line ends within cells, which no cut and no compression may confuse.
func TestTableIsResumedWithinCells(t *testing.T) {
	rows := [][]string{{"network", "seq", "pos", "text"}}
	for i := range 40 {
		rows = append(rows, []string{"a", fmt.Sprint(i), []string{"", "0", "7"}[i%3], []string{"plain", "two\r\nlines, \"quoted\"", "\n\n\"", ""}[i%4]})
	}
	var want bytes.Buffer
	w := csv.NewWriter(&want)
	w.UseCRLF = true
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	heading, _, _ := strings.Cut(want.String(), "\n")
	for cut := range want.Len() {
		served := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
			w.Header().Set("Trailer", "X-Rows, X-Sha256")
			body, n := want.String(), len(rows)-1
			if after := r.URL.Query().Get("after"); after != "" {
				body, n = behind(t, body, heading, after)
			}
			if served++; served == 1 {
				_, _ = io.WriteString(w, body[:cut])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, body)
			_ = z.Close()
			w.Header().Set("X-Rows", fmt.Sprint(n))
			w.Header().Set("X-Sha256", sha(body))
		})
		srv := httptest.NewServer(h)
		var got bytes.Buffer
		done, err := clientOf(t, srv.URL).Export(t.Context(), client.Export{Format: query.CSV}, &got)
		if err != nil || got.String() != want.String() || done.Rows != uint64(len(rows)-1) || done.SHA256 != sha(want.String()) {
			t.Fatalf("cut at %d: %v, %d rows\n%q", cut, err, done.Rows, got.String())
		}
		srv.Close()
	}
}

// behind returns what is left of a table behind a place, under its heading, and how many rows that are.
func behind(t *testing.T, table, heading, after string) (string, int) {
	all, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	for i, row := range all[1:] {
		if strings.TrimSuffix(strings.Join(row[:3], "/"), "/") == after {
			if err := w.WriteAll(all[i+2:]); err != nil {
				t.Error(err)
			}
			return heading + "\n" + out.String(), len(all) - i - 2
		}
	}
	t.Errorf("no row at %s", after)
	return table, len(all) - 1
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
