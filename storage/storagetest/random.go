package storagetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"permanode/internal/race"
	"permanode/ledger"
	"permanode/storage"
)

// testRandom runs random operations beside the model, from a printed seed.
func testRandom(t *testing.T, e Engine) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	r := start(t, e, seed, Shape{MaxRecords: 6, Claims: rng.IntN(3) == 0, Lo: uint64(1 + rng.IntN(3))})
	var ahead []*ledger.Cone // made, not committed
	all := []*ledger.Cone{}
	steps := 400
	if race.Enabled {
		steps = 150
	}
	for range steps {
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			n := 1 + rng.IntN(4)
			ahead = append(ahead, r.next(n)...)
			all = append(all, ahead[len(ahead)-n:]...)
			n = 1 + rng.IntN(len(ahead))
			r.commit(ahead[:n]...)
			ahead = ahead[n:]
		case 4:
			if n := len(all) - len(ahead); n > 0 {
				i := rng.IntN(n)
				r.commit(all[i : i+1+rng.IntN(n-i)]...)
			}
		case 5:
			lo := uint64(1 + rng.IntN(300))
			n := storage.Note{Net: r.w.Net(), Kind: storage.NoteGap, Seq: lo, To: lo + uint64(rng.IntN(40)), Text: string(rune('a' + rng.IntN(3)))}
			if err := r.w.Note(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			r.m.Note(n)
		case 6:
			n := storage.Note{Net: r.w.Net(), Kind: storage.NoteRefused, Seq: uint64(rng.IntN(5)), Source: string(rune('a' + rng.IntN(3))), TimeMs: rng.Int64()}
			if err := r.w.Note(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			r.m.Note(n)
		case 7:
			r.reopen()
		case 8:
			if len(ahead) > 1 {
				if err := r.w.Commit(t.Context(), ahead[1:2]); err == nil {
					t.Fatal("a cone behind a gap was taken")
				}
			}
		case 9:
			r.check(3)
		}
	}
	r.check(0)
}

// testBulk commits many cones while readers walk behind, and compares.
func testBulk(t *testing.T, e Engine) {
	r := start(t, e, 16, Shape{MaxRecords: 3, MaxPayload: 40})
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	s, net := r.s, r.w.Net()
	for i := range 2 {
		readers.Go(func() { follow(ctx, t, s, net, i == 0) })
	}
	cones := 100_000
	if race.Enabled {
		cones = 2_000
	}
	for done := 0; done < cones; {
		n := min(1+done%50, cones-done)
		r.commit(r.next(n)...)
		done += n
	}
	cancel()
	readers.Wait()
	r.check(300)
	r.reopen()
	r.check(300)
}

// follow reads what is new until ctx ends: nothing of a unit may be missing or be there too early.
func follow(ctx context.Context, t *testing.T, r storage.Reader, net ledger.NetID, cones bool) {
	next := uint64(1)
	for {
		wake := r.Changed(net)
		cov, err := r.Coverage(ctx, net)
		if err == nil && len(cov.Spans) == 1 && cov.Spans[0].Hi >= next {
			hi := cov.Spans[0].Hi
			err = followUnits(ctx, r, net, next, hi, cones)
			next = hi + 1
			if err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.Errorf("reader at %d: %v", next, err)
			return
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return
		}
	}
}

func followUnits(ctx context.Context, r storage.Reader, net ledger.NetID, lo, hi uint64, cones bool) error {
	if cones {
		return firstError(r.Cones(ctx, net, lo, hi))
	}
	u, m, err := r.Unit(ctx, net, hi)
	if err != nil {
		return err
	}
	n, err := r.Count(ctx, net, ledger.Key{Kind: ledger.KeyUnit, Val: u.ID.Key()}, hi, hi)
	if err == nil && (n != 1 || len(m) == 0) {
		err = storage.ErrNotFound
	}
	return err
}
