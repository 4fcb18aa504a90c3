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
