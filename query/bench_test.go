package query_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"permanode/index"
	"permanode/internal/follow"
	"permanode/ledger/eras"
	"permanode/ledger/stardust/stardusttest"
	"permanode/query"
	"permanode/query/querytest"
)

// BenchmarkSearch asks an archive of 20,000 generated records for the ten newest hits and the exact total.
func BenchmarkSearch(b *testing.B) {
	a := corpus(b, 100, 200)
	networks := querytest.Must(a.Networks(b.Context()))
	r := rand.New(rand.NewPCG(3, 4))
	words := rand.NewZipf(r, 1.1, 1, 4999)
	tags, addresses := rand.NewZipf(r, 1.2, 1, 499), rand.NewZipf(r, 1.1, 1, 1999)
	word := func() string { return stardusttest.CorpusWord(int(words.Uint64())) }
	tag := func() string { return "tag:" + stardusttest.CorpusTag(int(tags.Uint64())) }
	var ids []string
	for _, h := range querytest.Must(a.Search(b.Context(), query.SearchRequest{Networks: networks, Query: "NOT kind:unit", Limit: 1000})).Hits {
		rec := querytest.Must(a.Record(b.Context(), h.Network, h.Ord))
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
	db, n, next := querytest.Generated(b, blocks)
	for range units {
		next()
	}
	x := querytest.Must(index.Open(b.TempDir(), index.Options{Store: db, Codec: eras.Codec}))
	b.Cleanup(func() { x.Close() })
	if err := follow.CatchUp(b.Context(), db, n.ID, querytest.Must(x.Follower(n))); err != nil {
		b.Fatal(err)
	}
	a := query.New(db, eras.Codec)
	a.UseIndex(x)
	return a
}
