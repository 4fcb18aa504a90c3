package api

import (
	lru "container/list"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"permanode/query/access"
)

// Rates are the most requests a second of one caller: a key, or without one an address (of IPv6: its /64). Zero is no
// limit.
type Rates struct {
	Keyed     float64 // with a key, or on a service without keys; four times as many at once
	Anonymous float64 // without one, on a service that has keys; twice as many at once
	Search    float64 // of Keyed, those that search; four times as many at once
	Exports   int     // in work at once
}

// lineRate is how many bytes of the access trail a caller may cause for each request that he may make: more than the lines of
// usual requests take, and so little that he cannot fill the disk.
const lineRate = 1 << 10

// lineBurst is how many bytes of lines he may cause at once: some hundred requests with the longest query.
const lineBurst = 1 << 20

// DefaultRates are the limits of a service whose config names none.
func DefaultRates() Rates { return Rates{Keyed: 50, Anonymous: 10, Search: 5, Exports: 2} }

const (
	maxCallers = 1 << 16 // known at once; who asked longest ago is forgotten first
	maxStreams = 256     // streams and WebSockets of one key
	maxAtOnce  = 256     // requests of one caller in work, answers that are being read included
)

// callers knows what each caller asked lately.
type callers struct {
	rates Rates
	now   func() time.Time

	mu    sync.Mutex
	known map[string]*lru.Element // of *usage, by key name or address
	order *lru.List               // who asked last stands in front
}

// usage is what one caller may still ask.
type usage struct {
	id              string
	all, search     *rate.Limiter
	lines           *rate.Limiter // bytes of the access trail
	exports, atOnce int           // in work
	streams         int           // open
}

func newCallers(r Rates, now func() time.Time) *callers {
	return &callers{rates: r, now: now, known: map[string]*lru.Element{}, order: lru.New()}
}

// admit counts a request, or says that it is one too many. What is left stands in the headers. release is to be called
// once, when the answer is sent.
func (c *callers) admit(h http.Header, caller access.Caller, keys bool, of class) (release func(), over *Problem) {
	if of == classProbe {
		return func() {}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u, now := c.usage(caller, keys), c.now()
	var asked []*rate.Limiter
	if u.all != nil {
		asked = append(asked, u.all)
	}
	if of == classSearch && u.search != nil {
		asked = append(asked, u.search)
	}
	tightest, wait := tightest(asked, now)
	if wait > 0 {
		tellRate(h, tightest, now)
		return nil, tooMany(h, wait, "this is more than %s requests a second: ask more slowly", strconv.FormatFloat(float64(tightest.Limit()), 'f', -1, 64))
	}
	for _, l := range asked {
		l.AllowN(now, 1)
	}
	tellRate(h, tightest, now)
	inWork := &u.atOnce
	most := maxAtOnce
	if of.long() {
		inWork, most = nil, 0
	}
	if of == classStream && keys {
		inWork, most = &u.streams, maxStreams
	}
	if of == classExport {
		inWork, most = &u.exports, c.rates.Exports
	}
	if inWork == nil || most == 0 {
		return func() {}, nil
	}
	if *inWork >= most {
		return nil, tooMany(h, time.Second, "%d requests of this kind of yours are in work already: wait for one to end", most)
	}
	*inWork++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		*inWork--
	}), nil
}

// record counts bytes that a request adds to the access trail, or says that they are too many.
func (c *callers) record(h http.Header, caller access.Caller, keys bool, size int) *Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, now := c.usage(caller, keys), c.now()
	size = min(size, lineBurst)
	if u.lines == nil || u.lines.AllowN(now, size) {
		return nil
	}
	lack := float64(size) - u.lines.TokensAt(now)
	return tooMany(h, time.Duration(lack/float64(u.lines.Limit())*float64(time.Second)),
		"what you ask is recorded, and takes more than %.0f bytes a second: ask more slowly, or shorter questions", float64(u.lines.Limit()))
}

// usage finds or makes what is known of a caller.
func (c *callers) usage(caller access.Caller, keys bool) *usage {
	id, per, burst := "key "+caller.Name, c.rates.Keyed, 4.0
	if caller.Name == "" {
		id = "address " + network(caller.Address)
	}
	if caller.Name == "" && keys {
		per, burst = c.rates.Anonymous, 2
	}
	if e, ok := c.known[id]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*usage)
	}
	for e := c.order.Back(); e != nil && len(c.known) >= maxCallers; {
		oldest, before := e.Value.(*usage), e.Prev()
		if oldest.exports+oldest.atOnce+oldest.streams == 0 {
			c.order.Remove(e)
			delete(c.known, oldest.id)
		}
		e = before
	}
	u := &usage{id: id, all: limiter(per, burst), search: limiter(c.rates.Search, 4)}
	if u.all != nil {
		u.lines = rate.NewLimiter(rate.Limit(per*lineRate), lineBurst)
	}
	c.known[id] = c.order.PushFront(u)
	return u
}

// limiter is nil for no limit.
func limiter(perSecond, burst float64) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burst)))
}

// tightest returns the limiter that has the least left, and how long it lacks a token: 0 where each has one.
func tightest(all []*rate.Limiter, now time.Time) (least *rate.Limiter, wait time.Duration) {
	left := math.Inf(1)
	for _, l := range all {
		have := l.TokensAt(now)
		if have < left {
			least, left = l, have
		}
		if lack := 1 - have; lack > 0 {
			wait = max(wait, time.Duration(lack/float64(l.Limit())*float64(time.Second)))
		}
	}
	return least, wait
}

// tellRate writes how many requests may come at once, how many of them are left, and in how many seconds all are.
func tellRate(h http.Header, l *rate.Limiter, now time.Time) {
	if l == nil {
		return
	}
	have := max(0, l.TokensAt(now))
	h.Set("RateLimit-Limit", strconv.Itoa(l.Burst()))
	h.Set("RateLimit-Remaining", strconv.Itoa(int(have)))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil((float64(l.Burst())-have)/float64(l.Limit())))))
}

func tooMany(h http.Header, wait time.Duration, format string, args ...any) *Problem {
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
	return problem("rate-limited", format+"; Retry-After says when", args...)
}

// network is what of an address belongs to one caller: whoever has an IPv6 address has all of its /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
