package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Elsewhere than on a terminal a line comes every ten seconds, with rate and remaining time; a resumed run does not count
// what was there before into its rate.
func TestMeterPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := (&program{errs: &out}).meter("units")
		for i := range uint64(31) {
			m.report(100+10*i, 500, "")
			time.Sleep(time.Second)
		}
		m.end()
		want := "200 of 500 units, 10 per second, 30s left\n300 of 500 units, 10 per second, 20s left\n400 of 500 units, 10 per second, 10s left\n"
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

// A total that a node made up gives no remaining time, least of all a negative one.
func TestMeterMadeUpTotal(t *testing.T) {
	m := (&program{errs: new(bytes.Buffer)}).meter("units")
	for _, total := range []uint64{0xfeffffffff, 1<<64 - 1} {
		if got := m.line(24, total, 12*time.Second, ""); strings.Contains(got, "left") {
			t.Error(got)
		}
	}
	if got := m.line(24, 48, 12*time.Second, "x"); got != "24 of 48 units, 2 per second, 12s left, x" {
		t.Error(got)
	}
	if got := m.line(9, 3, time.Second, ""); got != "9 of 3 units, 9 per second" {
		t.Error(got)
	}
	if got := m.line(0, 3, time.Second, ""); got != "0 of 3 units, 0 per second" {
		t.Error(got)
	}
}

// On a terminal one line is written over, and is gone in the end.
func TestMeterTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := (&program{errs: &out}).meter("units")
		m.tty = true
		for i := range uint64(10) {
			time.Sleep(100 * time.Millisecond)
			m.report(i, 9, "x records")
		}
		m.end()
		if strings.Contains(out.String(), "\n") || strings.Count(out.String(), " of 9 units") != 5 {
			t.Errorf("got %q", out.String())
		}
		screen := ""
		for part := range strings.SplitSeq(out.String(), "\r") {
			screen = part + screen[min(len(part), len(screen)):]
		}
		if strings.TrimSpace(screen) != "" {
			t.Errorf("%q stays on the line", screen)
		}
	})
}

func TestPlainText(t *testing.T) {
	if got := plain("a\x1b[31m\r\n\u202eb\x00ü"); got != "a·[31m···b·ü" {
		t.Errorf("got %q", got)
	}
}
