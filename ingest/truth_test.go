package ingest_test

import (
	"testing"

	"go.uber.org/goleak"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/race"
	"permanode/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both recordings, from a folder and over HTTP, with a ledger and by claims: all four come to the truth.
func TestTruth(t *testing.T) {
	for _, name := range recordings {
		all := readTruth(t, name)
		sources := map[string]func(t *testing.T) ingest.Source{
			"folder": func(t *testing.T) ingest.Source {
				return source(t, hornet2.Config{Name: "folder", Transport: folder(t, ledgertest.Recording(t, name)).Transport()})
			},
			"rest": func(t *testing.T) ingest.Source {
				return source(t, hornet2.Config{URL: serve(t, node(t, name))})
			},
		}
		for from, open := range sources {
			if race.Enabled && name == "stardust" && from == "folder" {
				continue
			}
			t.Run(name+"/"+from+"/ledger", func(t *testing.T) {
				r := newRig(t, trustOf(t, name))
				cfg := r.config(noClaims{open(t), t})
				cfg.Snapshot = []string{snapshotOf(t, name)}
				if err := r.collector(cfg).CatchUp(testContext(t)); err != nil {
					t.Fatal(err)
				}
				r.check(all, true)
			})
			if race.Enabled && name == "stardust" {
				continue // one way is enough to find races
			}
			t.Run(name+"/"+from+"/claims", func(t *testing.T) {
				r := newRig(t, trustOf(t, name))
				if err := r.collector(r.config(open(t))).CatchUp(testContext(t)); err != nil {
					t.Fatal(err)
				}
				r.check(all, false)
				if n := r.noteKinds(); len(n) != 0 {
					t.Errorf("an honest source was noted: %v", n)
				}
			})
		}
	}
}
