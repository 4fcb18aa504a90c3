package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	otherPause  = time.Minute // until a source of another network is looked at again

	infoTimeout = 15 * time.Second
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
}

// ready reports whether the source may be asked now.
func (s *asked) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.met && s.other == nil && !time.Now().Before(s.until)
}

// answered ends a row of failures.
func (s *asked) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = 0
}

// failed notes a transport error and leaves the source alone for a while.
func (s *asked) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails++
	s.lastErr = err
	s.until = time.Now().Add(min(s.longest, longestWait, firstPause<<min(s.fails-1, 20)))
}

// lied notes an answer with n things in it that are not true. A liar may still hold honest bytes: it is asked
// last, and later.
func (s *asked) lied(n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies += n
	s.row++
	s.lastErr = err
	s.until = time.Now().Add(min(s.longest, longestLie, liePause<<min(s.row-1, 20)))
}

// honest ends a row of lies: an answer was wholly true.
func (s *asked) honest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row = 0
}

// pool is all sources of a network.
type pool struct {
	identity string
	all      []*asked
}

func newPool(identity string, sources []Source) *pool {
	p := &pool{identity: identity}
	for _, s := range sources {
		p.all = append(p.all, &asked{Source: s, longest: longestLie})
	}
	return p
}

// hurry shortens all pauses to come, for a one-off.
func (p *pool) hurry() {
	for _, s := range p.all {
		s.mu.Lock()
		s.longest = longestOnce
		s.mu.Unlock()
	}
}

// unheard reports whether some source has not said yet what it has and was not asked tries times.
func (p *pool) unheard(tries int) bool {
	for _, s := range p.all {
		s.mu.Lock()
		silent := !s.met && s.fails < tries
		s.mu.Unlock()
		if silent {
			return true
		}
	}
	return false
}

// ready returns the sources that may be asked now: those that lied less first, then in the order of the
// configuration.
func (p *pool) ready() []*asked {
	var out []*asked
	lies := map[*asked]int{}
	for _, s := range p.all {
		if s.ready() {
			s.mu.Lock()
			lies[s] = s.lies
			s.mu.Unlock()
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *asked) int { return lies[a] - lies[b] })
	return out
}

// refresh asks every source that is not left alone what it has. It fails only with the context.
func (p *pool) refresh(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range p.all {
		s.mu.Lock()
		rest := time.Now().Before(s.until)
		s.mu.Unlock()
		if rest {
			continue
		}
		wg.Go(func() { p.ask(ctx, s) })
	}
	wg.Wait()
	return ctx.Err()
}

func (p *pool) ask(ctx context.Context, s *asked) {
	limit, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := s.Info(limit)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.failed(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info, s.met, s.fails, s.other = info, true, 0, nil
	if info.Identity != "" && info.Identity != p.identity {
		s.other = &OtherNetworkError{Source: s.Name(), Got: info.Identity, Want: p.identity, Name: info.Name}
		s.lastErr, s.until = s.other, time.Now().Add(otherPause)
	}
}

// span returns the oldest and newest unit that the sources of this network claim, and whether any spoke.
func (p *pool) span() (oldest, newest uint64, ok bool) {
	for _, s := range p.all {
		s.mu.Lock()
		if s.met && s.other == nil {
			low := max(s.info.Oldest, s.info.Pruned+1)
			if !ok || low < oldest {
				oldest = low
			}
			newest, ok = max(newest, s.info.Newest), true
		}
		s.mu.Unlock()
	}
	return oldest, newest, ok
}

// prunedTo returns up to where every source of this network has pruned.
func (p *pool) prunedTo() uint64 {
	oldest, _, ok := p.span()
	if !ok || oldest == 0 {
		return 0
	}
	return oldest - 1
}

// err says why nobody can be asked: sources of other networks first, since they need a person.
func (p *pool) err() error {
	var others, rest []error
	for _, s := range p.all {
		s.mu.Lock()
		switch {
		case s.other != nil:
			others = append(others, s.other)
		case s.lastErr != nil:
			rest = append(rest, named(s.Name(), s.lastErr))
		}
		s.mu.Unlock()
	}
	return errors.Join(append(others, rest...)...)
}

// named puts a source's name before its error where the error does not begin with it.
func named(name string, err error) error {
	if strings.HasPrefix(err.Error(), name) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// pause returns how long until some source may be asked again; 0 if one may be now.
func (p *pool) pause() (d time.Duration) {
	for i, s := range p.all {
		s.mu.Lock()
		left := time.Until(s.until)
		s.mu.Unlock()
		if i == 0 || left < d {
			d = left
		}
	}
	return max(0, d)
}

// claimsToHave reports whether a source of this network says that it has unit seq.
func (p *pool) claimsToHave(seq uint64) bool {
	for _, s := range p.all {
		s.mu.Lock()
		has := s.other == nil && (!s.met || s.info.Pruned < seq && seq <= s.info.Newest)
		s.mu.Unlock()
		if has {
			return true
		}
	}
	return false
}

// resting reports whether some source is left alone for now, for a reason that may pass.
func (p *pool) resting() bool {
	for _, s := range p.all {
		s.mu.Lock()
		rests := s.other == nil && time.Now().Before(s.until)
		s.mu.Unlock()
		if rests {
			return true
		}
	}
	return false
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

// answer sorts an error of a source: nil and the contract's words count as answers.
func (s *asked) answer(ctx context.Context, err error) {
	switch {
	case err == nil, errors.Is(err, ErrUnknown), errors.Is(err, ErrPruned), errors.Is(err, ErrCannot):
		s.answered()
	case ctx.Err() == nil:
		s.failed(err)
	}
}

// sleep waits d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
