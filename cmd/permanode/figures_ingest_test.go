package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/archive"
	"permanode/ledger"
)

// collectorName is the collector as a process of its own, so that its memory can be measured:
// permanode-collect MEMORY DATA TRUST SNAPSHOT CONES. It prints a collected, and writes a CPU profile to the file that
// FIGURES_PROFILE names.
const collectorName = "permanode-collect"

// collected is what a whole catch-up took, from opening the archive to closing it.
type collected struct {
	CPU, Wall time.Duration
	Peak      uint64 // largest resident set in bytes
	Heap      uint64 // largest live heap in bytes, as sampled
}

func collectMain() {
	c, err := collectAll(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func collectAll(args []string) (c collected, err error) {
	memory, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return c, err
	}
	if name := os.Getenv("FIGURES_PROFILE"); name != "" {
		f, err := os.Create(name)
		if err != nil {
			return c, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return c, err
		}
		defer func() { pprof.StopCPUProfile(); err = errors.Join(err, f.Close()) }()
	}
	cpu, begin, stop := processCPU(), time.Now(), watchHeap(&c.Heap)
	if err := collectFile(byteSize(memory), args[1], args[2], args[3], args[4]); err != nil {
		return c, err
	}
	stop()
	c.CPU, c.Wall = processCPU()-cpu, time.Since(begin)
	c.Peak, err = peakMemory()
	return c, err
}

// collectFile does what permanode ingest does, with a memory that is given.
func collectFile(memory byteSize, data, trustFile, snapshot, cones string) (err error) {
	p := &program{out: io.Discard, errs: io.Discard}
	trust, codec, err := trustAndCodec(trustFile)
	if err != nil {
		return err
	}
	source, err := archive.OpenCones(cones, codec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	db, err := p.open(data, memory, false, p.logger(slog.LevelWarn))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return p.collect(context.Background(), db, "", ingest.Config{
		Network: "figures", Codec: codec, Trust: trust, Sources: []ingest.Source{source}, Snapshot: []string{snapshot},
		Quarantine: data + ".quarantine", Memory: int64(memory), Log: p.logger(slog.LevelWarn),
	})
}

// watchHeap keeps the largest heap in most until the returned function is called.
func watchHeap(most *uint64) (stop func()) {
	end := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			*most = max(*most, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	return func() { close(end); g.Wait() }
}

// peakMemory reads the largest resident set of this process.
func peakMemory() (uint64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/self/status has no VmHWM")
}

// collectInChild runs a whole catch-up of s into data.
func collectInChild(b *testing.B, s *dataset, memory int64, data string) (c collected) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	trust := filepath.Join(b.TempDir(), "trust.json")
	if err := os.WriteFile(trust, s.trust.Raw, 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(exe, strconv.FormatInt(memory, 10), data, trust, s.snapshot, s.cones)
	cmd.Args[0] = collectorName
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		b.Fatalf("%s: %v: %s", collectorName, err, exit.Stderr)
	}
	if err == nil {
		err = json.Unmarshal(out, &c)
	}
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// readSource reads every cone of a file as the collector's source does.
func readSource(s *dataset, codec ledger.Codec) error {
	c, err := archive.OpenCones(s.cones, codec)
	if err != nil {
		return err
	}
	info, err := c.Info(context.Background())
	for seq := info.Oldest; err == nil && seq <= info.Newest; seq++ {
		if _, err = c.Head(context.Background(), seq); err == nil {
			_, _, err = c.Cone(context.Background(), seq)
		}
	}
	return errors.Join(err, c.Close())
}

// diskUse adds up the files below dir.
func diskUse(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
