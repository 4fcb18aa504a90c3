package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"permanode/query"
	"permanode/storage"
)

// openStream judges a request for a stream. from is "", "now" or "oldest".
func (a *service) openStream(ctx context.Context, r query.StreamRequest, from string) (*query.Watch, error) {
	if r.Cursor != "" && from != "" {
		return nil, problem("bad-parameter", "from=%s and a cursor are given: give one of them", query.Quote(from))
	}
	switch from {
	case "", "now":
	case "oldest":
		r.Oldest = true
	default:
		return nil, problem("bad-parameter", "from=%s is unknown: use now or oldest", query.Quote(from))
	}
	return a.Archive.OpenStream(ctx, r)
}

// endOf says why a stream ended; false if nobody is there to be told.
func endOf(ctx context.Context, err error) (query.StreamEnd, bool) {
	switch {
	case errors.Is(context.Cause(ctx), errClosing):
		return query.StreamEnd{Reason: "shutdown", Detail: "the service is stopping; come again in a moment with the last id"}, true
	case errors.Is(context.Cause(ctx), errRevoked):
		return query.StreamEnd{Reason: "unauthorized", Detail: "the key is in the keys file no more, or its role is too low by now: ask the operator"}, true
	case ctx.Err() != nil:
		return query.StreamEnd{}, false
	case errors.Is(err, query.ErrSlow):
		return query.StreamEnd{Reason: "slow", Detail: "more messages wait for the client than are kept for it; come again with the last id, and read faster or ask for less"}, true
	case errors.Is(err, errGone):
		return query.StreamEnd{}, false
	}
	p := problemOf(err)
	end := query.StreamEnd{Reason: strings.TrimPrefix(p.Type, typePrefix), Detail: p.Detail}
	if errors.Is(err, storage.ErrCorrupt) {
		end.Detail += "; a stream from the last id will end here again"
	}
	return end, true
}

// errGone wraps what a connection says that takes no more.
var errGone = errors.New("the client is gone")

// stream is GET /v1/stream: server-sent events.
func (a *service) stream(ctx context.Context, q *request) (writer, error) {
	r, from := query.StreamRequest{Query: q.params["q"], Network: q.params["network"], Cursor: q.params["cursor"]}, q.params["from"]
	if ids := q.header.Values("Last-Event-ID"); len(ids) > 1 {
		return nil, problem("bad-header", "there are %d Last-Event-ID headers: send one or none", len(ids))
	} else if len(ids) == 1 && ids[0] != "" { // a browser that comes again repeats the parameters that it came with
		r.Cursor, from = ids[0], ""
		q.noteParam("Last-Event-ID", ids[0])
	}
	w, err := a.openStream(ctx, r, from)
	if err != nil {
		return nil, err
	}
	q.noted.query = w.Query()
	if q.http.Method == http.MethodHead {
		return func(w http.ResponseWriter) error {
			eventHeaders(w)
			w.WriteHeader(http.StatusOK)
			return nil
		}, nil
	}
	return func(rw http.ResponseWriter) error {
		c, err := a.streams.Join(ctx, w, a.sharer(q.caller))
		if err != nil {
			return err
		}
		defer c.Leave()
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
func (a *service) events(ctx context.Context, w http.ResponseWriter, c *query.Stream, q *request) error {
	first, err := c.Start()
	if err != nil {
		return err
	}
	eventHeaders(w)
	smallBuffer(q.http)
	to := &eventSink{w: w, ctl: http.NewResponseController(w)}
	if err = to.write([]byte("retry: 3000\n\n"), first.Block); err == nil {
		err = c.Run(ctx, to)
	}
	q.noted.rows = c.Rows()
	end, told := endOf(ctx, err)
	if !told {
		return errGone
	}
	a.noteEnd(c.Query(), end, err)
	data, err := query.EncodeJSON(end)
	if err != nil {
		return err
	}
	return to.write([]byte("event: end\ndata: "), data, []byte("\n"))
}

// noteEnd tells the log of a stream that ended by a fault of ours.
func (a *service) noteEnd(asked string, end query.StreamEnd, err error) {
	switch end.Reason {
	case "slow", "shutdown", "unsubscribed", "unauthorized":
	default:
		a.Log.Error("stream failed", "query", asked, "reason", end.Reason, "err", err)
	}
}

// eventSink writes server-sent events.
type eventSink struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// Send sends each message as an event.
func (s *eventSink) Send(batch []*query.Message) error {
	blocks := make([][]byte, len(batch))
	for i, msg := range batch {
		blocks[i] = msg.Block
	}
	return s.write(blocks...)
}

// Beat is a comment, and tells the id that the client is to come again with.
func (s *eventSink) Beat(cursor string) error {
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
			_ = under.SetWriteBuffer(query.StreamPiece)
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
