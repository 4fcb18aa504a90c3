package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"permanode/query"
)

// The limits of a WebSocket.
const (
	maxTopicsOf  = 100      // subscriptions of one connection
	maxFrame     = 64 << 10 // bytes that a client may send at once
	maxRefused   = 20       // frames that may be wrong
	maxTopicName = 64
	pongTime     = 3 * query.Heartbeat
	closeTime    = 2 * time.Second // for the other side to answer a close
	askRate      = 20              // what is asked a second, after the first hundred
)

// ws is GET /v1/ws: what streams send, over a WebSocket, for several questions at once.
func (a *service) ws(ctx context.Context, q *request) (writer, error) {
	if !websocket.IsWebSocketUpgrade(q.http) {
		return nil, problem("upgrade-required", "this is a WebSocket: open it as ws://…%s; the same messages come over HTTP at /v1/stream", q.route.pattern)
	}
	if !a.sites.sameSite(q.http) {
		return nil, problem("cross-site", "a page of another origin (%s) opens this: list it in api.cors of the config, if it may", query.Quote(q.http.Header.Get("Origin")))
	}
	return func(w http.ResponseWriter) error {
		smallBuffer(q.http)
		up := websocket.Upgrader{
			WriteBufferPool: &frames, WriteBufferSize: 4 << 10,
			CheckOrigin: func(*http.Request) bool { return true }, // judged above
			Error:       func(http.ResponseWriter, *http.Request, int, error) {},
		}
		conn, err := up.Upgrade(hijackable{w}, q.http, http.Header{"X-Request-Id": w.Header().Values("X-Request-Id")})
		if err != nil {
			return problem("upgrade-required", "the WebSocket cannot be opened (%v): use HTTP/1.1 and version 13 of the protocol", err)
		}
		s := &socket{a: a, q: q, conn: conn, id: w.Header().Get("X-Request-Id"), subs: map[string]*subscription{}}
		return s.run(ctx)
	}, nil
}

// frames are the write buffers of all WebSockets.
var frames sync.Pool

// hijackable is what gorilla's upgrader asks for.
type hijackable struct{ http.ResponseWriter }

// Hijack takes the connection over.
func (w hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return &corked{Conn: c, turn: make(chan struct{}, 1), until: time.Now().Add(usual.stream)}, rw, err
}

// corked is a connection that can hold back what is written, so that many frames leave as one piece. A write waits for
// its turn no longer than its deadline: a close need not wait for a client that is stuck.
type corked struct {
	net.Conn
	until time.Time     // deadline of the next write; of the one goroutine that gorilla lets write
	turn  chan struct{} // full while somebody writes; guards what follows
	buf   *[]byte       // nil: nothing is held back
	err   error         // of a piece; the connection is of no use then

	pace *framePace // nil: not yet; of the reader
}

// Read takes frames no faster than they may come.
func (c *corked) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.pace != nil {
		c.pace.take(b[:n])
	}
	return n, err
}

// SetWriteDeadline is for the next write alone, not for the one that goes on.
func (c *corked) SetWriteDeadline(t time.Time) error {
	if c.until = t; t.IsZero() { // no deadline, says gorilla
		c.until = time.Now().Add(usual.stream)
	}
	return nil
}

// take waits for its turn.
func (c *corked) take(until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func (c *corked) free() { <-c.turn }

// Write writes, or holds back.
func (c *corked) Write(b []byte) (int, error) {
	if err := c.take(c.until); err != nil {
		return 0, err
	}
	defer c.free()
	switch {
	case c.err != nil:
		return 0, c.err
	case c.buf == nil:
		_ = c.Conn.SetWriteDeadline(c.until)
		return c.Conn.Write(b)
	}
	*c.buf = append(*c.buf, b...)
	return len(b), nil
}

// cork holds back what is written from now on.
func (c *corked) cork(until time.Time) error {
	if err := c.take(until); err != nil {
		return err
	}
	defer c.free()
	c.buf = pieces.Get().(*[]byte)
	*c.buf = (*c.buf)[:0]
	return c.err
}

// uncork writes what was held back.
func (c *corked) uncork(until time.Time) error {
	if err := c.take(until); err != nil {
		return err
	}
	defer c.free()
	if len(*c.buf) > 0 && c.err == nil {
		_ = c.Conn.SetWriteDeadline(until)
		_, c.err = c.Conn.Write(*c.buf)
	}
	pieces.Put(c.buf)
	c.buf = nil
	return c.err
}

// socket is one WebSocket. The handler's goroutine reads; each subscription writes from its own.
type socket struct {
	a    *service
	q    *request
	conn *websocket.Conn
	id   string // of the request

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	once   sync.Once // of end

	write sync.Mutex // one writer at a time

	mu   sync.Mutex // guards what follows
	over bool       // a close was sent
	subs map[string]*subscription

	refused int // frames; of the reader
	asked   int // subscriptions; of the reader
}

// subscription is one stream of a socket.
type subscription struct {
	s      *socket
	id     string
	head   string // `"id":…` as JSON
	lines  *sublines
	bytes  uint64 // that were sent of it; of its goroutine
	cancel context.CancelFunc
	done   chan struct{} // closed when its client was told of its end
}

// run answers until the client goes, the service stops, or the client breaks a rule.
func (s *socket) run(ctx context.Context) error {
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.work.Go(func() {
		<-s.ctx.Done()
		if errors.Is(context.Cause(s.ctx), errRevoked) {
			s.end(websocket.ClosePolicyViolation, "unauthorized: the key is taken away, or its role")
		}
		s.end(websocket.CloseGoingAway, "shutdown: the service is stopping; come again in a moment")
	})
	s.work.Go(s.ping)
	if under, ok := s.conn.NetConn().(*corked); ok {
		under.pace = newFramePace(s.ctx)
	}
	err := s.read()
	var answered *websocket.CloseError
	if !errors.As(err, &answered) {
		_ = s.conn.SetReadDeadline(time.Now().Add(closeTime)) // what was sent already must not reset the connection: the code would be lost
		_, _ = io.CopyN(io.Discard, s.conn.NetConn(), maxBody)
	}
	s.cancel()
	_ = s.conn.Close() // ends writes that are stuck
	s.work.Wait()
	return nil
}

// end closes the connection once: with a code and a reason, if the client still reads.
func (s *socket) end(code int, reason string) {
	s.once.Do(func() {
		s.mu.Lock()
		s.over = true
		s.mu.Unlock()
		s.cancel()
		_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeTime))
		_ = s.conn.SetReadDeadline(time.Now().Add(closeTime))
	})
}

// alive gives the client time to be heard again: what it sends counts, and not only pongs, which may wait behind much else.
func (s *socket) alive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = s.conn.SetReadDeadline(time.Now().Add(pongTime))
	}
}

func (s *socket) ping() {
	tick := time.NewTicker(query.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			_ = s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(query.Heartbeat)) // one that cannot be sent has no pong
		}
	}
}

// read takes frames until the connection ends, and returns why.
func (s *socket) read() error {
	s.conn.SetReadLimit(maxFrame)
	s.conn.SetPongHandler(func(string) error {
		s.alive()
		return nil
	})
	s.conn.SetPingHandler(func(data string) error {
		s.alive()
		_ = s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(closeTime)) // a broken connection shows elsewhere
		return nil
	})
	asked := rate.NewLimiter(askRate, maxTopicsOf)
	for {
		s.alive()
		kind, frame, err := s.conn.ReadMessage()
		switch {
		case errors.Is(err, websocket.ErrReadLimit):
			s.end(websocket.CloseMessageTooBig, fmt.Sprintf("a frame has at most %d bytes", maxFrame))
			return err
		case isTimeout(err):
			s.end(websocket.ClosePolicyViolation, fmt.Sprintf("no pong: nothing was heard for %s", pongTime))
			return err
		case err != nil:
			return err
		case s.ctx.Err() != nil || asked.Wait(s.ctx) != nil:
			continue // a close was sent: the client's is waited for
		case kind != websocket.TextMessage:
			s.end(websocket.CloseUnsupportedData, "send text frames")
		case !utf8.Valid(frame):
			s.end(websocket.CloseInvalidFramePayloadData, "the text is not UTF-8")
		default:
			s.take(frame)
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// take does what a frame asks for.
func (s *socket) take(frame []byte) {
	id, err := s.obey(frame)
	if err == nil {
		return
	}
	p := problemOf(err)
	if !p.is("rate-limited") { // who asks too often may ask again
		s.refused++
	}
	if s.refused > maxRefused {
		s.end(websocket.ClosePolicyViolation, fmt.Sprintf("%d frames were refused", s.refused))
		return
	}
	s.a.logFailed(p, s.id, err)
	var name *string
	if id != "" {
		name = &id
	}
	_ = s.tell(struct {
		Type    string          `json:"type"`
		ID      *string         `json:"id"` // null: the frame names none
		Problem json.RawMessage `json:"problem"`
	}{"error", name, p.encode(s.id)})
}

// asking is what a client may ask of its socket.
type asking struct {
	ID      string `json:"id"`
	Q       string `json:"q"`
	Network string `json:"network"`
	From    string `json:"from"`
	Cursor  string `json:"cursor"`
}

// obey reads a frame and does it. It returns the subscription that the frame names.
func (s *socket) obey(frame []byte) (string, error) {
	const subscribe, unsubscribe = "subscribe", "unsubscribe"
	var ask map[string]json.RawMessage
	if err := strictJSON(frame, &ask, subscribe, unsubscribe); err != nil {
		return "", err
	}
	if len(ask) != 1 {
		return "", problem("bad-body", "the frame has %d members: send one, %s or %s", len(ask), subscribe, unsubscribe)
	}
	var r asking
	if raw, ok := ask[unsubscribe]; ok {
		if err := strictJSON(raw, &r, "id"); err != nil {
			return "", err
		}
		return r.ID, s.unsubscribe(r.ID)
	}
	if err := strictJSON(ask[subscribe], &r, "id", "q", "network", "from", "cursor"); err != nil {
		return "", err
	}
	if r.ID == "" || len(r.ID) > maxTopicName || strings.ContainsFunc(r.ID, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", problem("bad-parameter", "the id %s is empty, longer than %d bytes or not printable ASCII: name the subscription", query.Quote(r.ID), maxTopicName)
	}
	return r.ID, s.subscribe(r)
}

// strictJSON reads an object of a frame.
func strictJSON(raw []byte, into any, members ...string) error {
	wanted := strings.Join(members, ", ")
	if err := checkJSON(raw, members); err != nil {
		return problem("bad-body", "the frame %v; send one JSON object with %s", err, wanted)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return problem("bad-body", "the frame has a member of the wrong kind (%v); send one JSON object with %s, all of them texts", err, wanted)
	}
	return nil
}

// subscribe begins a stream, or leaves a line of why not.
func (s *socket) subscribe(r asking) error {
	lines := s.lines(r)
	err := s.begin(r, lines)
	if err != nil {
		lines.refused(err)
	}
	return err
}

func (s *socket) begin(r asking, lines *sublines) error {
	if !s.a.mayStill(s.q) {
		s.end(websocket.ClosePolicyViolation, "unauthorized: the key is taken away, or its role")
		return problem("unauthorized", "the key is taken away, or its role: ask the operator")
	}
	if p := s.a.admitTopic(s.q, lines.event.Params); p != nil {
		return p
	}
	s.mu.Lock()
	_, taken := s.subs[r.ID]
	open := len(s.subs)
	s.mu.Unlock()
	if taken {
		return problem("bad-parameter", "the subscription %s is open: unsubscribe first, or take another id", query.Quote(r.ID))
	}
	if open >= maxTopicsOf {
		return problem("overloaded", "%d subscriptions are open on this connection, the most there may be: unsubscribe one", open)
	}
	judge, stop := context.WithTimeout(s.ctx, usual.handler)
	defer stop()
	w, err := s.a.openStream(judge, query.StreamRequest{Query: r.Q, Network: r.Network, Cursor: r.Cursor}, r.From)
	if err != nil {
		return err
	}
	c, err := s.a.streams.Join(judge, w, s.a.sharer(s.q.caller))
	if err != nil {
		return err
	}
	if err := lines.begin(judge, w.Query()); err != nil {
		c.Leave()
		return err
	}
	name, _ := json.Marshal(r.ID) // a text
	sub := &subscription{s: s, id: r.ID, head: `"id":` + string(name), lines: lines, done: make(chan struct{})}
	var ctx context.Context
	ctx, sub.cancel = context.WithCancel(s.ctx)
	s.mu.Lock()
	s.subs[r.ID] = sub
	s.mu.Unlock()
	s.work.Go(func() { sub.run(ctx, c) })
	return nil
}

func (s *socket) unsubscribe(id string) error {
	s.mu.Lock()
	sub := s.subs[id]
	s.mu.Unlock()
	if sub == nil {
		return problem("bad-parameter", "there is no subscription %s on this connection", query.Quote(id))
	}
	sub.cancel()
	<-sub.done // its id and its place are free, whatever the next frame asks for
	return nil
}

// run sends what a subscription gets, and says why it ends.
func (sub *subscription) run(ctx context.Context, c *query.Stream) {
	defer close(sub.done)
	defer sub.cancel()
	err := sub.follow(ctx, c)
	end := query.StreamEnd{Reason: "unsubscribed", Detail: "the client asked for it"}
	if ctx.Err() == nil {
		end, _ = endOf(ctx, err)
	}
	s := sub.s
	s.mu.Lock()
	delete(s.subs, sub.id)
	s.q.noted.rows += c.Rows()
	s.mu.Unlock()
	told := false
	switch {
	case s.ctx.Err() != nil:
	case errors.Is(err, errGone):
		s.end(websocket.ClosePolicyViolation, fmt.Sprintf("slow: a message was not taken within %s", usual.stream))
	case errors.Is(err, query.ErrSlow):
		s.end(websocket.ClosePolicyViolation, "slow: too many messages wait; come again with the last cursor")
	default:
		s.a.noteEnd(c.Query(), end, err)
		if data, err := query.EncodeJSON(end); err == nil {
			told = sub.say([][]byte{[]byte(`{"type":"end",`), []byte(sub.head), []byte(`,"data":`), data[:len(data)-1], []byte("}")}) == nil
		}
	}
	sub.lines.end(c.Rows(), sub.bytes, told)
}

// follow sends what comes. A bug ends this subscription alone: nobody else would catch it here.
func (sub *subscription) follow(ctx context.Context, c *query.Stream) (err error) {
	defer c.Leave()
	defer func() {
		if fault := recover(); fault != nil {
			sub.s.a.metrics.panics.Inc()
			sub.s.a.Log.Error("subscription panicked", "request_id", sub.s.id, "err", fault, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	first, err := c.Start()
	if err == nil {
		err = sub.Send([]*query.Message{first})
	}
	if err == nil {
		err = c.Run(ctx, sub)
	}
	return err
}

// say sends frames, and counts what was sent.
func (sub *subscription) say(frames ...[][]byte) error {
	err := sub.s.send(frames...)
	if err != nil {
		return err
	}
	for _, parts := range frames {
		for _, p := range parts {
			sub.bytes += uint64(len(p))
		}
	}
	return nil
}

// Send sends each message as a frame.
func (sub *subscription) Send(batch []*query.Message) error {
	frames := make([][][]byte, 0, len(batch))
	for _, msg := range batch {
		frames = append(frames, [][]byte{
			[]byte(`{"type":"` + msg.Event + `",`), []byte(sub.head), []byte(`,"cursor":"` + msg.Cursor + `","data":`), msg.Data, []byte("}"),
		})
	}
	return sub.say(frames...)
}

// Beat tells where the stream is; the connection itself is kept alive by pings.
func (sub *subscription) Beat(cursor string) error {
	if cursor == "" {
		return nil
	}
	return sub.say([][]byte{[]byte(`{"type":"position",`), []byte(sub.head), []byte(`,"cursor":"` + cursor + `"}`)})
}

func (s *socket) tell(v any) error {
	data, err := query.EncodeJSON(v)
	if err != nil {
		return err
	}
	return s.send([][]byte{data[:len(data)-1]})
}

// send sends text frames, each in parts, as one piece.
func (s *socket) send(frames ...[][]byte) error {
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	under, _ := s.conn.NetConn().(*corked)
	s.write.Lock()
	defer s.write.Unlock()
	until := time.Now().Add(usual.stream)
	_ = s.conn.SetWriteDeadline(until)
	err := under.cork(until)
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	for _, parts := range frames {
		*buf = (*buf)[:0]
		for _, p := range parts {
			*buf = append(*buf, p...)
		}
		if err = s.conn.WriteMessage(websocket.TextMessage, *buf); err != nil {
			break
		}
		s.q.noted.bytes += uint64(len(*buf))
	}
	if err = errors.Join(err, under.uncork(until)); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}
