package eras

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"permanode/ledger"
)

func TestBuiltIn(t *testing.T) {
	files, err := filepath.Glob("../../testdata/trust/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no trust files: %v", err)
	}
	var names []string
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		names = append(names, name)
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := BuiltIn(name)
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("built-in %s differs from %s", name, f)
		}
		trust, err := ParseTrust(got)
		if err != nil {
			t.Errorf("built-in %s: %v", name, err)
		}
		if trust.Name != name || !bytes.Equal(trust.Raw, got) {
			t.Errorf("built-in %s is of network %q", name, trust.Name)
		}
	}
	if !slices.Equal(BuiltInNames(), names) {
		t.Errorf("built-in names are %v, want %v", BuiltInNames(), names)
	}
	for _, name := range []string{"", "nosuch", "../eras", "shimmer.json"} {
		if _, ok := BuiltIn(name); ok {
			t.Errorf("%q is built in", name)
		}
	}
}

func TestParseTrustNamesTheField(t *testing.T) {
	for raw, field := range map[string]string{
		`{"format":"permanode-trust/v1"}`:                "era",
		`{"era":["stardust"]}`:                           "era",
		`{"era":"nosuch","format":"permanode-trust/v1"}`: "era",
		`{"era":"stardust"}`:                             "format",
		`"stardust"`:                                     "era",
		`{`:                                              "",
	} {
		_, err := ParseTrust([]byte(raw))
		if !errors.Is(err, ledger.ErrTrust) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v does not name %q", raw, err, field)
		}
	}
}

func TestCodec(t *testing.T) {
	for _, era := range All {
		c, ok := Codec(era)
		if !ok || c.Era() != era {
			t.Errorf("no codec of %s", era)
		}
	}
	if _, ok := Codec("nosuch"); ok {
		t.Error("a codec of no era")
	}
}
