package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"path"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// This file is what a checker needs beside storage.Reader: rows as they lie on disk, read on behind damage.

// Opening returns the number and the sum of the rows of the state that the span at lo was opened with.
func (d *DB) Opening(ctx context.Context, net ledger.NetID, lo uint64) (rows uint64, sum storage.StateSum, err error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return 0, sum, err
	}
	defer v.close()
	for _, s := range v.spans {
		if s.Lo == lo {
			return s.rows, s.sum, nil
		}
	}
	return 0, sum, v.notFound(fmt.Sprintf("span at %d", lo))
}

// RawPostings returns every posting on disk, committed or not, by key and place. Rows that cannot be read
// are errors of kind storage.ErrCorrupt; what follows them is read all the same.
func (d *DB) RawPostings(ctx context.Context, net ledger.NetID) iter.Seq2[storage.Found, error] {
	return raw(d, ctx, net, tabPosting, func(key, val []byte) (f storage.Found, err error) {
		if f.Key, f.Ord, err = splitPosting(key[2:]); err != nil {
			return f, err
		}
		f.Role, f.Value, err = decodePostingValue(val)
		return f, err
	})
}

// RawState returns every state row, as a change without an old value. Its slices are valid until the next.
// Damage is as in RawPostings.
func (d *DB) RawState(ctx context.Context, net ledger.NetID) iter.Seq2[ledger.Change, error] {
	return raw(d, ctx, net, tabState, func(key, val []byte) (ledger.Change, error) {
		return ledger.Change{Key: key[2:], Val: nonNil(val)}, nil
	})
}

// RawTimes returns every time row as a unit with its number and time. Damage is as in RawPostings.
func (d *DB) RawTimes(ctx context.Context, net ledger.NetID) iter.Seq2[ledger.Unit, error] {
	return raw(d, ctx, net, tabTime, func(key, _ []byte) (u ledger.Unit, err error) {
		u.TimeMs, u.Seq, err = splitTime(key)
		return u, err
	})
}

func raw[T any](d *DB, ctx context.Context, net ledger.NetID, tab byte, decode func(key, val []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		v, err := d.begin(ctx, net)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		defer v.close()
		rawIn(v, ctx, keyNet(tab, net), decode)(yield)
	}
}

// rawIn reads the rows whose keys begin with prefix, as raw does, from a view.
func rawIn[T any](v *view, ctx context.Context, prefix []byte, decode func(key, val []byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		one := func(key, val []byte) error {
			row, err := decode(key, val)
			if err != nil {
				row, err = none, v.d.badRow(key, err)
			}
			if !yield(row, err) {
				return errStop
			}
			return nil
		}
		bad := func(err error) error {
			if !yield(none, err) {
				return errStop
			}
			return nil
		}
		if err := v.d.scan(ctx, v.pr, prefix, after(prefix), one, bad); err != nil && !errors.Is(err, errStop) {
			yield(none, err)
		}
	}
}

// scan calls f with the rows of lo to hi, and bad where rows cannot be read; then it goes on behind them.
func (d *DB) scan(ctx context.Context, r pebble.Reader, lo, hi []byte, f func(key, val []byte) error, bad func(error) error) error {
	for {
		last, err := d.scanUntil(ctx, r, lo, hi, f)
		if err == nil || !pebble.IsCorruptionError(err) {
			return err
		}
		next := d.behind(r, last, hi)
		if next != nil && bytes.Compare(next, last) <= 0 {
			next = nil // no way on is known
		}
		e := &storage.CorruptError{Key: rangeName(last, next), Why: fileOf(err) + "cannot be read: " + firstLine(err)}
		if err := bad(e); err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		lo = next
	}
}

// scanUntil reads until the end or an error, and returns the smallest key that was not read.
func (d *DB) scanUntil(ctx context.Context, r pebble.Reader, lo, hi []byte, f func(key, val []byte) error) (last []byte, err error) {
	it, err := r.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return lo, err
	}
	defer func() {
		if e := it.Close(); err == nil {
			err = e
		}
	}()
	last = bytes.Clone(lo)
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return last, err
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return append(last[:0], it.Key()...), err
		}
		last = append(append(last[:0], it.Key()...), 0)
		if err := f(it.Key(), val); err != nil {
			return last, err
		}
	}
	return last, it.Error()
}

// behind returns the smallest key from which rows can be read again, nil if there is none below hi. It
// looks for a place behind the damage, then walks back from there. A try that meets damage is dear, since
// Pebble looks for the flipped bit each time: so there are few.
func (d *DB) behind(r pebble.Reader, bad, hi []byte) []byte {
	good := hi
	// The longer the common prefix, the nearer: find the longest behind which rows can be read.
	for lo, up := 1, len(bad); lo < up; {
		n := (lo + up + 1) / 2
		p := after(bad[:n])
		if p != nil && bytes.Compare(p, hi) < 0 && d.readable(r, p, hi) {
			good, lo = p, n
		} else if p == nil || bytes.Compare(p, hi) >= 0 {
			lo = n
		} else {
			bad, up = p, min(n-1, len(p))
		}
	}
	const width = 96
	lo, up := padded(bad, width), padded(good, width)
	for range 12 {
		mid := new(big.Int).Add(lo, up)
		p := mid.Rsh(mid, 1).FillBytes(make([]byte, width))
		if bytes.Compare(p, bad) <= 0 || bytes.Compare(p, good) >= 0 {
			break
		}
		if d.readable(r, p, hi) {
			good, up = p, mid
		} else {
			bad, lo = p, mid
		}
	}
	return d.back(r, bad, good, hi)
}

// back walks from good back to bad, and returns the smallest key that can be read on the way.
func (d *DB) back(r pebble.Reader, bad, good, hi []byte) []byte {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: bad, UpperBound: hi})
	if err != nil {
		return nil
	}
	defer func() { _ = it.Close() }()
	for ok := it.SeekLT(good); ok; ok = it.Prev() {
		if _, err := it.ValueAndErr(); err != nil {
			break
		}
		good = bytes.Clone(it.Key())
	}
	if !it.SeekGE(good) || bytes.Compare(it.Key(), hi) >= 0 {
		return nil
	}
	return bytes.Clone(it.Key()) // a row, not just a place before one
}

func padded(key []byte, width int) *big.Int {
	b := make([]byte, width)
	copy(b, key)
	return new(big.Int).SetBytes(b)
}

// readable reports whether a scan can start at p.
func (d *DB) readable(r pebble.Reader, p, hi []byte) bool {
	if bytes.Compare(p, hi) >= 0 {
		return true
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: hi})
	if err != nil {
		return false
	}
	ok := it.First()
	if ok {
		_, err = it.ValueAndErr()
	}
	return errors.Join(err, it.Error(), it.Close()) == nil
}

// fileOf names the file that a corruption lies in.
func fileOf(err error) string {
	if i := pebble.ExtractDataCorruptionInfo(err); i != nil {
		return "file " + path.Base(i.Path) + " "
	}
	return ""
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// rangeName names rows from a key to before another, in words. A key that ends in 00 beyond its table's
// length stands just behind a row.
func rangeName(from, to []byte) string {
	name := "rows from " + keyWords(from)
	if n := len(from) - 1; n > 2 && from[n] == 0 && (n == 10 || from[0] != tabRecord && from[0] != tabUnit && from[0] != tabManifest) {
		name = "rows behind " + keyWords(from[:n])
	}
	if to == nil {
		return name + " to the end of the table"
	}
	return name + " and before " + keyWords(to)
}

// keyWords says what row a key, or the beginning of one, names.
func keyWords(key []byte) string {
	if len(key) < 3 {
		return keyName(key)
	}
	pad := append(bytes.Clone(key), make([]byte, 16)...)
	switch key[0] {
	case tabRecord:
		o := ledger.OrdFrom(pad[2:])
		return fmt.Sprintf("record %d of unit %d (%s)", o.Pos, o.Seq, keyName(key[:min(len(key), 10)]))
	case tabUnit, tabManifest:
		seq, _ := seqOf(pad)
		return fmt.Sprintf("unit %d (%s)", seq, keyName(key[:min(len(key), 10)]))
	case tabPosting:
		if k, o, err := splitPosting(bytes.TrimSuffix(key[2:], []byte{0})); err == nil {
			return fmt.Sprintf("posting of kind %d key %x at unit %d (%s)", k.Kind, k.Val, o.Seq, keyName(key))
		}
	}
	return keyName(bytes.TrimRight(key, "\x00"))
}

// Damage returns the files that differ from what the last clean stop wrote, each table with the rows that
// cannot be read in it. After a stop that was not clean nothing says what they should be: then each table is read
// whole, and returned if rows of it cannot be.
func (d *DB) Damage(ctx context.Context) iter.Seq2[storage.FileFault, error] {
	return func(yield func(storage.FileFault, error) bool) {
		for _, f := range d.faults {
			if isTable(f.Name) {
				var err error
				if f.Hit, err = d.tableDamage(ctx, f.Name); err != nil {
					yield(f, err)
					return
				}
			}
			if !yield(f, nil) {
				return
			}
		}
		if d.bare {
			d.unreadable(ctx, yield)
		}
	}
}

// unreadable reads all tables in use.
func (d *DB) unreadable(ctx context.Context, yield func(storage.FileFault, error) bool) {
	d.mu.Lock()
	if d.closed || d.db == nil {
		d.mu.Unlock()
		return
	}
	d.users++
	d.mu.Unlock()
	defer (&view{d: d}).close()
	levels, err := d.db.SSTables()
	if err != nil {
		yield(storage.FileFault{}, err)
		return
	}
	for _, tables := range levels {
		for _, t := range tables {
			name := fmt.Sprintf("%06d.sst", uint64(t.FileNum))
			hit, err := d.tableDamage(ctx, name)
			if err == nil && (len(hit) == 0 || strings.HasPrefix(hit[0], "no row: ")) {
				continue
			}
			if !yield(storage.FileFault{Name: name, Why: "not all of it can be read", Hit: hit}, err) || err != nil {
				return
			}
		}
	}
}

// maxHits bounds the list of one table.
const maxHits = 1000

// tableDamage reads all rows between a table's first and last.
func (d *DB) tableDamage(ctx context.Context, name string) (hit []string, err error) {
	d.mu.Lock()
	if d.closed || d.db == nil {
		closed := d.closed
		d.mu.Unlock()
		if closed {
			return nil, errClosed
		}
		return []string{"which rows is unknown: the store cannot be opened"}, nil
	}
	d.users++
	d.mu.Unlock()
	defer (&view{d: d}).close()
	levels, err := d.db.SSTables()
	if err != nil {
		return nil, err
	}
	for _, tables := range levels {
		for _, t := range tables {
			if fmt.Sprintf("%06d.sst", uint64(t.FileNum)) != name {
				continue
			}
			lo, hi := t.Smallest.UserKey, append(bytes.Clone(t.Largest.UserKey), 0)
			err := d.scan(ctx, d.db, lo, hi, func([]byte, []byte) error { return nil }, func(e error) error {
				var c *storage.CorruptError
				if errors.As(e, &c) && len(hit) < maxHits {
					hit = append(hit, c.Key)
				}
				return nil
			})
			if len(hit) == 0 && err == nil {
				hit = []string{"no row: all " + rangeName(lo, hi) + " can be read; the damage lies in the table's index, filter or properties"}
			}
			return hit, err
		}
	}
	return []string{"no row: the table is not in use"}, nil
}
