package index

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"runtime/debug"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// sampleUnits is how many units of a shard a plain check compares document by document.
const sampleUnits = 200

// Check compares the index of a network with the store: files with their manifests, documents with records. full
// compares all documents, else a sample of each shard. Units that are not in the index are no fault: it ends with an
// error that wraps storage.ErrIncomplete and says how many there are.
func (x *Index) Check(ctx context.Context, of ledger.Network, full bool) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		n, err := x.enter(ctx, of.ID)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		defer x.searches.Done()
		for f, err := range x.check(ctx, n, n.current(), full) {
			if !yield(f, err) {
				return
			}
		}
		cov, err := x.opts.Store.Coverage(ctx, n.ID)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		if missing := cov.Set().Minus(n.current().done()); missing.Len() > 0 {
			yield(Finding{}, &BehindError{Network: n.Name, Units: missing.Len()})
		}
	}
}

// A BehindError says how many units of the store are not in an index.
type BehindError struct {
	Network string
	Units   uint64
}

func (e *BehindError) Unwrap() error { return storage.ErrIncomplete }

func (e *BehindError) Error() string {
	return fmt.Sprintf("%d units of %s are not in the index", e.Units, e.Network)
}

// Hint is the next step.
func (e *BehindError) Hint() string {
	return "the next run, or ingest of that network, puts them in; so does permanode index rebuild"
}

func (x *Index) check(ctx context.Context, n *network, s *set, full bool) iter.Seq2[Finding, error] {
	return func(yield func(Finding, error) bool) {
		views, faults := s.read()
		defer func() {
			for _, v := range views {
				v.close()
			}
		}()
		for _, f := range faults {
			if !yield(Finding{f.name, f.err.Error()}, nil) {
				return
			}
		}
		cov, err := x.opts.Store.Coverage(ctx, n.ID)
		if err != nil {
			yield(Finding{}, err)
			return
		}
		var seen ranges.Set
		for _, v := range views {
			c := &checker{x: x, n: n, v: v, full: full, ctx: ctx, covered: cov.Set(), seen: &seen}
			if err := c.run(); err != nil {
				if notOfShard(ctx, err) {
					yield(Finding{}, err)
					return
				}
				c.finding("%v", err)
			}
			for _, text := range c.found {
				if !yield(Finding{v.name, text}, nil) {
					return
				}
			}
		}
	}
}

// maxFindings is how many faults of a shard are told one by one.
const maxFindings = 100

// checker checks one shard.
type checker struct {
	x       *Index
	n       *network
	v       *snapshot
	full    bool
	ctx     context.Context
	covered ranges.Set
	seen    *ranges.Set // units of the shards before
	terms   uint64      // that the documents compared so far must have
	found   []string
	more    int
}

func (c *checker) finding(format string, args ...any) {
	if len(c.found) == maxFindings {
		c.more++
		return
	}
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *checker) run() (err error) {
	defer recovered(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if c.more > 0 {
			c.found = append(c.found, fmt.Sprintf("and %d more", c.more))
		}
	}()
	if c.v.man != nil {
		if err := c.v.man.verify(c.v.dir, math.MaxInt64); err != nil {
			c.finding("%v", err)
			return nil // what it holds is not what was written
		}
	}
	all := int64(math.MaxInt64)
	if err := c.v.verify(&all); err != nil {
		c.finding("%v", err)
		return nil
	}
	for _, r := range c.v.done.Minus(c.covered).Ranges() {
		c.finding("units %d to %d are indexed and not in the store", r.Lo, r.Hi)
	}
	for _, r := range c.v.done.Ranges() {
		if both := ranges.Of(r).Minus(ranges.Of(r).Minus(*c.seen)); both.Len() > 0 {
			c.finding("units of %d to %d stand in another shard too", r.Lo, r.Hi)
		}
		c.seen.Add(r.Lo, r.Hi)
	}
	within := c.v.done.Minus(c.v.done.Minus(c.covered))
	parts, err := c.v.parts(c.x.tables, within)
	if err != nil {
		return err
	}
	if err := c.units(parts, within); err != nil {
		return err
	}
	if c.full {
		return c.surplus(parts)
	}
	return nil
}

// units compares the number of documents with the store's records, and the documents of all units or a sample.
func (c *checker) units(parts []*part, within ranges.Set) error {
	docs, own, err := c.count(parts)
	if err != nil {
		return err
	}
	step := max(within.Len()/sampleUnits, 1)
	if c.full {
		step = 1
	}
	var records, units, i uint64
	for seq := range within.All() {
		_, digests, err := c.x.opts.Store.Unit(c.ctx, c.n.ID, seq)
		if err != nil {
			return &storeError{err}
		}
		for _, d := range digests {
			if d.Part == ledger.PartObject {
				records++
			}
		}
		if i++; (i-1)%step == 0 {
			n, err := c.unit(parts, seq)
			if err != nil {
				return err
			}
			units += n
		}
	}
	if docs-own != records {
		c.finding("%d documents of records; the store has %d records in these units", docs-own, records)
	}
	if c.full && own != units {
		c.finding("%d documents of units; the store has %d in these units", own, units)
	}
	return nil
}

// count returns how many live documents there are, and how many of them are of units.
func (c *checker) count(parts []*part) (docs, own uint64, err error) {
	e := &evaluator{ctx: c.ctx}
	for _, p := range parts {
		b, err := e.term(p, fieldKind, unitKind)
		if err != nil {
			return 0, 0, err
		}
		docs += p.live.GetCardinality()
		own += p.live.AndCardinality(b.sure)
	}
	return docs, own, nil
}

// unit compares the documents of a unit with those that its cone gives now, and returns how many are the unit's own.
func (c *checker) unit(parts []*part, seq uint64) (own uint64, err error) {
	for cone, err := range c.x.opts.Store.Cones(c.ctx, c.n.ID, seq, seq) {
		if err != nil {
			return 0, &storeError{err}
		}
		docs, err := c.n.reading.documents(c.ctx, cone)
		if err != nil {
			return 0, &storeError{err}
		}
		own += uint64(len(docs) - len(cone.Records))
		for _, d := range docs {
			d.AddIDField()
			if err := c.document(parts, d); err != nil {
				return 0, err
			}
		}
	}
	return own, nil
}

// document looks up each term of a document.
func (c *checker) document(parts []*part, d *document) error {
	o, err := ledger.ParseOrd(d.id)
	if err != nil {
		return err
	}
	for _, p := range parts {
		t, err := c.x.tables.of(c.v.shard, p.seg)
		if err != nil {
			return err
		}
		doc, ok := t.find(o)
		if !ok || !p.live.Contains(doc) {
			continue
		}
		for _, f := range d.fields {
			f.Analyze()
			if f.name == fieldWord {
				if err := c.filter(p, doc, d.id, f.value); err != nil {
					return err
				}
			}
			c.terms += uint64(len(f.terms))
			for _, term := range slices.Sorted(maps.Keys(f.terms)) {
				if err := c.term(p, doc, d.id, f.name, term); err != nil {
					return err
				}
			}
		}
		return nil
	}
	c.finding("record %d/%d is not in it", o.Seq, o.Pos)
	return nil
}

// filter compares the stored filter of a document with the one that its record gives.
func (c *checker) filter(p *part, doc uint32, id string, want []byte) error {
	same := false
	if err := filterOf(p.seg, doc, func(f []byte) { same = bytes.Equal(f, want) }); err != nil {
		return err
	}
	if !same {
		c.finding("document %s has another filter of words that stand side by side", id)
	}
	return nil
}

func (c *checker) term(p *part, doc uint32, id, field, term string) error {
	dict, err := p.seg.Dictionary(field)
	if err != nil {
		return err
	}
	docs := roaring.New()
	if err := orInto(docs, dict, []byte(term)); err != nil {
		return err
	}
	if !docs.Contains(doc) {
		c.finding("document %s is not found under %q of field %q", id, term, field)
	}
	return nil
}

// surplus compares the number of postings with the number of terms that the records give: each of those was found,
// so one more is one too many.
func (c *checker) surplus(parts []*part) error {
	e := &evaluator{ctx: c.ctx}
	var postings uint64
	docs := roaring.New()
	for _, p := range parts {
		for _, field := range p.seg.Fields() {
			err := e.terms(p, field, "", func(dict segment.TermDictionary, entry *index.DictEntry) error {
				docs.Clear()
				if err := orInto(docs, dict, []byte(entry.Term)); err != nil {
					return err
				}
				postings += docs.AndCardinality(p.live)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if postings != c.terms && len(c.found) == 0 {
		c.finding("%d documents stand under terms; their records have %d terms", postings, c.terms)
	}
	return nil
}
