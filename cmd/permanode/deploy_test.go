package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	yaml "go.yaml.in/yaml/v3"

	"permanode/internal/race"
	"permanode/internal/replay"
)

// deployed reads a file of the folder deploy, or another of the module.
func deployed(t *testing.T, name ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// checks runs a program that must be content.
func checks(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// commandLine checks that the program takes a command line, without running it.
func commandLine(t *testing.T, args []string) {
	t.Helper()
	root := (&program{out: io.Discard, errs: io.Discard}).rootCommand()
	c, rest, err := root.Find(args)
	if err != nil || c == root {
		t.Errorf("%q is no command: %v", args, err)
		return
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", args, err)
	}
	if left := c.Flags().Args(); len(left) > 0 {
		t.Errorf("%q: %q is left over", args, left)
	}
}

func TestUnitFile(t *testing.T) {
	unit := deployed(t, "deploy", "systemd", "permanode.service")
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/permanode (.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("no ExecStart")
	}
	commandLine(t, strings.Fields(line[1]))
	for _, want := range []string{"Type=notify", "DynamicUser=yes", "StateDirectory=permanode", "ProtectSystem=strict", "LimitNOFILE=65536", "Restart=on-failure", "ExecReload=/bin/kill -HUP $MAINPID"} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("the unit lacks %s", want)
		}
	}
	if !regexp.MustCompile(`(?m)^WatchdogSec=[0-9]+$`).MatchString(unit) {
		t.Error("the unit has no watchdog")
	}
}

// TestUnitVerified has systemd judge the unit, on machines that have it.
func TestUnitVerified(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("this machine has no systemd")
	}
	unit := deployed(t, "deploy", "systemd", "permanode.service")
	// The binary is not installed where tests run.
	file := filepath.Join(t.TempDir(), "permanode.service")
	writeFile(t, file, []byte(strings.ReplaceAll(unit, "/usr/local/bin/permanode", "/bin/true")))
	if out := checks(t, program, "verify", file); strings.Contains(out, "permanode.service:") {
		t.Errorf("systemd says:\n%s", out)
	}
	checks(t, program, "security", "--offline=yes", "--threshold=15", file) // exposure of 1.5 of 10 at most
}

// TestContainerfile holds the command lines of the container against the program.
func TestContainerfile(t *testing.T) {
	text := deployed(t, "deploy", "container", "Containerfile")
	run := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(CMD|ENTRYPOINT) (\[.*\])$`).FindAllStringSubmatch(text, -1) {
		var args []string
		if err := json.Unmarshal([]byte(m[2]), &args); err != nil {
			t.Fatal(err)
		}
		key := m[1]
		if key == "CMD" && args[0] == "/usr/local/bin/permanode" {
			key = "HEALTHCHECK"
		}
		run[key] = args
	}
	if !slices.Equal(run["ENTRYPOINT"], []string{"/usr/local/bin/permanode"}) || len(run["HEALTHCHECK"]) == 0 || len(run["CMD"]) == 0 {
		t.Fatalf("%q", run)
	}
	commandLine(t, run["CMD"])
	commandLine(t, run["HEALTHCHECK"][1:])
	for _, want := range []string{"\nUSER 65532:65532\n", "\nVOLUME /var/lib/permanode\n", "CGO_ENABLED=0", "\nFROM scratch\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q", want)
		}
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(deployed(t, "go.mod"))[1]
	if !strings.Contains(text, "golang:"+goVersion+"-") {
		t.Errorf("the image has another Go than go.mod, %s", goVersion)
	}
	var compose struct {
		Services map[string]struct {
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "deploy", "container", "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	for name := range compose.Services["permanode"].Environment {
		if !slices.ContainsFunc(scalars, func(s struct{ key, value string }) bool { return envName(s.key) == name }) {
			t.Errorf("the variable %s sets nothing", name)
		}
	}
}

// alertRules are the rules of deploy/prometheus.
func alertRules(t *testing.T) (all []alertRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "deploy", "prometheus", "rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

// TestAlerts holds the rules against Prometheus's own checker, their tests and the page that explains them.
func TestAlerts(t *testing.T) {
	if race.Enabled {
		t.Skip("promtool is no Go; the run without the race detector asks it")
	}
	page := deployed(t, "docs", "operations.md")
	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(deployed(t, "deploy", "prometheus", "rules_test.yml")), &tests); err != nil {
		t.Fatal(err)
	}
	for _, r := range alertRules(t) {
		sounds, silent := false, false
		for _, one := range tests.Tests {
			for _, a := range one.AlertRuleTest {
				sounds = sounds || a.Alertname == r.Alert && len(a.ExpAlerts) > 0
				silent = silent || a.Alertname == r.Alert && len(a.ExpAlerts) == 0
			}
		}
		if !sounds || !silent {
			t.Errorf("%s is not tested both ways", r.Alert)
		}
		if r.Annotations["summary"] == "" || r.Annotations["runbook"] != "docs/operations.md#"+strings.ToLower(r.Alert) {
			t.Errorf("%s: annotations %q", r.Alert, r.Annotations)
		}
		if !strings.Contains(page, "\n### "+r.Alert+"\n") {
			t.Errorf("docs/operations.md does not explain %s", r.Alert)
		}
	}
	for name := range regexpSet(regexp.MustCompile(`(?m)^### (Permanode\w+)$`), page) {
		if !slices.ContainsFunc(alertRules(t), func(r alertRule) bool { return r.Alert == name }) {
			t.Errorf("docs/operations.md explains %s, which is no alert", name)
		}
	}
	folder := filepath.Join("..", "..", "deploy", "prometheus")
	promtool := outside(t, "promtool")
	checks(t, promtool, "check", "rules", filepath.Join(folder, "rules.yml"))
	checks(t, promtool, "test", "rules", filepath.Join(folder, "rules_test.yml"))
}

func regexpSet(re *regexp.Regexp, text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}

// TestMetricsExist holds every metric that a rule, the dashboard or docs/operations.md names against those of a running
// service, and says which of its own no page names.
func TestMetricsExist(t *testing.T) {
	if race.Enabled {
		t.Skip("the names are the same, and TestScripts scrapes a service")
	}
	rec, err := replay.OpenRecording(os.DirFS(filepath.Join(recordings(t), "stardust")))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	node := replay.NewNode(rec)
	broker := replay.NewBroker(node, replay.BrokerConfig{})
	if err := broker.Start(nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Stop() }()
	mux := http.NewServeMux()
	mux.Handle(replay.BrokerPath, broker)
	mux.Handle("/", node)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	r := &sickRoom{t: t, dir: t.TempDir(), listen: "127.0.0.1:0", trust: filepath.Join(recordings(t), "stardust", "trust.json")}
	r.data, r.metrics = filepath.Join(r.dir, "data"), r.free()
	r.feeds = fmt.Sprintf("{name: node-a, type: hornet2-rest, url: %q}, {name: bell, type: hornet2-mqtt, url: %q}",
		srv.URL, strings.Replace(srv.URL, "http://", "ws://", 1)+replay.BrokerPath)
	s := startServiceWith(t, r.config(), "PERMANODE_METRICS_LISTEN="+r.metrics)
	s.holds(t, 115)
	waitUntil(t, s.text, func() bool { return r.ready(s) })
	_, scrape := ask(t, http.MethodGet, "http://"+r.metrics+"/metrics")
	there := regexpSet(regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`), scrape)
	there["up"] = true // Prometheus makes it
	// Under the unit there is none: it comes from /proc/stat, which ProcSubset=pid hides.
	delete(there, "process_start_time_seconds")
	for name := range regexpSet(regexp.MustCompile(`(?m)^([a-z_]+)_bucket\{`), scrape) {
		there[name] = true // a histogram
	}
	var board map[string]any
	if err := json.Unmarshal([]byte(deployed(t, "deploy", "grafana", "permanode.json")), &board); err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	word := regexp.MustCompile(`\b((?:permanode|process|go)_[a-z_]+)\b`)
	for _, text := range exprs(board) {
		for name := range regexpSet(word, text) {
			named[name] = "the dashboard"
		}
	}
	for _, a := range alertRules(t) {
		for name := range regexpSet(word, a.Expr) {
			named[name] = a.Alert
		}
	}
	for name := range regexpSet(regexp.MustCompile("`(permanode_[a-z_]+)`"), deployed(t, "docs", "operations.md")) {
		named[name] = "docs/operations.md"
	}
	for name, by := range named {
		if !there[name] {
			t.Errorf("%s names %s, which no service has", by, name)
		}
	}
	s.end(t, syscall.SIGTERM)
	if len(named) < 30 {
		t.Errorf("only %d metrics are named: %v", len(named), named)
	}
}

// exprs are the queries of a dashboard.
func exprs(v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			if text, isText := x.(string); isText && (key == "expr" || key == "query") {
				all = append(all, text)
			}
			all = append(all, exprs(x)...)
		}
	case []any:
		for _, x := range v {
			all = append(all, exprs(x)...)
		}
	}
	return all
}

// TestNotifyService starts the real service under a service manager: it is ready when it answers, feeds the watchdog, and
// says that it stops.
func TestNotifyService(t *testing.T) {
	m := newManager(t)
	r := newSickRoom(t)
	s := startServiceWith(t, r.config(), "NOTIFY_SOCKET="+m.env["NOTIFY_SOCKET"], "WATCHDOG_USEC=300000")
	m.next(t, "READY=1")
	if status, _ := ask(t, http.MethodGet, s.api+"/livez"); status != http.StatusOK {
		t.Errorf("READY before it answers: %d", status)
	}
	m.next(t, "WATCHDOG=1")
	s.holds(t, 115)
	for !bytes.Contains([]byte(m.next(t, "STATUS=")), []byte("tangle: up to date at unit 115")) {
		continue // the sentence follows what it does; next fails in the end
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	m.next(t, "RELOADING=1")
	m.next(t, "READY=1")
	s.end(t, syscall.SIGTERM)
	m.next(t, "STOPPING=1")
}
