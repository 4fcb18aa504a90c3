package ingest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"permanode/internal/race"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// T-L12: a signed checkpoint larger than memory allows is refused with its number named; what lies before it is there,
// and with more memory the chain goes on.
func TestRebasedLiesHugeCheckpoint(t *testing.T) {
	if race.Enabled {
		t.Skip("the bound of memory is held by the same goroutines in TestLiesHugeCone")
	}
	const before = 3
	c := newChain(t, rebasedtest.Options{Seed: seed(t), Transactions: 2}, before)
	c.grow(t, 900)
	c.grow(t, 2)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c.trust)
		cfg := r.config(c.node("honest"))
		cfg.Memory = 4 << 20
		err := r.collector(cfg).CatchUp(context.Background())
		if !errors.Is(err, storage.ErrIncomplete) || !strings.Contains(err.Error(), storage.ErrTooLarge.Error()) {
			t.Fatalf("error %v", err)
		}
		r.checkFiles(c.files, 0, before-1, nil)
		if gaps := r.coverage().Gaps; len(gaps) != 1 || gaps[0].From != before {
			t.Errorf("gaps %+v", gaps)
		}
		if n := r.refusals(); len(n) != 0 {
			t.Errorf("an honest source is refused: %v", n)
		}
		if err := r.collector(r.config(c.node("honest"))).CatchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		r.checkFiles(c.files, 0, before+1, nil)
	})
}
