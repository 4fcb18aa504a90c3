package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/internal/replay"
	"permanode/query/client"
)

// runningService is a `permanode run` of its own process.
type runningService struct {
	cmd  *exec.Cmd
	api  string
	done chan struct{} // closed when all that it said was read
	mu   sync.Mutex
	said bytes.Buffer
}

var apiAnswers = regexp.MustCompile(`msg="the API answers" url=(https?://[^/ ]+)/v1/info`)

// startService starts it and waits until its API answers.
func startService(t *testing.T, config string) *runningService {
	t.Helper()
	return startServiceWith(t, config, "PERMANODE_METRICS_LISTEN=127.0.0.1:0")
}

func startServiceWith(t *testing.T, config string, env ...string) *runningService {
	t.Helper()
	s := &runningService{cmd: exec.CommandContext(t.Context(), "permanode", "run", "--config", config), done: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), env...)
	errs, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			s.mu.Lock()
			s.said.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if m := apiAnswers.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	t.Cleanup(func() { s.end(t, syscall.SIGKILL) })
	select {
	case s.api = <-found:
	case <-s.done:
		t.Fatalf("the service ended: %s", s.text())
	case <-time.After(time.Minute):
		t.Fatalf("the API does not answer: %s", s.text())
	}
	return s
}

func (s *runningService) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// end sends a signal and waits. A second end does nothing.
func (s *runningService) end(t *testing.T, sig syscall.Signal) {
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Error(err)
	}
	<-s.done
	if err := s.cmd.Wait(); sig == syscall.SIGTERM && err != nil {
		t.Errorf("the service ended with %v: %s", err, s.text())
	}
}

func (s *runningService) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(s.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// holds waits until the archive holds all units to seq without a hole.
func (s *runningService) holds(t *testing.T, seq uint64) {
	t.Helper()
	c := s.client(t)
	last := ""
	waitUntil(t, func() string { return last + s.text() }, func() bool {
		cov, err := c.Coverage(t.Context(), "tangle")
		if err != nil {
			last = err.Error()
			return false
		}
		return len(cov.Ranges) == 1 && cov.Ranges[0].To >= seq
	})
}

// closed checks that nobody else reads an access trail.
func closed(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %s", path, info.Mode())
		}
		n++
		return err
	})
	if err != nil || n < 3 {
		t.Errorf("the trail at %s has %d files: %v", dir, n, err)
	}
}

// commanded runs the program, which must end with status want, and returns what it wrote.
func commanded(t *testing.T, want int, args ...string) (out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "permanode", args...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("permanode %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// trailText is the lines of an access trail.
func trailText(t *testing.T, data string) (text string) {
	t.Helper()
	days, err := filepath.Glob(filepath.Join(data, accessFolder, "*.ndjson"))
	if err != nil || len(days) == 0 {
		t.Fatalf("no days: %v", err)
	}
	for _, day := range days {
		raw, err := os.ReadFile(day)
		if err != nil {
			t.Fatal(err)
		}
		text += string(raw)
	}
	return text
}

// exported is an export without its last line.
func exported(t *testing.T, dir string) string {
	t.Helper()
	out, _ := commanded(t, 0, "export", "--data", dir)
	return out[:strings.LastIndexByte(strings.TrimSuffix(out, "\n"), '\n')+1]
}

// TestBackupDrill is the drill of docs/operations.md: a service is backed up while it collects, again and again; it
// dies; its archive is restored from the backup, is whole, and collecting goes on where the backup ended.
func TestBackupDrill(t *testing.T) {
	rec, err := replay.OpenRecording(os.DirFS(filepath.Join(recordings(t), "stardust")))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	node := replay.NewNode(rec)
	last := node.Tip()
	node.SetTip(30)
	srv := httptest.NewServer(node)
	defer srv.Close()
	trust := filepath.Join(recordings(t), "stardust", "trust.json")
	dir := t.TempDir()
	data, backup := filepath.Join(dir, "data"), filepath.Join(dir, "backup")
	s := startService(t, writeConfig(t, data, trust, srv.URL))
	s.holds(t, 30)

	copied := func() (r copyReport) {
		out, _ := commanded(t, 0, "copy", "--from", s.api, "--to", backup, "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := copied()
	if first.Copied == 0 || first.Copied != first.Files || len(first.Networks) != 1 || first.Networks[0].Newest != 30 {
		t.Errorf("the first copy: %+v", first)
	}
	closed(t, filepath.Join(backup, accessFolder))
	// It collects on while it is copied.
	ctx, stop := context.WithCancel(t.Context())
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		for tip := uint64(31); tip <= last-10 && ctx.Err() == nil; tip++ {
			node.SetTip(tip)
			pause(ctx, 10*time.Millisecond)
		}
	}()
	s.holds(t, 35)
	second := copied()
	s.holds(t, second.Networks[0].Newest+3)
	third := copied()
	stop()
	<-moved
	if second.Networks[0].Newest < 35 || third.Networks[0].Newest <= second.Networks[0].Newest || third.Copied >= third.Files {
		t.Errorf("copies under way: %+v, %+v", second, third)
	}
	if _, err := os.Stat(filepath.Join(data, "checkpoint")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the checkpoint stays: %v", err)
	}
	commanded(t, 1, "copy", "--from", data, "--to", filepath.Join(dir, "other")) // a service holds it
	commanded(t, 1, "copy", "--from", backup, "--to", data)

	s.end(t, syscall.SIGKILL)
	restored := filepath.Join(dir, "restored")
	commanded(t, 0, "copy", "--from", backup, "--to", restored)
	closed(t, filepath.Join(restored, accessFolder))
	commanded(t, 0, "check", "--full", "--data", restored)
	commanded(t, 0, "check", "--full", "--data", backup)
	then := exported(t, restored)
	if then != exported(t, backup) || !strings.HasPrefix(exported(t, data), then) || then == "" {
		t.Error("what was restored is not what was archived")
	}
	node.SetTip(last)
	again := startService(t, writeConfig(t, restored, trust, srv.URL))
	again.holds(t, last)
	again.end(t, syscall.SIGTERM)
	commanded(t, 0, "check", "--full", "--data", restored)
	if lines := trailText(t, restored); strings.Count(lines, `"after":"copy"`) != 1 || strings.Contains(lines, `"after":"kill"`) {
		t.Errorf("nothing was killed in the trail of the restored archive\n%s", lines)
	}
	commanded(t, 0, "ingest", "--data", data, "--trust", trust, "--from", srv.URL, "--network", "tangle") // the one that died
	if exported(t, restored) != exported(t, data) {
		t.Error("the restored archive went on to another one than that which died")
	}

	// Restoring an older backup over it is refused; a copy of it all brings the backup up to date.
	_, errs := commanded(t, 2, "copy", "--from", backup, "--to", restored)
	if !strings.Contains(errs, "holds more than") || !strings.Contains(errs, "hint: ") {
		t.Errorf("an older one over a newer one: %s", errs)
	}
	commanded(t, 0, "copy", "--from", restored, "--to", backup)
	if exported(t, backup) != exported(t, data) {
		t.Error("the backup is not the archive")
	}
}

// TestKillCopy kills copies at any write or sync: what is there opens as what it was, or refuses, and the next copy
// ends it.
func TestKillCopy(t *testing.T) {
	if race.Enabled {
		t.Skip("durability after a kill is no matter of races: it is tested without the detector")
	}
	recording := filepath.Join(recordings(t), "stardust")
	trust := filepath.Join(recording, "trust.json")
	dir := t.TempDir()
	rec, err := replay.OpenRecording(os.DirFS(recording))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	node := replay.NewNode(rec)
	last := node.Tip()
	node.SetTip(40)
	srv := httptest.NewServer(node)
	defer srv.Close()
	data, old := filepath.Join(dir, "data"), filepath.Join(dir, "old")
	commanded(t, 0, "ingest", "--data", data, "--trust", trust, "--from", srv.URL, "--network", "tangle")
	commanded(t, 0, "copy", "--from", data, "--to", old)
	before := exported(t, old)
	node.SetTip(last)
	commanded(t, 0, "ingest", "--data", data, "--trust", trust, "--from", srv.URL, "--network", "tangle")
	after := exported(t, data)

	c := &campaign{t: t}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	rounds, kills := 6, 0
	if os.Getenv("PERMANODE_TORTURE") != "" {
		rounds = 100
	}
	for range rounds {
		to := filepath.Join(t.TempDir(), "to")
		commanded(t, 0, "copy", "--from", old, "--to", to)
		for {
			_, errs, err := c.permanode(1+rng.Int64N(60), "copy", "--from", data, "--to", to)
			if err == nil {
				break
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !killed(exit) {
				t.Fatalf("seed %d: %v\n%s", seed, err, errs)
			}
			kills++
			out, errs, err := c.permanode(0, "export", "--data", to)
			got := string(out[:bytes.LastIndexByte(bytes.TrimSuffix(out, []byte("\n")), '\n')+1])
			switch {
			case err == nil && got != before && got != after:
				t.Fatalf("seed %d: a copy that was killed opens as something else", seed)
			case err != nil && !strings.Contains(string(errs), "a copy that was interrupted"):
				t.Fatalf("seed %d: %v\n%s", seed, err, errs)
			}
			if kills%4 == 3 {
				commanded(t, 0, "copy", "--from", data, "--to", to)
				break
			}
		}
		if exported(t, to) != after {
			t.Fatalf("seed %d: the copy differs", seed)
		}
		commanded(t, 0, "check", "--data", to)
	}
	t.Logf("seed %d: %d kills", seed, kills)
	if kills < rounds/2 {
		t.Errorf("only %d kills", kills)
	}
}
