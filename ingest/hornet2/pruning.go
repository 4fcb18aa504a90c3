package hornet2

import (
	"sync/atomic"
	"time"
)

// infoAge is how old a pruning index may be to tell pruned from unknown.
const infoAge = time.Second

// pruning remembers what a node said that it has pruned: it answers the same about what it never had. It is safe for
// concurrent use.
type pruning struct {
	index atomic.Uint64 // newest seen
	asked atomic.Int64  // when, Unix ns
}

// saw takes what the node says now.
func (p *pruning) saw(index uint64) {
	p.index.Store(index)
	p.asked.Store(time.Now().UnixNano())
}

// has tells whether unit seq is pruned. ask has the node say its index, and is called at most once a second: the index
// only ever rises.
func (p *pruning) has(seq uint64, ask func() error) bool {
	if seq <= p.index.Load() {
		return true
	}
	if time.Since(time.Unix(0, p.asked.Load())) > infoAge && ask() != nil {
		return false
	}
	return seq <= p.index.Load()
}
