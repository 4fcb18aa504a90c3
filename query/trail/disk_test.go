package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// disk is a real disk with faults.
type disk struct {
	clock
	mu       sync.Mutex
	fault    string        // which call fails
	persists bool          // and does its work all the same
	blocked  chan struct{} // Sync waits for it
}

func (d *disk) set(fault string, persists bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault, d.persists = fault, persists
}

func (d *disk) block(c chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blocked = c
}

// fails reports whether call fails, and whether it does its work.
func (d *disk) fails(call string) (err error, works bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == call {
		return syscall.ENOSPC, d.persists
	}
	return nil, true
}

func (d *disk) seams() seams {
	return seams{d.now, func(name string, flag int, perm os.FileMode) (file, error) {
		if err, works := d.fails("open"); err != nil {
			if f, fail := os.OpenFile(name, flag, perm); works && fail == nil {
				_ = f.Close()
			}
			return nil, err
		}
		f, err := os.OpenFile(name, flag, perm)
		return &faulty{f, d}, err
	}}
}

type faulty struct {
	*os.File
	d *disk
}

func (f *faulty) Write(p []byte) (int, error) {
	if err, works := f.d.fails("write"); err != nil {
		if !works {
			p = p[:len(p)/2]
		}
		n, _ := f.File.Write(p) // half of it, or all
		return n, err
	}
	return f.File.Write(p)
}

func (f *faulty) Sync() error {
	f.d.mu.Lock()
	blocked := f.d.blocked
	f.d.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	if err, _ := f.d.fails("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faulty) Truncate(size int64) error {
	if err, works := f.d.fails("truncate"); err != nil {
		if works {
			_ = f.File.Truncate(size)
		}
		return err
	}
	return f.File.Truncate(size)
}

func (f *faulty) Close() error {
	err, _ := f.d.fails("close")
	return errors.Join(err, f.File.Close())
}

// until waits for what the writer does on its own, and hurries it.
func until(t testing.TB, tr *Trail, want func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !want(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
		tr.poke()
	}
}

// While the disk takes nothing, calls that wait are refused and the trail says so; what was queued before comes later, once
// and in order, and the chain has no fault.
func TestDiskFaults(t *testing.T) {
	for _, call := range []string{"open", "write", "sync"} {
		for _, persists := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s persists %v", call, persists), func(t *testing.T) {
				dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
				d.clock.set("2026-11-26T10:00:00Z")
				tr := mustOpen(t, dir, d.seams())
				mustSync(t, tr, "before")
				if call == "open" {
					d.clock.set("2026-11-27T10:00:00Z")
				}
				d.set(call, persists)
				if err := tr.Append(Event{RequestID: "queued"}); err != nil {
					t.Fatal(err)
				}
				err := tr.AppendSync(t.Context(), Event{RequestID: "refused"})
				if !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("a synchronous line: %v", err)
				}
				until(t, tr, func() bool { return errors.Is(tr.Ready(), ErrUnavailable) })
				if err := tr.Append(Event{RequestID: "queued too"}); err != nil {
					t.Fatal(err)
				}
				d.set("truncate", false) // the repair itself fails, unless one was on its way
				until(t, tr, func() bool {
					err := tr.Ready()
					return err == nil || strings.HasPrefix(err.Error(), ErrUnavailable.Error()+": cut ")
				})
				d.set("", false)
				until(t, tr, func() bool { return tr.Ready() == nil })
				mustSync(t, tr, "after")
				mustClose(t, tr)
				wantGood(t, dir)
				var ids []string
				for _, l := range read(t, dir) {
					if id, _ := l["request_id"].(string); id != "" {
						ids = append(ids, id)
					}
				}
				if got := strings.Join(ids, ", "); got != "before, queued, queued too, after" {
					t.Errorf("lines %s", got)
				}
			})
		}
	}
}

// A disk that fails at the start stops the start, and leaves nothing that a better one stumbles over.
func TestOpenOnABadDisk(t *testing.T) {
	for _, call := range []string{"open", "write", "sync"} {
		dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
		d.clock.set("2026-11-26T10:00:00Z")
		d.set(call, true)
		if _, err := open(dir, quiet, d.seams()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%s: %v", call, err)
		}
		d.set("", false)
		mustClose(t, mustOpen(t, dir, d.seams()))
		wantGood(t, dir)
	}
	name := filepath.Join(t.TempDir(), "access")
	put(t, filepath.Dir(name), "access", nil)
	if _, err := Open(name, quiet); err == nil {
		t.Error("a file was opened as trail")
	}
}

func first(all []Fault, _ Summary) []Fault { return all }

// A disk that hangs: who waits is told when his time is over, the queue is bounded, and what found no room is counted in
// the trail.
func TestSlowDisk(t *testing.T) {
	dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
	d.clock.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, d.seams())
	hang := make(chan struct{})
	d.block(hang)
	ctx, cancel := context.WithCancelCause(t.Context())
	told := make(chan error, 1)
	go func() { told <- tr.AppendSync(ctx, Event{RequestID: "waits"}) }()
	cancel(context.DeadlineExceeded)
	if err := <-told; !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a line on a disk that hangs: %v", err)
	}
	taken, refused := 0, 0
	for range maxQueue + 100 {
		if err := tr.Append(Event{}); err == nil {
			taken++
		} else {
			refused++
		}
		if ready := tr.Ready() == nil; ready != (taken+1 < maxQueue/2) {
			t.Fatalf("ready %v with %d lines in memory", ready, taken+1)
		}
	}
	if taken != maxQueue-1 || refused != 101 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	if err := tr.Append(Event{Query: strings.Repeat("x", maxText)}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a line without room: %v", err)
	}
	d.block(nil)
	close(hang)
	until(t, tr, func() bool { return tr.Ready() == nil })
	mustClose(t, tr)
	all, sum := faults(t, dir)
	if len(all) != 1 || all[0].Kind != Lost || !strings.Contains(all[0].What, fmt.Sprintf("%d lines could not", refused+1)) {
		t.Errorf("faults %v", all)
	}
	if sum.Lines < uint64(taken)+3 {
		t.Errorf("%d lines, want %d and more", sum.Lines, taken+3)
	}
}

// Memory is bounded by bytes as well.
func TestLargeLinesFillTheQueueEarly(t *testing.T) {
	dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
	d.clock.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, d.seams())
	d.set("write", false)
	n := 0
	for ; n < maxQueue && tr.Append(Event{Query: strings.Repeat("x", maxText)}) == nil; n++ {
	}
	if n > maxWaiting/maxText+2*batchLines {
		t.Errorf("%d lines of %d bytes were taken", n, maxText)
	}
	if err := tr.Close(); err == nil || !strings.Contains(err.Error(), "lines are not on disk") {
		t.Errorf("close with lines that wait: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
	d.clock.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, d.seams())
	mustSync(t, tr, "one")
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(tr.Metrics())
	want := func(lines, ready int) string {
		return fmt.Sprintf(`# HELP permanode_access_trail_lines_total Lines of the access trail put on disk since the start.
# TYPE permanode_access_trail_lines_total counter
permanode_access_trail_lines_total %d
# HELP permanode_access_trail_ready 1 if calls can be recorded, 0 if they are refused for that.
# TYPE permanode_access_trail_ready gauge
permanode_access_trail_ready %d
`, lines, ready)
	}
	names := []string{"permanode_access_trail_lines_total", "permanode_access_trail_ready"}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want(2, 1)), names...); err != nil {
		t.Error(err)
	}
	d.set("sync", false)
	_ = tr.AppendSync(t.Context(), Event{})
	until(t, tr, func() bool { return tr.Ready() != nil })
	if err := testutil.GatherAndCompare(r, strings.NewReader(want(2, 0)), names...); err != nil {
		t.Error(err)
	}
	d.set("", false)
}

// A power loss can leave any part of what was not synced: after HEAD everything up to the tear is kept, the rest is aside,
// and no start makes a fault of it.
func TestTornAnywhere(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	mustSync(t, tr, "synced")
	head, err := os.ReadFile(filepath.Join(dir, headFile))
	if err != nil {
		t.Fatal(err)
	}
	from := int(tr.Head().Bytes)
	mustSync(t, tr, "later")
	mustClose(t, tr)
	whole, err := os.ReadFile(filepath.Join(dir, day1))
	if err != nil {
		t.Fatal(err)
	}
	for cut := from; cut < len(whole); cut += 29 {
		for _, tail := range [][]byte{nil, make([]byte, 10), []byte("\n\n{}\n"), whole[from:cut]} {
			copied := filepath.Join(t.TempDir(), "access")
			if err := os.Mkdir(copied, 0o700); err != nil {
				t.Fatal(err)
			}
			left := append(bytes.Clone(whole[:cut]), tail...)
			put(t, copied, day1, left)
			put(t, copied, headFile, head)
			put(t, copied, running, nil)
			mustClose(t, mustOpen(t, copied, onDisk(c)))
			wantGood(t, copied)
			lines := read(t, copied)
			begin := lines[len(lines)-2]
			if begin["event"] != "start" || begin["after"] != "kill" {
				t.Fatalf("cut at %d: the start line says %v", cut, begin)
			}
			got, _ := os.ReadFile(filepath.Join(copied, day1))
			aside, _ := os.ReadFile(filepath.Join(copied, tornFile(uint64(len(lines)-1), 1)))
			kept := bytes.LastIndexByte(left[:len(left)-len(aside)], '\n') + 1
			if !bytes.Equal(append(bytes.Clone(got[:kept]), aside...), left) {
				t.Fatalf("cut at %d: bytes are gone", cut)
			}
		}
	}
}

// A start that is killed between keeping a torn line aside and its own start line is finished by the next.
func TestKilledStart(t *testing.T) {
	dir := made(t)
	edit(t, dir, day3, func(a [][]byte) [][]byte { return append(a, []byte(`{"seq":11,"pr`)) })
	if _, err := recoverTrail(dir); err != nil { // and no start line
		t.Fatal(err)
	}
	edit(t, dir, day3, func(a [][]byte) [][]byte { return append(a, []byte(`{"s`)) }) // and half a start line
	c := &clock{}
	c.set("2026-11-28T11:00:00Z")
	mustClose(t, mustOpen(t, dir, onDisk(c)))
	wantGood(t, dir)
	lines := read(t, dir)
	if torn := lines[10]["torn"].([]any); len(torn) != 2 {
		t.Errorf("the start line names %v", torn)
	}
	put(t, dir, "torn-11-2.bin", []byte("other"))
	drop(t, dir, "torn-11-1.bin")
	if all := first(faults(t, dir)); strings.Join(sortedKinds(all), " ") != "foreign" || len(all) != 2 {
		t.Errorf("torn files changed and missing: %v", all)
	}
}

func BenchmarkAppend(b *testing.B) {
	tr := mustOpen(b, filepath.Join(b.TempDir(), "access"), onDisk(&clock{}))
	e := Event{
		RequestID: "0123456789abcdef", Key: "team", Role: "reader", Address: "203.0.113.9", Method: "GET", Route: "/v1/search",
		Params: map[string]string{"q": "tag:ACME after:2024-01-01", "limit": "100"}, Query: "tag:ACME after:2024-01-01", Status: 200, Rows: 100, Bytes: 45678,
	}
	for b.Loop() {
		for tr.Append(e) != nil {
			b.StopTimer() // the queue is full: the disk is behind
			_ = tr.AppendSync(b.Context(), e)
			b.StartTimer()
		}
	}
	if err := tr.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(tr.Head().Seq)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkAppendSync(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			tr := mustOpen(b, filepath.Join(b.TempDir(), "access"), onDisk(&clock{}))
			b.SetParallelism((callers + 1) / 2)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := tr.AppendSync(context.Background(), Event{Event: Begin}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "access")
	tr := mustOpen(b, dir, onDisk(&clock{}))
	for i := range 100_000 {
		if err := tr.Append(Event{RequestID: "0123456789abcdef", Query: "tag:ACME"}); err != nil || i%1000 == 0 {
			_ = tr.AppendSync(b.Context(), Event{})
		}
	}
	mustClose(b, tr)
	for b.Loop() {
		wantGood(b, dir)
	}
	b.ReportMetric(float64(tr.Head().Seq)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
