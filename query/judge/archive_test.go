package judge_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"permanode/ingest"
	"permanode/ingest/hornet2"
	"permanode/internal/replay"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/ledgertest"
	"permanode/ledger/rebased"
	"permanode/ledger/rebased/rebasedtest"
	"permanode/ledger/stardust/stardusttest"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// A feedable network: how it is named, and what sources would give of it.
type feedable struct {
	row      ledger.Network
	codec    ledger.Codec
	trust    ledger.Trust
	snapshot []byte // nil: none
	heads    [][]byte
	raws     [][][]byte

	w     storage.Writer
	start ledger.Start
}

func named(t testing.TB, name, follows string, trust []byte) *feedable {
	t.Helper()
	parsed, err := eras.ParseTrust(trust)
	if err != nil {
		t.Fatal(err)
	}
	codec, _ := eras.Codec(parsed.Era)
	return &feedable{
		row:   ledger.Network{Name: name, Era: parsed.Era, Identity: parsed.Identity, Trust: parsed.Raw, Follows: follows},
		codec: codec, trust: parsed,
	}
}

// stardustNet generates a Stardust network; interval is in seconds.
func stardustNet(t testing.TB, name, follows string, seed uint64, blocks, units int, interval uint32) *feedable {
	t.Helper()
	n := stardusttest.New(stardusttest.Options{
		Seed: seed, Name: name, Blocks: blocks, Interval: interval, Receipts: 5, Leases: 30,
		Text: func(r *rand.Rand) []byte { return somePayload(r) }, Tag: someTag,
	})
	f := named(t, name, follows, n.Trust())
	f.snapshot = n.Snapshot()
	for range units {
		c := n.Next()
		f.heads, f.raws = append(f.heads, c.Head), append(f.raws, c.Raws)
	}
	return f
}

// rebasedNet generates a Rebased network.
func rebasedNet(t testing.TB, name, follows string, seed uint64, transactions, units int, migrated [][34]byte) *feedable {
	t.Helper()
	n := rebasedtest.New(rebasedtest.Options{
		Seed: seed, Transactions: transactions, Migrated: migrated, Text: someText,
		Tag: func(r *rand.Rand) string { return string(someTag(r)) },
	})
	f := named(t, name, follows, n.Trust())
	for range units {
		c := n.Next()
		f.heads, f.raws = append(f.heads, c.Head()), append(f.raws, c.Raws())
	}
	return f
}

// vectorNets are the chains of the vectors.
func vectorNets(t testing.TB) (all []*feedable) {
	t.Helper()
	for _, folder := range ledgertest.Folders(t, "rebased/checkpoints/*/committee_epoch0.json", "chk") {
		spec, err := rebased.ParseCommitteeFile(folder.File)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := rebased.NewTrust(spec)
		if err != nil {
			t.Fatal(err)
		}
		f := named(t, filepath.Base(folder.Name), "", trust)
		for _, chk := range folder.Parts {
			head, raws, err := rebased.SplitCheckpoint(chk)
			if err != nil {
				t.Fatal(err)
			}
			f.heads, f.raws = append(f.heads, head), append(f.raws, raws)
		}
		all = append(all, f)
	}
	return all
}

func openStore(t testing.TB, dir string) *pebblestore.DB {
	t.Helper()
	db, err := pebblestore.Open(dir, pebblestore.Options{Codec: eras.Codec, Memory: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// open makes the network in a store, with its ledger.
func (f *feedable) open(ctx context.Context, t testing.TB, db *pebblestore.DB) {
	t.Helper()
	w, err := db.Writer(ctx, f.row)
	if err != nil {
		t.Fatal(err)
	}
	f.w = w
	f.start = ledger.Start{Trust: f.trust, Held: true}
	span := storage.Span{Lo: f.trust.First, Hi: f.trust.First - 1, Held: true}
	if f.snapshot == nil {
		err = w.Open(ctx, span, nil)
	} else {
		snap, serr := f.codec.Snapshot(f.trust, bytes.NewReader(f.snapshot))
		if serr != nil {
			t.Fatal(serr)
		}
		span = storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: true, Snapshot: f.trust.Snapshot, PrevID: snap.Unit, PrevTime: snap.TimeMs}
		f.start.Snapshot = &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}
		err = w.Open(ctx, span, snap.Changes)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	f.start.Known = func(ctx context.Context, ids []ledger.ID) ([]bool, error) {
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
}

// feed proves and commits the next units, at most n; it reports how many.
func (f *feedable) feed(ctx context.Context, n int) (fed int, err error) {
	for ; fed < n && len(f.heads) > 0; fed++ {
		cone, err := f.prove(ctx, f.heads[0], f.raws[0])
		if err != nil {
			return fed, err
		}
		f.heads, f.raws = f.heads[1:], f.raws[1:]
		cone.Net = f.w.Net()
		if err := f.w.Commit(ctx, []*ledger.Cone{cone}); err != nil {
			return fed, err
		}
		f.start.Prev, f.start.Snapshot = &cone.Unit, nil
	}
	return fed, nil
}

func (f *feedable) prove(ctx context.Context, head []byte, raws [][]byte) (*ledger.Cone, error) {
	a, err := f.codec.Begin(ctx, head, f.start)
	if err != nil {
		return nil, err
	}
	have := map[ledger.ID]ledger.Identified{}
	for _, id := range f.codec.Identify(raws) {
		have[id.ID] = id
	}
	for {
		want, err := a.Want(ctx, 1000)
		if err != nil {
			return nil, err
		}
		if len(want) == 0 {
			break
		}
		for _, id := range want {
			one, ok := have[id]
			if !ok {
				return nil, errors.New("the cone misses " + id.String())
			}
			if err := a.Put(one); err != nil {
				return nil, err
			}
		}
	}
	p := f.codec.Prepare(a.Members())
	keys := a.StateKeys(p)
	vals, err := f.start.State(ctx, keys)
	if err != nil {
		return nil, err
	}
	view := ledger.View{}
	for i, k := range keys {
		view[string(k)] = vals[i]
	}
	return a.Seal(p, view, nil)
}

// record collects a recording into a network of db; it returns the snapshot that opens it.
func record(ctx context.Context, t testing.TB, db *pebblestore.DB, recording, name string) []byte {
	t.Helper()
	dir := ledgertest.Recording(t, recording)
	raw, err := os.ReadFile(filepath.Join(dir, "trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot := filepath.Join(dir, "genesis_snapshot.bin")
	f := named(t, name, "", raw)
	w, err := db.Writer(ctx, f.row)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := replay.OpenRecording(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	source, err := hornet2.New(hornet2.Config{Name: "recording", URL: "http://recording.invalid", Transport: replay.Transport(replay.NewNode(rec))})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	c, err := ingest.New(ingest.Config{
		Network: name, Codec: f.codec, Trust: f.trust, Store: w, Sources: []ingest.Source{source}, Snapshot: []string{snapshot},
		Quarantine: filepath.Join(t.TempDir(), "quarantine"), Poll: 20 * time.Millisecond, Memory: 64 << 20,
	})
	if err == nil {
		err = c.CatchUp(ctx)
	}
	if err := errors.Join(err, w.Close(), rec.Close()); err != nil {
		t.Fatal(err)
	}
	return genesisOf(t, recording)
}

// genesisOf returns the snapshot that a recording begins with.
func genesisOf(t testing.TB, recording string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(ledgertest.Recording(t, recording), "genesis_snapshot.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
