package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"permanode/internal/replay/iotareplay"
)

// serveIota VARIABLE FOLDER WIRE serves a folder of checkpoint files as a node or store and sets VARIABLE to its
// address. WIRE is grpc, rest (with JSON-RPC beside it), live, or store.
func serveIota(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: serveiota VARIABLE FOLDER WIRE")
	}
	chain, err := iotareplay.Open(os.DirFS(ts.MkAbs(args[1])))
	ts.Check(err)
	node := iotareplay.NewNode(chain)
	var h http.Handler
	switch args[2] {
	case "grpc":
		srv, err := node.Serve("127.0.0.1:0")
		ts.Check(err)
		ts.Defer(srv.Stop)
		ts.Setenv(args[0], "grpc://"+srv.Addr())
		return
	case "rest":
		rest, rpc := node.REST(), node.JSONRPC()
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/") {
				rest.ServeHTTP(w, r)
				return
			}
			rpc.ServeHTTP(w, r)
		})
	case "live":
		h = http.StripPrefix("/live", node.Live())
	case "store":
		half := (chain.First() + chain.Last()) / 2
		store, err := iotareplay.StoreOf(chain, []iotareplay.Batch{{First: chain.First(), Last: half, Packed: true}, {First: half + 1, Last: chain.Last()}}, nil)
		ts.Check(err)
		h = store
	default:
		ts.Fatalf("no wire %s", args[2])
	}
	srv := httptest.NewServer(h)
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL)
}
