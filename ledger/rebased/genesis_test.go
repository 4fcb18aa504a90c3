package rebased_test

import (
	"context"
	"errors"
	"testing"

	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
)

// TestGenesisOfAnother begins checkpoint 1 of a network that the same committee signs: without checkpoint 0 its
// predecessor alone tells that it is another one.
func TestGenesisOfAnother(t *testing.T) {
	ours, other := rebasedtest.New(rebasedtest.Options{Seed: 7}), rebasedtest.New(rebasedtest.Options{Seed: 7, Migrated: make([][34]byte, 1)})
	trust, err := rebased.Codec{}.ParseTrust(ours.Trust())
	if err != nil {
		t.Fatal(err)
	}
	at := ledger.Start{Trust: trust, State: func(_ context.Context, keys [][]byte) ([][]byte, error) { return make([][]byte, len(keys)), nil }}
	ours.Next()
	other.Next()
	if _, err := (rebased.Codec{}).Begin(t.Context(), ours.Next().Head(), at); err != nil {
		t.Errorf("our own: %v", err)
	}
	var forged *ledger.Forged
	if _, err := (rebased.Codec{}).Begin(t.Context(), other.Next().Head(), at); !errors.As(err, &forged) || forged.Code != "unit.genesis" {
		t.Errorf("the other one's: %v", err)
	}
}
