package check_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/goleak"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() pebblestore.Options {
	return pebblestore.Options{Codec: storagetest.Codecs, Memory: 64 << 20}
}

// build makes a store of n units, cleanly stopped.
func build(t testing.TB, dir string, shape storagetest.Shape, n int) {
	t.Helper()
	db, err := pebblestore.Open(dir, options())
	if err != nil {
		t.Fatal(err)
	}
	g := storagetest.NewGen(1, shape)
	w, err := db.Writer(context.Background(), g.Network())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Open(context.Background(), g.Span(), g.Opening()); err != nil {
		t.Fatal(err)
	}
	var cones []*ledger.Cone
	for range n {
		cones = append(cones, g.Next(w.Net()))
		if len(cones) == 20 || len(cones) == n {
			if err := w.Commit(context.Background(), cones); err != nil {
				t.Fatal(err)
			}
			cones = nil
		}
	}
	if err := errors.Join(w.Commit(context.Background(), cones), w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// run checks a directory and returns all findings.
func run(t testing.TB, dir string, o check.Options) (check.Report, []check.Finding, error) {
	t.Helper()
	return runWith(t, dir, storagetest.Codecs, o)
}

func runWith(t testing.TB, dir string, codecs func(ledger.Era) (ledger.Codec, bool), o check.Options) (check.Report, []check.Finding, error) {
	t.Helper()
	opts := options()
	opts.Codec = codecs
	db, err := pebblestore.Inspect(dir, opts)
	if err != nil {
		return check.Report{}, nil, err
	}
	o.Store, o.Codec = db, codecs
	var found []check.Finding
	r, err := check.Run(context.Background(), o, func(f check.Finding) { found = append(found, f) })
	if e := db.Close(); e != nil {
		t.Errorf("close: %v", e)
	}
	return r, found, err
}

func TestSound(t *testing.T) {
	for _, shape := range []storagetest.Shape{{}, {Claims: true, Lo: 500}, {Lo: 70, MaxRecords: 30}} {
		dir := t.TempDir()
		units := uint64(race.Fewer(600))
		build(t, dir, shape, int(units))
		for _, o := range []check.Options{{}, {Full: true}, {Sample: 50, Seed: 3}} {
			var last check.Progress
			o.Progress = func(p check.Progress) { last = p }
			r, found, err := run(t, dir, o)
			if err != nil || len(found) != 0 {
				t.Fatalf("%+v, %+v: %v, %v", shape, o, err, found)
			}
			want := units
			if o.Sample > 0 {
				want = 50
			}
			if r.Units != want || r.Signed != want || o.Full && r.Proven != want || last.Unit != want {
				t.Errorf("%+v: report %+v, progress %+v", shape, r, last)
			}
		}
	}
}

func TestNetworkNames(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, storagetest.Shape{Name: "a"}, 10)
	build(t, dir, storagetest.Shape{Name: "b"}, 20)
	r, _, err := run(t, dir, check.Options{Full: true})
	if err != nil || r.Units != 30 {
		t.Errorf("all: %+v, %v", r, err)
	}
	r, _, err = run(t, dir, check.Options{Full: true, Network: "b"})
	if err != nil || r.Units != 20 {
		t.Errorf("b: %+v, %v", r, err)
	}
	if _, _, err = run(t, dir, check.Options{Network: "c"}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("c: %v", err)
	}
}

// rows returns the keys of a table of network 1.
func rows(t *testing.T, db *pebble.DB, table byte) (keys, vals [][]byte) {
	t.Helper()
	return rowsOf(t, db, table, 1)
}

func rowsOf(t *testing.T, db *pebble.DB, table, net byte) (keys, vals [][]byte) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table, net}, UpperBound: []byte{table, net + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		keys, vals = append(keys, bytes.Clone(it.Key())), append(vals, bytes.Clone(it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return keys, vals
}

// seqKey is the number in a key of the tables U and M.
func seqKey(key []byte) uint64 { return binary.BigEndian.Uint64(key[2:]) }

// TestTampered changes rows behind the engine's back, so that every checksum of the files is right, and
// expects each to be named.
func TestTampered(t *testing.T) {
	type change func(t *testing.T, b *pebble.Batch, keys, vals [][]byte) (want check.Finding)
	set := func(b *pebble.Batch, key, val []byte) { _ = b.Set(key, val, nil) }
	flip := func(val []byte, at int) []byte {
		val = bytes.Clone(val)
		val[at] ^= 1
		return val
	}
	left := 1000
	if race.Enabled {
		left = 4
	}
	for name, c := range map[string]struct {
		table byte
		do    change
	}{
		"unit header": {'U', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			set(b, keys[100], flip(vals[100], 100))
			return check.Finding{What: "unit", Seq: seqKey(keys[100])}
		}},
		"unit signature": {'U', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			at := len(vals[101]) - 20
			set(b, keys[101], flip(vals[101], at))
			return check.Finding{What: "unit", Seq: seqKey(keys[101])}
		}},
		"unit time": {'U', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			set(b, keys[7], flip(vals[7], 1+33+33+7))
			return check.Finding{What: "unit", Seq: seqKey(keys[7])}
		}},
		"unit lost": {'U', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			_ = b.Delete(keys[299], nil)
			return check.Finding{What: "unit", Seq: seqKey(keys[299])}
		}},
		"manifest": {'M', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			set(b, keys[33], flip(vals[33], len(vals[33])-1))
			return check.Finding{What: "manifest", Seq: seqKey(keys[33])}
		}},
		"manifest lost": {'M', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			_ = b.Delete(keys[33], nil)
			return check.Finding{What: "manifest", Seq: seqKey(keys[33])}
		}},
		"record bytes": {'R', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			set(b, keys[50], flip(vals[50], 60))
			return check.Finding{What: "unit", Seq: ledger.OrdFrom(keys[50][2:]).Seq, Key: fmt.Sprintf("%x", keys[50][2:])}
		}},
		"record state": {'R', func(t *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			for i := range keys {
				if v := vals[i]; v[35] == byte(ledger.Applied) {
					v = bytes.Clone(v)
					v[35] = byte(ledger.Conflicting)
					set(b, keys[i], v)
					return check.Finding{What: "record", Seq: ledger.OrdFrom(keys[i][2:]).Seq, Key: ledger.OrdFrom(keys[i][2:]).String()}
				}
			}
			t.Fatal("no applied record")
			return check.Finding{}
		}},
		"record lost": {'R', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			_ = b.Delete(keys[50], nil)
			return check.Finding{What: "unit", Seq: ledger.OrdFrom(keys[50][2:]).Seq}
		}},
		"record added": {'R', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			k := bytes.Clone(keys[50])
			k[9] = 200
			set(b, k, vals[50])
			return check.Finding{What: "unit", Seq: ledger.OrdFrom(k[2:]).Seq, Key: fmt.Sprintf("%x", k[2:])}
		}},
		"posting lost": {'P', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			_ = b.Delete(keys[1000], nil)
			return check.Finding{What: "posting", Seq: ledger.OrdFrom(keys[1000][len(keys[1000])-8:]).Seq}
		}},
		"posting added": {'P', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			k := bytes.Clone(keys[1000])
			k[5] ^= 0x40
			set(b, k, vals[1000])
			return check.Finding{What: "posting", Seq: ledger.OrdFrom(k[len(k)-8:]).Seq}
		}},
		"posting value": {'P', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			for i := range keys {
				if n := len(vals[i]); n > 2 {
					set(b, keys[i], flip(vals[i], n-1))
					return check.Finding{What: "posting", Seq: ledger.OrdFrom(keys[i][len(keys[i])-8:]).Seq}
				}
			}
			return check.Finding{}
		}},
		"posting moved": {'P', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			k := bytes.Clone(keys[1000])
			k[len(k)-1] ^= 8
			_ = b.Delete(keys[1000], nil)
			set(b, k, vals[1000])
			return check.Finding{What: "posting", Seq: ledger.OrdFrom(k[len(k)-8:]).Seq}
		}},
		"time lost": {'T', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			_ = b.Delete(keys[20], nil)
			return check.Finding{What: "time", Seq: binary.BigEndian.Uint64(keys[20][10:])}
		}},
		"time added": {'T', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			k := bytes.Clone(keys[20])
			k[9] ^= 1
			set(b, k, nil)
			return check.Finding{What: "time", Seq: binary.BigEndian.Uint64(k[10:])}
		}},
		"state row of a unit": {'S', func(_ *testing.T, b *pebble.Batch, keys, vals [][]byte) check.Finding {
			for i := range keys {
				if ledger.OrdFrom(vals[i]).Seq > 3 && keys[i][2] != 'u' {
					set(b, keys[i], flip(vals[i], 20))
					return check.Finding{What: "state", Key: fmt.Sprintf("%x", keys[i][2:])}
				}
			}
			return check.Finding{}
		}},
		"state row lost": {'S', func(_ *testing.T, b *pebble.Batch, keys, _ [][]byte) check.Finding {
			i := len(keys) - 1
			_ = b.Delete(keys[i], nil)
			return check.Finding{What: "state", Key: fmt.Sprintf("%x", keys[i][2:])}
		}},
		"state row added": {'S', func(_ *testing.T, b *pebble.Batch, _, _ [][]byte) check.Finding {
			set(b, []byte("S\x01nobody wrote this"), []byte("x"))
			return check.Finding{What: "state"}
		}},
		"gap in a span": {'G', func(_ *testing.T, b *pebble.Batch, _, _ [][]byte) check.Finding {
			set(b, append([]byte{'G', 1}, 0, 0, 0, 0, 0, 0, 0, 9), []byte{1, 0, 0, 0, 0, 0, 0, 0, 12, 1, 'x'})
			return check.Finding{What: "coverage", Seq: 9}
		}},
	} {
		if left--; left < 0 {
			break // which ones, the order of the map says
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			build(t, dir, storagetest.Shape{}, 600)
			if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
				t.Fatal(err)
			}
			db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
			if err != nil {
				t.Fatal(err)
			}
			b := db.NewBatch()
			keys, vals := rows(t, db, c.table)
			want := c.do(t, b, keys, vals)
			if err := errors.Join(b.Commit(pebble.Sync), db.Close()); err != nil {
				t.Fatal(err)
			}
			_, found, err := run(t, dir, check.Options{Full: true})
			if !errors.Is(err, storage.ErrCorrupt) {
				t.Fatalf("error %v", err)
			}
			if len(found) > 20 {
				t.Errorf("%d findings for one row", len(found))
			}
			for _, f := range found {
				if f.What == want.What && f.Seq == want.Seq && strings.Contains(f.Key, want.Key) {
					return
				}
			}
			t.Errorf("no finding like %+v in %v", want, found)
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// cone is the next cone of g, as Commit takes it.
func cone(g *storagetest.Gen, w storage.Writer) []*ledger.Cone {
	return []*ledger.Cone{g.Next(w.Net())}
}
