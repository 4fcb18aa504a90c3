package check_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
	"permanode/storage/check"
	"permanode/storage/pebblestore"
)

// eraStore collects a generated network of a real era into dir, with its ledger or by claims.
func eraStore(t *testing.T, dir string, held bool, units int) {
	t.Helper()
	ctx, codec := context.Background(), stardust.Codec{}
	n := stardusttest.New(stardusttest.Options{Seed: 4})
	trust, err := codec.ParseTrust(n.Trust())
	if err != nil {
		t.Fatal(err)
	}
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: eras.Codec})
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Writer(ctx, ledger.Network{Name: "real", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := codec.Snapshot(trust, bytes.NewReader(n.Snapshot()))
	if err != nil {
		t.Fatal(err)
	}
	start := ledger.Start{Trust: trust, Held: held}
	span := storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: held}
	if held {
		span.Snapshot, span.PrevID, span.PrevTime = trust.Snapshot, snap.Unit, snap.TimeMs
		start.Snapshot = &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}
		err = w.Open(ctx, span, snap.Changes)
	} else {
		err = w.Open(ctx, span, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	start.Known = func(ctx context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids))
		for i, id := range ids {
			c, err := w.Count(ctx, w.Net(), ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, 0, ledger.MaxSeq)
			if err != nil {
				return nil, err
			}
			out[i] = c > 0
		}
		return out, nil
	}
	for range units {
		cone := prove(t, n.Next(), start)
		cone.Net = w.Net()
		if err := w.Commit(ctx, []*ledger.Cone{cone}); err != nil {
			t.Fatal(err)
		}
		start.Prev, start.Snapshot = &cone.Unit, nil
	}
	if err := errors.Join(w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// prove does what a collector does for one unit.
func prove(t *testing.T, made *stardusttest.Cone, start ledger.Start) *ledger.Cone {
	t.Helper()
	ctx, codec := context.Background(), stardust.Codec{}
	a, err := codec.Begin(ctx, made.Head, start)
	if err != nil {
		t.Fatal(err)
	}
	have := map[ledger.ID]ledger.Identified{}
	for _, id := range codec.Identify(made.Raws) {
		have[id.ID] = id
	}
	for {
		want, err := a.Want(ctx, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 {
			break
		}
		for _, id := range want {
			if one, ok := have[id]; !ok {
				a.Edge(id)
			} else if err := a.Put(one); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := codec.Prepare(a.Members())
	keys := a.StateKeys(p)
	vals, err := start.State(ctx, keys)
	if err != nil {
		t.Fatal(err)
	}
	view := ledger.View{}
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	var claims *ledger.NodeClaims
	if !start.Held {
		claims = made.Claims()
	}
	cone, err := a.Seal(p, view, claims)
	if err != nil {
		t.Fatal(err)
	}
	return cone
}

func checkEra(t *testing.T, dir string) (check.Report, []check.Finding, error) {
	t.Helper()
	db, err := pebblestore.Inspect(dir, pebblestore.Options{Codec: eras.Codec})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var found []check.Finding
	r, err := check.Run(context.Background(), check.Options{Store: db, Codec: eras.Codec, Full: true}, func(f check.Finding) { found = append(found, f) })
	return r, found, err
}

// A real era: all units prove again from the store alone, with conflicts, receipts, changed parameters and
// rotated keys; a row changed in any table is found.
func TestRealEra(t *testing.T) {
	for name, held := range map[string]bool{"ledger": true, "claims": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			units := 80
			if race.Enabled { // the race detector
				units = 8
			}
			eraStore(t, dir, held, units)
			r, found, err := checkEra(t, dir)
			if err != nil || r.Proven != uint64(units) || r.Records < uint64(20*units) {
				t.Fatalf("%+v, %v, %v", r, err, found)
			}
			clean := copyOf(t, dir)
			for _, table := range []byte("UMRPST") {
				if table == 'S' && !held {
					continue
				}
				for _, part := range []int{3, 7} {
					dir := copyOf(t, clean)
					changeRow(t, dir, table, part)
					_, found, err := checkEra(t, dir)
					if !errors.Is(err, storage.ErrCorrupt) || len(found) == 0 {
						t.Errorf("a changed row of table %c is not found: %v", table, err)
					}
					if len(found) > 20 {
						t.Errorf("a changed row of table %c gives %d findings", table, len(found))
					}
				}
			}
		})
	}
}

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// changeRow changes the row at part tenths of a table, so that all checksums of the files are right: the
// last byte of its value, or of its key where it has none.
func changeRow(t *testing.T, dir string, table byte, part int) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, pebblestore.SumsName)); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	keys, vals := rows(t, db, table)
	i := len(keys) * part / 10
	key, val := keys[i], vals[i]
	b := db.NewBatch()
	if len(val) == 0 {
		_ = b.Delete(key, nil)
		key[len(key)-1] ^= 1
	} else {
		val[len(val)-1] ^= 1
	}
	if err := errors.Join(b.Set(key, val, nil), b.Commit(pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}
