package query

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"
)

// response is the http.ResponseWriter of every handler: it knows what was sent. Flush, Hijack and the deadlines of
// http.ResponseController work through it.
type response struct {
	http.ResponseWriter
	ctl      *http.ResponseController
	status   int   // 0: nothing was sent yet
	bytes    int64 // of the body, as the handler wrote it
	hijacked bool
	progress func() // told of every piece that the client took; nil: nobody asks
}

func newResponse(w http.ResponseWriter) *response {
	return &response{ResponseWriter: w, ctl: http.NewResponseController(w)}
}

// Unwrap lets http.ResponseController find the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the headers once; more of them are a handler's mistake that the client need not see.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends a piece of the body.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
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
	err := w.ctl.Flush()
	if err == nil && w.progress != nil {
		w.progress()
	}
	return err
}

// Hijack gives the connection away, to a handler of WebSockets.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := w.ctl.Hijack()
	if err == nil {
		w.hijacked = true
		if w.status == 0 {
			w.status = http.StatusSwitchingProtocols
		}
	}
	return c, rw, err
}

// prepare gives a request the context and the deadlines of its class. end must be called when the answer is sent.
func (w *response) prepare(r *http.Request, of class) (ctx context.Context, end context.CancelFunc) {
	_ = w.ctl.SetReadDeadline(time.Time{}) // all is read; a deadline that strikes later would end the context
	switch of {
	case classExport:
		return w.follow(r.Context(), exportIdle, exportIdle)
	case classStream:
		return w.follow(r.Context(), streamWrite, 0)
	}
	return context.WithTimeout(r.Context(), handlerTime)
}

// follow returns a context that ends when the service does, and when the client took nothing for idle (0: it may).
// A write may take write.
func (w *response) follow(parent context.Context, write, idle time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
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
		w.progress = nil
		stop()
		if watchdog != nil {
			watchdog.Stop()
		}
		cancel(nil)
	}
}
