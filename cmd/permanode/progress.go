package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// meter shows how far work is: one line that is written over on a terminal, a plain line every ten seconds elsewhere.
// It is safe for concurrent use.
type meter struct {
	w     io.Writer
	what  string // "units"
	tty   bool
	start time.Time

	mu    sync.Mutex
	first uint64 // done at the first report: a resumed run must not count it into its rate
	begun bool
	last  time.Time
	width int // of the line on the terminal that is to be written over
}

func (p *program) meter(what string) *meter {
	f, ok := p.errs.(*os.File)
	m := &meter{w: p.errs, what: what, tty: ok && term.IsTerminal(int(f.Fd())), start: time.Now()}
	m.last = m.start
	return m
}

// report shows done of total. extra is a short text behind it, or "".
func (m *meter) report(done, total uint64, extra string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.begun {
		m.first, m.begun = done, true
	}
	now, every := time.Now(), 10*time.Second
	if m.tty {
		every = 200 * time.Millisecond
	}
	if now.Sub(m.last) < every {
		return
	}
	m.last = now
	line := m.line(done, total, now.Sub(m.start), extra)
	if !m.tty {
		fmt.Fprintln(m.w, line)
		return
	}
	fmt.Fprintf(m.w, "\r%s%s", line, strings.Repeat(" ", max(0, m.width-len(line))))
	m.width = len(line)
}

// maxLeft is the longest remaining time that is told. What goes beyond it is no forecast: work has hardly begun, or
// a node claims units that do not exist.
const maxLeft = 10 * 365 * 24 * time.Hour

// line says how far, how fast and how long still.
func (m *meter) line(done, total uint64, took time.Duration, extra string) string {
	rate := float64(done-min(done, m.first)) / max(took.Seconds(), 0.001)
	text := fmt.Sprintf("%d of %d %s, %.0f per second", done, total, m.what, rate)
	if left := float64(total-min(done, total)) / max(rate, 1e-9); left > 0 && left < maxLeft.Seconds() {
		text += fmt.Sprintf(", %s left", time.Duration(left*float64(time.Second)).Round(time.Second))
	}
	if extra != "" {
		text += ", " + extra
	}
	return text
}

// end clears the line, so that what follows stands alone.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tty && m.width > 0 {
		fmt.Fprintf(m.w, "\r%s\r", strings.Repeat(" ", m.width))
		m.width = 0
	}
}
