package iotanode

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"permanode/ingest"
	"permanode/internal/wire/frame"
	"permanode/internal/wire/iota"
	"permanode/ledger"
)

const (
	// maxFrame is the largest message taken: servers cut at what is asked for, but never inside a transaction.
	maxFrame = 128<<20 + frameExtra
	// frameExtra is what a message has beside the bytes of a checkpoint.
	frameExtra = 64 << 10
	// askFrame is the size of messages that is asked for.
	askFrame = 4 << 20
	maxInfo  = 1 << 20
	// parallelCalls bounds calls for single checkpoints, beside the stream.
	parallelCalls = 4
	// keepaliveAfter is how long a connection may be silent before it is asked for a sign of life; servers
	// refuse clients that ask more often than every 10 s.
	keepaliveAfter   = 20 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// GRPC is a node's gRPC API, version 1. Catch-up reads one stream of checkpoints ahead, within the window; what
// lies elsewhere, or does not come in time, is asked for alone. It is safe for concurrent use.
type GRPC struct {
	name  string
	cfg   Config
	dial  func() (*grpc.ClientConn, error)
	calls chan struct{} // one token a call for a single checkpoint
	whole chan struct{} // one token a call for the records of one
	shelf shelf

	mu      sync.Mutex // guards what follows
	conn    *grpc.ClientConn
	closed  bool
	said    nodeInfo
	last    uint64  // asked for last
	asked   bool    // something was asked
	stream  *stream // reads ahead; nil if none does
	broke   error   // how the last one broke its order, until somebody is told, and at which checkpoint
	brokeAt uint64
}

// NewGRPC returns the node at c.Address: grpc://HOST:PORT or http://HOST:PORT without TLS, grpcs:// or https://
// with it. It does not connect.
func NewGRPC(c Config) (*GRPC, error) {
	c = c.withDefaults()
	u, err := parseURL(c.Address, "grpc", "grpcs", "http", "https")
	if err != nil {
		return nil, err
	}
	if u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("address %q: a gRPC address has no path", publicName(u))
	}
	g := &GRPC{name: c.Name, cfg: c, calls: make(chan struct{}, parallelCalls), whole: make(chan struct{}, 1)}
	g.shelf.limit = c.Window
	if g.name == "" {
		g.name = u.Scheme + "://" + u.Host
	}
	options := dialOptions(u)
	g.dial = func() (*grpc.ClientConn, error) { return grpc.NewClient("passthrough:///"+hostPort(u), options...) }
	if g.conn, err = g.dial(); err != nil {
		return nil, fmt.Errorf("%s: %w", g.name, err)
	}
	return g, nil
}

func (g *GRPC) connection() *grpc.ClientConn {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn
}

// leave gives up a connection on which nothing came in time: it may be half open, and then only the keepalive
// would notice. Other calls on it end and are made again.
func (g *GRPC) leave(conn *grpc.ClientConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conn != conn || g.closed {
		return
	}
	fresh, err := g.dial()
	if err != nil {
		return // the old one may come back
	}
	g.conn = fresh
	_ = conn.Close() // it is given up
}

func secure(u *url.URL) bool { return u.Scheme == "grpcs" || u.Scheme == "https" }

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "50051"
		switch u.Scheme {
		case "https", "grpcs":
			port = "443"
		case "http":
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func dialOptions(u *url.URL) []grpc.DialOption {
	creds := insecure.NewCredentials()
	if secure(u) {
		creds = credentials.NewTLS(&tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12})
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(64 << 10),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frame.Codec{})),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveAfter, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
}

// Name returns the name for notes and status.
func (g *GRPC) Name() string { return g.name }

// Close ends the stream and the connection.
func (g *GRPC) Close() error {
	g.mu.Lock()
	s, conn := g.stream, g.conn
	g.stream, g.closed = nil, true
	g.mu.Unlock()
	if s != nil {
		s.stop()
	}
	return conn.Close()
}

// unary sends a question and returns the one answer.
func (g *GRPC) unary(ctx context.Context, method string, question []byte) ([]byte, error) {
	limit, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	conn := g.connection()
	var answer frame.Bytes
	err := conn.Invoke(limit, method, frame.Bytes(question), &answer, grpc.MaxCallRecvMsgSize(maxInfo))
	if err != nil && ctx.Err() == nil && limit.Err() != nil {
		g.leave(conn)
	}
	return answer, g.failure(err)
}

// failure turns a gRPC status into the words of the contract.
func (g *GRPC) failure(err error) error {
	switch status.Code(err) {
	case codes.OK:
		return err
	case codes.NotFound:
		return fmt.Errorf("%w (%s)", ingest.ErrUnknown, status.Convert(err).Message())
	case codes.Canceled:
		return context.Canceled
	}
	s := status.Convert(err)
	return fmt.Errorf("the node answers %s: %.300q", s.Code(), s.Message())
}

// Info asks the node for its network and range.
func (g *GRPC) Info(ctx context.Context) (ingest.Info, error) {
	n, err := g.serviceInfo(ctx)
	if err != nil {
		return ingest.Info{}, fmt.Errorf("%s: %w", g.name, err)
	}
	return n.info(), nil
}

func (g *GRPC) serviceInfo(ctx context.Context) (nodeInfo, error) {
	mask := iota.InfoRequest{Mask: []string{
		"chain_id", "chain", "epoch", "executed_checkpoint_height", "lowest_available_checkpoint",
		"lowest_available_checkpoint_objects", "server",
	}}
	raw, err := g.unary(ctx, iota.GetServiceInfo, mask.Append(nil))
	if err != nil {
		return nodeInfo{}, err
	}
	m, err := iota.ParseServiceInfo(raw)
	if err != nil {
		return nodeInfo{}, err
	}
	if len(m.ChainID) != 32 || m.Height == nil {
		return nodeInfo{}, errors.New("the answer names no network or no newest checkpoint")
	}
	if *m.Height > ledger.MaxSeq {
		return nodeInfo{}, fmt.Errorf("the answer names checkpoint %d, which is beyond the protocol's range", *m.Height)
	}
	n := nodeInfo{identity: hex.EncodeToString(m.ChainID), chain: m.Chain, server: m.Server, height: m.Height}
	for _, v := range []*uint64{m.Lowest, m.LowestObjects} {
		if v != nil {
			n.lowest = max(n.lowest, *v)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.said = n
	return n, nil
}

func (g *GRPC) heard() nodeInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said
}

// Head returns the head of checkpoint seq: certified summary and contents list.
func (g *GRPC) Head(ctx context.Context, seq uint64) ([]byte, error) {
	if head, ok := g.shelf.head(seq); ok {
		g.note(seq)
		return head, nil
	}
	if came, err := g.ahead(ctx, seq); err != nil {
		return nil, g.wrap(seq, err)
	} else if came {
		if head, ok := g.shelf.head(seq); ok {
			return head, nil
		}
	}
	c, err := g.one(ctx, seq, iota.HeadMask())
	if err != nil {
		return nil, g.wrap(seq, err)
	}
	return c.head, nil
}

// Cone returns checkpoint seq whole: its head, and its transactions in order, each in framed parts.
func (g *GRPC) Cone(ctx context.Context, seq uint64) ([]byte, [][]byte, error) {
	if c := g.taken(seq); c != nil {
		return c.head, c.raws, nil
	}
	if came, err := g.ahead(ctx, seq); err != nil {
		return nil, nil, g.wrap(seq, err)
	} else if came {
		if c := g.taken(seq); c != nil {
			return c.head, c.raws, nil
		}
	}
	if err := take(ctx, g.whole); err != nil {
		return nil, nil, err
	}
	defer func() { <-g.whole }()
	c, err := g.one(ctx, seq, iota.WholeMask())
	if err != nil {
		return nil, nil, g.wrap(seq, err)
	}
	return c.head, c.raws, nil
}

// taken takes a cone that was read ahead, which makes room for the stream.
func (g *GRPC) taken(seq uint64) *cone {
	c := g.shelf.take(seq)
	if c != nil {
		g.note(seq)
	}
	return c
}

// note remembers that seq was asked for, and wakes the stream.
func (g *GRPC) note(seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.asked = seq, true
	if g.stream != nil {
		g.stream.wake()
	}
}

// Fetch cannot be answered: transactions come with their checkpoint.
func (g *GRPC) Fetch(context.Context, []ledger.ID) ([][]byte, error) { return nil, ingest.ErrCannot }

// Claims cannot be answered: what became of a transaction stands in its effects.
func (g *GRPC) Claims(context.Context, uint64, []ledger.ID) (*ledger.NodeClaims, error) {
	return nil, ingest.ErrCannot
}

func (g *GRPC) wrap(seq uint64, err error) error {
	return fmt.Errorf("%s: checkpoint %d: %w", g.name, seq, err)
}

// one asks for one checkpoint alone.
func (g *GRPC) one(ctx context.Context, seq uint64, mask []string) (*cone, error) {
	if seq < g.heard().lowest {
		return nil, ingest.ErrPruned
	}
	if err := take(ctx, g.calls); err != nil {
		return nil, err
	}
	defer func() { <-g.calls }()
	size := uint64(askFrame)
	req := iota.CheckpointRequest{Seq: &seq, Mask: mask, MaxMessage: &size}
	r, err := g.open(ctx, iota.GetCheckpoint, req.Append(nil), g.cfg.limit(seq))
	if err != nil {
		return nil, err
	}
	defer r.close()
	c, err := r.checkpoint(seq, g.cfg.limit(seq), len(mask) > len(iota.HeadMask()))
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return c, err
}
