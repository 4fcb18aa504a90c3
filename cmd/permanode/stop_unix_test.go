//go:build unix

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A stop that could not close what it holds is no good end: whoever stops a service to copy its directory must hear of it.
func TestStopThatCannotClose(t *testing.T) {
	source := filepath.Join(recordings(t), "stardust")
	node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer node.Close()
	for _, c := range []struct {
		name, says string
		spoil      func(data string) error
	}{
		{"the access trail", "lines are not on disk", func(data string) error {
			return os.Rename(filepath.Join(data, "access"), filepath.Join(data, "elsewhere"))
		}},
		{"the sums", "SUMS", func(data string) error { return os.MkdirAll(filepath.Join(data, "SUMS", "taken"), 0o700) }},
		{"nothing", "stopped", func(string) error { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, log := filepath.Join(t.TempDir(), "data"), &lockedBuffer{}
			cmd := exec.CommandContext(t.Context(), "permanode", "run", "--config", writeConfig(t, data, filepath.Join(source, "trust.json"), node.URL))
			cmd.Stderr = log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the service answers", func() bool { return strings.Contains(log.String(), "the API answers") })
			if err := c.spoil(data); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			good := c.name == "nothing"
			want := 1
			if good {
				want = 0
			}
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("status %d (%v) instead of %d", got, err, want)
			}
			text := log.String()
			if !strings.Contains(text, c.says) || strings.HasSuffix(text, "stopped\n") != good {
				t.Errorf("it does not say %q, or says that it stopped well:\n%s", c.says, text)
			}
			if strings.Contains(text, "the access trail ends") != (c.name != "the access trail") {
				t.Errorf("it tells an end of the access trail that is not on disk, or none:\n%s", text)
			}
		})
	}
}
