package index

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/custom"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/analysis/lang/cjk"
	"github.com/blevesearch/bleve/v2/analysis/token/lowercase"
	"github.com/blevesearch/bleve/v2/analysis/token/unicodenorm"
	unicodesplit "github.com/blevesearch/bleve/v2/analysis/tokenizer/unicode"
	blevedocument "github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	blevemapping "github.com/blevesearch/bleve/v2/mapping"
	bindex "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/index/lang"
	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// benchDocs is how many documents a benchmark indexes: PERMANODE_BENCH_DOCS, else 20,000.
func benchDocs(b *testing.B) int {
	n, err := strconv.Atoi(os.Getenv("PERMANODE_BENCH_DOCS"))
	if err != nil {
		return 20_000
	}
	return n
}

// made is a record with what its codec would draw from it.
type made struct {
	rec   ledger.Record
	facts ledger.Facts
}

// benchRecords makes records as the study measured them: 606 bytes of text on average, half of them JSON, a tag of
// 5,000 and two addresses of 60,000, words of 50,000, all by Zipf's law.
func benchRecords(n int) []made {
	r := rand.New(rand.NewPCG(1, 1))
	words, tags, addrs := rand.NewZipf(r, 1.1, 1, 49_999), rand.NewZipf(r, 1.2, 1, 4_999), rand.NewZipf(r, 1.1, 1, 59_999)
	out := make([]made, n)
	for i := range out {
		m := &out[i]
		m.rec = ledger.Record{Ord: ledger.Ord{Seq: uint64(1 + i/20), Pos: uint32(i % 20)}, Kind: 1, State: ledger.NoTransaction}
		var b strings.Builder
		for size := 200 + r.IntN(800); b.Len() < size; {
			fmt.Fprintf(&b, "w%05d ", words.Uint64())
		}
		text := b.String()
		if r.IntN(2) == 0 {
			dev, seq := fmt.Sprintf("dev-%05d", r.IntN(2000)), fmt.Sprint(i)
			m.facts.Leaves = []ledger.Leaf{{Path: "device", Value: dev}, {Path: "seq", Value: seq}, {Path: "note", Value: text}}
			text = fmt.Sprintf(`{"device":%q,"seq":%s,"note":%q}`, dev, seq, text)
		}
		m.facts.Texts = []string{text}
		m.rec.Posts = []ledger.Posting{{Key: ledger.Key{Kind: ledger.KeyTag, Val: fmt.Sprintf("TAG%04d", tags.Uint64())}}}
		for range 2 {
			a := make([]byte, 33)
			copy(a[1:], fmt.Sprintf("%032d", addrs.Uint64()))
			m.rec.Posts = append(m.rec.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyAddress, Val: string(a)}})
		}
	}
	return out
}

const benchTime = 1_700_000_000_000

// cpu returns the CPU time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sizeOf returns the bytes below dir.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if info, infoErr := e.Info(); err == nil && infoErr == nil && !e.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// BenchmarkIndexing compares our documents, all in, with those that Bleve's own library makes of the same records:
// the lean mapping of fields, and the library's defaults. Batches of 1,000, durable.
func BenchmarkIndexing(b *testing.B) {
	records := benchRecords(benchDocs(b))
	ways := []struct {
		name string
		into func(b *testing.B, dir string, records []made)
	}{{"ours", indexOurs}, {"lean", indexLean}, {"defaults", indexDefaults}}
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			var used time.Duration
			var size int64
			for range b.N {
				dir := b.TempDir()
				began := cpu()
				w.into(b, dir, records)
				used += cpu() - began
				size = sizeOf(dir)
			}
			b.ReportMetric(float64(b.N*len(records))/used.Seconds(), "docs/cpu-s")
			b.ReportMetric(float64(size)/float64(len(records)), "bytes/doc")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func indexOurs(b *testing.B, dir string, records []made) {
	b.Helper()
	queue := bindex.NewAnalysisQueue(2)
	defer queue.Close()
	s, err := openSet(dir, "bench", false, queue, func(err error) { b.Error(err) })
	if err != nil {
		b.Fatal(err)
	}
	w, err := newWriter(s, nil, func(*shard, map[segment.Segment]bool) {}, 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	for i := range records {
		d := ofRecord(&records[i].rec, &records[i].facts, dayOf(benchTime))
		w.batch.Update(d)
		w.docs++
		if w.bytes += d.size; w.full() {
			if err := w.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := w.flush(); err != nil {
		b.Fatal(err)
	}
	if err := s.close(); err != nil {
		b.Fatal(err)
	}
}

// leanMapping is the mapping of the study: text split by Unicode, folded, pairs of CJK; everything else a keyword.
func leanMapping(b *testing.B) *blevemapping.IndexMappingImpl {
	b.Helper()
	m := bleve.NewIndexMapping()
	err := m.AddCustomTokenFilter("nfkc", map[string]any{"type": unicodenorm.Name, "form": unicodenorm.NFKC})
	if err == nil {
		err = m.AddCustomTokenFilter("pairs", map[string]any{"type": cjk.BigramName, "output_unigram": true})
	}
	if err == nil {
		err = m.AddCustomAnalyzer("words", map[string]any{
			"type": custom.Name, "tokenizer": unicodesplit.Name, "token_filters": []string{"nfkc", lowercase.Name, "pairs"},
		})
	}
	if err != nil {
		b.Fatal(err)
	}
	m.DefaultMapping.Dynamic = false
	return m
}

func indexLean(b *testing.B, dir string, records []made) {
	b.Helper()
	m := leanMapping(b)
	words, exact := m.AnalyzerNamed("words"), m.AnalyzerNamed(keyword.Name)
	const opts = bindex.IndexField | bindex.SkipFreqNorm
	add := func(d *blevedocument.Document, name, v string, o bindex.FieldIndexingOptions, a analysis.Analyzer) {
		d.AddField(blevedocument.NewTextFieldCustom(name, nil, []byte(v), o, a))
	}
	indexWith(b, dir, m, len(records), func(batch *bleve.Batch, i int) error {
		r := &records[i]
		d := blevedocument.NewDocument(r.rec.Ord.String())
		add(d, fieldKind, string([]byte{r.rec.Kind}), opts, exact)
		add(d, fieldState, string([]byte{byte(r.rec.State)}), opts, exact)
		add(d, fieldDay, dayOf(benchTime), opts, exact)
		for _, p := range r.rec.Posts {
			o := opts
			if p.Key.Kind == ledger.KeyTag {
				o |= bindex.DocValues
			}
			add(d, keyFields[p.Key.Kind], keyValue(p.Key.Val), o, exact)
		}
		for _, l := range r.facts.Leaves {
			add(d, fieldLeaf, cut(leafValue(l.Path, l.Value), valueLimit), opts, exact)
		}
		for _, t := range r.facts.Texts {
			add(d, fieldWord, t, opts, words)
		}
		return batch.IndexAdvanced(d)
	})
}

func indexDefaults(b *testing.B, dir string, records []made) {
	b.Helper()
	indexWith(b, dir, bleve.NewIndexMapping(), len(records), func(batch *bleve.Batch, i int) error {
		r := &records[i]
		doc := map[string]any{"kind": "data", "state": r.rec.State.String(), "time": time.UnixMilli(benchTime).UTC().Format(time.RFC3339)}
		var addrs, leaves []string
		for _, p := range r.rec.Posts {
			if p.Key.Kind == ledger.KeyTag {
				doc["tag"] = p.Key.Val
			} else {
				addrs = append(addrs, fmt.Sprintf("%x", p.Key.Val))
			}
		}
		for _, l := range r.facts.Leaves {
			leaves = append(leaves, l.Path+"="+l.Value)
		}
		doc["addr"], doc["leaves"], doc["text"] = addrs, leaves, r.facts.Texts
		return batch.Index(r.rec.Ord.String(), doc)
	})
}

func indexWith(b *testing.B, dir string, m blevemapping.IndexMapping, n int, add func(batch *bleve.Batch, i int) error) {
	b.Helper()
	idx, err := bleve.NewUsing(filepath.Join(dir, "raw"), m, scorch.Name, scorch.Name, map[string]any{"numSnapshotsToKeep": 1})
	if err != nil {
		b.Fatal(err)
	}
	batch := idx.NewBatch()
	for i := range n {
		if err := add(batch, i); err != nil {
			b.Fatal(err)
		}
		if batch.Size() == batchDocs || i == n-1 {
			if err := idx.Batch(batch); err != nil {
				b.Fatal(err)
			}
			batch = idx.NewBatch()
		}
	}
	if err := idx.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkTable is what a table costs that is made of a segment's ids.
func BenchmarkTable(b *testing.B) {
	n := benchDocs(b)
	dir := b.TempDir()
	indexOurs(b, dir, benchRecords(n))
	sh := &shard{name: hotName, dir: filepath.Join(dir, hotName)}
	if err := sh.open(true, nil, func(err error) { b.Error(err) }); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sh.close() }()
	v, err := sh.read()
	if err != nil {
		b.Fatal(err)
	}
	defer v.close()
	for b.Loop() {
		for _, s := range v.snap.Segments() {
			if _, err := newTable(s.Segment()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/doc")
}

// benchStore is an archive of made records.
type benchStore struct {
	storage.Reader
	records []made
	units   uint64
}

func (s *benchStore) Networks(context.Context) ([]ledger.Network, error) {
	return []ledger.Network{fakeNetwork()}, nil
}

func (s *benchStore) Coverage(context.Context, ledger.NetID) (storage.Coverage, error) {
	return storage.Coverage{Spans: []storage.Span{{Lo: 1, Hi: s.units}}}, nil
}

func (s *benchStore) Record(_ context.Context, _ ledger.NetID, o ledger.Ord) (ledger.Record, error) {
	return s.records[int(o.Seq-1)*20+int(o.Pos)].rec, nil
}

func (s *benchStore) Cones(_ context.Context, _ ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := lo; seq <= hi; seq++ {
			c := &ledger.Cone{Net: fakeNet, Unit: ledger.Unit{Seq: seq, TimeMs: benchTime + int64(seq)*10_000}}
			for i := int(seq-1) * 20; i < min(int(seq)*20, len(s.records)); i++ {
				c.Records = append(c.Records, s.records[i].rec)
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// benchCodec gives the facts of made records.
type benchCodec struct {
	fakeCodec
	records []made
}

func (c benchCodec) Facts(r *ledger.Record, _ ledger.Trust) (ledger.Facts, error) {
	return c.records[int(r.Ord.Seq-1)*20+int(r.Ord.Pos)].facts, nil
}

// BenchmarkSearch asks 10 newest and the exact total, of closed shards and a hot one.
func BenchmarkSearch(b *testing.B) {
	records := benchRecords(benchDocs(b))
	s := &benchStore{records: records, units: uint64((len(records) + 19) / 20)}
	codec := func(ledger.Era) (ledger.Codec, bool) { return benchCodec{records: records}, true }
	x, err := Open(b.TempDir(), Options{Store: s, Codec: codec, ShardDocs: len(records) * 2 / 5})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	f, err := x.Follower(fakeNetwork())
	if err == nil {
		err = follow.CatchUp(context.Background(), s, fakeNet, f)
	}
	if err != nil {
		b.Fatal(err)
	}
	word := func(i int) lang.Node { return lang.Text{Text: fmt.Sprintf("w%05d", i)} }
	days := func(i int) lang.Node {
		return lang.Units{Set: ranges.Of(ranges.Range{Lo: s.units * uint64(i%7) / 10, Hi: s.units * uint64(3+i%7) / 10})}
	}
	for _, q := range []struct {
		name   string
		of     func(i int) lang.Node
		facets []string
	}{
		{"word", func(i int) lang.Node { return word(i % 200) }, nil},
		{"phrase", func(i int) lang.Node { return lang.Text{Text: fmt.Sprintf("w%05d w%05d", 10+i%50, 20+i%60)} }, nil},
		{"and range", func(i int) lang.Node { return lang.And{word(i % 100), word(7 + i%90), days(i)} }, nil},
		{"not", func(i int) lang.Node { return lang.And{word(i % 100), lang.Not{Of: word(7 + i%90)}} }, nil},
		{"prefix", func(i int) lang.Node { return lang.Text{Text: fmt.Sprintf("w%03d", i%500), Prefix: true} }, nil},
		{"facets", func(i int) lang.Node { return word(i % 100) }, []string{FacetTag, FacetDay, FacetState}},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			for i := range b.N {
				began := time.Now()
				r, err := x.Search(context.Background(), Request{Net: fakeNet, Query: q.of(i), Newest: true, Limit: 10, Count: true, Facets: q.facets})
				if err != nil || len(r.Problems) > 0 || !r.Exact {
					b.Fatal(r, err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
