package ingest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FeedStatus is what a feed says of itself, for people and metrics. Counts are since the program started.
type FeedStatus struct {
	Name       string
	Address    string    // without credentials
	Connected  bool      // and subscribed: what the other side publishes would arrive
	Since      time.Time // of this state; zero if it was never connected
	Last       uint64    // unit that was rung last, which nobody believes; 0 if none was
	RungAt     time.Time // when that was; zero if never
	LastAt     time.Time // of the last message of any kind; zero if none came
	Messages   uint64    // received, of any kind
	Bytes      uint64    // of their payloads
	Dropped    uint64    // received and not used: the queue was full, or they did not have their topic's form
	Reconnects uint64    // connections after the first
	Problem    string    // why it is not connected, or what was wrong last; "" if nothing ever was
}

// quiet is after how much silence a sentence mentions it.
const quiet = 30 * time.Second

// Sentence says how the feed does, for a person.
func (s FeedStatus) Sentence() string { return s.sentence(now()) }

func (s FeedStatus) sentence(at time.Time) string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case s.Connected:
		say("connected since %s", clock(s.Since, at))
	case s.Since.IsZero():
		say("never connected%s", because(s.Problem))
	default:
		say("not connected since %s%s", clock(s.Since, at), because(s.Problem))
	}
	switch {
	case !s.RungAt.IsZero():
		say("unit %d rung %s ago", s.Last, ago(at.Sub(s.RungAt)))
	case s.Connected:
		say("no unit rung yet")
	}
	if s.Messages > 0 || s.Connected {
		say("%s", counted(s.Messages, "message"))
		say("%s dropped", orNone(s.Dropped))
	}
	if heard := latest(s.LastAt, s.Since); s.Connected && at.Sub(heard) >= quiet {
		say("silent for %s", ago(at.Sub(heard)))
	}
	if s.Reconnects > 0 {
		say("%s", counted(s.Reconnects, "reconnect"))
	}
	if s.Connected && s.Problem != "" {
		say("last problem: %s", s.Problem)
	}
	return s.Name + ": " + strings.Join(parts, ", ")
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return " (" + problem + ")"
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// clock is a time of today as hours, another one with its date.
func clock(t, at time.Time) string {
	t, at = t.UTC(), at.UTC()
	if t.YearDay() == at.YearDay() && t.Year() == at.Year() {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

// ago is a length of time in one unit that a person takes in at once.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", max(0, d)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func orNone(n uint64) string {
	if n == 0 {
		return "none"
	}
	return grouped(n)
}

func counted(n uint64, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(n) + " " + what
}

// grouped writes n with a comma between thousands.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// FeedMeter keeps the numbers of a feed. Its methods are safe for concurrent use.
type FeedMeter struct {
	mu     sync.Mutex
	status FeedStatus
	before bool // it was connected once
}

// NewFeedMeter returns the meter of a feed that is not connected. address must hold no credentials.
func NewFeedMeter(name, address string) *FeedMeter {
	return &FeedMeter{status: FeedStatus{Name: name, Address: address}}
}

// Status returns the numbers of now.
func (m *FeedMeter) Status() FeedStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Up says that the feed is connected and subscribed. What was wrong before stays to be read.
func (m *FeedMeter) Up() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status.Connected {
		return
	}
	if m.before {
		m.status.Reconnects++
	}
	m.before = true
	m.status.Connected, m.status.Since = true, now()
}

// Down says that the feed is not connected, and why; "" keeps the last reason. Said again, it only renews
// the reason.
func (m *FeedMeter) Down(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status.Connected {
		m.status.Connected, m.status.Since = false, now()
	}
	if why != "" {
		m.status.Problem = oneLine(why)
	}
}

// Message counts a message of size bytes.
func (m *FeedMeter) Message(size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Messages++
	m.status.Bytes += uint64(size)
	m.status.LastAt = now()
}

// Drop counts a message that came and is not used. why is for the status; "" says nothing there.
func (m *FeedMeter) Drop(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Dropped++
	if why != "" {
		m.status.Problem = oneLine(why)
	}
}

// Trouble says what is wrong while the feed is connected all the same.
func (m *FeedMeter) Trouble(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Problem = oneLine(why)
}

// Rang says that unit seq was rung.
func (m *FeedMeter) Rang(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Last, m.status.RungAt = seq, now()
}
