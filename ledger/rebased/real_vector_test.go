package rebased_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"permanode/ledger"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
)

// TestRealVector proves real closing checkpoints by the committee that the one before elected: all of them from bytes
// of nodes. The first one elects the committee of the next epoch; its own is not known here.
func TestRealVector(t *testing.T) {
	byEpoch := map[uint64]*rebased.Certified{}
	files := map[uint64][]byte{}
	for _, path := range ledgertest.Paths(t, "rebased/checkpoints/real/*.chk") {
		chk := readFile(t, path)
		head, _ := splitFile(t, chk)
		s, _, _, err := rebased.ParseHead(head)
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(path), err)
		}
		byEpoch[s.Summary.Epoch], files[s.Summary.Epoch] = s, chk
	}
	proven := 0
	for epoch, s := range byEpoch {
		before := byEpoch[epoch-1]
		if before == nil || before.Summary.EndOfEpoch == nil {
			continue
		}
		raw, err := rebased.NewTrust(rebased.TrustSpec{Epoch: epoch, Members: before.Summary.EndOfEpoch.Committee})
		if err != nil {
			t.Fatal(err)
		}
		proveAlone(t, raw, files[epoch])
		if s.Summary.Seq <= before.Summary.Seq {
			t.Errorf("checkpoint %d of epoch %d, %d of the epoch before", s.Summary.Seq, epoch, before.Summary.Seq)
		}
		proven++
	}
	if proven == 0 {
		ledgertest.Missing(t, "two closing checkpoints of consecutive epochs")
	}
}

// TestRealTrust: the trust file that lies beside the proof of a real checkpoint proves it.
func TestRealTrust(t *testing.T) {
	trust := readFile(t, "../../testdata/proof-vectors/rebased-real/trust.json")
	proveAlone(t, trust, readFile(t, "../../testdata/vectors/rebased/checkpoints/real/788.chk"))
}

func proveAlone(t *testing.T, trustFile, chk []byte) {
	t.Helper()
	trust, err := rebased.Codec{}.ParseTrust(trustFile)
	if err != nil {
		t.Fatal(err)
	}
	c := newChain(t, trust, false)
	cone := c.seal(splitFile(t, chk))
	if len(cone.Records) == 0 || len(cone.Changes) != 1 {
		t.Errorf("unit %d: %d records, %d changes", cone.Unit.Seq, len(cone.Records), len(cone.Changes))
	}
	c.reprove([]*ledger.Cone{cone})
}

// TestUnjudged: nobody can judge a checkpoint whose committee is not known, and that is no lie.
func TestUnjudged(t *testing.T) {
	for _, name := range []string{"rebased/trust.json", "rebased/trust-later-epoch.json"} {
		trust, err := rebased.Codec{}.ParseTrust(readFile(t, "../../testdata/proof-vectors/"+name))
		if err != nil {
			t.Fatal(err)
		}
		c := newChain(t, trust, false)
		head, _ := splitFile(t, readFile(t, "../../testdata/vectors/rebased/checkpoints/mininet-a/12.chk"))
		var unjudged *ledger.Unjudged
		if _, err := (rebased.Codec{}).Begin(context.Background(), head, c.start()); !errors.As(err, &unjudged) || unjudged.Seq != 12 {
			t.Errorf("%s: %v, want a unit 12 that cannot be judged", name, err)
		}
		if _, err := (rebased.Codec{}).Attest(context.Background(), [][]byte{head}, c.start()); !errors.As(err, &unjudged) {
			t.Errorf("%s: %v, want a unit that cannot be judged", name, err)
		}
	}
}
