package query

import (
	"context"
	"errors"
	"slices"
	"time"

	"permanode/ledger"
)

const (
	// Heartbeat is how long a stream may be silent.
	Heartbeat = 15 * time.Second
	// slowAfter is how long a client may take for a piece of its stream while more waits for it than the ring holds.
	slowAfter = 5 * time.Second
	// StreamPiece is how many bytes are sent at once.
	StreamPiece = 64 << 10
	soon        = 250 * time.Millisecond
)

// ErrSlow is why the stream of a client ends that cannot keep up.
var ErrSlow = errors.New("query: the client is too slow for its stream")

// Sink takes what a client is sent.
type Sink interface {
	// Send sends messages, in order. It blocks while the client is slow, and fails if it is gone.
	Send(batch []*Message) error
	// Beat keeps the connection alive. cursor is where the stream is by now, "" if the client knows.
	Beat(cursor string) error
}

// Stream is one stream of one client: what is held from its marks on, from the store, then what comes, from the topic. It
// belongs to one goroutine.
type Stream struct {
	*topic
	at   marks  // behind the last message that was sent
	told string // cursor that the client knows
	to   Sink
	who  string // whose share of topics it takes; "": of nobody
	rows uint64 // records sent

	binding *binding
	match   []*matcher // one a network

	waiting []*Message // of the backlog
	bytes   int64
	sent    time.Time // when something was sent last
}

// Join begins a stream of w. who is whose share of the streams it takes, "" for nobody's. Whoever joined must leave. It
// fails with *BusyError.
func (h *Streams) Join(ctx context.Context, w *Watch, who string) (*Stream, error) {
	t, err := h.join(ctx, w, who)
	if err != nil {
		return nil, err
	}
	c := &Stream{topic: t, at: slices.Clone(w.begin), who: who}
	if w.begin == nil {
		c.at, _, _, _ = t.snapshot()
	}
	c.told = c.at.cursor(t.networks, t.asked)
	return c, nil
}

// Start is the first message.
func (c *Stream) Start() (*Message, error) {
	f, err := newFound(eventStart, StreamStart{c.text, c.names()}, ledger.Ord{})
	return c.message(f, c.at), err
}

// Rows is how many records were sent.
func (c *Stream) Rows() uint64 { return c.rows }

// Run sends until ctx ends, the client is gone or too slow, or something fails, and returns why: ErrSlow, what the sink
// says, or an error of the archive.
func (c *Stream) Run(ctx context.Context, to Sink) error {
	c.to = to
	c.binding, c.sent = c.topic.binding(), time.Now()
	for _, n := range c.networks {
		c.match = append(c.match, c.matcher(n))
	}
	for {
		goal, next, changed, err := c.snapshot()
		if err != nil {
			return err
		}
		for i := range goal {
			if err := c.backlog(ctx, i, goal[i]); err != nil {
				return err
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		if !slices.Equal(c.at, goal) { // the cursor is from an archive that holds more: this one may come to it
			if err := c.wait(ctx, changed); err != nil {
				return err
			}
			continue
		}
		if err := c.live(ctx, next); err != nil {
			return err
		}
	}
}

// live sends from the ring until the client is too late for it.
func (c *Stream) live(ctx context.Context, next uint64) error {
	var took time.Duration
	for {
		batch, at, changed, err := c.from(next, StreamPiece)
		switch {
		case errors.Is(err, errFell) && took > slowAfter:
			return ErrSlow
		case errors.Is(err, errFell):
			return nil
		case err != nil:
			return err
		case len(batch) == 0:
			c.at, took = at, 0
			if err := c.wait(ctx, changed); err != nil {
				return err
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		begun := time.Now()
		if err := c.send(batch); err != nil {
			return err
		}
		took = time.Since(begun)
		next += uint64(len(batch))
		c.at = slices.Clone(batch[len(batch)-1].at)
	}
}

// send sends a batch now.
func (c *Stream) send(batch []*Message) error {
	if err := c.to.Send(batch); err != nil {
		return err
	}
	c.sent, c.told = time.Now(), batch[len(batch)-1].Cursor
	for _, msg := range batch {
		if msg.Event == eventRecord {
			c.rows++
		}
	}
	return nil
}

// wait returns when changed is closed, and sends heartbeats meanwhile.
func (c *Stream) wait(ctx context.Context, changed <-chan struct{}) error {
	for {
		timer := time.NewTimer(time.Until(c.sent.Add(Heartbeat)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
			timer.Stop()
			return nil
		case <-timer.C:
			if err := c.beat(); err != nil {
				return err
			}
		}
	}
}

func (c *Stream) beat() error {
	cursor := c.at.cursor(c.networks, c.asked)
	if cursor == c.told {
		cursor = ""
	} else {
		c.told = cursor
	}
	c.sent = time.Now()
	return c.to.Beat(cursor)
}

// add takes a message of the backlog.
func (c *Stream) add(i int, f found) error {
	c.at[i] = f.at
	msg := c.message(f, c.at)
	c.waiting, c.bytes = append(c.waiting, msg), c.bytes+msg.size()
	if c.bytes >= StreamPiece {
		return c.flush()
	}
	return nil
}

// moved sets the mark of a network, and sends what has waited for a while.
func (c *Stream) moved(ctx context.Context, i int, at ledger.Ord) error {
	if c.at[i].Less(at) {
		c.at[i] = at
	}
	quiet := time.Since(c.sent)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(c.waiting) > 0 && quiet > soon:
		return c.flush()
	case len(c.waiting) == 0 && quiet > Heartbeat:
		return c.beat()
	}
	return nil
}

func (c *Stream) flush() error {
	if len(c.waiting) == 0 {
		return nil
	}
	err := c.send(c.waiting)
	clear(c.waiting)
	c.waiting, c.bytes = c.waiting[:0], 0
	return err
}
