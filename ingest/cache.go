package ingest

import (
	"sync"

	"permanode/ledger"
)

// byteCache holds raw records by id: what feeds handed over, what an interrupted walk had fetched, and
// what lies above a gap. It serves nobody but the walk. It is bounded in bytes, the oldest go first, and
// it is safe for concurrent use.
type byteCache struct {
	limit int64

	mu    sync.Mutex
	raws  map[ledger.ID]ledger.Identified
	order []ledger.ID // oldest first; may name ids that were taken
	size  int64
}

// entryCost is about what the maps cost an entry beside its bytes.
const entryCost = 256

func newByteCache(limit int64) *byteCache {
	return &byteCache{limit: limit, raws: map[ledger.ID]ledger.Identified{}}
}

// put adds records whose ids were computed from their bytes.
func (c *byteCache) put(recs ...ledger.Identified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range recs {
		if _, ok := c.raws[r.ID]; ok || r.Err != nil {
			continue
		}
		c.raws[r.ID] = r
		c.order = append(c.order, r.ID)
		c.size += int64(len(r.Raw)) + entryCost
	}
	for c.size > c.limit && len(c.order) > 0 {
		c.drop(c.order[0])
		c.order = c.order[1:]
	}
	if len(c.order) > 2*len(c.raws)+64 {
		c.compact()
	}
}

func (c *byteCache) drop(id ledger.ID) {
	if r, ok := c.raws[id]; ok {
		c.size -= int64(len(r.Raw)) + entryCost
		delete(c.raws, id)
	}
}

func (c *byteCache) compact() {
	keep := make([]ledger.ID, 0, len(c.raws))
	seen := make(map[ledger.ID]struct{}, len(c.raws))
	for _, id := range c.order {
		_, held := c.raws[id]
		if _, twice := seen[id]; held && !twice {
			seen[id] = struct{}{}
			keep = append(keep, id)
		}
	}
	c.order = keep
}

// get returns the records that are here; they stay until they are committed or pushed out.
func (c *byteCache) get(ids []ledger.ID) (found []ledger.Identified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		if r, ok := c.raws[id]; ok {
			found = append(found, r)
		}
	}
	return found
}

// forget drops records that are committed.
func (c *byteCache) forget(recs []ledger.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range recs {
		c.drop(recs[i].ID)
	}
}

// bytes returns how much is held.
func (c *byteCache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}
