package pebblestore_test

import (
	"context"
	"errors"
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
	db, err := pebblestore.Open(p.dir, pebblestore.Options{Codec: storagetest.Codecs, FS: p.fs, Memory: 256 << 20})
	return audited{db}, err
}

// audited is a store that compares all totals with the postings before it closes.
type audited struct{ *pebblestore.DB }

func (a audited) Close() error { return errors.Join(badTotals(a.DB), a.DB.Close()) }

func badTotals(db *pebblestore.DB) (bad error) {
	nets, err := db.Networks(context.Background())
	if err != nil {
		return nil // it is closed
	}
	for _, n := range nets {
		for err := range db.BadTotals(context.Background(), n.ID) {
			bad = errors.Join(bad, err)
		}
	}
	return bad
}

func TestSuite(t *testing.T) {
	pebblestore.SmallBlocks(t)
	storagetest.Run(t, func(t *testing.T) storagetest.Engine { return place{t.TempDir() + "/a/b", nil} })
}
