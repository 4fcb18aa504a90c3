package pebblestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"permanode/internal/ranges"
	"permanode/ledger"
	"permanode/storage"
)

// CopyOptions says how a store is copied.
type CopyOptions struct {
	Codec func(ledger.Era) (ledger.Codec, bool)
	FS    vfs.FS // nil is the disk
	// Full compares every byte of the target with what its SUMS says, and brings again what differs. Without it a file
	// whose size and sum are named alike by the SUMS of both is taken to be there.
	Full bool
	// Is says what the source must be, for who names it by a path that may lead elsewhere here; of its units the network and
	// the number count. nil: whatever is there.
	Is *Checkpoint
	// Progress is told how many bytes were brought; nil: nobody is.
	Progress func(done, total int64)
}

// CopyReport says what a copy did.
type CopyReport struct {
	Files, Copied, Removed int
	Bytes, CopiedBytes     int64
	Resumed                bool // what an interrupted copy had brought was used
	Units                  []LastUnit
}

// A CopyRefusedError says why a directory is not written over.
type CopyRefusedError struct{ Dir, Why, Next string }

func (e *CopyRefusedError) Error() string { return fmt.Sprintf("%s %s", e.Dir, e.Why) }

// Hint is the next step.
func (e *CopyRefusedError) Hint() string { return e.Next }

// An UnfinishedCopyError reports a directory that an interrupted copy left: it is no archive until a copy ends.
type UnfinishedCopyError struct{ Dir string }

func (e *UnfinishedCopyError) Error() string {
	return e.Dir + " holds a copy that was interrupted"
}

// Hint is the next step.
func (e *UnfinishedCopyError) Hint() string {
	return "run the same permanode copy again: it goes on where it was"
}

// Copy makes the directory to what the directory from is: a store after a clean stop, or a [Checkpoint]. Only files
// that differ are read. They are brought into a folder beside; only once all of them are durable and agree with the
// SUMS of from do they take their places, and SUMS is written last. So whenever it is interrupted, to is what it was
// before, or refuses to be opened until the same call has ended. It never makes less of what is there: a target that
// holds another archive, or a unit that from does not hold, is a [CopyRefusedError]. Files in folders of others are
// brought and never removed; the index is passed over.
//
// It fails with storage.ErrLocked if a service holds one of them, and with storage.ErrCorrupt if a file of from is not
// what SUMS says.
func Copy(ctx context.Context, from, to string, opts CopyOptions) (CopyReport, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	c := &copier{ctx: ctx, fs: opts.FS, from: from, to: to, opts: opts}
	if err := c.run(); err != nil {
		return c.report, fmt.Errorf("copy %s to %s: %w", from, to, err)
	}
	return c.report, nil
}

// copier is one copy.
type copier struct {
	ctx      context.Context
	fs       vfs.FS
	from, to string
	opts     CopyOptions
	source   *DB
	lock     *pebble.Lock       // of the target
	want     *sums              // of the source
	have     map[string]fileSum // files of the target that are as its SUMS says
	keep     []fileSum          // files of the target that the source does not have and that stay
	report   CopyReport
}

func (c *copier) run() (err error) {
	if err := c.apart(); err != nil {
		return err
	}
	if err := c.openSource(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.source.Close()) }()
	if err := c.judgeSource(); err != nil {
		return err
	}
	if err := c.judgeTarget(); err != nil {
		return err
	}
	if c.lock, err = c.lockTarget(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.lock.Close()) }()
	if c.exists(c.to, copyingName+"/"+SumsName) {
		c.report.Resumed = true
		if err := c.take(); err != nil {
			return err
		}
	}
	old, err := c.readSums(c.to)
	if err != nil {
		return err
	}
	if old != nil {
		if err := c.compare(old); err != nil {
			return err
		}
	}
	need, err := c.plan(old)
	if err != nil {
		return err
	}
	return c.bring(need)
}

// apart refuses directories that lie in each other.
func (c *copier) apart() error {
	if vfs.Root(c.fs) != vfs.Default {
		return nil // no disk: names of a test
	}
	from, to := realPath(c.from), realPath(c.to)
	switch {
	case from == to:
		return &CopyRefusedError{c.to, "is the directory that is to be copied", "name another directory, best on another disk"}
	case strings.HasPrefix(to, from+string(filepath.Separator)), strings.HasPrefix(from, to+string(filepath.Separator)):
		return &CopyRefusedError{c.to, "and the directory that is to be copied lie in each other", "name a directory outside, best on another disk"}
	}
	return nil
}

// realPath follows links as far as the path exists.
func realPath(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest := ""
	for p := path; ; p = filepath.Dir(p) {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(real, rest)
		}
		if p == filepath.Dir(p) {
			return path
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}

// openSource opens the source for reading, which holds it and compares it with its SUMS.
func (c *copier) openSource() (err error) {
	if c.source, err = Open(c.from, Options{Codec: c.opts.Codec, FS: c.fs, ReadOnly: true, Memory: besideMemory}); err != nil {
		return err
	}
	c.want, err = c.readSums(c.from)
	if err == nil && c.want == nil {
		err = &CopyRefusedError{c.from, "was not stopped cleanly, so that nothing says what its files should be", "run permanode check --data " + c.from + ": it recovers the directory and stops it cleanly; then copy again"}
	}
	if err != nil {
		return errors.Join(err, c.source.Close())
	}
	c.report.Units = c.want.checkpoint(c.from).Units
	return nil
}

// judgeSource refuses another source than the one that is meant.
func (c *copier) judgeSource() error {
	if c.opts.Is == nil {
		return nil
	}
	here := c.want.checkpoint(c.from)
	if is := c.opts.Is; here.Files != is.Files || here.Bytes != is.Bytes || !slices.EqualFunc(here.Units, is.Units, func(a, b LastUnit) bool { return a.Network == b.Network && a.Seq == b.Seq }) {
		return &CopyRefusedError{
			c.from, fmt.Sprintf("is not the checkpoint that was made: it has %d files of %d bytes%s, and the service made %d of %d bytes%s", here.Files, here.Bytes, unitsText(here.Units), is.Files, is.Bytes, unitsText(is.Units)),
			"run copy where the service runs and sees the same directories (for one in a container: inside it), and make no other checkpoint meanwhile",
		}
	}
	return nil
}

func unitsText(units []LastUnit) (text string) {
	for i, u := range units {
		if i == 5 {
			return text + fmt.Sprintf(" and %d more networks", len(units)-i)
		}
		text += fmt.Sprintf(", %s up to %d", u.Network, u.Seq)
	}
	return text
}

// readSums returns the SUMS of a directory, nil if it has none.
func (c *copier) readSums(dir string) (*sums, error) {
	raw, err := readFile(c.fs, c.fs.PathJoin(dir, SumsName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeSums(raw)
	if err != nil {
		return nil, corruptFile(c.fs.PathJoin(dir, SumsName), err)
	}
	return s, nil
}

func (c *copier) exists(dir, name string) bool {
	_, err := c.fs.Stat(below(c.fs, dir, name))
	return err == nil
}

// judgeTarget refuses a directory that holds something else, before anything is written into it.
func (c *copier) judgeTarget() error {
	names, err := c.fs.List(c.to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if slices.Contains(names, SumsName) || slices.Contains(names, copyingName) {
		return nil
	}
	if desc, err := pebble.Peek(c.to, c.fs); err == nil && desc.Exists {
		lock, err := lockDir(c.fs, c.to)
		if err != nil {
			return err
		}
		if err := lock.Close(); err != nil {
			return err
		}
		return &CopyRefusedError{c.to, "holds an archive that was not stopped cleanly: what it holds is not known", "run permanode check --data " + c.to + " first, or name another directory"}
	}
	for _, n := range names {
		if n != lockName {
			return &CopyRefusedError{c.to, "is neither empty nor a copy of an archive", "name an empty directory, or one that does not exist"}
		}
	}
	return nil
}

func (c *copier) lockTarget() (*pebble.Lock, error) {
	if err := prepareDir(c.fs, c.to, false); err != nil {
		return nil, err
	}
	return lockDir(c.fs, c.to)
}

// compare refuses a target that holds what the source does not, and finds out which of its files are whole.
func (c *copier) compare(old *sums) (err error) {
	target, err := open(c.to, Options{Codec: c.opts.Codec, FS: c.fs, Memory: besideMemory, ReadOnly: true, Damaged: c.opts.Full, lock: c.lock})
	if errors.Is(err, storage.ErrCorrupt) {
		return fmt.Errorf("%w; --full compares every byte and brings again what is damaged", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	c.have = map[string]fileSum{}
	for _, f := range old.files {
		if !slices.ContainsFunc(target.faults, func(t storage.FileFault) bool { return t.Name == f.name }) {
			c.have[f.name] = f
		}
	}
	mine, err := c.source.Networks(c.ctx)
	if err != nil {
		return err
	}
	for _, u := range old.units {
		if err := c.holds(mine, u); err != nil {
			return err
		}
	}
	theirs, err := target.Networks(c.ctx)
	if err != nil {
		return err
	}
	for _, n := range theirs {
		err := c.covers(target, mine, n)
		if c.opts.Full && errors.Is(err, storage.ErrCorrupt) {
			continue // what the target ends with was compared
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const otherTarget = "name another directory: a copy never makes less of what is there"

// holds refuses if the source has not the unit that the target ends with.
func (c *copier) holds(mine []ledger.Network, u lastUnit) error {
	at := slices.IndexFunc(mine, func(n ledger.Network) bool { return n.Name == u.network })
	if at < 0 {
		return &CopyRefusedError{c.to, fmt.Sprintf("is another archive: it holds the network %s, which %s does not", u.network, c.from), otherTarget}
	}
	got, _, err := c.source.Unit(c.ctx, mine[at].ID, u.seq)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return &CopyRefusedError{c.to, fmt.Sprintf("holds more than %s: unit %d of %s is only there", c.from, u.seq, u.network), otherTarget}
	case err != nil:
		return err
	case got.ID != u.id:
		return &CopyRefusedError{c.to, fmt.Sprintf("is another archive: its unit %d of %s is another one", u.seq, u.network), otherTarget}
	}
	return nil
}

// covers refuses if the target holds units of a network that the source does not, or a network of another identity.
func (c *copier) covers(target *DB, mine []ledger.Network, n ledger.Network) error {
	at := slices.IndexFunc(mine, func(m ledger.Network) bool { return m.Name == n.Name })
	if at < 0 || mine[at].Era != n.Era || mine[at].Identity != n.Identity {
		return &CopyRefusedError{c.to, fmt.Sprintf("is another archive: it holds a network %s that %s does not", n.Name, c.from), otherTarget}
	}
	theirs, err := target.Coverage(c.ctx, n.ID)
	if err != nil {
		return err
	}
	ours, err := c.source.Coverage(c.ctx, mine[at].ID)
	if err != nil {
		return err
	}
	more := spansOf(theirs).Minus(spansOf(ours))
	if more.Len() > 0 {
		return &CopyRefusedError{c.to, fmt.Sprintf("holds more than %s: %d units of %s are only there", c.from, more.Len(), n.Name), otherTarget}
	}
	for _, s := range theirs.Spans {
		if s.Empty() {
			continue
		}
		u, _, err := target.Unit(c.ctx, n.ID, s.Hi)
		if err != nil {
			return err
		}
		if err := c.holds(mine, lastUnit{n.Name, s.Hi, u.ID}); err != nil {
			return err
		}
	}
	return nil
}

func spansOf(c storage.Coverage) (s ranges.Set) {
	for _, sp := range c.Spans {
		if !sp.Empty() {
			s.Add(sp.Lo, sp.Hi)
		}
	}
	return s
}
