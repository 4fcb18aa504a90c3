package ingest

import (
	"context"
	"sync"

	"permanode/ledger"
	"permanode/storage"
)

// maxRecent bounds how many ids of committed records are remembered: parents mostly lie a few units
// back, and an id found here costs no look into the store.
const maxRecent = 200_000

// overlay is store and pipeline seen as one: records walked and state sealed, committed or not.
// It is safe for concurrent use.
type overlay struct {
	store storage.Reader
	net   ledger.NetID

	mu        sync.RWMutex
	ids       map[ledger.ID]uint64 // record -> unit
	units     []unitIDs            // in order of seq, for forgetting
	state     map[string]stateAt
	committed uint64
}

type unitIDs struct {
	seq uint64
	ids []ledger.ID
}

type stateAt struct {
	val []byte
	seq uint64
}

func newOverlay(store storage.Reader, net ledger.NetID) *overlay {
	return &overlay{store: store, net: net, ids: map[ledger.ID]uint64{}, state: map[string]stateAt{}}
}

// walked adds the records of a closed cone, and the state that its head gives.
func (o *overlay) walked(seq uint64, members []ledger.Identified, head []ledger.Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := unitIDs{seq: seq, ids: make([]ledger.ID, len(members))}
	for i := range members {
		u.ids[i] = members[i].ID
		o.ids[members[i].ID] = seq
	}
	o.units = append(o.units, u)
	for _, ch := range head {
		o.state[string(ch.Key)] = stateAt{ch.Val, seq}
	}
}

// sealed adds the state after a cone.
func (o *overlay) sealed(c *ledger.Cone) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, ch := range c.Changes {
		o.state[string(ch.Key)] = stateAt{ch.Val, c.Unit.Seq}
	}
}

// commit forgets the state up to seq, which the store now has, and the oldest ids.
func (o *overlay) commit(cones []*ledger.Cone) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.committed = cones[len(cones)-1].Unit.Seq
	for _, c := range cones {
		for _, ch := range c.Changes {
			if s, ok := o.state[string(ch.Key)]; ok && s.seq <= o.committed {
				delete(o.state, string(ch.Key))
			}
		}
	}
	for len(o.ids) > maxRecent && len(o.units) > 0 && o.units[0].seq <= o.committed {
		for _, id := range o.units[0].ids {
			delete(o.ids, id)
		}
		o.units = o.units[1:]
	}
}

// reset forgets everything that is not committed up to seq.
func (o *overlay) reset(seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.committed = seq
	clear(o.state)
	keep := o.units[:0]
	for _, u := range o.units {
		if u.seq <= seq {
			keep = append(keep, u)
			continue
		}
		for _, id := range u.ids {
			delete(o.ids, id)
		}
	}
	o.units = keep
}

// known returns [ledger.Start].Known for the unit seq.
func (o *overlay) known(seq uint64) func(context.Context, []ledger.ID) ([]bool, error) {
	return func(ctx context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids))
		o.mu.RLock()
		for i, id := range ids {
			if at, ok := o.ids[id]; ok && at < seq {
				out[i] = true
			}
		}
		o.mu.RUnlock()
		if seq == 0 {
			return out, nil
		}
		scan := storage.Scan{Hi: ledger.Ord{Seq: seq - 1, Pos: ledger.UnitPos}}
		for i, id := range ids {
			if out[i] {
				continue
			}
			for _, err := range o.store.Lookup(ctx, o.net, ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, scan) {
				if err != nil {
					return nil, err
				}
				out[i] = true
				break
			}
		}
		return out, nil
	}
}

// read returns [ledger.Start].State as sealed so far.
func (o *overlay) read(ctx context.Context, keys [][]byte) ([][]byte, error) {
	out := make([][]byte, len(keys))
	var ask [][]byte
	var at []int
	o.mu.RLock()
	for i, k := range keys {
		if s, ok := o.state[string(k)]; ok {
			out[i] = s.val
		} else {
			ask, at = append(ask, k), append(at, i)
		}
	}
	o.mu.RUnlock()
	if len(ask) == 0 {
		return out, nil
	}
	// A commit that lands between both looks moved the value into the store: it is found there.
	vals, err := o.store.State(ctx, o.net, ask)
	if err != nil {
		return nil, err
	}
	for i, v := range vals {
		out[at[i]] = v
	}
	return out, nil
}
