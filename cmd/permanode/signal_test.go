package main

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestSignals sends SIGTERM and SIGINT while a command waits for a node that never answers: a service ends with 0, a
// one-off command with 130, and both leave a directory that opens.
func TestSignals(t *testing.T) {
	source := filepath.Join(recordings(t), "stardust")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for command, want := range map[string]int{"run": 0, "ingest": 130} {
			t.Run(command+" "+sig.String(), func(t *testing.T) {
				asked := make(chan struct{})
				var once sync.Once
				node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					once.Do(func() { close(asked) })
					<-r.Context().Done()
				}))
				defer node.Close()
				data := filepath.Join(t.TempDir(), "data")
				args := []string{"ingest", "--data", data, "--trust", filepath.Join(source, "trust.json"), "--from", node.URL}
				if command == "run" {
					args = []string{"run", "--config", writeConfig(t, data, filepath.Join(source, "trust.json"), node.URL)}
				}
				cmd := exec.CommandContext(t.Context(), "permanode", args...)
				var errs bytes.Buffer
				cmd.Stderr = &errs
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				<-asked
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				var exit *exec.ExitError
				if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
					t.Fatal(err)
				}
				if got := cmd.ProcessState.ExitCode(); got != want || strings.Contains(errs.String(), "error:") {
					t.Errorf("exit status %d, want %d\n%s", got, want, errs.String())
				}
				if out, err := exec.CommandContext(t.Context(), "permanode", "coverage", "--data", data).CombinedOutput(); err != nil {
					t.Errorf("afterwards: %v\n%s", err, out)
				}
			})
		}
	}
}
