package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/race"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/query"
	"permanode/storage"
)

// killedName is the program as the campaign runs it: permanode-killed N ARGS… kills itself with SIGKILL at the N-th
// write or sync of the store's files: before it, after it or, of a write, in the middle. N 0 kills never and says on
// standard error how many there were, and which were the first and last that wrote records to the store's log.
const killedName = "permanode-killed"

func killedMain() {
	at, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err != nil {
		panic(err)
	}
	fs := &killingFS{FS: vfs.Default, at: at}
	status := (&program{out: os.Stdout, errs: os.Stderr, fs: fs}).run(os.Args[2:])
	if at == 0 {
		fmt.Fprintln(os.Stderr, "operations", fs.done.Load(), fs.first.Load(), fs.last.Load())
	}
	os.Exit(status)
}

// killingFS counts what changes the disk.
type killingFS struct {
	vfs.FS
	at   int64
	done atomic.Int64

	first, last atomic.Int64 // writes of commits
}

// step runs a write or sync; half is what a write that is cut short does.
func (k *killingFS) step(half, whole func() error) error {
	if n := k.done.Add(1); k.at > 0 && n == k.at {
		switch n % 3 {
		case 0:
			_ = half()
		case 1:
			_ = whole()
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal comes
	}
	return whole()
}

// recordBytes is what a write to the log must have to be taken for a commit of records: rows of networks and spans are
// smaller.
const recordBytes = 1 << 10

func nothing() error { return nil }

func (k *killingFS) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = k.step(nothing, func() error { f, err = k.FS.Create(name, c); return err })
	return k.wrap(name, f), err
}

func (k *killingFS) ReuseForWrite(from, name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = k.step(nothing, func() error { f, err = k.FS.ReuseForWrite(from, name, c); return err })
	return k.wrap(name, f), err
}

func (k *killingFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := k.FS.OpenReadWrite(name, c, opts...)
	return k.wrap(name, f), err
}

func (k *killingFS) OpenDir(name string) (vfs.File, error) {
	f, err := k.FS.OpenDir(name)
	return k.wrap(name, f), err
}

func (k *killingFS) Rename(from, to string) error {
	return k.step(nothing, func() error { return k.FS.Rename(from, to) })
}

func (k *killingFS) Link(from, to string) error {
	return k.step(nothing, func() error { return k.FS.Link(from, to) })
}

func (k *killingFS) Remove(name string) error {
	return k.step(nothing, func() error { return k.FS.Remove(name) })
}

func (k *killingFS) Unwrap() vfs.FS { return k.FS }

func (k *killingFS) wrap(name string, f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &killingFile{f, k, strings.HasSuffix(name, ".log")}
}

type killingFile struct {
	vfs.File
	fs  *killingFS
	log bool
}

func (f *killingFile) Write(b []byte) (n int, err error) {
	err = f.fs.step(func() error { _, err := f.File.Write(b[:len(b)/2]); return err },
		func() error { n, err = f.File.Write(b); return err })
	if f.log && len(b) > recordBytes {
		f.fs.last.Store(f.fs.done.Load())
		f.fs.first.CompareAndSwap(0, f.fs.last.Load())
	}
	return n, err
}

func (f *killingFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.fs.step(func() error { _, err := f.File.WriteAt(b[:len(b)/2], off); return err },
		func() error { n, err = f.File.WriteAt(b, off); return err })
	return n, err
}

func (f *killingFile) Sync() error     { return f.fs.step(nothing, f.File.Sync) }
func (f *killingFile) SyncData() error { return f.fs.step(nothing, f.File.SyncData) }

func (f *killingFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.step(nothing, func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// TestKill kills the real program after a random number of writes and syncs, again and again, and resumes it each time,
// while it fills one data directory with a network of each era: the final export is the undisturbed one, byte for byte,
// and what a kill leaves is sound. At least three quarters of the kills hit between the first and the last commit.
func TestKill(t *testing.T) {
	if race.Enabled {
		t.Skip("durability after a kill is no matter of races: it is tested without the detector")
	}
	kills := 16
	switch {
	case os.Getenv("PERMANODE_TORTURE") != "":
		kills = 200
	case testing.Short():
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, kills)
	recording := filepath.Join(recordings(t), "stardust")
	c := &campaign{t: t, rng: rand.New(rand.NewPCG(seed, 0)), networks: []*killedNetwork{
		{trust: filepath.Join(recording, "trust.json"), from: recording},
		chainToKill(t, seed),
	}}
	whole := filepath.Join(t.TempDir(), "whole")
	c.calibrate(whole)
	want := c.export(whole)
	c.found = c.searches(whole)
	if err := checkEnd(string(want)); err != nil {
		t.Fatal(err)
	}
	for c.kills < kills || 4*c.between < 3*kills {
		if c.kills > 3*kills {
			t.Fatalf("only %d of %d kills hit between the first and the last commit", c.between, c.kills)
		}
		c.round(filepath.Join(t.TempDir(), "data"), want)
	}
	t.Logf("%d kills, %d between the first and the last commit, %d rounds", c.kills, c.between, c.rounds)
	for _, n := range c.networks {
		t.Logf("%s undisturbed: %d units, %d operations, commits from %d to %d", n.name, n.all, n.operations, n.first, n.last)
	}
}

// chainToKill writes checkpoint files of a generated network: some segments and a tail.
func chainToKill(t *testing.T, seed uint64) *killedNetwork {
	t.Helper()
	n := rebasedtest.New(rebasedtest.Options{Seed: seed, Transactions: 3, Epoch: 50, Unknown: 9})
	dir := t.TempDir()
	for i := range 140 {
		writeFile(t, filepath.Join(dir, fmt.Sprint(i, ".chk")), n.Next().File())
	}
	trust := filepath.Join(t.TempDir(), "trust.json")
	writeFile(t, trust, n.Trust())
	return &killedNetwork{trust: trust, from: dir}
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// killedNetwork is one network of the directory.
type killedNetwork struct {
	trust, from string
	name        string
	all         uint64 // units of the source

	operations, first, last int64 // of an undisturbed run
}

type campaign struct {
	t                      *testing.T
	rng                    *rand.Rand
	networks               []*killedNetwork
	found                  []string // by searches in an archive that was never disturbed
	kills, between, rounds int
}

// permanode runs the program, killed at operation at; 0 lets it live. It returns what it wrote.
func (c *campaign) permanode(at int64, args ...string) (out, errs []byte, err error) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), killedName, append([]string{strconv.FormatInt(at, 10)}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.Bytes(), e.Bytes(), err
}

func (c *campaign) ingest(at int64, dir string, n *killedNetwork) (errs []byte, err error) {
	c.t.Helper()
	_, errs, err = c.permanode(at, "ingest", "--data", dir, "--trust", n.trust, "--from", n.from)
	return errs, err
}

// calibrate ingests undisturbed.
func (c *campaign) calibrate(dir string) {
	c.t.Helper()
	for _, n := range c.networks {
		errs, err := c.ingest(0, dir, n)
		if err != nil {
			c.t.Fatalf("%v\n%s", err, errs)
		}
		at := strings.LastIndex(string(errs), "operations ")
		if _, err := fmt.Sscanf(string(errs[max(at, 0):]), "operations %d %d %d", &n.operations, &n.first, &n.last); err != nil {
			c.t.Fatalf("%v: %s", err, errs)
		}
		for name, units := range c.units(dir) {
			if !slices.ContainsFunc(c.networks, func(o *killedNetwork) bool { return o.name == name }) {
				n.name, n.all = name, units
			}
		}
	}
}

func (c *campaign) export(dir string) []byte {
	c.t.Helper()
	out, errs, err := c.permanode(0, "export", "--data", dir)
	if err != nil {
		c.t.Fatalf("%v\n%s", err, errs)
	}
	return out
}

// round fills one archive, killed a few times on the way, and compares it in the end.
func (c *campaign) round(dir string, want []byte) {
	c.t.Helper()
	c.rounds++
	held := map[string]uint64{}
	for range 1 + c.rng.IntN(4) {
		n := c.networks[c.rng.IntN(len(c.networks))]
		at := c.when(n, held[n.name])
		errs, err := c.ingest(at, dir, n)
		if err == nil {
			break // it had less to do than that
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !killed(exit) {
			c.t.Fatalf("to be killed at %d: %v\n%s", at, err, errs)
		}
		c.kills++
		if held = c.units(dir); held[n.name] == n.all {
			break
		}
		if held[n.name] > 0 {
			c.between++
		}
	}
	if len(held) > 0 {
		c.sound(dir)
	}
	for _, n := range c.networks {
		if errs, err := c.ingest(0, dir, n); err != nil {
			c.t.Fatalf("resumed: %v\n%s", err, errs)
		}
	}
	if got := c.export(dir); !bytes.Equal(got, want) {
		c.t.Fatalf("round %d: the export differs: %d bytes, want %d", c.rounds, len(got), len(want))
	}
	c.sameSearches(dir, c.found)
	if c.rounds == 1 {
		c.sound(dir)
		c.soundIndex(dir)
	}
}

// sound proves what is there again.
func (c *campaign) sound(dir string) {
	c.t.Helper()
	if out, errs, err := c.permanode(0, "check", "--full", "--data", dir); err != nil {
		c.t.Fatalf("round %d: %v\n%s%s", c.rounds, err, out, errs)
	}
}

// when picks the operation to be killed at, where held units of n are there already: mostly between the first and the
// last commit, else anywhere.
func (c *campaign) when(n *killedNetwork, held uint64) int64 {
	if c.rng.IntN(10) == 0 {
		return 1 + c.rng.Int64N(n.operations)
	}
	left := (n.last - n.first) * int64(n.all-held) / int64(n.all)
	return n.first + 1 + c.rng.Int64N(max(left, 1))
}

func killed(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// units returns how many units of each network are visible in a directory that a kill left; none if it left no store.
func (c *campaign) units(dir string) map[string]uint64 {
	c.t.Helper()
	all := map[string]uint64{}
	out, errs, err := c.permanode(0, "coverage", "--data", dir, "--json")
	if err != nil {
		if !strings.Contains(string(errs), storage.ErrNoData.Error()) {
			c.t.Fatalf("%v\n%s", err, errs)
		}
		return all
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var cov query.Coverage
		if err := d.Decode(&cov); err != nil {
			c.t.Fatalf("%v: %s", err, out)
		}
		for _, r := range cov.Ranges {
			all[cov.Network] += r.To - r.From + 1
		}
	}
	return all
}

// checkEnd compares the last line of an export with what stands before it.
func checkEnd(text string) error {
	at := strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n') + 1
	var end struct {
		End    bool `json:"_end"`
		Rows   int
		SHA256 string
	}
	if err := json.Unmarshal([]byte(text[at:]), &end); err != nil || !end.End {
		return fmt.Errorf("no last line: %v: %.200s", err, text[at:])
	}
	sum := sha256.Sum256([]byte(text[:at]))
	if rows := strings.Count(text[:at], "\n"); rows != end.Rows || hex.EncodeToString(sum[:]) != end.SHA256 {
		return fmt.Errorf("last line %s, but there are %d rows with SHA-256 %x", text[at:], rows, sum)
	}
	return nil
}
