package follow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store has units without records.
type store struct {
	storage.Reader
	mu      sync.Mutex
	covered ranges.Set
	damaged map[uint64]bool
	fails   int // reads of coverage that fail
	changed chan struct{}
}

func newStore() *store { return &store{damaged: map[uint64]bool{}, changed: make(chan struct{})} }

func (s *store) cover(lo, hi uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.covered.Add(lo, hi)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) Changed(ledger.NetID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

var errStore = errors.New("the disk is gone")

func (s *store) Coverage(context.Context, ledger.NetID) (c storage.Coverage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return c, errStore
	}
	for _, r := range s.covered.Ranges() {
		c.Spans = append(c.Spans, storage.Span{Lo: r.Lo, Hi: r.Hi})
	}
	return c, nil
}

func (s *store) Cones(_ context.Context, _ ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := lo; seq <= hi; seq++ {
			if s.damaged[seq] {
				yield(nil, &storage.CorruptError{Key: fmt.Sprint(seq), Why: "flipped"})
				return
			}
			if !yield(&ledger.Cone{Unit: ledger.Unit{Seq: seq}}, nil) {
				return
			}
		}
	}
}

// taker is a follower that keeps numbers.
type taker struct {
	order   []uint64
	pending ranges.Set
	done    ranges.Set
	refuse  map[uint64]error
	reports chan error
	synced  chan ranges.Set
}

func (f *taker) Name() string { return "taker" }

func (f *taker) Done(context.Context, ledger.NetID) (ranges.Set, error) {
	return f.done.Minus(ranges.Set{}), nil
}

func (f *taker) Follow(_ context.Context, c *ledger.Cone) error {
	if err := f.refuse[c.Unit.Seq]; err != nil {
		delete(f.refuse, c.Unit.Seq)
		return err
	}
	f.order = append(f.order, c.Unit.Seq)
	f.pending.Add(c.Unit.Seq, c.Unit.Seq)
	return nil
}

func (f *taker) Sync(context.Context) error {
	for _, r := range f.pending.Ranges() {
		f.done.Add(r.Lo, r.Hi)
	}
	if f.synced != nil {
		f.synced <- f.done.Minus(ranges.Set{})
	}
	return nil
}

func (f *taker) Report(err error) {
	if f.reports != nil {
		f.reports <- err
	}
}

func TestCatchUp(t *testing.T) {
	ctx, s := context.Background(), newStore()
	s.cover(5, 8)
	f := &taker{}
	f.done.Add(6, 6)
	s.cover(1, 2)
	if err := follow.CatchUp(ctx, s, 1, f); err != nil {
		t.Fatal(err)
	}
	if want := []uint64{1, 2, 5, 7, 8}; !slices.Equal(f.order, want) {
		t.Errorf("took %v, want %v", f.order, want)
	}
	if err := follow.CatchUp(ctx, s, 1, f); err != nil || len(f.order) != 5 {
		t.Errorf("again: %v, took %v", err, f.order)
	}
}

// TestDamage: a unit that cannot be read keeps no other back, and is told.
func TestDamage(t *testing.T) {
	s, f := newStore(), &taker{}
	s.cover(1, 6)
	s.damaged[1], s.damaged[3], s.damaged[6] = true, true, true
	err := follow.CatchUp(context.Background(), s, 1, f)
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("error %v", err)
	}
	if want := []uint64{2, 4, 5}; !slices.Equal(f.order, want) || f.done.Len() != 3 {
		t.Errorf("took %v, want %v", f.order, want)
	}
}

// TestRun: units that come while it runs are taken; errors are reported, and tried again.
func TestRun(t *testing.T) {
	s := newStore()
	f := &taker{reports: make(chan error, 100), synced: make(chan ranges.Set), refuse: map[uint64]error{2: errStore}}
	s.cover(1, 3)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- follow.Run(ctx, s, 1, f) }()
	if err := <-f.reports; !errors.Is(err, errStore) {
		t.Errorf("reported %v, want %v", err, errStore)
	}
	for done := range f.synced {
		if done.Covers(1, 3) {
			break
		}
	}
	if err := <-f.reports; err != nil {
		t.Errorf("reported %v after all was taken", err)
	}
	s.cover(4, 9)
	if done := <-f.synced; !done.Covers(1, 9) {
		t.Errorf("done %v", done)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
