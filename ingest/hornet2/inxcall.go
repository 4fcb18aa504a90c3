package hornet2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"permanode/ingest"
	"permanode/internal/wire/frame"
)

const (
	// frameExtra is what a message has at most beside a block or milestone: metadata and frames.
	frameExtra = 4 << 10
	// leastRate, in bytes a second, is how fast a stream must come on the whole, after one timeout.
	leastRate = 64 << 10
)

// errSilent is why a call was given up.
var errSilent = errors.New("no answer within the timeout, or far too slow")

// dialINX prepares a connection; the first call makes it. There are no keepalive pings of our own: the server refuses
// clients that ping more often than every five minutes, and every call has a deadline. It pings us.
func dialINX(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithMaxHeaderListSize(64<<10),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frame.Codec{})),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}

// begin returns the connection for a call.
func (n *INX) begin() *grpc.ClientConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent.IsZero() {
		n.silent = time.Now()
	}
	return n.conn
}

// heard says that something came on a connection.
func (n *INX) heard(conn *grpc.ClientConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn == conn {
		n.silent = time.Time{}
	}
}

// end looks at how a call on conn ended. A connection on which nothing came in time is given up: it may be half open,
// and nothing else would notice. That is so too if callers leave before the timeout, since others answered faster. Other
// calls on it end and are made again.
func (n *INX) end(ctx context.Context, conn *grpc.ClientConn, err error) {
	if !errors.Is(err, errSilent) && ctx.Err() == nil {
		n.heard(conn) // an answer, or that there is nobody
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	mute := !n.silent.IsZero() && time.Since(n.silent) >= n.timeout
	if n.conn != conn || n.closed || !errors.Is(err, errSilent) && !mute {
		return
	}
	fresh, err := dialINX(n.addr)
	if err != nil {
		return // the old one may come back
	}
	n.conn, n.silent = fresh, time.Time{}
	_ = conn.Close() // it is given up
}

// turn waits until another call may be made; the caller gives the token back.
func (n *INX) turn(ctx context.Context) error {
	select {
	case n.calls <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unary sends a question and returns the one answer of at most limit bytes.
func (n *INX) unary(ctx context.Context, method string, question []byte, limit int) ([]byte, error) {
	if err := n.turn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-n.calls }()
	conn := n.begin()
	answer, err := invoke(ctx, conn, n.timeout, method, question, limit)
	n.end(ctx, conn, err)
	return answer, err
}

func invoke(ctx context.Context, conn *grpc.ClientConn, timeout time.Duration, method string, question []byte, limit int) ([]byte, error) {
	limited, cancel := context.WithTimeoutCause(ctx, timeout, errSilent)
	defer cancel()
	var answer frame.Bytes
	err := conn.Invoke(limited, method, frame.Bytes(question), &answer, grpc.MaxCallRecvMsgSize(limit))
	return answer, failure(limited, err)
}

// failure turns a gRPC status into the words of the contract. ctx is that of the call; where it ended, its cause is
// the reason.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.NotFound, codes.InvalidArgument: // a unit that is not confirmed yet is an invalid argument
		return fmt.Errorf("%w (%.300q)", ingest.ErrUnknown, s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("%w (%.300q)", ingest.ErrCannot, s.Message())
	}
	return fmt.Errorf("the node answers %s: %.300q", s.Code(), s.Message())
}

var inxStream = grpc.StreamDesc{ServerStreams: true}

// openStream sends a question that a stream of messages answers, until ctx ends.
func openStream(ctx context.Context, conn *grpc.ClientConn, method string, question []byte) (grpc.ClientStream, error) {
	s, err := conn.NewStream(ctx, &inxStream, method, grpc.MaxCallRecvMsgSize(maxBlock+frameExtra))
	if err == nil {
		err = s.SendMsg(frame.Bytes(question))
	}
	if err == nil {
		err = s.CloseSend()
	}
	return s, err
}

// stream sends a question and calls do with each message of the answer, which is whole when it returns nil. The first
// message has the timeout; then what came, counted with blockCost a message, buys time at leastRate, and no pause may be
// longer than the timeout: a node that trickles is given up as one that is silent.
func (n *INX) stream(ctx context.Context, method string, question []byte, do func(message []byte) error) error {
	if err := n.turn(ctx); err != nil {
		return err
	}
	defer func() { <-n.calls }()
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn := n.begin()
	err := n.read(limited, cancel, conn, method, question, do)
	n.end(ctx, conn, err)
	return err
}

func (n *INX) read(ctx context.Context, cancel context.CancelCauseFunc, conn *grpc.ClientConn, method string, question []byte, do func(message []byte) error) error {
	began := time.Now()
	silence := time.AfterFunc(n.timeout, func() { cancel(errSilent) })
	defer silence.Stop()
	s, err := openStream(ctx, conn, method, question)
	for size := int64(0); err == nil; {
		var message frame.Bytes
		if err = s.RecvMsg(&message); err != nil {
			break
		}
		n.heard(conn)
		if err := do(message); err != nil {
			return err
		}
		size += int64(len(message)) + blockCost
		until := began.Add(n.timeout + time.Duration(size)*time.Second/leastRate)
		silence.Reset(max(0, min(n.timeout, time.Until(until))))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return failure(ctx, err)
}
