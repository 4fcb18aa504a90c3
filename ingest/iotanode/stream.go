package iotanode

import (
	"context"
	"errors"
	"io"
	"time"

	"permanode/ingest"
	"permanode/internal/wire/iota"
)

const (
	// leastAhead is how many checkpoints must be there for a stream to be worth its while.
	leastAhead = 4
	// mostAhead is how far before a stream's place somebody waits for it instead of asking alone.
	mostAhead = 256
)

// stream reads checkpoints in order to the shelf, as long as less than half of the window is in use. Its
// goroutine ends at the checkpoint that was the newest when it began, at the first error, when nobody asks for a
// timeout, or with stop.
type stream struct {
	g      *GRPC
	cancel context.CancelFunc
	done   chan struct{} // closed at its end
	woken  chan struct{} // one token: something was asked for

	// Guarded by g.mu.
	next    uint64        // the checkpoint that is read now
	waits   bool          // for room
	arrived chan struct{} // closed, and made anew, whenever one of these changes
}

// ahead reports whether checkpoint seq came to the shelf, after waiting for a stream that is about to bring it,
// or after beginning one where checkpoints are asked for in order. It fails if the stream had a gap where seq should
// have come. One that was cut or silent is no error here: who asks alone then finds out for himself.
func (g *GRPC) ahead(ctx context.Context, seq uint64) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broke != nil && g.brokeAt <= seq {
		return false, g.broken(seq)
	}
	inOrder := g.asked && (seq == g.last || seq == g.last+1)
	g.last, g.asked = seq, true
	if g.stream == nil && inOrder && g.said.height != nil && *g.said.height >= seq+leastAhead && seq >= g.said.lowest {
		g.startStream(seq, *g.said.height)
	}
	s := g.stream
	if s == nil || seq < s.next || seq >= s.next+mostAhead {
		return false, nil
	}
	s.wake()
	for g.stream == s && seq >= s.next && !s.waits {
		arrived := s.arrived
		g.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
		}
		g.mu.Lock()
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	return seq < s.next, g.broken(seq)
}

// broken returns how the last stream broke its order, once, to who asks for the checkpoint where that was: he
// must know that the node skips. The caller holds g.mu.
func (g *GRPC) broken(seq uint64) error {
	err := g.broke
	if err == nil || seq < g.brokeAt {
		return nil
	}
	g.broke = nil
	if seq > g.brokeAt {
		return nil
	}
	return err
}

// startStream begins to read at seq. The caller holds g.mu.
func (g *GRPC) startStream(seq, end uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{
		g: g, cancel: cancel, done: make(chan struct{}), woken: make(chan struct{}, 1),
		next: seq, arrived: make(chan struct{}),
	}
	g.stream = s
	g.shelf.clear() // whatever an earlier stream left there has nobody who will take it
	go func() {
		defer close(s.done)
		defer cancel()
		s.end(s.run(ctx, end))
	}()
}

// stop ends the stream and waits for it.
func (s *stream) stop() {
	s.cancel()
	<-s.done
}

func (s *stream) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// end takes the stream out of use.
func (s *stream) end(err error) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	if s.g.stream == s {
		s.g.stream = nil
		if errors.Is(err, errOrder) {
			s.g.broke, s.g.brokeAt = err, s.next
		}
		// After a failure one checkpoint is asked for alone before the next stream.
		s.g.asked = err == nil
	}
	s.tell()
}

// tell wakes who waits. The caller holds g.mu.
func (s *stream) tell() {
	close(s.arrived)
	s.arrived = make(chan struct{})
}

func (s *stream) run(ctx context.Context, end uint64) error {
	g := s.g
	size, first := uint64(askFrame), s.next
	req := iota.StreamRequest{Start: &first, End: &end, Mask: iota.WholeMask(), MaxMessage: &size}
	f, err := g.open(ctx, iota.StreamCheckpoints, req.Append(nil), g.cfg.limit(first))
	if err != nil {
		return err
	}
	defer f.close()
	for seq := first; seq <= end; seq++ {
		f.pause()
		if err := s.room(ctx); err != nil {
			return err
		}
		c, err := f.checkpoint(seq, g.cfg.limit(seq), true)
		if errors.Is(err, io.EOF) {
			return nil // the server ends it early: what is missing is asked for again
		}
		if err != nil {
			return err
		}
		g.shelf.put(seq, c)
		g.mu.Lock()
		s.next = seq + 1
		s.tell()
		g.mu.Unlock()
	}
	return nil
}

// errIdle is why a stream ends that nobody reads.
var errIdle = errors.New("nobody asks any more")

// room waits until less than half of the window is in use.
func (s *stream) room(ctx context.Context) error {
	idle := time.NewTimer(s.g.cfg.Timeout)
	defer idle.Stop()
	for {
		s.g.mu.Lock()
		full := s.g.shelf.used() > s.g.cfg.Window/2
		if s.waits != full {
			s.waits = full
			s.tell()
		}
		s.g.mu.Unlock()
		if !full {
			return ctx.Err()
		}
		select {
		case <-s.woken:
			idle.Reset(s.g.cfg.Timeout)
		case <-idle.C:
			return errIdle
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Feed returns a bell: it rings with the number of each checkpoint that the node executes. It asks for summaries
// only and believes none of them. When the node breaks off it connects again, later and later.
func (g *GRPC) Feed() ingest.Feed {
	return &bell{g: g, meter: ingest.NewFeedMeter(g.name, g.name)}
}

type bell struct {
	g     *GRPC
	meter *ingest.FeedMeter
}

// Name returns the node's name.
func (b *bell) Name() string { return b.g.name }

// Status says how the stream does.
func (b *bell) Status() ingest.FeedStatus { return b.meter.Status() }

// Run rings until ctx ends.
func (b *bell) Run(ctx context.Context, _ func(raw []byte), ring func(seq uint64)) error {
	pause := firstPause
	for ctx.Err() == nil {
		rang, err := b.listen(ctx, ring)
		if rang {
			pause = firstPause
		}
		if ctx.Err() != nil {
			b.meter.Down("")
			break
		}
		b.meter.Down(err.Error())
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		pause = min(2*pause, longestPause)
	}
	return ctx.Err()
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// listen rings until the stream ends, says why it did, and reports whether it ever rang.
func (b *bell) listen(ctx context.Context, ring func(seq uint64)) (rang bool, err error) {
	req := iota.StreamRequest{Mask: []string{"checkpoint.summary.bcs"}}
	f, err := b.g.open(ctx, iota.StreamCheckpoints, req.Append(nil), maxSummary)
	if err != nil {
		return false, err
	}
	defer f.close()
	for {
		m, size, err := f.next()
		if errors.Is(err, io.EOF) {
			err = errors.New("the node ended the stream")
		}
		if err != nil {
			return rang, err
		}
		b.meter.Up()
		b.meter.Message(size)
		if m.Checkpoint == nil {
			continue
		}
		seq := seqOf(m.Checkpoint.Summary)
		if m.Checkpoint.Seq != nil {
			seq = *m.Checkpoint.Seq
		}
		ring(seq)
		b.meter.Rang(seq)
		rang = true
	}
}
