package pebblestore_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/storage/pebblestore"
)

// noTables is a disk that has no room for tables.
type noTables struct{ vfs.FS }

func (f noTables) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") {
		return nil, syscall.ENOSPC
	}
	return f.FS.Create(name, c)
}

// A killed store whose log cannot become a table says so, and does not try for ever.
func TestDiskFullAtOpening(t *testing.T) {
	mem := vfs.NewCrashableMem()
	j := newJob(3)
	if err := j.run(mem, never); err != nil {
		t.Fatal(err)
	}
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := j.db.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		db, err := pebblestore.Open("data", faultOptions(noTables{clone}))
		if err == nil {
			err = db.Close()
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("opening ends with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("opening does not end")
	}
}
