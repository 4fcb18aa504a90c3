package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"permanode/internal/durable"
	"permanode/internal/follow"
	"permanode/internal/ranges"
	"permanode/ledger"
)

// rebuildEnding is behind the name of a folder in which an index is made again.
const rebuildEnding = ".rebuild"

// tidy removes what other versions of the mapping left, and ends a swap that was interrupted: the new folder is
// whole once the old one has another name.
func (n *network) tidy() error {
	names, err := os.ReadDir(n.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	now, again := n.folder(), n.folder()+rebuildEnding
	if _, err := os.Stat(now + goneEnding); err == nil {
		if _, err := os.Stat(now); errors.Is(err, os.ErrNotExist) {
			if err := rename(again, now); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	for _, e := range names {
		if path := filepath.Join(n.dir, e.Name()); path != now && path != again {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(to))
}

// Rebuild makes the index of a network again from the store, beside the old one, and puts it in its place. It
// goes on where an earlier call was interrupted. progress may be nil.
func (x *Index) Rebuild(ctx context.Context, of ledger.Network, progress func(done, total uint64)) error {
	if x.opts.ReadOnly {
		return errors.New("the index is open for reading alone")
	}
	n, err := x.enter(ctx, of.ID)
	if err != nil {
		return err
	}
	defer x.searches.Done()
	warn := n.warn(x.opts.Log)
	again, err := openSet(n.folder()+rebuildEnding, n.Identity, false, x.queue, warn)
	if err != nil {
		return fmt.Errorf("rebuild the index of %s: %w", n.Name, err)
	}
	if err = x.rebuild(ctx, n, again, progress); err == nil {
		n.write.Lock() // nothing is followed from here on
		defer n.write.Unlock()
		if err = x.rebuild(ctx, n, again, nil); err == nil {
			return x.swap(n, again, warn)
		}
	}
	return errors.Join(fmt.Errorf("rebuild the index of %s: %w", n.Name, err), again.close())
}

// rebuild brings the set again up to the store and compares the two.
func (x *Index) rebuild(ctx context.Context, n *network, again *set, progress func(done, total uint64)) error {
	w, err := newWriter(again, n.reading, x.merged, x.opts.ShardDocs)
	if err != nil {
		return err
	}
	cov, err := x.opts.Store.Coverage(ctx, n.ID)
	if err != nil {
		return err
	}
	r := &rebuilder{writer: w, total: cov.Set().Len(), progress: progress}
	if err := follow.CatchUp(ctx, x.opts.Store, n.ID, r); err != nil {
		return err
	}
	for f, err := range x.check(ctx, n, again, false) {
		if err != nil {
			return err
		}
		return fmt.Errorf("it does not fit the store: shard %s: %s", f.Shard, f.Text)
	}
	return nil
}

// rebuilder follows the store into another set.
type rebuilder struct {
	*writer
	total    uint64
	progress func(done, total uint64)
}

func (r *rebuilder) Name() string { return "rebuild" }

func (r *rebuilder) Done(context.Context, ledger.NetID) (ranges.Set, error) {
	return copied(r.done), nil
}

func (r *rebuilder) Follow(ctx context.Context, c *ledger.Cone) error {
	if err := r.follow(ctx, c); err != nil {
		return err
	}
	if r.progress != nil {
		r.progress(r.done.Len(), r.total)
	}
	return nil
}

func (r *rebuilder) Sync(ctx context.Context) error { return r.sync(ctx) }

// swap puts the set again in the place of the network's. Searches that run go on in the old one.
func (x *Index) swap(n *network, again *set, warn func(error)) error {
	err := again.close() // scorch knows its folder by name
	if err != nil {
		return err
	}
	now := n.folder()
	if err := rename(now, now+goneEnding); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := rename(now+rebuildEnding, now); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // nothing was covered: there is no folder
	}
	fresh, err := openSet(now, n.Identity, false, x.queue, warn)
	if err != nil {
		return err
	}
	n.mu.Lock()
	old := n.set
	n.set, n.trouble = fresh, nil
	n.mu.Unlock()
	n.writer = nil
	x.counts.forget()
	x.tables.forget()
	return errors.Join(old.close(), os.RemoveAll(now+goneEnding))
}
