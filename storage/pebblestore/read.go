package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// Networks returns all networks, by the order of their creation.
func (d *DB) Networks(ctx context.Context) ([]ledger.Network, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	var out []ledger.Network
	for _, n := range d.nets {
		out = append(out, n.state.Load().network)
	}
	slices.SortFunc(out, func(a, b ledger.Network) int { return int(a.ID) - int(b.ID) })
	return out, nil
}

// Coverage returns spans and gaps, oldest first.
func (d *DB) Coverage(ctx context.Context, net ledger.NetID) (storage.Coverage, error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return storage.Coverage{}, err
	}
	defer v.close()
	return v.coverage(), nil
}

// Changed returns a channel that is closed at the next commit, note or the end of the store. For a network
// that is not there it is closed already.
func (d *DB) Changed(net ledger.NetID) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.nets[net]
	if n == nil || d.closed {
		c := make(chan struct{})
		close(c)
		return c
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// Unit returns a unit, its id computed again, and its manifest.
func (d *DB) Unit(ctx context.Context, net ledger.NetID, seq uint64) (ledger.Unit, []storage.Digest, error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return ledger.Unit{}, nil, err
	}
	defer v.close()
	u, err := v.unit(seq)
	if err != nil {
		return ledger.Unit{}, nil, err
	}
	m, err := v.manifest(seq)
	if err == nil {
		err = v.checkList(&u.Unit, m)
	}
	if err != nil {
		return ledger.Unit{}, nil, err
	}
	return u.Unit, m, nil
}

// errMissing says why a row that must be there is damage.
var errMissing = errors.New("the row is missing although its unit is committed")

func (v *view) notFound(what string) error {
	return fmt.Errorf("%s of %s: %w", what, v.network.Name, storage.ErrNotFound)
}

func (v *view) codec() (ledger.Codec, error) {
	if v.d.opts.Codec != nil {
		if c, ok := v.d.opts.Codec(v.network.Era); ok {
			return c, nil
		}
	}
	return nil, fmt.Errorf("network %s: no codec for era %q in this program", v.network.Name, v.network.Era)
}

func (v *view) unit(seq uint64) (u unitRow, err error) {
	if !v.has(seq) {
		return u, v.notFound(fmt.Sprintf("unit %d", seq))
	}
	key := keySeq(tabUnit, v.network.ID, seq)
	val, err := v.get(key)
	if err != nil {
		return u, v.lost(key, err)
	}
	if u, err = decodeUnit(key, val); err != nil {
		return u, v.d.badRow(key, err)
	}
	codec, err := v.codec()
	if err != nil {
		return u, err
	}
	got, err := codec.Unit(codec.Head(u.Unit))
	switch {
	case err != nil:
		return u, v.d.badRow(key, err)
	case got.ID != u.ID || got.Seq != seq:
		return u, &storage.CorruptError{Ord: ledger.Ord{Seq: seq, Pos: ledger.UnitPos}, ID: u.ID, Got: got.ID, Key: keyName(key)}
	}
	return u, nil
}

// Record returns the record at ord, its bytes hashed again.
func (d *DB) Record(ctx context.Context, net ledger.NetID, ord ledger.Ord) (ledger.Record, error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return ledger.Record{}, err
	}
	defer v.close()
	if !ord.Valid() || !v.has(ord.Seq) {
		return ledger.Record{}, v.notFound("record " + ord.String())
	}
	key := appendRecordKey(nil, net, ord)
	val, err := v.get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		u, err := v.unit(ord.Seq)
		if err == nil && uint64(ord.Pos) < u.records {
			err = v.lost(key, pebble.ErrNotFound)
		}
		if err == nil {
			err = v.notFound("record " + ord.String())
		}
		return ledger.Record{}, err
	}
	if err != nil {
		return ledger.Record{}, err
	}
	codec, err := v.codec()
	if err != nil {
		return ledger.Record{}, err
	}
	rec, err := d.decodeRecord(codec, key, ord, val)
	if err == nil {
		err = (&parts{v: v}).check(&rec, key)
	}
	if err != nil {
		return ledger.Record{}, err
	}
	return rec, nil
}

// decodeRecord reads a record's row and hashes its bytes.
func (d *DB) decodeRecord(codec ledger.Codec, key []byte, ord ledger.Ord, val []byte) (ledger.Record, error) {
	rec, err := decodeRecord(ord, val)
	if err != nil {
		return ledger.Record{}, d.badRow(key, err)
	}
	got, err := codec.ID(&rec)
	switch {
	case err != nil:
		return ledger.Record{}, d.badRow(key, err)
	case got != rec.ID:
		return ledger.Record{}, &storage.CorruptError{Ord: ord, ID: rec.ID, Got: got, Key: keyName(key)}
	}
	return rec, nil
}

// Cones returns the committed cones of lo..hi in order. If a unit in between is not committed it fails with
// ErrIncomplete before the first.
func (d *DB) Cones(ctx context.Context, net ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		v, err := d.begin(ctx, net)
		if err != nil {
			yield(nil, err)
			return
		}
		defer v.close()
		cov := v.coverage()
		if set := cov.Set(); !set.Covers(lo, hi) {
			yield(nil, fmt.Errorf("units %d to %d of %s: %w: only some of them are in the archive", lo, hi, v.network.Name, storage.ErrIncomplete))
			return
		}
		if hi < lo {
			return
		}
		err = v.cones(ctx, lo, hi, func(c *ledger.Cone) error {
			if !yield(c, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(nil, err)
		}
	}
}

func (v *view) cones(ctx context.Context, lo, hi uint64, f func(*ledger.Cone) error) (err error) {
	codec, err := v.codec()
	if err != nil {
		return err
	}
	first := appendRecordKey(nil, v.network.ID, ledger.Ord{Seq: lo})
	it, err := v.pr.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: first,
		UpperBound: after(appendRecordKey(nil, v.network.ID, ledger.Ord{Seq: hi, Pos: ledger.UnitPos})),
	})
	if err != nil {
		return v.d.readError(first, err)
	}
	defer func() { err = errors.Join(err, v.d.readError(first, it.Close())) }() // whatever becomes of who consumes
	it.First()
	for seq := lo; ; seq++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := v.cone(codec, it, seq)
		if err != nil {
			return err
		}
		if err := f(c); err != nil || seq == hi {
			return err
		}
	}
}

// cone reads one unit; it stands at its first record, or at whatever follows if there is none.
func (v *view) cone(codec ledger.Codec, it *pebble.Iterator, seq uint64) (*ledger.Cone, error) {
	u, err := v.unit(seq)
	if err != nil {
		return nil, err
	}
	c := &ledger.Cone{Net: v.network.ID, Unit: u.Unit, Moves: u.moves, Posts: u.posts}
	c.Records = make([]ledger.Record, 0, min(u.records, 1<<16))
	whole, room := &parts{v: v}, arena{}
	for pos := range u.records {
		key := appendRecordKey(nil, v.network.ID, ledger.Ord{Seq: seq, Pos: uint32(pos)})
		if !it.Valid() {
			if err := it.Error(); err != nil {
				return nil, v.d.readError(key, err)
			}
		}
		if !it.Valid() || !bytes.Equal(it.Key(), key) {
			return nil, v.lost(key, pebble.ErrNotFound)
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return nil, v.d.readError(key, err)
		}
		rec, err := v.d.decodeRecord(codec, key, ledger.OrdFrom(key[2:]), room.clone(val, u.bytes))
		if err == nil {
			err = whole.check(&rec, key)
		}
		if err != nil {
			return nil, err
		}
		c.Records = append(c.Records, rec)
		it.Next()
	}
	if got := recordBytes(c); got != u.bytes {
		return nil, v.d.badRow(keySeq(tabUnit, v.network.ID, seq), fmt.Errorf("it counts %d bytes of records, they have %d", u.bytes, got))
	}
	if it.Valid() && ledger.OrdFrom(it.Key()[2:]).Seq <= seq {
		return nil, v.d.badRow(bytes.Clone(it.Key()), errors.New("a record that its unit does not count"))
	}
	return c, nil
}

// arena holds the rows of a cone: its records live as long as each other, and one piece of memory for several of them
// saves an allocation for each.
type arena struct{ free []byte }

// clone returns a copy of b. more is how much is to come, about.
func (a *arena) clone(b []byte, more uint64) []byte {
	const most = 16 << 10
	if len(b) > len(a.free) {
		a.free = make([]byte, max(len(b), int(min(more, most))))
	}
	out := a.free[:len(b):len(b)]
	a.free = a.free[copy(out, b):]
	return out
}

// State returns the state as of the newest commit.
func (d *DB) State(ctx context.Context, net ledger.NetID, keys [][]byte) ([][]byte, error) {
	v, err := d.begin(ctx, net)
	if err != nil {
		return nil, err
	}
	defer v.close()
	out := make([][]byte, len(keys))
	if len(v.spans) == 0 { // rows of an opening that did not end
		return out, nil
	}
	var buf []byte
	for i, k := range keys {
		if i&0xff == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		buf = appendStateKey(buf[:0], net, k)
		val, err := v.get(buf)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[i] = val
	}
	return out, nil
}

// Notes returns all notes, by unit.
func (d *DB) Notes(ctx context.Context, net ledger.NetID) iter.Seq2[storage.Note, error] {
	return func(yield func(storage.Note, error) bool) {
		v, err := d.begin(ctx, net)
		if err != nil {
			yield(storage.Note{}, err)
			return
		}
		defer v.close()
		prefix := keyNet(tabNote, net)
		err = d.eachIn(ctx, v.pr, prefix, after(prefix), func(key, val []byte) error {
			n, err := decodeNote(net, key, val)
			if err != nil {
				return d.badRow(key, err)
			}
			if !yield(n, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(storage.Note{}, err)
		}
	}
}

// errStop ends a scan early.
var errStop = errors.New("stop")
