package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"permanode/internal/replay"
)

// recordedService runs a service over two networks of different eras, "tangle" and "mini", and waits until it holds all of
// both and is at rest: from then on its answers do not change. It limits nobody.
func recordedService(t *testing.T) *runningService {
	t.Helper()
	rec, err := replay.OpenRecording(os.DirFS(filepath.Join(recordings(t), "stardust")))
	if err != nil {
		t.Fatal(err)
	}
	node := httptest.NewServer(replay.NewNode(rec))
	t.Cleanup(func() {
		node.Close()
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	trust := filepath.Join(dir, "trust.json")
	commanded(t, 0, "trust", "init", "--from", chainFolder(t), "-o", trust)
	config := filepath.Join(dir, "permanode.yaml")
	text := fmt.Sprintf(`
data_dir: %q
memory: 256MiB
networks:
  - name: tangle
    era: stardust
    trust: %q
    snapshot: %q
    feeds: [{name: node, type: hornet2-rest, url: %q}]
  - name: mini
    era: rebased
    trust: %q
    feeds: [{name: files, type: iota-dir, url: %q}]
api: {listen: "127.0.0.1:0", rate: 0, search_rate: 0}
`, filepath.Join(dir, "data"), filepath.Join(recordings(t), "stardust", "trust.json"), filepath.Join(recordings(t), "stardust", demoSnapshot), node.URL, trust, chainFolder(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startService(t, config)
	c, last := s.client(t), ""
	waitUntil(t, func() string { return last + s.text() }, func() bool {
		res, err := http.Get(s.api + "/readyz")
		if err != nil {
			last = err.Error()
			return false
		}
		_ = res.Body.Close()
		status, err := c.Status(t.Context())
		last = fmt.Sprint(res.Status, err)
		rest := res.StatusCode == http.StatusOK && err == nil
		for i := 0; rest && i < len(status.Networks); i++ {
			n := status.Networks[i]
			rest = n.Index != nil && n.Index.Lag == 0 && n.Records > 0 && n.Live != nil && n.Newest != nil && *n.Newest == n.Live.Newest
		}
		return rest
	})
	return s
}
