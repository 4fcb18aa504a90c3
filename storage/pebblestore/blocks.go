package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"permanode/ledger"
	"permanode/storage"
)

// Blocks make counts and sums cheap. A block is a run of consecutive postings of one key in one span: it ends at a
// posting that the hash of key and place picks, one in 1,024, and begins behind the block before it, or with
// the span. Its row holds count and sum. Blocks of the next level join those of the one below in the same way. So
// blocks are a pure function of the postings, and their number follows the number of postings, however these lie
// over the units: all in a few, or one in a million.
//
// They are written behind the commit, without a sync: a reader works with none, some or all of them, since each row says
// what it covers.

// blockBits are the zero bits at the end of its hash with which a posting ends a block of level 1, 2, …; tests make
// them fewer. See docs/decisions/0013.
var blockBits = []int{10, 15, 20, 25, 30}

// layout is what decides where blocks end. Rows of another layout are built again.
func layout() []byte {
	b := []byte{2, byte(strideShift)}
	for _, n := range blockBits {
		b = append(b, byte(n))
	}
	return b
}

// inBlocks tells the kinds whose lists grow long. Those left out have a posting or two a key, or as many as a record
// has children.
func inBlocks(k ledger.KeyKind) bool {
	switch k {
	case 0, ledger.KeyRecord, ledger.KeyTransaction, ledger.KeyParent, ledger.KeyOutput, ledger.KeyUnit, ledger.KeySuccessor, ledger.KeyExpiry:
		return false
	}
	return true
}

func hashKey(k ledger.Key) uint64 {
	return xxhash.Sum64String(k.Val) + uint64(k.Kind)*0x9e3779b97f4a7c15
}

// levelsAt returns how many levels of blocks end at the posting at o of the key with hash h.
func levelsAt(h uint64, o ledger.Ord) (n int) {
	x := h ^ (o.Seq<<24|uint64(o.Pos))*0x9e3779b97f4a7c15
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	zeros := bits.TrailingZeros64(x ^ x>>33)
	for n < len(blockBits) && zeros >= blockBits[n] {
		n++
	}
	return n
}

// behind is the place after o.
func behind(o ledger.Ord) ledger.Ord {
	if o.Pos >= ledger.UnitPos {
		return ledger.Ord{Seq: o.Seq + 1}
	}
	o.Pos++
	return o
}

// ender is a posting at which blocks of the levels up to levels end.
type ender struct {
	key    ledger.Key
	ord    ledger.Ord
	levels int
}

// enders appends those among the postings at o.
func enders(list []ender, posts []ledger.Posting, o ledger.Ord) []ender {
	for i := range posts {
		k := posts[i].Key
		if !inBlocks(k.Kind) {
			continue
		}
		if n := levelsAt(hashKey(k), o); n > 0 {
			list = append(list, ender{k, o, n})
		}
	}
	return list
}

func conesEnders(cones []*ledger.Cone) (list []ender, units []strideRow) {
	for _, c := range cones {
		for i := range c.Records {
			list = enders(list, c.Records[i].Posts, c.Records[i].Ord)
		}
		list = enders(list, c.Posts, ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos})
		units = append(units, coneStride(c))
	}
	return list, units
}

// built is how far a network's blocks go. It is guarded by DB.commitMu.
type built struct {
	next    map[uint64]uint64 // by a span's Lo: the first unit whose blocks and strides are not there
	open    map[uint64]openStride
	stale   bool // rows of another layout are there
	failed  bool // they could not be read; the next opening tries again
	running bool // a goroutine brings them up to date
}

// nextOf returns the first unit of a span whose blocks are not there.
func (b *built) nextOf(s *spanRow) uint64 {
	if next, ok := b.next[s.Lo]; ok {
		return next
	}
	return s.Lo
}

// loadBuilt reads how far blocks go. A marker that cannot be read counts as none: it is check's to name it.
func (d *DB) loadBuilt(net ledger.NetID) (b built, err error) {
	b.next, b.open = map[uint64]uint64{}, map[uint64]openStride{}
	prefix := []byte{tabBlock, byte(net), 0}
	err = d.each(context.Background(), prefix, func(key, val []byte) error {
		next, lay, err := decodeBuilt(key, val)
		if err != nil || len(key) != len(prefix)+8 || !bytes.Equal(lay, layout()) {
			b.stale = true
			return nil
		}
		lo, _ := seqOf(slices.Concat(key[:2], key[3:]))
		b.next[lo] = next
		return nil
	})
	if b.stale {
		b.next = map[uint64]uint64{}
	}
	if errors.Is(err, storage.ErrCorrupt) {
		b.failed, err = true, nil
	}
	return b, err
}

// addBlocks builds the blocks that end in cones that were just committed, if those before are there. A failure does not
// touch the commit: counts are read from the postings then.
func (w *writer) addBlocks(cones []*ledger.Cone) {
	st := w.n.state.Load()
	for len(cones) > 0 {
		n, s := 1, st.spanOf(cones[0].Unit.Seq)
		for n < len(cones) && s.Has(cones[n].Unit.Seq) {
			n++
		}
		if w.n.built.nextOf(s) == cones[0].Unit.Seq {
			list, units := conesEnders(cones[:n])
			w.d.advance(w.n, s, cones[n-1].Unit.Seq+1, list, units)
		}
		cones = cones[n:]
	}
}

// spanOf returns the span of a committed unit.
func (st *netState) spanOf(seq uint64) *spanRow {
	for i := range st.spans {
		if st.spans[i].Has(seq) {
			return &st.spans[i]
		}
	}
	return nil
}

// advance writes the blocks that end at list, the enders of the units of s from where blocks end to before next, and the
// strides that end with them. The caller holds commitMu.
func (d *DB) advance(n *network, s *spanRow, next uint64, list []ender, units []strideRow) {
	b := &n.built
	if b.failed {
		return
	}
	if err := d.addTotals(n, s, next, list, units); err != nil {
		b.failed = true
		if d.stopError() == nil {
			d.opts.Log.Error("totals stay behind: counts and balances are exact, but slow",
				"network", n.state.Load().network.Name, "unit", next, "err", firstLine(err), "hint", "permanode check --full lists all damage")
		}
		return
	}
	b.stale = false
	b.next[s.Lo] = next
}

func (d *DB) addTotals(n *network, s *spanRow, next uint64, list []ender, units []strideRow) error {
	net := n.state.Load().network.ID
	batch := d.db.NewIndexedBatch()
	if n.built.stale {
		for _, tab := range []byte{tabBlock, tabStride} {
			prefix := keyNet(tab, net)
			_ = batch.DeleteRange(prefix, after(prefix), nil)
		}
	}
	any, err := d.strides(batch, n, s, next, units)
	if err == nil {
		err = d.blocks(batch, net, s.Lo, list)
	}
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	if !any && len(list) == 0 && !n.built.stale { // the marker moves with the next row: what is read twice after a restart is little
		return batch.Close()
	}
	key := keyBuilt(net, s.Lo)
	_ = batch.Set(key, encodeBuilt(key, next, layout()), nil)
	return d.apply(batch, pebble.NoSync)
}

// blocks adds the blocks that end at list to b, an indexed batch.
func (d *DB) blocks(b *pebble.Batch, net ledger.NetID, lo uint64, list []ender) error {
	slices.SortFunc(list, func(a, b ender) int {
		if a.key.Kind != b.key.Kind {
			return int(a.key.Kind) - int(b.key.Kind)
		}
		if c := strings.Compare(a.key.Val, b.key.Val); c != 0 {
			return c
		}
		return a.ord.Compare(b.ord)
	})
	for level := 1; len(list) > 0; level++ {
		if err := d.levelBlocks(b, net, lo, level, list); err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(e ender) bool { return e.levels <= level })
	}
	return nil
}

// levelBlocks adds the blocks of one level that end at list, by key and place; those of the level below are there.
func (d *DB) levelBlocks(b *pebble.Batch, net ledger.NetID, lo uint64, level int, list []ender) (err error) {
	if len(list) == 0 {
		return nil
	}
	bounds := keyNet(tabBlock, net)
	rows, err := b.NewIter(&pebble.IterOptions{LowerBound: bounds, UpperBound: after(bounds)})
	if err != nil {
		return d.readError(bounds, err)
	}
	defer func() { err = errors.Join(err, d.readError(bounds, rows.Close())) }()
	below, err := d.openRun(b, net, level-1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, below.close()) }()
	var key, val []byte
	for i, e := range list {
		key = appendBlockKey(key[:0], net, e.key, level, e.ord)
		row := blockRow{lo: ledger.Ord{Seq: lo}}
		if i > 0 && list[i-1].key == e.key {
			row.lo = behind(list[i-1].ord)
		} else if prev, ok := blockBefore(rows, key); ok && prev.Seq >= lo {
			row.lo = behind(prev)
		}
		if err := rows.Error(); err != nil {
			return d.readError(key, err)
		}
		if err := below.add(e.key, row.lo, e.ord, &row); err != nil {
			return err
		}
		val = appendBlockRow(val[:0], &row)
		_ = b.Set(key, val, nil)
	}
	return nil
}

// blockBefore returns where the block of the same key and level before the one under key ends.
func blockBefore(rows *pebble.Iterator, key []byte) (ledger.Ord, bool) {
	n := len(key) - ledger.OrdLen
	if rows.SeekLT(key) && len(rows.Key()) == len(key) && bytes.Equal(rows.Key()[:n], key[:n]) {
		return ledger.OrdFrom(rows.Key()[n:]), true
	}
	return ledger.Ord{}, false
}

// run adds up what lies between two places of a key: postings for level 0, blocks of a level above.
type run struct {
	d     *DB
	net   ledger.NetID
	level int
	it    *pebble.Iterator
	key   []byte
	to    []byte
}

func (d *DB) openRun(r pebble.Reader, net ledger.NetID, level int) (*run, error) {
	tab := byte(tabBlock)
	if level == 0 {
		tab = tabPosting
	}
	bounds := keyNet(tab, net)
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: bounds, UpperBound: after(bounds)})
	return &run{d: d, net: net, level: level, it: it}, d.readError(bounds, err)
}

func (r *run) close() error { return r.d.readError(r.key, r.it.Close()) }

func (r *run) at(dst []byte, k ledger.Key, o ledger.Ord) []byte {
	if r.level == 0 {
		return appendPostingKey(dst, r.net, k, o)
	}
	return appendBlockKey(dst, r.net, k, r.level, o)
}

// add adds what lies between lo and hi, both included, to sum.
func (r *run) add(k ledger.Key, lo, hi ledger.Ord, sum *blockRow) error {
	r.key, r.to = r.at(r.key[:0], k, lo), r.at(r.to[:0], k, hi)
	it := r.it
	// what follows the last place is often the first of the next run
	if !it.Valid() || bytes.Compare(it.Key(), r.key) < 0 || !sameButOrd(it.Key(), r.key) {
		it.SeekGE(r.key)
	}
	for ; it.Valid() && bytes.Compare(it.Key(), r.to) <= 0; it.Next() {
		val, err := it.ValueAndErr()
		if err != nil {
			return r.d.readError(it.Key(), err)
		}
		part := blockRow{count: 1}
		if r.level == 0 {
			_, part.sum, err = decodePostingValue(val)
		} else {
			part, err = decodeBlockRow(val)
		}
		if err != nil {
			return r.d.badRow(bytes.Clone(it.Key()), err)
		}
		sum.count += part.count
		sum.sum = sum.sum.Add(part.sum)
	}
	return r.d.readError(r.key, it.Error())
}

func sameButOrd(a, b []byte) bool {
	return len(a) == len(b) && bytes.Equal(a[:len(a)-ledger.OrdLen], b[:len(b)-ledger.OrdLen])
}
