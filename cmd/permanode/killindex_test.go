package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/query"
)

// indexQueries need the index, for their words or their combination.
var indexQueries = []string{
	"battery", `"clearing container"`, "cl* NOT kind:tagged-data", "請求", "currency=CHF", "kind:transaction state:conflicting unit:20..90", "tag:INVOICE OR transfer",
}

// TestKillIndex kills the real program at a random moment while it makes an index, again and again: by ingest over a store
// that is complete, and by a rebuild beside one that is there. When it is let live it goes on; then every search gives
// what it gives in an archive that was never disturbed, and what a look at every record gives.
func TestKillIndex(t *testing.T) {
	if race.Enabled {
		t.Skip("durability after a kill is no matter of races: it is tested without the detector")
	}
	rounds := 3
	switch {
	case os.Getenv("PERMANODE_TORTURE") != "":
		rounds = 60
	case testing.Short():
		rounds = 1
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, rounds)
	c := &campaign{t: t, rng: rand.New(rand.NewPCG(seed, 0))}
	recording := filepath.Join(recordings(t), "stardust")
	n := &killedNetwork{trust: filepath.Join(recording, "trust.json"), from: recording}

	whole := filepath.Join(t.TempDir(), "whole")
	c.mustIngest(whole, n)
	want := c.searches(whole)
	c.compareWithLook(whole, want)

	t.Setenv("PERMANODE_INDEX_TEXT", "false")
	bare := filepath.Join(t.TempDir(), "bare")
	c.mustIngest(bare, n)
	t.Setenv("PERMANODE_INDEX_TEXT", "true")
	ingest := []string{"ingest", "--trust", n.trust, "--from", n.from, "--data"}
	took := c.calibrateIndex(bare, ingest)
	for range rounds {
		dir := c.copyOf(bare)
		for range 1 + c.rng.IntN(3) {
			c.killWhile(dir, took, ingest)
		}
		c.mustIngest(dir, n)
		c.sameSearches(dir, want)
		for range 1 + c.rng.IntN(2) {
			c.killWhile(dir, 2*took, []string{"index", "rebuild", "--data"})
			c.sameSearches(dir, want)
		}
		if out, errs, err := c.permanode(0, "index", "rebuild", "--data", dir); err != nil {
			t.Fatalf("%v\n%s%s", err, out, errs)
		}
		c.sameSearches(dir, want)
		c.soundIndex(dir)
	}
	t.Logf("%d kills, %d of them while it was indexing (which takes %s)", c.kills, c.between, took)
	if c.between == 0 {
		t.Error("no kill hit")
	}
}

func (c *campaign) mustIngest(dir string, n *killedNetwork) {
	c.t.Helper()
	if errs, err := c.ingest(0, dir, n); err != nil {
		c.t.Fatalf("%v\n%s", err, errs)
	}
}

func (c *campaign) copyOf(dir string) string {
	c.t.Helper()
	to := filepath.Join(c.t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		c.t.Fatal(err)
	}
	return to
}

// calibrateIndex returns how long the program goes on once its index folder is there.
func (c *campaign) calibrateIndex(bare string, command []string) time.Duration {
	c.t.Helper()
	_, alive := c.startIndexing(c.copyOf(bare), command)
	began := time.Now()
	if err := alive(0); err != nil {
		c.t.Fatal(err)
	}
	return time.Since(began)
}

// startIndexing starts the program and returns once it has begun to write to the index. The second result waits for
// its end, after killing it where it is asked to after some time.
func (c *campaign) startIndexing(dir string, command []string) (cmd *exec.Cmd, end func(after time.Duration) error) {
	c.t.Helper()
	before := newest(dir)
	cmd = exec.CommandContext(c.t.Context(), killedName, append(append([]string{"0"}, command...), dir)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for newest(dir) == before {
		select {
		case err := <-ended:
			ended <- err
			return cmd, func(time.Duration) error { return <-ended }
		case <-time.After(time.Millisecond):
		}
	}
	return cmd, func(after time.Duration) error {
		if after > 0 {
			select {
			case err := <-ended:
				return err
			case <-time.After(after):
			}
			_ = cmd.Process.Kill()
		}
		err := <-ended
		if err != nil && after == 0 {
			err = errors.New(errs.String())
		}
		return err
	}
}

// newest names the newest file of the index.
func newest(dir string) (name string) {
	var at time.Time
	_ = filepath.WalkDir(indexDir(dir), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil // files come and go
		}
		if info, err := e.Info(); err == nil && info.ModTime().After(at) {
			at, name = info.ModTime(), path+info.ModTime().String()
		}
		return nil
	})
	return name
}

// killWhile runs a command that writes to the index, and kills it at a random moment of that.
func (c *campaign) killWhile(dir string, took time.Duration, command []string) {
	c.t.Helper()
	_, end := c.startIndexing(dir, command)
	err := end(1 + time.Duration(c.rng.Int64N(int64(took))))
	var exit *exec.ExitError
	switch {
	case err == nil:
		return // it was faster
	case !errors.As(err, &exit) || !killed(exit):
		c.t.Fatalf("%v: %v", command, err)
	}
	c.kills++
	c.between++
}

// searches returns what every query finds.
func (c *campaign) searches(dir string) (found []string) {
	c.t.Helper()
	for _, q := range indexQueries {
		out, errs, err := c.permanode(0, "search", "--data", dir, "--all", "--json", q)
		if err != nil {
			c.t.Fatalf("search %s: %v\n%s", q, err, errs)
		}
		found = append(found, string(out))
	}
	return found
}

func (c *campaign) sameSearches(dir string, want []string) {
	c.t.Helper()
	for i, got := range c.searches(dir) {
		if got != want[i] {
			c.t.Fatalf("%s: %d hits, want %d", indexQueries[i], strings.Count(got, "\n"), strings.Count(want[i], "\n"))
		}
	}
}

// compareWithLook compares two queries with a look at the bytes of every record.
func (c *campaign) compareWithLook(dir string, found []string) {
	c.t.Helper()
	db, err := (&program{errs: io.Discard}).open(dir, minMemory, true, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	a := query.New(db, eras.Codec)
	networks, err := a.Networks(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var conflicting, currency []string
	if err := a.Cones(c.t.Context(), networks, func(n query.Network, cone *ledger.Cone) error {
		for i := range cone.Records {
			r := &cone.Records[i]
			id := n.Codec.FormatID(r.ID)
			if r.State == ledger.Conflicting && 20 <= r.Ord.Seq && r.Ord.Seq <= 90 {
				conflicting = append(conflicting, id)
			}
			if bytes.Contains(r.Parts[0].Raw, []byte(`"currency":"CHF"`)) {
				currency = append(currency, id)
			}
		}
		return nil
	}, func(uint64, uint64) {}); err != nil {
		c.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		c.t.Fatal(err)
	}
	for q, want := range map[string][]string{indexQueries[5]: conflicting, indexQueries[4]: currency} {
		slices.Reverse(want)
		var got []string
		for line := range strings.Lines(found[slices.Index(indexQueries, q)]) {
			var r query.Row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				c.t.Fatal(err)
			}
			got = append(got, r.ID)
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			c.t.Errorf("%s: %d hits, a look at all records finds %d", q, len(got), len(want))
		}
	}
}

// soundIndex compares every document with its record.
func (c *campaign) soundIndex(dir string) {
	c.t.Helper()
	if out, errs, err := c.permanode(0, "check", "--index", "--full", "--data", dir); err != nil {
		c.t.Fatalf("%v\n%s%s", err, out, errs)
	}
}
