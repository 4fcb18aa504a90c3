package stardusttest

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"permanode/ledger/stardust"
)

// Corpus is traffic to search in: every block carries a tag and a text, 62 of 100 in a transaction that pays two
// addresses which nobody has the key of. Tags, addresses and words come by Zipf's law, as people use them.
type Corpus struct {
	Tags, Addresses, Words int // how many there are
}

// corpus draws from a Corpus.
type corpus struct {
	tags, addresses, words *rand.Zipf
}

func newCorpus(n *Network) *corpus {
	c := n.opts.Corpus
	if c == nil {
		return nil
	}
	return &corpus{
		tags:      rand.NewZipf(n.rng, 1.2, 1, uint64(c.Tags-1)),
		addresses: rand.NewZipf(n.rng, 1.1, 1, uint64(c.Addresses-1)),
		words:     rand.NewZipf(n.rng, 1.1, 1, uint64(c.Words-1)),
	}
}

// CorpusTag returns the i-th tag.
func CorpusTag(i int) string { return fmt.Sprintf("TAG-%05d", i) }

// CorpusAddress returns the i-th address.
func CorpusAddress(i int) (a stardust.Address) {
	h := stardust.H(fmt.Appendf(nil, "corpus address %d", i))
	copy(a[1:], h[:])
	return a
}

// CorpusWord returns the i-th word: letters only, and another one for each i.
func CorpusWord(i int) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b strings.Builder
	for i += len(consonants) * len(vowels); i > 0; i /= len(consonants) * len(vowels) {
		s := i % (len(consonants) * len(vowels))
		b.WriteByte(consonants[s%len(consonants)])
		b.WriteByte(vowels[s/len(consonants)])
	}
	return b.String()
}

// step adds one block of the corpus.
func (c *corpus) step(b *builder) {
	n := b.n
	note := &stardust.TaggedData{Tag: []byte(CorpusTag(int(c.tags.Uint64()))), Data: c.text(n)}
	if n.rng.IntN(100) >= 62 {
		b.add(note, outcomeOfData, true)
		return
	}
	in := n.wallet.rich(n)
	t := n.sign([]coin{in}, []*stardust.Output{
		plain(dust, CorpusAddress(int(c.addresses.Uint64()))), plain(dust, CorpusAddress(int(c.addresses.Uint64()))),
		plain(in.out.Amount-2*dust, n.accounts[in.owner].address),
	}, shape{note: note})
	n.wallet.here = append(n.wallet.here, coinOf(t, 2, in.owner))
	b.transaction(&draft{tx: t}, true)
}

// text returns 200 to 1,000 bytes: words, or JSON with words inside.
func (c *corpus) text(n *Network) []byte {
	size := 200 + n.rng.IntN(800)
	var words []string
	for total := 0; total < size; total += len(words[len(words)-1]) + 1 {
		words = append(words, CorpusWord(int(c.words.Uint64())))
	}
	text := strings.Join(words, " ")
	if n.rng.IntN(2) == 0 {
		return []byte(text)
	}
	return fmt.Appendf(nil, `{"device":"dev-%05d","seq":%d,"temp":%d.%d,"note":"%s"}`,
		n.rng.IntN(2000), n.rng.IntN(1_000_000), n.rng.IntN(40), n.rng.IntN(10), text)
}
