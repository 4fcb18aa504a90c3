package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"permanode/ledger"
)

const (
	otherPause  = time.Minute // until a source of another network is looked at again
	infoTimeout = 15 * time.Second
	// grace is how long the others have once one source has answered: a slow one must not stand in the way.
	grace = time.Second
)

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

// ready returns the sources that may be asked now: those with the smallest penalty first, then in the order
// of the configuration.
func (p *pool) ready() []*asked {
	var out []*asked
	penalty := map[*asked]int{}
	for _, s := range p.all {
		if s.ready() {
			penalty[s] = s.weighed()
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b *asked) int { return penalty[a] - penalty[b] })
	return out
}

// askAll asks several sources at once. When one has answered, the others have only grace left. errs[i] is
// what one returned for sources[i]. It fails only with the context.
func askAll(ctx context.Context, sources []*asked, one func(ctx context.Context, i int) error) (errs []error, err error) {
	limit, cancel := context.WithCancel(ctx)
	defer cancel()
	errs = make([]error, len(sources))
	var wg sync.WaitGroup
	var first sync.Once
	var hurry *time.Timer
	for i, s := range sources {
		wg.Go(func() {
			began := time.Now()
			errs[i] = one(limit, i)
			s.answer(ctx, errs[i], time.Since(began))
			if errs[i] == nil {
				first.Do(func() { hurry = time.AfterFunc(grace, cancel) })
			}
		})
	}
	wg.Wait()
	if hurry != nil {
		hurry.Stop()
	}
	return errs, ctx.Err()
}

// refresh asks every source that is not left alone what it has. It fails only with the context.
func (p *pool) refresh(ctx context.Context) error {
	var todo []*asked
	for _, s := range p.all {
		s.mu.Lock()
		if !time.Now().Before(s.until) {
			todo = append(todo, s)
		}
		s.mu.Unlock()
	}
	_, err := askAll(ctx, todo, func(ctx context.Context, i int) error {
		ctx, cancel := context.WithTimeout(ctx, infoTimeout)
		defer cancel()
		info, err := todo[i].Info(ctx)
		if err != nil {
			return fmt.Errorf("asked what it has: %s", err) // whatever it is, it is no answer to this
		}
		p.meet(todo[i], info)
		return nil
	})
	return err
}

// meet takes what a source says of itself, and refuses it if it serves another network.
func (p *pool) meet(s *asked, info Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info, s.met, s.other = info, true, nil
	if info.Identity != "" && info.Identity != p.identity || !strings.HasPrefix(p.identity, info.Begin) {
		s.other = &OtherNetworkError{Source: s.Name(), Got: cmp.Or(info.Identity, info.Begin), Want: p.identity, Name: info.Name}
		s.lastErr, s.until = s.other, time.Now().Add(otherPause)
	}
}

// span returns the oldest and newest unit that the sources of this network claim, and whether any spoke.
func (p *pool) span() (oldest, newest uint64, ok bool) {
	for _, s := range p.all {
		s.mu.Lock()
		if s.met && s.other == nil {
			if !ok || s.info.Oldest < oldest {
				oldest = s.info.Oldest
			}
			newest, ok = max(newest, s.info.Newest), true
		}
		s.mu.Unlock()
	}
	return oldest, newest, ok
}

// pruned reports whether every source of this network has pruned unit seq.
func (p *pool) pruned(seq uint64) bool {
	oldest, _, ok := p.span()
	return ok && seq < oldest
}

// missingTo returns up to where, from unit seq on, no source says that it has anything; seq-1 if one may have seq.
func (p *pool) missingTo(seq uint64) uint64 {
	for {
		end, ok := uint64(0), false // of the widest hole at seq that everybody has
		for _, s := range p.all {
			s.mu.Lock()
			to, lacks := seq, s.other != nil
			if s.met && !lacks {
				to, lacks = s.info.missingTo(seq)
			}
			skip := s.other != nil
			s.mu.Unlock()
			if skip {
				continue
			}
			if !lacks {
				return seq - 1
			}
			if !ok || to < end {
				end, ok = to, true
			}
		}
		if !ok || end == ledger.MaxSeq {
			return seq - 1
		}
		seq = end + 1
	}
}

// missingTo reports whether the source says that it has not unit seq, and up to which unit then.
func (i *Info) missingTo(seq uint64) (to uint64, missing bool) {
	if seq < i.Oldest {
		return i.Oldest - 1, true
	}
	if seq > i.Newest {
		return ledger.MaxSeq, true
	}
	for _, r := range i.Missing {
		if r.Lo <= seq && seq <= r.Hi {
			return r.Hi, true
		}
	}
	return 0, false
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

// has reports whether the source says that it has unit seq.
func (i *Info) has(seq uint64) bool {
	_, missing := i.missingTo(seq)
	return !missing
}

// silent reports whether no source of this network answers any more: each failed several times in a row.
func (p *pool) silent() bool {
	for _, s := range p.all {
		s.mu.Lock()
		speaks := s.other == nil && s.fails < 3
		s.mu.Unlock()
		if speaks {
			return false
		}
	}
	return true
}

// claimsToHave reports whether a source of this network says that it has unit seq.
func (p *pool) claimsToHave(seq uint64) bool {
	for _, s := range p.all {
		s.mu.Lock()
		has := s.other == nil && (!s.met || s.info.has(seq))
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
