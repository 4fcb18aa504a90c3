package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// printf writes a result. Its error is that of standard output.
func (p *program) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.out, format, args...); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// printJSON writes a result as one line.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// say writes a line for the person at the terminal.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.errs, format+"\n", args...)
}

// plain makes a stranger's text safe for a terminal: on one line, no control characters, nothing that changes the
// direction of what follows.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return '·'
		}
		return r
	}, s)
}

// sizeText writes a number of bytes for a person.
func sizeText(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// countText writes a number of things: "1 fault", "2 faults".
func countText[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
