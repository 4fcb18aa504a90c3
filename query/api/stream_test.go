package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"permanode/ledger"
	"permanode/query"
	"permanode/query/querytest"
	"permanode/storage"
)

// listen begins a stream in a bubble. end cuts it, as a client that goes.
func listen(t *testing.T, h http.Handler, url, lastID string) (w *tap, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequest(http.MethodGet, url, nil).WithContext(ctx)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	w = newTap()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
				panic(fault)
			}
		}()
		h.ServeHTTP(w, r)
	}()
	synctest.Wait()
	return w, func() {
		cancel()
		<-done
	}
}

// streamQueries are questions of every kind.
var streamQueries = []string{
	"", "tag:t0", "tag:t*", "addr:addr11", "text:plain", `"text 3"`, "tag:t2 OR text:plain", "NOT tag:t0", "state:applied kind:data",
	"unit:3..5", "after:2021-11-26T04:01:33Z", "network:a tag:t0", "kind:unit", "tag:none", "tag:t0 unit:4", "text:plain before:2021-11-26T04:01:36Z",
	"id:0x" + querytest.HashID([]byte("unit 4 of 1")).String(), "kind:unit id:0x" + querytest.HashID([]byte("unit 4 of 1")).String(),
	"tag:t1 OR id:0x" + querytest.HashID([]byte("unit 3 of 2")).String(),
}

// A stream from the oldest on has what a search finds, whether it was held before or comes live.
func TestStreamHasWhatASearchFinds(t *testing.T) {
	raws := func(net, seq int) (raws []string) {
		for pos := range (seq + net) % 4 {
			raws = append(raws, fmt.Sprintf("t%d|addr1%d|text %d of %d", pos, pos%2, seq, net))
		}
		return append(raws, fmt.Sprintf("-||plain %d of %d", seq, net))
	}
	for _, q := range streamQueries {
		t.Run(q, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTape("a", "b")
				grow := func(from, to int) {
					for seq := from; seq <= to; seq++ {
						s.unit(1, uint64(seq), raws(1, seq)...)
						s.unit(2, uint64(seq), raws(2, seq)...)
					}
				}
				grow(1, 4)
				a := query.New(s, querytest.Codecs)
				h := liveAPI(a)
				all, endAll := listen(t, h, streamURL("", q, "", "oldest", ""), "")
				now, endNow := listen(t, h, streamURL("", q, "", "", ""), "")
				before := records(t, now.events())
				grow(5, 9)
				synctest.Wait()
				defer endAll()
				defer endNow()
				want := everything(t, s, a, q)
				if got := records(t, all.events()); !maps.EqualFunc(got, want, slices.Equal) {
					t.Errorf("from the oldest:\n got %s\nwant %s", got, want)
				}
				for n, rows := range want {
					rows = slices.DeleteFunc(slices.Clone(rows), func(row string) bool { return unitOf(t, row) < 5 })
					if got := records(t, now.events())[n]; !slices.Equal(got, rows) || len(before) > 0 {
						t.Errorf("from now on, %s:\n got %s\nwant %s", n, got, rows)
					}
				}
			})
		})
	}
}

func unitOf(t *testing.T, row string) (seq int) {
	t.Helper()
	if _, err := fmt.Sscanf(row[strings.Index(row, `"seq":`):], `"seq":%d`, &seq); err != nil {
		t.Fatal(err)
	}
	return seq
}

// everything is what the search of a query finds. What only the index could tell it is asked of one.
func everything(t *testing.T, s *tape, a *query.Archive, q string) map[string][]string {
	t.Helper()
	l := querytest.NewLibrary(t)
	l.Memory.Nets, l.Memory.Cover, l.Memory.Held = s.Nets, s.Cover, s.Held
	l.CatchUp()
	return streamed(t, l.Indexed(), q)
}

// Every connection begins with where it is; heartbeats come when nothing else does, and tell the place that moved.
func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.unit(1, 1, "x||one")
		w, end := listen(t, liveAPI(query.New(s, querytest.Codecs)), streamURL("", "tag:x", "", "", ""), "")
		defer end()
		begin := w.events()
		if len(begin) != 2 || begin[1].name != "start" || begin[1].id == "" || begin[1].data != `{"query":"tag:x","networks":["a"]}` {
			t.Fatalf("begin: %q", begin)
		}
		if ct := w.header.Get("Content-Type"); ct != "text/event-stream; charset=utf-8" || w.header.Get("Cache-Control") != "no-store" {
			t.Errorf("header: %v", w.header)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := w.events(); len(got) != 3 || got[2].id != "" || !strings.HasSuffix(w.text.String(), ": heartbeat\n\n") {
			t.Fatalf("after 15 s: %q", got)
		}
		s.unit(1, 2, "y||nothing for us")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		got := w.events()
		if len(got) != 4 || got[3].id == "" || got[3].id == begin[1].id || got[3].name != "" {
			t.Fatalf("after 30 s: %q", got)
		}
		s.unit(1, 3, "x||two")
		synctest.Wait()
		again, endAgain := listen(t, liveAPI(query.New(s, querytest.Codecs)), streamURL("", "tag:x", "", "", ""), got[3].id)
		defer endAgain()
		if one, two := records(t, w.events()), records(t, again.events()); len(one["a"]) != 1 || !slices.Equal(one["a"], two["a"]) {
			t.Errorf("live %q, resumed %q", one, two)
		}
	})
}

// A stream passes a gap and says so; what is filled behind its back it tells, and does not bring.
func TestStreamTellsGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.Cover[1] = storage.Coverage{Gaps: []storage.Gap{{From: 3, To: 3, Reason: "pruned"}}}
		s.unit(1, 2, "x||two")
		h := liveAPI(query.New(s, querytest.Codecs))
		w, end := listen(t, h, streamURL("", "tag:x", "", "oldest", ""), "")
		defer end()
		s.unit(1, 5, "x||five")
		synctest.Wait()
		s.unit(1, 4, "x||four")
		s.unit(1, 6, "x||six")
		synctest.Wait()
		late, endLate := listen(t, h, streamURL("", "tag:x", "", "oldest", ""), "")
		defer endLate()
		names := func(all []event) (out []string) {
			for _, e := range all {
				switch e.name {
				case "record":
					out = append(out, fmt.Sprint(unitOf(t, e.data)))
				case "notice":
					out = append(out, e.data)
				}
			}
			return out
		}
		want := []string{
			"2", `{"network":"a","kind":"gap","from":3,"to":3,"reason":"pruned"}`,
			`{"network":"a","kind":"gap","from":4,"to":4,"reason":"not collected: it lies between two spans"}`, "5",
			`{"network":"a","kind":"filled","from":4,"to":4,"reason":"committed after the stream had passed"}`, "6",
		}
		if got := names(w.events()); !slices.Equal(got, want) {
			t.Errorf("live:\n got %q\nwant %q", got, want)
		}
		want = []string{"2", `{"network":"a","kind":"gap","from":3,"to":3,"reason":"pruned"}`, "4", "5", "6"}
		if got := names(late.events()); !slices.Equal(got, want) {
			t.Errorf("late:\n got %q\nwant %q", got, want)
		}
	})
}

// All who ask the same share the reading, and those who ask something else share the cones.
func TestStreamsReadAConeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.unit(1, 1, "x||one")
		h := liveAPI(query.New(s, querytest.Codecs))
		var taps []*tap
		for i := range 40 {
			w, end := listen(t, h, streamURL("", []string{"tag:x", "tag:y", "text:two"}[i%3], "", "", ""), "")
			defer end()
			taps = append(taps, w)
		}
		s.unit(1, 2, "x||two", "y||three")
		synctest.Wait()
		if n := s.reads[ledger.Ord{Seq: 2, Pos: 1}]; n != 1 {
			t.Errorf("unit 2 was read %d times", n)
		}
		for i, w := range taps {
			if got := records(t, w.events())["a"]; len(got) != 1 {
				t.Errorf("client %d has %q", i, got)
			}
		}
	})
}

// A client that takes nothing for a while, and for whom more waits than is kept, is told so and let go; others have all.
func TestSlowStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.unit(1, 1, "x||one")
		h := liveAPI(query.New(s, querytest.Codecs))
		quick, end := listen(t, h, streamURL("", "tag:x", "", "", ""), "")
		defer end()
		slow, endSlow := listen(t, h, streamURL("", "tag:x", "", "", ""), "")
		defer endSlow()
		slow.block = func() { time.Sleep(6 * time.Second) }
		const units = 3000
		for seq := range uint64(units) {
			s.unit(1, seq+2, "x||more")
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(records(t, quick.events())["a"]); got != units {
			t.Errorf("the quick one has %d records of %d", got, units)
		}
		all := slow.events()
		last := all[len(all)-1]
		if last.name != "end" || !strings.HasPrefix(last.data, `{"reason":"slow","detail":"`) || last.id != "" {
			t.Fatalf("the slow one ends with %q", last)
		}
		resumed, endResumed := listen(t, h, streamURL("", "tag:x", "", "", ""), all[len(all)-2].id)
		defer endResumed()
		got := append(records(t, all)["a"], records(t, resumed.events())["a"]...)
		if !slices.Equal(got, records(t, quick.events())["a"]) {
			t.Errorf("the slow one and what it resumed have %d records of %d", len(got), units)
		}
	})
}

// A burst larger than the ring loses nobody who reads.
func TestStreamOfABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTape("a")
		s.unit(1, 1, "x||one")
		w, end := listen(t, liveAPI(query.New(s, querytest.Codecs)), streamURL("", "tag:x", "", "", ""), "")
		defer end()
		raws := make([]string, 5000)
		for i := range raws {
			raws[i] = fmt.Sprintf("x||%d", i)
		}
		s.unit(1, 2, raws...)
		s.unit(1, 3, "x||last")
		synctest.Wait()
		got := records(t, w.events())["a"]
		if len(got) != 5001 || len(slices.Compact(got)) != 5001 {
			t.Errorf("%d records of 5001", len(got))
		}
	})
}

// A stream that cannot read the store ends and says why.
func TestStreamEndsAtDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, from := range map[string]string{"live": "", "backlog": "oldest"} {
			s := newTape("a")
			s.unit(1, 1, "x||one")
			s.Fail, s.FailAt = fmt.Errorf("record: %w", storage.ErrCorrupt), ledger.Ord{Seq: 2}
			if from != "" {
				s.unit(1, 2, "x||two")
			}
			w, end := listen(t, liveAPI(query.New(s, querytest.Codecs)), streamURL("", "text:one OR text:two", "", from, ""), "")
			if from == "" {
				s.unit(1, 2, "x||two")
				synctest.Wait()
			}
			all := w.events()
			if last := all[len(all)-1]; last.name != "end" || !strings.HasPrefix(last.data, `{"reason":"corrupt"`) {
				t.Errorf("%s: ends with %q", name, last)
			}
			end()
		}
	})
}

// What is wrong with a stream's question is said before its first byte.
func TestStreamRefuses(t *testing.T) {
	s := newTape("a", "b")
	s.unit(1, 1, "x||one")
	h := liveAPI(query.New(s, querytest.Codecs))
	var cursor string
	synctest.Test(t, func(t *testing.T) {
		w, end := listen(t, liveAPI(query.New(newTape("a", "b"), querytest.Codecs)), streamURL("", "tag:x", "a", "", ""), "")
		cursor = w.events()[1].id
		end()
	})
	for name, c := range map[string]struct{ q, network, from, cursor, lastID, want string }{
		"query":            {"tag:", "", "", "", "", "400 bad-query"},
		"network":          {"tag:x", "c", "", "", "", "404 unknown-network"},
		"from":             {"tag:x", "", "yesterday", "", "", "400 bad-parameter"},
		"both":             {"tag:x", "a", "oldest", cursor, "", "400 bad-parameter"},
		"other query":      {"tag:y", "a", "", cursor, "", "400 bad-cursor"},
		"other networks":   {"tag:x", "", "", cursor, "", "400 bad-cursor"},
		"cut cursor":       {"tag:x", "a", "", cursor[:len(cursor)-3], "", "400 bad-cursor"},
		"longer cursor":    {"tag:x", "a", "", cursor + "AAAA", "", "400 bad-cursor"},
		"made up":          {"tag:x", "a", "", "!", "", "400 bad-cursor"},
		"empty made up":    {"tag:x", "a", "", "AgMA", "", "400 bad-cursor"},
		"foreign last id":  {"tag:y", "a", "oldest", "", cursor, "400 bad-cursor"},
		"garbage last id":  {"tag:x", "a", "", "", "\x01", "400 bad-cursor"},
		"another's number": {"tag:x", "a", "", "7", "", "400 bad-cursor"},
	} {
		r := httptest.NewRequest(http.MethodGet, streamURL("", c.q, c.network, c.from, c.cursor), nil)
		if c.lastID != "" {
			r.Header.Set("Last-Event-ID", c.lastID)
		}
		got := querytest.Do(t, h, r)
		if text := fmt.Sprintf("%d %s", got.Status, strings.TrimPrefix(fmt.Sprint(got.Json(t)["type"]), "urn:permanode:problem:")); text != c.want {
			t.Errorf("%s: %s (%s), want %s", name, text, got.Body, c.want)
		}
	}
	two := httptest.NewRequest(http.MethodGet, "/v1/stream", nil)
	two.Header["Last-Event-Id"] = []string{cursor, cursor}
	if got := querytest.Do(t, h, two); got.Status != http.StatusBadRequest {
		t.Errorf("two ids: %d", got.Status)
	}
	head := querytest.Do(t, h, httptest.NewRequest(http.MethodHead, "/v1/stream?q=tag:x", nil))
	if head.Status != http.StatusOK || head.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" || len(head.Body) > 0 {
		t.Errorf("HEAD: %d %v %q", head.Status, head.Header, head.Body)
	}
}

// A cursor of an archive that holds more waits until this one holds it, and loses nothing.
func TestStreamOfACursorAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more, less := newTape("a"), newTape("a")
		for seq := range uint64(6) {
			more.unit(1, seq+1, fmt.Sprintf("x||%d", seq+1))
		}
		less.unit(1, 1, "x||1")
		w, end := listen(t, liveAPI(query.New(more, querytest.Codecs)), streamURL("", "tag:x", "", "oldest", ""), "")
		all := w.events()
		end()
		w, end = listen(t, liveAPI(query.New(less, querytest.Codecs)), streamURL("", "tag:x", "", "", ""), all[5].id) // behind unit 4
		defer end()
		for seq := range uint64(6) {
			less.unit(1, seq+2, fmt.Sprintf("x||%d", seq+2))
			synctest.Wait()
		}
		got := records(t, w.events())["a"]
		if len(got) != 3 || unitOf(t, got[0]) != 5 || unitOf(t, got[2]) != 7 {
			t.Errorf("got %q", got)
		}
	})
}

// An archive of no network has a stream that waits.
func TestStreamOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, end := listen(t, liveAPI(query.New(newTape(), querytest.Codecs)), "/v1/stream?from=oldest", "")
		defer end()
		if all := w.events(); len(all) != 2 || all[1].data != `{"query":"","networks":[]}` {
			t.Errorf("got %q", all)
		}
	})
}
