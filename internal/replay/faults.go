package replay

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Fault answers a request badly. next is the honest node; rng is the fault's own and needs no lock.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler, rng *rand.Rand)

// Rule says which requests suffer a fault.
type Rule struct {
	Path string  // regular expression over the path; "" is every path
	Raw  bool    // only requests for raw objects
	P    float64 // share of the matching requests; 0 means all
	Do   Fault
}

// Faults is a node with faults, reproducible by its seed when asked by one client at a time. The first
// rule that fits a request decides. It is safe for concurrent use.
type Faults struct {
	next  http.Handler
	rules []rule

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

type rule struct {
	Rule
	path *regexp.Regexp
}

// NewFaults wraps next. It panics on a bad regular expression, as those are constants of tests.
func NewFaults(next http.Handler, seed uint64, rules ...Rule) *Faults {
	f := &Faults{next: next, rng: rand.New(rand.NewPCG(seed, 0))}
	for _, r := range rules {
		f.rules = append(f.rules, rule{Rule: r, path: regexp.MustCompile(r.Path)})
	}
	return f
}

// ServeHTTP answers as the first rule that fits says, else as the honest node.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if do, rng := f.pick(r); do != nil {
		do(w, r, f.next, rng)
		return
	}
	f.next.ServeHTTP(w, r)
}

func (f *Faults) pick(r *http.Request) (Fault, *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		c := &f.rules[i]
		if c.Raw && r.Header.Get("Accept") != Raw || !c.path.MatchString(r.URL.Path) {
			continue
		}
		if c.P > 0 && f.rng.Float64() >= c.P {
			continue
		}
		return c.Do, rand.New(rand.NewPCG(f.rng.Uint64(), 0))
	}
	return nil, nil
}

// Missing answers 404 as for something unknown.
func Missing(w http.ResponseWriter, _ *http.Request, _ http.Handler, _ *rand.Rand) {
	notFound(w, "code=404, message=Not Found")
}

// Status answers with an error status and the node's error JSON.
func Status(code int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler, _ *rand.Rand) {
		writeError(w, code, http.StatusText(code))
	}
}

// Delay waits before the honest answer, at most until the client gives up.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
		if pause(r, d) {
			next.ServeHTTP(w, r)
		}
	}
}

// Reset breaks the connection without an answer.
func Reset(http.ResponseWriter, *http.Request, http.Handler, *rand.Rand) { panic(http.ErrAbortHandler) }

// Half sends part of the honest body under its full length, then breaks the connection.
func Half(w http.ResponseWriter, r *http.Request, next http.Handler, rng *rand.Rand) {
	a := ask(next, r)
	a.begin(w)
	if n := a.body.Len(); n > 0 {
		_, _ = w.Write(a.body.Bytes()[:rng.IntN(n)])
	}
	flush(w)
	panic(http.ErrAbortHandler)
}

// Slow sends the honest body one byte every d, at most until the client gives up.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
		a := ask(next, r)
		a.begin(w)
		for _, b := range a.body.Bytes() {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			flush(w)
			if !pause(r, d) {
				return
			}
		}
	}
}

// Endless sends the honest body's first half and then bytes without end and without a length.
func Endless(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
	a := ask(next, r)
	a.header.Del("Content-Length")
	a.begin(w)
	_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2])
	blanks := bytes.Repeat([]byte{' '}, 1<<16)
	for r.Context().Err() == nil {
		if _, err := w.Write(blanks); err != nil {
			return
		}
	}
}

// Oversized announces and sends size bytes.
func Oversized(size int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
		a := ask(next, r)
		a.header.Set("Content-Length", strconv.FormatInt(size, 10))
		a.begin(w)
		block := make([]byte, 1<<16)
		for left := size; left > 0 && r.Context().Err() == nil; left -= int64(len(block)) {
			if _, err := w.Write(block[:min(left, int64(len(block)))]); err != nil {
				return
			}
		}
	}
}

// Bomb sends a small gzip body that unpacks to size bytes, with Content-Encoding: gzip.
func Bomb(size int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
		a := ask(next, r)
		a.header.Del("Content-Length")
		a.header.Set("Content-Encoding", "gzip")
		a.begin(w)
		z := gzip.NewWriter(w)
		block := make([]byte, 1<<16)
		for left := size; left > 0 && r.Context().Err() == nil; left -= int64(len(block)) {
			if _, err := z.Write(block); err != nil {
				return
			}
		}
		_ = z.Close() // the client may be gone
	}
}

// Body sends the honest answer with its body changed.
func Body(change func(body []byte, rng *rand.Rand) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, rng *rand.Rand) {
		a := ask(next, r)
		if a.status != http.StatusOK {
			a.begin(w)
			_, _ = w.Write(a.body.Bytes())
			return
		}
		write(w, a.status, a.header.Get("Content-Type"), change(bytes.Clone(a.body.Bytes()), rng))
	}
}

// Flip changes one random bit of the body.
func Flip(w http.ResponseWriter, r *http.Request, next http.Handler, rng *rand.Rand) {
	Body(func(b []byte, rng *rand.Rand) []byte {
		if len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		return b
	})(w, r, next, rng)
}

// Instead answers as if another path had been asked for: swapped cones, one object for another.
func Instead(path func(string) string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler, _ *rand.Rand) {
		other := r.Clone(r.Context())
		other.URL.Path = path(r.URL.Path)
		next.ServeHTTP(w, other)
	}
}

// Edit changes the object of a JSON answer: /info of another network, lies in metadata, a tip that goes
// backwards, another pruning index.
func Edit(edit func(object map[string]any, rng *rand.Rand)) Fault {
	return Body(func(b []byte, rng *rand.Rand) []byte {
		out, err := editObject(b, func(v map[string]any) { edit(v, rng) })
		if err != nil {
			return fmt.Appendf(nil, `{"error":{"code":"500","message":%q}}`, err)
		}
		return out
	})
}

// Network names another network in /info.
func Network(name string) Rule {
	return Rule{Path: "^" + infoPath + "$", Do: Edit(func(v map[string]any, _ *rand.Rand) {
		if p, ok := v["protocol"].(map[string]any); ok {
			p["networkName"] = name
		}
	})}
}

// InfoStatus sets numbers in the status of /info: "pruningIndex", or "tip" for both milestones.
func InfoStatus(field string, value func() uint64) Rule {
	return Rule{Path: "^" + infoPath + "$", Do: Edit(func(v map[string]any, _ *rand.Rand) {
		status, _ := v["status"].(map[string]any)
		switch {
		case status == nil:
		case field == "tip":
			m := map[string]any{"index": value()}
			status["latestMilestone"], status["confirmedMilestone"] = m, m
		default:
			status[field] = value()
		}
	})}
}

func ask(next http.Handler, r *http.Request) *buffered {
	b := &buffered{header: http.Header{}}
	next.ServeHTTP(b, r)
	return b
}

func (b *buffered) begin(w http.ResponseWriter) {
	for k, v := range b.header {
		w.Header()[k] = v
	}
	w.WriteHeader(b.status)
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// pause waits d and reports whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
