//go:build unix

package main

import (
	"bufio"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"permanode/internal/replay"
)

// A service that is told to rebuilds its index and goes on: whoever searches meanwhile gets every hit, each time.
func TestRebuildOnline(t *testing.T) {
	source := filepath.Join(recordings(t), "stardust")
	rec, err := replay.OpenRecording(os.DirFS(source))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	node := httptest.NewServer(replay.NewNode(rec))
	defer node.Close()
	data := filepath.Join(t.TempDir(), "data")
	config := writeConfig(t, data, filepath.Join(source, "trust.json"), node.URL)
	cmd := exec.CommandContext(t.Context(), "permanode", "run", "--config", config)
	cmd.Env = append(os.Environ(), "PERMANODE_API_RATE=0", "PERMANODE_API_SEARCH_RATE=0") // it asks as fast as it can
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	says := func(what string) bool {
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return true
			}
		}
		return false
	}
	until := func(what string) string {
		t.Helper()
		if !says(what) {
			t.Fatalf("the service never says %q", what)
		}
		return lines.Text()
	}
	api := strings.Fields(strings.SplitAfter(until("the API answers"), "url=")[1])[0]
	api = strings.TrimSuffix(api, "/v1/info")
	waitUntil(t, saying("all is indexed"), func() bool {
		_, body := ask(t, "GET", api+"/v1/status")
		return strings.Contains(body, `"index":{"ranges":[{"from":1,"to":115}],"lag":0`)
	})
	_, want := ask(t, "GET", api+"/v1/search?q=battery&limit=1000")
	if !strings.Contains(want, `"total":{"value":181,"relation":"exact"}`) || !strings.Contains(want, `"complete":true`) {
		t.Fatalf("%.500s", want)
	}
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	until("rebuilding the index")
	done := make(chan bool, 1)
	go func() { done <- says("the index was rebuilt") }()
	searches := 0
	for rebuilt := false; !rebuilt; searches++ {
		if _, got := ask(t, "GET", api+"/v1/search?q=battery&limit=1000"); got != want {
			t.Fatalf("search %d while rebuilding: %.500s", searches, got)
		}
		select {
		case rebuilt = <-done:
			if !rebuilt {
				t.Fatal("the service ended, or never says that it has rebuilt the index")
			}
		default:
		}
	}
	t.Logf("%d searches meanwhile", searches)
	if _, got := ask(t, "GET", api+"/v1/search?q=battery&limit=1000"); got != want {
		t.Errorf("afterwards: %.500s", got)
	}
	if out, err := exec.CommandContext(t.Context(), "permanode", "index", "rebuild", "--data", data).CombinedOutput(); err == nil || !strings.Contains(string(out), "kill -USR1 PID") {
		t.Errorf("while the service holds the directory: %v\n%s", err, out)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	until("stopped")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if out, err := exec.CommandContext(t.Context(), "permanode", "check", "--data", data, "--index", "--full").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
