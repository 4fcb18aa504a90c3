package api_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permanode/query/api"
)

var update = flag.Bool("update", false, "write the tables in docs/ that are made from the program")

// The table of roles in docs/access.md is the route table.
func TestRolesInDocs(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "access.md")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), "-update writes it -->\n")
	_, after, ended := strings.Cut(rest, "<!-- end of roles -->")
	if !begun || !ended {
		t.Fatal("docs/access.md has no place for the roles")
	}
	table := "\n| route | least role |\n|---|---|\n"
	for _, rt := range api.RouteLines() {
		role := rt.Role
		if role == "anyone" {
			role = "none: no key"
		}
		table += fmt.Sprintf("| `%s %s` | %s |\n", rt.Method, rt.Pattern, role)
	}
	want := before + "-update writes it -->\n" + table + "\n<!-- end of roles -->" + after
	if want == string(raw) {
		return
	}
	if !*update {
		t.Fatalf("docs/access.md tells other roles than the route table:\n%s", table)
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
