package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	index "github.com/blevesearch/bleve_index_api"

	"permanode/internal/durable"
	"permanode/internal/ranges"
)

// The names of folders that are not closed shards.
const (
	hotName    = "hot"
	newEnding  = ".new"  // a closed shard that is not whole yet
	goneEnding = ".gone" // what is about to be removed
)

// verifyBytes is how much of an index is compared with its checksums when it is opened; check does the rest.
const verifyBytes = 1 << 30

// smallFile is the size of files that are compared with their hashes at every opening: scorch's list of segments.
const smallFile = 4 << 20

// set is the shards of one network, in one folder. mu guards which there are; a shard in it is open.
type set struct {
	dir      string
	identity string // of the network
	readOnly bool
	queue    *index.AnalysisQueue
	report   func(error) // hears of damage, and of errors of scorch's own goroutines

	mu     sync.RWMutex
	closed []*shard // by their first unit
	hot    *shard   // nil until there is something to write, and while it cannot be read
	faults []fault
}

// fault is a shard that cannot be read.
type fault struct {
	name string
	err  error
}

// openSet opens the shards in dir. One that is not there has none. Where the set is written, shards that are damaged
// are removed, and their units followed again.
func openSet(dir, identity string, readOnly bool, queue *index.AnalysisQueue, report func(error)) (*set, error) {
	s := &set{dir: dir, identity: identity, readOnly: readOnly, queue: queue, report: report}
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	budget := int64(verifyBytes)
	slices.Reverse(names) // "hot", then the newest
	for _, n := range names {
		switch name := n.Name(); {
		case !readOnly && (strings.HasSuffix(name, newEnding) || strings.HasSuffix(name, goneEnding)):
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return nil, errors.Join(err, s.close())
			}
		case name == hotName:
			s.take(name, s.openHot, &budget)
		case isShardName(name):
			s.take(name, s.openClosed, &budget)
		}
	}
	slices.SortFunc(s.closed, func(a, b *shard) int { return strings.Compare(a.name, b.name) })
	s.dropMoved()
	return s, nil
}

// take opens a shard, and keeps its fault if it cannot be.
func (s *set) take(name string, open func(name string, budget *int64) error, budget *int64) {
	err := onlyFiles(filepath.Join(s.dir, name))
	if err == nil {
		err = open(name, budget)
	}
	if err == nil {
		return
	}
	s.report(fmt.Errorf("shard %s: %w", name, err))
	if !s.readOnly && errors.Is(err, errDamaged) {
		if err = removeFolder(filepath.Join(s.dir, name)); err == nil {
			return
		}
	}
	s.faults = append(s.faults, fault{name, err})
}

// onlyFiles fails if something in a shard's folder is no file: to open a pipe would wait for somebody else.
func onlyFiles(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := durable.Regular(n.Name(), n.Type()); err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return nil
}

func (s *set) openHot(name string, budget *int64) (err error) {
	defer recovered(&err)
	dir := filepath.Join(s.dir, name)
	hot := &shard{name: name, dir: dir}
	if err := hot.open(s.readOnly, s.queue, s.report); err != nil {
		return err
	}
	v, err := hot.read()
	if err == nil {
		defer v.close()
		err = v.verify(budget)
		if v.identity != "" && v.identity != s.identity {
			err = fmt.Errorf("%w: it is of the network %q", errDamaged, v.identity)
		}
	}
	if err != nil {
		return errors.Join(err, hot.close())
	}
	s.hot = hot
	return nil
}

func (s *set) openClosed(name string, budget *int64) error {
	dir := filepath.Join(s.dir, name)
	man, err := readManifest(dir)
	if err != nil {
		return err
	}
	if man.Identity != s.identity {
		return fmt.Errorf("%w: it is of the network %q", errDamaged, man.Identity)
	}
	if err := man.verify(dir, smallFile); err != nil {
		return err
	}
	c := &shard{name: name, dir: dir, man: man}
	if err := c.open(true, s.queue, s.report); err != nil {
		return err
	}
	if err := c.fits(budget); err != nil {
		return errors.Join(err, c.close())
	}
	s.closed = append(s.closed, c)
	return nil
}

// fits compares a closed shard with its manifest, and as many of its bytes as budget allows with their checksums.
func (s *shard) fits(budget *int64) (err error) {
	defer recovered(&err)
	v, err := s.read()
	if err != nil {
		return err
	}
	defer v.close()
	if err := v.verify(budget); err != nil {
		return err
	}
	if docs := v.docs(); docs != s.man.Docs || v.done.Minus(s.man.units()).Len()+s.man.units().Minus(v.done).Len() > 0 {
		return fmt.Errorf("%w: its manifest lists other units or documents", errDamaged)
	}
	fixed := v.account
	s.fixed = &fixed
	return nil
}

// dropMoved drops a hot shard whose units stand in a closed one: the program ended between the two.
func (s *set) dropMoved() {
	if s.hot == nil {
		return
	}
	v, err := s.hot.read()
	if err != nil {
		return // the search names it
	}
	done := v.done
	v.close()
	if done.Len() == 0 || done.Minus(s.doneClosed()).Len() > 0 {
		return
	}
	hot := s.hot
	s.hot = nil
	err = hot.close()
	if !s.readOnly {
		err = errors.Join(err, removeFolder(hot.dir))
	}
	if err != nil {
		s.report(err)
	}
}

// removeFolder removes a folder so that no half of it is ever found under its name.
func removeFolder(dir string) error {
	gone := dir + goneEnding
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(dir, gone); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

func (s *set) doneClosed() (done ranges.Set) {
	for _, c := range s.closed {
		for _, r := range c.man.units().Ranges() {
			done.Add(r.Lo, r.Hi)
		}
	}
	return done
}

// read takes a snapshot of all shards. What cannot be read is among the faults.
func (s *set) read() (views []*snapshot, faults []fault) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	faults = slices.Clone(s.faults)
	for _, sh := range append(slices.Clip(s.closed), s.hot) {
		if sh == nil {
			continue
		}
		v, err := sh.read()
		if err != nil {
			faults = append(faults, fault{sh.name, err})
			continue
		}
		views = append(views, v)
	}
	return views, faults
}

// done returns the units in the set.
func (s *set) done() (done ranges.Set) {
	views, _ := s.read()
	for _, v := range views {
		for _, r := range v.done.Ranges() {
			done.Add(r.Lo, r.Hi)
		}
		v.close()
	}
	return done
}

// condemn takes a shard out of answers, because reading it failed.
func (s *set) condemn(sh *shard, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh.fault == nil {
		sh.fault = err
		s.report(fmt.Errorf("shard %s: %w", sh.name, err))
	}
}

// errUnwritable says that a batch could not be made durable: what scorch has of it in memory does not count.
var errUnwritable = errors.New("the index cannot be written")

// fail takes the hot shard out of answers and stops it, because what it has in memory is not durable.
func (s *set) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hot == nil || s.hot.fault != nil {
		return err
	}
	s.hot.fault = fmt.Errorf("%w: %w", errUnwritable, err)
	return errors.Join(s.hot.fault, s.hot.close())
}

// revive opens the hot shard again if it failed: there may be room on the disk by now. A damaged one is removed, and
// its units followed again.
func (s *set) revive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.hot
	if old == nil || old.fault == nil {
		return nil
	}
	if err := old.close(); err != nil {
		s.report(err)
	}
	s.hot = nil
	budget := int64(verifyBytes)
	err := s.openHot(hotName, &budget)
	if errors.Is(err, errDamaged) {
		s.report(fmt.Errorf("shard %s: %w", hotName, err))
		err = removeFolder(old.dir)
	}
	if err != nil {
		s.hot = &shard{name: hotName, dir: old.dir, fault: fmt.Errorf("%w: %w", errUnwritable, err)}
		return s.hot.fault
	}
	return nil
}

func (s *set) close() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range append(slices.Clip(s.closed), s.hot) {
		if sh != nil {
			err = errors.Join(err, sh.close())
		}
	}
	s.closed, s.hot = nil, nil
	return err
}
