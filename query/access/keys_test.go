package access

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func sum(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func ask(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1/info", nil)
	r.RemoteAddr = "[2001:db8::7%eth0]:4711"
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return r
}

func TestCaller(t *testing.T) {
	k, err := LoadKeys(write(t, fmt.Sprintf(`# two keys of one name: the old one goes when everybody has the new one
- {name: team, sha256: %s, role: reader}
- name: team
  sha256: "%s"
  role: reader
- {name: root, sha256: %s, role: admin}
`, sum("old"), strings.ToUpper(sum("new")), sum("pn_abc-_"))))
	if err != nil {
		t.Fatal(err)
	}
	if k.Len() != 3 || len(k.Warnings()) != 0 {
		t.Errorf("%d entries, warnings %q", k.Len(), k.Warnings())
	}
	tests := []struct {
		headers []string
		want    Caller
		err     error
	}{
		{[]string{"Bearer old"}, Caller{"team", Reader, ""}, nil},
		{[]string{"Bearer new"}, Caller{"team", Reader, ""}, nil},
		{[]string{"bearer  pn_abc-_ "}, Caller{"root", Admin, ""}, nil},
		{nil, Caller{}, ErrNoKey},
		{[]string{"Bearer other"}, Caller{}, ErrUnknownKey},
		{[]string{"Bearer " + sum("old")}, Caller{}, ErrUnknownKey}, // what the file holds is no key
		{[]string{"Bearer"}, Caller{}, ErrBadKey},
		{[]string{"Bearer "}, Caller{}, ErrBadKey},
		{[]string{"old"}, Caller{}, ErrBadKey},
		{[]string{""}, Caller{}, ErrBadKey},
		{[]string{"Basic b2xk"}, Caller{}, ErrBadKey},
		{[]string{"Bearer old new"}, Caller{}, ErrBadKey},
		{[]string{"Bearer o\x00ld"}, Caller{}, ErrBadKey},
		{[]string{"Bearer öld"}, Caller{}, ErrBadKey},
		{[]string{"Bearer old", "Bearer old"}, Caller{}, ErrBadKey},
		{[]string{"Bearer " + strings.Repeat("a", maxToken)}, Caller{}, ErrUnknownKey},
		{[]string{"Bearer " + strings.Repeat("a", maxToken+1)}, Caller{}, ErrBadKey},
	}
	for _, tt := range tests {
		tt.want.Address = "2001:db8::7"
		got, err := k.Caller(ask(tt.headers...))
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %+v, %v, want %+v, %v", tt.headers, got, err, tt.want, tt.err)
		}
		for _, h := range tt.headers { // a message goes to logs and strangers
			if token := strings.TrimPrefix(h, "Bearer "); err != nil && len(token) > 4 && token != h && strings.Contains(err.Error(), token) {
				t.Errorf("%q: the message holds the key: %v", h, err)
			}
		}
	}
	if got, err := Local(ask()); err != nil || got != (Caller{"", Admin, "2001:db8::7"}) {
		t.Errorf("Local = %+v, %v", got, err)
	}
}

func TestRoleText(t *testing.T) {
	for r := Reader; r <= Admin; r++ {
		if got, err := ParseRole(r.String()); got != r || err != nil {
			t.Errorf("ParseRole(%s) = %v, %v", r, got, err)
		}
	}
	for _, bad := range []string{"", "anyone", "Reader", "root", "role 7", "reader "} {
		if got, err := ParseRole(bad); err == nil || got != Anyone {
			t.Errorf("ParseRole(%q) = %v, nil", bad, got)
		}
	}
}

// Each fault of a keys file is reported, with its place and its remedy.
func TestBadKeysFile(t *testing.T) {
	good := sum("k")
	tests := []struct {
		name, text string
		says       []string
	}{
		{"empty", "", []string{"is empty"}},
		{"comments", "# nothing\n", []string{"so that nobody could ask"}},
		{"null", "null\n", []string{"has no entry"}},
		{"no entry", "[]\n", []string{"has no entry"}},
		{"map", "keys:\n- {}\n", []string{"is no list"}},
		{"text", "secret\n", []string{"is no list"}},
		{"no yaml", "- {name: a", []string{"is no YAML or JSON"}},
		{"binary", "\x00\x01", []string{"is no YAML or JSON"}},
		{"two documents", "- {name: a, sha256: " + good + ", role: reader}\n---\n- {}\n", []string{"more than one document"}},
		{"all at once", "- {name: '', sha256: abc, role: root}\n- {nam: b, sha256: " + good + "}\n- 7\n", []string{
			"entry 1 (line 1): name: \"\" is no name", "sha256: is not 64 hexadecimal digits (it has 3", "role: \"root\" is no role: write reader, auditor, operator, admin",
			"entry 2 (line 2): member \"nam\" is unknown", "name is missing", "role is missing", "entry 3 (line 3): is no {name, sha256, role}",
		}},
		{"twice", "- {name: a, sha256: " + good + ", role: reader}\n- {name: b, sha256: " + good + ", role: admin}\n", []string{"entry 2 (line 2): has the sha256 of entry 1"}},
		{"member twice", "- {name: a, name: b, sha256: " + good + ", role: reader}\n", []string{"name is there twice"}},
		{"not text", "- {name: [a], sha256: " + good + ", role: reader}\n", []string{"name is no text"}},
		{"hash of nothing", "- {name: a, sha256: " + sum("") + ", role: reader}\n", []string{"is the hash of nothing"}},
		{"name", "- {name: \"a\\nb\", sha256: " + good + ", role: reader}\n", []string{`"a\nb" is no name`}},
		{"long name", "- {name: " + strings.Repeat("a", 65) + ", sha256: " + good + ", role: reader}\n", []string{"is no name"}},
		{"alias", "- &x {name: a, sha256: " + good + ", role: reader}\n- *x\n", []string{"entry 2 (line 2): is no {name"}},
		{"secret instead of hash", "- {name: a, sha256: pn_0123456789, role: reader}\n", []string{"it has 13 characters"}},
		{"large", strings.Repeat("#", maxFile+1), []string{"has more than 1048576 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := LoadKeys(write(t, tt.text))
			if err == nil {
				t.Fatal("loaded")
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("does not say %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "pn_01") {
				t.Errorf("shows what may be a key: %v", err)
			}
		})
	}
}

func TestKeysFilePermissions(t *testing.T) {
	file := write(t, "- {name: a, sha256: "+sum("k")+", role: reader}\n")
	for _, tt := range []struct {
		mode     os.FileMode
		warnings int
		refused  bool
	}{{0o600, 0, false}, {0o640, 0, false}, {0o644, 1, false}, {0o602, 0, true}} {
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		k, err := LoadKeys(file)
		if (err != nil) != tt.refused || err == nil && len(k.Warnings()) != tt.warnings {
			t.Errorf("%o: %v", tt.mode, err)
		}
	}
	if _, err := LoadKeys(filepath.Dir(file)); err == nil {
		t.Error("a folder was read as keys file")
	}
	if _, err := LoadKeys(file + "x"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "permanode key new") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// A bad file leaves the keys as they were; a good one counts at once, also for callers at work.
func TestReload(t *testing.T) {
	file := write(t, "- {name: a, sha256: "+sum("one")+", role: reader}\n")
	k, err := LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if c, err := k.Caller(ask("Bearer one")); err == nil && c.Name != "a" {
						t.Errorf("caller %+v", c)
					}
				}
			}
		})
	}
	for _, text := range []string{"", "- {name: b}\n", "\x00"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := k.Reload(); err == nil {
			t.Errorf("%q was loaded", text)
		}
		if c, err := k.Caller(ask("Bearer one")); err != nil || c.Name != "a" {
			t.Errorf("after a bad file: %+v, %v", c, err)
		}
	}
	if err := os.WriteFile(file, []byte("- {name: b, sha256: "+sum("two")+", role: admin}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	close(stop)
	asking.Wait()
	if _, err := k.Caller(ask("Bearer one")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a removed key: %v", err)
	}
	if c, err := k.Caller(ask("Bearer two")); err != nil || c.Role != Admin {
		t.Errorf("a new key: %+v, %v", c, err)
	}
}

func TestAdd(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "keys.yaml")
	keys := map[string]Role{}
	for i, role := range []Role{Reader, Auditor, Operator, Admin, Reader} {
		key, err := Add(file, fmt.Sprintf("n%d", i%4), role)
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = role
	}
	if len(keys) != 5 {
		t.Fatalf("%d different keys of 5", len(keys))
	}
	k, err := LoadKeys(file)
	if err != nil || k.Len() != 5 || len(k.Warnings()) != 0 {
		t.Fatalf("%v, %v", k, err)
	}
	text, _ := os.ReadFile(file)
	for key, role := range keys {
		if c, err := k.Caller(ask("Bearer " + key)); err != nil || c.Role != role {
			t.Errorf("%+v, %v, want role %s", c, err, role)
		}
		if len(key) < 3+22 || !strings.HasPrefix(key, "pn_") || strings.Contains(string(text), key) {
			t.Errorf("key %s: too short, or in the file", key)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// Whatever the layout of a file, it keeps its entries and comments, or is left alone.
func TestAddToLayouts(t *testing.T) {
	one := "{\"name\": \"a\", \"sha256\": \"" + sum("k") + "\", \"role\": \"reader\"}"
	for _, tt := range []struct {
		text    string
		refused bool
	}{
		{"# mine\n- " + one + " # keep", false},
		{"[" + one + "]", false},
		{"  - " + one + "\n", true}, // indented: a dash in the first column would begin another list
		{"# mine\n[" + one + "]\n", true},
		{"- {name: a}\n", true},
	} {
		file := write(t, tt.text)
		_, err := Add(file, "b", Admin)
		after, _ := os.ReadFile(file)
		if (err != nil) != tt.refused {
			t.Errorf("%q: %v", tt.text, err)
		}
		if err != nil {
			if string(after) != tt.text {
				t.Errorf("%q was refused and changed to %q", tt.text, after)
			}
			continue
		}
		if k, err := LoadKeys(file); err != nil || k.Len() != 2 || strings.Contains(tt.text, "# mine") != strings.Contains(string(after), "# mine") {
			t.Errorf("%q became %q: %v", tt.text, after, err)
		}
	}
	for _, name := range []string{"", "-a", "a b", "a\n- {}", "ü", "a:b"} {
		if _, err := Add(write(t, "- "+one+"\n"), name, Reader); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	file := write(t, "- "+one+"\n")
	if err := os.WriteFile(file+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Add(file, "b", Reader); err == nil || !strings.Contains(err.Error(), "another command") {
		t.Errorf("added beside another Add: %v", err)
	}
}

func FuzzKeysFile(f *testing.F) {
	f.Add([]byte("- {name: a, sha256: " + sum("k") + ", role: reader}\n"))
	f.Add([]byte(`[{"name":"a","sha256":"` + sum("k") + `","role":"admin"}]`))
	f.Add([]byte("- &x {name: a}\n- *x\n- <<: *x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parse(text)
		if err == nil && len(all) == 0 {
			t.Fatal("no error and no entry")
		}
		for _, e := range all {
			if checkName(e.name) != nil || e.role == Anyone || e.role > Admin {
				t.Fatalf("accepted %+v", e)
			}
		}
	})
}

func BenchmarkCaller(b *testing.B) {
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "- {name: n%d, sha256: %s, role: reader}\n", i, sum(fmt.Sprint(i)))
	}
	k, err := LoadKeys(write(b, text.String()))
	if err != nil {
		b.Fatal(err)
	}
	r := ask("Bearer 50")
	for b.Loop() {
		if _, err := k.Caller(r); err != nil {
			b.Fatal(err)
		}
	}
}
