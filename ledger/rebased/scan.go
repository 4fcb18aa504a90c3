package rebased

import (
	"encoding/binary"
	"math"
	"unicode"
	"unicode/utf8"
)

// The rules of text (spec 16). What they find is what a person could have written; nothing is guessed from types that
// only a package knows.
const (
	minPureText = 3 // bytes of a single string in a pure argument (R1 a, b)
	minScanText = 6 // bytes of a string that a scan finds
)

// pureTexts returns the texts of a pure argument by rule R1: one string, one optional string, or a vector of strings,
// whichever fits b to its last byte first; nil if none does.
func pureTexts(b []byte) []string {
	if s, ok := wholeString(b); ok && len(s) >= minPureText {
		return []string{string(s)}
	}
	if len(b) > 0 && b[0] == 1 {
		if s, ok := wholeString(b[1:]); ok && len(s) >= minPureText {
			return []string{string(s)}
		}
	}
	return stringVector(b)
}

// wholeString reads b as one printable string without a byte left.
func wholeString(b []byte) ([]byte, bool) {
	n, used := uleb(b)
	if used == 0 || uint64(len(b)-used) != uint64(n) || !printable(b[used:]) {
		return nil, false
	}
	return b[used:], true
}

// stringVector reads b as a vector of one or more printable strings of at least a byte, without a byte left.
func stringVector(b []byte) []string {
	count, used := uleb(b)
	b = b[used:]
	if used == 0 || uint64(count) > uint64(len(b)/2) { // a string takes two bytes or more
		return nil
	}
	out := make([]string, 0, count)
	for range count {
		n, used := uleb(b)
		if used == 0 || n == 0 || uint64(n) > uint64(len(b)-used) || !printable(b[used:used+int(n)]) {
			return nil
		}
		out = append(out, string(b[used:used+int(n)]))
		b = b[used+int(n):]
	}
	if len(b) != 0 {
		return nil
	}
	return out
}

// scanTexts returns what rules R2 and R3 find in the contents of a type that is not known: at each offset a length of at least
// minScanText in its only form, and that many printable bytes. It costs time linear in len(b).
func scanTexts(b []byte) (out []string) {
	run := printableRun{b: b}
	for at := 0; at < len(b); {
		n, used := uleb(b[at:])
		from := at + used
		if used == 0 || n < minScanText || uint64(n) > uint64(len(b)-from) || !run.covers(from, int(n)) {
			at++
			continue
		}
		out = append(out, string(b[from:from+int(n)]))
		at = from + int(n)
	}
	return out
}

// printableRun remembers the last stretch of printable text that was read, so that a scan which asks for it again
// and again reads each byte a bounded number of times.
type printableRun struct {
	b        []byte
	from, to int // b[from:to] is printable, and no printable character begins at to
}

// covers reports whether the n > 0 bytes at from are printable.
func (r *printableRun) covers(from, n int) bool {
	if !utf8.RuneStart(r.b[from]) {
		return false
	}
	if from < r.from || from >= r.to {
		r.read(from)
	}
	end := from + n
	return end <= r.to && (end == r.to || utf8.RuneStart(r.b[end]))
}

// read makes the run begin at from. Where it meets the run that it knows it goes on behind that: no character reaches
// into it, because one begins there.
func (r *printableRun) read(from int) {
	at := from
	for at < len(r.b) {
		if at == r.from && r.from < r.to {
			at = r.to
			break
		}
		size := printableAt(r.b[at:])
		if size == 0 {
			break
		}
		at += size
	}
	r.from, r.to = from, at
}

// printableAt returns the length of the printable character that b, not empty, begins with; 0 if there is none.
func printableAt(b []byte) int {
	c, size := utf8.DecodeRune(b)
	if c == utf8.RuneError && size == 1 || unicode.IsControl(c) && c != '\t' && c != '\n' && c != '\r' {
		return 0
	}
	return size
}

// printable reports whether b is UTF-8 without control characters other than tab, line feed and carriage return.
func printable(b []byte) bool {
	for len(b) > 0 {
		size := printableAt(b)
		if size == 0 {
			return false
		}
		b = b[size:]
	}
	return true
}

// uleb reads the length that b begins with, in its only form (spec 2), and how many bytes it takes; 0 bytes if there is
// none.
func uleb(b []byte) (n uint32, used int) {
	v, used := binary.Uvarint(b[:min(len(b), 5)])
	if used <= 0 || v > math.MaxUint32 || used > 1 && b[used-1] == 0 {
		return 0, 0
	}
	return uint32(v), used
}
