package pebblestore

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// SmallChunks makes large commits of small ones until the test ends.
func SmallChunks(t testing.TB) {
	old := chunkBytes
	chunkBytes = 32 << 10
	t.Cleanup(func() { chunkBytes = old })
}

// SmallBlocks makes many blocks of few postings until the test ends.
func SmallBlocks(t testing.TB) {
	bits, shift, wide := blockBits, strideShift, wideTime
	blockBits, strideShift, wideTime = []int{1, 2, 4, 5}, 1, 3
	t.Cleanup(func() { blockBits, strideShift, wideTime = bits, shift, wide })
}

// Blocks returns the rows of all totals of network 1, and the markers, by key.
func Blocks(d *DB) map[string]string {
	rows := map[string]string{}
	for _, tab := range []byte{tabBlock, tabStride} {
		prefix := []byte{tab, 1}
		err := d.eachIn(context.Background(), d.db, prefix, after(prefix), func(key, val []byte) error {
			rows[string(key)] = string(val)
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
	return rows
}

// SetBlocks makes rows all there are.
func SetBlocks(d *DB, rows map[string]string) error {
	b := d.db.NewBatch()
	for _, tab := range []byte{tabBlock, tabStride} {
		prefix := []byte{tab, 1}
		_ = b.DeleteRange(prefix, after(prefix), nil)
	}
	for k, v := range rows {
		_ = b.Set([]byte(k), []byte(v), nil)
	}
	return d.apply(b, pebble.Sync)
}

// Fill adds n postings of key to an open, empty span that begins at unit 1, per in each unit-th unit, as if cones had brought
// them, with their blocks. It returns the last unit.
func Fill(w storage.Writer, key ledger.Key, n, per int, unit uint64) (uint64, error) {
	wr := w.(*writer)
	d, net := wr.d, wr.net
	batch, seq, h := d.db.NewBatch(), uint64(1), hashKey(key)
	var list []ender
	var raw []byte
	for i := range n {
		o := ledger.Ord{Seq: seq, Pos: uint32(i % per)}
		p := ledger.Posting{Key: key, Role: ledger.RoleReceive, Value: ledger.Coins(uint64(i)%1000 + 1)}
		raw = appendPostingKey(raw[:0], net, key, o)
		_ = batch.Set(raw, appendPostingValue(nil, &p), nil)
		if k := levelsAt(h, o); k > 0 {
			list = append(list, ender{key, o, k})
		}
		if i%per == per-1 {
			seq += unit
		}
		if batch.Len() > 4<<20 || i == n-1 {
			if err := d.apply(batch, pebble.NoSync); err != nil {
				return 0, err
			}
			batch = d.db.NewBatch()
			if err := d.room(context.Background()); err != nil {
				return 0, err
			}
		}
	}
	st := *wr.n.state.Load()
	st.spans = slices.Clone(st.spans)
	st.spans[0].Hi = seq
	wr.n.publish(&st)
	d.commitMu.Lock()
	defer d.commitMu.Unlock()
	d.advance(wr.n, &st.spans[0], seq+1, list, nil)
	return seq, nil
}

// CommitAndTotal commits cones without their blocks, then adds those, and returns the time of each.
func CommitAndTotal(w storage.Writer, cones []*ledger.Cone) (commit, total time.Duration, err error) {
	wr, bits := w.(*writer), blockBits
	blockBits = []int{64}
	begin := time.Now()
	err = w.Commit(context.Background(), cones)
	commit, blockBits = time.Since(begin), bits
	if err != nil {
		return 0, 0, err
	}
	wr.d.commitMu.Lock()
	defer wr.d.commitMu.Unlock()
	begin = time.Now()
	s, next := wr.n.state.Load().spanOf(cones[0].Unit.Seq), cones[len(cones)-1].Unit.Seq+1
	list, units := conesEnders(cones)
	wr.d.advance(wr.n, s, next, list, units)
	return commit, time.Since(begin), nil
}

// Iterate counts and adds up the postings of a key with a bare iterator of Pebble.
func Iterate(d *DB, key ledger.Key) (n int, sum uint64) {
	prefix := append(appendPostingPrefix(nil, 1, key.Kind, key.Val), 0)
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(bytes.Clone(prefix), 0xff)})
	if err != nil {
		panic(err)
	}
	defer func() { _ = it.Close() }()
	for ok := it.First(); ok; ok = it.Next() {
		for _, c := range it.Value()[2:] {
			sum = sum<<8 | uint64(c)
		}
		n++
	}
	return n, sum
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
