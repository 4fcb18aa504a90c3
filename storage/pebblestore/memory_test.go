package pebblestore_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// A starting ledger many times larger than memory is taken without holding it: the writer waits for
// flushes.
func TestOpeningMemory(t *testing.T) {
	const memory = 32 << 20
	rows := 400_000 // 100 MB
	if race.Enabled {
		t.Skip("the memory of the race detector is not ours; the run without it measures")
	}
	if testing.Short() {
		rows = 100_000
	}
	db, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Codec: storagetest.Codecs, Memory: memory, FS: vfs.Default})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	w, err := db.Writer(t.Context(), ledger.Network{Name: "big", Era: storagetest.Era})
	if err != nil {
		t.Fatal(err)
	}
	var most, before uint64
	rng := rand.New(rand.NewPCG(1, 1))
	changes := func(yield func(ledger.Change, error) bool) {
		for i := range rows {
			if i%20_000 == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				if i == 0 {
					before = m.HeapAlloc
				}
				most = max(most, m.HeapAlloc)
			}
			val := make([]byte, 240)
			for j := 0; j < len(val); j += 8 {
				binary.LittleEndian.PutUint64(val[j:], rng.Uint64())
			}
			if !yield(ledger.Change{Key: binary.BigEndian.AppendUint64(nil, rng.Uint64()), Val: val}, nil) {
				return
			}
		}
	}
	if err := w.Open(context.Background(), storage.Span{Lo: 1, Held: true}, changes); err != nil {
		t.Fatal(err)
	}
	if held := int64(most) - int64(before); held > 2*memory {
		t.Errorf("%d MiB of heap for memory of %d MiB", held>>20, memory>>20)
	} else {
		t.Logf("at most %d MiB of heap beyond the start", held>>20)
	}
}
