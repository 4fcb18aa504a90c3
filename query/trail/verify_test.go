package trail

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// made returns a good trail of three days and a restart: 3, 4 and 3 lines.
func made(t testing.TB) string {
	t.Helper()
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	mustSync(t, tr, "r2")
	mustSync(t, tr, "r3")
	c.set("2026-11-27T10:00:00Z")
	mustSync(t, tr, "r4")
	mustSync(t, tr, "r5")
	mustClose(t, tr)
	tr = mustOpen(t, dir, onDisk(c))
	c.set("2026-11-28T10:00:00Z")
	mustSync(t, tr, "r8")
	mustSync(t, tr, "r9")
	mustClose(t, tr)
	return dir
}

// The files of made, and what they hold.
const (
	day1 = "2026-11-26.ndjson" // 1 to 3
	day2 = "2026-11-27.ndjson" // 4 to 7
	day3 = "2026-11-28.ndjson" // 8 to 10
)

// edit changes the lines of a file.
func edit(t testing.TB, dir, name string, change func(all [][]byte) [][]byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, name, bytes.Join(change(slices.Collect(bytes.Lines(text))), nil))
}

func put(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func drop(t testing.TB, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// tampering is the table of what somebody can do to a trail, and which faults it gives.
var tampering = []struct {
	name  string
	do    func(t testing.TB, dir string)
	kinds string
	says  string
}{
	{"a changed line", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte { a[1] = bytes.Replace(a[1], []byte("r5"), []byte("r6"), 1); return a })
	}, "changed", "does not follow line 5"},
	{"the last line of a day changed", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte { a[2] = bytes.Replace(a[2], []byte("team"), []byte("mate"), 1); return a })
	}, "changed", day2 + " line 1"},
	{"the newest line changed", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { a[2] = bytes.Replace(a[2], []byte("stop"), []byte("call"), 1); return a })
	}, "changed", "HEAD names line 10"},
	{"the newest line is none", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { a[2][0] = '['; return a })
	}, "changed malformed", "HEAD"},
	{"a line is no JSON", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte { a[1] = []byte("{\n"); return a })
	}, "malformed missing", "line 2: is no JSON"},
	{"an empty line put in", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte { return slices.Insert(a, 1, []byte("\n")) })
	}, "malformed", day1 + " line 2"},
	{"a space put in", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte { a[0] = append([]byte(" "), a[0]...); return a })
	}, "changed", "line 2: does not follow line 1"},
	{"a line taken out", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte { return slices.Delete(a, 1, 2) })
	}, "missing", "is number 6, and lines 5 to 5 are not before it"},
	{"the first line taken out", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte { return a[1:] })
	}, "missing", "lines 1 to 1 are not before it"},
	{"the last line of a day taken out", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte { return a[:3] })
	}, "missing", day3 + " line 1: is number 8, and lines 7 to 7"},
	{"a line taken out and the rest numbered anew", func(t testing.TB, dir string) {
		edit(t, dir, day1, func(a [][]byte) [][]byte {
			a = slices.Delete(a, 1, 2)
			a[1] = bytes.Replace(a[1], []byte(`"seq":3`), []byte(`"seq":2`), 1)
			return a
		})
	}, "changed missing", ""},
	{"a line repeated", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte { return slices.Insert(a, 1, a[0]) })
	}, "repeated", "line 2: is number 4, behind number 4"},
	{"a forged line put in", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte {
			l := link{Seq: 4, Prev: zeroHash}
			forged := bytes.Replace(a[1], []byte(`"seq":5`), fmt.Appendf(nil, `"seq":%d`, l.Seq+1), 1)
			return slices.Insert(a, 1, bytes.Replace(forged, []byte("r5"), []byte("rx"), 1))
		})
	}, "repeated", "was repeated, moved or put in"},
	{"two lines swapped", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte { a[1], a[2] = a[2], a[1]; return a })
	}, "missing", ""},
	{"a day taken out", func(t testing.TB, dir string) { drop(t, dir, day2) }, "missing", day3 + " line 1: is number 8, and lines 4 to 7"},
	{"the first day taken out", func(t testing.TB, dir string) { drop(t, dir, day1) }, "missing", "lines 1 to 3 are not before it"},
	{"the newest day taken out", func(t testing.TB, dir string) { drop(t, dir, day3) }, "missing", "HEAD: names line 10, and the files end with line 7"},
	{"all days taken out", func(t testing.TB, dir string) { drop(t, dir, day1); drop(t, dir, day2); drop(t, dir, day3) }, "missing", "end with line 0"},
	{"the newest line taken out", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { return a[:2] })
	}, "missing", "names line 10, and the files end with line 9"},
	{"the newest line cut", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { a[2] = a[2][:20]; return a })
	}, "missing torn", day3 + " line 3: has no end"},
	{"only the newline cut", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { a[2] = bytes.TrimSpace(a[2]); return a })
	}, "missing torn", "line 3: has no end"},
	{"zeros behind the newest line", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte { return append(a, make([]byte, 5000)) })
	}, "torn", "line 4"},
	{"a day in the file of another", func(t testing.TB, dir string) {
		text, _ := os.ReadFile(filepath.Join(dir, day2))
		edit(t, dir, day1, func(a [][]byte) [][]byte { return append(a, text) })
		put(t, dir, day2, nil)
	}, "day foreign", "is of 2026-11-27, a later day"},
	{"two days swapped", func(t testing.TB, dir string) {
		a, _ := os.ReadFile(filepath.Join(dir, day1))
		b, _ := os.ReadFile(filepath.Join(dir, day2))
		put(t, dir, day1, b)
		put(t, dir, day2, a)
	}, "day missing repeated", ""},
	{"a file too many", func(t testing.TB, dir string) { put(t, dir, "2026-11-26 copy.ndjson", nil) }, "foreign", "2026-11-26 copy.ndjson"},
	{"a day that is none", func(t testing.TB, dir string) { put(t, dir, "2026-02-30.ndjson", nil) }, "foreign", "does not belong"},
	{"a file without a line", func(t testing.TB, dir string) { put(t, dir, "2026-11-20.ndjson", nil) }, "foreign", "2026-11-20.ndjson: has no line"},
	{"a folder", func(t testing.TB, dir string) {
		if err := os.Mkdir(filepath.Join(dir, "2026-11-29.ndjson"), 0o700); err != nil {
			t.Fatal(err)
		}
	}, "foreign", "2026-11-29.ndjson"},
	{"a torn file that no start names", func(t testing.TB, dir string) { put(t, dir, "torn-3-1.bin", []byte("x")) }, "foreign", "is named by no start line"},
	{"HEAD taken out", func(t testing.TB, dir string) { drop(t, dir, headFile) }, "head", "newest lines could be too"},
	{"HEAD is none", func(t testing.TB, dir string) { put(t, dir, headFile, []byte("{}")) }, "head", "names no line"},
	{"HEAD of another line", func(t testing.TB, dir string) {
		text, _ := os.ReadFile(filepath.Join(dir, headFile))
		put(t, dir, headFile, bytes.Replace(text, []byte(`"seq":10`), []byte(`"seq":9`), 1))
	}, "changed", "HEAD names line 9"},
	{"HEAD with other bytes", func(t testing.TB, dir string) { inHead(t, dir, `"bytes":`, `"bytes":1`) }, "head", "HEAD: names line 10, which ends at byte 1"},
	{"HEAD of another day", func(t testing.TB, dir string) { inHead(t, dir, day3, day2) }, "head", "of 2026-11-27.ndjson; the line of that hash"},
	{"HEAD of the next number", func(t testing.TB, dir string) { inHead(t, dir, `"seq":10`, `"seq":11`) }, "head", "HEAD: names line 11"},
	{"HEAD with a member too many", func(t testing.TB, dir string) { inHead(t, dir, `}`, `,"x":1}`) }, "head", "is not written as"},
	{"HEAD with a space", func(t testing.TB, dir string) { inHead(t, dir, `{`, `{ `) }, "head", "is not written as"},
	{"HEAD with something behind it", func(t testing.TB, dir string) { inHead(t, dir, `}`, `}{}`) }, "head", "HEAD"},
	{"HEAD without its newline", func(t testing.TB, dir string) { inHead(t, dir, "\n", "") }, "head", "is not written as"},
	{"HEAD of no line", func(t testing.TB, dir string) { must(t, writeHead(dir, noHead)) }, "head", "names no line, and what is behind"},
	{"HEAD of an earlier day", func(t testing.TB, dir string) { headAt(t, dir, day1, 3) }, "head", "names line 3, and what is behind"},
	{"HEAD of the stop before", func(t testing.TB, dir string) { headAt(t, dir, day2, 3) }, "head", "names line 6, and what is behind"},
	{"a forged line behind the stop", func(t testing.TB, dir string) {
		edit(t, dir, day3, func(a [][]byte) [][]byte {
			forged := bytes.Replace(a[1], []byte(`"seq":9`), []byte(`"seq":11`), 1)
			return append(a, bytes.Replace(forged, []byte(hash(a[0])), []byte(hash(a[2])), 1))
		})
	}, "head", "names line 10, and what is behind"},
	{"an endless line", func(t testing.TB, dir string) {
		edit(t, dir, day2, func(a [][]byte) [][]byte {
			return slices.Insert(a, 1, append(bytes.Repeat([]byte("x"), 3*maxLine), '\n'))
		})
	}, "malformed", "and no line has"},
}

// inHead replaces a text in HEAD.
func inHead(t testing.TB, dir, old, text string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, headFile))
	must(t, err)
	put(t, dir, headFile, bytes.Replace(raw, []byte(old), []byte(text), 1))
}

// headAt has HEAD name the n-th line of a file.
func headAt(t testing.TB, dir, file string, n int) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, file))
	must(t, err)
	h := Head{File: file}
	for line := range bytes.Lines(raw) {
		l, err := parseLink(line)
		must(t, err)
		h.Seq, h.SHA256, h.Bytes = l.Seq, l.hash, h.Bytes+int64(len(line))
		if n--; n == 0 {
			break
		}
	}
	must(t, writeHead(dir, h))
}

// Each act of the table is found, in words, and nothing else is. What starts afterwards does not hide it.
func TestTampering(t *testing.T) {
	for _, tt := range tampering {
		t.Run(tt.name, func(t *testing.T) {
			dir := made(t)
			wantGood(t, dir)
			tt.do(t, dir)
			all, _ := faults(t, dir)
			if got := strings.Join(sortedKinds(all), " "); got != tt.kinds {
				t.Errorf("faults %q, want %q: %v", got, tt.kinds, all)
			}
			if !slices.ContainsFunc(all, func(f Fault) bool { return strings.Contains(f.String(), tt.says) && f.Hint() != "" }) {
				t.Errorf("no fault says %q: %v", tt.says, all)
			}
			if tt.name == "a folder" {
				return // no service starts on it
			}
			c := &clock{}
			c.set("2026-11-29T10:00:00Z")
			tr := mustOpen(t, dir, onDisk(c))
			mustSync(t, tr, "later")
			mustClose(t, tr)
			if again, _ := faults(t, dir); len(again) == 0 && !strings.Contains(tt.name, "zeros") {
				t.Error("a start hid it")
			}
		})
	}
}

// A file without a line that is the newest is what a kill leaves at the begin of a day, and no stop.
func TestEmptyDay(t *testing.T) {
	dir := made(t)
	put(t, dir, "2026-11-30.ndjson", nil)
	if all, _ := faults(t, dir); len(all) != 1 || all[0].Kind != Foreign {
		t.Errorf("behind a stop: %v", all)
	}
	put(t, dir, running, nil)
	wantGood(t, dir)
}

// A folder without a line and without HEAD is no trail that a service left.
func TestNothingLeft(t *testing.T) {
	dir := made(t)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		drop(t, dir, e.Name())
	}
	if all, _ := faults(t, dir); len(all) != 1 || all[0].Kind != Missing || all[0].Hint() == "" {
		t.Errorf("faults %v", all)
	}
	must(t, writeHead(dir, noHead)) // a first start that was killed
	wantGood(t, dir)
}

// One changed byte anywhere is found: of the lines by the chain, of the newest line by HEAD.
func TestEveryByteCounts(t *testing.T) {
	dir := made(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		name := []string{day1, day2, day3}[random.IntN(3)]
		good, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		at := random.IntN(len(bad))
		bad[at] ^= 1 << random.IntN(8)
		put(t, dir, name, bad)
		if all, _ := faults(t, dir); len(all) == 0 {
			t.Errorf("byte %d of %s: %q became %q, and nobody saw it", at, name, good[at], bad[at])
		}
		put(t, dir, name, good)
	}
	wantGood(t, dir)
}

// Lines that are put back heal the chain, also after the service went on without them.
func TestPuttingBackHeals(t *testing.T) {
	dir := made(t)
	kept := map[string][]byte{}
	for _, name := range []string{day2, day3} {
		kept[name], _ = os.ReadFile(filepath.Join(dir, name))
		drop(t, dir, name)
	}
	c := &clock{}
	c.set("2026-11-29T10:00:00Z")
	tr := mustOpen(t, dir, onDisk(c))
	mustSync(t, tr, "later")
	mustClose(t, tr)
	if all, _ := faults(t, dir); strings.Join(sortedKinds(all), " ") != "missing noted" {
		t.Errorf("faults %v", all)
	}
	for name, text := range kept {
		put(t, dir, name, text)
	}
	all, sum := faults(t, dir)
	if strings.Join(sortedKinds(all), " ") != "noted" || sum.Lines != 13 { // the chain is whole; what a start said stays
		t.Errorf("faults %v", all)
	}
}

func TestVerifyBesideAWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access")
	tr, err := Open(dir, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for ctx.Err() == nil {
			for range 500 {
				_ = tr.Append(Event{Query: strings.Repeat("q", 300)})
			}
			_ = tr.AppendSync(ctx, Event{})
		}
	}()
	for tr.Head().Seq < 4_000 {
		wantGood(t, dir)
	}
	stop()
	<-wrote
	mustClose(t, tr)
	wantGood(t, dir)
}

func TestVerifyStops(t *testing.T) {
	dir := made(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Verify(ctx, dir, func(Fault) {}); err == nil {
		t.Error("verified after the end of its context")
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, "nosuch"), func(Fault) {}); err == nil {
		t.Error("verified a folder that is not there")
	}
	empty := t.TempDir()
	must(t, writeHead(empty, noHead))
	if sum := wantGood(t, empty); sum.Lines != 0 || sum.SHA256 != "" {
		t.Errorf("an empty folder: %+v", sum)
	}
}

// Whatever stands in a file, the verifier ends, and a start on it leaves a trail that takes lines.
func FuzzVerify(f *testing.F) {
	dir := made(f)
	for _, name := range []string{day1, day2, day3} {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		head, _ := os.ReadFile(filepath.Join(dir, headFile))
		f.Add(text, head)
	}
	f.Add([]byte("{\n\n\x00"), []byte(`{"seq":1,"sha256":"`+zeroHash+`","file":"2026-11-26.ndjson","bytes":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, text, head []byte) {
		dir := t.TempDir()
		put(t, dir, day1, text)
		put(t, dir, headFile, head)
		if _, err := Verify(t.Context(), dir, func(Fault) {}); err != nil {
			t.Fatal(err)
		}
		c := &clock{}
		c.set("2026-11-29T10:00:00Z")
		tr, err := open(dir, quiet, onDisk(c))
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.AppendSync(t.Context(), Event{}); err != nil {
			t.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		// Every byte that was there is still there: in its file or aside.
		after, _ := os.ReadFile(filepath.Join(dir, day1))
		aside, _ := filepath.Glob(filepath.Join(dir, "torn-*"))
		for _, name := range aside {
			rest, _ := os.ReadFile(name)
			after = append(after, rest...)
		}
		if !bytes.Equal(after, text) {
			t.Fatalf("%q became %q", text, after)
		}
	})
}
