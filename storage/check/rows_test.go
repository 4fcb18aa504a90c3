package check_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// bothEras makes one data directory with a network of each era.
func bothEras(t *testing.T, dir string, units int) *checkpoints {
	t.Helper()
	eraStore(t, dir, true, units)
	c := makeCheckpoints(t, rebasedtest.Options{Seed: 31, Transactions: 4, Epoch: 7, Unknown: 5}, units)
	c.segment = 14 // where the second epoch ends: no unit is left that another one, still to come, could attest
	c.store(t, dir, rebased.Codec{}, nil)
	return c
}

// Both eras lie in one directory and are checked at once; any turned bit of any of its files is found.
func TestFlipsBothEras(t *testing.T) {
	dir := t.TempDir()
	bothEras(t, dir, fewUnits(24))
	r, found, err := runWith(t, dir, eras.Codec, check.Options{Full: true})
	if want := uint64(2 * fewUnits(24)); err != nil || r.Proven != want || r.Undecoded == 0 {
		t.Fatalf("%+v, %v, %v", r, err, found)
	}
	flips(t, dir, eras.Codec, 15)
}

// A bit turned in any row of a Rebased network, so that all checksums of the files are right, is found: but for one in
// a certificate that is not needed, because a later unit attests its own.
func TestRebasedFlipRows(t *testing.T) {
	clean := t.TempDir()
	c := bothEras(t, clean, 17)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	n := fewUnits(6)
	if os.Getenv("PERMANODE_TORTURE") != "" {
		n = 250
	}
	needless := 0
	for _, table := range []byte("UMRPST") {
		for range n {
			dir := copyOf(t, clean)
			key, val, bit := flipRow(t, dir, table, rng)
			r, found, err := runWith(t, dir, eras.Codec, check.Options{Full: true})
			switch {
			case errors.Is(err, storage.ErrCorrupt) && len(found) > 0, err == nil && r.Better > 0:
			case err == nil && table == 'U' && c.inCertificate(t, key, val, bit):
				needless++
			case err == nil:
				t.Errorf("bit %d of row %c %x = %x is not found", bit, key[0], key[1:], val)
			default:
				if !errors.Is(err, storage.ErrCorrupt) {
					t.Errorf("bit %d of row %c %x: %v", bit, key[0], key[1:], err)
				}
			}
			if len(found) > 40 {
				t.Errorf("bit %d of row %c %x gives %d findings", bit, key[0], key[1:], len(found))
			}
		}
	}
	t.Logf("%d flips, %d of them in certificates that are not needed", 6*n, needless)
}

// flipRow turns one bit of the value, or of the key where it is all, of a row of network 2.
func flipRow(t *testing.T, dir string, table byte, rng *rand.Rand) (key, val []byte, bit int) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	keys, vals := rowsOf(t, db, table, 2)
	i := rng.IntN(len(keys))
	key, val = keys[i], vals[i]
	set, to := bytes.Clone(key), bytes.Clone(val)
	b := db.NewBatch()
	if len(val) == 0 {
		_ = b.Delete(key, nil)
		bit = 16 + rng.IntN(8*(len(key)-2)) // not table and network
		set[bit/8] ^= 1 << (bit % 8)
	} else {
		bit = rng.IntN(8 * len(val))
		to[bit/8] ^= 1 << (bit % 8)
	}
	if err := errors.Join(b.Set(set, to, nil), b.Commit(pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	return key, val, bit
}

// inCertificate reports whether a bit of a unit's row lies in a certificate that is not needed.
func (c *checkpoints) inCertificate(t *testing.T, key, val []byte, bit int) bool {
	t.Helper()
	u, err := rebased.Codec{}.Unit(c.made[seqKey(key)].Head())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(val, u.Auth)
	return at >= 0 && bit/8 >= at && bit/8 < at+len(u.Auth) && c.attested(u.ID)
}

// attested reports whether another unit attests this one in the store.
func (c *checkpoints) attested(id ledger.ID) bool { return c.by[id] != id && !c.by[id].IsZero() }

// A span that is said to end far behind its last unit is found, and the check ends.
func TestSpanBeyondItsUnits(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, storagetest.Shape{}, 30)
	if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	keys, vals := rows(t, db, 'C')
	vals[0][4] ^= 1 // in the upper half of the end's number
	if err := errors.Join(db.Set(keys[0], vals[0], pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	r, found, err := run(t, dir, check.Options{Full: true})
	if !errors.Is(err, storage.ErrCorrupt) || len(found) == 0 || found[0].What != "coverage" || r.Proven != 30 {
		t.Errorf("%+v, %v, %v", r, err, found)
	}
}
