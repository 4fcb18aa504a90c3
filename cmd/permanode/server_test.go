package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"permanode/ledger/eras"
	"permanode/query"
	"permanode/query/access"
	"permanode/query/api"
)

// guarded is a service that wants keys and speaks TLS, and the files that a client of it needs.
func guarded(t *testing.T) (server, keyFile, caFile string) {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.yaml")
	made := run("key", "new", "--name", "reader", "--role", "reader", "--file", keys)
	if made.status != 0 {
		t.Fatal(made.errs)
	}
	known, err := access.LoadKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	a := archiveOf{data: filepath.Join(dir, "data")}
	one := filepath.Join(recordings(t), "stardust-migration")
	a.ingest(t, []string{"--trust", filepath.Join(one, "trust.json"), "--from", one})
	db, err := (&program{errs: io.Discard}).open(a.data, minMemory, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	srv := httptest.NewUnstartedServer(api.Handler(api.Config{Archive: query.New(db, eras.Codec), Version: version, Log: slog.New(slog.DiscardHandler), Callers: known.Caller}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	keyFile, caFile = filepath.Join(dir, "reader"), filepath.Join(dir, "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	for name, raw := range map[string][]byte{keyFile: []byte(made.out), caFile: ca, filepath.Join(dir, "wrong"): []byte("pn_wrong\n")} {
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return srv.URL, keyFile, caFile
}

// A service with keys and TLS is asked with files that hold them; without, the command says which is missing.
func TestServerWithKeysAndTLS(t *testing.T) {
	server, key, ca := guarded(t)
	wrong := filepath.Join(filepath.Dir(key), "wrong")
	for _, test := range []struct {
		args   string
		status int
		errs   string // in what is said
	}{
		{"coverage", 1, "hint: .*--ca-file"},
		{"coverage --ca-file " + ca, 1, "--key-file FILE or PERMANODE_KEY_FILE"},
		{"coverage --ca-file " + ca + " --key-file " + wrong, 1, "error: "},
		{"coverage --ca-file " + ca + " --key-file " + key, 0, ""},
		{"status --ca-file " + ca + " --key-file " + key, 0, ""},
		{"export --ca-file " + ca + " --key-file " + key, 0, ""},
		{"search --ca-file " + ca + " --key-file " + key + " kind:unit --limit 1", 1, "no search index"},
		{"coverage --ca-file " + key + " --key-file " + key, 2, "holds no certificate"},
		{"coverage --ca-file " + ca + " --key-file " + ca, 2, "it must be the secret of one access key"},
		{"coverage --ca-file " + ca + " --key-file " + filepath.Join(filepath.Dir(key), "none"), 2, "no such file"},
	} {
		got := run(append(strings.Fields(test.args), "--server", server)...)
		if got.status != test.status || !regexp.MustCompile(test.errs).MatchString(got.errs) || strings.Contains(got.errs, "pn_") {
			t.Errorf("%s: exit %d, want %d: %s", test.args, got.status, test.status, got.errs)
		}
	}
	t.Setenv("PERMANODE_KEY_FILE", key)
	if got := run("coverage", "--server", server, "--ca-file", ca); got.status != 0 {
		t.Errorf("from the environment: %d %s", got.status, got.errs)
	}
	for args, want := range map[string]string{
		"coverage --data x --key-file " + key:                                     "none is named",
		"coverage --ca-file " + ca:                                                "none is named",
		"search --server http://127.0.0.1:1 " + strings.Repeat("x", 2*api.MaxURL): "a service takes",
		"export --server http://127.0.0.1:1 --format cones":                       "gives no cone files",
		"coverage --server http://127.0.0.1:1 --data x":                           "each name an archive",
		"coverage --server http://user:pass@127.0.0.1:1":                          "is no address",
	} {
		if got := run(strings.Fields(args)...); got.status != 2 || !strings.Contains(got.errs, want) || strings.Contains(got.errs, "pass@") {
			t.Errorf("%.60s: exit %d: %s", args, got.status, got.errs)
		}
	}
	if got := run("coverage", "--server", "http://archive.invalid:1"); !strings.Contains(got.errs, "warning: the key goes to http://archive.invalid:1 unencrypted") {
		t.Errorf("a key in the clear: %s", got.errs)
	}
}

// An export whose connection breaks is one file in the end, and none before.
func TestExportFromServerIsWhole(t *testing.T) {
	one := filepath.Join(recordings(t), "stardust-migration")
	a := filled(t, true, []string{"--trust", filepath.Join(one, "trust.json"), "--from", one})
	want := run("export", "--data", a.data)
	var asked atomic.Int64
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get(a.server + r.URL.RequestURI())
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		if asked.Add(1) == 1 {
			_, _ = io.CopyN(w, res.Body, int64(len(want.out)/3))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(w, res.Body)
	}))
	t.Cleanup(broken.Close)
	file := filepath.Join(t.TempDir(), "all.ndjson")
	got := run("export", "--server", broken.URL, "-o", file)
	raw, err := os.ReadFile(file)
	if got.status != 0 || err != nil || string(raw) != want.out || asked.Load() != 2 {
		t.Errorf("exit %d after %d answers: %s, %v, %d bytes, want %d", got.status, asked.Load(), got.errs, err, len(raw), len(want.out))
	}
	none := filepath.Join(t.TempDir(), "none.ndjson")
	refusing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refusing.Close)
	if got := run("export", "--server", refusing.URL, "-o", none); got.status != 1 {
		t.Errorf("exit %d: %s", got.status, got.errs)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(none), "*")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A proxy of the environment is asked for other hosts, and never for this machine.
func TestProxyOfEnvironment(t *testing.T) {
	var proxied, asked atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"items":[]}`)
	}))
	defer here.Close()
	for _, server := range []string{here.URL, strings.Replace(here.URL, "127.0.0.1", "localhost", 1), "http://archive.invalid"} {
		c := exec.CommandContext(t.Context(), "permanode", "coverage", "--server", server)
		c.Env = append(os.Environ(), "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
		if out, err := c.CombinedOutput(); (err == nil) != (server != "http://archive.invalid") {
			t.Errorf("%s: %v %s", server, err, out)
		}
	}
	if fmt.Sprint(proxied.Load(), asked.Load()) != "1 2" {
		t.Errorf("%d requests over the proxy, %d to this machine", proxied.Load(), asked.Load())
	}
}
