package trail

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Lines never go where nobody finds them: while the folder, the newest file or HEAD is not what the service writes,
// nothing is recorded, the trail says so without being asked, and it goes on by itself once all is back.
func TestTakenAwayWhileRunning(t *testing.T) {
	const today = "2026-11-26.ndjson"
	for _, tt := range []struct {
		name        string
		do, undo    func(t *testing.T, dir string)
		early       bool // seen before a line is written
		nextDayToo  bool
		lastingMark string // what Ready says after the repair was tried
	}{
		{
			"the folder moved", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".away")) },
			func(t *testing.T, dir string) { must(t, os.Rename(dir+".away", dir)) }, true, true, "is not there",
		},
		{
			"the folder moved and an empty one made", func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".away")); must(t, os.Mkdir(dir, 0o700)) },
			func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); must(t, os.Rename(dir+".away", dir)) }, true, true, "is not there",
		},
		{
			"the file moved", func(t *testing.T, dir string) { must(t, os.Rename(filepath.Join(dir, today), dir+".away")) },
			func(t *testing.T, dir string) { must(t, os.Rename(dir+".away", filepath.Join(dir, today))) }, true, true, "is not there",
		},
		{"the file replaced", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, today), dir+".away"))
			put(t, dir, today, make([]byte, 100_000))
		}, func(t *testing.T, dir string) { must(t, os.Rename(dir+".away", filepath.Join(dir, today))) }, true, true, "is not there"},
		{"the file cut", func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, today))
			must(t, err)
			put(t, filepath.Dir(dir), "kept", text)
			must(t, os.Truncate(filepath.Join(dir, today), 10))
		}, func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "kept"))
			must(t, err)
			put(t, dir, today, text)
		}, true, true, "is not there"},
		{"something appended", func(t *testing.T, dir string) {
			edit(t, dir, today, func(a [][]byte) [][]byte { return append(a, []byte("x\n")) })
		}, func(t *testing.T, dir string) {
			edit(t, dir, today, func(a [][]byte) [][]byte { return a[:len(a)-1] })
		}, true, true, "somebody else writes there"},
		{
			"HEAD cannot be written", func(t *testing.T, dir string) {
				drop(t, dir, headFile)
				must(t, os.Mkdir(filepath.Join(dir, headFile), 0o700))
			},
			func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, headFile))) }, false, false, "note HEAD",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
			c.set("2026-11-26T10:00:00Z")
			tr := mustOpen(t, dir, onDisk(c))
			mustSync(t, tr, "before")
			tt.do(t, dir)
			if tt.nextDayToo {
				c.set("2026-11-27T00:00:01Z")
			}
			must(t, tr.Append(Event{RequestID: "queued"}))
			err := tr.AppendSync(t.Context(), Event{Event: Begin, RequestID: "sync"})
			if tt.early && !errors.Is(err, ErrUnavailable) {
				t.Fatalf("a synchronous line: %v", err)
			}
			until(t, tr, func() bool { return tr.Ready() != nil && strings.Contains(tr.Ready().Error(), tt.lastingMark) })
			if err := tr.AppendSync(t.Context(), Event{Event: Begin, RequestID: "refused"}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("while it is away: %v", err)
			}
			r := prometheus.NewPedanticRegistry()
			r.MustRegister(tr.Metrics())
			const want = "# HELP permanode_access_trail_ready 1 if calls can be recorded, 0 if they are refused for that.\n# TYPE permanode_access_trail_ready gauge\npermanode_access_trail_ready 0\n"
			if err := testutil.GatherAndCompare(r, strings.NewReader(want), "permanode_access_trail_ready"); err != nil {
				t.Error(err)
			}
			tt.undo(t, dir)
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
			if got := strings.Join(ids, " "); got != "before queued after" && (tt.early || got != "before queued sync after") {
				t.Errorf("lines %s", got)
			}
		})
	}
}

// A folder that is taken away is seen without any call.
func TestTakenAwayIsSeenByItself(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	must(t, os.RemoveAll(dir))
	until(t, tr, func() bool { return errors.Is(tr.Ready(), ErrUnavailable) })
	if err := tr.Close(); err == nil {
		t.Error("closed as if all were on disk")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a new trail was begun")
	}
}
