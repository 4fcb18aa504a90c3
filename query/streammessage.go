package query

import (
	"context"
	"fmt"
	"slices"

	"permanode/ledger"
)

// The events of a stream.
const (
	eventStart  = "start"
	eventRecord = "record"
	eventNotice = "notice"
)

// The kinds of notices.
const (
	noticeGap    = "gap"    // the stream passed units that are missing
	noticeFilled = "filled" // units that it had passed were committed: their records do not come any more
)

// Notice tells of records that a stream does not bring.
type Notice struct {
	Network string `json:"network"`
	Kind    string `json:"kind"` // "gap" or "filled"
	From    uint64 `json:"from"`
	To      uint64 `json:"to"`
	Reason  string `json:"reason"`
}

// StreamStart is what a stream begins with.
type StreamStart struct {
	Query    string   `json:"query"` // canonical text
	Networks []string `json:"networks"`
}

// StreamEnd is why a stream ended.
type StreamEnd struct {
	Reason string `json:"reason"` // one word
	Detail string `json:"detail"` // what happened, and what to do
}

// found is a message of one network before it has its cursor.
type found struct {
	event string
	data  []byte     // JSON, one line
	at    ledger.Ord // the place behind it
}

func newFound(event string, v any, at ledger.Ord) (found, error) {
	data, err := EncodeJSON(v)
	if err != nil {
		return found{}, err
	}
	return found{event, data[:len(data)-1], at}, nil // without the line's end
}

// Message is one message of a stream, encoded once for all who get it.
type Message struct {
	Event  string // "start", "record" or "notice"
	Cursor string // the place behind it
	Data   []byte // JSON, one line, without its end; inside Block
	Block  []byte // as server-sent event

	at marks // which Cursor tells
}

// message is f in a stream that is at the place at behind it.
func (w *Watch) message(f found, at marks) *Message {
	msg := &Message{Event: f.event, at: slices.Clone(at), Cursor: at.cursor(w.networks, w.asked)}
	head := fmt.Sprintf("id: %s\nevent: %s\ndata: ", msg.Cursor, f.event)
	msg.Block = make([]byte, 0, len(head)+len(f.data)+2)
	msg.Block = append(append(append(msg.Block, head...), f.data...), "\n\n"...)
	msg.Data = msg.Block[len(head) : len(msg.Block)-2]
	return msg
}

// size is about what a message takes in memory.
func (msg *Message) size() int64 {
	return int64(len(msg.Block) + len(msg.Cursor) + 16*len(msg.at) + 160)
}

// gaps are the notices of what is missing of a network in the units from..to.
func (w *Watch) gaps(ctx context.Context, n Network, from, to uint64) (out []found, err error) {
	e, err := w.a.Extent(ctx, n)
	if err != nil {
		return nil, err
	}
	for _, g := range e.Gaps {
		if lo, hi := max(g.From, from), min(g.To, to); lo <= hi {
			f, err := newFound(eventNotice, Notice{n.Name, noticeGap, lo, hi, g.Reason}, ledger.Ord{Seq: hi + 1})
			if err != nil {
				return nil, err
			}
			out = append(out, f)
		}
	}
	return out, nil
}
