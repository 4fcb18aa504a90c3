package index

import (
	"cmp"
	"container/list"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/ledger"
)

// table gives a segment's documents their places: scorch numbers them in no order that we could use. It holds 12
// bytes a document.
type table struct {
	ords  []uint64 // by document
	order []uint32 // documents by place
}

func packed(o ledger.Ord) uint64   { return o.Seq<<24 | uint64(o.Pos) }
func unpacked(v uint64) ledger.Ord { return ledger.Ord{Seq: v >> 24, Pos: uint32(v & ledger.UnitPos)} }

// newTable reads the ids of a segment.
func newTable(s segment.Segment) (*table, error) {
	n := s.Count()
	t := &table{ords: make([]uint64, n), order: make([]uint32, n)}
	for doc := range n {
		id, err := s.DocID(doc)
		if err != nil {
			return nil, err
		}
		o, err := ledger.ParseOrd(string(id))
		if err != nil {
			return nil, fmt.Errorf("document %q is of another index: %w", id, err)
		}
		t.ords[doc], t.order[doc] = packed(o), uint32(doc)
	}
	slices.SortFunc(t.order, func(a, b uint32) int { return cmp.Compare(t.ords[a], t.ords[b]) })
	return t, nil
}

// placesName is the file of a closed shard that holds the table of its one segment, so that it need not be made of
// the ids: big endian, the place of each document in 8 bytes, then the documents by place in 4 bytes each, then the
// CRC-32 (IEEE) of all that.
const placesName = "places"

// write writes the table into the folder of a shard.
func (t *table) write(dir string) error {
	b := make([]byte, 0, 12*len(t.ords)+4)
	for _, o := range t.ords {
		b = binary.BigEndian.AppendUint64(b, o)
	}
	for _, doc := range t.order {
		b = binary.BigEndian.AppendUint32(b, doc)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return os.WriteFile(filepath.Join(dir, placesName), b, 0o644)
}

// readTable reads the table of a segment of n documents.
func readTable(dir string, n uint64) (*table, error) {
	b, err := os.ReadFile(filepath.Join(dir, placesName))
	if err != nil {
		return nil, err
	}
	if uint64(len(b)) != 12*n+4 || crc32.ChecksumIEEE(b[:12*n]) != binary.BigEndian.Uint32(b[12*n:]) {
		return nil, fmt.Errorf("%w: %s is not what was written", errDamaged, placesName)
	}
	t := &table{ords: make([]uint64, n), order: make([]uint32, n)}
	for i := range t.ords {
		t.ords[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	for i := range t.order {
		t.order[i] = binary.BigEndian.Uint32(b[8*n+4*uint64(i):])
	}
	return t, nil
}

func (t *table) bytes() int64 { return 12 * int64(len(t.ords)) }

// at returns the number of documents that lie before o.
func (t *table) at(o uint64) int {
	return sort.Search(len(t.order), func(i int) bool { return t.ords[t.order[i]] >= o })
}

// find returns the document of o.
func (t *table) find(o ledger.Ord) (uint32, bool) {
	i := t.at(packed(o))
	if i < len(t.order) && t.ords[t.order[i]] == packed(o) {
		return t.order[i], true
	}
	return 0, false
}

// units adds the documents of units lo to hi to bm.
func (t *table) units(bm *roaring.Bitmap, lo, hi uint64) {
	from := t.at(packed(ledger.Ord{Seq: lo}))
	to := len(t.order)
	if hi < ledger.MaxSeq {
		to = t.at(packed(ledger.Ord{Seq: hi + 1}))
	}
	bm.AddMany(t.order[from:max(from, to)])
}

// first returns the places of the first k documents of bm, in order and behind after.
func (t *table) first(bm *roaring.Bitmap, w *window, k int) []ledger.Ord {
	card, n := bm.GetCardinality(), uint64(len(t.order))
	if card == 0 || k <= 0 {
		return nil
	}
	if uint64(k)*n < card*card { // the walk over all places meets k hits sooner than all hits are sorted
		return t.walk(bm, w, k)
	}
	out := make([]ledger.Ord, 0, min(card, uint64(4*k)))
	for it := bm.Iterator(); it.HasNext(); {
		if o := unpacked(t.ords[it.Next()]); w.behind(o) {
			out = append(out, o)
		}
		if len(out) == 4*k && cap(out) == 4*k {
			out = w.sort(out)[:k]
		}
	}
	out = w.sort(out)
	return out[:min(k, len(out))]
}

func (t *table) walk(bm *roaring.Bitmap, w *window, k int) (out []ledger.Ord) {
	i, step := 0, 1
	if w.newest {
		i, step = len(t.order)-1, -1
		if w.hasAfter {
			i = t.at(packed(w.after)) - 1
		}
	} else if w.hasAfter {
		if i = t.at(packed(w.after)); i < len(t.order) && t.ords[t.order[i]] == packed(w.after) {
			i++
		}
	}
	for ; i >= 0 && i < len(t.order) && len(out) < k; i += step {
		if doc := t.order[i]; bm.Contains(doc) {
			out = append(out, unpacked(t.ords[doc]))
		}
	}
	return out
}

// window is the part of the hits that is asked for.
type window struct {
	newest   bool
	after    ledger.Ord
	hasAfter bool
}

// behind reports whether o lies behind the cursor.
func (w *window) behind(o ledger.Ord) bool { return !w.hasAfter || w.before(w.after, o) }

// before reports whether a comes before b.
func (w *window) before(a, b ledger.Ord) bool { return w.compare(a, b) < 0 }

func (w *window) compare(a, b ledger.Ord) int {
	if w.newest {
		a, b = b, a
	}
	return a.Compare(b)
}

func (w *window) sort(ords []ledger.Ord) []ledger.Ord {
	slices.SortFunc(ords, w.compare)
	return ords
}

// table reads the table of one of the shard's segments, or makes it.
func (s *shard) table(seg segment.Segment) (*table, error) {
	if s.man != nil && slices.ContainsFunc(s.man.Files, func(f manifestFile) bool { return f.Name == placesName }) {
		return readTable(s.dir, seg.Count())
	}
	return newTable(seg)
}

// tables keeps the tables that were used last, up to a number of bytes.
type tables struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	used  *list.List // of *tableEntry, the last used first
	at    map[segment.Segment]*list.Element
}

type tableEntry struct {
	seg   segment.Segment
	owner *shard
	t     *table
}

func newTables(limit int64) *tables {
	return &tables{limit: limit, used: list.New(), at: map[segment.Segment]*list.Element{}}
}

// of returns the table of a segment of owner, which the caller holds.
func (c *tables) of(owner *shard, s segment.Segment) (*table, error) {
	c.mu.Lock()
	if e, ok := c.at[s]; ok {
		c.used.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(*tableEntry).t, nil
	}
	c.mu.Unlock()
	t, err := owner.table(s) // two at once make it twice: seldom, and harmless
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[s]; !ok {
		c.at[s] = c.used.PushFront(&tableEntry{s, owner, t})
		c.bytes += t.bytes()
	}
	for c.bytes > c.limit && c.used.Len() > 1 {
		c.remove(c.used.Back())
	}
	return t, nil
}

func (c *tables) remove(e *list.Element) {
	entry := c.used.Remove(e).(*tableEntry)
	delete(c.at, entry.seg)
	c.bytes -= entry.t.bytes()
}

// forget forgets all tables.
func (c *tables) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used.Init()
	clear(c.at)
	c.bytes = 0
}

// keep forgets the tables of owner's segments but those of live: a segment that was merged away must not be held.
func (c *tables) keep(owner *shard, live map[segment.Segment]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; {
		next := e.Next()
		if entry := e.Value.(*tableEntry); entry.owner == owner && !live[entry.seg] {
			c.remove(e)
		}
		e = next
	}
}
