package query

import (
	"slices"
	"sync"
)

// turns lets a few of many work at once. Callers take turns: who has a thousand streams waits between two of his turns for
// one of everybody else who wants one, whoever came first.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting map[string][]*turn // by caller, who came first in front
	order   []string           // the callers of waiting; the next in front
}

// turn is the right to work, once may is closed.
type turn struct {
	who string
	may chan struct{}
}

func newTurns(n int) *turns { return &turns{free: n, waiting: map[string][]*turn{}} }

// ask queues for a turn. It must be given back, whether it came or not.
func (t *turns) ask(who string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := &turn{who, make(chan struct{})}
	if len(t.waiting[who]) == 0 {
		t.order = append(t.order, who)
	}
	t.waiting[who] = append(t.waiting[who], x)
	t.next()
	return x
}

// end gives a turn back.
func (t *turns) end(x *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.waiting[x.who]
	if i := slices.Index(mine, x); i >= 0 { // it did not come
		t.keep(x.who, slices.Delete(mine, i, i+1))
		return
	}
	t.free++
	t.next()
}

// next gives free turns away. t.mu is held.
func (t *turns) next() {
	for t.free > 0 && len(t.order) > 0 {
		who := t.order[0]
		t.order = t.order[1:]
		mine := t.waiting[who]
		t.free--
		close(mine[0].may)
		if len(mine) > 1 {
			t.order = append(t.order, who)
		}
		t.keep(who, slices.Delete(mine, 0, 1))
	}
}

// keep keeps those of a caller who wait still. t.mu is held.
func (t *turns) keep(who string, mine []*turn) {
	if len(mine) > 0 {
		t.waiting[who] = mine
		return
	}
	delete(t.waiting, who)
	if i := slices.Index(t.order, who); i >= 0 {
		t.order = slices.Delete(t.order, i, i+1)
	}
}
