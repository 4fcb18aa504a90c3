package permanode_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rank: import only lower ranks, or packages under the same row. The longest row that
// matches counts, so an engine is not part of the contract's tree.
var rank = map[string]int{
	"internal/durable": 0, "internal/race": 0, "internal/ranges": 0, "internal/wire": 0, "testdata": 0,
	"ledger":  1,
	"storage": 2, "proof/verify": 2,
	"internal/follow": 3, "internal/replay": 3, "migrations": 3,
	"storage/pebblestore": 4, "storage/cqlstore": 4,
	"ingest": 4, "proof": 4, "index": 4, "ipfs": 4,
	"query": 5,
	"cmd":   6,
}

// private: who may import these, besides cmd and their own tests.
var private = map[string]string{
	"storage/pebblestore": "", "storage/cqlstore": "",
	"ingest/hornet0": "", "ingest/hornet1": "", "ingest/hornet2": "",
	"ingest/iotanode": "", "ingest/archive": "", "ingest/peer": "",
	"ledger/legacy":    "ledger/eras ingest/hornet0 query/compat/legacy",
	"ledger/chrysalis": "ledger/eras ingest/hornet1 query/compat/chrysalis",
	"ledger/stardust":  "ledger/eras ingest/hornet2 query/compat/stardust",
	"ledger/rebased":   "ledger/eras ingest/iotanode internal/replay/iotareplay",
}

// testHelp is what tests of several packages share. Like tests it may know eras and engines, and nothing else imports it.
const testHelp = "query/querytest"

func under(pkg, tree string) bool { return pkg == tree || strings.HasPrefix(pkg, tree+"/") }

// row returns the longest key of m that pkg lies under.
func row[V any](m map[string]V, pkg string) (found string) {
	for tree := range m {
		if under(pkg, tree) && len(tree) > len(found) {
			found = tree
		}
	}
	return found
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "permanode/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		pkgs := strings.Fields(strings.ReplaceAll(line, "permanode/", ""))
		pkg, home := pkgs[0], row(rank, pkgs[0])
		if home == "" && pkg != "permanode" {
			t.Errorf("%s has no rank: add a row, and say why in a decision record", pkg)
		}
		for _, imp := range pkgs[1:] {
			if to := row(rank, imp); to != "" && to != home && rank[to] >= rank[home] {
				t.Errorf("%s (rank %d) must not import %s (rank %d): import only lower ranks", pkg, rank[home], imp, rank[to])
			}
			if pkg == "query" && imp == "net/http" {
				t.Errorf("%s must not import %s: it answers, query/api carries", pkg, imp)
			}
			if under(imp, testHelp) {
				t.Errorf("%s must not import %s: it is for tests", pkg, imp)
			}
			p := row(private, imp)
			if p == "" || under(pkg, p) || under(pkg, "cmd") || under(pkg, testHelp) {
				continue
			}
			if !slices.ContainsFunc(strings.Fields(private[p]), func(tree string) bool { return under(pkg, tree) }) {
				t.Errorf("%s must not import %s: use the contract in ledger, storage or ingest", pkg, imp)
			}
		}
	}
}

// eraHome: the only trees that may name an era in code. cmd holds the wiring and the help texts.
var eraHome = []string{
	"ledger/legacy", "ledger/chrysalis", "ledger/stardust", "ledger/rebased", "ledger/eras", "query/compat",
	"ingest/hornet0", "ingest/hornet1", "ingest/hornet2", "ingest/iotanode", "internal/replay/iotareplay", "cmd", "testdata", "bench",
	testHelp,
}

var eraName = regexp.MustCompile(`(?i)\b(legacy|chrysalis|stardust|rebased)\b`)

// TestEraNames finds era names outside the era packages: comments may speak of eras, code may not.
func TestEraNames(t *testing.T) {
	eachSource(t, func(name string, src []byte) {
		dir := filepath.ToSlash(filepath.Dir(name))
		if strings.HasSuffix(name, "_test.go") || slices.ContainsFunc(eraHome, func(tree string) bool { return under(dir, tree) }) {
			return
		}
		for i, line := range strings.Split(string(src), "\n") {
			code, _, _ := strings.Cut(line, "//")
			if word := eraName.FindString(code); word != "" {
				t.Errorf("%s:%d names the era %q: the codec lacks a method", name, i+1, word)
			}
		}
	})
}

func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	eachSource(t, func(name string, src []byte) {
		dir := filepath.Dir(name)
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		documented[dir] = documented[dir] || file.Doc != nil
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment: say what it is for and what it never does", dir)
		}
	}
}

// eachSource calls f with every Go file of the module, generated protobuf left out.
func eachSource(t *testing.T, f func(name string, src []byte)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == "tools" || name == "bench"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go"):
			return nil
		}
		src, err := os.ReadFile(name)
		if err == nil {
			f(name, src)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
