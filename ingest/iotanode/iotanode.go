package iotanode

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"permanode/ingest"
	"permanode/ledger"
	"permanode/ledger/rebased"
)

// The bounds where a Config names none. A checkpoint has at most 30 MiB of transactions; checkpoint 0 carries
// the whole migrated ledger.
const (
	defaultMaxBytes   = 64 << 20
	defaultMaxGenesis = 512 << 20
	defaultWindow     = 32 << 20
	defaultTimeout    = 30 * time.Second
	defaultParallel   = 8
)

// Config says what to ask, and how.
type Config struct {
	Name       string            // for notes and status; "" is the address without credentials
	Address    string            // URL or path
	Timeout    time.Duration     // for one answer, or for one sign of life of a longer one; 0 means 30 s
	Parallel   int               // HTTP requests at a time; 0 means 8
	MaxBytes   int64             // largest checkpoint; 0 means 64 MiB
	MaxGenesis int64             // largest checkpoint 0; 0 means 512 MiB
	Window     int64             // bytes that are read ahead and kept; 0 means 32 MiB
	TempDir    string            // where a store's batches are unpacked; "" means the system's
	Transport  http.RoundTripper // nil means the network; HTTP sources only
}

func (c Config) withDefaults() Config {
	set := func(v *int64, to int64) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&c.MaxBytes, defaultMaxBytes)
	set(&c.MaxGenesis, max(defaultMaxGenesis, c.MaxBytes))
	set(&c.Window, defaultWindow)
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	return c
}

// limit is how many bytes checkpoint seq may have.
func (c Config) limit(seq uint64) int64 {
	if seq == 0 {
		return c.MaxGenesis
	}
	return c.MaxBytes
}

// cone is one checkpoint as sources give it.
type cone struct {
	head []byte
	raws [][]byte
}

func (c *cone) size() (n int64) {
	n = int64(len(c.head)) + coneCost
	for _, r := range c.raws {
		n += int64(len(r)) + rawCost
	}
	return n
}

// What a cone and a raw cost in memory beside their bytes.
const (
	coneCost = 256
	rawCost  = 48
)

// splitFile splits the bytes of a .chk file, bare or with its encoding byte.
func splitFile(chk []byte) (*cone, error) {
	head, raws, err := rebased.SplitCheckpoint(chk)
	if err != nil {
		return nil, err
	}
	return &cone{head, raws}, nil
}

// seqOf returns the sequence number that the head states: the second number of its summary.
func seqOf(head []byte) uint64 {
	if len(head) < 16 {
		return 0
	}
	return binary.LittleEndian.Uint64(head[8:])
}

// shelf keeps cones between the question for their head and that for their records, within a number of bytes. A
// cone is given once: what is asked for again is read again, since the first answer may have been a lie. It is
// safe for concurrent use.
type shelf struct {
	limit int64

	mu    sync.Mutex
	bytes int64
	kept  map[uint64]*shelved
	order []uint64 // of kept, oldest first
}

type shelved struct {
	*cone
	at   time.Time
	seen bool // its head was given
}

// headAge is how long a head is given again: a collector asks for many heads ahead.
const headAge = 3 * time.Second

// put keeps c if there is room, at the cost of the oldest ones.
func (s *shelf) put(seq uint64, c *cone) {
	n := c.size()
	if n > s.limit {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(seq)
	for s.bytes+n > s.limit && len(s.order) > 0 {
		s.drop(s.order[0])
	}
	if s.kept == nil {
		s.kept = map[uint64]*shelved{}
	}
	s.kept[seq] = &shelved{cone: c, at: time.Now()}
	s.order = append(s.order, seq)
	s.bytes += n
}

func (s *shelf) drop(seq uint64) {
	if c := s.kept[seq]; c != nil {
		s.bytes -= c.size()
		delete(s.kept, seq)
		at := slices.Index(s.order, seq) // near the front: cones are taken in order
		s.order = slices.Delete(s.order, at, at+1)
	}
}

// head returns the head of a kept cone.
func (s *shelf) head(seq uint64) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.kept[seq]
	if c == nil || c.seen && time.Since(c.at) > headAge {
		return nil, false
	}
	if !c.seen {
		c.seen, c.at = true, time.Now()
	}
	return c.cone.head, true
}

// take returns a kept cone and forgets it.
func (s *shelf) take(seq uint64) *cone {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.kept[seq]
	if c == nil {
		return nil
	}
	s.drop(seq)
	return c.cone
}

// used is the number of bytes that are kept.
func (s *shelf) used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// clear forgets all of it.
func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes, s.kept, s.order = 0, nil, nil
}

// whole answers the questions of a source that reads whole checkpoints.
type whole struct {
	name  string
	shelf shelf
	load  func(ctx context.Context, seq uint64) (*cone, error)
}

// Name returns the name for notes and status.
func (w *whole) Name() string { return w.name }

// Head returns the head of checkpoint seq: certified summary and contents list.
func (w *whole) Head(ctx context.Context, seq uint64) ([]byte, error) {
	if head, ok := w.shelf.head(seq); ok {
		return head, nil
	}
	c, err := w.load(ctx, seq)
	if err != nil {
		return nil, w.wrap(seq, err)
	}
	w.shelf.put(seq, c)
	head, ok := w.shelf.head(seq) // so that it counts as given
	if !ok {
		head = c.head
	}
	return head, nil
}

// Cone returns checkpoint seq whole: its head, and its transactions in order, each in framed parts.
func (w *whole) Cone(ctx context.Context, seq uint64) ([]byte, [][]byte, error) {
	if c := w.shelf.take(seq); c != nil {
		return c.head, c.raws, nil
	}
	c, err := w.load(ctx, seq)
	if err != nil {
		return nil, nil, w.wrap(seq, err)
	}
	return c.head, c.raws, nil
}

// Fetch cannot be answered: transactions come with their checkpoint.
func (w *whole) Fetch(context.Context, []ledger.ID) ([][]byte, error) { return nil, ingest.ErrCannot }

// Claims cannot be answered: what became of a transaction stands in its effects.
func (w *whole) Claims(context.Context, uint64, []ledger.ID) (*ledger.NodeClaims, error) {
	return nil, ingest.ErrCannot
}

func (w *whole) wrap(seq uint64, err error) error {
	return fmt.Errorf("%s: checkpoint %d: %w", w.name, seq, err)
}
