package judge_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"permanode/index/lang"
)

// What is a query for the judge is one for the program, and nothing else: generated ones, and those with a few
// characters changed.
func TestLanguage(t *testing.T) {
	ctx := context.Background()
	seed := seedOf(t)
	a := newArchive(ctx, t, seed, size{units: 6, blocks: 12, transactions: 6})
	a.feedAll(ctx, t)
	r := rand.New(rand.NewPCG(seed, 1))
	ask := newAsker(r, a.world.nets)
	ways := []rune(`"\:=*() ax.0NOTANDOR` + "\u00a0\u3000権")
	bad := 0
	for range 20_000 {
		query := []rune(ask.query())
		for range r.IntN(4) {
			switch at := r.IntN(len(query) + 1); {
			case r.IntN(2) == 0 && at < len(query):
				query = slices.Delete(query, at, at+1)
			default:
				query = slices.Insert(query, at, pick(r, ways))
			}
		}
		text := string(query)
		_, want := understand(text, a.world.nets, a.world)
		if _, boxes := boxed(text); boxes {
			continue // need not be in the language
		}
		_, got := lang.Parse(text)
		if errors.Is(want, errSyntax) != (got != nil) {
			if bad++; bad < 12 {
				t.Errorf("%q: the program says %v, the judge %v", text, got, want)
			}
		}
	}
}
