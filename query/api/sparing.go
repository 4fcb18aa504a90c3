package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// sparing says when something that can happen with each request was logged last. Its keys are few: types of problems.
type sparing struct {
	mu   sync.Mutex
	last map[string]told
}

type told struct {
	at      time.Time
	skipped int // since then
}

// sparingTime is how long the same trouble is not told again.
const sparingTime = time.Minute

// take reports whether something is to be told now, and how often it was not since it was told.
func (s *sparing) take(what string, now time.Time) (skipped int, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]told{}
	}
	t, known := s.last[what]
	if past := now.Sub(t.at); known && past >= 0 && past < sparingTime {
		t.skipped++
		s.last[what] = t
		return 0, false
	}
	s.last[what] = told{at: now}
	return t.skipped, true
}

// logFailed tells the operator of a request that failed by no fault of who asked. That the service cannot do something for
// now (503) holds for all requests alike, and is told once in a while: the log may lie on the disk that is full.
func (a *service) logFailed(p *Problem, id string, err error) {
	switch {
	case p.Status < http.StatusInternalServerError:
	case p.Status == http.StatusServiceUnavailable:
		a.logOften(p.Type, "request failed", id, err)
	default:
		a.Log.Error("request failed", "request_id", id, "err", err)
	}
}

// logOften tells what can go wrong with each request, once a minute of each kind.
func (a *service) logOften(kind, text, id string, err error) {
	level, more := slog.LevelDebug, 0
	if skipped, tell := a.sparing.take(kind, time.Now()); tell {
		level, more = slog.LevelError, skipped
	}
	a.Log.Log(context.Background(), level, text, "request_id", id, "err", err, "more_since_the_last", more)
}
