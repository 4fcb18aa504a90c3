package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"permanode/query"
)

// times are how long everything may take.
type times struct {
	header, body, idle time.Duration
	handler            time.Duration
	stop               time.Duration // running requests may finish for so long
	export             time.Duration // an export ends when nothing was taken of it for so long
	stream             time.Duration // a message that a client does not take for so long ends its stream
}

// The limits of the HTTP server, from the abuse table of the design.
var usual = times{
	header: 5 * time.Second, body: 10 * time.Second, idle: 60 * time.Second, handler: 30 * time.Second,
	stop: 5 * time.Second, export: 10 * time.Minute, stream: 30 * time.Second,
}

const (
	maxBody        = 1 << 20
	maxHeader      = 16 << 10
	maxURL         = 16 << 10 // a query of 4,096 bytes, each escaped, and what belongs to it
	maxRead        = 96 << 10 // what the server reads of headers, so that maxHeader can be told in our own words
	maxConnections = 4096     // fewer where few files may be open
)

// parallel is how many requests of a class may be in work at once. Each class has a pool of its own, so that exports
// and streams never starve the others.
var parallel = [...]int{classPlain: 256, classProbe: 64, classSearch: 64, classExport: 16, classStream: 2048}

var (
	// errClosing is the cause of the end of the context of exports and streams when the service stops.
	errClosing = errors.New("the service is stopping")
	// errNoProgress is the cause of the end of an export whose client takes nothing.
	errNoProgress = errors.New("the client took nothing for too long")
)

type closingKey struct{}

// closing returns the context that ends when the service begins to stop.
func closing(ctx context.Context) context.Context {
	if c, ok := ctx.Value(closingKey{}).(context.Context); ok {
		return c
	}
	return context.Background()
}

// MaxURL is the length of the longest path and query, as they are sent, that the API takes.
const MaxURL = maxURL

// CheckListen judges where the API is to listen: a host and a port. Without keys everybody who reaches it may do
// everything, so the address must be one of this machine alone.
func CheckListen(addr string, keys bool) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return fmt.Errorf("listen address %s is no host:port: write it like 127.0.0.1:8080", query.Quote(addr))
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("listen address %s: %s is no port: use a number from 0 to 65535", query.Quote(addr), query.Quote(port))
	}
	if keys || IsLoopback(addr) {
		return nil
	}
	return fmt.Errorf("listen address %s can be reached from other machines, and there are no access keys: name api.keys_file (permanode key new makes a key), or use 127.0.0.1, ::1 or localhost", query.Quote(addr))
}

// IsLoopback says whether only this machine reaches an address with a port.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// Serve answers on ln until ctx ends, then ends streams and exports and lets other requests finish for at most five
// seconds. It closes ln and returns nil after a stop that ctx asked for. No handler runs any more when it returns.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	return serve(ctx, ln, h, log, usual, connectionsFor(fileLimit()))
}

func serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger, t times, connections int) error {
	limit := newConnections(connections)
	base, end := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), closingKey{}, ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	srv := &http.Server{
		Handler: handled(h, &running), BaseContext: func(net.Listener) context.Context { return base }, ConnContext: withConn,
		ReadHeaderTimeout: t.header, ReadTimeout: t.body, IdleTimeout: t.idle, WriteTimeout: t.handler + t.body,
		MaxHeaderBytes: maxRead, DisableGeneralOptionsHandler: true,
		ConnState: func(c net.Conn, state http.ConnState) {
			limit.changed(c, state)
			answered(c, state)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(refusing{ln, limit.gone}) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.stop)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}
