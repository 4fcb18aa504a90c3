package iotanode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"permanode/ingest"
	"permanode/internal/ranges"
)

const (
	// openBatches is how many batches are kept ready: two that overlap, and the next.
	openBatches = 3
	// manifestAge is how old a manifest may be: a store grows by a file every few minutes.
	manifestAge = 30 * time.Second
	// badAge is how long a file that is not what it should be is not read again.
	badAge = 10 * time.Second
)

// Store is a checkpoint store: a MANIFEST and batches of checkpoints, in a folder or behind a URL. Each batch is
// compared with the manifest's SHA3-256 when it is opened, and unpacked to a file without a name in the
// temporary folder. Where several files hold a checkpoint and their copies differ, the store gives none of them:
// each file is a source of its own then ([Store.Copies]), so that a proof tells which copy is true, and whose is not.
// It is safe for concurrent use.
type Store struct {
	whole
	cfg Config
	dir string // local, or
	web *web

	busy     chan struct{} // one token: what follows belongs to its holder
	manifest *Manifest
	read     time.Time
	batches  []*batch // most recently used first
	bad      map[File]badFile
}

// badFile is a file that was not what it should be. It is not read again at once: it may be large.
type badFile struct {
	err  error
	last time.Time
}

// OpenStore returns the store at c.Address, a folder or an http(s) URL, and reads its manifest.
func OpenStore(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	s := &Store{cfg: c, busy: make(chan struct{}, 1), bad: map[File]badFile{}}
	s.name, s.shelf.limit, s.load = c.Name, c.Window, s.first
	if isURL(c.Address) {
		w, err := newWeb(c, "")
		if err != nil {
			return nil, err
		}
		w.noKey = http.StatusForbidden // what object stores say to those who may not list
		s.web = w
		if s.name == "" {
			s.name = w.name
		}
	} else {
		s.dir = c.Address
		if s.name == "" {
			s.name = c.Address
		}
	}
	if _, err := s.list(ctx, 0); err != nil {
		s.closeWeb()
		return nil, err
	}
	return s, nil
}

func isURL(address string) bool {
	return strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://")
}

// Close closes the batches.
func (s *Store) Close() error {
	s.busy <- struct{}{}
	defer func() { <-s.busy }()
	var errs error
	for _, b := range s.batches {
		errs = errors.Join(errs, b.close())
	}
	s.batches = nil
	s.closeWeb()
	return errs
}

func (s *Store) closeWeb() {
	if s.web != nil {
		s.web.close()
	}
}

// Report says what is odd about the store's ranges: overlaps and holes, one sentence each.
func (s *Store) Report(ctx context.Context) ([]string, error) {
	m, err := s.list(ctx, manifestAge)
	if err != nil {
		return nil, err
	}
	return m.Report(), nil
}

// Info returns the range of the store, and its holes as missing.
func (s *Store) Info(ctx context.Context) (ingest.Info, error) {
	m, err := s.list(ctx, manifestAge)
	if err != nil {
		return ingest.Info{}, err
	}
	i := ingest.Info{Software: "checkpoint store"}
	if len(m.Files) == 0 {
		return ingest.Info{}, fmt.Errorf("%s: its manifest lists no file yet", s.name)
	}
	i.Oldest, i.Newest = m.span()
	i.Missing = m.holes()
	return i, nil
}

func (m *Manifest) holes() (out []ranges.Range) {
	for i, f := range m.Files {
		if i > 0 && f.Start > m.reach[i-1] {
			out = append(out, ranges.Range{Lo: m.reach[i-1], Hi: f.Start - 1})
		}
	}
	return out
}

// list returns the manifest, read again if it is older than age.
func (s *Store) list(ctx context.Context, age time.Duration) (*Manifest, error) {
	if err := take(ctx, s.busy); err != nil {
		return nil, err
	}
	defer func() { <-s.busy }()
	if s.manifest != nil && time.Since(s.read) <= age {
		return s.manifest, nil
	}
	var raw []byte
	var err error
	if s.web != nil {
		raw, err = s.web.get(ctx, "/"+manifestName, "", maxManifest)
	} else {
		raw, err = readFile(filepath.Join(s.dir, manifestName), maxManifest)
	}
	var m *Manifest
	if err == nil {
		m, err = ParseManifest(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.name, manifestName, err)
	}
	s.manifest, s.read = m, time.Now()
	return m, nil
}

// first reads checkpoint seq, if all files that hold it and can be read agree.
func (s *Store) first(ctx context.Context, seq uint64) (*cone, error) {
	m, err := s.list(ctx, time.Hour) // Info reads it again
	if err != nil {
		return nil, err
	}
	files := m.holding(seq)
	if len(files) == 0 {
		return nil, ingest.ErrUnknown
	}
	var errs error
	var from File
	var given []byte
	for _, i := range files {
		f := m.Files[i]
		raw, err := s.raw(ctx, f, seq)
		switch {
		case err != nil:
			errs = errors.Join(errs, err)
		case given == nil:
			from, given = f, raw
		case !bytes.Equal(given, raw):
			return nil, fmt.Errorf("%w: its copies in %s and %s differ", ingest.ErrUnknown, from.Name(), f.Name())
		}
	}
	if given == nil {
		return nil, errs
	}
	return split(from, given)
}

func split(f File, raw []byte) (*cone, error) {
	c, err := splitFile(raw)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Name(), err)
	}
	return c, nil
}

// raw returns the bytes of checkpoint seq in file f.
func (s *Store) raw(ctx context.Context, f File, seq uint64) ([]byte, error) {
	if err := take(ctx, s.busy); err != nil {
		return nil, err
	}
	defer func() { <-s.busy }()
	b, err := s.batch(ctx, f)
	if err != nil {
		return nil, err
	}
	raw, err := b.read(seq, s.cfg.limit(seq))
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Name(), err)
	}
	return raw, nil
}

// batch returns file f, opened. The caller holds the token.
func (s *Store) batch(ctx context.Context, f File) (*batch, error) {
	for i, b := range s.batches {
		if b.File == f {
			copy(s.batches[1:i+1], s.batches[:i])
			s.batches[0] = b
			return b, nil
		}
	}
	if bad, ok := s.bad[f]; ok && time.Since(bad.last) < badAge {
		return nil, bad.err
	}
	delete(s.bad, f)
	content, err := s.fetch(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", f.Name(), err)
	}
	b, err := openBatch(ctx, f, content, s.cfg.TempDir)
	if err != nil {
		if ctx.Err() == nil {
			s.bad[f] = badFile{err, time.Now()}
		}
		return nil, err
	}
	if len(s.batches) == openBatches {
		last := s.batches[openBatches-1]
		s.batches = s.batches[:openBatches-1]
		if err := last.close(); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	s.batches = append([]*batch{b}, s.batches...)
	return b, nil
}

// fetch returns the content of file f: opened, or loaded to a file without a name.
func (s *Store) fetch(ctx context.Context, f File) (_ *os.File, err error) {
	if s.web == nil {
		return localBatch(s.dir, f)
	}
	to, err := temp(s.cfg.TempDir)
	if err != nil {
		return nil, err
	}
	if err := s.web.save(ctx, "/"+f.Name(), to, maxBatchFile); err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return to, nil
}

// A Copy is a source of those checkpoints in one file of a store of which another file has a different copy: which
// of them is true is for a proof to say. Checkpoints whose copies are equal are unknown to it. It is safe for
// concurrent use.
type Copy struct {
	whole
	store  *Store
	file   File
	shared []ranges.Range // what other files hold too
}

// Copies returns one source for each file that holds checkpoints which another file holds too. They share the
// store's batches, and end with it.
func (s *Store) Copies(ctx context.Context) ([]*Copy, error) {
	m, err := s.list(ctx, manifestAge)
	if err != nil {
		return nil, err
	}
	var order []int
	shared := map[int]*ranges.Set{}
	share := func(i int, lo, hi uint64) {
		if shared[i] == nil {
			shared[i] = &ranges.Set{}
			order = append(order, i)
		}
		shared[i].Add(lo, hi)
	}
	for i, f := range m.Files {
		for j := i - 1; j >= 0 && m.reach[j] > f.Start; j-- {
			if o := m.Files[j]; o.End > f.Start {
				share(j, f.Start, min(o.End, f.End)-1)
				share(i, f.Start, min(o.End, f.End)-1)
			}
		}
		if len(order) > maxCopies {
			return nil, fmt.Errorf("%s: more than %d of its files overlap: its manifest is no honest one", s.name, maxCopies)
		}
	}
	slices.Sort(order)
	var out []*Copy
	for _, i := range order {
		c := &Copy{store: s, file: m.Files[i], shared: shared[i].Ranges()}
		c.name, c.shelf.limit, c.load = s.name+"/"+c.file.Name(), s.cfg.Window/8, c.own
		out = append(out, c)
	}
	return out, nil
}

// maxCopies bounds the sources that one store becomes.
const maxCopies = 64

// Copies returns the checkpoints of which this may be one copy of several: whoever has proven one of those asks here
// whether it has another.
func (c *Copy) Copies() []ranges.Range { return c.shared }

// Info returns the range of the copies.
func (c *Copy) Info(context.Context) (ingest.Info, error) {
	i := ingest.Info{Software: "checkpoint store, copies that differ", Oldest: c.shared[0].Lo, Newest: c.shared[len(c.shared)-1].Hi}
	for k := 1; k < len(c.shared); k++ {
		i.Missing = append(i.Missing, ranges.Range{Lo: c.shared[k-1].Hi + 1, Hi: c.shared[k].Lo - 1})
	}
	return i, nil
}

// own reads checkpoint seq from this file, if the copy of another file differs.
func (c *Copy) own(ctx context.Context, seq uint64) (*cone, error) {
	m, err := c.store.list(ctx, time.Hour)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.shared, func(r ranges.Range) bool { return r.Lo <= seq && seq <= r.Hi }) {
		return nil, ingest.ErrUnknown
	}
	own, err := c.store.raw(ctx, c.file, seq)
	if err != nil {
		return nil, err
	}
	for _, i := range m.holding(seq) {
		if m.Files[i] == c.file {
			continue
		}
		if raw, err := c.store.raw(ctx, m.Files[i], seq); err == nil && !bytes.Equal(raw, own) {
			return split(c.file, own)
		}
	}
	return nil, ingest.ErrUnknown
}

// Close has nothing to free: the store owns the files.
func (c *Copy) Close() error { return nil }

// IsStore reports whether the folder dir is a checkpoint store. It fails with the reason where it has the MANIFEST of
// a node archive, which cannot be a source.
func IsStore(dir string) (bool, error) {
	raw, err := readFile(filepath.Join(dir, manifestName), maxManifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case bytes.HasPrefix(raw, []byte(archiveMagic)):
		return false, fmt.Errorf("%s: %w", dir, refuseArchive(raw))
	}
	return true, nil // whether it is a good one is for [OpenStore] to say
}

func checkpointPath(seq uint64) string { return "/" + strconv.FormatUint(seq, 10) + ".chk" }
