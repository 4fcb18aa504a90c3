package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

// A stream whose connections break anywhere tells every record once, in order.
func TestStreamGoesOn(t *testing.T) {
	a := recorded(t, "")
	networks, err := a.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var want []query.Item
	if _, err := a.Each(t.Context(), query.SearchRequest{Networks: networks, Query: "kind:tagged-data", Order: query.OldestFirst}, func(i query.Item) error {
		want = append(want, i)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	cutter := &cutting{service(a), make(chan int, 200)}
	for range cap(cutter.cuts) {
		cutter.cuts <- 1000 + rnd.IntN(40_000)
	}
	c := serve(t, cutter)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got []query.Item
	starts := 0
	for m, err := range c.Stream(ctx, client.Stream{Query: "kind:tagged-data", Oldest: true}) {
		if err != nil {
			t.Fatalf("after %d records: %v", len(got), err)
		}
		if m.Start != nil {
			starts++
		}
		if m.Item != nil {
			if got = append(got, *m.Item); len(got) == len(want) {
				break
			}
		}
	}
	same(t, "records", got, want)
	if starts < 3 {
		t.Errorf("%d connections", starts)
	}
	for _, err := range c.Stream(ctx, client.Stream{Query: "("}) {
		if !errors.Is(err, client.ErrBadRequest) {
			t.Errorf("a bad query: %v", err)
		}
	}
	for _, err := range c.Stream(ctx, client.Stream{Cursor: "nonsense"}) {
		if !errors.Is(err, query.ErrBadCursor) {
			t.Errorf("a bad cursor: %v", err)
		}
	}
}

// events writes a stream.
func events(text string) http.HandlerFunc {
	return said(200, http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, text)
}

func record(seq int) string {
	return fmt.Sprintf("id: c%d\r\nevent: record\r\ndata: {\"network\":\"a\",\r\ndata: \"seq\":%d,\"pos\":0}\r\n\r\n", seq, seq)
}

const begin = "retry: 3000\nid: c0\nevent: start\ndata: {\"query\":\"\",\"networks\":[\"a\"]}\n\n"

// The places that a service names are those that are gone on with, whichever message named them; ends that another
// connection cures are not told as errors.
func TestStreamPlaces(t *testing.T) {
	var asked []string
	parts := []string{
		begin + record(1) + "event: notice\ndata: {\"network\":\"a\",\"kind\":\"gap\",\"from\":2,\"to\":3,\"reason\":\"x\"}\nid: c3\n\n" + "id: c4\nevent: rec",
		begin + ": heartbeat\nid: c5\n\n" + "event: end\ndata: {\"reason\":\"slow\",\"detail\":\"x\"}\n\n",
		begin + "event: of-later\nid: c6\ndata: {}\n\n: heartbeat\n\n" + record(7) + record(8),
		begin + "event: end\ndata: {\"reason\":\"corrupt\",\"detail\":\"a record\"}\n\n",
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("cursor")+r.URL.Query().Get("from"))
		part := parts[min(len(asked), len(parts))-1]
		if len(asked) > 1 { // each begins where the one before ended
			part = strings.Replace(part, "id: c0\n", "", 1)
		}
		events(part)(w, r)
	})
	var told []string
	var last error
	for m, err := range serve(t, h).Stream(t.Context(), client.Stream{Oldest: true}) {
		switch {
		case err != nil:
			last = err
		case m.Start != nil:
			told = append(told, "start")
		case m.Item != nil:
			told = append(told, fmt.Sprint(m.Item.Seq, " ", m.Cursor))
		case m.Notice != nil:
			told = append(told, fmt.Sprint(m.Notice.From, " to ", m.Notice.To, " ", m.Cursor))
		case m.End != nil:
			told = append(told, m.End.Reason)
		default:
			told = append(told, "at "+m.Cursor)
		}
	}
	want := []string{"start", "1 c1", "2 to 3 c3", "start", "at c5", "slow", "start", "at c6", "7 c7", "8 c8", "start", "corrupt"}
	if !slices.Equal(told, want) || !slices.Equal(asked, []string{"oldest", "c3", "c5", "c8"}) {
		t.Errorf("told %q\nwant %q\nasked %q", told, want, asked)
	}
	var end *client.EndError
	if !errors.Is(last, storage.ErrCorrupt) || !errors.As(last, &end) || end.Detail != "a record" {
		t.Errorf("%v", last)
	}
}

// A stream that is none, or brings nothing however often it is begun, ends with an error.
func TestStreamThatIsNone(t *testing.T) {
	for name, test := range map[string]struct {
		h     http.HandlerFunc
		asked int64
	}{
		"a page":       {said(200, page, "<html>"), 1},
		"nothing":      {events(""), 8},
		"starts":       {events(begin), 8},
		"broken JSON":  {events("event: record\ndata: {\n\n"), 1},
		"endless line": {events(strings.Repeat("x", 65<<20)), 1},
	} {
		h, asked := answers(test.h)
		var last error
		records := 0
		for m, err := range serve(t, h).Stream(t.Context(), client.Stream{}) {
			last = err
			if m.Item != nil {
				records++
			}
		}
		if last == nil || records > 0 || asked.Load() != test.asked {
			t.Errorf("%s: %d records, asked %d times: %v", name, records, asked.Load(), last)
		}
	}
	h, _ := answers(events(begin + record(1) + record(2)))
	n := 0
	for range serve(t, h).Stream(t.Context(), client.Stream{}) {
		if n++; n == 2 {
			break // whoever has enough is not asked again
		}
	}
	var forever atomic.Int64
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forever.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, begin)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	for m, err := range serve(t, slow).Stream(ctx, client.Stream{}) {
		if m.Start != nil {
			stop()
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	}
	stop()
	if forever.Load() != 1 {
		t.Errorf("asked %d times", forever.Load())
	}
}
