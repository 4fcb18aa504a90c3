package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDemoAsPrinted starts the demo as a stranger does, without a flag and with the usual port busy, runs the
// commands that it prints, and ends it with Ctrl-C.
func TestDemoAsPrinted(t *testing.T) {
	if ln, err := net.Listen("tcp", demoListen); err == nil { // else it is busy already
		defer ln.Close()
	}
	cmd := exec.CommandContext(t.Context(), "permanode", "demo")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CACHE_HOME="+filepath.Join(t.TempDir(), "cache"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`^  curl '?(http://[^' ]+)'?$`)
	lines := bufio.NewScanner(out)
	network := regexp.MustCompile(`"network":"(permanode-capture-1|rebased-40a4058f)"`)
	tried := 0
	for lines.Scan() {
		if m := command.FindStringSubmatch(lines.Text()); m != nil {
			tried++
			res, err := http.Get(m[1])
			if err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK || !network.Match(body) {
				t.Errorf("%s: %s %s", lines.Text(), res.Status, body)
			}
		}
		if strings.HasPrefix(lines.Text(), "The API answers") {
			break
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if tried != 6 {
		t.Errorf("%d commands to try, want 6", tried)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, errs.String())
	}
	if !strings.Contains(errs.String(), "is busy: taking a free port") {
		t.Errorf("nothing is said of the busy port:\n%s", errs.String())
	}
}
