package iotanode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"permanode/internal/wire/frame"
	"permanode/internal/wire/iota"
	"permanode/ledger/rebased"
)

// frames reads the messages of one server stream. It belongs to one goroutine.
type frames struct {
	g      *GRPC
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	until  time.Time // when the checkpoint that is read must be here; zero outside of one
}

var desc = grpc.StreamDesc{ServerStreams: true}

// errSilent is why a stream was given up.
var errSilent = errors.New("no message within the timeout, or no whole checkpoint within several")

// open sends a question that a stream of messages answers. limit is what one checkpoint of it may have.
func (g *GRPC) open(ctx context.Context, method string, question []byte, limit int64) (*frames, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &frames{g: g, conn: g.connection(), ctx: ctx, cancel: cancel}
	f.timer = time.AfterFunc(g.cfg.Timeout, func() { cancel(errSilent) })
	s, err := f.conn.NewStream(ctx, &desc, method, grpc.MaxCallRecvMsgSize(int(min(maxFrame, limit+frameExtra))))
	if err == nil {
		err = s.SendMsg(frame.Bytes(question))
	}
	if err == nil {
		err = s.CloseSend()
	}
	if err != nil {
		err = f.explain(err)
		f.close()
		return nil, err
	}
	f.stream = s
	return f, nil
}

func (f *frames) close() {
	f.timer.Stop()
	f.cancel(nil)
}

func (f *frames) explain(err error) error {
	if errors.Is(context.Cause(f.ctx), errSilent) {
		f.g.leave(f.conn)
		return errSilent
	}
	return f.g.failure(err)
}

// next returns the next message; [io.EOF] is the end of the stream. Each message has the timeout.
func (f *frames) next() (*iota.CheckpointData, int, error) {
	if left := time.Until(f.until); !f.until.IsZero() && left < f.g.cfg.Timeout {
		f.timer.Reset(max(left, 0))
	} else {
		f.timer.Reset(f.g.cfg.Timeout)
	}
	var raw frame.Bytes
	err := f.stream.RecvMsg(&raw)
	if errors.Is(err, io.EOF) {
		return nil, 0, io.EOF
	}
	if err != nil {
		return nil, 0, f.explain(err)
	}
	m, err := iota.ParseCheckpointData(raw)
	return m, len(raw), err
}

// pause stops the clock while nobody reads.
func (f *frames) pause() { f.timer.Stop() }

// patience is how many timeouts a checkpoint may take, in however many messages; number 0 ten times as many.
const patience = 4

// errOrder says that messages are missing, or not those that the API promises.
var errOrder = errors.New("messages out of order")

// checkpoint reads the messages of checkpoint seq: its head, its transactions if they were asked for, its end. It
// returns [io.EOF] if the stream ends before the first of them.
func (f *frames) checkpoint(seq uint64, limit int64, whole bool) (*cone, error) {
	var c *cone
	var size int64
	f.until = time.Now().Add(patience * f.g.cfg.Timeout)
	if seq == 0 {
		f.until = time.Now().Add(10 * patience * f.g.cfg.Timeout)
	}
	for {
		m, n, err := f.next()
		switch {
		case errors.Is(err, io.EOF) && c != nil:
			return nil, fmt.Errorf("the stream ends inside of it: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return nil, err
		}
		if size += int64(n); size > limit {
			return nil, tooLarge(size, limit)
		}
		switch {
		case m.Progress != nil:
		case m.Checkpoint != nil && c != nil:
			return nil, fmt.Errorf("%w: another checkpoint begins before its end", errOrder)
		case m.Checkpoint != nil:
			if c, err = begin(m.Checkpoint, seq); err != nil {
				return nil, err
			}
		case c == nil:
			return nil, fmt.Errorf("%w: its messages do not begin with its summary", errOrder)
		case m.End != nil && *m.End != seq:
			return nil, fmt.Errorf("%w: the end of checkpoint %d comes instead of its own", errOrder, *m.End)
		case m.End != nil:
			return c, nil
		case whole:
			for i := range m.Transactions {
				raw, err := raw(&m.Transactions[i])
				if err != nil {
					return nil, fmt.Errorf("transaction %d: %w", len(c.raws), err)
				}
				c.raws = append(c.raws, raw)
			}
		}
	}
}

// begin makes a head of the first message of checkpoint seq. A stream that leaves one out is in error.
func begin(m *iota.Checkpoint, seq uint64) (*cone, error) {
	switch {
	case m.Seq != nil && *m.Seq != seq:
		return nil, fmt.Errorf("%w: checkpoint %d comes instead", errOrder, *m.Seq)
	case m.Summary == nil || m.Signature == nil || m.Contents == nil:
		return nil, errors.New("its summary, signature or contents are left out")
	}
	head := make([]byte, 0, len(m.Summary)+len(m.Signature)+len(m.Contents))
	head = append(append(append(head, m.Summary...), m.Signature...), m.Contents...)
	return &cone{head: head}, nil
}

// raw frames one transaction.
func raw(t *iota.Transaction) ([]byte, error) {
	if t.Data == nil || t.Effects == nil {
		return nil, errors.New("its data or effects are left out")
	}
	return rebased.Pieces{
		Transaction: t.Data, Signatures: t.Signatures, Effects: t.Effects, Events: t.Events, Inputs: t.Inputs, Outputs: t.Outputs,
	}.Raw(), nil
}
