package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

const (
	wantMost   = 256 // records asked for at a time: 8 MiB of the largest ones
	walkRounds = 5   // how often sources are asked for what nobody gave
	roundPause = 25 * time.Millisecond
	// walkPatience bounds how long a walk goes on without a new record, however slow sources are.
	walkPatience = 10 * time.Second
)

// gathered is a closed cone: all bytes are here, nothing but the unit's signatures is proven.
type gathered struct {
	asm     ledger.Assembly
	unit    ledger.Unit
	members []ledger.Identified
	bytes   int64
	claims  *ledger.NodeClaims // nil where none are needed
	sayers  []*asked           // who made the claims
	edged   int                // records taken for earlier ones because nobody knows them
	unsaid  int                // records that nobody made a claim about
	from    *asked             // who gave the head
	cone    *asked             // who gave the cone's records, if one source gave it whole
}

// gather finds the head of unit seq, where it is not among found, and walks its cone. It returns a *problem if that cannot be had now.
func (c *Collector) gather(ctx context.Context, seq uint64, start ledger.Start, found []*variant) (*gathered, error) {
	v, err := c.chooseHead(ctx, seq, start, found)
	if err != nil {
		return nil, err
	}
	w := &walk{c: c, seq: seq, start: start, cone: gathered{asm: v.asm, unit: v.unit, from: v.from[0], bytes: int64(len(v.head))}}
	if w.byClaims = !start.Held && !start.Trust.States; w.byClaims {
		w.cone.claims = &ledger.NodeClaims{Records: map[ledger.ID]ledger.Claimed{}}
	}
	if err := w.whole(ctx); err != nil {
		return nil, err
	}
	if err := w.close(ctx); err != nil {
		return nil, err
	}
	w.cone.members = w.cone.asm.Members()
	if err := w.claimRest(ctx); err != nil {
		return nil, err
	}
	return &w.cone, nil
}

// walk is the state of one gathering. One goroutine.
type walk struct {
	c     *Collector
	seq   uint64
	start ledger.Start
	cone  gathered

	byClaims bool // what became of records, and where the lower edge lies, is claimed by nodes

	refused  error                           // the last answer that could not be used, and why
	tried    []*asked                        // gave a cone that was not true
	have     map[ledger.ID]ledger.Identified // of a source that gives whole cones
	haveFrom *asked
	left     []leftover         // of sources that were left before the cone was whole
	claimed  map[ledger.ID]bool // asked for claims
}

// whole takes the cone of the first source that can give one, if any. What is not part of the cone stays
// unused; what is missing is asked for record by record.
func (w *walk) whole(ctx context.Context) error {
	for _, s := range w.c.pool.ready() {
		s.mu.Lock()
		cannot := s.noCones
		s.mu.Unlock()
		if cannot || slices.Contains(w.tried, s) {
			continue
		}
		began := now()
		_, raws, err := s.Cone(ctx, w.seq)
		if errors.Is(err, ErrCannot) {
			s.mu.Lock()
			s.noCones = true
			s.mu.Unlock()
			continue
		}
		s.answer(ctx, err, now().Sub(began))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.refused = named(s.Name(), err)
			continue
		}
		w.have, w.haveFrom, w.cone.cone = make(map[ledger.ID]ledger.Identified, len(raws)), s, s
		for _, r := range w.c.codec.Identify(raws) {
			if w.have[r.ID] = r; r.Err != nil {
				w.refused = named(s.Name(), r.Err)
			}
		}
		return nil
	}
	return nil
}

// close asks for what is missing until the cone is closed.
func (w *walk) close(ctx context.Context) error {
	progress := now()
	for round := 0; ; {
		want, err := w.cone.asm.Want(ctx, wantMost)
		if err != nil {
			return err
		}
		if len(want) == 0 {
			w.reportExtra(true)
			return nil
		}
		got, err := w.find(ctx, want)
		if err != nil {
			return err
		}
		if len(got) > 0 {
			round, progress = 0, now()
			if err := w.put(ctx, got); err != nil {
				return err
			}
			continue
		}
		if got == nil { // some were declared edges: ask again what is wanted
			continue
		}
		if round++; round >= walkRounds || now().Sub(progress) > walkPatience || w.c.pool.pruned(w.seq) {
			if err := w.giveUp(want, round); err != nil {
				return err
			}
			continue
		}
		if err := w.c.pauseRound(ctx, round); err != nil {
			return err
		}
		if err := w.anotherCone(ctx); err != nil {
			return err
		}
	}
}

// anotherCone leaves a source that gave the cone without all of its records, and takes the cone of the next one.
func (w *walk) anotherCone(ctx context.Context) error {
	if w.haveFrom != nil {
		w.tried = append(w.tried, w.haveFrom)
		w.left = append(w.left, leftover{w.haveFrom, w.have})
	}
	w.have, w.haveFrom, w.cone.cone = nil, nil, nil
	return w.whole(ctx)
}

// giveUp declares what nobody gave an edge where that is possible: at the lower end of a span a node that
// has pruned what lies below can say nothing about it. The root refutes it if it is not so. Elsewhere it
// is a problem.
func (w *walk) giveUp(want []ledger.ID, rounds int) error {
	first := w.start.Prev == nil
	if !w.start.Trust.States && (first || !w.start.Held) {
		w.cone.edged += len(want)
		w.cone.asm.Edge(want...)
		return nil
	}
	w.reportExtra(false)
	err := fmt.Errorf("no source gave %d of its records in %d rounds (%s)", len(want), rounds, w.c.codec.FormatID(want[0]))
	if w.refused != nil {
		err = fmt.Errorf("%w; what came was refused: %w", err, w.refused)
	}
	return w.c.missing(w.seq, err)
}

// find returns wanted records from the nearest place that has any. A nil slice says that some ids were
// declared edges instead; an empty one that nobody has any.
func (w *walk) find(ctx context.Context, want []ledger.ID) ([]ledger.Identified, error) {
	var got []ledger.Identified
	for _, id := range want {
		if r, ok := w.have[id]; ok {
			got = append(got, r)
			delete(w.have, id)
		}
	}
	if len(got) > 0 {
		return got, nil
	}
	if w.byClaims {
		if edges, err := w.edges(ctx, want); err != nil || edges {
			return nil, err
		}
	}
	if got = w.c.cache.get(want); len(got) > 0 {
		return got, nil
	}
	return w.c.fetch(ctx, w.seq, want)
}

// put hands records to the assembly, and bounds the cone.
func (w *walk) put(ctx context.Context, got []ledger.Identified) error {
	for i := range got {
		w.cone.bytes += int64(len(got[i].Raw)) + entryCost
	}
	if w.cone.bytes > w.c.maxCone {
		return &problem{seq: w.seq, kind: problemTooLarge, err: fmt.Errorf("%w: more than %d bytes; give more memory", storage.ErrTooLarge, w.c.maxCone)}
	}
	err := w.cone.asm.Put(got...)
	var mismatch *ledger.Mismatch
	if errors.As(err, &mismatch) && w.haveFrom != nil {
		return w.otherCone(ctx, got, mismatch)
	}
	if err != nil && untrue(err) {
		return &problem{seq: w.seq, kind: problemForged, err: err}
	}
	return err
}

// otherCone refuses the cone of a source that gave the right records with wrong parts, and takes the next one's.
func (w *walk) otherCone(ctx context.Context, got []ledger.Identified, why *ledger.Mismatch) error {
	at := slices.IndexFunc(got, func(r ledger.Identified) bool { return r.ID == why.Got })
	w.refused = named(w.haveFrom.Name(), why)
	w.haveFrom.lied(1, why)
	w.c.refuse(w.seq, why.Got, w.haveFrom.Name(), why, got[max(0, at)].Raw)
	return w.anotherCone(ctx)
}

// leftover is what of a source's cone was not wanted so far.
type leftover struct {
	from *asked
	have map[ledger.ID]ledger.Identified
}

// reportExtra notes each source whose cone held records that are no part of the unit's: the assembly tells. What may
// still be reached from records that nobody gave cannot be judged.
func (w *walk) reportExtra(whole bool) {
	for _, l := range append(w.left, leftover{w.haveFrom, w.have}) {
		for _, r := range l.have {
			if !whole && len(r.Parents) > 0 {
				continue
			}
			why := r.Err
			if why == nil {
				why = w.cone.asm.Put(r)
			}
			if why != nil {
				l.from.lied(1, why)
				w.c.refuse(w.seq, r.ID, l.from.Name(), why, r.Raw)
				break
			}
		}
	}
}

// fetch asks sources in turn for records. Bytes that were not asked for are refused; the honest rest of
// the same answer is taken.
func (c *Collector) fetch(ctx context.Context, seq uint64, want []ledger.ID) ([]ledger.Identified, error) {
	missing := make(map[ledger.ID]struct{}, len(want))
	for _, id := range want {
		missing[id] = struct{}{}
	}
	got := []ledger.Identified{}
	for _, s := range c.pool.ready() {
		ask := make([]ledger.ID, 0, len(missing))
		for _, id := range want {
			if _, ok := missing[id]; ok {
				ask = append(ask, id)
			}
		}
		if len(ask) == 0 {
			break
		}
		began := now()
		raws, err := s.Fetch(ctx, ask)
		s.answer(ctx, err, now().Sub(began))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got = append(got, c.sortOut(seq, s, raws, missing)...)
	}
	c.cache.put(got...) // an interrupted walk need not ask again
	return got, nil
}

// sortOut returns the records of an answer that are missing, and takes them out of missing.
func (c *Collector) sortOut(seq uint64, s *asked, raws [][]byte, missing map[ledger.ID]struct{}) (got []ledger.Identified) {
	lies, last := 0, error(nil)
	for _, r := range c.codec.Identify(raws) {
		if _, ok := missing[r.ID]; ok && r.Err == nil {
			delete(missing, r.ID)
			got = append(got, r)
			continue
		}
		lies++
		if last = r.Err; last == nil {
			last = &ledger.Mismatch{Got: r.ID}
		}
		c.refuse(seq, r.ID, s.Name(), last, r.Raw)
	}
	switch {
	case lies > 0:
		s.lied(lies, last)
	case len(got) > 0:
		s.honest()
	}
	return got
}

// edges asks for claims about wanted records and declares those that an earlier unit confirmed. It reports
// whether there were any.
func (w *walk) edges(ctx context.Context, want []ledger.ID) (bool, error) {
	if w.claimed == nil {
		w.claimed = map[ledger.ID]bool{}
	}
	var ask []ledger.ID
	for _, id := range want {
		if !w.claimed[id] {
			w.claimed[id] = true
			ask = append(ask, id)
		}
	}
	if err := w.claim(ctx, ask); err != nil {
		return false, err
	}
	var edges []ledger.ID
	for _, id := range ask {
		if said, ok := w.cone.claims.Records[id]; ok && said.Referenced != 0 && said.Referenced < w.seq {
			edges = append(edges, id)
		}
	}
	if len(edges) > 0 {
		w.cone.asm.Edge(edges...)
	}
	return len(edges) > 0, nil
}

// claimRest asks for claims about members that no source has said anything about, in some rounds: a claim
// that is missing is no lie.
func (w *walk) claimRest(ctx context.Context) error {
	if !w.byClaims {
		return nil
	}
	for round := 0; ; round++ {
		rest := w.unsaid()
		if w.cone.unsaid = len(rest); len(rest) == 0 || round == walkRounds {
			return nil
		}
		if round > 0 {
			if err := w.c.pauseRound(ctx, round); err != nil {
				return err
			}
		}
		for len(rest) > 0 {
			n := min(len(rest), wantMost)
			if err := w.claim(ctx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
}

// unsaid returns the members without a claim.
func (w *walk) unsaid() (ids []ledger.ID) {
	for i := range w.cone.members {
		if _, ok := w.cone.claims.Records[w.cone.members[i].ID]; !ok {
			ids = append(ids, w.cone.members[i].ID)
		}
	}
	return ids
}

// pauseRound waits before sources are asked once more, at least until one may be asked.
func (c *Collector) pauseRound(ctx context.Context, round int) error {
	return sleep(ctx, max(roundPause<<round, min(c.pool.pause(), 2*time.Second)))
}

// claim adds what sources say of records, each record by the first that knows it. Sources whose claims
// about this unit did not hold are asked last.
func (w *walk) claim(ctx context.Context, ids []ledger.ID) error {
	for _, s := range w.c.claimSources(w.seq) {
		if len(ids) == 0 {
			return nil
		}
		began := now()
		said, err := s.Claims(ctx, w.seq, ids)
		if errors.Is(err, ErrCannot) {
			s.mu.Lock()
			s.noClaims = true
			s.mu.Unlock()
			continue
		}
		s.answer(ctx, err, now().Sub(began))
		if err := ctx.Err(); err != nil {
			return err
		}
		if said == nil || len(said.Records) == 0 {
			continue
		}
		w.addSayer(s)
		rest := ids[:0:0]
		for _, id := range ids {
			if r, ok := said.Records[id]; ok {
				w.cone.claims.Records[id] = r
			} else {
				rest = append(rest, id)
			}
		}
		ids = rest
	}
	return nil
}

func (w *walk) addSayer(s *asked) {
	for _, o := range w.cone.sayers {
		if o == s {
			return
		}
	}
	w.cone.sayers = append(w.cone.sayers, s)
	names := make([]string, len(w.cone.sayers))
	for i, o := range w.cone.sayers {
		names[i] = o.Name()
	}
	w.cone.claims.Source = strings.Join(names, ", ")
}
