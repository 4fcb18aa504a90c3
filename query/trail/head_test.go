package trail

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// films is a disk that keeps the folder of a trail as a kill would leave it around each of its calls.
type films struct {
	clock
	t    *testing.T
	dir  string
	torn []string // in the middle of a line
	sync []string // between calls
}

func (f *films) seams() seams {
	return seams{f.now, func(name string, flag int, perm os.FileMode) (file, error) {
		f.sync = append(f.sync, f.copy())
		real, err := os.OpenFile(name, flag, perm)
		return &filmed{real, f}, err
	}}
}

// copy returns the folder as it is.
func (f *films) copy() string {
	dir := filepath.Join(f.t.TempDir(), "access")
	if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
		f.t.Fatal(err)
	}
	return dir
}

type filmed struct {
	*os.File
	f *films
}

func (f *filmed) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:len(p)/2])
	must(f.f.t, err)
	f.f.torn = append(f.f.torn, f.f.copy())
	m, err := f.File.Write(p[len(p)/2:])
	return n + m, err
}

func (f *filmed) Sync() error {
	err := f.File.Sync()
	f.f.sync = append(f.f.sync, f.f.copy())
	return err
}

// After a kill at any moment, also of starts upon starts, HEAD is what it may be: nothing is reported, neither of what the
// kill left nor after the next start.
func TestHeadAfterAnyKill(t *testing.T) {
	f := &films{t: t, dir: filepath.Join(t.TempDir(), "access")}
	f.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, f.dir, f.seams())
	for _, day := range []string{"2026-11-26T11:00:00Z", "2026-11-27T11:00:00Z", "2026-11-28T11:00:00Z"} {
		for range 40 {
			must(t, tr.Append(Event{RequestID: "queued"}))
		}
		f.set(day) // these are of two days now
		mustSync(t, tr, "sync")
	}
	mustClose(t, tr)
	left := append(f.sync, f.copy())
	torn := f.torn
	for round := range 3 {
		var next []string
		for i, dir := range slices.Concat(left, torn) {
			if i < len(left) {
				wantGood(t, dir)
			}
			if round > 0 && i%4 != 0 { // of hundreds
				continue
			}
			g := &films{t: t, dir: dir}
			g.set("2026-11-29T10:00:00Z")
			mustClose(t, mustOpen(t, dir, g.seams()))
			wantGood(t, dir)
			next = append(next, g.sync[:min(2, len(g.sync))]...) // before and behind the start line
		}
		left, torn = next, nil
	}
}

// A service that is slow to note HEAD has a queue behind it at most: what is more was never written without HEAD.
func TestHeadFarBehind(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{at: time.Now()}
	tr := mustOpen(t, dir, onDisk(c))
	old := tr.Head()
	for tr.Head().Seq < maxQueue+100 {
		for range 1000 {
			_ = tr.Append(Event{})
		}
		mustSync(t, tr, "sync")
	}
	mustClose(t, tr)
	must(t, writeHead(dir, old))
	if all, _ := faults(t, dir); len(all) != 1 || all[0].Kind != BadHead {
		t.Errorf("%d lines behind HEAD: %v", tr.Head().Seq-old.Seq, all)
	}
}

// A start says truly how the run before ended: by a stop, by a kill, or in another folder, of which this one is a copy. A
// start that failed changes nothing of that.
func TestAfter(t *testing.T) {
	dir, d := filepath.Join(t.TempDir(), "access"), &disk{}
	d.clock.set("2026-11-26T10:00:00Z")
	copyOf := func(all bool) string {
		to := filepath.Join(t.TempDir(), "access")
		must(t, os.CopyFS(to, os.DirFS(dir)))
		if !all {
			drop(t, to, running)
		}
		return to
	}
	tr := mustOpen(t, dir, d.seams())
	mustSync(t, tr, "one")
	killed, copied := copyOf(true), copyOf(false)
	mustClose(t, tr)
	d.set("write", false)
	if _, err := open(copied, quiet, d.seams()); err == nil {
		t.Error("opened without a disk")
	}
	d.set("", false)
	for dir, want := range map[string]string{dir: "nothing stop", killed: "nothing kill", copied: "nothing copy"} {
		mustClose(t, mustOpen(t, dir, d.seams()))
		got := ""
		for _, l := range read(t, dir) {
			if after, ok := l["after"].(string); ok {
				got += " " + after
			}
		}
		if got != " "+want {
			t.Errorf("starts after%s, want %s", got, want)
		}
		wantGood(t, dir)
		if _, err := os.Stat(filepath.Join(dir, running)); err == nil {
			t.Error("a stop left the trail as if somebody had it")
		}
	}
}
