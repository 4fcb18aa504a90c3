package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"permanode/index/lang"
	"permanode/internal/ranges"
	"permanode/ledger"
)

const (
	ringMessages     = 1000          // that wait for the slowest client of a stream
	ringBytes        = 64 << 20      // of all streams together
	leastRing        = 64 << 10      // of one stream, however many there are
	maxTopics        = 1000          // different streams at once
	maxTopicsBy      = maxTopics / 4 // of them of one key
	parallelBacklogs = 4             // searches for what streams have missed, so that many of them leave the others room
	keptCones        = 4             // newest units of a network that are kept for those who come a moment later
	keptBytes        = 16 << 20      // but no more of them than this
)

// Streams owns the live streams of an archive: one topic for each different question, whoever asks it, and the newest cones, read once for
// all topics.
type Streams struct {
	a *Archive

	mu     sync.Mutex // guards topics and shares
	topics map[string]*topic
	shares map[string]map[*topic]int // of each caller: his streams of each topic

	kept sync.Map // ledger.NetID: *recent
	work *turns   // of those who search what is held
}

// NewStreams returns the streams of a; each is of all topics that they share.
func NewStreams(a *Archive) *Streams {
	return &Streams{a: a, topics: map[string]*topic{}, shares: map[string]map[*topic]int{}, work: newTurns(parallelBacklogs)}
}

// recent holds the newest cones that were read of a network.
type recent struct {
	mu    sync.Mutex // held while a cone is read, so that nobody reads it twice
	cones []*seen
	size  int64
}

// cone returns a committed cone.
func (h *Streams) cone(ctx context.Context, n Network, seq uint64) (*seen, error) {
	got, _ := h.kept.LoadOrStore(n.ID, &recent{})
	r := got.(*recent)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.cones {
		if s.cone.Unit.Seq == seq {
			return s, nil
		}
	}
	for cone, err := range h.a.store.Cones(ctx, n.ID, seq, seq) {
		if err != nil {
			return nil, fmt.Errorf("unit %d of %s: %w", seq, n.Name, err)
		}
		s, err := h.a.seen(ctx, n, cone)
		if err != nil {
			return nil, err
		}
		r.cones, r.size = append(r.cones, s), r.size+s.size
		for len(r.cones) > keptCones || r.size > keptBytes && len(r.cones) > 1 {
			r.size -= r.cones[0].size
			r.cones = slices.Delete(r.cones, 0, 1)
		}
		return s, nil
	}
	return nil, errors.Join(ctx.Err(), fmt.Errorf("unit %d of %s: the store gives no cone", seq, n.Name))
}

// topic follows the store for all who ask the same question: it matches and encodes each record once. Clients take from
// its ring at their own pace; one that is too late for it reads the store. One goroutine a network, from the first
// client to the last.
type topic struct {
	*Watch
	hub    *Streams
	key    string
	users  int // guarded by hub.mu
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	at      marks      // behind the last of ring
	first   uint64     // number of ring[0]
	ring    []*Message
	size    int64
	most    int64
	changed chan struct{} // closed when there is more in the ring, at moves, or at the end
	err     error         // why it ended
}

// BusyError says that no more streams can be open.
type BusyError struct{ Why string }

func (e *BusyError) Error() string { return e.Why }

// join returns the topic of w. Every one who joined must leave.
func (h *Streams) join(ctx context.Context, w *Watch, who string) (*topic, error) {
	key := string(w.asked[:]) + "\x00" + fmt.Sprintf("%q", w.names()) + w.text
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[key]
	if mine := h.shares[who]; who != "" && mine[t] == 0 && len(mine) >= maxTopicsBy {
		return nil, &BusyError{fmt.Sprintf("%d different streams of yours are open, the most there may be: end one, or ask for more in one", maxTopicsBy)}
	}
	if t == nil {
		if len(h.topics) >= maxTopics {
			return nil, &BusyError{fmt.Sprintf("%d different streams are open: ask again later, or for what another one asks", maxTopics)}
		}
		at, held, err := w.now(ctx)
		if err != nil {
			return nil, err
		}
		t = &topic{Watch: w, hub: h, key: key, at: at, changed: make(chan struct{})}
		var run context.Context
		run, t.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it may outlive the client that came first
		h.topics[key] = t
		for i := range w.networks {
			t.done.Go(func() {
				err := guarded(func() error { t.follow(run, i, held[i]); return nil })() // else a bug with one record ends the service
				if err != nil {
					t.fail(err)
				}
			})
		}
	}
	t.users++
	if h.shares[who] == nil {
		h.shares[who] = map[*topic]int{}
	}
	h.shares[who][t]++
	h.share()
	return t, nil
}

// share divides the memory of rings.
func (h *Streams) share() {
	most := int64(ringBytes)
	if n := int64(len(h.topics)); n > 0 {
		most = max(leastRing, most/n)
	}
	for _, t := range h.topics {
		t.mu.Lock()
		t.most = most
		t.trim()
		t.mu.Unlock()
	}
}

// Leave gives back what the stream took.
func (c *Stream) Leave() {
	h := c.hub
	h.mu.Lock()
	if mine := h.shares[c.who]; mine[c.topic] > 1 {
		mine[c.topic]--
	} else if delete(mine, c.topic); len(mine) == 0 {
		delete(h.shares, c.who)
	}
	h.mu.Unlock()
	c.topic.leave()
}

// leave ends the topic with its last client, and waits for it.
func (t *topic) leave() {
	t.hub.mu.Lock()
	t.users--
	last := t.users == 0
	if last && t.hub.topics[t.key] == t {
		delete(t.hub.topics, t.key)
	}
	if len(t.hub.topics) == 0 {
		t.hub.kept.Clear()
	}
	t.hub.mu.Unlock()
	if last {
		t.cancel()
		t.done.Wait()
	}
}

// fail ends the topic for all of its clients; who comes next gets another.
func (t *topic) fail(err error) {
	t.hub.mu.Lock()
	if t.hub.topics[t.key] == t {
		delete(t.hub.topics, t.key)
	}
	t.hub.mu.Unlock()
	t.mu.Lock()
	if t.err == nil {
		t.err = err
		t.wake()
	}
	t.mu.Unlock()
}

// wake tells all clients. t.mu is held.
func (t *topic) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// trim lets go of what is too much. t.mu is held.
func (t *topic) trim() {
	cut := 0
	for len(t.ring)-cut > ringMessages || t.size > t.most && cut < len(t.ring) {
		t.size -= t.ring[cut].size()
		t.ring[cut] = nil
		cut++
	}
	t.ring, t.first = t.ring[cut:], t.first+uint64(cut)
}

// follow takes the units of one network as they are committed.
func (t *topic) follow(ctx context.Context, i int, known ranges.Set) {
	n, m := t.networks[i], t.matcher(t.networks[i])
	for ctx.Err() == nil {
		changed := t.a.store.Changed(n.ID) // before coverage is read: a commit in between wakes us
		cov, err := t.a.store.Coverage(ctx, n.ID)
		if err == nil {
			have := cov.Set()
			err = errors.Join(t.late(i, have.Minus(known)), t.take(ctx, i, m, have))
			known = have
		}
		if err != nil {
			t.fail(fmt.Errorf("stream of %s: %w", n.Name, err))
			return
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// late tells of units that were committed below the place of the stream.
func (t *topic) late(i int, came ranges.Set) error {
	at := t.place(i)
	for _, r := range lang.Intersect(came, below(at)).Ranges() {
		f, err := newFound(eventNotice, Notice{t.networks[i].Name, noticeFilled, r.Lo, r.Hi, "committed after the stream had passed"}, at)
		if err != nil {
			return err
		}
		t.add(i, []found{f}, at)
	}
	return nil
}

// take takes the units of have that lie ahead.
func (t *topic) take(ctx context.Context, i int, m *matcher, have ranges.Set) error {
	n := t.networks[i]
	for _, r := range have.Minus(below(t.place(i))).Ranges() {
		if at := t.place(i); at.Seq < r.Lo {
			gaps, err := t.gaps(ctx, n, at.Seq, r.Lo-1)
			if err != nil {
				return err
			}
			t.add(i, gaps, ledger.Ord{Seq: r.Lo})
		}
		for seq := r.Lo; seq <= r.Hi; seq++ {
			s, err := t.hub.cone(ctx, n, seq)
			if err != nil {
				return err
			}
			var batch []found
			err = m.hits(ctx, s, t.place(i), ledger.Ord{Seq: seq + 1}, func(item Item, ord ledger.Ord) error {
				f, err := newFound(eventRecord, item, behindOrd(ord))
				if batch = append(batch, f); len(batch) == ringMessages/4 { // a unit may have any number
					t.add(i, batch, f.at)
					batch = batch[:0]
				}
				return err
			})
			if err != nil {
				return err
			}
			t.add(i, batch, ledger.Ord{Seq: seq + 1})
		}
	}
	return nil
}

// below is all units before the one of a mark.
func below(at ledger.Ord) (s ranges.Set) {
	if at.Seq > 0 {
		s.Add(0, at.Seq-1)
	}
	return s
}

func (t *topic) place(i int) ledger.Ord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at[i]
}

// add puts messages of a network into the ring, and moves its mark.
func (t *topic) add(i int, batch []found, at ledger.Ord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range batch {
		t.at[i] = f.at
		msg := t.message(f, t.at)
		t.ring, t.size = append(t.ring, msg), t.size+msg.size()
	}
	t.at[i] = at
	t.trim()
	t.wake()
}

// snapshot returns where the topic is, and the number of the message that comes next.
func (t *topic) snapshot() (at marks, next uint64, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.at), t.first + uint64(len(t.ring)), t.changed, t.err
}

// errFell says that a client is too late for the ring.
var errFell = errors.New("query: too late for the ring")

// from returns messages from number next on, as many as fit most bytes, one at least. Without any it returns where the
// topic is and what tells of the next.
func (t *topic) from(next uint64, most int64) (batch []*Message, at marks, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if next < t.first {
		return nil, nil, nil, errFell
	}
	for _, msg := range t.ring[next-t.first:] {
		if most -= msg.size(); most < 0 && len(batch) > 0 {
			break
		}
		batch = append(batch, msg)
	}
	if len(batch) == 0 {
		return nil, slices.Clone(t.at), t.changed, t.err
	}
	return batch, nil, nil, nil
}
