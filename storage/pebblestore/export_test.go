package pebblestore

import "testing"

// SmallChunks makes large commits of small ones until the test ends.
func SmallChunks(t testing.TB) {
	old := chunkBytes
	chunkBytes = 32 << 10
	t.Cleanup(func() { chunkBytes = old })
}
