package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"permanode/internal/race"
)

// session is one command of the README and the lines that it is said to print.
type session struct {
	command string
	lines   []string
}

// readmeSessions returns the commands in the README's blocks that run on what lies in this repository.
func readmeSessions(t *testing.T) (all []session) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(raw), "```\n") {
		if i%2 == 0 {
			continue
		}
		for line := range strings.Lines(block) {
			line = strings.TrimRight(line, "\n")
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				all = append(all, session{command: command})
			} else if len(all) > 0 {
				all[len(all)-1].lines = append(all[len(all)-1].lines, line)
			}
		}
	}
	return all
}

// A first session is as the README shows it: each command ends well, and prints each line shown, in that order; … stands
// for what differs. The commands with make, a node or a config of one's own are not for a test.
func TestReadme(t *testing.T) {
	if race.Enabled {
		t.Skip("commands that end are run one after the other")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "testdata"), filepath.Join(dir, "testdata")); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("permanode")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "bin", "permanode")); err != nil {
		t.Fatal(err)
	}
	ran, before := 0, ""
	for _, s := range readmeSessions(t) {
		switch {
		case strings.HasPrefix(s.command, "make "), strings.Contains(s.command, "//node"), strings.Contains(s.command, "permanode run "):
			continue
		case !strings.HasPrefix(s.command, "bin/"):
			before += s.command + "\n" // sets a variable
			continue
		}
		ran++
		cmd := exec.CommandContext(t.Context(), "sh", "-c", before+s.command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", s.command, err, out)
		}
		rest := string(out)
		for _, line := range s.lines {
			begin, _, _ := strings.Cut(strings.TrimSuffix(line, " …"), ", …")
			if strings.TrimSpace(strings.Trim(line, " …")) == "" {
				continue
			}
			_, after, ok := strings.Cut(rest, begin)
			if !ok {
				t.Errorf("%s: does not print %q:\n%s", s.command, begin, rest)
				break
			}
			rest = after
		}
	}
	if ran < 12 {
		t.Errorf("%d commands ran", ran)
	}
}
