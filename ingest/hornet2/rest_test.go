package hornet2

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/stardust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened holds the recordings, each read once.
var opened = map[string]*replay.Recording{}

func testNode(t *testing.T, name string) *replay.Node {
	t.Helper()
	if opened[name] == nil {
		rec, err := replay.OpenRecording(os.DirFS(ledgertest.Recording(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		opened[name] = rec
	}
	return replay.NewNode(opened[name])
}

func testSource(t *testing.T, h http.Handler, c Config) *Source {
	t.Helper()
	srv := httptest.NewServer(h)
	c.URL = srv.URL + c.URL
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		srv.CloseClientConnections()
		srv.Close()
	})
	return s
}

func TestAddress(t *testing.T) {
	for _, good := range []string{
		"http://127.0.0.1:14265", "https://node.example/", "http://node.example:14265/api/core/v2", "http://[::1]:14265",
		"https://user:secret@node.example/prefix/",
	} {
		if _, err := New(Config{URL: good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "node.example:14265", "127.0.0.1:14265", "ftp://node.example", "http://", "http:node.example", "file:///etc/passwd",
		"http://user:secret@node.example/?token=secret", "http://user:secret@node.example/#secret", "http://user:secret@node.example:port/",
		"http://user:secret@", "mqtt://user:secret@node.example", "http://user:secret@node.example/\x7f",
	} {
		_, err := New(Config{URL: bad})
		if err == nil {
			t.Errorf("%q was taken", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows credentials: %v", bad, err)
		}
	}
}

func TestCredentialsStayHidden(t *testing.T) {
	s, err := New(Config{URL: "http://user:secret@127.0.0.1:1/"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Info(context.Background())
	if err == nil || strings.Contains(err.Error()+s.Name(), "secret") || strings.Contains(err.Error()+s.Name(), "user") {
		t.Errorf("name %q, error %v", s.Name(), err)
	}
}

func TestInfo(t *testing.T) {
	for _, name := range []string{"stardust", "stardust-migration"} {
		raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, name), "trust.json"))
		if err != nil {
			t.Fatal(err)
		}
		trust, err := stardust.Codec{}.ParseTrust(raw)
		if err != nil {
			t.Fatal(err)
		}
		n := testNode(t, name)
		info, err := testSource(t, n, Config{}).Info(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if info.Identity != trust.Identity || info.Newest != n.Tip() || info.Oldest != 1 || info.Software != "HORNET 2.0.1" {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

// A trust file made from a node names the signers that the recording's own trust file names for the two
// milestones, and nothing else.
func TestTrustFromNode(t *testing.T) {
	raw, err := testSource(t, testNode(t, "stardust"), Config{}).Trust(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := stardust.Codec{}.ParseTrust(raw)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1142045904579614601"; trust.Identity != want || bytes.Count(raw, []byte(`"key":`)) != 3 {
		t.Errorf("%s", raw)
	}
}

func TestPrunedIsNotUnknown(t *testing.T) {
	n := testNode(t, "stardust")
	gone := replay.Rule{Path: `/by-index/([1-9]|[1-5][0-9]|60)$`, Do: replay.Missing}
	s := testSource(t, replay.NewFaults(n, 1, replay.InfoStatus("pruningIndex", func() uint64 { return 60 }), gone), Config{})
	ctx := context.Background()
	if _, err := s.Head(ctx, 60); !errors.Is(err, ingest.ErrPruned) {
		t.Errorf("unit 60: %v", err)
	}
	if _, err := s.Head(ctx, 61); err != nil {
		t.Errorf("unit 61: %v", err)
	}
	if _, err := s.Head(ctx, n.Tip()+1); !errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrPruned) {
		t.Errorf("unit %d: %v", n.Tip()+1, err)
	}
}

// Whatever a node does instead of answering, a request ends in time with an error, and memory stays bounded.
func TestBadAnswers(t *testing.T) {
	text := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(body))
		}
	}
	n := testNode(t, "stardust")
	fault := func(f replay.Fault) http.Handler { return replay.NewFaults(n, 1, replay.Rule{Do: f}) }
	block := strings.Repeat("x", maxBlock+1)
	for name, h := range map[string]http.Handler{
		"JSON for raw":        text("application/json", `{"protocolVersion":2}`),
		"raw too long":        text(raw, block),
		"HTML":                text("text/html", "<html>"),
		"no type":             text("", ""),
		"reset":               fault(replay.Reset),
		"half":                fault(replay.Half),
		"slow":                fault(replay.Slow(50 * time.Millisecond)),
		"late":                fault(replay.Delay(time.Minute)),
		"endless":             fault(replay.Endless),
		"a frame of 1 GiB":    fault(replay.Oversized(1 << 30)),
		"a bomb of 1 GiB":     fault(replay.Bomb(1 << 30)),
		"not synced":          fault(replay.Status(http.StatusServiceUnavailable)),
		"elsewhere":           http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound),
		"an answer in pieces": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
	} {
		t.Run(name, func(t *testing.T) {
			s := testSource(t, h, Config{Timeout: 300 * time.Millisecond})
			ctx := context.Background()
			before := heap()
			began := time.Now()
			ids := []ledger.ID{blockOf(t, "bdab82a30ff5183e77a3029a51ddfcdbd60e3c3f7195caaf44799ab1157631f5")}
			_, infoErr := s.Info(ctx)
			_, headErr := s.Head(ctx, 5)
			raws, fetchErr := s.Fetch(ctx, ids)
			claims, claimsErr := s.Claims(ctx, 5, ids)
			for what, err := range map[string]error{"info": infoErr, "head": headErr, "fetch": fetchErr, "claims": claimsErr} {
				if err == nil || errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrPruned) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if len(raws) > 0 || len(claims.Records) > 0 {
				t.Error("something was taken")
			}
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
			if after := heap(); after > before+16<<20 {
				t.Errorf("heap grew from %d to %d bytes", before, after)
			}
		})
	}
}

func blockOf(t *testing.T, text string) ledger.ID {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return ledger.NewID(raw)
}

// heap is what is in use now, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func TestClaimsAreAboutTheRightBlock(t *testing.T) {
	n := testNode(t, "stardust")
	other := "/api/core/v2/blocks/0xbdab82a30ff5183e77a3029a51ddfcdbd60e3c3f7195caaf44799ab1157631f5/metadata"
	s := testSource(t, replay.NewFaults(n, 1, replay.Rule{Path: "/metadata$", Do: replay.Instead(func(string) string { return other })}), Config{})
	claims, err := s.Claims(context.Background(), 3, []ledger.ID{ledger.NewID(bytes.Repeat([]byte{1}, 32))})
	if err == nil || len(claims.Records) != 0 {
		t.Errorf("claims %+v, error %v", claims, err)
	}
}

func TestCancelledAtOnce(t *testing.T) {
	s := testSource(t, replay.NewFaults(testNode(t, "stardust"), 1, replay.Rule{Do: replay.Delay(time.Minute)}), Config{Timeout: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	began := time.Now()
	ids := make([]ledger.ID, 100)
	for i := range ids {
		ids[i] = ledger.NewID(bytes.Repeat([]byte{byte(i)}, 32))
	}
	if _, err := s.Fetch(ctx, ids); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("took %s", d)
	}
}

// T-L12 in bulk: attacks of random kind and size on random routes. Each ends in time, with an error, in
// bounded memory.
func TestLiesOfSize(t *testing.T) {
	count := 60
	if os.Getenv("PERMANODE_TORTURE") != "" {
		count = 1000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n := testNode(t, "stardust")
	var attack atomic.Pointer[replay.Fault]
	s := testSource(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*attack.Load())(w, r, n, rand.New(rand.NewPCG(seed, 1)))
	}), Config{Timeout: 100 * time.Millisecond})
	ctx := context.Background()
	ids := []ledger.ID{blockOf(t, "bdab82a30ff5183e77a3029a51ddfcdbd60e3c3f7195caaf44799ab1157631f5")}
	ask := []func() error{
		func() error { _, err := s.Info(ctx); return err },
		func() error { _, err := s.Head(ctx, 1+rng.Uint64N(100)); return err },
		func() error { _, err := s.Fetch(ctx, ids); return err },
		func() error { _, err := s.Claims(ctx, 1, ids); return err },
	}
	before := heap()
	for i := range count {
		faults := []replay.Fault{
			replay.Oversized(maxInfo + 1 + rng.Int64N(4<<30)), replay.Bomb(1 + rng.Int64N(1<<30)), replay.Endless,
			replay.Slow(time.Duration(20+rng.IntN(1000)) * time.Millisecond), replay.Delay(time.Duration(200+rng.IntN(60_000)) * time.Millisecond),
		}
		kind, route := rng.IntN(len(faults)), rng.IntN(len(ask))
		attack.Store(&faults[kind])
		began := time.Now()
		if err := ask[route](); err == nil || errors.Is(err, ingest.ErrUnknown) {
			t.Fatalf("attack %d, kind %d, route %d: %v", i, kind, route, err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Fatalf("attack %d, kind %d, route %d took %s", i, kind, route, d)
		}
		if after := heap(); after > before+64<<20 {
			t.Fatalf("attack %d, kind %d, route %d: heap grew from %d to %d bytes", i, kind, route, before, after)
		}
	}
}
