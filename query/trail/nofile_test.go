//go:build unix

package trail

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"permanode/internal/durable"
)

// A pipe where a file belongs is waited for by nobody: as HEAD it is noted for good, and a day cannot go on in it.
func TestNoFile(t *testing.T) {
	c := &clock{}
	c.set("2026-11-29T10:00:00Z")
	s := onDisk(c)
	s.open = func(name string, flag int, perm fs.FileMode) (file, error) { return durable.OpenFile(name, flag, perm) }

	dir := made(t)
	drop(t, dir, headFile)
	must(t, syscall.Mkfifo(filepath.Join(dir, headFile), 0o600))
	all, _ := faults(t, dir)
	if len(all) != 1 || all[0].Kind != Foreign || !strings.HasSuffix(all[0].String(), "it is a named pipe, not a file") {
		t.Errorf("a pipe as HEAD: %v", all)
	}
	mustClose(t, mustOpen(t, dir, s))
	if all, _ := faults(t, dir); len(all) != 1 || all[0].Kind != Noted || !strings.Contains(all[0].What, "named pipe") {
		t.Errorf("after a start: %v", all)
	}

	dir = made(t)
	today := filepath.Join(dir, "2026-11-29.ndjson")
	must(t, syscall.Mkfifo(today, 0o600))
	if tr, err := open(dir, quiet, s); !errors.Is(err, durable.ErrNoFile) || !strings.Contains(err.Error(), today) {
		t.Errorf("a pipe as the day: %v %v", tr, err)
	}
	if tr := mustOpen(t, made(t), s); tr != nil {
		if _, err := tr.Day("2026-11-30"); !errors.Is(err, ErrNoDay) {
			t.Errorf("a day without lines: %v", err)
		}
		must(t, syscall.Mkfifo(filepath.Join(tr.dir, "2026-11-30.ndjson"), 0o600))
		if _, err := tr.Day("2026-11-30"); !errors.Is(err, durable.ErrNoFile) {
			t.Errorf("a pipe as a day that is asked for: %v", err)
		}
	}
}
