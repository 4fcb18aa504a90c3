package query_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/ledger"
	"permanode/ledger/eras"
	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/storage"
	"permanode/storage/pebblestore"
)

// BenchmarkSearch asks an archive of 20,000 generated records for the ten newest hits and the exact total.
func BenchmarkSearch(b *testing.B) {
	a := corpus(b, 100, 200)
	networks := must(a.Networks(b.Context()))
	r := rand.New(rand.NewPCG(3, 4))
	words := rand.NewZipf(r, 1.1, 1, 4999)
	tags, addresses := rand.NewZipf(r, 1.2, 1, 499), rand.NewZipf(r, 1.1, 1, 1999)
	word := func() string { return stardusttest.CorpusWord(int(words.Uint64())) }
	tag := func() string { return "tag:" + stardusttest.CorpusTag(int(tags.Uint64())) }
	var ids []string
	for _, h := range must(a.Search(b.Context(), query.SearchRequest{Networks: networks, Query: "NOT kind:unit", Limit: 1000})).Hits {
		rec := must(a.Record(b.Context(), h.Network, h.Ord))
		ids = append(ids, h.Network.Codec.FormatID(rec.ID))
	}
	for _, c := range []struct {
		name string
		ask  func() string
	}{
		{"tag", tag},
		{"id", func() string { return "id:" + ids[r.IntN(len(ids))] }},
		{"address", func() string {
			a := stardusttest.CorpusAddress(int(addresses.Uint64()))
			return fmt.Sprintf("addr:0x00%x", a[1:])
		}},
		{"word", word},
		{"phrase", func() string { return fmt.Sprintf("%q", word()+" "+word()) }},
		{"boolean", func() string { return word() + " " + word() + " unit:20..80" }},
		{"tag-word", func() string { return tag() + " " + word() }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				got, err := a.Search(b.Context(), query.SearchRequest{Networks: networks, Query: c.ask(), Limit: 10})
				if err != nil || got.Total.Relation != "exact" {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// corpus is an archive of a generated network with traffic to search in, and its index.
func corpus(b *testing.B, units, blocks int) *query.Archive {
	db, n, next := generated(b, blocks)
	for range units {
		next()
	}
	x := must(index.Open(b.TempDir(), index.Options{Store: db, Codec: eras.Codec}))
	b.Cleanup(func() { x.Close() })
	if err := follow.CatchUp(b.Context(), db, n.ID, must(x.Follower(n))); err != nil {
		b.Fatal(err)
	}
	a := query.New(db, eras.Codec)
	a.UseIndex(x)
	return a
}

// generated is a store for a generated network; next proves and commits a unit of so many blocks, and returns
// how many records it has.
func generated(b *testing.B, blocks int) (db *pebblestore.DB, n ledger.Network, next func() (rows int)) {
	gen := stardusttest.New(stardusttest.Options{Seed: 1, Blocks: blocks, Corpus: &stardusttest.Corpus{Tags: 500, Addresses: 2000, Words: 5000}})
	trust := must(eras.ParseTrust(gen.Trust()))
	codec, _ := eras.Codec(trust.Era)
	db = must(pebblestore.Open(b.TempDir(), pebblestore.Options{Codec: eras.Codec, Memory: 256 << 20}))
	b.Cleanup(func() { db.Close() })
	n = ledger.Network{Name: "corpus", Era: trust.Era, Identity: trust.Identity, Trust: trust.Raw}
	w := must(db.Writer(b.Context(), n))
	n.ID = w.Net()
	snap := must(codec.Snapshot(trust, bytes.NewReader(gen.Snapshot())))
	span := storage.Span{Lo: snap.Seq + 1, Hi: snap.Seq, Held: true, Snapshot: trust.Snapshot, PrevID: snap.Unit, PrevTime: snap.TimeMs}
	if err := w.Open(b.Context(), span, snap.Changes); err != nil {
		b.Fatal(err)
	}
	start := ledger.Start{Trust: trust, Held: true, Snapshot: &ledger.Unit{Seq: snap.Seq, ID: snap.Unit, TimeMs: snap.TimeMs}}
	start.State = func(ctx context.Context, keys [][]byte) ([][]byte, error) { return w.State(ctx, w.Net(), keys) }
	start.Known = func(_ context.Context, ids []ledger.ID) ([]bool, error) {
		out := make([]bool, len(ids)) // each cone stands on the block of the milestone before
		for i, id := range ids {
			n, err := w.Count(b.Context(), w.Net(), ledger.Key{Kind: ledger.KeyRecord, Val: id.Key()}, 0, ledger.MaxSeq)
			if err != nil {
				return nil, err
			}
			out[i] = n > 0
		}
		return out, nil
	}
	return db, n, func() int {
		c := gen.Next()
		cone := seal(b, codec, c.Head, c.Raws, start)
		cone.Net = w.Net()
		if err := w.Commit(b.Context(), []*ledger.Cone{cone}); err != nil {
			b.Fatal(err)
		}
		start.Prev, start.Snapshot = &cone.Unit, nil
		return len(cone.Records)
	}
}
