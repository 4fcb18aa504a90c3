package iotanode

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/ingest"
	"permanode/internal/replay/iotareplay"
	"permanode/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vectorDir returns the first folder of the vectors that matches pattern.
func vectorDir(t testing.TB, pattern string) string {
	t.Helper()
	return filepath.Dir(ledgertest.Paths(t, pattern)[0])
}

// miniChain is the constructed network of the vectors.
func miniChain(t testing.TB) *iotareplay.Chain {
	t.Helper()
	c, err := iotareplay.Open(os.DirFS(vectorDir(t, "rebased/checkpoints/*/committee_epoch0.json")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve answers HTTP until the test ends, and returns the address.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// closing closes a source at the end of the test.
func closing[S interface{ Close() error }](t testing.TB, s S, err error) S {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// serveGRPC answers gRPC until the test ends, and returns a source that asks it.
func serveGRPC(t testing.TB, n *iotareplay.Node, c Config) *GRPC {
	t.Helper()
	srv, err := n.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Stop)
	if c.Address == "" {
		c.Address = "grpc://" + srv.Addr()
	}
	g, err := NewGRPC(c)
	return closing(t, g, err)
}

// wantCone asks for a checkpoint both ways and compares it with the chain's.
func wantCone(t testing.TB, s ingest.Source, c *iotareplay.Chain, seq uint64) {
	t.Helper()
	want, err := splitFile(c.File(seq))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	head, err := s.Head(ctx, seq)
	if err != nil || string(head) != string(want.head) {
		t.Fatalf("%s: head %d: %d bytes, %v", s.Name(), seq, len(head), err)
	}
	sameCone(t, s, seq, want)
}

func sameCone(t testing.TB, s ingest.Source, seq uint64, want *cone) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	head, raws, err := s.Cone(ctx, seq)
	if err != nil {
		t.Fatalf("%s: checkpoint %d: %v", s.Name(), seq, err)
	}
	compare(t, seq, &cone{head, raws}, want)
}

func compare(t testing.TB, seq uint64, got, want *cone) {
	t.Helper()
	if string(got.head) != string(want.head) || len(got.raws) != len(want.raws) {
		t.Fatalf("checkpoint %d: %d bytes of head, %d raws", seq, len(got.head), len(got.raws))
	}
	for i := range got.raws {
		if string(got.raws[i]) != string(want.raws[i]) {
			t.Fatalf("checkpoint %d: raw %d differs:\n got %x\nwant %x", seq, i, got.raws[i], want.raws[i])
		}
	}
}

// heap is what is in use now, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func writeFile(t testing.TB, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// both is a node's REST API with JSON-RPC at the root.
func both(n *iotareplay.Node) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/", n.REST())
	mux.Handle("/", n.JSONRPC())
	return mux
}

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }
