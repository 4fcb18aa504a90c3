package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"permanode/query/access"
)

// accessConfig writes the config of a service without a source, and returns it with its data directory and keys file.
func accessConfig(t *testing.T) (config, data, keys string) {
	t.Helper()
	dir := t.TempDir()
	config, data, keys = filepath.Join(dir, "c.yaml"), filepath.Join(dir, "data"), filepath.Join(dir, "keys.yaml")
	text := fmt.Sprintf(`data_dir: %s
memory: 128MiB
networks: [{name: a, era: stardust, trust: shimmer, feeds: [{name: n, type: hornet2-rest, url: "http://127.0.0.1:9"}]}]
api: {listen: "127.0.0.1:0", keys_file: %s, rate: 0, search_rate: 0}
`, data, keys)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, data, keys
}

func addKey(t *testing.T, file, name string) string {
	t.Helper()
	key, err := access.Add(file, name, access.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// askAs asks with a key, and returns the status and the request id; 0 when there is no answer.
func askAs(ctx context.Context, url, key string) (status int, id string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, ""
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header.Get("X-Request-Id")
}

// The keys file is read again on SIGHUP: a new key counts, a removed one does no more, and a bad file changes nothing.
func TestKeysAreReadAgain(t *testing.T) {
	config, _, keys := accessConfig(t)
	old := addKey(t, keys, "team")
	s := startServiceWith(t, config, "PERMANODE_METRICS_LISTEN=127.0.0.1:0")
	defer http.DefaultClient.CloseIdleConnections()
	until := func(key string, want int) {
		t.Helper()
		got := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if got, _ = askAs(t.Context(), s.api+"/v1/info", key); got == want {
				return
			}
		}
		t.Fatalf("a key is answered with %d, want %d\n%s", got, want, s.text())
	}
	hangUp := func() {
		t.Helper()
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	until(old, http.StatusOK)
	fresh := addKey(t, keys, "team")
	until(fresh, http.StatusUnauthorized)
	hangUp()
	until(fresh, http.StatusOK)
	until(old, http.StatusOK)
	if err := os.WriteFile(keys, []byte("- {name: team}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp()
	for end := time.Now().Add(time.Minute); !bytes.Contains([]byte(s.text()), []byte("the keys stay as they were")); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nobody says that the keys file is bad\n%s", s.text())
		}
	}
	until(fresh, http.StatusOK)
	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	other := addKey(t, keys, "other")
	hangUp()
	until(fresh, http.StatusUnauthorized)
	until(other, http.StatusOK)
	s.end(t, syscall.SIGTERM)
}

// Every export that a client saw begin is in the trail of a service that was killed, which goes on without a fault.
func TestKilledServiceKeepsItsTrail(t *testing.T) {
	config, data, keys := accessConfig(t)
	key := addKey(t, keys, "team")
	defer http.DefaultClient.CloseIdleConnections()
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 2 {
		s := startServiceWith(t, config, "PERMANODE_METRICS_LISTEN=127.0.0.1:0")
		var asking sync.WaitGroup
		for range 2 { // as many exports as a key may have
			asking.Go(func() {
				for {
					status, id := askAs(t.Context(), s.api+"/v1/export", key)
					if status == 0 {
						return
					}
					if status == http.StatusOK {
						mu.Lock()
						seen[id] = true
						mu.Unlock()
					}
				}
			})
		}
		want := len(seen) + 20
		for enough := false; !enough; time.Sleep(time.Millisecond) {
			mu.Lock()
			enough = len(seen) >= want
			mu.Unlock()
		}
		s.end(t, syscall.SIGKILL)
		asking.Wait()
	}
	s := startServiceWith(t, config, "PERMANODE_METRICS_LISTEN=127.0.0.1:0")
	s.end(t, syscall.SIGTERM)
	if out, err := exec.CommandContext(t.Context(), "permanode", "check", "--config", config).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
	days, _ := filepath.Glob(filepath.Join(data, accessFolder, "*.ndjson"))
	var lines []byte
	for _, name := range days {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, text...)
	}
	for id := range seen {
		if !bytes.Contains(lines, []byte(`"event":"begin","request_id":"`+id+`"`)) {
			t.Errorf("export %s is not in the trail", id)
		}
	}
}
