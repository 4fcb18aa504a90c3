package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"permanode/ledger"
	"permanode/storage"
)

const (
	batchCones = 64      // cones in one commit while catching up
	batchBytes = 8 << 20 // and about how many bytes
	chunk      = 128     // records that one worker prepares at a time, of several cones if they are small
	walkAhead  = 16      // walked cones that wait to be prepared, within the window
)

// prepared is a closed cone whose records were parsed and whose unlock signatures were checked.
type prepared struct {
	*gathered
	records []ledger.Prepared
}

// pass runs the pipeline once over the units from to target:
//
//	gather(n+2) ‖ prepare(n+1) ‖ seal(n) ‖ commit(n−1)
//
// It commits in order all that it can and returns the first *problem, or nil when target is committed.
// Errors are of this process: the store's, the context's, an equivocation.
func (c *Collector) pass(ctx context.Context, at position, target uint64) (*problem, error) {
	c.overlay.reset(at.next - 1)
	g, ctx := errgroup.WithContext(ctx)
	// up carries everything before commit: a problem ends it, while what is sealed is still committed.
	up, stop := context.WithCancel(ctx)
	defer stop()
	r := &run{c: c, window: semaphore.NewWeighted(c.window), stop: stop, tight: make(chan struct{}, 1)}
	walked := make(chan *gathered, walkAhead)
	ready := make(chan *prepared)
	sealed := make(chan sealedCone, 2)
	g.Go(func() error { defer close(walked); return r.report(up, r.gatherAll(up, at, target, walked)) })
	g.Go(func() error { return r.report(up, r.prepareInOrder(up, walked, ready)) })
	g.Go(func() error { defer close(sealed); return r.report(up, r.sealAll(up, at, ready, sealed)) })
	g.Go(func() error { return r.report(up, r.commitAll(ctx, sealed)) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return r.first, nil
}

// position is where a pass begins.
type position struct {
	next uint64
	held bool
	prev *ledger.Unit // committed before next; nil at the first unit of a span
	snap *ledger.Unit // the snapshot's unit, at the first unit of a span that opened at one
}

// run is one pass of the pipeline.
type run struct {
	c      *Collector
	window *semaphore.Weighted
	stop   context.CancelFunc
	tight  chan struct{} // holds a token while a cone waits for room in the window

	ahead    map[uint64][]*variant // heads that were asked for ahead; of the gathering stage, as the next two
	attested map[uint64]ledger.Attestation
	looked   uint64 // units below were looked at for attestation

	mu    sync.Mutex
	first *problem // of the lowest unit
}

// report keeps a problem and stops what lies before commit; other errors end the whole pass. Being stopped
// is no error.
func (r *run) report(up context.Context, err error) error {
	var p *problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		r.keep(p)
		r.stop()
		return nil
	case errors.Is(err, context.Canceled) && up.Err() != nil && r.problem() != nil:
		return nil
	}
	return err
}

func (r *run) problem() *problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

// gatherAll walks unit after unit: n+1 is walked when n is closed.
func (r *run) gatherAll(ctx context.Context, at position, target uint64, out chan<- *gathered) error {
	c := r.c
	for seq := at.next; seq <= target; seq++ {
		start := c.start(at, seq)
		if err := r.attest(ctx, seq, target, start); err != nil {
			return err
		}
		start.Attested = r.attested[seq]
		cone, err := c.gather(ctx, seq, start, r.take(seq))
		if err != nil {
			// What was walked before still counts: it is handed on, then the problem ends the pass in its place.
			var p *problem
			if errors.As(err, &p) && !p.reset {
				r.keep(p)
				return nil
			}
			return err
		}
		if err := r.room(ctx, r.weight(cone)); err != nil {
			return err
		}
		c.overlay.walked(seq, cone.members, cone.asm.HeadChanges())
		if !send(ctx, out, cone) {
			return ctx.Err()
		}
		u := cone.unit // a pointer into the cone would hold it, and through it all before
		at.prev, at.snap = &u, nil
	}
	return nil
}

// room waits until the window has room for a cone, and tells commit that somebody waits.
func (r *run) room(ctx context.Context, weight int64) error {
	if r.window.TryAcquire(weight) {
		return nil
	}
	r.tight <- struct{}{} // it holds one: who waits is this goroutine alone
	err := r.window.Acquire(ctx, weight)
	select {
	case <-r.tight:
	default:
	}
	return err
}

// keep remembers the problem of the lowest unit.
func (r *run) keep(p *problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil || p.seq < r.first.seq || p.reset {
		r.first = p
	}
}

func (r *run) weight(cone *gathered) int64 { return min(cone.bytes, r.c.window) }

// prepareInOrder runs the pure half of verification on parallel workers and hands cones on in the order of
// in, which is the order of commit.
func (r *run) prepareInOrder(ctx context.Context, in <-chan *gathered, out chan<- *prepared) error {
	defer close(out)
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan *piece, r.c.workers)
	slots := make(chan chan *prepared, r.c.workers)
	for range r.c.workers {
		g.Go(func() error {
			for p := range work {
				p.prepare(r.c.codec)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(slots)
		defer close(work)
		return cut(ctx, in, work, slots)
	})
	g.Go(func() error {
		for slot := range slots {
			p, ok := recv(ctx, slot)
			if !ok || !send(ctx, out, p) {
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

// slotted is a cone while its records are being prepared; the slot gets it when the last one is.
type slotted struct {
	*prepared
	left atomic.Int64
	slot chan *prepared
}

// done tells that n more records are prepared.
func (s *slotted) done(n int) {
	if s.left.Add(int64(-n)) == 0 {
		s.slot <- s.prepared
	}
}

// piece is what one worker takes: records lo to before hi of one cone or, where cones are small, of several
// that follow each other. Signatures are cheaper together.
type piece struct {
	parts   []part
	records int
}

type part struct {
	cone   *slotted
	lo, hi int
}

func (p *piece) prepare(codec ledger.Codec) {
	ids := p.parts[0].cone.members[p.parts[0].lo:p.parts[0].hi]
	if len(p.parts) > 1 {
		ids = make([]ledger.Identified, 0, p.records)
		for _, t := range p.parts {
			ids = append(ids, t.cone.members[t.lo:t.hi]...)
		}
	}
	records := codec.Prepare(ids)
	for _, t := range p.parts {
		n := copy(t.cone.records[t.lo:t.hi], records)
		records = records[n:]
		t.cone.done(n)
	}
}

// cut makes pieces of cones. It waits for no cone while it holds a piece that is not full. A cone's slot goes
// out behind its last piece: whoever waits at the slot waits for work that was handed out.
func cut(ctx context.Context, in <-chan *gathered, work chan<- *piece, slots chan<- chan *prepared) error {
	now := &piece{}
	var whole []chan *prepared // of cones that end in this piece
	flush := func() bool {
		if now.records > 0 && !send(ctx, work, now) {
			return false
		}
		for _, slot := range whole {
			if !send(ctx, slots, slot) {
				return false
			}
		}
		now, whole = &piece{}, nil
		return true
	}
	for {
		cone, ok := next(ctx, in, flush)
		if !ok {
			return ctx.Err()
		}
		n := len(cone.members)
		s := &slotted{prepared: &prepared{gathered: cone, records: make([]ledger.Prepared, n)}, slot: make(chan *prepared, 1)}
		s.left.Store(int64(n))
		if n == 0 {
			s.slot <- s.prepared
		}
		for lo, hi := 0, 0; lo < n; lo = hi {
			hi = min(n, lo+chunk-now.records)
			now.parts, now.records = append(now.parts, part{s, lo, hi}), now.records+hi-lo
			if now.records == chunk && hi < n && !flush() {
				return ctx.Err()
			}
		}
		if whole = append(whole, s.slot); (now.records == chunk || len(whole) == walkAhead) && !flush() {
			return ctx.Err()
		}
	}
}

// next returns a cone that is there, or flushes and waits for one.
func next(ctx context.Context, in <-chan *gathered, flush func() bool) (*gathered, bool) {
	select {
	case cone, ok := <-in:
		if !ok {
			flush()
		}
		return cone, ok
	default:
	}
	if !flush() {
		return nil, false
	}
	return recv(ctx, in)
}

type sealedCone struct {
	cone   *ledger.Cone
	weight int64
}

// sealAll decides order and states of cone after cone and compares the roots.
func (r *run) sealAll(ctx context.Context, at position, in <-chan *prepared, out chan<- sealedCone) error {
	for {
		p, ok := recv(ctx, in)
		if !ok {
			return ctx.Err()
		}
		cone, err := r.c.seal(ctx, p)
		if err != nil {
			return err
		}
		if err := r.c.refuseCopies(ctx, p); err != nil {
			return err
		}
		r.c.overlay.sealed(cone)
		if !send(ctx, out, sealedCone{cone, r.weight(p.gathered)}) {
			return ctx.Err()
		}
	}
}

// seal proves one cone. A *problem says that it is not true.
func (c *Collector) seal(ctx context.Context, p *prepared) (*ledger.Cone, error) {
	keys := p.asm.StateKeys(p.records)
	vals, err := c.overlay.read(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read state for unit %d of %s: %w", p.unit.Seq, c.name, err)
	}
	view := make(ledger.View, len(keys))
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	cone, err := p.asm.Seal(p.records, view, p.claims)
	if err == nil {
		cone.Net = c.net
		c.judgeClaims(p, cone)
		return cone, nil
	}
	if !untrue(err) {
		return nil, fmt.Errorf("seal unit %d of %s: %w", p.unit.Seq, c.name, err)
	}
	return nil, c.rejected(p, err)
}

// rejected sorts out a cone that its own root refutes.
func (c *Collector) rejected(p *prepared, err error) *problem {
	seq := p.unit.Seq
	switch {
	case p.edged > 0:
		return c.missing(seq, fmt.Errorf("no source gave %d of its records, and they do not belong to earlier units (%w)", p.edged, err))
	case p.unsaid > 0:
		return c.missing(seq, fmt.Errorf("no source says what became of %d of its records (%w)", p.unsaid, err))
	case p.claims != nil && len(p.sayers) > 0:
		c.doubt(seq, p)
		for _, s := range p.sayers {
			c.note(storage.Note{
				Kind: storage.NoteClaim, Seq: seq, To: seq, Unit: p.unit.ID, Source: s.Name(), Code: "claims.refuted",
				Text: oneLine("the unit's signed root refutes what the node says of its records: " + err.Error()),
			})
			s.lied(1, err)
		}
	}
	if p.cone != nil && p.claims == nil {
		p.cone.lied(1, err)
		c.refuse(seq, ledger.ID{}, p.cone.Name(), err, c.codec.Head(p.unit))
	} else {
		c.refuse(seq, ledger.ID{}, p.from.Name(), err, c.codec.Head(p.unit))
	}
	return &problem{seq: seq, kind: problemForged, err: err}
}

// commitAll makes sealed cones durable, several at a time while they come faster than that.
func (r *run) commitAll(ctx context.Context, in <-chan sealedCone) error {
	for {
		first, ok := recv(ctx, in)
		if !ok {
			return ctx.Err()
		}
		if p := r.problem(); p != nil && p.reset && first.cone.Unit.Seq >= p.seq {
			return nil // another unit may be the right one
		}
		b := batch{cones: []*ledger.Cone{first.cone}, weight: first.weight}
		if err := r.complete(ctx, &b, in); err != nil {
			return err
		}
		for more := true; more && !b.leans() && len(b.cones) < batchCones && b.weight < batchBytes; {
			select {
			case next, open := <-in:
				if more = open; open {
					b.add(next)
					if err := r.complete(ctx, &b, in); err != nil {
						return err
					}
				}
			default:
				more = false
			}
		}
		var bad error
		if b.leans() {
			last := len(b.cones)
			for last > 0 && !b.cones[last-1].Unit.AttestedBy.IsZero() {
				last--
			}
			var own []*ledger.Cone
			own, bad = r.c.vouch(ctx, b.cones[last:])
			b.cones = b.cones[:last+len(own)]
		}
		if len(b.cones) > 0 {
			if err := r.c.commit(ctx, b.cones); err != nil {
				return err
			}
		}
		r.window.Release(b.weight)
		if bad != nil {
			return bad
		}
	}
}

// batch is cones that are committed together.
type batch struct {
	cones  []*ledger.Cone
	weight int64
}

func (b *batch) add(s sealedCone) { b.cones, b.weight = append(b.cones, s.cone), b.weight+s.weight }

// leans reports whether the last cone is proven by the signatures of a unit that is not in the batch.
func (b *batch) leans() bool { return !b.cones[len(b.cones)-1].Unit.AttestedBy.IsZero() }

// complete waits for the unit whose signatures prove the last cone of b: what it attests must not be durable
// without it. It does not wait when the window has no room for that unit.
func (r *run) complete(ctx context.Context, b *batch, in <-chan sealedCone) error {
	for b.leans() {
		select {
		case next, open := <-in:
			if !open {
				return ctx.Err()
			}
			b.add(next)
		case <-r.tight:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// vouch has cones that lean on a unit which will not be durable together with them stand on their own signatures.
// It returns those before the first whose own are not good, and why that is one.
func (c *Collector) vouch(ctx context.Context, cones []*ledger.Cone) ([]*ledger.Cone, error) {
	for i, cone := range cones {
		u := &cone.Unit
		if u.AttestedBy.IsZero() {
			continue
		}
		_, err := c.codec.Begin(ctx, c.codec.Head(*u), c.alone())
		switch {
		case err == nil:
			u.AttestedBy = ledger.ID{}
		case untrue(err):
			c.refuse(u.Seq, ledger.ID{}, c.name, err, c.codec.Head(*u))
			return cones[:i], &problem{seq: u.Seq, kind: problemForged, err: err}
		default:
			return cones[:i], fmt.Errorf("unit %d of %s: %w", u.Seq, c.name, err)
		}
	}
	return cones, nil
}

// recv and send report false once ctx is done or, for recv, in is closed.
func recv[T any](ctx context.Context, in <-chan T) (v T, ok bool) {
	select {
	case v, ok = <-in:
		return v, ok
	case <-ctx.Done():
		return v, false
	}
}

func send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}
