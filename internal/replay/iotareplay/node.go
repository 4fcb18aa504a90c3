package iotareplay

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"permanode/internal/wire/frame"
	"permanode/internal/wire/iota"
)

// Do says what becomes of a message that the node is about to send.
type Do uint8

// The things that a [Trick] can do.
const (
	Send  Do = 0
	Skip  Do = 1 // leave it out
	Cut   Do = 2 // end the call with the status Unavailable
	End   Do = 3 // end the call as if all had been sent
	Stall Do = 4 // send nothing any more, and do not end
)

// Call is the message in question: Index counts the messages of the call from 0, Number the calls of the node from 1.
type Call struct {
	Method string // as in package iota
	Seq    uint64 // of the checkpoint, 0 in calls about none
	Index  int
	Number int
}

// A Trick may change a message, and says what becomes of it. It is called from several goroutines.
type Trick func(c Call, message []byte) ([]byte, Do)

// Node serves a chain as a node. It is safe for concurrent use.
type Node struct {
	chain *Chain

	mu     sync.Mutex // guards what follows
	tip    uint64
	lowest uint64
	moved  chan struct{} // closed, and made anew, when tip moves
	trick  Trick
	calls  int
	per    int
}

// NewNode returns a node that knows all of c.
func NewNode(c *Chain) *Node {
	return &Node{chain: c, tip: c.Last(), lowest: c.First(), moved: make(chan struct{}), per: 1 << 20}
}

// SetTip makes seq the newest checkpoint of the node, within the chain. Streams go on from there.
func (n *Node) SetTip(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tip = min(seq, n.chain.Last())
	close(n.moved)
	n.moved = make(chan struct{})
}

// SetLowest makes the node forget what lies below seq.
func (n *Node) SetLowest(seq uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lowest = max(seq, n.chain.First())
}

// SetTrick sets what becomes of messages from now on; nil sends them all.
func (n *Node) SetTrick(t Trick) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trick = t
}

// SetPerMessage bounds the transactions in one message.
func (n *Node) SetPerMessage(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.per = max(count, 1)
}

func (n *Node) span() (lowest, tip uint64, moved <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lowest, n.tip, n.moved
}

// Server is a node's gRPC server.
type Server struct {
	server *grpc.Server
	addr   string
	done   chan error
	stop   context.CancelFunc
}

// Serve answers gRPC on a listener until Stop. addr is host:port; port 0 is any free one.
func (n *Node) Serve(addr string) (*Server, error) {
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{addr: lis.Addr().String(), done: make(chan error, 1), stop: stop}
	s.server = grpc.NewServer(
		grpc.ForceServerCodecV2(frame.Codec{}), grpc.MaxSendMsgSize(1<<31-1), grpc.ConnectionTimeout(5*time.Second),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return n.handle(ctx, stream) }))
	go func() { s.done <- s.server.Serve(lis) }()
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.addr }

// Stop breaks all connections and waits for the end of all calls.
func (s *Server) Stop() {
	s.stop()
	s.server.Stop()
	<-s.done
}

// call is one gRPC call under way.
type call struct {
	Call
	node   *Node
	stream grpc.ServerStream
	end    context.Context // of the server
	trick  Trick
}

func (n *Node) handle(end context.Context, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var question frame.Bytes
	if err := stream.RecvMsg(&question); err != nil {
		return err
	}
	n.mu.Lock()
	n.calls++
	c := &call{Call: Call{Method: method, Number: n.calls}, node: n, stream: stream, end: end, trick: n.trick}
	n.mu.Unlock()
	switch method {
	case iota.GetServiceInfo:
		return c.send(n.info())
	case iota.GetHealth:
		_, tip, _ := n.span()
		return c.send((&iota.Health{Height: &tip}).Append(nil))
	case iota.GetEpoch:
		return c.epoch(question)
	case iota.GetCheckpoint:
		return c.checkpoint(question)
	case iota.StreamCheckpoints:
		return c.checkpoints(question)
	}
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

// errStop ends a call early, without an error to the client.
var errStop = errors.New("stop")

// over turns errStop into an orderly end.
func (c *call) over(err error) error {
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// send sends a message as the trick has it.
func (c *call) send(message []byte) error {
	do := Send
	if c.trick != nil {
		message, do = c.trick(c.Call, message)
	}
	c.Index++
	switch do {
	case Skip:
		return nil
	case Cut:
		return status.Error(codes.Unavailable, "the node breaks off")
	case End:
		return errStop
	case Stall:
		return c.wait(nil)
	}
	return c.stream.SendMsg(frame.Bytes(message))
}

// wait waits until the client or the server ends, or for wake.
func (c *call) wait(wake <-chan struct{}) error {
	select {
	case <-wake:
		return nil
	case <-c.stream.Context().Done():
		return c.stream.Context().Err()
	case <-c.end.Done():
		return status.Error(codes.Unavailable, "the node stops")
	}
}

func (n *Node) info() []byte {
	lowest, tip, _ := n.span()
	epoch := n.chain.unit(tip).summary.Epoch
	return (&iota.ServiceInfo{
		ChainID: n.chain.genesis(), Chain: "unknown", Epoch: &epoch, Height: &tip,
		Lowest: &lowest, LowestObjects: &lowest, Server: "iota-node/test",
	}).Append(nil)
}

func (c *call) epoch(question []byte) error {
	req, err := iota.ParseEpochRequest(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	_, tip, _ := c.node.span()
	number := c.node.chain.unit(tip).summary.Epoch
	if req.Epoch != nil {
		number = *req.Epoch
	}
	members := c.node.chain.Committee(number)
	if members == nil {
		return status.Errorf(codes.NotFound, "epoch %d is not known", number)
	}
	e := iota.Epoch{Epoch: &number}
	for i := range members {
		e.Members = append(e.Members, iota.Member{Key: members[i].Key[:], Weight: members[i].Power})
	}
	if first, last, open, ok := c.node.chain.epochRange(number); ok {
		e.First = &first
		if !open {
			e.Last = &last
		}
	}
	return c.send(e.Append(nil))
}

// defaultMessage is the size of chunks if the client does not say.
const defaultMessage = 4 << 20

func (c *call) checkpoint(question []byte) error {
	req, err := iota.ParseCheckpointRequest(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	lowest, tip, _ := c.node.span()
	seq := tip
	if req.Seq != nil {
		seq = *req.Seq
	}
	if seq < lowest || seq > tip {
		return status.Errorf(codes.NotFound, "checkpoint %d is not available", seq)
	}
	return c.over(c.one(seq, req.Mask, req.MaxMessage))
}

func (c *call) checkpoints(question []byte) error {
	req, err := iota.ParseStreamRequest(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	lowest, tip, _ := c.node.span()
	seq := tip
	if req.Start != nil {
		seq = *req.Start
	}
	if seq < lowest {
		return status.Errorf(codes.NotFound, "checkpoint %d is not available", seq)
	}
	for ; req.End == nil || seq <= *req.End; seq++ {
		_, tip, moved := c.node.span()
		for seq > tip {
			if err := c.wait(moved); err != nil {
				return err
			}
			_, tip, moved = c.node.span()
		}
		if err := c.one(seq, req.Mask, req.MaxMessage); err != nil {
			return c.over(err)
		}
	}
	return nil
}

// one sends the messages of one checkpoint.
func (c *call) one(seq uint64, mask []string, limit *uint64) error {
	c.node.mu.Lock()
	per := c.node.per
	c.node.mu.Unlock()
	size := uint64(defaultMessage)
	if limit != nil {
		size = *limit
	}
	messages, err := c.node.chain.unit(seq).messages(mask, int(min(size, 128<<20)), per)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	c.Seq = seq
	for _, m := range messages {
		if err := c.send(m); err != nil {
			return err
		}
	}
	return nil
}
