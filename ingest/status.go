package ingest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// now is the local clock; tests run it in a bubble of testing/synctest.
func now() time.Time { return time.Now() }

// Phase is what a Collector is doing.
type Phase string

// The phases.
const (
	Starting   Phase = "starting"    // nothing was asked yet
	CatchingUp Phase = "catching-up" // units are there to be had
	Following  Phase = "following"   // all that sources have is committed
	Waiting    Phase = "waiting"     // a unit cannot be had now; it is tried again
	Stopped    Phase = "stopped"     // ended, by an error or on demand
)

// Status is a snapshot of a Collector.
type Status struct {
	Network      string
	Phase        Phase
	Sentence     string    // what is going on, for a person
	First, Last  uint64    // of the newest span
	Any          bool      // something is committed there
	LastTime     time.Time // signed time of unit Last; zero if nothing is committed or it cannot be read
	Newest       uint64    // newest unit that a source of this network claims
	Lag          uint64    // units confirmed there and not committed here
	Pending      int       // units above a gap whose bytes are here, not served
	PendingBytes int64     // held for them, for feeds and for interrupted walks
	Held         bool      // the span holds the whole ledger
	Stated       bool      // records state what became of them: no ledger is needed for that
	Gap          *storage.Gap
	Units        uint64        // committed by this Collector
	Records      uint64        // committed by this Collector
	Bytes        uint64        // raw, committed by this Collector
	Rate         float64       // records a second, lately
	UnitRate     float64       // units a second, lately
	Remaining    time.Duration // until Newest is committed at that rate; 0 if unknown
	Sources      []SourceStatus
	Feeds        []FeedStatus // in the order of the configuration
}

// SourceStatus is what a Collector knows of one source.
type SourceStatus struct {
	Name     string
	Software string
	Newest   uint64
	Oldest   uint64
	OK       bool   // asked, of this network, and not left alone for now
	Lies     int    // answers that were not true
	Problem  string // the last one, "" if it never failed
}

// meter is the collector's moving numbers. It is safe for concurrent use.
type meter struct {
	mu       sync.Mutex
	status   Status
	samples  []sample // of the last seconds
	reported time.Time
}

type sample struct {
	at             time.Time
	units, records uint64
}

// rateWindow is how far back a rate looks.
const rateWindow = 10 * time.Second

func (m *meter) update(f func(s *Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.status)
}

// committed counts cones and moves the rates.
func (m *meter) committed(cones []*ledger.Cone) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.status
	for _, c := range cones {
		s.Units++
		s.Records += uint64(len(c.Records))
		s.Bytes += uint64(c.Bytes())
		s.Last, s.Any, s.LastTime = c.Unit.Seq, true, time.UnixMilli(c.Unit.TimeMs)
	}
	at := now()
	m.samples = append(m.samples, sample{at, s.Units, s.Records})
	old := slices.IndexFunc(m.samples, func(p sample) bool { return at.Sub(p.at) <= rateWindow })
	m.samples = m.samples[max(0, old-1):]
	if n := len(m.samples); n > 1000 {
		m.samples = m.samples[n/2:]
	}
	m.rates(at)
}

// rates computes what depends on time. The lock is held.
func (m *meter) rates(at time.Time) {
	s := &m.status
	s.Rate, s.UnitRate, s.Remaining = 0, 0, 0
	if len(m.samples) == 0 {
		return
	}
	first := m.samples[0]
	d := at.Sub(first.at).Seconds()
	if d <= 0 || d > 2*rateWindow.Seconds() {
		return
	}
	s.Rate = float64(s.Records-first.records) / d
	s.UnitRate = float64(s.Units-first.units) / d
	if s.UnitRate > 0 && s.Lag > 0 {
		s.Remaining = time.Duration(float64(s.Lag) / s.UnitRate * float64(time.Second))
	}
}

// snapshot returns the status, its dependent numbers computed.
func (m *meter) snapshot() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.status
	s.Lag = 0
	if s.Newest > s.Last {
		s.Lag = s.Newest - s.Last
	}
	m.rates(now())
	out := *s
	if s.Gap != nil {
		g := *s.Gap
		out.Gap = &g
	}
	return out
}

// due reports whether progress is to be told now.
func (m *meter) due() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now().Sub(m.reported) < 200*time.Millisecond {
		return false
	}
	m.reported = now()
	return true
}

// Status returns what is going on. It is safe for concurrent use.
func (c *Collector) Status() Status {
	s := c.meter.snapshot()
	s.PendingBytes = c.cache.bytes()
	for _, a := range c.pool.all {
		a.mu.Lock()
		st := SourceStatus{
			Name: a.Name(), Software: a.info.Software, Newest: a.info.Newest, Oldest: a.info.Oldest, Lies: a.lies,
			OK: a.met && a.other == nil && !now().Before(a.until),
		}
		if a.lastErr != nil {
			st.Problem = oneLine(a.lastErr.Error())
		}
		a.mu.Unlock()
		s.Sources = append(s.Sources, st)
	}
	for _, f := range c.cfg.Feeds {
		s.Feeds = append(s.Feeds, f.Status())
	}
	s.Sentence = s.sentence()
	return s
}

func (s *Status) sentence() string {
	mode := "states by replay of a held ledger"
	switch {
	case s.Stated:
		mode = "states as the records say, signed with the unit"
	case !s.Held:
		mode = "no snapshot: states by the claims of nodes, proven by the signed root"
	}
	switch s.Phase {
	case CatchingUp:
		return fmt.Sprintf("%d units behind the newest source (%d); %s", s.Lag, s.Newest, mode)
	case Following:
		if !s.Any {
			return fmt.Sprintf("waiting for unit %d, the first one wanted; the newest that a source has is %d", s.First, s.Newest)
		}
		if !slices.ContainsFunc(s.Sources, func(src SourceStatus) bool { return src.OK }) {
			return fmt.Sprintf("up to date at unit %d when a source answered last; none does now", s.Last)
		}
		return fmt.Sprintf("up to date at unit %d; %s", s.Last, mode)
	case Waiting:
		if s.Gap != nil {
			return fmt.Sprintf("waiting for unit %d: %s", s.Gap.From, s.Gap.Reason)
		}
		if s.Any {
			return fmt.Sprintf("waiting: no source answers; up to date at unit %d when one did", s.Last)
		}
		return "waiting: no source answers"
	case Stopped:
		return s.Sentence
	}
	return "starting"
}
