package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"permanode/internal/durable"
	"permanode/ledger"
	"permanode/storage"
)

// prepareSpan finds the span to continue, or opens one. Without a snapshot the new span is opened with its
// first commit: until then nothing is known to be right about where it begins.
func (c *Collector) prepareSpan(ctx context.Context) error {
	sums, err := SnapshotSums(c.cfg.Trust, c.cfg.Snapshot)
	if err != nil {
		return fmt.Errorf("snapshot of %s: %w", c.name, err)
	}
	cov, err := c.store.Coverage(ctx, c.net)
	if err != nil {
		return fmt.Errorf("coverage of %s: %w", c.name, err)
	}
	if n := len(cov.Spans); n > 0 {
		sp := cov.Spans[n-1]
		if len(sums) > 0 && !sp.Held {
			return fmt.Errorf("%w: network %s was begun at unit %d without a ledger: a snapshot cannot be added; use a new data directory",
				ErrConfig, c.name, sp.Lo)
		}
		c.setSpan(sp)
		if u, _, err := c.store.Unit(ctx, c.net, sp.Hi); err == nil && !sp.Empty() { // else its time is not known yet, no more
			c.meter.update(func(s *Status) { s.LastTime = time.UnixMilli(u.TimeMs) })
		}
		c.auditNewest(sp)
		return nil
	}
	if len(sums) > 0 {
		return c.openSnapshot(ctx, sums)
	}
	return nil
}

// auditNewest marks the newest committed units for comparison with every source: an earlier run may have
// known other ones.
func (c *Collector) auditNewest(sp storage.Span) {
	for back := range uint64(auditBack) {
		if seq := sp.Hi - back; sp.Has(seq) {
			for _, s := range c.pool.all {
				s.audit(seq)
			}
		}
	}
}

// SnapshotSums returns the SHA-256 of snapshot files, which the trust file must name in this order: else it fails with a
// *SnapshotError.
func SnapshotSums(trust ledger.Trust, paths []string) ([]string, error) {
	var sums []string
	for i, path := range paths {
		f, err := durable.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", path, err)
		}
		sum := hex.EncodeToString(h.Sum(nil))
		if i >= len(trust.Snapshot) || trust.Snapshot[i] != sum {
			return nil, &SnapshotError{Path: path, Got: sum, Want: trust.Snapshot}
		}
		sums = append(sums, sum)
	}
	return sums, nil
}

// openSnapshot begins the span of an empty network at its snapshot.
func (c *Collector) openSnapshot(ctx context.Context, sums []string) error {
	sp, err := c.openFiles(ctx, sums)
	if err != nil {
		return fmt.Errorf("open %s at its snapshot: %w", c.name, err)
	}
	c.setSpan(sp)
	if c.cfg.Start > 0 && c.cfg.Start < sp.Lo {
		return c.store.Note(ctx, storage.Note{
			Net: c.net, Kind: storage.NoteGap, Seq: c.cfg.Start, To: sp.Lo - 1,
			Text: "lies before the snapshot", TimeMs: now().UnixMilli(),
		})
	}
	return nil
}

func (c *Collector) openFiles(ctx context.Context, sums []string) (storage.Span, error) {
	files := make([]io.ReadSeeker, 0, len(c.cfg.Snapshot))
	for _, path := range c.cfg.Snapshot {
		f, err := durable.Open(path)
		if err != nil {
			return storage.Span{}, err
		}
		defer f.Close() // read only: its error tells nothing
		files = append(files, f)
	}
	snap, err := c.codec.Snapshot(c.cfg.Trust, files...)
	if err != nil {
		return storage.Span{}, fmt.Errorf("snapshot %s: %w", c.cfg.Snapshot[0], err)
	}
	if c.cfg.Start > snap.Seq+1 {
		return storage.Span{}, fmt.Errorf("%w: start %d lies behind unit %d, the first one after the snapshot; leave start out or take a later snapshot",
			ErrConfig, c.cfg.Start, snap.Seq+1)
	}
	sp := storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: true, Snapshot: sums, PrevID: snap.Unit, PrevTime: snap.TimeMs}
	return sp, c.store.Open(ctx, sp, snap.Changes)
}

// beginByClaims says where a span without a ledger begins. It is durable with the first commit.
func (c *Collector) beginByClaims(oldest uint64) {
	lo := c.cfg.Start
	if lo == 0 {
		lo = max(oldest, c.cfg.Trust.First)
	}
	// What begins with the network's first unit, and takes nothing over from elsewhere, holds the whole ledger.
	c.setSpan(storage.Span{Lo: lo, Hi: lo - 1, Held: c.cfg.Trust.States && lo == c.cfg.Trust.First})
	c.unopened = true
}

func (c *Collector) setSpan(sp storage.Span) {
	c.span.Store(&sp)
	c.meter.update(func(s *Status) {
		s.First, s.Held = sp.Lo, sp.Held
		if s.Any = !sp.Empty(); s.Any || sp.Lo > 0 {
			s.Last = sp.Hi
		}
	})
}

// commit makes cones durable. It runs in the pass's commit stage only, or between passes.
func (c *Collector) commit(ctx context.Context, cones []*ledger.Cone) error {
	sp := *c.span.Load()
	if c.unopened {
		if err := c.store.Open(ctx, sp, none); err != nil {
			return fmt.Errorf("open %s at unit %d: %w", c.name, sp.Lo, err)
		}
		c.unopened = false
	}
	for _, cone := range cones {
		if err := c.noteUndecoded(ctx, cone); err != nil {
			return err
		}
	}
	err := c.store.Commit(ctx, cones)
	first, last := cones[0].Unit.Seq, cones[len(cones)-1].Unit.Seq
	if errors.Is(err, storage.ErrTooLarge) && len(cones) == 1 {
		return &problem{seq: first, kind: problemTooLarge, err: err}
	}
	if errors.Is(err, storage.ErrTooLarge) { // one of them is
		own, bad := c.vouch(ctx, cones)
		for i := range own {
			if err := c.commit(ctx, own[i:i+1]); err != nil {
				return err
			}
		}
		return bad
	}
	if err != nil {
		return fmt.Errorf("commit units %d to %d of %s: %w", first, last, c.name, err)
	}
	sp.Hi = last
	c.span.Store(&sp)
	c.overlay.commit(cones)
	for _, cone := range cones {
		c.cache.forget(cone.Records)
	}
	c.meter.committed(cones)
	if err := c.flushNotes(ctx); err != nil {
		return err
	}
	c.report(false)
	return nil
}

// none is the starting ledger of a span that holds none.
var none iter.Seq2[ledger.Change, error] = func(func(ledger.Change, error) bool) {}

// where returns the position of the next unit.
func (c *Collector) where(ctx context.Context) (position, error) {
	sp := *c.span.Load()
	at := position{next: sp.Next(), held: sp.Held}
	if !sp.Empty() {
		u, _, err := c.store.Unit(ctx, c.net, sp.Hi)
		if err != nil {
			return at, fmt.Errorf("unit %d of %s: %w", sp.Hi, c.name, err)
		}
		at.prev = &u
	} else if len(sp.Snapshot) > 0 {
		at.snap = &ledger.Unit{Seq: sp.Lo - 1, ID: sp.PrevID, TimeMs: sp.PrevTime}
	}
	return at, nil
}

// start returns what unit seq, the one behind at.prev, begins with.
func (c *Collector) start(at position, seq uint64) ledger.Start {
	return ledger.Start{
		Trust: c.cfg.Trust, Prev: at.prev, Snapshot: at.snap, Held: at.held,
		Known: c.overlay.known(seq), State: c.overlay.read,
	}
}

// alone returns what a unit begins with that is judged by itself.
func (c *Collector) alone() ledger.Start {
	return ledger.Start{Trust: c.cfg.Trust, Known: c.overlay.known(ledger.MaxSeq), State: c.overlay.read}
}

func (c *Collector) isCommitted(seq uint64) bool {
	sp := c.span.Load()
	return sp != nil && sp.Has(seq)
}

// claimSources returns the sources that may be asked for claims about unit seq: those whose claims about it
// were refuted last.
func (c *Collector) claimSources(seq uint64) []*asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	var fine, doubted []*asked
	for _, s := range c.pool.ready() {
		s.mu.Lock()
		cannot := s.noClaims
		s.mu.Unlock()
		switch {
		case cannot:
		case seq == c.doubtSeq && slices.Contains(c.doubted, s):
			doubted = append(doubted, s)
		default:
			fine = append(fine, s)
		}
	}
	return append(fine, doubted...)
}
