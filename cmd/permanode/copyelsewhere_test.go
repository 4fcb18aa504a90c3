package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"permanode/ledger/eras"
	"permanode/query/api"
	"permanode/storage/pebblestore"
)

// The path that a service names may lead to something else here: in a container, or on another machine. That is no backup.
func TestCopyOfAnotherDirectory(t *testing.T) {
	here := t.TempDir()
	db, err := pebblestore.Open(here, pebblestore.Options{Codec: eras.Codec})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	at := "2026-11-26T10:00:00Z"
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(api.CheckpointState{
			State: api.CheckpointReady, Dir: here, Files: 10, Bytes: 12345, MadeAt: &at, Networks: []api.NetworkUnit{{Network: "shimmer", Newest: 115}},
		})
	}))
	defer service.Close()
	var errs strings.Builder
	to := filepath.Join(t.TempDir(), "backup")
	status := (&program{out: io.Discard, errs: &errs}).run([]string{"copy", "--from", service.URL, "--to", to})
	if status != 2 || !strings.Contains(errs.String(), "shimmer up to 115") || !strings.Contains(errs.String(), "hint: run copy where the service runs") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}
