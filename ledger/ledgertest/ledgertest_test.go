package ledgertest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

type entry struct {
	Name string
	Raw  Hex
}

// foreign makes a folder of vectors.
func foreign(t *testing.T, name, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(folder, dir)
}

func TestLoadForeign(t *testing.T) {
	foreign(t, "era/some-2.json", `{"list":[{"name":"a","raw":"0x0aff"},{"name":"b","raw":"0b"}]}`)
	all := Load[entry](t, "era/some-*.json", "list")
	if len(all) != 2 || all[0].Raw.String() != "0x0aff" || all[1].Raw.String() != "0x0b" || all[1].Name != "b" {
		t.Errorf("entries %v", all)
	}
	files := Files[map[string]any](t, "era/*.json")
	if len(files) != 1 || files[0].Name != "some-2.json" || files[0].Data["list"] == nil {
		t.Errorf("files %v", files)
	}
}

// witness is a test that notes how it ended.
type witness struct {
	testing.TB
	skipped, failed bool
}

func (w *witness) Skipf(string, ...any)  { w.skipped = true; runtime.Goexit() }
func (w *witness) Fatalf(string, ...any) { w.failed = true; runtime.Goexit() }

// run returns how f ends a test.
func run(t *testing.T, f func(testing.TB)) (skipped, failed bool) {
	w := &witness{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(w)
	}()
	<-done
	return w.skipped, w.failed
}

// A part that another folder does not have is skipped; a folder that is not there, and a part that the
// default folder does not have, fail.
func TestLoadMissing(t *testing.T) {
	loads := map[string]func(testing.TB){
		"pattern": func(t testing.TB) { Load[entry](t, "other/*.json", "list") },
		"key":     func(t testing.TB) { Load[entry](t, "stardust/bech32.json", "nothing") },
		"files":   func(t testing.TB) { Files[entry](t, "other/*.json") },
	}
	t.Setenv(folder, "") // restores it at the end
	os.Unsetenv(folder)
	for name, load := range loads {
		if _, failed := run(t, load); !failed {
			t.Errorf("%s: not missed in the default folder", name)
		}
	}
	foreign(t, "stardust/bech32.json", `{}`)
	for name, load := range loads {
		if skipped, failed := run(t, load); !skipped || failed {
			t.Errorf("%s: skipped %v, failed %v in another folder", name, skipped, failed)
		}
	}
	t.Setenv(folder, filepath.Join(t.TempDir(), "nowhere"))
	for name, load := range loads {
		if skipped, failed := run(t, load); skipped || !failed {
			t.Errorf("%s: skipped %v, failed %v in no folder", name, skipped, failed)
		}
	}
}

func TestHexRefuses(t *testing.T) {
	for _, text := range []string{`"0x0"`, `"zz"`, `1`} {
		var h Hex
		if err := h.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s: read as %s", text, h)
		}
	}
}

func TestRecording(t *testing.T) {
	if dir := Recording(t, "stardust"); filepath.Base(dir) != "stardust" {
		t.Errorf("recording in %s", dir)
	}
}
