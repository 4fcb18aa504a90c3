package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/index/scorch/mergeplan"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"

	"permanode/internal/durable"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// A batch is written when it has so many documents or bytes: fewer make many small segments, more much memory.
const (
	batchDocs  = 1000
	batchBytes = 4 << 20
)

// writer adds cones to a set. It belongs to one goroutine.
type writer struct {
	set       *set
	reading   *reading
	merged    func(hot *shard, live map[segment.Segment]bool) // forgets what is known of other segments
	shardDocs uint64

	batch   *index.Batch
	docs    int
	bytes   int
	account account    // of the hot shard, with what the batch will add
	done    ranges.Set // of all shards, with what the batch will add
}

func newWriter(s *set, r *reading, merged func(*shard, map[segment.Segment]bool), shardDocs int) (*writer, error) {
	w := &writer{set: s, reading: r, merged: merged, shardDocs: uint64(shardDocs)}
	return w, w.reset()
}

// reset drops the batch and goes back to what the shards hold.
func (w *writer) reset() error {
	w.batch, w.docs, w.bytes = index.NewBatch(), 0, 0
	w.account = account{identity: w.set.identity}
	w.set.mu.RLock()
	defer w.set.mu.RUnlock()
	w.done = w.set.doneClosed()
	if w.set.hot == nil {
		return nil
	}
	v, err := w.set.hot.read()
	if err != nil {
		return err
	}
	defer v.close()
	w.account.done, w.account.begun = copied(v.done), copied(v.begun)
	for _, r := range v.done.Ranges() {
		w.done.Add(r.Lo, r.Hi)
	}
	return nil
}

// copied returns a set that does not change with s.
func copied(s ranges.Set) ranges.Set { return s.Minus(ranges.Set{}) }

// follow adds the documents of a cone to the batch.
func (w *writer) follow(ctx context.Context, c *ledger.Cone) error {
	seq := c.Unit.Seq
	if w.done.Has(seq) {
		return nil
	}
	docs, err := w.reading.documents(ctx, c)
	if err != nil {
		return err
	}
	over := false
	for _, d := range docs {
		w.batch.Update(d)
		w.docs++
		w.bytes += d.size
		if w.full() {
			over = true
			w.account.begun.Add(seq, seq)
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	w.account.begun.Remove(seq, seq)
	w.account.done.Add(seq, seq)
	w.done.Add(seq, seq)
	if !over && !w.full() {
		return nil
	}
	return w.sync(ctx) // a shard is closed between units alone, so whenever something was written
}

func (w *writer) full() bool {
	return uint64(w.docs) >= min(batchDocs, w.shardDocs) || w.bytes >= batchBytes
}

// sync writes the batch.
func (w *writer) sync(ctx context.Context) error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.closeFull(ctx)
}

// flush writes the batch and the account in one step. After an error nothing of it counts, and the writer is of no
// use any more.
func (w *writer) flush() error {
	hot, err := w.open()
	if err != nil {
		return err
	}
	w.batch.SetInternal(accountKey, w.account.encode())
	if err := write(hot, w.batch); err != nil {
		return w.set.fail(err)
	}
	w.batch, w.docs, w.bytes = index.NewBatch(), 0, 0
	return nil
}

func write(hot *shard, b *index.Batch) (err error) {
	defer recovered(&err)
	return hot.scorch.Batch(b)
}

// open returns the hot shard, which it makes if there is none.
func (w *writer) open() (*shard, error) {
	s := w.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hot != nil {
		return s.hot, s.hot.fault
	}
	if i := slices.IndexFunc(s.faults, func(f fault) bool { return f.name == hotName }); i >= 0 {
		return nil, s.faults[i].err
	}
	hot := &shard{name: hotName, dir: filepath.Join(s.dir, hotName)}
	if err := makeDirs(hot.dir); err != nil {
		return nil, err
	}
	if err := hot.open(false, s.queue, s.report); err != nil {
		return nil, err
	}
	s.hot = hot
	return hot, nil
}

// makeDirs makes a folder and what leads to it, durably.
func makeDirs(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return durable.SyncDir(parent)
}

// closeFull closes the hot shard if it has enough documents. The batch is empty.
func (w *writer) closeFull(ctx context.Context) error {
	hot := w.set.hot // only this goroutine changes it
	if hot == nil {
		return nil
	}
	v, err := hot.read()
	if err != nil {
		return err
	}
	w.merged(hot, v.segments())
	docs := v.docs()
	v.close()
	if docs < w.shardDocs {
		return nil
	}
	if err := w.closeHot(ctx, hot); err != nil {
		return fmt.Errorf("close a shard of %d documents: %w", docs, err)
	}
	return nil
}

// closeHot merges the hot shard to one segment, copies that beside it, lists it, and puts it in place of the hot one.
// A copy, because scorch removes files that were merged away at times of its own, and never those of a read-only
// shard.
func (w *writer) closeHot(ctx context.Context, hot *shard) (err error) {
	defer recovered(&err)
	if err := w.mergeAll(ctx, hot); err != nil {
		return err
	}
	staging := filepath.Join(w.set.dir, "closing"+newEnding)
	if err := os.RemoveAll(staging); err != nil {
		return err
	}
	if err := makeDirs(staging); err != nil {
		return err
	}
	man, err := w.copyTo(staging, hot)
	if err != nil {
		return err
	}
	if man.Files, err = describe(staging); err != nil {
		return err
	}
	if err := man.write(staging); err != nil {
		return err
	}
	name := shardName(man.units())
	if err := os.Rename(staging, filepath.Join(w.set.dir, name)); err != nil {
		return err
	}
	if err := durable.SyncDir(w.set.dir); err != nil {
		return err
	}
	return w.swap(name, man, hot)
}

// mergeAll merges the hot shard to one segment. The merger tries again for ever what fails, so after its first error
// the shard is closed.
func (w *writer) mergeAll(ctx context.Context, hot *shard) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hot.merge.Store(&cancel)
	defer hot.merge.Store(nil)
	merged, idx := make(chan error, 1), hot.scorch
	go func() {
		// Never a nil context: the merger would panic, and leave its caller waiting for ever.
		merged <- idx.ForceMerge(ctx, &mergeplan.SingleSegmentMergePlanOptions)
	}()
	select {
	case err := <-merged:
		return cmp.Or(err, context.Cause(ctx)) // a merge that was ended is not whole
	case <-ctx.Done():
		err := w.set.fail(context.Cause(ctx))
		<-merged // its closing ends it
		return err
	}
}

// copyTo copies the newest snapshot of the hot shard into dir.
func (w *writer) copyTo(dir string, hot *shard) (*manifest, error) {
	r, ok := hot.scorch.CopyReader().(*scorch.IndexSnapshot)
	if !ok || r == nil {
		return nil, errors.New("it was closed")
	}
	defer func() { _ = r.CloseCopyReader() }() // it only counts references
	v := &snapshot{shard: hot, snap: r}
	raw, err := r.GetInternal(accountKey)
	if err != nil {
		return nil, err
	}
	if v.account, err = decodeAccount(raw); err != nil {
		return nil, err
	}
	if err := r.CopyTo(directory(dir)); err != nil {
		return nil, err
	}
	if segs := v.snap.Segments(); len(segs) == 1 {
		t, err := newTable(segs[0].Segment())
		if err != nil {
			return nil, err
		}
		if err := t.write(dir); err != nil {
			return nil, err
		}
	}
	return &manifest{
		Format: 1, Mapping: mappingVersion(), Identity: w.set.identity, Segment: fmt.Sprint(segmentType, " ", segmentVersion),
		Docs: v.docs(), Units: spansOf(v.done),
	}, nil
}

// swap opens the closed shard and takes the hot one out.
func (w *writer) swap(name string, man *manifest, hot *shard) error {
	closed := &shard{name: name, dir: filepath.Join(w.set.dir, name), man: man}
	if err := closed.open(true, w.set.queue, w.set.report); err != nil {
		return err
	}
	budget := int64(0) // it was hashed when it was written
	if err := closed.fits(&budget); err != nil {
		return errors.Join(err, closed.close(), removeFolder(closed.dir))
	}
	s := w.set
	s.mu.Lock()
	s.closed = append(s.closed, closed)
	slices.SortFunc(s.closed, func(a, b *shard) int { return strings.Compare(a.name, b.name) })
	s.hot = nil
	s.mu.Unlock()
	err := hot.close()
	w.merged(hot, nil)
	w.account = account{identity: s.identity}
	return errors.Join(err, removeFolder(hot.dir))
}
