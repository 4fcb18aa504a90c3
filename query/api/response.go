package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// response is the http.ResponseWriter of every handler. It answers If-None-Match, encodes, keeps what a key may read out
// of shared caches, and knows what was sent. Flush, Hijack and the deadlines of http.ResponseController work through it.
type response struct {
	http.ResponseWriter
	r        *http.Request
	keys     bool // what is read needs a key
	times    *times
	accepted coding
	ctl      *http.ResponseController
	status   int   // 0: nothing was sent yet
	bytes    int64 // of the body, as sent
	hijacked bool
	length   int       // of a whole body that is to be encoded; -1: of none
	mute     bool      // HEAD, or nothing changed: no body
	encoder  encoder   // nil: sent as it is
	progress func()    // told of every piece that the client took; nil: nobody asks
	long     bool      // what is sent now can still fail
	under    lingering // its end is a reset until all is sent; nil: it ends as usual
}

func newResponse(w http.ResponseWriter, r *http.Request, keys bool, t *times) *response {
	return &response{times: t, length: -1, ResponseWriter: w, r: r, keys: keys, ctl: http.NewResponseController(w), mute: r.Method == http.MethodHead}
}

// Unwrap lets http.ResponseController find the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the headers once; more of them are a handler's mistake that the client need not see.
func (w *response) WriteHeader(status int) {
	switch {
	case w.status != 0:
		return
	case status < 200:
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = w.settle(status)
	if w.ends() {
		w.arm()
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// settle completes the headers: who may keep the answer, its encoding, and whether it changed at all.
func (w *response) settle(status int) int {
	h := w.Header()
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if h.Get("Cache-Control") != "no-store" {
		h.Add("Vary", "Accept-Encoding")
		if w.keys {
			h.Add("Vary", "Authorization")
			h.Set("Cache-Control", strings.Replace(h.Get("Cache-Control"), "public", "private", 1))
		}
	}
	if !w.r.ProtoAtLeast(1, 1) {
		h.Del("Trailer") // none can come
	}
	code := w.coding(status)
	if tag := h.Get("ETag"); tag != "" && code.name != "" {
		h.Set("ETag", strings.TrimSuffix(tag, `"`)+"-"+code.name+`"`)
	}
	if status == http.StatusNotModified || status == http.StatusOK && w.unchanged() {
		for _, name := range []string{"Content-Type", "Content-Length", "Content-Disposition", "Accept-Ranges", "Trailer"} {
			h.Del(name)
		}
		w.mute = true
		return http.StatusNotModified
	}
	if code.name == "" {
		return status
	}
	w.length = -1
	if n, err := strconv.Atoi(h.Get("Content-Length")); err == nil {
		w.length = n
	}
	h.Set("Content-Encoding", code.name)
	h.Del("Content-Length")
	h.Del("Accept-Ranges") // of the encoded bytes there are no parts
	if !w.mute && w.length < 0 {
		w.encoder = code.open((*wire)(w))
	}
	return status
}

// unchanged says that the client has what it asks for: If-None-Match names it, in whatever encoding.
func (w *response) unchanged() bool {
	tag := w.Header().Get("ETag")
	if tag == "" || w.r.Method != http.MethodGet && w.r.Method != http.MethodHead {
		return false
	}
	for _, list := range w.r.Header.Values("If-None-Match") {
		for one := range strings.SplitSeq(list, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == "*" || plainTag(one) == plainTag(tag) {
				return true
			}
		}
	}
	return false
}

// plainTag is an entity tag without its encoding.
func plainTag(tag string) string {
	for _, c := range codings {
		if plain, ok := strings.CutSuffix(tag, "-"+c.name+`"`); ok {
			return plain + `"`
		}
	}
	return tag
}

// Write sends a piece of the body.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.mute:
		return len(b), nil
	case w.length >= 0 && len(b) == w.length:
		return len(b), w.encodeWhole(b)
	case w.length >= 0: // in pieces after all
		w.encoder, w.length = w.accepted.open((*wire)(w)), -1
		return w.encoder.Write(b)
	case w.encoder != nil:
		return w.encoder.Write(b)
	}
	return (*wire)(w).Write(b)
}

// encodeWhole encodes an answer that is all there before it sends it: a client that reads slowly holds no compressor.
func (w *response) encodeWhole(b []byte) error {
	var buf bytes.Buffer
	e := w.accepted.open(&buf)
	_, err := e.Write(b)
	if err = errors.Join(err, e.Close()); err != nil {
		return err
	}
	w.length = -1
	_, err = (*wire)(w).Write(buf.Bytes())
	return err
}

// wire is the connection behind a response, below its encoding.
type wire response

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	if err == nil && w.progress != nil {
		w.progress()
	}
	return n, err
}

// Flush sends what is buffered.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered, and says whether the connection took it.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.encoder != nil {
		if err := w.encoder.Flush(); err != nil {
			return err
		}
	}
	err := w.ctl.Flush()
	if err == nil && w.progress != nil {
		w.progress()
	}
	return err
}

// finish ends an answer. What was cut is not finished: its reader must see that.
func (w *response) finish() error {
	if e := w.encoder; e != nil {
		w.encoder = nil
		if err := e.Close(); err != nil {
			return err
		}
	}
	return w.disarm()
}

// Hijack gives the connection away, to a handler of WebSockets.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.status != 0 {
		return nil, nil, errors.New("hijack: an answer is under way")
	}
	c, rw, err := w.ctl.Hijack()
	if err == nil {
		w.hijacked, w.status = true, http.StatusSwitchingProtocols
	}
	return c, rw, err
}

// prepare gives a request the context and the deadlines of its class. end must be called when the answer is sent.
func (w *response) prepare(r *http.Request, of class) (ctx context.Context, end context.CancelFunc) {
	_ = w.ctl.SetReadDeadline(time.Time{}) // all is read; a deadline that strikes later would end the context
	switch of {
	case classExport:
		return w.follow(r.Context(), w.times.export, w.times.export)
	case classStream:
		return w.follow(r.Context(), w.times.stream, 0)
	}
	return context.WithTimeout(r.Context(), w.times.handler)
}

// follow returns a context that ends when the service does, and when the client took nothing for idle (0: it may).
// A write may take write.
func (w *response) follow(parent context.Context, write, idle time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	w.long = true
	stop := context.AfterFunc(closing(parent), func() { cancel(errClosing) })
	var watchdog *time.Timer
	if idle > 0 {
		watchdog = time.AfterFunc(idle, func() { cancel(errNoProgress) })
	}
	last := time.Time{}
	w.progress = func() {
		now := time.Now()
		if now.Sub(last) < time.Second {
			return
		}
		last = now
		if watchdog != nil {
			watchdog.Reset(idle)
		}
		_ = w.ctl.SetWriteDeadline(now.Add(write))
	}
	w.progress()
	return ctx, func() {
		w.progress, w.long = nil, false
		stop()
		if watchdog != nil {
			watchdog.Stop()
		}
		cancel(nil)
	}
}
