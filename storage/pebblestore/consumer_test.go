package pebblestore_test

import (
	"context"
	"iter"
	"runtime"
	"testing"

	"permanode/ledger"
	"permanode/storage"
	"permanode/storage/pebblestore"
	"permanode/storage/storagetest"
)

// Whatever ends a consumer in the middle of what the store hands out, a panic or the end of its goroutine, the store closes:
// nothing of it stays open.
func TestConsumerThatDies(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 12)
	g := storagetest.NewGen(1, storagetest.Shape{})
	first := g.Span().Lo
	var key ledger.Key
	for name, each := range map[string]func(db *pebblestore.DB, die func()){
		"cones":  func(db *pebblestore.DB, die func()) { each(db.Cones(t.Context(), 1, first, first+11), die) },
		"lookup": func(db *pebblestore.DB, die func()) { each(db.Lookup(t.Context(), 1, key, storage.Scan{}), die) },
		"lookup of a prefix, backwards": func(db *pebblestore.DB, die func()) {
			each(db.Lookup(t.Context(), 1, ledger.Key{Kind: key.Kind}, storage.Scan{Prefix: true, Reverse: true}), die)
		},
		"keys": func(db *pebblestore.DB, die func()) {
			each(db.Keys(t.Context(), 1, ledger.Key{Kind: key.Kind}, ""), die)
		},
		"notes":    func(db *pebblestore.DB, die func()) { each(db.Notes(t.Context(), 1), die) },
		"postings": func(db *pebblestore.DB, die func()) { each(db.RawPostings(t.Context(), 1), die) },
	} {
		for how, die := range map[string]func(){"panic": func() { panic("a consumer") }, "goexit": runtime.Goexit} {
			t.Run(name+" "+how, func(t *testing.T) {
				db, err := pebblestore.Open(dir, pebblestore.Options{Codec: storagetest.Codecs})
				if err != nil {
					t.Fatal(err)
				}
				w, err := db.Writer(context.Background(), g.Network())
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Note(context.Background(), storage.Note{Net: 1, Kind: storage.NoteRefused, Seq: 1, Source: "s"}); err != nil {
					t.Fatal(err)
				}
				for p, err := range db.RawPostings(t.Context(), 1) {
					if err != nil {
						t.Fatal(err)
					}
					key = p.Key
					break
				}
				died, ended := false, make(chan struct{})
				go func() {
					defer close(ended)
					defer func() { _ = recover() }()
					each(db, func() { died = true; die() })
				}()
				<-ended
				if !died {
					t.Error("there was nothing to consume")
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func each[T any](all iter.Seq2[T, error], do func()) {
	for range all {
		do()
	}
}
