package pebblestore

import (
	"bytes"
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
)

// Count returns the number of postings of key in units lo..hi.
func (d *DB) Count(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (uint64, error) {
	t, err := d.tally(ctx, net, key, lo, hi, false)
	return t.count, err
}

// Sum returns the sum of the values of key's postings in units lo..hi.
func (d *DB) Sum(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64) (ledger.Amount, error) {
	t, err := d.tally(ctx, net, key, lo, hi, true)
	return t.sum, err
}

func (d *DB) tally(ctx context.Context, net ledger.NetID, key ledger.Key, lo, hi uint64, values bool) (t blockRow, err error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return t, err
	}
	defer v.close()
	a, err := v.openTally(ctx, key, values)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	for _, s := range v.spans {
		if s.Empty() || s.Hi < lo || s.Lo > hi {
			continue
		}
		if err := a.add(a.top, ledger.Ord{Seq: max(lo, s.Lo)}, ledger.Ord{Seq: min(hi, s.Hi), Pos: ledger.UnitPos}); err != nil {
			return t, err
		}
	}
	return a.sum, nil
}

// tally adds up postings of one key from as few rows as it can.
type tally struct {
	ctx    context.Context
	v      *view
	key    ledger.Key
	values bool             // sums are wanted too
	top    int              // highest level that may have blocks of the key; 0: none has
	blocks *pebble.Iterator // of the key
	posts  *pebble.Iterator // of the key, over the same view of the store
	buf    []byte
	sum    blockRow
}

func (v *view) openTally(ctx context.Context, key ledger.Key, values bool) (*tally, error) {
	t := &tally{ctx: ctx, v: v, key: key, values: values}
	posts := append(appendPostingPrefix(nil, v.network.ID, key.Kind, key.Val), 0)
	blocks := append([]byte{tabBlock}, posts[1:]...)
	bounds := func(b []byte) *pebble.IterOptions {
		return &pebble.IterOptions{LowerBound: b, UpperBound: append(bytes.Clone(b), 0xff)}
	}
	var err error
	if t.posts, err = v.pr.NewIterWithContext(ctx, bounds(posts)); err != nil {
		return nil, v.d.readError(posts, err)
	}
	if !inBlocks(key.Kind) {
		return t, nil
	}
	if t.blocks, err = t.posts.CloneWithContext(ctx, pebble.CloneOptions{IterOptions: bounds(blocks)}); err != nil {
		return nil, errors.Join(v.d.readError(blocks, err), t.close())
	}
	if t.blocks.Last() {
		if _, t.top, _, err = splitBlock(t.blocks.Key()[2:]); err != nil {
			return nil, errors.Join(v.d.badRow(bytes.Clone(t.blocks.Key()), err), t.close())
		}
	}
	if err = t.blocks.Error(); err != nil {
		return nil, errors.Join(v.d.readError(blocks, err), t.close())
	}
	return t, nil
}

func (t *tally) close() error {
	err := t.v.d.readError(t.buf, t.posts.Close())
	if t.blocks != nil {
		err = errors.Join(err, t.v.d.readError(t.buf, t.blocks.Close()))
	}
	return err
}

// add adds the postings from lo to hi, both included, of one span: by the blocks of a level that lie between, and
// the level below for what they leave.
func (t *tally) add(level int, lo, hi ledger.Ord) error {
	if level == 0 {
		return t.scan(lo, hi)
	}
	seek := func() bool {
		t.buf = appendBlockKey(t.buf[:0], t.v.network.ID, t.key, level, lo)
		return t.blocks.SeekGE(t.buf)
	}
	for ok := seek(); ok && sameButOrd(t.blocks.Key(), t.buf); {
		end := ledger.OrdFrom(t.blocks.Key()[len(t.buf)-ledger.OrdLen:])
		if hi.Less(end) {
			break
		}
		val, err := t.blocks.ValueAndErr()
		if err != nil {
			return t.v.d.readError(t.blocks.Key(), err)
		}
		row, err := decodeBlockRow(val)
		if err == nil && end.Less(row.lo) {
			err = errRow("block that ends at %s begins at %s", end, row.lo)
		}
		if err != nil {
			return t.v.d.badRow(bytes.Clone(t.blocks.Key()), err)
		}
		whole := row.lo == lo
		if whole {
			t.sum.count += row.count
			t.sum.sum = t.sum.sum.Add(row.sum)
		} else if err := t.add(level-1, lo, end); err != nil { // it begins before lo, or blocks before it are not there
			return err
		}
		lo = behind(end)
		if whole {
			ok = t.blocks.Next()
		} else {
			ok = seek()
		}
	}
	if err := t.blocks.Error(); err != nil {
		return t.v.d.readError(t.buf, err)
	}
	if hi.Less(lo) {
		return nil
	}
	return t.add(level-1, lo, hi)
}

// scan adds postings one by one.
func (t *tally) scan(lo, hi ledger.Ord) error {
	net := t.v.network.ID
	to := appendPostingKey(nil, net, t.key, hi)
	t.buf = appendPostingKey(t.buf[:0], net, t.key, lo)
	n := 0
	for ok := t.posts.SeekGE(t.buf); ok && bytes.Compare(t.posts.Key(), to) <= 0; ok = t.posts.Next() {
		if n++; n&0xfff == 0 {
			if err := t.ctx.Err(); err != nil {
				return err
			}
		}
		t.sum.count++
		if !t.values {
			continue
		}
		val, err := t.posts.ValueAndErr()
		if err != nil {
			return t.v.d.readError(t.posts.Key(), err)
		}
		_, amount, err := decodePostingValue(val)
		if err != nil {
			return t.v.d.badRow(bytes.Clone(t.posts.Key()), err)
		}
		t.sum.sum = t.sum.sum.Add(amount)
	}
	if err := t.posts.Error(); err != nil {
		return t.v.d.readError(t.buf, err)
	}
	return t.ctx.Err()
}
