package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"permanode"
	"permanode/internal/race"
)

// keysOf returns the keys of a config struct, with dots.
func keysOf(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("mapstructure")
		if name == "" {
			continue
		}
		ft := f.Type
		if ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct {
			keys = append(keys, keysOf(ft, prefix+name+".")...)
			continue
		}
		keys = append(keys, prefix+name)
	}
	return keys
}

// The example shows every key, and for each scalar its default.
func TestExampleShowsEveryKey(t *testing.T) {
	text := string(permanode.ExampleConfig)
	for _, key := range keysOf(reflect.TypeFor[config](), "") {
		name := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(text, "\n"+name+":") && !strings.Contains(text, " "+name+":") {
			t.Errorf("the example lacks %s", key)
		}
		if best := nearestKey(name + "x"); !strings.Contains(best, name) {
			t.Errorf("nearestKey does not know %s: %s", name, best)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "example.yaml")
	if err := os.WriteFile(file, permanode.ExampleConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	given, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := given.check(file); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("networks: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defaults, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if given.DataDir != defaults.DataDir || given.Memory != defaults.Memory || !sameAPI(given.API, defaults.API) || given.LogLevel != defaults.LogLevel ||
		given.Index != defaults.Index || given.Metrics != defaults.Metrics {
		t.Errorf("the example has %s, %d, %v, %v, %v; the defaults are %s, %d, %v, %v, %v",
			given.DataDir, given.Memory, given.API, given.Index, given.Metrics, defaults.DataDir, defaults.Memory, defaults.API, defaults.Index, defaults.Metrics)
	}
	if n := given.Networks[0]; n.Start != 0 || len(n.Snapshot) != 0 || n.Follows != "" {
		t.Errorf("the example has start %d, snapshot %v and follows %q, which are no defaults", n.Start, n.Snapshot, n.Follows)
	}
	for _, s := range scalars {
		if !strings.Contains(text, envName(s.key)) {
			t.Errorf("the example does not name %s", envName(s.key))
		}
	}
}

// sameAPI compares; no origins are none, in whatever form.
func sameAPI(a, b apiConfig) bool {
	if len(a.CORS)+len(b.CORS) == 0 {
		a.CORS, b.CORS = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]byteSize{"1": 1, "8KiB": 8 << 10, "512 MiB": 512 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40, "0": 0, "7B": 7} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5GiB", "1GB", "GiB", "1 g", "999999999999999TiB", "1e9", "0x10"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q = %d", text, got)
		}
	}
}

// A config that is changed at random never panics, and whatever is wrong with it is the config's fault. This is no fuzz
// target because an instrumented build of all that a command links takes longer than the test.
func TestRandomConfigs(t *testing.T) {
	if race.Enabled {
		t.Skip("a config is read by one goroutine")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	file := filepath.Join(t.TempDir(), "c.yaml")
	words := strings.Fields("networks: [ { } ] , - null ~ true 1e400 -1 0x10 &a *a !!binary | > # '\" data_dir: memory: api: listen: name: url: http://u:p@h ../ \x00 \xff")
	for range 1000 {
		raw := slices.Clone(permanode.ExampleConfig)
		for range 1 + rng.IntN(4) {
			at, end := rng.IntN(len(raw)), 0
			end = min(at+rng.IntN(20), len(raw))
			raw = slices.Replace(raw, at, end, []byte(words[rng.IntN(len(words))])...)
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConfig(file)
		if err == nil {
			err = c.check(file)
		}
		if err != nil && Status(err) != 2 {
			t.Fatalf("status %d: %v\n%s", Status(err), err, raw)
		}
	}
}
