package archive_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"permanode/ingest/archive"
	"permanode/ledger"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/storage"
)

// TestConesUndecoded: a cone file gives the same raws as the source of its cones did, also of records that nobody can
// read: it has no ids, but the unit lists them.
func TestConesUndecoded(t *testing.T) {
	n := rebasedtest.New(rebasedtest.Options{Unknown: 1, Transactions: 2, Seed: 7})
	codec := rebased.Codec{}
	path := filepath.Join(t.TempDir(), "x.cones")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := storage.NewConeWriter(f, rebased.Era, "a network")
	if err != nil {
		t.Fatal(err)
	}
	var cps []*rebasedtest.Checkpoint
	for range 8 {
		cp := n.Next()
		cps = append(cps, cp)
		u, err := codec.Unit(cp.Head())
		if err != nil {
			t.Fatal(err)
		}
		cone := &ledger.Cone{Unit: u}
		for i := range cp.Records {
			cone.Records = append(cone.Records, ledger.Record{State: ledger.Executed, Basis: ledger.ByRoot, Parts: cp.Records[i].Parts()})
		}
		if err := w.Write(cone); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := archive.OpenCones(path, codec)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for _, cp := range cps {
		head, raws, err := src.Cone(context.Background(), cp.Summary.Seq)
		if err != nil || !bytes.Equal(head, cp.Head()) {
			t.Fatalf("unit %d: %v, or another head", cp.Summary.Seq, err)
		}
		for i, want := range cp.Raws() {
			if !bytes.Equal(raws[i], want) {
				t.Errorf("record %d of unit %d has another raw", i, cp.Summary.Seq)
			}
		}
	}
}
