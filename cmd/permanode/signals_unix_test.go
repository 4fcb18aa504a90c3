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
	"time"
)

// A service that is told to read its files or to rebuild its index while it starts or stops is not killed by that: what comes
// at the start is done once it runs.
func TestSignalsWhileItStartsAndStops(t *testing.T) {
	source := filepath.Join(recordings(t), "stardust")
	node := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer node.Close()
	data, log := filepath.Join(t.TempDir(), "data"), &lockedBuffer{}
	cmd := exec.CommandContext(t.Context(), "permanode", "run", "--config", writeConfig(t, data, filepath.Join(source, "trust.json"), node.URL))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tell := func(until func() bool) {
		t.Helper()
		for tick := time.NewTicker(time.Millisecond); !until(); <-tick.C {
			_ = cmd.Process.Signal(syscall.SIGHUP) // of a process that is no more it fails
			_ = cmd.Process.Signal(syscall.SIGUSR1)
			select {
			case err := <-ended:
				t.Fatalf("told while it starts it ends: %v\n%s", err, log)
			default:
			}
		}
	}
	eventually(t, "the directory is there", func() bool { _, err := os.Stat(data); return err == nil })
	tell(func() bool { return strings.Contains(log.String(), "the API answers") })
	eventually(t, "what was told at the start is done", func() bool {
		return strings.Contains(log.String(), "config read again") && strings.Contains(log.String(), "rebuil")
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		_ = cmd.Process.Signal(syscall.SIGHUP)
		_ = cmd.Process.Signal(syscall.SIGUSR1)
		select {
		case err := <-ended:
			if err != nil || !strings.Contains(log.String(), "stopped") {
				t.Errorf("told while it stops it ends with %v\n%s", err, log)
			}
			return
		default:
		}
	}
}
