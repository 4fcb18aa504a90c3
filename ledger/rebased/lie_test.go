package rebased_test

import (
	"errors"
	"os"
	"slices"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased/rebasedtest"
)

// mutants returns how many lies of each name a test tells: 1,000 in `make torture`, fewer in CI.
func mutants() int {
	if os.Getenv("PERMANODE_TORTURE") != "" {
		return 1000
	}
	return 12
}

// TestUnitLies: each lie about a checkpoint or its certificate is refused with the right code, and honest checkpoints
// are sealed beside them.
func TestUnitLies(t *testing.T) { tellAll(t, rebasedtest.UnitLies) }

// TestRecordLies: each lie about what a checkpoint lists is refused with the right code.
func TestRecordLies(t *testing.T) { tellAll(t, rebasedtest.RecordLies) }

func tellAll(t *testing.T, lies []rebasedtest.Lie) {
	want := mutants()
	count := map[string]int{}
	for seed := uint64(0); len(count) < len(lies) || !enough(count, want); seed++ {
		if seed == 2000 {
			t.Fatalf("some lies can hardly be told: %v of %d", count, want)
		}
		n, c := network(t, rebasedtest.Options{Seed: seed, Transactions: 4, Epoch: 3, Validators: 1 + int(seed%9)})
		for range 7 {
			cp := n.Next()
			for i := range lies {
				l := &lies[i]
				if count[l.Name] >= want {
					continue
				}
				told := l.Tell(n, cp)
				if told == nil {
					continue
				}
				count[l.Name]++
				_, err := c.prove(told.Head, told.Raws)
				if code := codeOf(err); !slices.Contains(l.Codes, code) {
					t.Errorf("%s of checkpoint %d (seed %d): %v, code %q, want one of %q", l.Name, cp.Summary.Seq, seed, err, code, l.Codes)
				}
			}
			c.seal(cp.Head(), cp.Raws())
		}
	}
}

func enough(count map[string]int, want int) bool {
	for _, n := range count {
		if n < want {
			return false
		}
	}
	return true
}

// codeOf returns why bytes were refused.
func codeOf(err error) string {
	var forged *ledger.Forged
	var mismatch *ledger.Mismatch
	var missing missingError
	switch {
	case errors.As(err, &forged):
		return forged.Code
	case errors.As(err, &mismatch):
		return "mismatch"
	case errors.As(err, &missing):
		return "missing"
	case errors.Is(err, ledger.ErrSyntax):
		return "syntax"
	}
	return ""
}
