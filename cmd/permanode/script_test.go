package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/blake2b"

	"permanode/internal/race"
	"permanode/internal/replay"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"permanode": main, killedName: killedMain, collectorName: collectMain})
}

// recordings is the folder of the recordings, which scripts know as $RECORDINGS.
func recordings(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// chainFolder is the constructed Rebased chain, which scripts know as $CHAIN.
func chainFolder(t testing.TB) string {
	return filepath.Join(filepath.Dir(recordings(t)), "vectors", "rebased", "checkpoints", "mininet-a")
}

// An applied transaction of the recording: the id of its block, its own, and that of the unit 81 that confirmed it.
const (
	block       = "0xae1daf0122b8d2d904655382c563071e49230d7609f282f122b361088adb1714"
	transaction = "0x8d54a7ab4f4bb67915a2f90cf5325aa64365a3e86982b4c6ffc08703c2a85440"
	unit        = "0xd1b803e56476667565f4dd2a0da767a05f9bb1fc99903982853bd1f06b921912"
)

// TestScripts drives the real binary: one script for each command, and one line for each exit status and bad input.
func TestScripts(t *testing.T) {
	dir := recordings(t)
	example, err := filepath.Abs(filepath.Join("..", "..", "config.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	scripts := testscript.Params{Dir: "testdata/script"}
	if race.Enabled { // the script of the service; the others run commands one after the other, or the demo once more
		scripts = testscript.Params{Files: []string{"testdata/script/run.txt"}}
	}
	scripts.Condition = func(what string) (bool, error) {
		if what != "race" {
			return false, fmt.Errorf("unknown condition %q", what)
		}
		return race.Enabled, nil
	}
	scripts.Setup = func(e *testscript.Env) error {
		for _, v := range [][2]string{{"RECORDINGS", dir}, {"CHAIN", chainFolder(t)}, {"EXAMPLE", example}, {"BLOCK", block}, {"TRANSACTION", transaction}, {"UNIT", unit}} {
			e.Setenv(v[0], v[1])
		}
		e.Setenv("HOME", e.WorkDir)
		e.Setenv("GORACE", os.Getenv("GORACE"))
		e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
		return nil
	}
	scripts.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"exits": exits, "servenode": serveNodeCommand, "serveiota": serveIota, "freeport": freePort, "poll": poll, "occupy": occupy,
		"checksum": checksum, "brokenpipe": brokenPipe, "blake": blake, "expand": expand, "flip": flip,
		"rmall": removeAll, "spoil": spoil, "serveinx": serveINX, "readtrail": readTrail, "cuttrail": cutTrail,
	}
	testscript.Run(t, scripts)
}

// exits N COMMAND ARGS… runs a command that must end with exactly that status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d\n%s%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
	if text := ts.ReadFile("stderr"); want != 0 && want != 130 && !strings.Contains(text, "error: ") {
		ts.Fatalf("exit status %d without a line error: …\n%s", want, text)
	}
	if text := ts.ReadFile("stderr"); strings.Contains(text, "goroutine ") || strings.Contains(text, "panic") {
		ts.Fatalf("a stack is no message\n%s", text)
	}
}

// servenode VARIABLE RECORDING [PATTERN] serves a recording as a node and sets VARIABLE to its address, and VARIABLE_MQTT
// to that of its broker; requests whose path matches PATTERN are answered with 404.
func serveNodeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: servenode VARIABLE RECORDING [PATTERN]")
	}
	rec, err := replay.OpenRecording(os.DirFS(ts.MkAbs(args[1])))
	ts.Check(err)
	node := replay.NewNode(rec)
	var h http.Handler = node
	if len(args) == 3 {
		h = replay.NewFaults(h, 1, replay.Rule{Path: args[2], Do: replay.Missing})
	}
	broker := replay.NewBroker(node, replay.BrokerConfig{})
	ts.Check(broker.Start(nil))
	mux := http.NewServeMux()
	mux.Handle(replay.BrokerPath, broker)
	mux.Handle("/", h)
	srv := httptest.NewServer(mux)
	ts.Defer(func() {
		_ = broker.Stop()
		srv.Close()
		_ = rec.Close()
	})
	ts.Setenv(args[0], srv.URL)
	ts.Setenv(args[0]+"_MQTT", strings.Replace(srv.URL, "http://", "ws://", 1)+replay.BrokerPath)
}

// freeport VARIABLE finds a port that is free now.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	ts.Check(ln.Close())
}

// occupy VARIABLE listens on a port until the script ends.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
	ts.Setenv(args[0], strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
}

// poll URL PATTERN asks until the answer matches, at most two minutes; the last answer is then the file "answer".
func poll(ts *testscript.TestScript, neg bool, args []string) {
	want := regexp.MustCompile(args[1])
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	last := ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		res, err := client.Get(args[0])
		if err != nil {
			last = err.Error()
			time.Sleep(20 * time.Millisecond)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if last = fmt.Sprintf("%d %s", res.StatusCode, body); want.MatchString(last) {
			ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
			return
		}
	}
	ts.Fatalf("%s: %s, want %s", args[0], last, args[1])
}

// checksum FILE checks the last line of an export against all bytes before it.
func checksum(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(checkEnd(ts.ReadFile(args[0])))
}

// blake FILE ID checks that the bytes of the file hash to the id.
func blake(ts *testscript.TestScript, neg bool, args []string) {
	if sum := blake2b.Sum256([]byte(ts.ReadFile(args[0]))); fmt.Sprintf("0x%x", sum) != args[1] {
		ts.Fatalf("%s hashes to 0x%x, want %s", args[0], sum, args[1])
	}
}

// expand FILE replaces the variables in a file.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// brokenpipe COMMAND ARGS… runs a command whose reader ends after the first bytes: it must fail with status 1, and not
// die of a signal.
func brokenPipe(ts *testscript.TestScript, neg bool, args []string) {
	r, w, err := os.Pipe()
	ts.Check(err)
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Stdout = ts.Getenv("WORK"), w
	var errs strings.Builder
	cmd.Stderr = &errs
	ts.Check(cmd.Start())
	ts.Check(w.Close())
	_, err = io.ReadFull(r, make([]byte, 10))
	ts.Check(err)
	ts.Check(r.Close())
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 {
		ts.Fatalf("%v\n%s", cmd.ProcessState, errs.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("errors"), []byte(errs.String()), 0o600))
}

// flip DIR EXTENSION OFFSET changes one bit of the largest file of that kind.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	names, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*."+args[1]))
	ts.Check(err)
	var largest string
	var size int64
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			largest, size = name, info.Size()
		}
	}
	at, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	raw, err := os.ReadFile(largest)
	ts.Check(err)
	raw[at%size] ^= 1
	ts.Check(os.WriteFile(largest, raw, 0o600))
}

// rmall DIR removes a folder with all that lies in it.
func removeAll(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.RemoveAll(ts.MkAbs(args[0])))
}

// spoil DIR turns a byte in the middle of the largest file below a folder.
func spoil(ts *testscript.TestScript, neg bool, args []string) {
	var largest string
	var size int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	}))
	raw, err := os.ReadFile(largest)
	ts.Check(err)
	for i := range min(64, len(raw)) {
		raw[len(raw)/2+i] ^= 0xff
	}
	ts.Check(os.WriteFile(largest, raw, 0o600))
	ts.Logf("spoiled %s", largest)
}

// serveinx VARIABLE RECORDING serves a recording as a node's INX and sets VARIABLE to its address.
func serveINX(ts *testscript.TestScript, neg bool, args []string) {
	rec, err := replay.OpenRecording(os.DirFS(ts.MkAbs(args[1])))
	ts.Check(err)
	x, err := replay.NewINX(replay.NewNode(rec))
	ts.Check(err)
	server, err := x.Serve("127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() {
		server.Stop()
		_ = rec.Close()
	})
	ts.Setenv(args[0], "inx://"+server.Addr())
}

// writeConfig makes a config of one network that follows one node, with the API on a free port.
func writeConfig(t *testing.T, data, trust, node string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("data_dir: %q\nmemory: 256MiB\nnetworks:\n  - {name: tangle, era: stardust, trust: %q, feeds: [{name: n, type: hornet2-rest, url: %q}]}\napi: {listen: \"127.0.0.1:0\"}\n",
		data, trust, node)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
