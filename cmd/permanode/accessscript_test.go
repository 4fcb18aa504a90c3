package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"
)

// readTrail DIR FILE writes all lines of the access trail in DIR into FILE.
func readTrail(ts *testscript.TestScript, neg bool, args []string) {
	days, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.ndjson"))
	ts.Check(err)
	var all []byte
	for _, name := range days {
		all = append(all, ts.ReadFile(name)...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), all, 0o600))
}

// cutTrail DIR takes the second line out of the first day of the access trail in DIR.
func cutTrail(ts *testscript.TestScript, neg bool, args []string) {
	days, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.ndjson"))
	ts.Check(err)
	lines := slices.Collect(bytes.Lines([]byte(ts.ReadFile(days[0]))))
	ts.Check(os.WriteFile(days[0], bytes.Join(slices.Delete(lines, 1, 2), nil), 0o600))
}
