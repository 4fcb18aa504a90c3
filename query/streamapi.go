package query

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"permanode/ledger"
	"permanode/storage"
)

// streamRequest is what a stream is asked for.
type streamRequest struct{ query, network, from, cursor string }

// open reads it: the question, and the marks where the stream begins; nil: now.
func (a *Archive) openStream(ctx context.Context, r streamRequest) (*watch, marks, error) {
	if r.cursor != "" && r.from != "" {
		return nil, nil, problem("bad-parameter", "from=%s and a cursor are given: give one of them", quote(r.from))
	}
	w, err := a.watch(ctx, r.query, r.network)
	if err != nil {
		return nil, nil, err
	}
	switch r.from {
	case "", "now":
	case "oldest":
		return w, make(marks, len(w.networks)), nil
	default:
		return nil, nil, problem("bad-parameter", "from=%s is unknown: use now or oldest", quote(r.from))
	}
	if r.cursor == "" {
		return w, nil, nil
	}
	m, err := parseMarks(r.cursor, w.networks, w.asked)
	return w, m, err
}

// client joins the topic of w and begins at m. It must leave.
func (h *hub) client(ctx context.Context, w *watch, m marks, who string) (*client, error) {
	t, err := h.join(ctx, w, who)
	if err != nil {
		return nil, err
	}
	c := &client{topic: t, at: m, who: who}
	if m == nil {
		c.at, _, _, _ = t.snapshot()
	}
	c.told = c.at.cursor(t.networks, t.asked)
	return c, nil
}

// start is the first message of c.
func (c *client) start() (*message, error) {
	f, err := newFound(eventStart, StreamStart{c.text, c.names()}, ledger.Ord{})
	return c.message(f, c.at), err
}

// endOf says why a stream ended; false if nobody is there to be told.
func endOf(ctx context.Context, err error) (StreamEnd, bool) {
	switch {
	case errors.Is(context.Cause(ctx), errClosing):
		return StreamEnd{"shutdown", "the service is stopping; come again in a moment with the last id"}, true
	case errors.Is(context.Cause(ctx), errRevoked):
		return StreamEnd{"unauthorized", "the key is in the keys file no more, or its role is too low by now: ask the operator"}, true
	case ctx.Err() != nil:
		return StreamEnd{}, false
	case errors.Is(err, errSlow):
		return StreamEnd{"slow", "more messages wait for the client than are kept for it; come again with the last id, and read faster or ask for less"}, true
	case errors.Is(err, errGone):
		return StreamEnd{}, false
	}
	p := problemOf(err)
	end := StreamEnd{strings.TrimPrefix(p.Type, typePrefix), p.Detail}
	if errors.Is(err, storage.ErrCorrupt) {
		end.Detail += "; a stream from the last id will end here again"
	}
	return end, true
}

// errGone wraps what a connection says that takes no more.
var errGone = errors.New("the client is gone")

// stream is GET /v1/stream: server-sent events.
func (a *api) stream(ctx context.Context, q *request) (writer, error) {
	r := streamRequest{q.params["q"], q.params["network"], q.params["from"], q.params["cursor"]}
	if ids := q.header.Values("Last-Event-ID"); len(ids) > 1 {
		return nil, problem("bad-header", "there are %d Last-Event-ID headers: send one or none", len(ids))
	} else if len(ids) == 1 && ids[0] != "" { // a browser that comes again repeats the parameters that it came with
		r.cursor, r.from = ids[0], ""
		q.noteParam("Last-Event-ID", ids[0])
	}
	w, m, err := a.Archive.openStream(ctx, r)
	if err != nil {
		return nil, err
	}
	q.noted.query = w.text
	if q.http.Method == http.MethodHead {
		return func(w http.ResponseWriter) error {
			eventHeaders(w)
			w.WriteHeader(http.StatusOK)
			return nil
		}, nil
	}
	return func(rw http.ResponseWriter) error {
		c, err := a.hub.client(ctx, w, m, a.sharer(q.caller))
		if err != nil {
			return err
		}
		defer c.leave()
		return a.events(ctx, rw, c, q)
	}, nil
}

func eventHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // some proxies hold back what they are sent
}

// events sends what c gets as server-sent events.
func (a *api) events(ctx context.Context, w http.ResponseWriter, c *client, q *request) error {
	first, err := c.start()
	if err != nil {
		return err
	}
	eventHeaders(w)
	smallBuffer(q.http)
	to := &eventSink{w: w, ctl: http.NewResponseController(w)}
	c.to = to
	if err = to.write([]byte("retry: 3000\n\n"), first.block); err == nil {
		err = c.run(ctx)
	}
	q.noted.rows = c.rows
	end, told := endOf(ctx, err)
	if !told {
		return errGone
	}
	a.noteEnd(c.text, end, err)
	f, err := newFound(eventEnd, end, ledger.Ord{})
	if err != nil {
		return err
	}
	return to.write([]byte("event: end\ndata: "), f.data, []byte("\n\n"))
}

// noteEnd tells the log of a stream that ended by a fault of ours.
func (a *api) noteEnd(query string, end StreamEnd, err error) {
	switch end.Reason {
	case "slow", "shutdown", "unsubscribed", "unauthorized":
	default:
		a.Log.Error("stream failed", "query", query, "reason", end.Reason, "err", err)
	}
}

// eventSink writes server-sent events.
type eventSink struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

func (s *eventSink) send(batch []*message) error {
	blocks := make([][]byte, len(batch))
	for i, msg := range batch {
		blocks[i] = msg.block
	}
	return s.write(blocks...)
}

func (s *eventSink) beat(cursor string) error {
	if cursor == "" {
		return s.write([]byte(": heartbeat\n\n"))
	}
	return s.write([]byte(": heartbeat\nid: " + cursor + "\n\n"))
}

// pieces are the buffers in which small writes become one.
var pieces = sync.Pool{New: func() any { return new([]byte) }}

// write sends parts as one piece.
func (s *eventSink) write(parts ...[]byte) error {
	_ = s.ctl.SetWriteDeadline(time.Now().Add(usual.stream))
	body := parts[0]
	if len(parts) > 1 {
		buf := pieces.Get().(*[]byte)
		defer pieces.Put(buf)
		*buf = (*buf)[:0]
		for _, p := range parts {
			*buf = append(*buf, p...)
		}
		body = *buf
	}
	_, err := s.w.Write(body)
	if err == nil {
		err = s.ctl.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// smallBuffer keeps the system from taking megabytes for each client that does not read.
func smallBuffer(r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	for c != nil {
		switch under := c.(type) {
		case interface{ SetWriteBuffer(bytes int) error }:
			_ = under.SetWriteBuffer(piece)
			return
		case interface{ NetConn() net.Conn }:
			c = under.NetConn()
		case *refusingConn:
			c = under.Conn
		default:
			return
		}
	}
}
