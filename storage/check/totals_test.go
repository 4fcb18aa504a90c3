package check_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// A total that does not fit the postings is found by every check, by name, and it is all that is found.
func TestTamperedTotals(t *testing.T) {
	clean := t.TempDir()
	build(t, clean, storagetest.Shape{MaxRecords: 20}, fewUnits(1000))
	rng := rand.New(rand.NewPCG(5, 5))
	for name, do := range map[string]func(b *pebble.Batch, key, val []byte){
		"lost":  func(b *pebble.Batch, key, _ []byte) { _ = b.Delete(key, nil) },
		"wrong": func(b *pebble.Batch, key, val []byte) { _ = b.Set(key, flipped(rng, val, 0), nil) },
		"moved": func(b *pebble.Batch, key, val []byte) {
			_ = b.Delete(key, nil)
			_ = b.Set(flipped(rng, key, 2), val, nil)
		},
		"added": func(b *pebble.Batch, key, val []byte) { _ = b.Set(flipped(rng, key, 2), val, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, clean)
			if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
				t.Fatal(err)
			}
			db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
			if err != nil {
				t.Fatal(err)
			}
			keys, vals := rows(t, db, 'B')
			if len(keys) < 2 {
				t.Fatalf("%d rows of totals", len(keys))
			}
			b, i := db.NewBatch(), rng.IntN(len(keys))
			do(b, keys[i], vals[i])
			if err := errors.Join(b.Commit(pebble.Sync), db.Close()); err != nil {
				t.Fatal(err)
			}
			for _, full := range []bool{false, true} {
				_, found, err := run(t, dir, check.Options{Full: full})
				if !errors.Is(err, storage.ErrCorrupt) || len(found) == 0 || len(found) > 3 {
					t.Errorf("full %t: row %x: %v, %v", full, keys[i], err, found)
				}
				for _, f := range found {
					if f.What != "total" || f.Key == "" || f.Why == "" {
						t.Errorf("full %t: row %x: %+v", full, keys[i], f)
					}
				}
			}
		})
	}
}

// flipped returns b with one bit turned, behind the first bytes.
func flipped(rng *rand.Rand, b []byte, from int) []byte {
	b = bytes.Clone(b)
	b[from+rng.IntN(len(b)-from)] ^= 1 << rng.IntN(8)
	return b
}
