package client_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"permanode/query"
	"permanode/query/client"
	"permanode/storage"
)

const address = "tst1qzfaq8psmvhg4m82ery6fz2dcgp28zvga2hkmzkkng0ddy6e7mdhxhxrxqr"

// A statement asked of a service is that of the archive, page by page and over all pages.
func TestStatements(t *testing.T) {
	a := recorded(t, "")
	c := serve(t, service(a))
	n, err := a.Networks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, err := query.ParseFrom("unit:70")
	if err != nil {
		t.Fatal(err)
	}
	to, err := query.ParseTo("2026-11-23")
	if err != nil {
		t.Fatal(err)
	}
	want, err := a.Statement(t.Context(), query.StatementRequest{Networks: n, Address: address, From: from, To: to, Limit: 1000})
	if err != nil || len(want.Items) < 50 {
		t.Fatalf("%d lines, %v", len(want.Items), err)
	}
	asked := client.Statement{Address: address, From: "unit:70", To: "2026-11-23"}
	asked.Limit = 1000
	got, err := c.StatementPage(t.Context(), asked)
	same(t, "page", got, want, err)
	asked.Limit = 7
	var first query.Statement
	same(t, "lines", all(t, c.StatementLines(t.Context(), asked, &first)), want.Items)
	same(t, "balances", first.Accounts, want.Accounts)
	asked.Limit, asked.Asset, asked.Network = 0, query.BaseCoins, network
	for _, l := range all(t, c.StatementLines(t.Context(), asked, nil)) {
		if l.Asset != query.BaseCoins {
			t.Errorf("%+v", l)
		}
	}
	for _, bad := range []client.Statement{{}, {Address: "nonsense"}, {Address: address, From: "2026-02-30"}, {Address: address, Asset: "nothing"}} {
		if _, err := c.StatementPage(t.Context(), bad); err == nil {
			t.Errorf("%+v has a statement", bad)
		}
		for _, err := range c.StatementLines(t.Context(), bad, nil) {
			if err == nil {
				t.Errorf("%+v has lines", bad)
			}
		}
	}
}

// A payload is hashed where it arrives: what a service makes up is none.
func TestPayloads(t *testing.T) {
	a := recorded(t, "")
	c := serve(t, service(a))
	const sum = "a3ac232cf1d41d72801bb5e030ec7b4589532970ba2e99cff6a94474a631d28e"
	for _, name := range []string{sum, "sha256:0x" + sum, "bafkreifdvqrsz4oudvziag5v4ayoy62frfjss4f2f2m475vjir2kmmosry"} {
		raw, err := c.Payload(t.Context(), name, "")
		if got := fmt.Sprintf("%x", sha256.Sum256(raw)); err != nil || got != sum {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for name, want := range map[string]error{
		"ab" + sum[2:]: storage.ErrNotFound, sum[1:]: query.ErrNotID, "": query.ErrNotID, "../../livez": query.ErrNotID,
		"bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu": storage.ErrNotFound,
	} {
		if raw, err := c.Payload(t.Context(), name, ""); !errors.Is(err, want) || raw != nil {
			t.Errorf("%s: %d bytes, %v; want %v", name, len(raw), err, want)
		}
	}
	if _, err := c.Payload(t.Context(), sum, "nosuch"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("%v", err)
	}
	liar := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write([]byte("something else"))
	}))
	for _, name := range []string{sum, "bafybeidjogjfwuhbzwopgd4bn3skcf5m6oz72xshywcndzxgqb623nfclu"} {
		if raw, err := liar.Payload(t.Context(), name, ""); !errors.Is(err, storage.ErrCorrupt) || raw != nil {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
}
