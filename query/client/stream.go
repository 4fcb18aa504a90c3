package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"

	"permanode/query"
	"permanode/storage"
)

// Stream says what to listen to.
type Stream struct {
	Query   string // docs/query.md; empty: everything
	Network string // empty: all
	Oldest  bool   // begin with the oldest that is held; else with what comes from now on
	Cursor  string // go on behind this message; Oldest has no meaning then
}

// Message is one thing that a stream tells. One of Start, Item, Notice and End is set, or none of them: then the place moved on.
type Message struct {
	Cursor string // the place behind it: Stream.Cursor goes on from there
	Start  *Start
	Item   *query.Item
	Notice *Notice
	End    *End
}

// Start is the first message of each connection.
type Start struct {
	Query    string   `json:"query"` // canonical text
	Networks []string `json:"networks"`
}

// Notice says that units are passed, or came too late to stand in their place.
type Notice struct {
	Network string `json:"network"`
	Kind    string `json:"kind"` // "gap": units that are missing were passed; "filled": missing units below the place came, and their records do not
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Reason  string `json:"reason"`
}

// End says why a service ended a connection.
type End struct {
	Reason string `json:"reason"` // "slow", "shutdown", "corrupt", …
	Detail string `json:"detail"`
}

// Stream gives what a query finds as units are committed, oldest first, until the caller stops or ctx ends. A connection
// that breaks, or that the service ends because the client was slow or the service stops, is made again and goes on
// where it was: no record is lost, and none comes twice. It gives up, with the last error, when several connections in a
// row brought nothing; at once when nobody answers in the beginning, when the service says no, or when it ends the stream
// for another reason (*EndError).
func (c *Client) Stream(ctx context.Context, s Stream) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		at := s // it may be asked for more than once
		began, idle := false, 0
		for {
			var h hearing
			err := c.listen(ctx, &at, &h, yield)
			if h.enough {
				return
			}
			began = began || h.began
			if idle++; h.heard {
				idle = 1
			}
			var broken *NoServiceError
			if !errors.As(err, &broken) || ctx.Err() != nil || !began || idle >= c.attempts {
				yield(Message{}, err)
				return
			}
			if err := c.wait(ctx, pause(idle, 0)); err != nil {
				yield(Message{}, err)
				return
			}
		}
	}
}

// hearing is what came of one connection.
type hearing struct {
	began  bool // it is a stream
	heard  bool // something came beside its start
	enough bool // the caller wants no more
}

// listen hears one connection to its end.
func (c *Client) listen(ctx context.Context, s *Stream, h *hearing, yield func(Message, error) bool) error {
	a, err := c.send(ctx, call{path: "/v1/stream", params: s.params(), accept: mediaSSE, flows: streamIdle})
	if err != nil {
		return err
	}
	defer a.Close()
	h.began = true
	events := eventReader{r: bufio.NewReaderSize(a, 16<<10)}
	for {
		e, err := events.next()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = a.broken(io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		h.heard = h.heard || e.name != "start"
		m, tells, err := e.message(s.Cursor)
		if err != nil {
			return err
		}
		s.Cursor = m.Cursor
		if tells && !yield(m, nil) {
			h.enough = true
			return nil
		}
		if m.End != nil {
			return a.ended(m.End)
		}
	}
}

func (s *Stream) params() url.Values {
	params := url.Values{"q": {s.Query}}
	if s.Network != "" {
		params.Set("network", s.Network)
	}
	switch {
	case s.Cursor != "":
		params.Set("cursor", s.Cursor)
	case s.Oldest:
		params.Set("from", "oldest")
	}
	return params
}

// EndError says that a service ended a stream for a reason that another connection does not cure.
type EndError struct{ End }

// Unwrap makes an end over damaged bytes a storage.ErrCorrupt.
func (e *EndError) Unwrap() error {
	if e.Reason == "corrupt" {
		return storage.ErrCorrupt
	}
	return nil
}

func (e *EndError) Error() string {
	return printable(fmt.Sprintf("the stream ended (%s): %s", e.Reason, e.Detail))
}

// ended returns the error of an end: one that another connection cures, or not.
func (a *answer) ended(end *End) error {
	if end.Reason == "slow" || end.Reason == "shutdown" {
		return &NoServiceError{Asked: a.asked, Err: &EndError{*end}}
	}
	return &EndError{*end}
}

// event is one block of a stream of server-sent events.
type event struct {
	id, name string
	data     []byte
}

// message reads an event behind the place at. tells: the caller is to hear it.
func (e event) message(at string) (m Message, tells bool, err error) {
	if m.Cursor = at; e.id != "" {
		m.Cursor = e.id
	}
	var into any
	switch e.name {
	case "start":
		m.Start = &Start{}
		into = m.Start
	case "record":
		m.Item = &query.Item{}
		into = m.Item
	case "notice":
		m.Notice = &Notice{}
		into = m.Notice
	case "end":
		m.End = &End{}
		into = m.End
	default: // a heartbeat, or what a later version tells
		return m, m.Cursor != at, nil
	}
	if err := json.Unmarshal(e.data, into); err != nil {
		return m, false, fmt.Errorf("the stream is not what this version reads: %s: %w", e.name, err)
	}
	return m, true, nil
}

// eventReader reads blocks, each up to an empty line.
type eventReader struct{ r *bufio.Reader }

// next returns the next block; one of comments alone is empty. It fails with io.EOF between blocks and with
// io.ErrUnexpectedEOF within one.
func (er *eventReader) next() (e event, err error) {
	began, size := false, 0
	for line := []byte(nil); ; {
		line = line[:0]
		if err := readLine(er.r, &line); err != nil {
			if err == io.EOF && began {
				err = io.ErrUnexpectedEOF
			}
			return e, err
		}
		if size += len(line); size > maxRow {
			return e, fmt.Errorf("the stream is not what this version reads: an event has more than %d bytes", maxRow)
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			return e, nil
		}
		began = true
		name, value, _ := bytes.Cut(text, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(name) {
		case "id":
			e.id = string(value)
		case "event":
			e.name = string(value)
		case "data":
			if e.data != nil {
				e.data = append(e.data, '\n')
			}
			e.data = append(e.data, value...)
		}
	}
}
