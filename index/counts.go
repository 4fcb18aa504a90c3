package index

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/RoaringBitmap/roaring/v2"

	"permanode/index/lang"
	"permanode/internal/ranges"
)

// counts keeps what searches have counted in closed shards, which never change: so the pages behind the first cost
// no count, and phrases are checked once. It is bounded in bytes; the last used stay.
type counts struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	used  *list.List // of *count, the last used first
	at    map[countKey]*list.Element
}

type countKey struct {
	shard *shard
	hash  [32]byte
}

// count is a total in a shard; checked are the documents of each segment that match and that terms alone do not tell,
// nil if terms tell all.
type count struct {
	key     countKey
	total   uint64
	checked []*roaring.Bitmap
	bytes   int64
}

func newCounts(limit int64) *counts {
	return &counts{limit: limit, used: list.New(), at: map[countKey]*list.Element{}}
}

func (c *counts) get(v *snapshot, hash [32]byte) *count {
	if v.man == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[countKey{v.shard, hash}]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*count)
}

func (c *counts) put(v *snapshot, hash [32]byte, total uint64, parts []*found, doubted bool) {
	n := &count{key: countKey{v.shard, hash}, total: total, bytes: 256}
	if doubted {
		for _, f := range parts {
			checked := f.checked.Clone()
			n.checked = append(n.checked, checked)
			n.bytes += int64(checked.GetSizeInBytes())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[n.key]; ok {
		return
	}
	c.at[n.key] = c.used.PushFront(n)
	c.bytes += n.bytes
	for c.bytes > c.limit {
		old := c.used.Remove(c.used.Back()).(*count)
		delete(c.at, old.key)
		c.bytes -= old.bytes
	}
}

// forget drops what was counted in shards that are gone.
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
