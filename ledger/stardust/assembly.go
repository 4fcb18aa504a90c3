package stardust

import (
	"context"
	"fmt"

	"permanode/ledger"
)

// assembly gathers the cone of one milestone: it walks from the milestone's parents to what earlier
// milestones confirmed, in any order in which bytes come. Its memory is a small multiple of the bytes
// that it was given, however large the cone claims to be.
type assembly struct {
	m     *Milestone
	unit  ledger.Unit
	at    ledger.Start
	rules *Rules

	place   map[Hash]int32 // of every id met: in nodes, or one of the marks below
	nodes   []node         // blocks of the cone as they came
	fresh   []Hash         // met, and not yet looked up
	missing []Hash         // asked for; may hold some that have come since
	wanted  int            // how many have place == wantedMark

	entries []Hash // solid entry points met
	probes  bool   // they were asked for: one may be the block of the milestone before
	closed  bool
	order   []int32 // nodes in white-flag order, once closed
}

// The marks of ids that are no node.
const (
	freshMark   int32 = -1 - iota
	wantedMark        // its bytes are missing
	outsideMark       // confirmed earlier, or an entry point: the walk ends here
)

// node is one block of the cone.
type node struct {
	ledger.Identified
	leaf bool // carries the milestone before: its parents were all confirmed by that one
}

// hashOf returns an id of 32 bytes as a hash.
func hashOf(id ledger.ID) (h Hash) {
	var b [ledger.MaxIDLen]byte
	copy(h[:], id.Append(b[:0]))
	return h
}

func newAssembly(m *Milestone, u ledger.Unit, at ledger.Start, rules *Rules) *assembly {
	a := &assembly{m: m, unit: u, at: at, rules: rules, place: make(map[Hash]int32)}
	a.place[Hash{}] = outsideMark // the genesis block
	for _, p := range m.Parents {
		a.meet(p)
	}
	return a
}

// Unit returns the milestone.
func (a *assembly) Unit() ledger.Unit { return a.unit }

// HeadChanges returns nil: keys are the trust file's, parameters are read when a cone is sealed.
func (a *assembly) HeadChanges() []ledger.Change { return nil }

// meet notes an id that a block of the cone names.
func (a *assembly) meet(id Hash) {
	if _, ok := a.place[id]; !ok {
		a.place[id] = freshMark
		a.fresh = append(a.fresh, id)
	}
}

// Want looks up what was met since the last call and returns what is missing.
func (a *assembly) Want(ctx context.Context, most int) ([]ledger.ID, error) {
	if err := a.lookUp(ctx); err != nil {
		return nil, err
	}
	if a.wanted == 0 {
		a.probe()
	}
	keep, out := a.missing[:0], make([]ledger.ID, 0, min(most, a.wanted))
	for _, id := range a.missing {
		if a.place[id] != wantedMark {
			continue
		}
		keep = append(keep, id)
		if len(out) < most {
			out = append(out, ledger.NewID(id[:]))
		}
	}
	a.missing = keep
	if a.wanted == 0 && !a.closed {
		a.closed = true
		a.walk()
	}
	return out, nil
}

// lookUp sorts fresh ids into those that are missing and those outside of the cone.
func (a *assembly) lookUp(ctx context.Context) error {
	ask := a.fresh[:0]
	for _, id := range a.fresh {
		if a.place[id] == freshMark { // else it was declared an edge meanwhile
			ask = append(ask, id)
		}
	}
	a.fresh = nil
	if len(ask) == 0 {
		return nil
	}
	known, err := a.known(ctx, ask)
	if err != nil {
		a.fresh = ask
		return err
	}
	for i, id := range ask {
		if known[i] {
			a.place[id] = outsideMark
			continue
		}
		a.place[id] = wantedMark
		a.wanted++
		a.missing = append(a.missing, id)
	}
	return nil
}

// known reports which ids lie outside of the cone: records of earlier units and entry points.
func (a *assembly) known(ctx context.Context, ask []Hash) ([]bool, error) {
	ids := make([]ledger.ID, len(ask))
	for i := range ask {
		ids[i] = ledger.NewID(ask[i][:])
	}
	known, err := a.at.Known(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("look up %d parents in the cone of milestone %d: %w", len(ids), a.m.Index, err)
	}
	if !a.at.Held {
		return known, nil
	}
	var keys [][]byte
	var at []int
	for i := range ask {
		if !known[i] {
			keys, at = append(keys, entryKey(ask[i][:])), append(at, i)
		}
	}
	if len(keys) == 0 {
		return known, nil
	}
	rows, err := a.at.State(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("look up entry points for milestone %d: %w", a.m.Index, err)
	}
	for k, i := range at {
		if rows[k] != nil {
			known[i] = true
			a.entries = append(a.entries, ask[i])
		}
	}
	return known, nil
}

// probe makes entry points wanted where the block of the milestone before must be one of them: a
// snapshot lists that block, although it belongs to the first cone behind the snapshot, and where the
// file does not hold the milestone nobody knows which one it is. As soon as it comes the others are no
// longer wanted: sources need not have them.
func (a *assembly) probe() {
	if a.probes || a.at.Prev != nil || len(a.entries) == 0 || a.m.Previous == (Hash{}) || a.hasPrevious() {
		return
	}
	a.probes = true
	for _, id := range a.entries {
		a.place[id] = wantedMark
		a.wanted++
		a.missing = append(a.missing, id)
	}
}

func (a *assembly) hasPrevious() bool {
	for i := range a.nodes {
		if a.nodes[i].leaf {
			return true
		}
	}
	return false
}

// Put takes blocks that were wanted.
func (a *assembly) Put(ids ...ledger.Identified) error {
	var mismatch error
	for _, id := range ids {
		var h Hash
		if id.Err != nil {
			h = H(id.Raw) // even what cannot be identified may be what was asked for
		} else {
			h = hashOf(id.ID)
		}
		place, met := a.place[h]
		switch {
		case met && place >= 0:
			continue // again
		case place != wantedMark:
			if mismatch == nil {
				mismatch = &ledger.Mismatch{Got: ledger.NewID(h[:])}
			}
			continue
		case id.Err != nil:
			return fmt.Errorf("block %x in the cone of milestone %d: %w", h, a.m.Index, id.Err)
		case len(a.nodes) == ledger.UnitPos:
			return &ledger.Forged{Seq: a.unit.Seq, Code: "cone.size", Why: fmt.Sprintf("more than %d blocks", len(a.nodes))}
		}
		a.take(h, id)
	}
	return mismatch
}

func (a *assembly) take(h Hash, id ledger.Identified) {
	a.wanted--
	n := node{Identified: id, leaf: carries(id, a.m.Previous)}
	if a.probes && !n.leaf {
		a.place[h] = outsideMark // an entry point that is what it seemed to be
		return
	}
	a.place[h] = int32(len(a.nodes))
	a.nodes = append(a.nodes, n)
	if n.leaf {
		if a.probes {
			a.dropProbes()
		}
		return
	}
	for _, p := range id.Parents {
		a.meet(hashOf(p))
	}
}

// dropProbes ends the search for the block of the milestone before.
func (a *assembly) dropProbes() {
	for _, id := range a.entries {
		if a.place[id] == wantedMark {
			a.place[id] = outsideMark
			a.wanted--
		}
	}
}

// carries reports whether a block's payload is the milestone with that id.
func carries(id ledger.Identified, milestone Hash) bool {
	at := 2 + 32*len(id.Parents)
	if len(id.Raw) < at+8+8 || le.Uint32(id.Raw[at+4:]) != TypeMilestone {
		return false
	}
	m, err := ParseMilestone(id.Raw[at+4 : len(id.Raw)-8])
	return err == nil && m.ID == milestone
}

// Edge declares ids to be confirmed by earlier units.
func (a *assembly) Edge(ids ...ledger.ID) {
	for _, id := range ids {
		h := hashOf(id)
		if place, ok := a.place[h]; ok && place == wantedMark {
			a.wanted--
		} else if place >= 0 && ok {
			continue // its bytes are here: nobody needs a word about it
		}
		a.place[h] = outsideMark
	}
}

// walk finds the white-flag order (TIP-2): depth first from the milestone's parents, each block behind
// all of its parents. It keeps its own stack: chains are as long as cones.
func (a *assembly) walk() {
	type frame struct{ node, next int32 }
	taken := make([]bool, len(a.nodes))
	a.order = make([]int32, 0, len(a.nodes))
	var stack []frame
	push := func(id Hash) bool {
		n, met := a.place[id]
		if !met || n < 0 || taken[n] {
			return false
		}
		taken[n] = true // on the stack: no block is its own ancestor, so nobody meets it before it is done
		stack = append(stack, frame{node: n})
		return true
	}
	for _, p := range a.m.Parents {
		push(p)
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			n := &a.nodes[top.node]
			deeper := false
			for int(top.next) < len(n.Parents) && !deeper {
				p := n.Parents[top.next]
				top.next++
				deeper = push(hashOf(p))
			}
			if deeper {
				continue
			}
			a.order = append(a.order, top.node)
			stack = stack[:len(stack)-1]
		}
	}
}

// Members returns the cone in white-flag order, nil until it is closed.
func (a *assembly) Members() []ledger.Identified {
	if !a.closed {
		return nil
	}
	out := make([]ledger.Identified, len(a.order))
	for i, n := range a.order {
		out[i] = a.nodes[n].Identified
	}
	return out
}
