package hornet2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"permanode/ingest"
	"permanode/internal/wire/frame"
	"permanode/internal/wire/inx"
)

const (
	inxFirstPause   = 100 * time.Millisecond
	inxLongestPause = 10 * time.Second
)

// Feed returns a bell: it rings with the number of each milestone that the node confirms. It believes nothing of what
// it hears and keeps no blocks: this interface gives whole cones, which is faster than to gather them. It has a
// connection of its own; when the node breaks off it connects again, later and later.
func (n *INX) Feed() ingest.Feed {
	return &inxFeed{n: n, meter: ingest.NewFeedMeter(n.name, inxScheme+"://"+n.addr)}
}

type inxFeed struct {
	n     *INX
	meter *ingest.FeedMeter
}

// Name returns the source's name.
func (f *inxFeed) Name() string { return f.n.name }

// Status says how the stream does.
func (f *inxFeed) Status() ingest.FeedStatus { return f.meter.Status() }

// Run rings until ctx ends.
func (f *inxFeed) Run(ctx context.Context, _ func(raw []byte), ring func(seq uint64)) error {
	pause := inxFirstPause
	for ctx.Err() == nil {
		l := &inxListener{feed: f, ring: ring}
		err := l.run(ctx)
		if ctx.Err() != nil {
			f.meter.Down("")
			break
		}
		f.meter.Down(err.Error())
		if l.rang {
			pause = inxFirstPause
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		pause = min(2*pause, inxLongestPause)
	}
	return ctx.Err()
}

// inxListener is one connection of a feed. One goroutine.
type inxListener struct {
	feed *inxFeed
	conn *grpc.ClientConn
	ring func(seq uint64)

	rang   bool
	last   uint32 // rung last
	behind bool   // the node had confirmed more when it was asked last, and nothing came since
}

// errStalled is why a stream was given up.
var errStalled = errors.New("the node confirms milestones and the stream is silent")

// run rings until the stream ends, and says why it did. The stream begins with the node's newest milestone, so that a
// ring tells at once what was missed; a node that comes back some milestones behind rings with lower numbers.
func (l *inxListener) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if l.conn, err = dialINX(l.feed.n.addr); err != nil {
		return err
	}
	defer l.conn.Close()
	newest, err := l.newest(ctx)
	if err != nil {
		return err
	}
	s, err := openStream(ctx, l.conn, inx.ListenToConfirmedMilestones, (&inx.RangeRequest{Start: newest}).Append(nil))
	if err != nil {
		return failure(ctx, err)
	}
	l.feed.meter.Up()
	messages, ended := make(chan []byte), make(chan error, 1)
	go func() { ended <- receive(ctx, s, messages) }()
	quiet := time.NewTimer(l.feed.n.timeout)
	defer quiet.Stop()
	for {
		select {
		case m := <-messages:
			l.hear(m)
		case err := <-ended:
			return err
		case <-quiet.C:
			if err := l.probe(ctx); err != nil {
				cancel()
				<-ended
				return err
			}
		}
		quiet.Reset(l.feed.n.timeout)
	}
}

// receive hands on the messages of a stream until it ends. It never returns nil.
func receive(ctx context.Context, s grpc.ClientStream, messages chan<- []byte) error {
	for {
		var m frame.Bytes
		if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
			return errors.New("the node ended the stream")
		} else if err != nil {
			return failure(ctx, err)
		}
		select {
		case messages <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *inxListener) hear(message []byte) {
	l.behind = false
	l.feed.meter.Message(len(message))
	m, err := inx.ParseConfirmed(message)
	if err == nil && (m.Milestone == nil || m.Milestone.Info == nil || m.Milestone.Info.Index == 0) {
		err = errors.New("a message names no milestone")
	}
	if err != nil {
		l.feed.meter.Drop(err.Error())
		return
	}
	l.strike(m.Milestone.Info.Index)
}

func (l *inxListener) strike(index uint32) {
	l.last, l.rang = index, true
	l.ring(uint64(index))
	l.feed.meter.Rang(uint64(index))
}

// probe asks the node what it confirmed last, when the stream was silent for a timeout. That finds connections that are
// half open, and streams that have stalled: the node went on and nothing came for a timeout more.
func (l *inxListener) probe(ctx context.Context) error {
	newest, err := l.newest(ctx)
	if err != nil || newest <= l.last {
		return err
	}
	if l.behind {
		return errStalled
	}
	l.behind = true
	last := l.last
	l.strike(newest)
	l.last = last
	return nil
}

// newest returns the node's confirmed milestone.
func (l *inxListener) newest(ctx context.Context) (uint32, error) {
	raw, err := invoke(ctx, l.conn, l.feed.n.timeout, inx.ReadNodeStatus, nil, maxInfo)
	if err != nil {
		return 0, err
	}
	s, err := inx.ParseStatus(raw)
	if err == nil && (s.Confirmed == nil || s.Confirmed.Info == nil) {
		err = errors.New("the answer names no confirmed milestone")
	}
	if err != nil {
		return 0, fmt.Errorf("node status: %w", err)
	}
	return s.Confirmed.Info.Index, nil
}
