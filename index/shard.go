package index

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/util"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"permanode/internal/ranges"
)

// shard is a part of a network's index: the hot one, or a closed one.
type shard struct {
	name   string // of its folder
	dir    string
	man    *manifest // nil for the hot one
	scorch *scorch.Scorch
	fault  error    // why it cannot be read; then scorch may be nil
	fixed  *account // of a closed one, once it was read

	stop  chan struct{}                           // closed when it is closed
	merge atomic.Pointer[context.CancelCauseFunc] // ends the merge that its closing waits for
}

// accountKey is where a shard keeps its account.
var accountKey = []byte("units")

// account says which units a shard holds.
type account struct {
	identity string     // of the network
	done     ranges.Set // wholly in the shard
	begun    ranges.Set // some documents may be there; they do not count
}

func (a *account) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(a.identity)))
	b = append(b, a.identity...)
	for _, s := range []ranges.Set{a.done, a.begun} {
		b = binary.AppendUvarint(b, uint64(len(s.Ranges())))
		for _, r := range s.Ranges() {
			b = binary.AppendUvarint(binary.AppendUvarint(b, r.Lo), r.Hi-r.Lo)
		}
	}
	return b
}

func decodeAccount(b []byte) (a account, err error) {
	bad := fmt.Errorf("%w: its account of units cannot be read", errDamaged)
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, n = bad, len(b)
		}
		b = b[n:]
		return v
	}
	n := next()
	if n > uint64(len(b)) {
		return a, bad
	}
	a.identity, b = string(b[:n]), b[n:]
	for _, s := range []*ranges.Set{&a.done, &a.begun} {
		for n := next(); n > 0 && err == nil; n-- {
			lo := next()
			s.Add(lo, lo+next())
		}
	}
	if len(b) > 0 {
		err = bad
	}
	return a, err
}

// asyncErrors hands errors of scorch's own goroutines to whoever opened the folder: scorch knows callbacks by name
// alone.
var asyncErrors struct {
	once sync.Once
	mu   sync.Mutex
	of   map[string]func(error)
}

const asyncErrorsName = "permanode"

func onAsyncError(dir string, report func(error)) {
	asyncErrors.once.Do(func() {
		asyncErrors.of = map[string]func(error){}
		scorch.RegistryAsyncErrorCallbacks[asyncErrorsName] = func(err error, dir string) {
			asyncErrors.mu.Lock()
			report := asyncErrors.of[dir]
			asyncErrors.mu.Unlock()
			if report != nil {
				report(err)
			}
		}
	})
	asyncErrors.mu.Lock()
	defer asyncErrors.mu.Unlock()
	if report == nil {
		delete(asyncErrors.of, dir)
		return
	}
	asyncErrors.of[dir] = report
}

// The format of segment files: another one is another mapping.
const (
	segmentType    = "zap"
	segmentVersion = 17
)

// lockWait is how long an opening waits for another process.
const lockWait = 5 * time.Second

// pause is how long scorch's own goroutines wait after an error: by themselves they try again at once, for ever.
const pause = 5 * time.Second

// open opens the shard's folder. What scorch panics about is an error.
func (s *shard) open(readOnly bool, queue *index.AnalysisQueue, report func(error)) (err error) {
	defer recovered(&err)
	newest, err := newestAccount(s.dir, readOnly)
	if err != nil {
		return err
	}
	s.stop = make(chan struct{})
	onAsyncError(s.dir, func(err error) {
		report(err)
		if cancel := s.merge.Load(); cancel != nil {
			(*cancel)(err)
		}
		select {
		case <-s.stop:
		case <-time.After(pause):
		}
	})
	idx, err := scorch.NewScorch(scorch.Name, map[string]any{
		"path": s.dir, "read_only": readOnly, "numSnapshotsToKeep": 1, "bolt_timeout": lockWait.String(),
		"forceSegmentType": segmentType, "forceSegmentVersion": segmentVersion,
		"asyncErrorCallbackName": asyncErrorsName,
	}, queue)
	if err == nil {
		if err = idx.Open(); err != nil {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if err != nil {
		onAsyncError(s.dir, nil)
		return err
	}
	s.scorch = idx.(*scorch.Scorch)
	if err := s.isNewest(newest); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

// isNewest compares what was loaded with the newest account: where a segment cannot be opened scorch goes back to an
// older list, or to none, and says nothing.
func (s *shard) isNewest(account []byte) error {
	r, err := s.scorch.Reader()
	if err != nil {
		return err
	}
	loaded, err := r.GetInternal(accountKey)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !bytes.Equal(loaded, account) {
		return fmt.Errorf("%w: a segment that it lists cannot be opened", errDamaged)
	}
	return nil
}

// newestAccount returns the account in the newest list of segments that scorch has written in dir, nil if there is
// none yet.
func newestAccount(dir string, readOnly bool) (account []byte, err error) {
	root := filepath.Join(dir, "root.bolt")
	if info, err := os.Stat(root); err != nil || info.Size() == 0 {
		segments, err := filepath.Glob(filepath.Join(dir, "*.zap"))
		if err == nil && len(segments) == 0 && !readOnly {
			return nil, nil // it was not begun
		}
		return nil, fmt.Errorf("%w: the list of its segments, root.bolt, is missing or empty", errDamaged)
	}
	db, err := bolt.Open(root, 0o600, &bolt.Options{ReadOnly: true, Timeout: lockWait})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: %w", root, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: root.bolt: %w", errDamaged, err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		lists := tx.Bucket(util.BoltSnapshotsBucket)
		if lists == nil {
			return nil
		}
		last, _ := lists.Cursor().Last()
		if list := lists.Bucket(last); list != nil && list.Bucket(util.BoltInternalKey) != nil {
			account = bytes.Clone(list.Bucket(util.BoltInternalKey).Get(accountKey))
		}
		return nil
	})
	return account, errors.Join(err, db.Close())
}

// recovered turns a panic over damaged files into an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: reading it fails with: %v", errDamaged, r)
	}
}

func (s *shard) close() error {
	if s.scorch == nil {
		return nil
	}
	close(s.stop)
	err := s.scorch.Close()
	onAsyncError(s.dir, nil)
	s.scorch = nil
	return err
}

// verify compares the segment files of the snapshot with the checksum that each ends in; others may lie beside them,
// half written or about to be removed. limit is the number of bytes that may be read for that, and is lowered by
// what was read.
func (v *snapshot) verify(limit *int64) error {
	for _, s := range v.snap.Segments() {
		seg, ok := s.Segment().(segment.PersistedSegment)
		if !ok {
			continue
		}
		info, err := os.Stat(seg.Path())
		if errors.Is(err, fs.ErrNotExist) {
			continue // merged away meanwhile; what is open stays readable
		}
		if err != nil {
			return err
		}
		if *limit -= info.Size(); *limit < 0 {
			return nil
		}
		if err := checkSegment(seg.Path(), info.Size()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(seg.Path()), err)
		}
	}
	return nil
}

func checkSegment(name string, size int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if size < 4 {
		return fmt.Errorf("%w: it is cut", errDamaged)
	}
	h := crc32.NewIEEE()
	if _, err := io.CopyN(h, f, size-4); err != nil {
		return err
	}
	var sum [4]byte
	if _, err := io.ReadFull(f, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != h.Sum32() {
		return fmt.Errorf("%w: its checksum does not fit", errDamaged)
	}
	return nil
}

// snapshot is a shard as it was at one moment.
type snapshot struct {
	*shard
	snap *scorch.IndexSnapshot
	account
}

// read takes a snapshot, which must be closed. Its account may be empty.
func (s *shard) read() (_ *snapshot, err error) {
	defer recovered(&err)
	if s.fault != nil {
		return nil, s.fault
	}
	r, err := s.scorch.Reader()
	if err != nil {
		return nil, err
	}
	v := &snapshot{shard: s, snap: r.(*scorch.IndexSnapshot)}
	if s.fixed != nil {
		v.account = *s.fixed
		return v, nil
	}
	raw, err := v.snap.GetInternal(accountKey)
	if err == nil && raw != nil {
		v.account, err = decodeAccount(raw)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return v, nil
}

func (v *snapshot) close() { _ = v.snap.Close() } // it only counts references

// parts returns the segments with their live documents: those of units that are done and among within.
func (v *snapshot) parts(c *tables, within ranges.Set) (out []*part, err error) {
	hidden := v.begun
	outside := v.done.Minus(within)
	for _, s := range v.snap.Segments() {
		p := &part{seg: s.Segment(), live: s.DocNumbersLive()}
		if hidden.Len()+outside.Len() > 0 {
			t, err := c.of(v.shard, p.seg)
			if err != nil {
				return nil, err
			}
			not := roaring.New()
			for _, set := range []ranges.Set{hidden, outside} {
				for _, r := range set.Ranges() {
					t.units(not, r.Lo, r.Hi)
				}
			}
			p.live = roaring.AndNot(p.live, not)
		}
		out = append(out, p)
	}
	return out, nil
}

// segments returns the segments of the snapshot, to tell which tables are still of use.
func (v *snapshot) segments() map[segment.Segment]bool {
	live := map[segment.Segment]bool{}
	for _, s := range v.snap.Segments() {
		live[s.Segment()] = true
	}
	return live
}

// docs counts the live documents.
func (v *snapshot) docs() (n uint64) {
	for _, s := range v.snap.Segments() {
		n += s.Count()
	}
	return n
}

// size returns the bytes on disk.
func (v *snapshot) size() (n uint64) {
	if v.man != nil {
		return uint64(v.man.bytes())
	}
	for _, s := range v.snap.Segments() {
		n += uint64(s.FileSize())
	}
	return n
}

// shardName is the folder of a closed shard.
func shardName(s ranges.Set) string {
	r := s.Ranges()
	return fmt.Sprintf("%010d-%010d", r[0].Lo, r[len(r)-1].Hi)
}

// isShardName reports whether a folder is a closed shard's.
func isShardName(name string) bool {
	lo, hi, ok := strings.Cut(name, "-")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return ok && digits(lo) && digits(hi)
}

// directory is where scorch copies a snapshot to.
type directory string

// GetWriter makes a file. scorch prefixes names with a folder of its library.
func (d directory) GetWriter(name string) (io.WriteCloser, error) {
	return os.OpenFile(filepath.Join(string(d), filepath.Base(name)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
}
