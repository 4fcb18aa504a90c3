package pebblestore_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// place is a directory in a file system.
type place struct {
	dir string
	fs  vfs.FS
}

func (p place) Open() (storagetest.Store, error) {
	return pebblestore.Open(p.dir, pebblestore.Options{Codec: storagetest.Codecs, FS: p.fs, Memory: 256 << 20})
}

func TestSuite(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Engine { return place{t.TempDir() + "/a/b", nil} })
}
