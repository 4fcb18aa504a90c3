package trail

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What docs/access.md tells to type verifies a trail without this program.
func TestVerifyByHand(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "access.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(doc), "By hand:\n\n")
	block, _, ended := strings.Cut(rest, "\n\n**")
	if !found || !ended {
		t.Fatal("docs/access.md does not tell how to verify by hand")
	}
	_, script, _ := strings.Cut(block, "\n") // without cd
	dir := made(t)
	run := func() string {
		cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	head, _, err := readHead(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := run()
	if strings.Contains(out, "does not follow") || strings.Count(out, head.SHA256) != 2 {
		t.Errorf("a good trail: %s", out)
	}
	edit(t, dir, day2, func(a [][]byte) [][]byte { a[1] = bytes.Replace(a[1], []byte("r5"), []byte("r6"), 1); return a })
	if out := run(); !strings.HasPrefix(out, "line 6 does not follow the one before\n") || strings.Count(out, "does not") != 1 {
		t.Errorf("a changed line 5: %s", out)
	}
}
