package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"permanode/ledger/stardust"
	"permanode/ledger/stardust/stardusttest"
)

type asked int

// The sorts of questions.
const (
	askID asked = iota
	askTag
	askAddress
	askPhrase
	askRange
	askFacets
	askSorts
)

var askedNames = [...]string{"record by id", "tag", "address", "phrase", "two words and a range of dates", "word with three facets"}

type question struct {
	kind          asked
	id            [32]byte
	tag           string
	address       []byte
	words         []string
	after, before int64 // seconds; days
}

type answer struct {
	ords   []int64 // the ten newest, newest first
	total  int64
	facets [][]int64
}

// same reports how two answers differ, nil if they do not.
func (a answer) same(b answer) error {
	switch {
	case a.total != b.total:
		return fmt.Errorf("total %d, not %d", a.total, b.total)
	case !slices.Equal(a.ords, b.ords):
		return fmt.Errorf("places %x, not %x", a.ords, b.ords)
	case !slices.EqualFunc(a.facets, b.facets, slices.Equal):
		return fmt.Errorf("facets %v, not %v", a.facets, b.facets)
	}
	return nil
}

type engine interface {
	name() string
	ask(q *question) (answer, error)
	close() error
}

// makeQuestions draws count questions of each sort from the corpus.
func makeQuestions(c *corpus, count int, seed uint64) ([askSorts][]question, error) {
	var out [askSorts][]question
	rng := rand.New(rand.NewPCG(seed, 0xbe9c4))
	tags, addrs := rand.NewZipf(rng, 1.2, 1, tagCount-1), rand.NewZipf(rng, 1.1, 1, addresses-1)
	every := max(1, c.records/(2*count))
	n, first, last := 0, int64(0), int64(0)
	var samples []*document
	err := documents(c.cones, func(d *document) error {
		if n++; n%every == 0 && d.text != "" {
			samples = append(samples, d)
		}
		if first == 0 {
			first = d.time
		}
		last = d.time
		return nil
	})
	if err != nil {
		return out, err
	}
	rng.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	const day = 86400
	for i := range count {
		d := samples[i%len(samples)]
		w := noteWords(d.text)
		at := rng.IntN(len(w) - 3)
		from := (first + rng.Int64N(last-first)) / day * day
		a := stardusttest.CorpusAddress(int(addrs.Uint64()))
		out[askID] = append(out[askID], question{kind: askID, id: d.id})
		out[askTag] = append(out[askTag], question{kind: askTag, tag: stardusttest.CorpusTag(int(tags.Uint64()))})
		out[askAddress] = append(out[askAddress], question{kind: askAddress, address: a[:]})
		out[askPhrase] = append(out[askPhrase], question{kind: askPhrase, words: w[at : at+2+rng.IntN(2)]})
		out[askRange] = append(out[askRange], question{
			kind: askRange, words: []string{w[at], w[rng.IntN(len(w))]}, after: from, before: from + day*(30+rng.Int64N(365)),
		})
		out[askFacets] = append(out[askFacets], question{kind: askFacets, words: w[at : at+1]})
	}
	return out, nil
}

// addressText is the form that people type.
func addressText(raw []byte) string { return stardust.Address(raw).Bech32("tst") }
