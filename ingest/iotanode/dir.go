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
	"strconv"
	"strings"
	"sync"

	"permanode/ingest"
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

	mu       sync.Mutex // guards what follows
	identity string     // of committee or checkpoint 0, "" as long as there is none
	only     *uint64    // the one checkpoint, where path is a file
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
		cone, err := d.file(c.Address, c.MaxGenesis)
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
	found := false
	err := eachFile(ctx, d.path, func(seq uint64) {
		if !found || seq < i.Oldest {
			i.Oldest = seq
		}
		i.Newest, found = max(i.Newest, seq), true
	})
	if err != nil {
		return ingest.Info{}, fmt.Errorf("%s: %w", d.name, err)
	}
	if !found {
		return ingest.Info{}, fmt.Errorf("%s: no file is named <number>.chk yet", d.name)
	}
	i.Identity = d.identify(i.Oldest)
	return i, nil
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
		return d.file(d.path, d.limit(seq))
	}
	c, err := d.file(filepath.Join(d.path, strconv.FormatUint(seq, 10)+".chk"), d.limit(seq))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.ErrUnknown
	}
	return c, err
}

// file reads and splits one file.
func (d *Dir) file(path string, limit int64) (*cone, error) {
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
	st, err := os.Stat(path) // first: opening a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size() > limit {
		return nil, tooLarge(st.Size(), limit)
	}
	raw := make([]byte, 0, st.Size()+1)
	buf := bytes.NewBuffer(raw)
	if _, err := buf.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > limit {
		return nil, tooLarge(int64(buf.Len()), limit)
	}
	return buf.Bytes(), nil
}

func tooLarge(size, limit int64) error {
	return fmt.Errorf("it has %d bytes or more, at most %d are taken; give more memory if that is honest", size, limit)
}

// readCommittee reads the committee file in dir.
func readCommittee(dir string) (rebased.TrustSpec, error) {
	raw, err := readFile(filepath.Join(dir, committeeFile), maxCommitteeFile)
	if err != nil {
		return rebased.TrustSpec{}, err
	}
	return rebased.ParseCommitteeFile(raw)
}
