package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/sync/errgroup"

	"permanode/ledger/eras"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
)

// row is where raw bytes stand in a row of the tables U and R, and the signatures that belong to them.
type row struct {
	at, size uint32
	sigs     []signed
}

// checkFloor reads all rows with Pebble alone, hashes the raw bytes of every unit and record twice and checks every
// signature. Where those bytes stand it knows beforehand.
type checkFloor struct {
	dir            string
	units, records []row

	keys, bytes, hashes, good atomic.Int64
}

// newCheckFloor finds the raw bytes of s in the store at dir.
func newCheckFloor(b *testing.B, s *dataset, dir string) *checkFloor {
	b.Helper()
	f := &checkFloor{dir: dir}
	db, err := f.open()
	if err != nil {
		b.Fatal(err)
	}
	units, records := f.iter(b, db, 'U'), f.iter(b, db, 'R')
	find := func(it *pebble.Iterator, raw []byte) row {
		at := bytes.Index(it.Value(), raw)
		if at < 0 {
			b.Fatalf("the row %x does not hold the bytes of its unit or record", it.Key())
		}
		it.Next()
		return row{at: uint32(at), size: uint32(len(raw))}
	}
	for seg := range s.segments(b) {
		for _, c := range seg {
			u := find(units, c.Unit.Header)
			u.sigs = signatures(b, c) // of the whole cone
			f.units = append(f.units, u)
			for i := range c.Records {
				f.records = append(f.records, find(records, c.Records[i].Parts[0].Raw))
			}
		}
	}
	if err := errors.Join(units.Close(), records.Close(), db.Close()); err != nil {
		b.Fatal(err)
	}
	return f
}

func (f *checkFloor) open() (*pebble.DB, error) {
	o := rawOptions()
	o.ReadOnly, o.DisableTableStats = true, true
	return pebble.Open(f.dir, o)
}

func (f *checkFloor) iter(b *testing.B, db *pebble.DB, table byte) *pebble.Iterator {
	b.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		b.Fatal(err)
	}
	if !it.First() {
		b.Fatalf("table %c is empty: %v", table, it.Error())
	}
	return it
}

// checkPiece is how many rows a worker takes at a time.
const checkPiece = 256

// run is one pass, with as many workers as ours has.
func (f *checkFloor) run() (err error) {
	f.keys.Store(0)
	f.bytes.Store(0)
	f.hashes.Store(0)
	f.good.Store(0)
	db, err := f.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	work := make(chan func() error, 4)
	var readers, workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() (err error) {
			for do := range work {
				err = errors.Join(err, do())
			}
			return err
		})
	}
	readers.Go(func() error { return f.hashed(db, 'U', f.units, work) })
	readers.Go(func() error { return f.hashed(db, 'R', f.records, work) })
	for _, table := range []byte("CEGMNPSTV") {
		readers.Go(func() error { return f.scan(db, table, func(int, []byte, []byte) {}) })
	}
	err = readers.Wait()
	close(work)
	return errors.Join(err, workers.Wait())
}

// hashed reads a table and has its raw bytes hashed and its signatures checked.
func (f *checkFloor) hashed(db *pebble.DB, table byte, rows []row, work chan<- func() error) error {
	var piece []row
	var raws []byte // of the rows of piece, each with its id before it
	flush := func() {
		p, r := piece, raws
		work <- func() error { return f.judge(p, r) }
		piece, raws = nil, make([]byte, 0, len(r))
	}
	err := f.scan(db, table, func(i int, _, val []byte) {
		at := rows[i]
		raws = append(append(raws, val[2:34]...), val[at.at:at.at+at.size]...)
		if piece = append(piece, at); len(piece) == checkPiece {
			flush()
		}
	})
	flush()
	return err
}

func (f *checkFloor) judge(piece []row, raws []byte) error {
	var sigs []signed
	for i := range piece {
		id, raw := raws[:32], raws[32:32+piece[i].size]
		raws = raws[32+piece[i].size:]
		f.bytes.Add(int64(len(raw)))
		f.hashes.Add(1)
		if h := blake2b.Sum256(raw); !bytes.Equal(h[:], id) {
			return fmt.Errorf("the bytes of %x hash to %x", id, h)
		}
		h := sha256.Sum256(raw)
		keepCheck.Store(uint32(h[0]))
		sigs = append(sigs, piece[i].sigs...)
	}
	f.good.Add(int64(verifyInBatches(sigs)))
	return nil
}

var keepCheck atomic.Uint32

func (f *checkFloor) scan(db *pebble.DB, table byte, row func(i int, key, val []byte)) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{table}, UpperBound: []byte{table + 1}})
	if err != nil {
		return err
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		row(n, it.Key(), it.Value())
		n++
	}
	f.keys.Add(int64(n))
	return errors.Join(it.Error(), it.Close())
}

// checkOurs is permanode check --full.
func checkOurs(dir string) (r check.Report, err error) {
	db, err := pebblestore.Inspect(dir, pebblestore.Options{Codec: eras.Codec, Memory: figuresMemory})
	if err != nil {
		return r, err
	}
	r, err = check.Run(context.Background(), check.Options{Store: db, Codec: eras.Codec, Full: true}, func(check.Finding) {})
	return r, errors.Join(err, db.Close())
}
