package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/race"
	"permanode/internal/replay"
)

// wellMachine is one that nothing is wrong with.
func wellMachine() machine {
	return machine{
		now: time.Now,
		usage: func(string) (vfs.DiskUsage, error) {
			return vfs.DiskUsage{AvailBytes: 500 << 30, TotalBytes: 1 << 40}, nil
		},
		probe:  func(string) (time.Duration, error) { return time.Millisecond, nil },
		files:  func() (uint64, error) { return 65536, nil },
		memTop: func() (uint64, error) { return 16 << 30, nil },
	}
}

// sickRoom is a config of one network, an archive that holds it, and a node.
type sickRoom struct {
	t                    *testing.T
	dir, data, trust     string
	listen, metrics, api string
	feeds                string
	machine              machine
	node                 *httptest.Server
	dateOff              time.Duration
}

func newSickRoom(t *testing.T) *sickRoom {
	t.Helper()
	rec, err := replay.OpenRecording(os.DirFS(filepath.Join(recordings(t), "stardust")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rec.Close() })
	r := &sickRoom{t: t, dir: t.TempDir(), machine: wellMachine(), listen: "127.0.0.1:0", metrics: "127.0.0.1:0"}
	node := replay.NewNode(rec)
	r.node = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Date", time.Now().Add(r.dateOff).UTC().Format(http.TimeFormat))
		node.ServeHTTP(w, q)
	}))
	t.Cleanup(r.node.Close)
	r.feeds = fmt.Sprintf("{name: node-a, type: hornet2-rest, url: %q}", r.node.URL)
	r.data, r.trust = filepath.Join(r.dir, "data"), filepath.Join(r.dir, "trust.json")
	raw, err := os.ReadFile(filepath.Join(recordings(t), "stardust", "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.trust, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *sickRoom) fill() {
	r.t.Helper()
	commanded(r.t, 0, "ingest", "--data", r.data, "--trust", r.trust, "--from", r.node.URL, "--network", "tangle")
}

func (r *sickRoom) config() string {
	r.t.Helper()
	file := filepath.Join(r.dir, "config.yaml")
	text := fmt.Sprintf("data_dir: %q\nmemory: 256MiB\nnetworks:\n  - {name: tangle, era: stardust, trust: %q, feeds: [%s]}\napi: {listen: %q%s}\nmetrics: {listen: %q}\n",
		r.data, r.trust, r.feeds, r.listen, r.api, r.metrics)
	writeFile(r.t, file, []byte(text))
	return file
}

// look runs doctor on the room.
func (r *sickRoom) look() []diagnosis {
	r.t.Helper()
	var out bytes.Buffer
	d := doctor{p: &program{out: &out, errs: &out}, machine: r.machine}
	d.data.config = r.config()
	rows, err := d.look(r.t.Context())
	if err != nil {
		r.t.Fatalf("%v\n%s", err, out.String())
	}
	return rows
}

func (r *sickRoom) expect(level, part, text string) {
	r.t.Helper()
	rows := r.look()
	for _, d := range rows {
		if d.Level == level && d.Part == part && strings.Contains(d.Text, text) {
			if level != rowOK && d.Next == "" {
				r.t.Errorf("%+v does not say what to do", d)
			}
			return
		}
	}
	r.t.Errorf("no %s of %s with %q in:\n%+v", level, part, text, rows)
}

func TestDoctorWell(t *testing.T) {
	if race.Enabled {
		t.Skip("commands one after the other; the run without the race detector has them")
	}
	r := newSickRoom(t)
	r.expect(rowOK, "store", "nothing is stored")
	r.fill()
	before := dirNames(t, r.dir)
	for _, d := range r.look() {
		if d.Level != rowOK {
			t.Errorf("%+v", d)
		}
	}
	if after := dirNames(t, r.dir); after != before {
		t.Errorf("doctor changed something: %s, before %s", after, before)
	}
}

func dirNames(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() == "config.yaml" || e.Name() == "LOCK" { // locking makes it anew
			return err
		}
		info, err := e.Info()
		if err == nil && !e.IsDir() {
			all += fmt.Sprintf("%s %d %s\n", path, info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestDoctorSick makes every part ill that needs no archive.
func TestDoctorSick(t *testing.T) {
	if race.Enabled {
		t.Skip("each is one look more, and TestDoctorService looks")
	}
	usage := func(free, total uint64) func(r *sickRoom) {
		return func(r *sickRoom) {
			r.machine.usage = func(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: free, TotalBytes: total}, nil }
		}
	}
	probe := func(took time.Duration, err error) func(r *sickRoom) {
		return func(r *sickRoom) { r.machine.probe = func(string) (time.Duration, error) { return took, err } }
	}
	files := func(n uint64) func(r *sickRoom) {
		return func(r *sickRoom) { r.machine.files = func() (uint64, error) { return n, nil } }
	}
	memory := func(n uint64) func(r *sickRoom) {
		return func(r *sickRoom) { r.machine.memTop = func() (uint64, error) { return n, nil } }
	}
	certificate := func(from, to time.Duration) func(r *sickRoom) {
		return func(r *sickRoom) { r.certificate(time.Now().Add(from), time.Now().Add(to)) }
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name              string
		make              func(r *sickRoom)
		level, part, text string
	}{
		{"disk almost full", usage(500<<20, 100<<30), rowFail, "disk", "500.0 MiB free"},
		{"disk rather full", usage(4<<30, 100<<30), rowWarn, "disk", "4.0 GiB free"},
		{"disk unknown", func(r *sickRoom) {
			r.machine.usage = func(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{}, syscall.EIO }
		}, rowFail, "disk", "input/output error"},
		{"disk not ours", probe(0, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), rowFail, "disk writes", "cannot be written"},
		{"disk read-only", probe(0, syscall.EROFS), rowFail, "disk writes", "read-only"},
		{"disk slow", probe(time.Second, nil), rowWarn, "disk writes", "took 1s"},
		{"few files", files(1024), rowFail, "file handles", "1024 open"},
		{"rather few files", files(8192), rowWarn, "file handles", "8192 open"},
		{"files unknown", func(r *sickRoom) { r.machine.files = func() (uint64, error) { return 0, errors.New("unknown") } }, rowWarn, "file handles", "unknown"},
		{"little memory", memory(200 << 20), rowFail, "memory", "256.0 MiB, and there are 200.0 MiB"},
		{"rather little memory", memory(400 << 20), rowWarn, "memory", "there are 400.0 MiB"},
		{"memory unknown", func(r *sickRoom) { r.machine.memTop = func() (uint64, error) { return 0, errors.New("unknown") } }, rowWarn, "memory", "unknown"},
		{"port taken", func(r *sickRoom) { r.listen = r.taken() }, rowFail, "api.listen", "address already in use"},
		{"metrics port taken", func(r *sickRoom) { r.metrics = r.taken() }, rowFail, "metrics.listen", "address already in use"},
		{"keys for all", func(r *sickRoom) {
			file := filepath.Join(r.dir, "keys.yaml")
			commanded(r.t, 0, "key", "new", "--name", "a", "--role", "reader", "--file", file)
			if err := os.Chmod(file, 0o644); err != nil {
				r.t.Fatal(err)
			}
			r.api = fmt.Sprintf(", keys_file: %q", file)
		}, rowWarn, "keys", "read"},
		{"no keys", func(r *sickRoom) { r.api = `, keys_file: nosuch.yaml` }, rowFail, "keys", "no such file"},
		{"keys that all can write", func(r *sickRoom) {
			file := filepath.Join(r.dir, "keys.yaml")
			commanded(r.t, 0, "key", "new", "--name", "a", "--role", "reader", "--file", file)
			if err := os.Chmod(file, 0o666); err != nil {
				r.t.Fatal(err)
			}
			r.api = fmt.Sprintf(", keys_file: %q", file)
		}, rowFail, "keys", "chmod 600"},
		{"no certificate", func(r *sickRoom) { r.api = `, tls_cert: nosuch.pem, tls_key: nosuch.pem` }, rowFail, "certificate", "no such file"},
		{"no trust file", func(r *sickRoom) { r.trust = filepath.Join(r.dir, "nosuch.json") }, rowFail, "trust of tangle", "nosuch.json"},
		{"no good trust file", func(r *sickRoom) { writeFile(r.t, r.trust, []byte("{}")) }, rowFail, "trust of tangle", ""},
		{"certificate over", certificate(-9*day, -day), rowFail, "certificate", "it ended on"},
		{"certificate not yet", certificate(day, 90*day), rowFail, "certificate", "it begins on"},
		{"certificate almost over", certificate(-9*day, day), rowFail, "certificate", "it ends on"},
		{"certificate soon over", certificate(-9*day, 9*day), rowWarn, "certificate", "it ends on"},
		{"certificate key for all", func(r *sickRoom) {
			certificate(-day, 90*day)(r)
			if err := os.Chmod(filepath.Join(r.dir, "key.pem"), 0o644); err != nil {
				r.t.Fatal(err)
			}
		}, rowWarn, "certificate key", "can be read by others"},
		{"trust for all", func(r *sickRoom) {
			if err := os.Chmod(r.trust, 0o666); err != nil {
				r.t.Fatal(err)
			}
		}, rowFail, "trust of tangle", "can be written by others"},
		{"node down", func(r *sickRoom) { r.feeds = `{name: node-a, type: hornet2-rest, url: "http://` + r.free() + `"}` }, rowFail, "feed node-a", "connection refused"},
		{"one of two nodes down", func(r *sickRoom) {
			r.feeds += `, {name: node-b, type: hornet2-rest, url: "http://` + r.free() + `"}`
		}, rowWarn, "feed node-b", "connection refused"},
		{"no node", func(r *sickRoom) {
			srv := httptest.NewServer(http.NotFoundHandler())
			r.t.Cleanup(srv.Close)
			r.feeds = fmt.Sprintf("{name: node-a, type: hornet2-rest, url: %q}", srv.URL)
		}, rowFail, "feed node-a", "does not know it"},
		{"bell silent", func(r *sickRoom) {
			r.feeds += `, {name: bell, type: hornet2-mqtt, url: "tcp://` + r.free() + `"}`
		}, rowWarn, "feed bell", "connection refused"},
		{"other network", func(r *sickRoom) { r.trust = "shimmer" }, rowFail, "feed node-a", "1142045904579614601"},
		{"clock wrong", func(r *sickRoom) { r.dateOff = 2 * time.Hour }, rowFail, "clock", "differs from that of node-a"},
		{"clock rather wrong", func(r *sickRoom) { r.dateOff = 20 * time.Second }, rowWarn, "clock", "differs from that of node-a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newSickRoom(t)
			c.make(r)
			r.expect(c.level, c.part, c.text)
		})
	}
}

// taken returns an address that somebody listens at.
func (r *sickRoom) taken() string {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// free returns an address that nobody listens at.
func (r *sickRoom) free() string {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (r *sickRoom) certificate(from, to time.Time) {
	r.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(crand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		r.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		r.t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(r.dir, "cert.pem"), filepath.Join(r.dir, "key.pem")
	writeFile(r.t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.api = fmt.Sprintf(", tls_cert: %q, tls_key: %q", certFile, keyFile)
}

// TestDoctorArchive makes an archive ill in every way.
func TestDoctorArchive(t *testing.T) {
	if race.Enabled {
		t.Skip("each is one look more, and TestDoctorService looks")
	}
	r := newSickRoom(t)
	r.fill()
	well := filepath.Join(t.TempDir(), "well")
	if err := os.CopyFS(well, os.DirFS(r.data)); err != nil {
		t.Fatal(err)
	}
	write := func(name string, raw []byte) {
		file := filepath.Join(r.data, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, raw)
	}
	remove := func(name string) {
		if err := os.RemoveAll(filepath.Join(r.data, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name              string
		make              func()
		level, part, text string
	}{
		{"killed", func() { remove("SUMS") }, rowWarn, "store", "not stopped cleanly"},
		{"damaged", func() { write("SUMS", []byte("nonsense\n")) }, rowFail, "store", "SUMS"},
		{"half a copy", func() { write("copying/SUMS", nil) }, rowFail, "store", "copy that was interrupted"},
		{"no index", func() { remove("index") }, rowWarn, "index", "none yet"},
		{"index spoilt", func() {
			remove("index")
			write("index", []byte("a file"))
		}, rowWarn, "index", ""},
		{"refused", func() { write("quarantine/tangle/7.lie.json", []byte("{}")) }, rowWarn, "quarantine", "1 time something was refused"},
		{"checkpoint left", func() { write("checkpoint/LOCK", nil) }, rowWarn, "leftovers", "checkpoint of an earlier run"},
		{"clock behind", func() { r.machine.now = func() time.Time { return time.Unix(1_600_000_000, 0) } }, rowFail, "clock", "behind the signed time of the newest unit of tangle"},
		{"another network of that name", func() { r.trust = "shimmer" }, rowFail, "trust of tangle", "1142045904579614601"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			remove("")
			if err := os.CopyFS(r.data, os.DirFS(well)); err != nil {
				t.Fatal(err)
			}
			machine := r.machine
			defer func() { r.machine = machine }()
			c.make()
			r.expect(c.level, c.part, c.text)
		})
	}
}

func TestDoctorRows(t *testing.T) {
	d := doctor{machine: wellMachine(), perDay: 300 << 30}
	if got := d.disk(); got.Level != rowFail || !strings.Contains(got.Text, "enough for 2 days") {
		t.Errorf("%+v", got)
	}
	d.perDay = 100 << 30
	if got := d.disk(); got.Level != rowWarn || !strings.Contains(got.Text, "enough for 5 days") {
		t.Errorf("%+v", got)
	}
	d.perDay = 1 << 30
	if got := d.disk(); got.Level != rowOK {
		t.Errorf("%+v", got)
	}
	if took, err := probeDisk(t.TempDir()); err != nil || took <= 0 {
		t.Errorf("%s, %v", took, err)
	}
	if _, err := probeDisk(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there takes bytes")
	}
}

func TestMemoryTop(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"meminfo": "MemFree: 1 kB\nMemTotal:       1024 kB\n", "nomem": "x\n", "self": "0::/a/b\n", "old": "3:cpu:/x\n",
		"cg/a/memory.max": "900000\n", "cg/a/b/memory.max": "max\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, []byte(text))
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if n, err := memTotal(at("meminfo")); n != 1<<20 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, name := range []string{"nomem", "none"} {
		if _, err := memTotal(at(name)); err == nil {
			t.Errorf("%s says how much there is", name)
		}
	}
	for self, want := range map[string]uint64{"self": 900000, "old": ^uint64(0), "none": ^uint64(0)} {
		if got := groupLimit(at(self), at("cg")); got != want {
			t.Errorf("%s: %d, want %d", self, got, want)
		}
	}
}

// TestDoctorService asks a running service, directly and because it holds the archive.
func TestDoctorService(t *testing.T) {
	r := newSickRoom(t)
	r.listen = r.free()
	s := startService(t, r.config())
	s.holds(t, 115)
	r.expect(rowOK, "service", s.api+" answers")
	r.expect(rowOK, "store", "takes what is proven")
	r.expect(rowOK, "coverage of tangle", "up to unit 115")
	r.expect(rowOK, "feed node-a", "is at unit 115, 0 ahead of the archive")
	out, _ := commanded(t, 0, "doctor", "--server", s.api, "--live")
	if !strings.Contains(out, "answers") || strings.Count(out, "\n") != 1 {
		t.Errorf("--live says %q", out)
	}
	waitUntil(t, s.text, func() bool { return r.ready(s) })
	out, _ = commanded(t, 0, "doctor", "--server", s.api, "--json")
	if !strings.Contains(out, `{"part":"disk","level":"ok",`) {
		t.Errorf("--json says %s", out)
	}
	r.node.CloseClientConnections()
	r.node.Close() // a network without a source is not ready
	waitUntil(t, s.text, func() bool { return !r.ready(s) })
	out, errs := commanded(t, 1, "doctor", "--server", s.api)
	if !strings.Contains(out, "fail  tangle") || !strings.Contains(errs, "1 thing wrong") {
		t.Errorf("%s%s", out, errs)
	}
	s.end(t, syscall.SIGTERM)
	out, _ = commanded(t, 1, "doctor", "--server", s.api, "--live")
	if !strings.Contains(out, "fail  service") {
		t.Errorf("a stopped one: %s", out)
	}
	commanded(t, 2, "doctor", "--live")
	commanded(t, 2, "doctor")
	commanded(t, 2, "doctor", "--config", filepath.Join(r.dir, "none.yaml"))
}

func (r *sickRoom) ready(s *runningService) bool {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	got, err := s.client(r.t).Ready(ctx)
	return err == nil && got.Ready
}
