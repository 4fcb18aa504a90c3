package iotanode

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/internal/replay"
	"permanode/internal/replay/iotareplay"
	"permanode/internal/wire/iota"
)

// ask puts every question to a source. None may be answered.
func ask(t *testing.T, s ingest.Source, seq uint64) {
	t.Helper()
	ctx := context.Background()
	runtime.GC()
	before, began := heap(), time.Now()
	_, infoErr := s.Info(ctx)
	_, headErr := s.Head(ctx, seq)
	_, raws, coneErr := s.Cone(ctx, seq)
	for what, err := range map[string]error{"info": infoErr, "head": headErr, "cone": coneErr} {
		if what == "info" && strings.HasSuffix(s.Name(), "/honest-info") {
			continue
		}
		if err == nil || errors.Is(err, ingest.ErrUnknown) || errors.Is(err, ingest.ErrPruned) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if raws != nil {
		t.Error("something was taken")
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("took %s", d)
	}
	if after := heap(); after > before+64<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}

// Whatever a server does instead of answering, a question ends in time with an error, and memory stays bounded.
func TestBadHTTPAnswersVector(t *testing.T) {
	chain := miniChain(t)
	node := iotareplay.NewNode(chain)
	files := storeOf(t, chain, nil, iotareplay.Batch{First: 0, Last: chain.Last(), Packed: true})
	text := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	for name, do := range map[string]replay.Fault{
		"reset": replay.Reset, "half": replay.Half, "slow": replay.Slow(50 * time.Millisecond), "late": replay.Delay(time.Minute),
		"endless": replay.Endless, "a body of 1 GiB": replay.Oversized(1 << 30), "a bomb of 1 GiB": replay.Bomb(1 << 30),
		"not ready": replay.Status(http.StatusServiceUnavailable), "too many": replay.Status(http.StatusTooManyRequests),
	} {
		t.Run(name, func(t *testing.T) {
			fault := func(h http.Handler, path string) string {
				return serve(t, replay.NewFaults(h, 1, replay.Rule{Path: path, Do: do}))
			}
			c := Config{Timeout: 200 * time.Millisecond, MaxBytes: 8 << 20, MaxGenesis: 8 << 20}
			c.Address = fault(node.REST(), "")
			r, err := NewREST(c)
			ask(t, closing(t, r, err), 3)
			c.Address = fault(node.Live(), "")
			l, err := NewLive(c)
			if name != "half" && name != "slow" && name != "endless" && name != "a body of 1 GiB" && name != "a bomb of 1 GiB" { // its Info reads no bodies
				ask(t, closing(t, l, err), 3)
			}
			c.Address = fault(files, "/MANIFEST")
			if s, err := OpenStore(context.Background(), c); err == nil {
				closing(t, s, nil)
				t.Error("the store was opened")
			}
			c.Address, c.Name = fault(files, `\.chk$`), "store/honest-info"
			if name == "endless" || name == "a body of 1 GiB" {
				return // goes to the disk, up to the limit for files
			}
			s, err := OpenStore(context.Background(), c)
			ask(t, closing(t, s, err), 3)
		})
	}
	for name, h := range map[string]http.Handler{
		"HTML": text(http.StatusOK, "<html>"), "nothing": text(http.StatusOK, ""), "no content": text(http.StatusNoContent, ""),
		"elsewhere": http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound),
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewREST(Config{Address: serve(t, h)})
			ask(t, closing(t, r, err), 3)
			if s, err := OpenStore(context.Background(), Config{Address: serve(t, h)}); err == nil {
				closing(t, s, nil)
				t.Error("the store was opened")
			}
		})
	}
}

// rawGRPC serves HTTP/2 without TLS; answer writes what follows the headers of a gRPC answer.
func rawGRPC(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.WriteHeader(http.StatusOK)
		answer(w, r)
		w.Header().Set("Grpc-Status", "0")
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return "grpc://" + srv.Listener.Addr().String()
}

func frameHead(packed byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{packed}, length)
}

func TestBadGRPCAnswersVector(t *testing.T) {
	send := func(w http.ResponseWriter, raw ...[]byte) bool {
		for _, b := range raw {
			if _, err := w.Write(b); err != nil {
				return false
			}
		}
		return http.NewResponseController(w).Flush() == nil
	}
	endless := func(message []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			many := []byte{}
			for len(many) < 1<<16 {
				many = append(append(many, frameHead(0, uint32(len(message)))...), message...)
			}
			for r.Context().Err() == nil && send(w, many) {
			}
		}
	}
	progress := uint64(3)
	transactions := (&iota.CheckpointData{Transactions: []iota.Transaction{{
		Data: make([]byte, 3000), Signatures: [][]byte{}, Effects: []byte{0},
	}}}).Append(nil)
	seq := uint64(3)
	head := (&iota.CheckpointData{Checkpoint: &iota.Checkpoint{Seq: &seq, Summary: []byte{1}, Contents: []byte{1}, Signature: []byte{1}}}).Append(nil)
	block := make([]byte, 1<<16)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"nothing":          func(http.ResponseWriter, *http.Request) {},
		"garbage":          func(w http.ResponseWriter, _ *http.Request) { send(w, []byte("<html> no gRPC at all </html>")) },
		"a frame of 1 GiB": func(w http.ResponseWriter, _ *http.Request) { send(w, frameHead(0, 1<<30), block) },
		"a frame of 4 GiB": func(w http.ResponseWriter, _ *http.Request) { send(w, frameHead(0, 1<<32-1), block) },
		"a packed frame":   func(w http.ResponseWriter, _ *http.Request) { send(w, frameHead(1, 100), block[:100]) },
		"a frame without end": func(w http.ResponseWriter, r *http.Request) {
			send(w, frameHead(0, 8<<20), block)
			<-r.Context().Done()
		},
		"a malformed message":    func(w http.ResponseWriter, _ *http.Request) { send(w, frameHead(0, 3), []byte{0x0a, 0xff, 0x01}) },
		"silence":                func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless progress":       endless((&iota.CheckpointData{Progress: &progress}).Append(nil)),
		"endless empty messages": endless(nil),
		"endless transactions": func(w http.ResponseWriter, r *http.Request) {
			send(w, frameHead(0, uint32(len(head))), head)
			endless(transactions)(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := NewGRPC(Config{
				Address: rawGRPC(t, answer), Timeout: 300 * time.Millisecond, MaxBytes: 16 << 20, MaxGenesis: 16 << 20,
			})
			ask(t, closing(t, g, err), 3)
		})
	}
}

// T-L12 in bulk: attacks of random kind and size on random faces. Each ends in time, with an error, in bounded
// memory.
func TestLiesOfSizeVector(t *testing.T) {
	count := 20
	if os.Getenv("PERMANODE_TORTURE") != "" {
		count = 500
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	node := iotareplay.NewNode(miniChain(t))
	for i := range count {
		faults := []replay.Fault{
			replay.Oversized(8<<20 + 1 + rng.Int64N(4<<30)), replay.Bomb(1 + rng.Int64N(1<<30)), replay.Endless,
			replay.Slow(time.Duration(20+rng.IntN(1000)) * time.Millisecond), replay.Delay(time.Duration(200+rng.IntN(60_000)) * time.Millisecond),
		}
		kind := rng.IntN(len(faults))
		srv := httptest.NewServer(replay.NewFaults(node.REST(), seed, replay.Rule{Do: faults[kind]}))
		r, err := NewREST(Config{Address: srv.URL, Timeout: 100 * time.Millisecond, MaxBytes: 8 << 20, MaxGenesis: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		ask(t, r, rng.Uint64N(10))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		srv.CloseClientConnections()
		srv.Close()
		if t.Failed() {
			t.Fatalf("attack %d, kind %d", i, kind)
		}
	}
}
