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
