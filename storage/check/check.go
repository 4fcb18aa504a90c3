// Package check proves a store again from what lies in it: every unit through its era's codec, every row
// against what the unit gives. It believes no row: states, postings, counts and the ledger state are
// computed from the stored bytes and compared.
//
// A check always ends. Damage is a [Finding], not an error; what follows it is checked all the same, and
// memory stays bounded however much is found.
package check

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"permanode/ledger"
	"permanode/storage"
)

// Store is a reader that also shows rows as they lie on disk. In the Raw sequences an error that wraps
// storage.ErrCorrupt stands for rows that cannot be read, and the rows behind them follow.
type Store interface {
	storage.Reader
	// Opening returns number and sum of the state rows that the span at lo was opened with.
	Opening(ctx context.Context, net ledger.NetID, lo uint64) (rows uint64, sum storage.StateSum, err error)
	RawPostings(ctx context.Context, net ledger.NetID) iter.Seq2[storage.Found, error]
	RawState(ctx context.Context, net ledger.NetID) iter.Seq2[ledger.Change, error] // valid until the next
	RawTimes(ctx context.Context, net ledger.NetID) iter.Seq2[ledger.Unit, error]   // Seq and TimeMs
	// BadTotals compares the rows that make counts and sums cheap with the postings. Each that is wrong, missing or surplus
	// is an error that wraps storage.ErrCorrupt.
	BadTotals(ctx context.Context, net ledger.NetID) iter.Seq[error]
	// Damage returns files that differ from what the last clean stop left.
	Damage(ctx context.Context) iter.Seq2[storage.FileFault, error]
}

// Options says what to check. Store and Codec are needed.
type Options struct {
	Store    Store
	Codec    func(ledger.Era) (ledger.Codec, bool)
	Network  string         // one network; "" is all
	Full     bool           // prove every unit and compare every row
	Sample   int            // hash this many random records again and prove their units; 0 is none
	Seed     uint64         // of the sample
	Workers  int            // units proven at once; 0 is one a core
	Progress func(Progress) // called now and then, by one goroutine at a time; may be nil
}

// Progress says how far a check is.
type Progress struct {
	Network   string
	Unit, Of  uint64 // units done, units to do
	Records   uint64
	Bytes     uint64
	Comparing string // what rows are being compared once the units are done; "" before
}

// A Finding is one fault.
type Finding struct {
	Network string   // "" for a file
	File    string   // relative to the data directory; "" where the fault is not one of a file
	What    string   // file, coverage, unit, manifest, record, posting, total, time, state, note
	Seq     uint64   // unit, 0 if it is of none
	Key     string   // row or record, "" if the unit says it all
	Why     string   // one sentence
	Hit     []string // of a damaged table: the rows that cannot be read
	Hint    string   // the next step
}

// String is the finding as one line.
func (f Finding) String() string {
	s := f.What
	if f.Network != "" {
		s = f.Network + ": " + s
	}
	if f.File != "" {
		s += " " + f.File
	}
	if f.Seq != 0 || f.What == "unit" || f.What == "record" || f.What == "manifest" {
		s += fmt.Sprintf(" at unit %d", f.Seq)
	}
	if f.Key != "" {
		s += " [" + f.Key + "]"
	}
	s += ": " + f.Why
	for _, h := range f.Hit {
		s += "; " + h
	}
	return s
}

const hintRestore = "restore the data directory from a copy, or ingest again into a new one"

// Report is what was done.
type Report struct {
	Units, Records, Bytes uint64
	Signed, Proven        uint64 // units whose links and ids were checked; units proven in full
	Findings              uint64
	Undecoded             uint64 // records that were stored without being read whole; only counted where units are proven
	Better                uint64 // units among theirs that this version reads better: Repair
}

// Run checks and hands every finding to found, from one goroutine at a time. It returns an error that wraps
// storage.ErrCorrupt if there was a finding, and another one only where it could not go on: ctx ended or the
// store cannot be read at all.
func Run(ctx context.Context, o Options, found func(Finding)) (Report, error) {
	c := newChecker(o, found)
	if err := c.run(ctx); err != nil {
		return c.report, err
	}
	if n := c.report.Findings; n > 0 {
		return c.report, fmt.Errorf("check found %d faults: %w", n, storage.ErrCorrupt)
	}
	return c.report, nil
}

func newChecker(o Options, found func(Finding)) *checker {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &checker{o: o, found: found}
}

type checker struct {
	o Options

	mu     sync.Mutex // guards the calls of found and Progress, and report
	found  func(Finding)
	report Report
}

func (c *checker) add(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Hint == "" {
		f.Hint = hintRestore
	}
	c.report.Findings++
	c.found(f)
}

func (c *checker) run(ctx context.Context) error {
	for f, err := range c.o.Store.Damage(ctx) {
		if err != nil {
			return fmt.Errorf("list damaged files: %w", err)
		}
		c.add(Finding{File: f.Name, What: "file", Why: f.Why, Hit: f.Hit})
	}
	nets, err := c.o.Store.Networks(ctx)
	if err != nil {
		return err
	}
	known := false
	for _, n := range nets {
		if c.o.Network != "" && c.o.Network != n.Name {
			continue
		}
		known = true
		if err := c.network(ctx, n); err != nil {
			return fmt.Errorf("check %s: %w", n.Name, err)
		}
	}
	if !known && c.o.Network != "" {
		return fmt.Errorf("check %s: no such network: %w", c.o.Network, storage.ErrNotFound)
	}
	return nil
}

// netCheck is the check of one network.
type netCheck struct {
	*checker
	n     ledger.Network
	codec ledger.Codec
	trust ledger.Trust
	cov   storage.Coverage
	total uint64 // units in coverage
	begun uint64 // first unit that a repair may have left behind; beyond all units if there is none
}

// open reads what the check of a network needs. Errors of its trust file wrap ledger.ErrTrust.
func (c *checker) open(ctx context.Context, n ledger.Network) (*netCheck, error) {
	codec, ok := c.o.Codec(n.Era)
	if !ok {
		return nil, fmt.Errorf("no codec for era %q in this program", n.Era)
	}
	k := &netCheck{checker: c, n: n, codec: codec}
	var err error
	if k.trust, err = codec.ParseTrust(n.Trust); err != nil {
		return nil, fmt.Errorf("the stored trust file cannot be read: %w", err)
	}
	if k.cov, err = c.o.Store.Coverage(ctx, n.ID); err != nil {
		return nil, err
	}
	k.cov.Spans = slices.Clone(k.cov.Spans) // coverage may change them
	set := k.cov.Set()
	k.total = set.Len()
	if k.begun, err = k.repairBegun(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

func (c *checker) network(ctx context.Context, n ledger.Network) error {
	k, err := c.open(ctx, n)
	if errors.Is(err, ledger.ErrTrust) {
		c.add(Finding{Network: n.Name, What: "coverage", Why: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	if err := k.coverage(ctx); err != nil {
		return err
	}
	if c.o.Sample > 0 {
		err = k.sample(ctx)
	} else {
		err = k.units(ctx)
	}
	if err != nil {
		return err
	}
	for _, err := range c.o.Store.Notes(ctx, n.ID) {
		if err != nil {
			if err := k.fault(ctx, "note", 0, err); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// coverage checks that spans and gaps are disjoint and in order, and that spans end at units that are there: the check
// goes on with what is.
func (k *netCheck) coverage(ctx context.Context) error {
	var end uint64
	for i := range k.cov.Spans {
		s := &k.cov.Spans[i]
		if i > 0 && s.Lo <= end || s.Next() < s.Lo {
			k.add(Finding{Network: k.n.Name, What: "coverage", Seq: s.Lo, Why: fmt.Sprintf("span %d to %d overlaps another or ends before it begins", s.Lo, s.Hi)})
		}
		if s.Empty() {
			continue
		}
		last, err := k.lastUnit(ctx, *s)
		if err != nil {
			return err
		}
		if last != s.Hi {
			k.add(Finding{Network: k.n.Name, What: "coverage", Seq: s.Lo, Why: fmt.Sprintf("span %d to %d has no unit behind %d", s.Lo, s.Hi, last)})
			s.Hi = last
		}
		end = s.Hi
	}
	set := k.cov.Set()
	k.total = set.Len()
	for _, g := range k.cov.Gaps {
		for _, s := range k.cov.Spans {
			if !s.Empty() && g.From <= s.Hi && s.Lo <= g.To {
				k.add(Finding{Network: k.n.Name, What: "coverage", Seq: g.From, Why: fmt.Sprintf("gap %d to %d lies in span %d to %d", g.From, g.To, s.Lo, s.Hi)})
			}
		}
	}
	return nil
}

// lastUnit returns the last unit of a span: its end, but where neither its unit nor its time is there, the last one
// that has a time.
func (k *netCheck) lastUnit(ctx context.Context, s storage.Span) (uint64, error) {
	if s.Hi >= s.Lo {
		if _, _, err := k.o.Store.Unit(ctx, k.n.ID, s.Hi); err == nil || ctx.Err() != nil {
			return s.Hi, ctx.Err()
		}
	}
	last := s.Lo - 1
	for u, err := range k.o.Store.RawTimes(ctx, k.n.ID) {
		if err == nil && s.Lo <= u.Seq && u.Seq <= s.Hi && (last == s.Lo-1 || u.Seq > last) {
			last = u.Seq
		}
	}
	return last, ctx.Err()
}

// fault turns damage into a finding. Other errors end the check.
func (k *netCheck) fault(ctx context.Context, what string, seq uint64, err error) error {
	f, err := k.finding(ctx, what, seq, err)
	if err == nil {
		k.add(f)
	}
	return err
}

func (k *netCheck) finding(ctx context.Context, what string, seq uint64, err error) (Finding, error) {
	if ctx.Err() != nil {
		return Finding{}, ctx.Err()
	}
	f := Finding{Network: k.n.Name, What: what, Seq: seq, Why: err.Error()}
	var c *storage.CorruptError
	switch {
	case errors.As(err, &c):
		f.Key, f.Why = c.Key, c.Error()
		if c.Why != "" {
			f.Why = c.Why
		}
	case !errors.Is(err, storage.ErrCorrupt) && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrIncomplete):
		return f, err
	}
	return f, nil
}

// sample hashes random records again and proves their units.
func (k *netCheck) sample(ctx context.Context) error {
	if k.total == 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(k.o.Seed, uint64(k.n.ID)))
	for i := range k.o.Sample {
		seq, span := k.nth(rng.Uint64N(k.total))
		w := k.window(span, seq, seq, true)
		w.pick = rng
		if err := w.run(ctx); err != nil {
			return err
		}
		w.flush()
		k.done(w)
		k.progress(uint64(i+1), uint64(k.o.Sample), "")
	}
	return nil
}

// nth returns the i-th unit in coverage and its span.
func (k *netCheck) nth(i uint64) (uint64, storage.Span) {
	for _, s := range k.cov.Spans {
		n := s.Hi + 1 - s.Lo
		if i < n {
			return s.Lo + i, s
		}
		i -= n
	}
	return 0, storage.Span{}
}

func (k *netCheck) done(w *window) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.report.Units += w.hi - w.lo + 1
	k.report.Records += w.records
	k.report.Bytes += w.bytes
	k.report.Signed += w.signed
	k.report.Proven += w.proven
	k.report.Undecoded += w.undecoded
	k.report.Better += w.better
}

func (k *netCheck) progress(unit, of uint64, comparing string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.o.Progress != nil {
		k.o.Progress(Progress{Network: k.n.Name, Unit: unit, Of: of, Records: k.report.Records, Bytes: k.report.Bytes, Comparing: comparing})
	}
}
