package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		load(dir)
	}
	goleak.VerifyTestMain(m)
}

var quiet = Options{Log: slog.New(slog.DiscardHandler)}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(text string) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// onDisk opens files on the real disk, at the time of c.
func onDisk(c *clock) seams {
	return seams{c.now, func(name string, flag int, perm os.FileMode) (file, error) { return os.OpenFile(name, flag, perm) }}
}

func mustOpen(t testing.TB, dir string, s seams) *Trail {
	t.Helper()
	tr, err := open(dir, quiet, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func mustClose(t testing.TB, tr *Trail) {
	t.Helper()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustSync(t testing.TB, tr *Trail, id string) {
	t.Helper()
	if err := tr.AppendSync(t.Context(), Event{Event: Begin, RequestID: id, Key: "team", Role: "reader", Method: "GET", Route: "/v1/export"}); err != nil {
		t.Fatal(err)
	}
}

// faults verifies a trail.
func faults(t testing.TB, dir string) (all []Fault, sum Summary) {
	t.Helper()
	sum, err := Verify(t.Context(), dir, func(f Fault) { all = append(all, f) })
	if err != nil {
		t.Fatal(err)
	}
	if sum.Faults != len(all) {
		t.Fatalf("%d faults were told, the summary has %d", len(all), sum.Faults)
	}
	return all, sum
}

func wantGood(t testing.TB, dir string) Summary {
	t.Helper()
	all, sum := faults(t, dir)
	if len(all) > 0 {
		t.Fatalf("faults: %v", all)
	}
	return sum
}

// read returns the lines of a trail as objects, after checking the chain by other means than the package's.
func read(t testing.TB, dir string) (out []map[string]any) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	prev := zeroHash
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for raw := range bytes.Lines(text) {
			var l map[string]any
			if err := json.Unmarshal(raw, &l); err != nil {
				t.Fatal(err)
			}
			if l["seq"] != float64(len(out)+1) || l["prev"] != prev {
				t.Fatalf("line %d does not follow: %s", len(out)+1, raw)
			}
			prev = hash(raw)
			out = append(out, l)
		}
	}
	return out
}

// One chain over days, restarts and a clock that is set back.
func TestChainOverDaysAndRestarts(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T23:59:58Z")
	tr := mustOpen(t, dir, onDisk(c))
	if err := tr.Append(Event{
		RequestID: "r1", Key: "team", Role: "reader", Address: "203.0.113.9", Method: "GET", Route: "/v1/tags/{tag}",
		Path: map[string]string{"tag": "\xff\x00"}, Params: map[string]string{"limit": "5"}, Query: "tag:\"a\nb\u202e\"", Status: 200, Rows: 3, Bytes: 812,
		Duration: 1500 * time.Microsecond,
	}); err != nil {
		t.Fatal(err)
	}
	c.set("2026-11-27T00:00:01Z")
	if err := tr.Append(Event{RequestID: "r2", Method: "GET", Route: "/v1/search", Role: "anyone", Status: 401, Denied: true}); err != nil {
		t.Fatal(err)
	}
	mustSync(t, tr, "r3")
	mustClose(t, tr)
	c.set("2026-11-26T12:00:00Z") // back: the chain goes on in the newest file
	tr = mustOpen(t, dir, onDisk(c))
	if err := tr.Append(Event{Event: End, RequestID: "r3", Method: "GET", Route: "/v1/export", Status: 200, Complete: true}); err != nil {
		t.Fatal(err)
	}
	c.set("2026-12-01T00:00:00Z")
	mustSync(t, tr, "r4")
	mustClose(t, tr)
	sum := wantGood(t, dir)
	if sum.Days != 3 || sum.Lines != 9 || sum.First != 1 || sum.Last != 9 || sum.Kills != 0 {
		t.Errorf("summary %+v", sum)
	}
	all := read(t, dir)
	var kinds []string
	for _, l := range all {
		kinds = append(kinds, l["event"].(string))
	}
	if want := "start call call begin stop start end begin stop"; strings.Join(kinds, " ") != want {
		t.Errorf("lines %v, want %s", kinds, want)
	}
	first, _ := os.ReadFile(filepath.Join(dir, "2026-11-26.ndjson"))
	want := `,"time":"2026-11-26T23:59:58.000000Z","event":"call","request_id":"r1","key":"team","role":"reader","address":"203.0.113.9","method":"GET",` +
		`"route":"/v1/tags/{tag}","path":{"tag_hex":"ff00"},"params":{"limit":"5"},"query":"tag:\"a\nb\u202e\"","allowed":true,` +
		`"status":200,"rows":3,"bytes":812,"duration_us":1500}` + "\n"
	if !bytes.HasSuffix(first, []byte(want)) {
		t.Errorf("line 2 is\n%s\nwant …%s", first, want)
	}
	if all[0]["after"] != "nothing" || all[5]["after"] != "stop" || all[2]["allowed"] != false || all[6]["complete"] != true {
		t.Errorf("lines %v", all)
	}
	if info, _ := os.Stat(filepath.Join(dir, "2026-11-26.ndjson")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: others can read who asked what", info.Mode())
	}
}

// What strangers send cannot end a line, move the terminal or fill the disk.
func TestLineOfOddTexts(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	odd := "\x00\r\n\x1b[2J\x7f\u0085\u009b\u200b\u2028\u202e\ufeff\U000e0001<&>\"\\ü😀"
	for _, e := range []Event{
		{Query: odd, Path: map[string]string{"tag": odd}, Params: map[string]string{"q": odd + "\xff"}},
		{Query: odd + "\xc0\x80"},
		{Query: strings.Repeat("ü", 1<<20), Params: map[string]string{"q": strings.Repeat("\x00", 1<<20)}},
		{Query: strings.Repeat("\xff", 1<<20)},
		{Params: many(400, strings.Repeat("\x01", maxText))},
	} {
		if err := tr.AppendSync(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, tr)
	wantGood(t, dir)
	all := read(t, dir)
	if all[1]["query"] != odd || all[1]["path"].(map[string]any)["tag"] != odd || all[1]["params"].(map[string]any)["q_hex"] != fmt.Sprintf("%x", odd+"\xff") {
		t.Errorf("line 2 holds %v", all[1])
	}
	if all[2]["query_hex"] != fmt.Sprintf("%x", odd+"\xc0\x80") {
		t.Errorf("line 3 holds %v", all[2])
	}
	if text := all[3]["query"].(string); len(text) > 2*maxText || !strings.HasSuffix(text, "… (2097152 bytes)") {
		t.Errorf("line 4 has %d bytes", len(text))
	}
	if all[5]["query"] != "(too long to write)" || all[5]["params"] != nil {
		t.Errorf("line 6 holds %.80v", all[5])
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "2026-11-26.ndjson"))
	if i := bytes.IndexFunc(raw, func(r rune) bool { return r != '\n' && unseen(r) }); i >= 0 {
		t.Errorf("byte %d is no printable text: %q", i, raw[i:i+8])
	}
	if n := bytes.Count(raw, []byte("\n")); n != len(all) || len(raw) > 6*maxLine {
		t.Errorf("%d newlines for %d lines, %d bytes", n, len(all), len(raw))
	}
}

// A line takes little of the disk, whatever the characters in it are; what was refused even less, and whole questions
// stay whole.
func TestLinesAreShort(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	whole := "tag:" + strings.Repeat("ü", 2000)
	var most []int
	for _, text := range []string{"a", "\x7f", "\x00", "\"", "\\", "\u2028", "\U000e0001", "\ufffd", "\xff", "\n", "ü"} {
		for status, limit := range map[int]int{200: 3*maxText + 600, 400: 3*maxVain + 600} {
			long := strings.Repeat(text, 15_000)
			must(t, tr.AppendSync(t.Context(), Event{Status: status, Query: long, Path: map[string]string{"a": long}, Params: map[string]string{"q": long}}))
			most = append(most, limit)
		}
	}
	must(t, tr.AppendSync(t.Context(), Event{Status: 200, Query: whole}))
	mustClose(t, tr)
	wantGood(t, dir)
	raw, err := os.ReadFile(filepath.Join(dir, "2026-11-26.ndjson"))
	must(t, err)
	for i, l := range bytes.SplitAfter(raw, []byte("\n"))[1:] {
		if i < len(most) && len(l) > most[i] {
			t.Errorf("a line of %d bytes, the most is %d: %.200s", len(l), most[i], l)
		}
	}
	if all := read(t, dir); all[len(most)+1]["query"] != whole {
		t.Errorf("a whole question is cut: %.100v", all[len(most)+1])
	}
}

func many(n int, text string) map[string]string {
	m := map[string]string{}
	for i := range n {
		m[fmt.Sprint(i)] = text
	}
	return m
}

// A day can be read while the service writes: whole lines, and only what is on disk.
func TestDay(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	mustSync(t, tr, "r1")
	f, err := os.OpenFile(filepath.Join(dir, "2026-11-26.ndjson"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":3`); err != nil { // half a line of a batch
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := tr.Day("2026-11-26")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(d)
	if err != nil || int64(len(text)) != d.Size || bytes.Count(text, []byte("\n")) != 2 || text[len(text)-1] != '\n' {
		t.Errorf("read %q, %v", text, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tr.Day("2026-11-25"); !errors.Is(err, ErrNoDay) {
		t.Errorf("a day without lines: %v", err)
	}
	for _, bad := range []string{"", "2026-11-31", "2026-1-1", "../HEAD", "2026-11-26.ndjson", "2026-11-26\n"} {
		if _, err := tr.Day(bad); err == nil || errors.Is(err, ErrNoDay) {
			t.Errorf("day %q: %v", bad, err)
		}
	}
}

// Many callers at once: each synchronous line is there when its call returns.
func TestAppendTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access")
	tr, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("%d-%d", g, i)
				if i%10 != 0 {
					if err := tr.Append(Event{RequestID: id}); err != nil {
						t.Error(err)
					}
					continue
				}
				if err := tr.AppendSync(context.Background(), Event{Event: Begin, RequestID: id}); err != nil {
					t.Error(err)
				}
				if text, err := os.ReadFile(filepath.Join(dir, tr.Head().File)); err != nil || !bytes.Contains(text, []byte(`"request_id":"`+id+`"`)) {
					t.Errorf("line %s is not on disk: %v", id, err)
				}
			}
		})
	}
	all.Wait()
	mustClose(t, tr)
	if sum := wantGood(t, dir); sum.Lines != 802 || sum.Last != tr.Head().Seq || sum.SHA256 != tr.Head().SHA256 {
		t.Errorf("summary %+v, head %+v", sum, tr.Head())
	}
	ids := map[any]int{}
	for _, l := range read(t, dir) {
		ids[l["request_id"]]++
	}
	if delete(ids, nil); len(ids) != 800 {
		t.Errorf("%d calls are in the trail, want 800", len(ids))
	}
	if err := tr.Append(Event{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("append after close: %v", err)
	}
	if err := tr.AppendSync(t.Context(), Event{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("synchronous append after close: %v", err)
	}
}

func sortedKinds(all []Fault) (kinds []string) {
	for _, f := range all {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
