package trail

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// What is known to be wrong from elsewhere is in the start line, which is reported for good.
func TestWrongIsNoted(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "access"), &clock{}
	c.set("2026-11-26T10:00:00Z")
	o := quiet
	for i := range 12 {
		o.Wrong = append(o.Wrong, fmt.Sprintf("file %d is missing", i))
	}
	tr, err := open(dir, o, onDisk(c))
	must(t, err)
	mustClose(t, tr)
	mustClose(t, mustOpen(t, dir, onDisk(c)))
	all, _ := faults(t, dir)
	if len(all) != 1 || all[0].Kind != Noted || all[0].Seq != 1 || !strings.HasSuffix(all[0].What, "found here: file 0 is missing; file 1 is missing; file 2 is missing; "+
		"file 3 is missing; file 4 is missing; file 5 is missing; file 6 is missing; file 7 is missing; file 8 is missing; file 9 is missing; and 2 more") {
		t.Errorf("faults %v", all)
	}
}
