package query

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func came(x *turn) bool {
	select {
	case <-x.may:
		return true
	default:
		return false
	}
}

// Who comes later and wants little waits for one turn of each other one, not for all that they want.
func TestTurnsAreShared(t *testing.T) {
	q := newTurns(parallelBacklogs)
	var greedy []*turn
	for range 1000 {
		greedy = append(greedy, q.ask("greedy"))
	}
	for i, x := range greedy {
		if came(x) != (i < parallelBacklogs) {
			t.Fatalf("turn %d: %v", i, came(x))
		}
	}
	a, b := q.ask("a"), q.ask("b")
	for i := range 3 { // greedy, a, b
		q.end(greedy[i])
	}
	if !came(a) || !came(b) || !came(greedy[parallelBacklogs]) || came(greedy[parallelBacklogs+1]) {
		t.Errorf("after three turns: a %v, b %v, greedy %v %v", came(a), came(b), came(greedy[parallelBacklogs]), came(greedy[parallelBacklogs+1]))
	}
}

// Whatever is asked for and given back, no more work at once than may, nobody waits while there is room, nobody is
// forgotten, and between two turns of one caller each other one who waited all the while had one.
func TestTurnsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 3
		q := newTurns(most)
		var waiting, working []*turn
		passed := map[string]map[string]int{} // who waits: how many turns others had meanwhile
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			all := append(append([]*turn{}, waiting...), working...)
			if len(all) == 0 || rapid.Bool().Draw(t, "ask") {
				who := fmt.Sprint("caller ", rapid.IntRange(0, 3).Draw(t, "who"))
				if x := q.ask(who); !came(x) {
					waiting = append(waiting, x)
				} else {
					working = append(working, x)
				}
			} else {
				x := rapid.SampledFrom(all).Draw(t, "end")
				q.end(x)
				waiting, working = without(waiting, x), without(working, x)
			}
			left := waiting[:0]
			for _, x := range waiting {
				if !came(x) {
					left = append(left, x)
					continue
				}
				working = append(working, x)
				for _, turns := range passed {
					turns[x.who]++
				}
				delete(passed, x.who)
			}
			waiting = left
			waits := map[string]bool{}
			for _, x := range waiting {
				waits[x.who] = true
				if passed[x.who] == nil {
					passed[x.who] = map[string]int{}
				}
			}
			for who, turns := range passed {
				if !waits[who] {
					delete(passed, who)
				}
				for other, n := range turns {
					if n > 1 && waits[who] {
						t.Fatalf("%s had %d turns while %s waited", other, n, who)
					}
				}
			}
			if len(working) > most || len(waiting) > 0 && len(working) < most || q.free != most-len(working) {
				t.Fatalf("%d work, %d wait, %d are free", len(working), len(waiting), q.free)
			}
			if len(q.waiting) != len(waits) || len(q.order) != len(waits) {
				t.Fatalf("%d callers wait, kept are %d and %d", len(waits), len(q.waiting), len(q.order))
			}
		}
	})
}

func without(all []*turn, x *turn) (left []*turn) {
	for _, y := range all {
		if y != x {
			left = append(left, y)
		}
	}
	return left
}

// Who leaves while he waits keeps nobody from working.
func TestTurnOfWhoLeaves(t *testing.T) {
	c := &Stream{topic: &topic{hub: &Streams{work: newTurns(1)}}, who: "a", sent: time.Now()}
	first := c.hub.work.ask("b")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := c.begin(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	c.hub.work.end(first)
	if !came(c.hub.work.ask("c")) {
		t.Error("a turn is kept by one who left")
	}
}
