package pebblestore

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// SmallChunks makes large commits of small ones until the test ends.
func SmallChunks(t testing.TB) {
	old := chunkBytes
	chunkBytes = 32 << 10
	t.Cleanup(func() { chunkBytes = old })
}

// SmallBlocks makes many blocks of few postings until the test ends.
func SmallBlocks(t testing.TB) {
	old := blockBits
	blockBits = []int{1, 2, 4, 5}
	t.Cleanup(func() { blockBits = old })
}

// Blocks returns the rows of all blocks and markers of network 1, by key.
func Blocks(d *DB) map[string]string {
	rows := map[string]string{}
	prefix := []byte{tabBlock, 1}
	err := d.eachIn(context.Background(), d.db, prefix, after(prefix), func(key, val []byte) error {
		rows[string(key)] = string(val)
		return nil
	})
	if err != nil {
		panic(err)
	}
	return rows
}

// SetBlocks makes rows all there are.
func SetBlocks(d *DB, rows map[string]string) error {
	prefix := []byte{tabBlock, 1}
	b := d.db.NewBatch()
	_ = b.DeleteRange(prefix, after(prefix), nil)
	for k, v := range rows {
		_ = b.Set([]byte(k), []byte(v), nil)
	}
	return d.apply(b, pebble.Sync)
}

// CaughtUp waits until nothing works in the background, and reports whether all blocks are there.
func CaughtUp(d *DB) bool {
	d.background.Wait()
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	for _, n := range d.nets {
		if n.behind() || n.built.failed {
			return false
		}
	}
	return true
}

// SetFormat writes the version row.
func SetFormat(d *DB, v byte) error {
	b := d.db.NewBatch()
	_ = b.Set(keyFormat(), []byte{v}, nil)
	return d.apply(b, pebble.Sync)
}
