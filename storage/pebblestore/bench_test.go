package pebblestore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// BenchmarkGrowth shows what count, sum and the sum up to any unit (a balance then) of a key cost as its list grows,
// beside a bare iteration of its rows: with all postings in few units, and with one in each thousandth.
func BenchmarkGrowth(b *testing.B) {
	key := ledger.Key{Kind: ledger.KeyAddress, Val: "\x00" + string(make([]byte, 32))}
	for _, n := range []int{100_000, 1_000_000, 10_000_000} {
		for _, d := range []struct {
			name string
			per  int
			unit uint64
		}{{"dense", 20_000, 1}, {"thin", 1, 1000}} {
			db, err := pebblestore.Open(b.TempDir(), pebblestore.Options{Codec: storagetest.Codecs})
			if err != nil {
				b.Fatal(err)
			}
			w, err := db.Writer(context.Background(), ledger.Network{Name: "growth", Era: storagetest.Era})
			if err != nil {
				b.Fatal(err)
			}
			if err := w.Open(context.Background(), storage.Span{Lo: 1, Held: true}, nil); err != nil {
				b.Fatal(err)
			}
			last, err := pebblestore.Fill(w, key, n, d.per, d.unit)
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			name := fmt.Sprintf("%s/%d/", d.name, n)
			b.Run(name+"count", func(b *testing.B) {
				for b.Loop() {
					if got, err := db.Count(ctx, 1, key, 0, ledger.MaxSeq); err != nil || got != uint64(n) {
						b.Fatal(got, err)
					}
				}
			})
			b.Run(name+"sum", func(b *testing.B) {
				for b.Loop() {
					if _, err := db.Sum(ctx, 1, key, 0, ledger.MaxSeq); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"sum-between", func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				for b.Loop() {
					lo, hi := rng.Uint64N(last)+1, rng.Uint64N(last)+1
					if _, err := db.Sum(ctx, 1, key, min(lo, hi), max(lo, hi)); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(name+"raw", func(b *testing.B) {
				for b.Loop() {
					if got, _ := pebblestore.Iterate(db, key); got != n {
						b.Fatal(got)
					}
				}
			})
			_ = db.Close() // it misses the units themselves
		}
	}
}

// BenchmarkBlocks shows what totals add to a commit: the share of its time, over a store that grows. Half of the keys are in
// every other record, the others are new.
func BenchmarkBlocks(b *testing.B) {
	for b.Loop() {
		db, err := pebblestore.Open(b.TempDir(), pebblestore.Options{Codec: storagetest.Codecs})
		if err != nil {
			b.Fatal(err)
		}
		g := storagetest.NewGen(1, storagetest.Shape{MaxRecords: 200, MaxPayload: 1200, Claims: true})
		w, err := db.Writer(context.Background(), g.Network())
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Open(context.Background(), g.Span(), nil); err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		var commit, total time.Duration
		records, addr := 0, make([]byte, 33)
		for records < 200_000 {
			var cones []*ledger.Cone
			for range 5 {
				c := g.Next(1)
				for i := range c.Records {
					r := &c.Records[i]
					for j := range 3 {
						n := rng.Uint64N(8)
						if j > 0 {
							n = rng.Uint64()
						}
						binary.BigEndian.PutUint64(addr[1:], n)
						r.Posts = append(r.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyAddress, Val: string(addr)}, Role: ledger.RoleReceive, Value: ledger.Coins(n)})
					}
					r.Posts = ledger.MergePostings(r.Posts)
				}
				records += len(c.Records)
				cones = append(cones, c)
			}
			x, y, err := pebblestore.CommitAndTotal(w, cones)
			if err != nil {
				b.Fatal(err)
			}
			commit, total = commit+x, total+y
		}
		b.ReportMetric(float64(commit.Nanoseconds())/float64(records), "commit-ns/record")
		b.ReportMetric(float64(total.Nanoseconds())/float64(records), "totals-ns/record")
		b.ReportMetric(100*float64(total)/float64(commit), "%")
		if err := badTotals(db); err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
