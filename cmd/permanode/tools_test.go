package main

import (
	"os"
	"path/filepath"
	"testing"
)

// outside returns the path of an outside tool below bin/tools, where `make tools` puts it. Without it the test is skipped,
// in CI it fails.
func outside(t *testing.T, path ...string) string {
	t.Helper()
	name, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "bin", "tools"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err == nil {
		return name
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there: run make tools", name)
	}
	t.Skipf("%s is not there: run make tools", name)
	return ""
}
