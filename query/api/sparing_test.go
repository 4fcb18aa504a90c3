package api

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What the service cannot do for now is told once a minute for all who ask, with how many did; what is wrong with one answer
// is told each time.
func TestTroublesAreToldSparingly(t *testing.T) {
	var log bytes.Buffer
	a := &service{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	for range 50 {
		a.logFailed(problem("no-trail", "x"), "id", errors.New("the disk is full"))
		a.logFailed(problem("overloaded", "x"), "id", errors.New("busy"))
		a.logFailed(problem("corrupt", "x"), "id", errors.New("damaged"))
		a.logFailed(problem("bad-id", "x"), "id", errors.New("wrong"))
	}
	for text, want := range map[string]int{"the disk is full": 1, "busy": 1, "damaged": 50, "wrong": 0} {
		if got := strings.Count(log.String(), text); got != want {
			t.Errorf("%q is told %d times, want %d", text, got, want)
		}
	}
	var s sparing
	at := time.Unix(1700000000, 0)
	for i, c := range []struct {
		after   time.Duration
		skipped int
		tell    bool
	}{{0, 0, true}, {time.Second, 0, false}, {59 * time.Second, 0, false}, {time.Minute, 2, true}, {2 * time.Minute, 0, true}, {0, 0, true}} {
		if skipped, tell := s.take("x", at.Add(c.after)); skipped != c.skipped || tell != c.tell {
			t.Errorf("%d: %d %v", i, skipped, tell)
		}
	}
}
