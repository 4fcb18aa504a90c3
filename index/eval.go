package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/index/lang"
	"permanode/index/text"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// bounds are the documents of a segment that match a question, as far as its terms can tell: all of sure do, and
// none outside maybe does. Both are the same bitmap where the terms tell all. Neither is ever changed: a bitmap may
// lie in the file.
type bounds struct{ sure, maybe *roaring.Bitmap }

func exact(b *roaring.Bitmap) bounds { return bounds{b, b} }

var nothing = roaring.New()

// doubtful returns the documents whose records must be looked at.
func (b bounds) doubtful() *roaring.Bitmap {
	if b.sure == b.maybe {
		return nothing
	}
	return roaring.AndNot(b.maybe, b.sure)
}

// part is one segment of a shard, as a search sees it.
type part struct {
	seg  segment.Segment
	live *roaring.Bitmap // documents that were not replaced, of units that are done
}

// evaluator answers one question in one shard. It belongs to one goroutine.
type evaluator struct {
	ctx     context.Context
	store   storage.Reader
	net     ledger.NetID
	done    ranges.Set // units of the shard
	table   func(segment.Segment) (*table, error)
	lookups map[ledger.Key][]ledger.Ord // of kinds that documents do not repeat
}

// eval returns the documents of p that match n. Documents that are not live may be among them. Nothing outside among
// matters to the caller.
func (e *evaluator) eval(p *part, n lang.Node, among *roaring.Bitmap) (bounds, error) {
	if err := e.ctx.Err(); err != nil {
		return bounds{}, err
	}
	switch n := n.(type) {
	case lang.All:
		return exact(p.live), nil
	case lang.None:
		return exact(nothing), nil
	case lang.And:
		return e.and(p, n, among)
	case lang.Or:
		return e.or(p, n, among)
	case lang.Not:
		b, err := e.eval(p, n.Of, among)
		if err != nil {
			return b, err
		}
		return b.not(p.live), nil
	case lang.Keys:
		return e.keys(p, n)
	case lang.Units:
		return e.units(p, n.Set)
	case lang.State:
		return e.term(p, fieldState, string([]byte{byte(n.Of)}))
	case lang.Kind:
		return e.anyOf(p, len(n.Of), func(i int) (bounds, error) { return e.term(p, fieldKind, string([]byte{n.Of[i]})) })
	case lang.OfUnit:
		return e.term(p, fieldKind, unitKind)
	case lang.Text:
		return e.text(p, n, among)
	case lang.Leaf:
		return e.leaf(p, n)
	}
	return bounds{}, fmt.Errorf("a search for %T: the query is not bound to a network", n)
}

func (b bounds) not(live *roaring.Bitmap) bounds {
	sure := roaring.AndNot(live, b.maybe)
	if b.sure == b.maybe {
		return exact(sure)
	}
	return bounds{sure, roaring.AndNot(live, b.sure)}
}

func both(a, b bounds, join func(x, y *roaring.Bitmap) *roaring.Bitmap) bounds {
	maybe := join(a.maybe, b.maybe)
	if a.sure == a.maybe && b.sure == b.maybe {
		return exact(maybe)
	}
	return bounds{join(a.sure, b.sure), maybe}
}

// and looks at phrases last but for what is not wanted, and at everything among what is left: so they cost the less
// the more else is asked, and a Not no more than its part.
func (e *evaluator) and(p *part, parts []lang.Node, among *roaring.Bitmap) (bounds, error) {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b lang.Node) int { return cmp.Compare(rank(a), rank(b)) })
	out := exact(among)
	for _, n := range parts {
		not, isNot := n.(lang.Not)
		if isNot {
			n = not.Of
		}
		b, err := e.eval(p, n, out.maybe)
		if err != nil {
			return b, err
		}
		if isNot {
			out = both(out, bounds{b.maybe, b.sure}, roaring.AndNot)
		} else {
			out = both(out, b, roaring.And)
		}
		if out.maybe.IsEmpty() {
			return exact(nothing), nil
		}
	}
	return out, nil
}

// rank orders the parts of an And by what they cost.
func rank(n lang.Node) int {
	switch n.(type) {
	case lang.Not:
		return 2
	case lang.Text:
		return 1
	}
	return 0
}

func (e *evaluator) or(p *part, parts []lang.Node, among *roaring.Bitmap) (bounds, error) {
	return e.anyOf(p, len(parts), func(i int) (bounds, error) { return e.eval(p, parts[i], among) })
}

func (e *evaluator) anyOf(_ *part, n int, of func(i int) (bounds, error)) (bounds, error) {
	out := exact(nothing)
	for i := range n {
		b, err := of(i)
		if err != nil {
			return b, err
		}
		out = both(out, b, roaring.Or)
	}
	return out, nil
}

// term returns the documents with one term.
func (e *evaluator) term(p *part, field, term string) (bounds, error) {
	dict, err := p.seg.Dictionary(field)
	if err != nil {
		return bounds{}, err
	}
	out := roaring.New()
	if err := orInto(out, dict, []byte(term)); err != nil {
		return bounds{}, err
	}
	return exact(out), nil
}

// orInto adds the documents of a term.
func orInto(out *roaring.Bitmap, dict segment.TermDictionary, term []byte) error {
	list, err := dict.PostingsList(term, nil, nil)
	if err != nil {
		return err
	}
	into, ok := list.(interface{ OrInto(*roaring.Bitmap) })
	if !ok {
		return fmt.Errorf("segments with postings of type %T cannot be read", list)
	}
	into.OrInto(out)
	return nil
}

// value returns the documents that have a value: its term tells all.
func (e *evaluator) value(p *part, field, value string, limit int) (bounds, error) {
	return e.term(p, field, cut(value, limit))
}

// prefixed returns the documents that have a value with a beginning. Of values that were cut the terms tell only
// so much of it.
func (e *evaluator) prefixed(p *part, field, prefix string, limit int) (bounds, error) {
	start, long := prefix, len(prefix) > kept(limit)
	if long {
		start = prefix[:kept(limit)]
	}
	sure, maybe := roaring.New(), roaring.New()
	err := e.terms(p, field, start, func(dict segment.TermDictionary, entry *index.DictEntry) error {
		switch {
		case long && isCut(entry.Term, limit):
			return orInto(maybe, dict, []byte(entry.Term))
		case strings.HasPrefix(entry.Term, prefix):
			return orInto(sure, dict, []byte(entry.Term))
		}
		return nil
	})
	if err != nil || maybe.IsEmpty() {
		return exact(sure), err
	}
	return bounds{sure, roaring.Or(sure, maybe)}, nil
}

// terms calls see for each term of a field that begins with start, in order.
func (e *evaluator) terms(p *part, field, start string, see func(segment.TermDictionary, *index.DictEntry) error) error {
	dict, err := p.seg.Dictionary(field)
	if err != nil {
		return err
	}
	it := dict.AutomatonIterator(nil, []byte(start), behindAll(start))
	for i := 0; ; i++ {
		entry, err := it.Next()
		if err != nil || entry == nil {
			return err
		}
		if i%1024 == 1023 {
			if err := e.ctx.Err(); err != nil {
				return err
			}
		}
		if err := see(dict, entry); err != nil {
			return err
		}
	}
}

// behindAll returns the first string behind all that begin with start; nil if there is none.
func behindAll(start string) []byte {
	b := []byte(start)
	for len(b) > 0 && b[len(b)-1] == 0xff {
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return nil
	}
	b[len(b)-1]++
	return b
}

func (e *evaluator) keys(p *part, n lang.Keys) (bounds, error) {
	return e.anyOf(p, len(n.Of), func(i int) (bounds, error) {
		k := n.Of[i]
		field, ok := keyFields[k.Kind]
		switch {
		case !ok:
			return e.lookup(p, k, n.Prefix)
		case n.Prefix:
			return e.prefixed(p, field, keyValue(k.Val), valueLimit)
		}
		return e.value(p, field, keyValue(k.Val), valueLimit)
	})
}

// lookup asks the store.
func (e *evaluator) lookup(p *part, k ledger.Key, prefix bool) (bounds, error) {
	ords, ok := e.lookups[k]
	if !ok {
		for _, r := range e.done.Ranges() {
			scan := storage.Scan{Lo: ledger.Ord{Seq: r.Lo}, Hi: ledger.Ord{Seq: r.Hi, Pos: ledger.UnitPos}, Prefix: prefix}
			for f, err := range e.store.Lookup(e.ctx, e.net, k, scan) {
				if err != nil {
					return bounds{}, &storeError{err}
				}
				ords = append(ords, f.Ord)
			}
		}
		e.lookups[k] = ords
	}
	out := roaring.New()
	if len(ords) == 0 {
		return exact(out), nil
	}
	t, err := e.table(p.seg)
	if err != nil {
		return bounds{}, err
	}
	for _, o := range ords {
		if doc, ok := t.find(o); ok {
			out.Add(doc)
		}
	}
	return exact(out), nil
}

// storeError is an error of the store, not of a shard.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// notOfShard reports whether err ends the whole search.
func notOfShard(ctx context.Context, err error) bool {
	var s *storeError
	return ctx.Err() != nil || errors.As(err, &s)
}

func (e *evaluator) units(p *part, set ranges.Set) (bounds, error) {
	rest := e.done.Minus(set)
	switch left := rest.Len(); {
	case left == 0:
		return exact(p.live), nil
	case left == e.done.Len():
		return exact(nothing), nil
	}
	t, err := e.table(p.seg)
	if err != nil {
		return bounds{}, err
	}
	out := roaring.New()
	for _, r := range set.Ranges() {
		t.units(out, r.Lo, r.Hi)
	}
	return exact(out), nil
}

// text asks for words, and for the pairs of neighbours that have a term.
func (e *evaluator) text(p *part, n lang.Text, among *roaring.Bitmap) (bounds, error) {
	words := text.Words(n.Text)
	if len(words) == 0 {
		return exact(nothing), nil
	}
	last := len(words) - 1
	if n.Prefix && text.Spaceless(words[last]) {
		n.Prefix = false // no word is longer
	}
	if last == 0 {
		return e.word(p, words[0], n.Prefix)
	}
	out, paired := exact(among), false
	for i, w := range words {
		var b bounds
		var err error
		switch {
		case i > 0 && joined(words[i-1], w):
			paired = true
			b, err = e.term(p, fieldWord, words[i-1]+w)
		case i < last && joined(w, words[i+1]):
			continue // the pair asks for it
		default:
			b, err = e.word(p, w, n.Prefix && i == last)
		}
		if err != nil {
			return b, err
		}
		if out = both(out, b, roaring.And); out.maybe.IsEmpty() {
			return exact(nothing), nil
		}
	}
	if last == 1 && paired {
		return out, nil
	}
	if n.Prefix {
		words = words[:last]
	}
	maybe, err := e.filter(p, appendPairs(nil, words), out.maybe)
	return bounds{nothing, maybe}, err
}

// filter returns the documents of maybe in which the pairs of words may stand.
func (e *evaluator) filter(p *part, pairs []uint64, maybe *roaring.Bitmap) (*roaring.Bitmap, error) {
	if len(pairs) == 0 {
		return maybe, nil
	}
	var left []uint32
	for it, i := maybe.Iterator(), 0; it.HasNext(); i++ {
		if i%1024 == 1023 && e.ctx.Err() != nil {
			return nil, e.ctx.Err()
		}
		doc := it.Next()
		err := filterOf(p.seg, doc, func(f []byte) {
			if mayHold(f, pairs) {
				left = append(left, doc)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return roaring.BitmapOf(left...), nil
}

func (e *evaluator) word(p *part, w string, prefix bool) (bounds, error) {
	if prefix {
		return e.prefixed(p, fieldWord, w, wordLimit)
	}
	return e.value(p, fieldWord, w, wordLimit)
}

func (e *evaluator) leaf(p *part, n lang.Leaf) (bounds, error) {
	if n.Prefix {
		return e.prefixed(p, fieldLeaf, leafValue(n.Path, n.Value), valueLimit)
	}
	return e.value(p, fieldLeaf, leafValue(n.Path, n.Value), valueLimit)
}

// matches says whether a record, or what a unit did itself, matches: the same question, asked of the record.
func (s *subject) matches(n lang.Node) bool {
	switch n := n.(type) {
	case lang.All:
		return true
	case lang.And:
		return !slices.ContainsFunc(n, func(p lang.Node) bool { return !s.matches(p) })
	case lang.Or:
		return slices.ContainsFunc(n, s.matches)
	case lang.Not:
		return !s.matches(n.Of)
	case lang.Keys:
		return slices.ContainsFunc(n.Of, func(k ledger.Key) bool { return s.posted(k, n.Prefix) })
	case lang.Units:
		return n.Set.Has(s.ord.Seq)
	case lang.State:
		return !s.unit && s.state == n.Of
	case lang.Kind:
		return !s.unit && slices.Contains(n.Of, s.kind)
	case lang.OfUnit:
		return s.unit
	case lang.Text:
		words := text.Words(n.Text)
		return slices.ContainsFunc(s.facts.Texts, func(of string) bool { return text.Contains(of, words, n.Prefix) })
	case lang.Leaf:
		return slices.ContainsFunc(s.facts.Leaves, func(l ledger.Leaf) bool {
			return l.Path == n.Path && (l.Value == n.Value || n.Prefix && strings.HasPrefix(l.Value, n.Value))
		})
	}
	return false
}

// subject is a record as a question sees it.
type subject struct {
	ord   ledger.Ord
	unit  bool
	kind  uint8
	state ledger.State
	posts []ledger.Posting
	facts ledger.Facts
}

func (s *subject) posted(k ledger.Key, prefix bool) bool {
	return slices.ContainsFunc(s.posts, func(p ledger.Posting) bool {
		return p.Key.Kind == k.Kind && (p.Key.Val == k.Val || prefix && strings.HasPrefix(p.Key.Val, k.Val))
	})
}

// subject reads the record at o.
func (r *reading) subject(ctx context.Context, store storage.Reader, net ledger.NetID, o ledger.Ord) (*subject, error) {
	if o.Pos == ledger.UnitPos {
		for c, err := range store.Cones(ctx, net, o.Seq, o.Seq) {
			if err != nil {
				return nil, err
			}
			return &subject{ord: o, unit: true, posts: c.Posts}, nil
		}
		return nil, storage.ErrNotFound
	}
	rec, err := store.Record(ctx, net, o)
	if err != nil {
		return nil, err
	}
	t, err := r.trustAt(ctx, o.Seq)
	if err != nil {
		return nil, err
	}
	s := &subject{ord: o, kind: rec.Kind, state: rec.State, posts: rec.Posts}
	if s.facts, err = r.codec.Facts(&rec, t); err != nil {
		return nil, err
	}
	return s, nil
}
