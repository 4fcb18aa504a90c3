package pebblestore

import (
	"context"
	"errors"

	"permanode/ledger"
)

// The most of the units that one act of the catch-up reads: a commit waits for no more. A unit is read whole.
const (
	catchUpRecords = 1024
	catchUpUnits   = 4096
	catchUpBytes   = 4 << 20
)

// startCatchUp brings the blocks of a network up to date in the background: those of the units that the last process
// committed behind its last block, and of all units where none are there. The caller holds commitMu.
func (d *DB) startCatchUp(n *network) {
	if n.built.running || d.ctx.Err() != nil || !n.behind() {
		return
	}
	n.built.running = true
	d.background.Go(func() {
		for more := true; more; {
			if err := d.room(d.ctx); err != nil {
				more = false
			}
			d.commitMu.Lock()
			more = more && d.ctx.Err() == nil && d.stopError() == nil && d.catchUp(n)
			n.built.running = more
			d.commitMu.Unlock()
		}
	})
}

// behind reports whether units are committed whose blocks are not there.
func (n *network) behind() bool {
	if n.built.failed {
		return false
	}
	st := n.state.Load()
	for i := range st.spans {
		if s := &st.spans[i]; !s.Empty() && n.built.nextOf(s) <= s.Hi {
			return true
		}
	}
	return false
}

// catchUp builds the blocks of the next units of the first span that lacks some, and reports whether more are to be built.
func (d *DB) catchUp(n *network) bool {
	st := n.state.Load()
	for i := range st.spans {
		s := &st.spans[i]
		from := n.built.nextOf(s)
		if s.Empty() || from > s.Hi {
			continue
		}
		next, list, units, err := d.storedEnders(st.network.ID, from, s.Hi)
		if err != nil {
			n.built.failed = true
			d.opts.Log.Error("totals stay behind: counts and balances are exact, but slow",
				"network", st.network.Name, "unit", from, "err", firstLine(err), "hint", "permanode check --full lists all damage")
			return false
		}
		d.advance(n, s, next, list, units)
		return n.behind()
	}
	return false
}

// storedEnders reads the units from lo on, some of them or up to hi, and returns the one that follows.
func (d *DB) storedEnders(net ledger.NetID, lo, hi uint64) (next uint64, list []ender, units []strideRow, err error) {
	records, size := 0, 0
	for next = lo; next <= hi && records < catchUpRecords && size < catchUpBytes && len(units) < catchUpUnits; next++ {
		u, err := d.unitRow(d.db, net, next)
		if err != nil {
			return 0, nil, nil, err
		}
		units = append(units, u.stride())
		list = enders(list, u.posts, ledger.Ord{Seq: next, Pos: ledger.UnitPos})
		first := appendRecordKey(nil, net, ledger.Ord{Seq: next})
		err = d.eachIn(context.Background(), d.db, first, after(appendRecordKey(nil, net, ledger.Ord{Seq: next, Pos: ledger.UnitPos})), func(key, val []byte) error {
			r, err := decodeRecord(ledger.OrdFrom(key[2:]), val)
			if err != nil {
				return d.badRow(key, err)
			}
			list = enders(list, r.Posts, r.Ord)
			records++
			size += len(val)
			return nil
		})
		if err != nil {
			return 0, nil, nil, err
		}
	}
	return next, list, units, nil
}

// repairBlocks builds again what a unit whose postings changed is part of: the blocks that end in it, and the next of each
// level behind it. b holds its postings as they are now; touched are the keys of those before and now.
func (w *writer) repairBlocks(b *batch, c *ledger.Cone, touched map[ledger.Key]bool) error {
	s := w.n.state.Load().spanOf(c.Unit.Seq)
	if w.n.built.stale || w.n.built.nextOf(s) <= c.Unit.Seq {
		return nil // they are built from the new postings
	}
	if w.n.built.failed {
		return errors.New("totals of postings could not be read, so they cannot be kept in step: permanode check --full lists all damage")
	}
	ends := map[ledger.Key][]ender{}
	list, _ := conesEnders([]*ledger.Cone{c})
	for _, e := range list {
		ends[e.key] = append(ends[e.key], e)
	}
	key := keyBuilt(w.net, s.Lo)
	b.set(key, encodeBuilt(key, w.n.built.nextOf(s), layout()))
	if err := w.repairStrides(b.b, s, c.Unit.Seq); err != nil {
		return err
	}
	for k := range touched {
		if inBlocks(k.Kind) {
			if err := w.repairKey(b, s, c.Unit.Seq, k, ends[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) repairKey(b *batch, s *spanRow, seq uint64, k ledger.Key, in []ender) error {
	d := w.d
	first, last := ledger.Ord{Seq: seq}, ledger.Ord{Seq: seq, Pos: ledger.UnitPos}
	for level := 1; level <= len(blockBits); level++ {
		_ = b.b.DeleteRange(appendBlockKey(nil, w.net, k, level, first), append(appendBlockKey(nil, w.net, k, level, last), 0), nil)
		var list []ender
		for _, e := range in {
			if e.levels >= level {
				list = append(list, e)
			}
		}
		next, err := w.blockBehind(b, k, level, last)
		if err != nil {
			return err
		}
		if next != nil && next.Seq <= s.Hi {
			list = append(list, ender{k, *next, level})
		}
		if err := d.levelBlocks(b.b, w.net, s.Lo, level, list); err != nil {
			return err
		}
	}
	return nil
}

// blockBehind returns where the first block of a level ends behind o; nil if none does.
func (w *writer) blockBehind(b *batch, k ledger.Key, level int, o ledger.Ord) (next *ledger.Ord, err error) {
	r, err := w.d.openRun(b.b, w.net, level)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.key = r.at(nil, k, behind(o))
	if r.it.SeekGE(r.key) && sameButOrd(r.it.Key(), r.key) {
		at := ledger.OrdFrom(r.it.Key()[len(r.key)-ledger.OrdLen:])
		next = &at
	}
	return next, w.d.readError(r.key, r.it.Error())
}
