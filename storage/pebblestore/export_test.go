package pebblestore

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// SmallChunks makes large commits of small ones until the test ends.
func SmallChunks(t testing.TB) {
	old := chunkBytes
	chunkBytes = 32 << 10
	t.Cleanup(func() { chunkBytes = old })
}

// SetFormat writes the version row.
func SetFormat(d *DB, v byte) error {
	b := d.db.NewBatch()
	_ = b.Set(keyFormat(), []byte{v}, nil)
	return d.apply(b, pebble.Sync)
}
