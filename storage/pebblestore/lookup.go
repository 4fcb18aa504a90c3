package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// Lookup returns the committed postings of a key in the order of their places; with scan.Prefix those of
// every key that begins with it, key by key.
func (d *DB) Lookup(ctx context.Context, net ledger.NetID, key ledger.Key, scan storage.Scan) iter.Seq2[storage.Found, error] {
	return func(yield func(storage.Found, error) bool) {
		v, err := d.begin(ctx, net)
		if err != nil {
			yield(storage.Found{}, err)
			return
		}
		defer v.close()
		if scan.Hi == (ledger.Ord{}) {
			scan.Hi = ledger.Ord{Seq: ledger.MaxSeq, Pos: ledger.UnitPos}
		}
		if !scan.Lo.Valid() || scan.Hi.Less(scan.Lo) {
			return
		}
		if !scan.Hi.Valid() {
			scan.Hi = ledger.Ord{Seq: ledger.MaxSeq, Pos: ledger.UnitPos}
		}
		err = v.lookup(ctx, key, scan, func(f storage.Found) error {
			if !yield(f, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(storage.Found{}, err)
		}
	}
}

// Keys returns the keys of prefix.Kind that begin with prefix.Val and are greater than after, each by one seek.
func (d *DB) Keys(ctx context.Context, net ledger.NetID, prefix ledger.Key, after string) iter.Seq2[ledger.Key, error] {
	return func(yield func(ledger.Key, error) bool) {
		v, err := d.begin(ctx, net)
		if err != nil {
			yield(ledger.Key{}, err)
			return
		}
		defer v.close()
		err = v.keys(ctx, prefix, after, func(k ledger.Key) error {
			if !yield(k, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(ledger.Key{}, err)
		}
	}
}

func (v *view) keys(ctx context.Context, prefix ledger.Key, from string, f func(ledger.Key) error) (err error) {
	lo := appendPostingPrefix(nil, v.network.ID, prefix.Kind, prefix.Val)
	it, err := v.pr.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lo, UpperBound: after(lo)})
	if err != nil {
		return v.d.readError(lo, err)
	}
	defer func() { err = errors.Join(err, v.d.readError(lo, it.Close())) }()
	start := lo
	if from != "" {
		start = v.endOf(ledger.Key{Kind: prefix.Kind, Val: from})
	}
	for ok := it.SeekGE(start); ok; {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, o, err := splitPosting(it.Key()[2:])
		if err != nil {
			return v.d.badRow(it.Key(), err)
		}
		if !v.has(o.Seq) {
			ok = v.skipGap(it, k, o)
			continue
		}
		if err := f(k); err != nil {
			return err
		}
		ok = it.SeekGE(v.endOf(k))
	}
	if err := it.Error(); err != nil {
		return v.d.readError(lo, err)
	}
	return ctx.Err()
}

// endOf is a place behind all postings of k: they lie before "k 00 ff".
func (v *view) endOf(k ledger.Key) []byte {
	return append(append(appendPostingPrefix(nil, v.network.ID, k.Kind, k.Val), 0), 0xff)
}

// skipGap jumps from a posting whose unit is not committed to the next place of its key that can be, or to the next key.
func (v *view) skipGap(it *pebble.Iterator, k ledger.Key, o ledger.Ord) bool {
	for _, s := range v.spans {
		if s.Lo > o.Seq && !s.Empty() {
			return it.SeekGE(appendPostingKey(nil, v.network.ID, k, ledger.Ord{Seq: s.Lo}))
		}
	}
	return it.SeekGE(v.endOf(k))
}

// lookup walks the postings. In a prefix scan it jumps over places outside the range.
func (v *view) lookup(ctx context.Context, key ledger.Key, scan storage.Scan, f func(storage.Found) error) (err error) {
	net := v.network.ID
	prefix := appendPostingPrefix(nil, net, key.Kind, key.Val)
	lo, hi := prefix, after(prefix)
	if !scan.Prefix {
		lo = appendPostingKey(nil, net, key, scan.Lo)
		hi = append(appendPostingKey(nil, net, key, scan.Hi), 0)
	}
	if a := scan.After; a != nil {
		switch at := appendPostingKey(nil, net, ledger.Key{Kind: key.Kind, Val: a.Val}, a.Ord); {
		case scan.Reverse && bytes.Compare(at, hi) < 0:
			hi = at
		case !scan.Reverse && bytes.Compare(at, lo) >= 0:
			lo = append(at, 0)
		}
		if bytes.Compare(lo, hi) >= 0 {
			return ctx.Err()
		}
	}
	it, err := v.pr.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return v.d.readError(prefix, err)
	}
	defer func() { err = errors.Join(err, v.d.readError(prefix, it.Close())) }()
	first, next := it.First, it.Next
	if scan.Reverse {
		first, next = it.Last, it.Prev
	}
	n := 0
	for ok := first(); ok; n++ {
		if n&0xff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		k, o, err := splitPosting(it.Key()[2:])
		if err != nil {
			return v.d.badRow(it.Key(), err)
		}
		if o.Less(scan.Lo) || scan.Hi.Less(o) {
			ok = v.skip(it, k, o, scan)
			continue
		}
		if !v.has(o.Seq) {
			ok = next()
			continue
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return v.d.readError(it.Key(), err)
		}
		role, amount, err := decodePostingValue(val)
		if err != nil {
			return v.d.badRow(it.Key(), err)
		}
		if err := f(storage.Found{Key: k, Ord: o, Role: role, Value: amount}); err != nil {
			return err
		}
		ok = next()
	}
	if err := it.Error(); err != nil {
		return v.d.readError(prefix, err)
	}
	return ctx.Err()
}

// skip jumps from a place outside the range to the next that can be inside.
func (v *view) skip(it *pebble.Iterator, k ledger.Key, o ledger.Ord, scan storage.Scan) bool {
	at := func(o ledger.Ord) []byte { return appendPostingKey(nil, v.network.ID, k, o) }
	switch before := o.Less(scan.Lo); {
	case before && !scan.Reverse:
		return it.SeekGE(at(scan.Lo))
	case before:
		return it.SeekLT(at(ledger.Ord{}))
	case !scan.Reverse:
		return it.SeekGE(v.endOf(k))
	}
	return it.SeekLT(append(at(scan.Hi), 0))
}
