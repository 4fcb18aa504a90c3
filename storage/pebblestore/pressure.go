package pebblestore

import (
	"context"
	"sync/atomic"
)

// The most that a writer piles up before it waits for flushes and compactions. Memtables are measured in
// full ones: Pebble begins with small ones and does not flush before half of a full one is there.
const (
	maxMemTables = 4
	maxSublevels = 20
)

// pressure is what Pebble's events say of work that waits. Pebble's own stalls are off: they cannot be
// left when the disk fails.
type pressure struct {
	dirty atomic.Bool   // something changed since the last look
	wake  chan struct{} // holds one signal
}

// changed is called by Pebble's events.
func (p *pressure) changed() {
	p.dirty.Store(true)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// room waits until flushes and compactions have caught up, writing stops, or ctx ends.
func (d *DB) room(ctx context.Context) error {
	for d.pressure.dirty.Swap(false) {
		m := d.db.Metrics()
		if m.MemTable.Size <= maxMemTables*d.opts.memTable() && m.Levels[0].Sublevels <= maxSublevels {
			break
		}
		d.pressure.dirty.Store(true)
		select {
		case <-d.pressure.wake:
		case <-d.gate.stopped:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.stopError(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// memTable returns the size of a full memtable.
func (o *Options) memTable() uint64 { return uint64(min(max(o.Memory/16, 1<<20), 64<<20)) }
