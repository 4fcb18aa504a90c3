package iotanode

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"permanode/ingest"
	"permanode/internal/durable"
	"permanode/internal/ranges"
	"permanode/ledger/rebased"
)

// committeeFile is the name of the committee that may lie beside checkpoint files.
const committeeFile = "committee_epoch0.json"

// maxCommitteeFile is a committee of ten thousand members.
const maxCommitteeFile = 4 << 20

// Dir is a folder of files <number>.chk, one checkpoint each, bare or with the byte 01 before it: what a node
// writes (data-ingestion-dir), or a copy of it. Files of other names do not matter. A node writes its files in
// place, so one that does not read to its end is an error for now, and is read again when asked for again. It is
// safe for concurrent use.
type Dir struct {
	whole
	path  string
	limit func(seq uint64) int64
	only  *uint64 // the one checkpoint, where path is a file

	mu       sync.Mutex // guards what follows
	identity string     // of committee or checkpoint 0, "" as long as there is none
	seen     folder     // at the last look at the whole folder, its end followed since
	look     time.Time  // when the whole folder is looked at next
}

// OpenDir returns the folder, or the single .chk file, at c.Address.
func OpenDir(c Config) (*Dir, error) {
	c = c.withDefaults()
	st, err := os.Stat(c.Address)
	if err != nil {
		return nil, fmt.Errorf("checkpoint files: %w", err)
	}
	d := &Dir{path: c.Address, limit: c.limit}
	d.name, d.shelf.limit, d.load = c.Name, c.Window, d.read
	if d.name == "" {
		d.name = c.Address
	}
	switch {
	case st.IsDir():
	case st.Mode().IsRegular():
		cone, err := readCone(c.Address, c.MaxGenesis)
		if err != nil {
			return nil, fmt.Errorf("checkpoint file %s: %w", c.Address, err)
		}
		seq := seqOf(cone.head)
		d.only = &seq
	default:
		return nil, fmt.Errorf("checkpoint files: %s is neither a folder nor a file", c.Address)
	}
	return d, nil
}

// Close has nothing to free.
func (d *Dir) Close() error { return nil }

// Info returns the range of the files that are there now. The network's identity is that of a committee file
// beside them, else the digest of checkpoint 0.
func (d *Dir) Info(ctx context.Context) (ingest.Info, error) {
	i := ingest.Info{Software: "checkpoint files"}
	if d.only != nil {
		i.Oldest, i.Newest = *d.only, *d.only
		return i, nil
	}
	seen, err := d.span(ctx)
	if err != nil {
		return ingest.Info{}, fmt.Errorf("%s: %w", d.name, err)
	}
	i.Oldest, i.Newest, i.Missing = seen.lo, seen.hi, seen.holes
	i.Identity = d.identify(i.Oldest)
	return i, nil
}

const (
	// lookCost is how many times as long as a look at the whole folder took the next one waits: a node adds some
	// hundred thousand files a day. In between the newest number is followed upwards.
	lookCost = 20
	// maxNumbers is how many files a folder may have for its holes to be known.
	maxNumbers = 1 << 20
)

// folder is the range of the files in a folder.
type folder struct {
	lo, hi uint64
	holes  []ranges.Range // nil in a large folder
}

func (d *Dir) span(ctx context.Context) (folder, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if began := time.Now(); !began.Before(d.look) {
		seen, err := lookAt(ctx, d.path)
		if err != nil {
			return folder{}, err
		}
		d.seen, d.look = seen, time.Now().Add(lookCost*time.Since(began))
	}
	for ctx.Err() == nil {
		if st, err := os.Stat(d.file(d.seen.hi + 1)); err != nil || !st.Mode().IsRegular() {
			break
		}
		d.seen.hi++
	}
	return d.seen, ctx.Err()
}

// lookAt reads the names in a folder.
func lookAt(ctx context.Context, dir string) (folder, error) {
	var f folder
	var numbers []uint64
	count := 0
	err := eachFile(ctx, dir, func(seq uint64) {
		if count == 0 || seq < f.lo {
			f.lo = seq
		}
		f.hi = max(f.hi, seq)
		if count++; count <= maxNumbers {
			numbers = append(numbers, seq)
		}
	})
	if err == nil && count == 0 {
		err = errors.New("no file is named <number>.chk yet")
	}
	if count > maxNumbers {
		return f, err
	}
	slices.Sort(numbers)
	for i := 1; i < len(numbers); i++ {
		if numbers[i] > numbers[i-1]+1 {
			f.holes = append(f.holes, ranges.Range{Lo: numbers[i-1] + 1, Hi: numbers[i] - 1})
		}
	}
	return f, err
}

// file returns the path of checkpoint seq.
func (d *Dir) file(seq uint64) string {
	return filepath.Join(d.path, strconv.FormatUint(seq, 10)+".chk")
}

// identify returns whose checkpoints these say to be, "" if they do not say.
func (d *Dir) identify(oldest uint64) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.identity != "" {
		return d.identity
	}
	if spec, err := readCommittee(d.path); err == nil {
		d.identity = hex.EncodeToString(spec.Genesis[:])
	} else if oldest == 0 {
		if c, err := d.read(context.Background(), 0); err == nil {
			if u, err := (rebased.Codec{}).Unit(c.head); err == nil && u.Seq == 0 {
				d.identity = u.ID.String()
			}
		}
	}
	return d.identity
}

// eachFile calls found for every checkpoint file in dir, in no order. It holds a few hundred names at a time.
func eachFile(ctx context.Context, dir string, found func(seq uint64)) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(512)
		for _, e := range entries {
			if seq, ok := fileSeq(e.Name()); ok && !e.IsDir() {
				found(seq)
			}
		}
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// fileSeq reads a file name: a number without superfluous zeros, and .chk.
func fileSeq(name string) (uint64, bool) {
	text, ok := strings.CutSuffix(name, ".chk")
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	return seq, err == nil && strconv.FormatUint(seq, 10) == text
}

func (d *Dir) read(ctx context.Context, seq uint64) (*cone, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.only != nil {
		if seq != *d.only {
			return nil, ingest.ErrUnknown
		}
		return readCone(d.path, d.limit(seq))
	}
	c, err := readCone(d.file(seq), d.limit(seq))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.ErrUnknown
	}
	return c, err
}

// readCone reads and splits one file.
func readCone(path string, limit int64) (*cone, error) {
	raw, err := readFile(path, limit)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(raw, []byte(batchMagic)) {
		return nil, errors.New("the file is a batch of a checkpoint store: name the folder with its MANIFEST instead")
	}
	c, err := splitFile(raw)
	if err != nil {
		return nil, fmt.Errorf("%d bytes are no whole checkpoint (still being written, or damaged): %w", len(raw), err)
	}
	return c, nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, tooLarge(st.Size(), limit)
	}
	buf := bytes.NewBuffer(make([]byte, 0, st.Size()+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, tooLarge(int64(buf.Len()), limit)
	}
	return buf.Bytes(), nil
}

// errTooLarge says that something is larger than the bound for its kind.
var errTooLarge = errors.New("too large")

func tooLarge(size, limit int64) error {
	return fmt.Errorf("%w: it has %d bytes or more, at most %d are taken; give more memory if that is honest", errTooLarge, size, limit)
}

// readCommittee reads the committee file in dir.
func readCommittee(dir string) (rebased.TrustSpec, error) {
	raw, err := readFile(filepath.Join(dir, committeeFile), maxCommitteeFile)
	if err != nil {
		return rebased.TrustSpec{}, err
	}
	return rebased.ParseCommitteeFile(raw)
}
