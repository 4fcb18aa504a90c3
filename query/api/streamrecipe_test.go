package api_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"permanode/query/querytest"
)

// The recipe of docs/api.md for going on with a stream takes the id of the last whole event, wherever a stream was cut:
// from the id of a torn one its record would never come.
func TestResumeRecipeOfDocs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the recipe is for a shell")
	}
	docs := querytest.Must(os.ReadFile("../../docs/api.md"))
	recipe := regexp.MustCompile(`(?m)^ +(id=\$\(.*\))`).FindSubmatch(docs)
	if recipe == nil {
		t.Fatal("docs/api.md has no such recipe")
	}
	const stream = "retry: 3000\nid: c0\nevent: start\ndata: {}\n\n: still here\n\nid: c1\nevent: record\ndata: {\"seq\":1}\n\nid: c2\n\nid: c3\nevent: record\ndata: {\"seq\":3}\n\nevent: end\ndata: {}\n\n"
	part := filepath.Join(t.TempDir(), "part")
	for cut := range len(stream) + 1 {
		if err := os.WriteFile(part, []byte(stream[:cut]), 0o600); err != nil {
			t.Fatal(err)
		}
		want := ""
		for block := range strings.SplitAfterSeq(stream[:cut], "\n\n") {
			if _, id, has := strings.Cut(block, "id: "); has && strings.HasSuffix(block, "\n\n") {
				want, _, _ = strings.Cut(id, "\n")
			}
		}
		c := exec.CommandContext(t.Context(), "sh", "-c", string(recipe[1])+"; echo \"$id\"")
		c.Dir = filepath.Dir(part)
		if got, err := c.Output(); err != nil || strings.TrimSpace(string(got)) != want {
			t.Fatalf("cut after %q: the id is %q, want %q (%v)", stream[:cut], got, want, err)
		}
	}
}
