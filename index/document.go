package index

import (
	"context"
	"fmt"
	"sync"
	"time"

	index "github.com/blevesearch/bleve_index_api"

	"permanode/index/text"
	"permanode/ledger"
)

// field is a set of terms of one document.
type field struct {
	name  string
	opts  index.FieldIndexingOptions
	terms index.TokenFrequencies
	texts []string // that Analyze splits, on scorch's workers
	value []byte   // that is stored: the id, and the filter of the words
}

func (f *field) Name() string                                     { return f.name }
func (f *field) Value() []byte                                    { return f.value }
func (f *field) ArrayPositions() []uint64                         { return nil }
func (f *field) EncodedFieldType() byte                           { return 't' }
func (f *field) Options() index.FieldIndexingOptions              { return f.opts }
func (f *field) AnalyzedLength() int                              { return 0 }
func (f *field) NumPlainTextBytes() uint64                        { return 0 }
func (f *field) AnalyzedTokenFrequencies() index.TokenFrequencies { return f.terms }

// Analyze makes the terms of texts.
func (f *field) Analyze() {
	if f.texts == nil {
		return
	}
	var words []string
	var pairs []uint64
	for _, t := range f.texts {
		words = text.Append(words[:0], t)
		addWords(f.terms, words)
		pairs = appendPairs(pairs, words)
	}
	f.texts, f.value = nil, newFilter(pairs)
}

// document is what the index holds of a record, or of what a unit did itself.
type document struct {
	id     string
	fields []*field
	size   int // bytes, about
}

func (d *document) ID() string                                 { return d.id }
func (d *document) Size() int                                  { return d.size }
func (d *document) HasComposite() bool                         { return false }
func (d *document) VisitComposite(index.CompositeFieldVisitor) {}
func (d *document) NumPlainTextBytes() uint64                  { return 0 }
func (d *document) StoredFieldsBytes() uint64                  { return 0 }
func (d *document) Indexed() bool                              { return false }

func (d *document) VisitFields(visit index.FieldVisitor) {
	for _, f := range d.fields {
		visit(f)
	}
}

// AddIDField adds the field by which scorch finds a document again.
func (d *document) AddIDField() {
	d.fields = append(d.fields, &field{
		name: "_id", opts: index.IndexField | index.StoreField, value: []byte(d.id),
		terms: index.TokenFrequencies{d.id: once},
	})
}

func (d *document) get(name string) *field {
	for _, f := range d.fields {
		if f.name == name {
			return f
		}
	}
	f := &field{name: name, opts: index.IndexField | index.SkipFreqNorm, terms: index.TokenFrequencies{}}
	if name == fieldTag {
		f.opts |= index.DocValues // its facet counts the hits, not all tags there are
	}
	d.fields = append(d.fields, f)
	return f
}

// add adds a term.
func (d *document) add(name, term string) {
	d.get(name).terms[term] = once
	d.size += len(term) + 64
}

// postings adds the terms of the keys under which the store has posted it.
func (d *document) postings(posts []ledger.Posting) {
	for i := range posts {
		if name, ok := keyFields[posts[i].Key.Kind]; ok {
			d.add(name, cut(keyValue(posts[i].Key.Val), valueLimit))
		}
	}
}

// ofRecord returns the document of a record.
func ofRecord(r *ledger.Record, f *ledger.Facts, day string) *document {
	d := &document{id: r.Ord.String(), size: 256}
	d.add(fieldKind, string([]byte{r.Kind}))
	d.add(fieldState, string([]byte{byte(r.State)}))
	d.add(fieldDay, day)
	d.postings(r.Posts)
	for i := range f.Leaves {
		d.add(fieldLeaf, cut(leafValue(f.Leaves[i].Path, f.Leaves[i].Value), valueLimit))
	}
	if len(f.Texts) > 0 {
		w := d.get(fieldWord)
		w.texts, w.opts = f.Texts, w.opts|index.StoreField
		for _, t := range f.Texts {
			d.size += 4 * len(t)
		}
	}
	return d
}

// ofUnit returns the document of what a unit did itself.
func ofUnit(c *ledger.Cone, day string) *document {
	d := &document{id: (ledger.Ord{Seq: c.Unit.Seq, Pos: ledger.UnitPos}).String(), size: 256}
	d.add(fieldKind, unitKind)
	d.add(fieldDay, day)
	d.postings(c.Posts)
	return d
}

// dayOf is the day of a signed time, "YYYYMMDD".
func dayOf(timeMs int64) string { return time.UnixMilli(timeMs).UTC().Format("20060102") }

// reading reads facts of one network.
type reading struct {
	codec ledger.Codec
	trust ledger.Trust
	state func(ctx context.Context, keys [][]byte) ([][]byte, error)

	mu   sync.Mutex
	last map[uint64]ledger.Trust // by unit: phrases are checked in records of few units
}

// maxTrusts is how many units' rules are kept.
const maxTrusts = 4096

// trustAt returns the network's rules at a unit.
func (r *reading) trustAt(ctx context.Context, seq uint64) (ledger.Trust, error) {
	r.mu.Lock()
	t, ok := r.last[seq]
	r.mu.Unlock()
	if ok {
		return t, nil
	}
	t, err := r.codec.TrustAt(ctx, r.trust, seq, r.state)
	if err != nil {
		return t, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) >= maxTrusts || r.last == nil {
		r.last = map[uint64]ledger.Trust{}
	}
	r.last[seq] = t
	return t, nil
}

// documents returns the documents of a cone.
func (r *reading) documents(ctx context.Context, c *ledger.Cone) ([]*document, error) {
	t, err := r.codec.TrustAt(ctx, r.trust, c.Unit.Seq, r.state)
	if err != nil {
		return nil, err
	}
	day := dayOf(c.Unit.TimeMs)
	out := make([]*document, 0, len(c.Records)+1)
	for i := range c.Records {
		f, err := r.codec.Facts(&c.Records[i], t)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", c.Records[i].ID, err)
		}
		out = append(out, ofRecord(&c.Records[i], &f, day))
	}
	if len(c.Posts) > 0 {
		out = append(out, ofUnit(c, day))
	}
	return out, nil
}
