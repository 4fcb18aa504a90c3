package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"permanode/index"
	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/follow"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/api"
	"permanode/query/client"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// made are the archives that tests share: none of them writes.
var made = struct {
	work     string
	archives map[string]*query.Archive
	close    []func() error
}{archives: map[string]*query.Archive{}}

func TestMain(m *testing.M) {
	var err error
	if made.work, err = os.MkdirTemp("", "client-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	for _, end := range slices.Backward(made.close) {
		err = errors.Join(err, end())
	}
	if err = errors.Join(err, os.RemoveAll(made.work)); err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const network = "recorded"

// recorded is an archive with a recording and its index; missing: a part of the path of requests that its node does not
// answer, so that a gap is left.
func recorded(t testing.TB, missing string) *query.Archive {
	t.Helper()
	a, err := archiveWithout(missing)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// archiveWithout makes an archive, or returns the one that was made.
func archiveWithout(missing string) (*query.Archive, error) {
	if a, ok := made.archives[missing]; ok {
		return a, nil
	}
	dir := filepath.Join(made.work, fmt.Sprint(len(made.archives)))
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: eras.Codec, Memory: 64 << 20})
	if err != nil {
		return nil, err
	}
	made.close = append(made.close, db.Close)
	if err := collect(db, filepath.Join("..", "..", "testdata", "recordings", "stardust"), missing); err != nil {
		return nil, err
	}
	x, err := index.Open(dir+".index", index.Options{Store: db, Codec: eras.Codec, Memory: 64 << 20})
	if err != nil {
		return nil, err
	}
	made.close = append(made.close, x.Close)
	rows, err := db.Networks(context.Background())
	if err != nil {
		return nil, err
	}
	f, err := x.Follower(rows[0])
	if err == nil {
		err = follow.CatchUp(context.Background(), db, rows[0].ID, f)
	}
	if err != nil {
		return nil, err
	}
	a := query.New(db, eras.Codec)
	a.UseIndex(x)
	made.archives[missing] = a
	return a, nil
}

// collect fills db from a recording.
func collect(db *pebblestore.DB, dir, missing string) error {
	ctx := context.Background()
	raw, err := os.ReadFile(filepath.Join(dir, "trust.json"))
	if err != nil {
		return err
	}
	trust, err := eras.ParseTrust(raw)
	if err != nil {
		return err
	}
	codec, _ := eras.Codec(trust.Era)
	w, err := db.Writer(ctx, ledger.Network{Name: network, Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw})
	if err != nil {
		return err
	}
	rec, err := replay.OpenRecording(os.DirFS(dir))
	if err != nil {
		return err
	}
	var node http.Handler = replay.NewNode(rec)
	if missing != "" {
		node = replay.NewFaults(node, 1, replay.Rule{Path: missing, Do: replay.Missing})
	}
	source, err := hornet2.New(hornet2.Config{Name: "recording", URL: "http://recording.invalid", Transport: replay.Transport(node)})
	if err != nil {
		return err
	}
	defer source.Close()
	c, err := ingest.New(ingest.Config{
		Network: network, Codec: codec, Trust: trust, Store: w, Sources: []ingest.Source{source},
		Snapshot: []string{filepath.Join(dir, "genesis_snapshot.bin")}, Quarantine: filepath.Join(made.work, "quarantine"),
		Poll: 20 * time.Millisecond, Memory: 64 << 20,
	})
	if err == nil {
		if err = c.CatchUp(ctx); missing != "" && errors.Is(err, storage.ErrIncomplete) {
			err = nil
		}
	}
	return errors.Join(err, w.Close(), rec.Close())
}

// service is the API over an archive.
func service(a *query.Archive) http.Handler {
	return api.Handler(api.Config{Archive: a, Version: "v1.2.3", Log: slog.New(slog.DiscardHandler)})
}

// serve serves h until the test ends and returns a client of it that waits for nothing.
func serve(t testing.TB, h http.Handler, options ...client.Option) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return clientOf(t, srv.URL, options...)
}

func clientOf(t testing.TB, base string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(base, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return client.Counting(c, func(time.Duration) {})
}
