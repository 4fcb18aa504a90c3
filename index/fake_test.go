package index

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// fakeCodec reads records that are JSON of their own facts.
type fakeCodec struct{ ledger.Codec }

type fakeFacts struct {
	Texts  []string
	Leaves []ledger.Leaf
}

func (fakeCodec) ParseTrust(raw []byte) (ledger.Trust, error) { return ledger.Trust{Raw: raw}, nil }

func (fakeCodec) TrustAt(_ context.Context, t ledger.Trust, _ uint64, _ func(context.Context, [][]byte) ([][]byte, error)) (ledger.Trust, error) {
	return t, nil
}

func (fakeCodec) Facts(r *ledger.Record, _ ledger.Trust) (ledger.Facts, error) {
	var f fakeFacts
	err := json.Unmarshal(r.Parts[0].Raw, &f)
	return ledger.Facts{Texts: f.Texts, Leaves: f.Leaves}, err
}

func (fakeCodec) KindName(kind uint8) string { return [...]string{"none", "data", "transaction"}[kind] }

func fakeCodecs(ledger.Era) (ledger.Codec, bool) { return fakeCodec{}, true }

// fakeStore is an archive in memory.
type fakeStore struct {
	storage.Reader
	mu      sync.Mutex
	cones   map[uint64]*ledger.Cone
	covered ranges.Set
	changed chan struct{}
	read    int // records
	broken  map[uint64]bool
	parsed  map[string]fakeFacts // by the judge, who is one goroutine
}

const fakeNet = ledger.NetID(3)

func fakeNetwork() ledger.Network {
	return ledger.Network{ID: fakeNet, Name: "fake", Era: "toy", Identity: "fake-1"}
}

func newFakeStore() *fakeStore {
	return &fakeStore{cones: map[uint64]*ledger.Cone{}, changed: make(chan struct{}), broken: map[uint64]bool{}, parsed: map[string]fakeFacts{}}
}

// cover commits units.
func (s *fakeStore) cover(lo, hi uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.covered.Add(lo, hi)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeStore) Networks(context.Context) ([]ledger.Network, error) {
	return []ledger.Network{fakeNetwork()}, nil
}

func (s *fakeStore) Coverage(context.Context, ledger.NetID) (c storage.Coverage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.covered.Ranges() {
		c.Spans = append(c.Spans, storage.Span{Lo: r.Lo, Hi: r.Hi})
	}
	return c, nil
}

func (s *fakeStore) Changed(ledger.NetID) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *fakeStore) Unit(_ context.Context, _ ledger.NetID, seq uint64) (ledger.Unit, []storage.Digest, error) {
	d := []storage.Digest{{Part: ledger.PartHeader}}
	for range s.cones[seq].Records {
		d = append(d, storage.Digest{Part: ledger.PartObject})
	}
	return s.cones[seq].Unit, d, nil
}

func (s *fakeStore) Record(_ context.Context, _ ledger.NetID, o ledger.Ord) (ledger.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read++
	return s.cones[o.Seq].Records[o.Pos], nil
}

func (s *fakeStore) Cones(_ context.Context, _ ledger.NetID, lo, hi uint64) iter.Seq2[*ledger.Cone, error] {
	return func(yield func(*ledger.Cone, error) bool) {
		for seq := lo; seq <= hi; seq++ {
			s.mu.Lock()
			broken := s.broken[seq]
			s.mu.Unlock()
			if broken {
				yield(nil, fmt.Errorf("unit %d: %w", seq, storage.ErrCorrupt))
				return
			}
			if !yield(s.cones[seq], nil) {
				return
			}
		}
	}
}

func (s *fakeStore) Lookup(_ context.Context, _ ledger.NetID, k ledger.Key, scan storage.Scan) iter.Seq2[storage.Found, error] {
	return func(yield func(storage.Found, error) bool) {
		for seq := scan.Lo.Seq; seq <= scan.Hi.Seq; seq++ {
			c := s.cones[seq]
			if c == nil || !s.covered.Has(seq) {
				continue
			}
			for i := range c.Records {
				for _, p := range c.Records[i].Posts {
					if p.Key == k && !yield(storage.Found{Key: k, Ord: c.Records[i].Ord}, nil) {
						return
					}
				}
			}
		}
	}
}

// dates of units: some days have several.
func fakeTime(seq uint64) int64 { return 1_700_000_000_000 + int64(seq)*7*3_600_000 }

var (
	long  = strings.Repeat("verylongword", 8)
	words = []string{
		"invoice", "Invoice", "net", "30", "sensor", "node", "sens", "ｆｕｌｌ", "für", "權", "利", "權利", "事權", "ー", "タ", "ไทย",
		long, long + "a", long + "b", "x" + long,
	}
	glue   = []string{" ", "  ", ", ", "-", "。", "", "\n"}
	paths  = []string{"", "a", "a.b", "a=b", "long"}
	values = []string{"", "1", "1.0", "true", "dev-00017", "dev-00018", "b=1", strings.Repeat("v", 130), strings.Repeat("v", 130) + "w", strings.Repeat("v", 100)}
	tags   = []string{"", "\x00", "\xff", "\xfe", "\xff\xfe", "a", "ab", "a\xff", "INVOICE", strings.Repeat("t", 140), strings.Repeat("t", 141)}
	owners = []string{"\x00alice", "\x00bob", "\x08carol"}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func fakeText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(pick(r, words) + pick(r, glue))
	}
	return b.String()
}

// fill makes the cones of units lo to hi.
func (s *fakeStore) fill(r *rand.Rand, lo, hi uint64, most int) {
	for seq := lo; seq <= hi; seq++ {
		c := &ledger.Cone{Net: fakeNet, Unit: ledger.Unit{Seq: seq, TimeMs: fakeTime(seq)}}
		for pos := range r.IntN(most + 1) {
			c.Records = append(c.Records, fakeRecord(r, ledger.Ord{Seq: seq, Pos: uint32(pos)}))
		}
		if r.IntN(5) == 0 {
			c.Posts = ledger.MergePostings([]ledger.Posting{
				{Key: ledger.Key{Kind: ledger.KeyAddress, Val: pick(r, owners)}},
				{Key: ledger.Key{Kind: ledger.KeyOutput, Val: "output"}},
			})
		}
		s.cones[seq] = c
	}
}

func fakeRecord(r *rand.Rand, o ledger.Ord) ledger.Record {
	var f fakeFacts
	for range r.IntN(3) {
		f.Texts = append(f.Texts, fakeText(r))
	}
	for range r.IntN(4) {
		f.Leaves = append(f.Leaves, ledger.Leaf{Path: pick(r, paths), Value: pick(r, values)})
	}
	raw, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	rec := ledger.Record{Ord: o, Kind: uint8(r.IntN(3)), State: ledger.State(1 + r.IntN(3)), Parts: []ledger.Part{{Kind: ledger.PartObject, Raw: raw}}}
	for range r.IntN(3) {
		rec.Posts = append(rec.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyTag, Val: pick(r, tags)}})
	}
	for range r.IntN(3) {
		rec.Posts = append(rec.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyAddress, Val: pick(r, owners)}})
	}
	rec.Posts = append(rec.Posts, ledger.Posting{Key: ledger.Key{Kind: ledger.KeyParent, Val: pick(r, owners)}})
	rec.Posts = ledger.MergePostings(rec.Posts)
	return rec
}

// opened opens an index over s in dir and closes it at the end.
func opened(t *testing.T, dir string, s *fakeStore, shardDocs int) *Index {
	t.Helper()
	x, err := Open(dir, Options{Store: s, Codec: fakeCodecs, ShardDocs: shardDocs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// catchUp follows all that s covers.
func catchUp(t *testing.T, x *Index, s *fakeStore) {
	t.Helper()
	f, err := x.Follower(fakeNetwork())
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.CatchUp(context.Background(), s, fakeNet, f); err != nil {
		t.Fatal(err)
	}
}

// ordsOf returns all documents that there must be, oldest first.
func (s *fakeStore) ordsOf(within ranges.Set) (out []ledger.Ord) {
	for seq := range within.All() {
		c := s.cones[seq]
		for i := range c.Records {
			out = append(out, c.Records[i].Ord)
		}
		if len(c.Posts) > 0 {
			out = append(out, ledger.Ord{Seq: seq, Pos: ledger.UnitPos})
		}
	}
	return out
}

// same reports whether two lists are equal, none like nil.
func same(a, b []ledger.Ord) bool { return len(a) == 0 && len(b) == 0 || slices.Equal(a, b) }
