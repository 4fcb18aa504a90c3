package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"permanode/internal/ranges"
)

// How long a source is left alone, doubled with each failure in a row.
const (
	firstPause  = 20 * time.Millisecond // after a transport error
	longestWait = 30 * time.Second
	liePause    = 250 * time.Millisecond // after a lie
	longestLie  = time.Minute
	longestOnce = time.Second // in a one-off, which is to end

	// maxUnaudited bounds how many units a source is remembered not to have been compared for.
	maxUnaudited = 256
)

// asked is one source and what is known of its manners. It is safe for concurrent use.
type asked struct {
	Source

	mu        sync.Mutex
	info      Info
	met       bool // info was had
	other     *OtherNetworkError
	fails     int // transport errors in a row
	lies      int
	row       int       // lying answers in a row: how long it is left alone
	until     time.Time // left alone till then
	lastErr   error
	noCones   bool       // answers ErrCannot to Cone
	noClaims  bool       // answers ErrCannot to Claims
	unaudited ranges.Set // units committed without this source's word on them
	longest   time.Duration
	penalty   float64 // of late: a transport error counts 1, a lying answer 10; answers wear it off
}

// ready reports whether the source may be asked now.
func (s *asked) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met && s.other == nil && !time.Now().Before(s.until)
}

// weighed returns the penalty as whole points.
func (s *asked) weighed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.penalty)
}

// answered ends a row of failures.
func (s *asked) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = 0
	s.penalty *= 0.95
}

// failed notes a transport error after spent, and leaves the source alone for a while: longer the more it
// fails, and at least so long that waiting for it takes no more than a third of the time.
func (s *asked) failed(err error, spent time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails++
	s.penalty++
	s.lastErr = err
	pause := min(s.longest, longestWait, max(2*spent, firstPause<<min(s.fails-1, 20)))
	s.until = time.Now().Add(pause)
}

// lied notes an answer with n things in it that are not true. A liar may still hold honest bytes: it is asked
// last, and later.
func (s *asked) lied(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies += n
	s.row++
	s.penalty += 10
	s.lastErr = err
	s.until = time.Now().Add(min(s.longest, longestLie, liePause<<min(s.row-1, 20)))
}

// honest ends a row of lies: an answer was wholly true.
func (s *asked) honest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row = 0
}

// audit marks unit seq as not compared with this source.
func (s *asked) audit(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unaudited.Add(seq, seq)
	if n := s.unaudited.Len(); n > maxUnaudited {
		s.unaudited.Remove(0, seq-maxUnaudited)
	}
}

// answer sorts what a source returned after spent: nil and the contract's words count as answers, and the end
// of ctx is not its fault.
func (s *asked) answer(ctx context.Context, err error, spent time.Duration) {
	switch {
	case err == nil, errors.Is(err, ErrUnknown), errors.Is(err, ErrPruned), errors.Is(err, ErrCannot):
		s.answered()
	case ctx.Err() == nil:
		s.failed(err, spent)
	}
}
