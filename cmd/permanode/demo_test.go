package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"permanode/storage/pebblestore"
)

// demoRun is the demo in a process of its own, as a stranger starts it.
type demoRun struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	errs  strings.Builder
	all   []string // lines of standard output so far
}

func startDemo(t *testing.T, args ...string) *demoRun {
	t.Helper()
	d := &demoRun{t: t, cmd: exec.CommandContext(t.Context(), "permanode", append([]string{"demo"}, args...)...)}
	d.cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CACHE_HOME="+filepath.Join(t.TempDir(), "cache"))
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.lines, d.cmd.Stderr = bufio.NewScanner(out), &d.errs
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// The archive that a demo of another version left is not touched, and the hint says where else the demo can be.
func TestDemoOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	made, err := pebblestore.Open(dir, pebblestore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("V"), []byte{1}, pebble.Sync), db.Close(), os.Remove(filepath.Join(dir, pebblestore.SumsName))); err != nil {
		t.Fatal(err)
	}
	_, errs := commanded(t, 2, "demo", "--listen", "127.0.0.1:0", "--data", dir)
	if !strings.Contains(errs, "has format 1") || !strings.Contains(errs, "permanode demo --data DIR") || !strings.Contains(errs, "remove "+dir) || strings.Contains(errs, "ingest") {
		t.Error(errs)
	}
}

// quiet is a log of nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// until reads lines up to the first one that matches, and returns its groups.
func (d *demoRun) until(pattern string) []string {
	d.t.Helper()
	want := regexp.MustCompile(pattern)
	for d.lines.Scan() {
		d.all = append(d.all, d.lines.Text())
		if m := want.FindStringSubmatch(d.lines.Text()); m != nil {
			return m
		}
	}
	_ = d.cmd.Wait()
	d.t.Fatalf("no line matches %s:\n%s\n%s", pattern, strings.Join(d.all, "\n"), d.errs.String())
	return nil
}

// end sends Ctrl-C; the demo must end well.
func (d *demoRun) end() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatal(err)
	}
	for d.lines.Scan() {
		d.all = append(d.all, d.lines.Text())
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("%v\n%s", err, d.errs.String())
	}
}

// TestDemoAsPrinted starts the demo as a stranger does, without a flag and with the usual port busy, runs the
// commands that it prints, and ends it with Ctrl-C.
func TestDemoAsPrinted(t *testing.T) {
	if ln, err := net.Listen("tcp", demoListen); err == nil { // else it is busy already
		defer ln.Close()
	}
	d := startDemo(t)
	d.until("^The API answers")
	d.asInReadme()
	d.tryAll()
	d.end()
	if !strings.Contains(d.errs.String(), "is busy: taking a free port") {
		t.Errorf("nothing is said of the busy port:\n%s", d.errs.String())
	}
	if last := d.all[len(d.all)-1]; !strings.Contains(last, "are here without a hole") {
		t.Errorf("the last line is %q", last)
	}
}

// asInReadme compares what the demo printed with what the README shows of it: every line of that, in its order. Ports
// and the name of the program differ.
func (d *demoRun) asInReadme() {
	d.t.Helper()
	port := regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	same := func(line string) string {
		return strings.Replace(port.ReplaceAllString(line, "PORT"), "  bin/permanode ", "  permanode ", 1)
	}
	at, shown := 0, 0
	for _, s := range readmeSessions(d.t) {
		for _, line := range s.lines {
			if s.command != "make demo" || strings.Trim(line, " …") == "" {
				continue
			}
			shown++
			for at < len(d.all) && same(d.all[at]) != same(line) {
				at++
			}
			if at == len(d.all) {
				d.t.Fatalf("the README shows a line that the demo does not print there: %s", line)
			}
		}
	}
	if shown < 10 {
		d.t.Errorf("the README shows %d lines of the demo", shown)
	}
}

// tryAll runs every command that the demo printed, in a shell: each ends well and gives something.
func (d *demoRun) tryAll() {
	d.t.Helper()
	wants := []struct{ command, answer string }{
		{"/coverage$", `"network":"(permanode-capture-1|rebased-40a4058f)"`},
		{"/records/[^']+$", `"network":"(permanode-capture-1|rebased-40a4058f)"`},
		{`/units/[0-9]+/records`, `"items":\[{"network"`},
		{"search .* battery ", `permanode-capture-1 unit [0-9]+ pos [0-9]+\n(.*\n)*  text .*battery`},
		{`search .* '"clearing container"' `, `\n  text .*clearing container`},
		{"search .* tag:INVOICE ", `\n  tag +0x494e564f494345 \(INVOICE\)`},
		{"search .* currency=CHF ", `\n  text .*請求書.*\n  json +currency = CHF`},
		{"status --server", `feed +node-mqtt: connected(.*\n)*  index +up to date`},
		{"/addresses/", `^{"balances":\[{"network":"permanode-capture-1",.*"coins":"[1-9][0-9]+"`},
		{"/metrics$", `permanode_ingest_feed_connected{feed="node-inx",network="permanode-capture-1"} 1`},
		{"/plug/out ", "the plug is out at milestone"},
		{"/plug/in ", "the plug is in again"},
	}
	tried := make([]int, len(wants))
	for _, line := range d.all {
		if !strings.HasPrefix(line, "  curl ") && !strings.HasPrefix(line, "  permanode ") {
			continue
		}
		for i, want := range wants {
			if !regexp.MustCompile(want.command).MatchString(line) {
				continue
			}
			tried[i]++
			d.try(line, regexp.MustCompile(want.answer))
		}
	}
	for i, n := range tried {
		if n == 0 {
			d.t.Errorf("no command is printed that matches %s", wants[i].command)
		}
	}
}

var curl = regexp.MustCompile(`^  curl (-X POST )?'?(http://[^' ]+)'?( +#.*)?$`)

// try runs a command until its answer matches: what comes over a feed comes when it comes. Curl is not needed for it.
func (d *demoRun) try(line string, want *regexp.Regexp) {
	d.t.Helper()
	var out string
	last := func() string { return fmt.Sprintf("%s: an answer that matches %s, not %s", line, want, out) }
	if m := curl.FindStringSubmatch(line); m != nil {
		method := http.MethodGet
		if m[1] != "" {
			method = http.MethodPost
		}
		waitUntil(d.t, last, func() bool {
			var status int
			status, out = ask(d.t, method, m[2])
			return status == http.StatusOK && want.MatchString(out)
		})
		return
	}
	waitUntil(d.t, last, func() bool {
		all, err := exec.CommandContext(d.t.Context(), "sh", "-c", line).CombinedOutput()
		out = string(all)
		return err == nil && want.MatchString(out)
	})
}

func ask(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return res.StatusCode, string(raw)
}

// TestDemoPlug pulls the plug of the demo's node while it goes on, and puts it in again: nobody reaches the node
// meanwhile, and nothing is lost.
func TestDemoPlug(t *testing.T) {
	d := startDemo(t, "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "d"), "--pace", "50ms")
	plug := d.until(`curl -X POST (http://[^ ]+)/plug/out`)[1]
	api := d.until(`^The API answers at (http://[^ ]+) `)[1]
	if status, body := ask(t, http.MethodGet, plug+"/plug/out"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET pulls the plug: %d %s", status, body)
	}
	if status, body := ask(t, http.MethodPost, plug+"/plug/in"); status != http.StatusOK || !strings.Contains(body, "is in already") {
		t.Errorf("%d %s", status, body)
	}
	status, body := ask(t, http.MethodPost, plug+"/plug/out")
	if status != http.StatusOK || !strings.Contains(body, "goes on in the dark") {
		t.Fatalf("%d %s", status, body)
	}
	var at, later, ahead uint64
	if _, err := fmt.Sscanf(body, "the plug is out at milestone %d", &at); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	ready := func(want int) func() bool {
		return func() bool { status, _ := ask(t, http.MethodGet, api+"/readyz"); return status == want }
	}
	waitUntil(t, saying("the service says that no source answers"), ready(http.StatusServiceUnavailable))
	status, body = ask(t, http.MethodPost, plug+"/plug/in")
	if _, err := fmt.Sscanf(body, "the plug is in again: the node is at milestone %d, %d later", &later, &ahead); err != nil || status != http.StatusOK || later != at+ahead {
		t.Fatalf("%d %v: %s", status, err, body)
	}
	d.until("^the recording has ended: .* nothing is lost$")
	waitUntil(t, saying("the service is ready again"), ready(http.StatusOK))
	if _, body := ask(t, http.MethodGet, api+"/v1/networks/permanode-capture-1/coverage"); !strings.Contains(body, `"ranges":[{"from":1,"to":115}],"gaps":[],"records":2568`) {
		t.Error(body)
	}
	d.end()
}

func saying(s string) func() string { return func() string { return s } }

func waitUntil(t *testing.T, what func() string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what())
		}
	}
}
