package index

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/index/lang"
	"permanode/internal/ranges"
)

// counts keeps what searches have found out about segments, which never change: in which documents words stand side
// by side, so that phrases are checked once, and totals, so that the pages behind the first cost no count. It is
// bounded in bytes; the last used stay.
type counts struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	used  *list.List // of *count, the last used first
	at    map[countKey]*list.Element
}

type countKey struct {
	seg  segment.Segment
	hash [32]byte
}

// count is what is known of a question in a segment.
type count struct {
	key     countKey
	owner   *shard
	asked   *roaring.Bitmap // of the documents that terms do not tell, those whose records were looked at
	matched *roaring.Bitmap // of those, the ones that match
	total   uint64
	whole   bool // total is of all documents of a closed shard
	bytes   int64
}

func newCounts(limit int64) *counts {
	return &counts{limit: limit, used: list.New(), at: map[countKey]*list.Element{}}
}

// get returns what is known, nil if nothing is.
func (c *counts) get(seg segment.Segment, hash [32]byte) *count {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[countKey{seg, hash}]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*count)
}

// put keeps n in the place of what was known before.
func (c *counts) put(n *count) {
	n.bytes = 256 + int64(n.asked.GetSizeInBytes()+n.matched.GetSizeInBytes())
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[n.key]; ok {
		c.remove(e)
	}
	c.at[n.key] = c.used.PushFront(n)
	c.bytes += n.bytes
	for c.bytes > c.limit {
		c.remove(c.used.Back())
	}
}

func (c *counts) remove(e *list.Element) {
	old := c.used.Remove(e).(*count)
	delete(c.at, old.key)
	c.bytes -= old.bytes
}

// keep forgets what is known of owner's segments but those of live.
func (c *counts) keep(owner *shard, live map[segment.Segment]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; {
		next := e.Next()
		if n := e.Value.(*count); n.owner == owner && !live[n.key.seg] {
			c.remove(e)
		}
		e = next
	}
}

// forget forgets everything.
func (c *counts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used.Init()
	clear(c.at)
	c.bytes = 0
}

// hashQuery tells questions apart.
func hashQuery(n lang.Node) [32]byte { return sha256.Sum256(appendNode(nil, n)) }

// appendNode appends a question so that different ones differ.
func appendNode(b []byte, n lang.Node) []byte {
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	num := func(v uint64) { b = binary.AppendUvarint(b, v) }
	flag := func(v bool) {
		if v {
			num(1)
		} else {
			num(0)
		}
	}
	list := func(tag byte, parts []lang.Node) {
		b = append(b, tag)
		num(uint64(len(parts)))
		for _, p := range parts {
			b = appendNode(b, p)
		}
	}
	switch n := n.(type) {
	case lang.All:
		b = append(b, 'A')
	case lang.None:
		b = append(b, '0')
	case lang.And:
		list('&', n)
	case lang.Or:
		list('|', n)
	case lang.Not:
		list('!', []lang.Node{n.Of})
	case lang.Keys:
		b = append(b, 'K')
		flag(n.Prefix)
		num(uint64(len(n.Of)))
		for _, k := range n.Of {
			b = append(b, byte(k.Kind))
			str(k.Val)
		}
	case lang.Units:
		b = append(b, 'U')
		b = appendUnits(b, n.Set)
	case lang.State:
		b = append(b, 'S', byte(n.Of))
	case lang.Kind:
		b = append(b, 'k')
		str(string(n.Of))
	case lang.OfUnit:
		b = append(b, 'u')
	case lang.Text:
		b = append(b, 'T')
		flag(n.Prefix)
		str(n.Text)
	case lang.Leaf:
		b = append(b, 'L')
		flag(n.Prefix)
		str(n.Path)
		str(n.Value)
	}
	return b
}

func appendUnits(b []byte, s ranges.Set) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Ranges())))
	for _, r := range s.Ranges() {
		b = binary.AppendUvarint(binary.AppendUvarint(b, r.Lo), r.Hi)
	}
	return b
}
