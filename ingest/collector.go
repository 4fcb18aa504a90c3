package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"permanode/ledger"
	"permanode/storage"
)

const (
	// giveUpAfter bounds how often CatchUp tries one unit that no source gives whole and true.
	giveUpAfter = 5
	// patience bounds how long it goes on trying that unit, at least twice.
	patience = 8 * time.Second
	// auditBack is how many committed units every source is asked about again after a start.
	auditBack = 16
	// maxNotes bounds the notes that wait for the writer; further ones are counted.
	maxNotes = 4096

	// ringPause is the least between two turns that feeds cause: who rings all the time must not make us ask all
	// the time.
	ringPause = 100 * time.Millisecond

	retryFirst   = 50 * time.Millisecond
	retryLongest = 10 * time.Second
)

// Collector collects one network. Run or CatchUp may be called once at a time; Status at any time.
type Collector struct {
	cfg        Config
	name       string
	net        ledger.NetID
	codec      ledger.Codec
	store      storage.Writer
	log        *slog.Logger
	pool       *pool
	overlay    *overlay
	cache      *byteCache
	quarantine *quarantine
	meter      *meter
	window     int64
	maxCone    int64
	workers    int
	wake       chan struct{} // holds one ring
	turned     time.Time     // when the last turn began

	span     atomic.Pointer[storage.Span] // being collected; nil until it is known where it begins
	unopened bool                         // the span is not in the store yet; owned by the commit stage
	tries    int                          // in a row, of the unit tried last
	triedSeq uint64
	triedFor problemKind
	triedAt  time.Time   // the first of these tries
	gap      storage.Gap // noted last
	missed   storage.Gap // met last, whether noted or not

	mu         sync.Mutex // guards what follows
	notes      []storage.Note
	noted      map[noteKey]struct{}
	dropped    int
	doubtSeq   uint64 // the unit whose claims were refuted
	doubted    []*asked
	doubtWords []*ledger.NodeClaims
	above      map[uint64]pendingUnit // units above a gap whose bytes are in the cache
}

type noteKey struct {
	kind   storage.NoteKind
	seq    uint64
	unit   ledger.ID
	source string
	code   string
}

// New returns a Collector. It asks nobody yet. Errors wrap ErrConfig.
func New(cfg Config) (*Collector, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Collector{
		cfg: cfg, name: cfg.Network, net: cfg.Store.Net(), codec: cfg.Codec, store: cfg.Store,
		log:     cfg.Log.With("network", cfg.Network),
		pool:    newPool(cfg.Trust.Identity, cfg.Sources),
		cache:   newByteCache(cfg.Memory / 4),
		meter:   &meter{status: Status{Network: cfg.Network, Phase: Starting, Stated: cfg.Trust.States}},
		window:  cfg.Memory / 4,
		maxCone: cfg.Memory / 4,
		workers: cfg.Workers,
		wake:    make(chan struct{}, 1),
		noted:   map[noteKey]struct{}{},
		above:   map[uint64]pendingUnit{},
	}
	c.quarantine = &quarantine{limit: cfg.QuarantineBytes}
	if cfg.Quarantine != "" {
		c.quarantine.dir = filepath.Join(cfg.Quarantine, cfg.Network)
	}
	c.overlay = newOverlay(cfg.Store, c.net)
	return c, nil
}

// Run collects until ctx ends, and then returns its error. It returns another error when collecting cannot
// go on: the store stopped writing, the configuration is wrong, or the signers went on from another unit
// than the committed one ([EquivocationError]). Sources that fail, lie or are silent end nothing.
func (c *Collector) Run(ctx context.Context) error {
	return c.ended(c.withFeeds(ctx, func(ctx context.Context) error {
		if err := c.prepareSpan(ctx); err != nil {
			return err
		}
		for {
			wait, err := c.turn(ctx)
			if err != nil {
				return err
			}
			if err := c.rest(ctx, wait); err != nil {
				return err
			}
		}
	}))
}

// CatchUp collects all that the sources have now and returns nil when their newest unit is committed. It
// gives up with an error that wraps storage.ErrIncomplete and names the gap when a unit cannot be had, and
// with one that wraps ErrNoSource when no source of this network answers.
func (c *Collector) CatchUp(ctx context.Context) error {
	err := c.withFeeds(ctx, c.catchUp)
	c.report(true)
	return c.ended(err)
}

func (c *Collector) catchUp(ctx context.Context) error {
	c.pool.hurry()
	if err := c.prepareSpan(ctx); err != nil {
		return err
	}
	for silent := 0; ; {
		wait, err := c.turn(ctx)
		if err != nil {
			return err
		}
		_, newest, ok := c.pool.span()
		sp := c.span.Load()
		switch {
		case !ok || sp == nil:
			if silent++; silent >= giveUpAfter || !c.pool.resting() || c.onlyOthers() {
				return errors.Join(fmt.Errorf("network %s: %w", c.name, ErrNoSource), c.pool.err())
			}
		case newest < sp.Next() && c.tries == 0:
			if c.pool.unheard(giveUpAfter) {
				break
			}
			if err := c.audit(ctx); err != nil {
				return err
			}
			return c.flushNotes(ctx)
		case c.hopeless():
			return fmt.Errorf("network %s: %s: %s: %w", c.name, unitRange(c.missed), c.missed.Reason, storage.ErrIncomplete)
		}
		if err := sleep(ctx, min(wait, max(c.pool.pause(), longestOnce))); err != nil {
			return err
		}
	}
}

func unitRange(g storage.Gap) string {
	if g.From == g.To {
		return fmt.Sprint("unit ", g.From)
	}
	return fmt.Sprintf("units %d to %d", g.From, g.To)
}

// onlyOthers reports whether every source serves another network.
func (c *Collector) onlyOthers() bool {
	for _, s := range c.pool.all {
		s.mu.Lock()
		other := s.other != nil
		s.mu.Unlock()
		if !other {
			return false
		}
	}
	return true
}

// hopeless reports whether trying the unit again now would bring nothing.
func (c *Collector) hopeless() bool {
	switch {
	case c.tries == 0:
		return false
	case c.triedFor == problemTooLarge:
		return true
	}
	return c.tries >= giveUpAfter || c.tries > 1 && now().Sub(c.triedAt) > patience || !c.pool.claimsToHave(c.triedSeq) && !c.pool.resting()
}

// turn asks the sources what they have and collects it as far as it goes. It returns how long to wait
// before the next turn, if nobody rings.
func (c *Collector) turn(ctx context.Context) (wait time.Duration, err error) {
	c.turned = now()
	if err := c.pool.refresh(ctx); err != nil {
		return 0, err
	}
	c.nameOthers()
	oldest, newest, ok := c.pool.span()
	c.meter.update(func(s *Status) {
		if s.Newest = newest; s.Any {
			s.Newest = max(newest, s.Last)
		}
	})
	if c.span.Load() == nil && ok {
		c.beginByClaims(oldest)
	}
	sp := c.span.Load()
	if !ok || sp == nil {
		c.phase(Waiting)
		return c.backOff(), c.flushNotes(ctx)
	}
	if c.unopened && c.cfg.Start == 0 && oldest > sp.Lo {
		c.beginByClaims(oldest) // pruned since, and nothing was committed
		sp = c.span.Load()
	}
	if newest < sp.Next() {
		return c.idle(ctx)
	}
	c.phase(CatchingUp)
	at, err := c.where(ctx)
	if err != nil {
		return 0, err
	}
	p, err := c.pass(ctx, at, newest)
	if err != nil {
		return 0, errors.Join(err, c.flushNotes(context.WithoutCancel(ctx)))
	}
	if p == nil {
		c.settled()
		return 0, c.flushNotes(ctx)
	}
	return c.stuck(ctx, p, newest)
}

// nameOthers notes sources that serve another network.
func (c *Collector) nameOthers() {
	for _, s := range c.pool.all {
		s.mu.Lock()
		other := s.other
		s.mu.Unlock()
		if other != nil && c.note(storage.Note{Kind: storage.NoteRefused, Source: s.Name(), Code: "source.other-network", Text: other.Error()}) {
			c.log.Warn("source refused", "source", s.Name(), "reason", other)
		}
	}
}

// idle is the turn when all is committed.
func (c *Collector) idle(ctx context.Context) (time.Duration, error) {
	c.settled()
	if c.pool.silent() {
		c.phase(Waiting) // there may be more by now
		return c.backOff(), c.flushNotes(ctx)
	}
	c.phase(Following)
	if err := c.audit(ctx); err != nil {
		return 0, err
	}
	return c.cfg.Poll, c.flushNotes(ctx)
}

func (c *Collector) settled() {
	c.tries, c.gap = 0, storage.Gap{}
	c.meter.update(func(s *Status) { s.Gap, s.Pending = nil, 0 })
	c.mu.Lock()
	clear(c.above)
	c.mu.Unlock()
}

// stuck notes why the next unit cannot be had, fetches what lies above it, and says when to try again.
func (c *Collector) stuck(ctx context.Context, p *problem, newest uint64) (time.Duration, error) {
	if p.seq != c.triedSeq {
		c.tries, c.triedSeq = 0, p.seq
	}
	if c.tries == 0 {
		c.triedAt = now()
	}
	c.tries++
	c.triedFor = p.kind
	c.log.Info("unit cannot be had", "unit", p.seq, "try", c.tries, "reason", p.err)
	c.missed = storage.Gap{From: p.seq, To: p.seq, Reason: oneLine(p.err.Error())}
	if early := (*ledger.Unjudged)(nil); errors.As(p.err, &early) && early.Early && c.unopened && c.cfg.Start == 0 {
		found, err := c.skipEarly(ctx, p.seq, newest)
		if err != nil {
			return 0, err
		}
		if found {
			c.tries = 0
			return 0, c.flushNotes(ctx)
		}
	}
	if p.reset || p.kind == problemTransport && c.tries < 2 {
		return c.backOff(), c.flushNotes(ctx)
	}
	to, err := c.fetchAbove(ctx, p, newest)
	if err != nil {
		return 0, err
	}
	g := storage.Gap{From: p.seq, To: to, Reason: oneLine(p.err.Error())}
	c.missed = g
	c.meter.update(func(s *Status) { s.Gap = &g })
	c.phase(Waiting)
	if g != c.gap {
		c.gap = g
		c.note(storage.Note{Kind: storage.NoteGap, Seq: g.From, To: g.To, Code: "gap", Text: g.Reason})
	}
	return c.backOff(), c.flushNotes(ctx)
}

// backOff returns how long to wait after a turn without success.
func (c *Collector) backOff() time.Duration {
	d := min(retryLongest, retryFirst<<min(c.tries, 16))
	return max(d, min(c.pool.pause(), retryLongest))
}

// rest waits for the next turn, or a ring.
func (c *Collector) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.wake:
		return sleep(ctx, min(d, ringPause-now().Sub(c.turned)))
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Collector) phase(p Phase) { c.meter.update(func(s *Status) { s.Phase = p }) }

// ended keeps the last word for Status.
func (c *Collector) ended(err error) error {
	c.meter.update(func(s *Status) {
		s.Phase, s.Sentence = Stopped, "stopped"
		if err != nil && !errors.Is(err, context.Canceled) {
			s.Sentence = "stopped: " + oneLine(err.Error())
		}
	})
	return err
}

// report tells progress, at once if last is set.
func (c *Collector) report(last bool) {
	if c.cfg.Progress != nil && (c.meter.due() || last) {
		c.cfg.Progress(c.Status())
	}
}

// withFeeds runs work beside the feeds, which end with it.
func (c *Collector) withFeeds(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	for _, f := range c.cfg.Feeds {
		g.Go(func() error { return c.listen(ctx, f) })
	}
	g.Go(func() error {
		defer cancel()
		return work(ctx)
	})
	return g.Wait()
}

// listen keeps one feed running until ctx ends. A feed that fails is begun again: it was only a bell.
func (c *Collector) listen(ctx context.Context, f Feed) error {
	put := func(raw []byte) { c.cache.put(c.codec.Identify([][]byte{raw})...) }
	ring := func(seq uint64) {
		if sp := c.span.Load(); sp != nil && sp.Has(seq) {
			return
		}
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	for fails := 0; ctx.Err() == nil; fails++ {
		began := now()
		if err := f.Run(ctx, put, ring); err != nil && ctx.Err() == nil {
			c.log.Info("feed ended", "feed", f.Name(), "error", err)
		}
		if now().Sub(began) > retryLongest {
			fails = 0
		}
		if sleep(ctx, min(retryLongest, retryFirst<<min(fails, 16))) != nil {
			break
		}
	}
	return nil
}
